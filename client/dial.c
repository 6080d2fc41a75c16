/* SPDX-License-Identifier: Apache-2.0 */
#include "client/dial.h"

#include <stddef.h>

static struct dial_peer *find_peer(struct dial *dial, const struct addr *to)
{
	for (uint32_t i = 0; i < dial->peer_count; i++)
		if (addr_equal(&dial->peers[i].at, to))
			return &dial->peers[i];
	if (dial->peer_count == DIAL_PEER_MAX)
		return NULL;
	dial->peers[dial->peer_count] = (struct dial_peer){.at = *to};
	return &dial->peers[dial->peer_count++];
}

/* Through one of a peer's sessions, connected first when it isn't, or was lost. */
static int ask_session(struct dial *dial, const struct addr *to, struct session **session,
		       const struct session_call *call, uint64_t now_ns)
{
	if (*session && !session_is_open(*session)) {
		session_close(*session, now_ns);
		*session = NULL;
	}
	if (!*session && endpoint_connect(dial->endpoint, to, now_ns, session) != 0)
		return SESSION_E_CLOSED;
	return session_call(*session, call, now_ns);
}

static int ask(void *context, const struct addr *to, const struct session_call *call,
	       uint64_t now_ns)
{
	struct dial *dial = context;
	struct dial_peer *peer = find_peer(dial, to);
	int result = peer ? SESSION_E_BUSY : SESSION_E_CLOSED;

	for (uint32_t i = 0; result == SESSION_E_BUSY && i < DIAL_SESSION_MAX; i++) {
		result = ask_session(dial, to, &peer->sessions[i], call, now_ns);
		/* No room for one session more isn't the peer's end while there are others. */
		if (result == SESSION_E_CLOSED && i > 0)
			result = SESSION_E_BUSY;
	}
	return result;
}

const struct leg_ops dial_leg_ops = {.ask = ask};

void dial_hang_up(struct dial *dial, uint64_t now_ns)
{
	for (uint32_t i = 0; i < dial->peer_count; i++)
		for (uint32_t j = 0; j < DIAL_SESSION_MAX; j++)
			if (dial->peers[i].sessions[j])
				session_close(dial->peers[i].sessions[j], now_ns);
	dial->peer_count = 0;
}
