/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Tether - the way to one owner's memory: a verbs link, or shared memory on this host
 *
 * Both give a proof for region requests (type 56) and turn what is granted (type
 * 57) into a fetch; which of them it is doesn't show otherwise.
 *
 * Threads: a tether belongs to the thread of its hub.
 */

#include "base/addr.h"
#include "base/memory.h"
#include "proto/payload_region.h"
#include "rdma/fetch.h"
#include "rdma/link.h"
#include "rdma/shm_link.h"

#include <stdbool.h>
#include <stdint.h>

/* Memory that an owner has lent and nobody has asked for yet. */
#define TETHER_LENT_MAX 4

/* Bytes of a tether's error, final zero included. */
#define TETHER_ERROR_MAX 256

struct tether_config {
	uint64_t node;         /* ours; 0 for a client */
	uint16_t shard;        /* that it is for: link_shard_name(); LINK_NO_SHARD: any */
	const uint8_t *secret; /* LINK_SECRET_SIZE bytes, or NULL; borrowed */
	struct link_hub *hub;  /* borrowed; NULL: no verbs */
};

enum tether_state {
	TETHER_CLOSED,
	TETHER_CONNECTING,
	TETHER_READY,
	TETHER_ENDED, /* tether_error() says why */
};

/* Zeroed: closed. */
struct tether {
	enum tether_state state;
	enum region_transport transport;
	struct link *link;                          /* owned */
	struct shm_link *shm;                       /* owned */
	struct shm_link_news lent[TETHER_LENT_MAX]; /* owned descriptors */
	unsigned lent_count;
	struct ibv_mr *mr; /* owned: the reader's memory, for the device */
	char error[TETHER_ERROR_MAX];
};

/* Where fetched bytes go. */
struct tether_room {
	void *memory;
	size_t size;
};

/*
 * Begins to connect; it is READY or ENDED some turns later. 'owner' is the node's base address, by
 * which it lends memory, whatever the transport. Returns 0 or a negative errno, and the state is
 * ENDED then.
 */
int tether_connect(struct tether *tether, const struct tether_config *config,
		   enum region_transport transport, const struct addr *owner,
		   const struct tether_room *room, uint64_t now_ns, uint64_t deadline_ns);

/* Takes in what happened; the hub's own turn is its owner's. */
void tether_turn(struct tether *tether, uint64_t now_ns);

/* READY only. */
void tether_proof(const struct tether *tether, uint8_t ret_proof[LINK_PROOF_SIZE]);

/*
 * A fetch of what was granted, into all of 'room', which is the one that it was connected with.
 *
 * Returns 0; -EAGAIN when the owner's memory has not come yet: turn, and try again; or another
 * negative errno, and tether_error().
 */
int tether_fetch(struct tether *tether, const struct region_answer *grant,
		 const struct tether_room *room, uint64_t expires_ns, struct fetch **ret_fetch);

const char *tether_error(const struct tether *tether);

/*
 * Ends the connection; first 'fetches' (up to 'count', NULLs aside) are told and closed.
 */
void tether_close(struct tether *tether, struct fetch **fetches, unsigned count);
