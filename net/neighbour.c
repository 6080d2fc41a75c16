/* SPDX-License-Identifier: Apache-2.0 */
#include "net/neighbour.h"

#include "base/check.h"
#include "base/hash.h"

#include <string.h>

#define SET_COUNT (NEIGHBOUR_COUNT_MAX / NEIGHBOUR_WAYS)

_Static_assert((SET_COUNT & (SET_COUNT - 1)) == 0, "sets are chosen by masking");

void neighbours_init(struct neighbours *neighbours, uint64_t seed)
{
	memset(neighbours, 0, sizeof(*neighbours));
	neighbours->seed = seed;
}

static struct neighbour *set_of(struct neighbours *neighbours, const uint8_t ip[16])
{
	uint64_t high, low;

	memcpy(&high, ip, sizeof(high));
	memcpy(&low, ip + sizeof(high), sizeof(low));
	return &neighbours->entries[hash_mix64(hash_mix64(high ^ neighbours->seed) ^ low) %
				    SET_COUNT * NEIGHBOUR_WAYS];
}

static struct neighbour *find_in(struct neighbour *set, const uint8_t ip[16])
{
	for (unsigned i = 0; i < NEIGHBOUR_WAYS; i++)
		if (set[i].used_ns != 0 && memcmp(set[i].ip, ip, sizeof(set[i].ip)) == 0)
			return &set[i];
	return NULL;
}

static bool is_known(const struct neighbour *entry, uint64_t now_ns)
{
	return entry->known && now_ns - entry->confirmed_ns < NEIGHBOUR_FORGET_NS;
}

/* The place that is given away: of one that isn't known, else that was not used for longest. */
static struct neighbour *least_useful(struct neighbour *set, uint64_t now_ns)
{
	struct neighbour *least = &set[0];

	for (unsigned i = 1; i < NEIGHBOUR_WAYS; i++) {
		bool known = is_known(&set[i], now_ns);

		if (known != is_known(least, now_ns) ? !known : set[i].used_ns < least->used_ns)
			least = &set[i];
	}
	return least;
}

static void take_over(struct neighbour *entry, const uint8_t ip[16])
{
	memset(entry, 0, sizeof(*entry));
	memcpy(entry->ip, ip, sizeof(entry->ip));
}

/* Notes a question for the entry; false when it, or any, has to wait. */
static bool may_ask(struct neighbours *neighbours, struct neighbour *entry, uint64_t now_ns)
{
	if (entry->asked_ns != 0 && now_ns + 1 - entry->asked_ns < NEIGHBOUR_ASK_NS)
		return false;
	if (now_ns - neighbours->asking_ns >= NEIGHBOUR_ASK_NS) {
		neighbours->asking_ns = now_ns;
		neighbours->asked_count = 0;
	}
	if (neighbours->asked_count == NEIGHBOUR_ASK_MAX)
		return false;
	neighbours->asked_count++;
	entry->asked_ns = now_ns + 1;
	return true;
}

int neighbour_find(struct neighbours *neighbours, const uint8_t ip[16], uint64_t now_ns,
		   bool *ret_ask, uint8_t ret_mac[NEIGHBOUR_MAC_SIZE])
{
	struct neighbour *set = set_of(neighbours, ip);
	struct neighbour *entry = find_in(set, ip);

	if (!entry) {
		entry = least_useful(set, now_ns);
		take_over(entry, ip);
	}
	entry->used_ns = now_ns + 1; /* never 0, which is a free entry */
	*ret_ask = false;
	if (likely(entry->known && now_ns - entry->confirmed_ns < NEIGHBOUR_STALE_NS)) {
		memcpy(ret_mac, entry->mac, NEIGHBOUR_MAC_SIZE);
		return 0;
	}
	*ret_ask = may_ask(neighbours, entry, now_ns);
	if (is_known(entry, now_ns)) {
		memcpy(ret_mac, entry->mac, NEIGHBOUR_MAC_SIZE);
		return 0;
	}
	entry->known = false;
	return NEIGHBOUR_E_UNKNOWN;
}

bool neighbour_learn(struct neighbours *neighbours, const uint8_t ip[16],
		     const uint8_t mac[NEIGHBOUR_MAC_SIZE], bool create, uint64_t now_ns)
{
	struct neighbour *set = set_of(neighbours, ip);
	struct neighbour *entry = find_in(set, ip);

	if (!entry) {
		entry = least_useful(set, now_ns);
		if (!create ||
		    (entry->used_ns != 0 && now_ns + 1 - entry->used_ns < NEIGHBOUR_FORGET_NS))
			return false;
		take_over(entry, ip);
		entry->used_ns = now_ns + 1;
	}
	memcpy(entry->mac, mac, NEIGHBOUR_MAC_SIZE);
	entry->known = true;
	entry->confirmed_ns = now_ns;
	return true;
}
