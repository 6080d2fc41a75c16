/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster/dial.h"

#include "base/check.h"

#include <stdbool.h>
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

static int ask_peer(struct dial *dial, const struct addr *to, const struct session_call *call,
		    uint64_t now_ns)
{
	struct dial_peer *peer = find_peer(dial, to);
	int result = peer ? SESSION_E_BUSY : SESSION_E_CLOSED;

	for (uint32_t i = 0; result == SESSION_E_BUSY && i < DIAL_SESSION_MAX; i++) {
		result = ask_session(dial, to, &peer->sessions[i], call, now_ns);
		/* No room for one session more isn't the peer's end while there are others. */
		if (result == SESSION_E_CLOSED && i > 0)
			result = SESSION_E_BUSY;
	}
	if (peer)
		peer->asked_ns = now_ns;
	return result;
}

/* Closes a peer's sessions, or only the lost ones. Returns how many. */
static unsigned close_peer(struct dial_peer *peer, bool all, uint64_t now_ns)
{
	unsigned closed = 0;

	for (uint32_t i = 0; i < DIAL_SESSION_MAX; i++) {
		struct session **session = &peer->sessions[i];

		if (!*session || (!all && session_is_open(*session)))
			continue;
		session_close(*session, now_ns);
		*session = NULL;
		closed++;
	}
	return closed;
}

static bool peer_is_connected(const struct dial_peer *peer)
{
	for (uint32_t i = 0; i < DIAL_SESSION_MAX; i++)
		if (peer->sessions[i])
			return true;
	return false;
}

static bool peer_is_idle(const struct dial_peer *peer)
{
	for (uint32_t i = 0; i < DIAL_SESSION_MAX; i++)
		if (peer->sessions[i] && !session_is_idle(peer->sessions[i]))
			return false;
	return true;
}

/*
 * Ends lost sessions, or when there are none those of the idle peer that was
 * asked longest ago; forgets who has none then. Is there more room than before?
 */
static NOINLINE bool make_room(struct dial *dial, uint64_t now_ns)
{
	struct dial_peer *idle = NULL;
	uint32_t count = dial->peer_count, kept = 0;
	unsigned closed = 0;

	for (uint32_t i = 0; i < count; i++) {
		struct dial_peer *peer = &dial->peers[kept];

		*peer = dial->peers[i];
		closed += close_peer(peer, /* all= */ false, now_ns);
		if (!peer_is_connected(peer))
			continue;
		if (peer_is_idle(peer) && (!idle || peer->asked_ns < idle->asked_ns))
			idle = peer;
		kept++;
	}
	if (closed == 0 && idle) {
		closed = close_peer(idle, /* all= */ true, now_ns);
		*idle = dial->peers[--kept];
	}
	dial->peer_count = kept;
	return closed > 0 || kept < count;
}

static int ask(void *context, const struct addr *to, const struct session_call *call,
	       uint64_t now_ns)
{
	struct dial *dial = context;
	int result = ask_peer(dial, to, call, now_ns);

	if (unlikely(result == SESSION_E_CLOSED) && make_room(dial, now_ns))
		result = ask_peer(dial, to, call, now_ns);
	return result;
}

const struct leg_ops dial_leg_ops = {.ask = ask};

void dial_hang_up(struct dial *dial, uint64_t now_ns)
{
	for (uint32_t i = 0; i < dial->peer_count; i++)
		(void)close_peer(&dial->peers[i], /* all= */ true, now_ns);
	dial->peer_count = 0;
}
