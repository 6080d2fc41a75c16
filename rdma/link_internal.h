/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Link_internal - what the files of links share
 *
 *      link.c        what users call on one link; its queue pair
 *      link_cm.c     connection events, and what each leads to
 *      link_hub.c    the hub: turns, completions, deadlines
 *
 * Invariants:
 * 1. A link that is in use has an id; it has a queue pair from its request on, and is then in the
 *    table by the queue pair's number.
 * 2. No queue pair is made while completions of a destroyed one may lie in the completion queue
 *    (hub->stale_left), since it may get the same number.
 * 3. The completions that all queue pairs together can have never exceed the completion queue.
 *
 * Threads: those of a hub.
 */

#include "base/defs.h"
#include "base/rand.h"
#include "rdma/link.h"
#include "rdma/link_handshake.h"

/* Bytes of a link's error line. */
#define LINK_ERROR_MAX 256

/* Handshake memory of a link: what it sends and what it receives, a cache line each. */
#define LINK_SLOT_SIZE 128
#define LINK_SLOT_RECV 64
_Static_assert(LINK_FIRST_SIZE <= LINK_SLOT_RECV, "fits its half");

/* Beside the user's own: the first SEND; and the RECV of the handshake, posted again as a guard. */
#define LINK_OWN_SENDS 1
#define LINK_OWN_RECVS 1

/* Pieces of memory that one request on a link may name. */
#define LINK_SGE_MAX 1

/* Completions that one turn takes in at most, and those of one look. */
#define LINK_TURN_COMPLETIONS_MAX 1024
#define LINK_POLL_MAX             32

/* Connection events that one turn takes in at most. */
#define LINK_TURN_EVENTS_MAX 16

/*
 * How long the kernel looks for a neighbour before it is asked again. Its own timeout isn't relied
 * upon: when the neighbour answers at once, before the kernel has begun to wait, it sees that at
 * the timeout only.
 */
#define LINK_RESOLVE_MS 200

/* How often connection events are looked for when no link is being made: each look is a syscall. */
#define LINK_EVENTS_NS UINT64_C(200000)

struct link {
	struct link_work receive_work;
	struct link_work send_work;
	struct link_hub *hub;
	struct link *next; /* of the free ones, or of its bucket */
	struct rdma_cm_id *id;
	struct ibv_qp *qp; /* NULL before the request */
	enum link_state state;
	enum link_use use;
	bool used;
	bool accepted;
	bool resolved;  /* the address led to our device */
	bool connected; /* the other side has to be told of the end */
	bool shown;     /* the user knows it */
	bool broken;    /* its queue pair flushes, for a reason that an event may tell */
	uint16_t shard; /* link_shard() */
	uint32_t reads_max;
	uint64_t deadline_ns; /* UINT64_MAX once it is ready */
	uint64_t peer_node;
	struct addr peer;
	void *context;
	uint8_t connecting[LINK_HELLO_SIZE]; /* the hello of the connecting side */
	uint8_t listening[LINK_HELLO_SIZE];
	uint8_t proof[LINK_PROOF_SIZE]; /* link_proof() */
	char error[LINK_ERROR_MAX];
};

struct link_hub {
	struct device *device; /* borrowed */
	const struct verbs_ops *ops;
	struct link_hub_config config; /* config.secret is NULL or points to 'secret' */
	uint8_t secret[LINK_SECRET_SIZE];
	struct rand rand; /* of nonces, when config.seed isn't 0 */
	struct rdma_event_channel *channel;
	struct rdma_cm_id *listener; /* NULL: none */
	struct ibv_comp_channel *comp_channel;
	struct ibv_cq *cq;
	int epoll_fd;
	bool armed; /* a completion may have made the fd readable */

	struct link *links;
	struct link *free_links;
	struct link **buckets; /* by the queue pair's number */
	uint32_t bucket_mask;
	uint32_t unready; /* links that are being made */
	uint8_t *slots;   /* LINK_SLOT_SIZE of each link, registered */
	struct ibv_mr *slots_mr;

	uint32_t cqe_count;
	uint32_t cqe_used;
	uint32_t stale_left; /* completions that may be of a queue pair that is gone */
	uint32_t alarms_seen;
	const _Atomic uint32_t *alarms; /* the device's */
	bool removed;
	bool broken;     /* a link of it is */
	uint64_t now_ns; /* of the turn */
	uint64_t events_next_ns;
	uint64_t deadline_next_ns; /* no link's deadline is before it */
	struct link_hub_stats stats;
};

/* A free link, or NULL. Owned by the caller until link_release(). */
struct link *link_take(struct link_hub *hub, enum link_use use, bool accepted,
		       uint64_t deadline_ns);

/* Completions that a link can have at once. */
static inline uint32_t link_completions(const struct link_hub *hub)
{
	return hub->config.send_depth + LINK_OWN_SENDS + LINK_OWN_RECVS;
}

/* The handshake memory of a link. */
static inline uint8_t *link_slot(const struct link *link)
{
	return link->hub->slots + (size_t)(link - link->hub->links) * LINK_SLOT_SIZE;
}

/* A link ends that its peer let go of: of a peer's that isn't ready there is no other record. */
static inline void link_count_gone(struct link *link)
{
	if (link->accepted && link->state < LINK_READY)
		link->hub->stats.refused_gone++;
}

/* Makes the queue pair, without remote access, with the RECV of the handshake. 0 or -errno. */
int link_qp_make(struct link *link);

/* Leads it to where requests can be posted. 0 or -errno. */
int link_qp_start(struct link *link);

/* Grants remote reading. 0 or -errno. */
int link_qp_open(struct link *link);

/* Posts the first SEND. 0 or -errno. */
int link_send_first(struct link *link, enum link_first first, const uint8_t *proof);

/* Posts the RECV of the handshake; after it, the guard. 0 or -errno. */
int link_post_guard(struct link *link);

/* Sets the state and tells the user, who may close the link: it isn't to be touched afterwards. */
void link_change(struct link *link, enum link_state state);

/* Ends a link with a reason; it may be gone afterwards. Nothing when it has ended already. */
void link_fail(struct link *link, const char *format, ...) PRINTF_LIKE(2, 3);

static inline struct link **link_bucket(struct link_hub *hub, uint32_t qp_num)
{
	return &hub->buckets[qp_num & hub->bucket_mask];
}

/* NULL: it has none, or not any more. */
static inline struct link *link_of_qp(struct link_hub *hub, uint32_t qp_num)
{
	struct link *link = *link_bucket(hub, qp_num);

	while (link && link->qp->qp_num != qp_num)
		link = link->next;
	return link;
}

/* Handles the bytes of a first SEND that came. The link may be gone afterwards. */
void link_first_received(struct link *link, const uint8_t *bytes, size_t size);

/* Asks the kernel for the way to the peer. Returns 0 or -errno. */
int link_resolve(struct link *link);

/* A nonce for a hello. 0 or -errno. */
int link_nonce(struct link_hub *hub, uint8_t ret_nonce[LINK_NONCE_SIZE]);

/* Takes in connection events. Returns whether there were any. */
bool link_cm_turn(struct link_hub *hub);

/* In another form. */
void link_sockaddr(const struct addr *addr, struct sockaddr_storage *ret_sockaddr);
