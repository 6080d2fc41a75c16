/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Neighbour - which Ethernet address an IP address has
 *
 * A cache of fixed size for ARP and neighbour discovery, set-associative, so
 * that neither a lookup nor a flood of addresses costs more than one set. What
 * somebody else told unasked never pushes out what we asked for; and addresses
 * that nobody answers for, which forged senders make us look up, don't push out
 * those that are known.
 *
 * An entry's age decides what a lookup says:
 *
 *      known < STALE: the address
 *      known < FORGET: the address, and ask again now and then
 *      else: unknown, and ask
 *
 * Threads: a cache belongs to one core.
 */

#include <stdbool.h>
#include <stdint.h>

/* Addresses one cache holds. */
#define NEIGHBOUR_COUNT_MAX 1024

/* Entries that one address can be in. */
#define NEIGHBOUR_WAYS 8

/* A question is repeated at this distance at the earliest. */
#define NEIGHBOUR_ASK_NS UINT64_C(200000000)

/* Questions in NEIGHBOUR_ASK_NS: a flood of forged senders is not to become one of questions. */
#define NEIGHBOUR_ASK_MAX 256

/* A confirmed address is not doubted for this long; as the kernel's reachable time. */
#define NEIGHBOUR_STALE_NS UINT64_C(30000000000)

/* Without confirmation an address is given up after this. */
#define NEIGHBOUR_FORGET_NS UINT64_C(60000000000)

#define NEIGHBOUR_MAC_SIZE 6

enum {
	NEIGHBOUR_E_UNKNOWN = 1, /* not known: drop the frame, the sender repeats it */
};

struct neighbour {
	uint8_t ip[16];
	uint64_t confirmed_ns;
	uint64_t asked_ns;
	uint64_t used_ns; /* last lookup, or when it was learnt; 0: the entry is free */
	uint8_t mac[NEIGHBOUR_MAC_SIZE];
	bool known;
};

struct neighbours {
	struct neighbour entries[NEIGHBOUR_COUNT_MAX];
	uint64_t seed;        /* of the hash, so that nobody can aim at one set */
	uint64_t asking_ns;   /* when the time began in which questions are counted */
	uint32_t asked_count; /* since then */
};

void neighbours_init(struct neighbours *neighbours, uint64_t seed);

/*
 * Looks up 'ip' for sending. '*ret_ask', written always, says whether to ask
 * the network for it at this time.
 *
 * Returns 0, or NEIGHBOUR_E_UNKNOWN.
 */
int neighbour_find(struct neighbours *neighbours, const uint8_t ip[16], uint64_t now_ns,
		   bool *ret_ask, uint8_t ret_mac[NEIGHBOUR_MAC_SIZE]);

/*
 * Takes what the network said. An address that nobody looked up is only kept
 * with 'create', and only where a place is free.
 *
 * Returns whether it was kept.
 */
bool neighbour_learn(struct neighbours *neighbours, const uint8_t ip[16],
		     const uint8_t mac[NEIGHBOUR_MAC_SIZE], bool create, uint64_t now_ns);
