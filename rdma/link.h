/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Link - a reliable connection (RC queue pair) to one peer, made by librdmacm
 *
 *        connecting side                         listening side
 *   CONNECT { hello, our nonce } --private data-->
 *                <--private data-- ACCEPT { hello, its nonce, its proof }
 *   first SEND: our proof ------------------------>   checked; else the link ends
 *                <---------------------- first SEND: welcome
 *   LINK_READY                                    LINK_READY
 *
 * A proof is an HMAC-SHA256 under the cluster's secret over both nonces, both
 * node ids and who speaks; without a secret it is of zeros, and nothing is proved.
 * Until the peer has proved itself its queue pair grants it no remote access,
 * and a peer that doesn't within LINK_PROVE_NS is cut off. docs/format/link.md
 * has the bytes.
 *
 * link_proof() is one more value of the same kind, for the region requests (type
 * 56) that go another way: it names this link and no other.
 *
 * A link is made for READs (LINK_READS), or also for frames (LINK_FRAMES), which
 * are received through the listener's shared receive queue: see rdma/port_rdma.h.
 *
 * Threads: a link_hub and its links belong to one thread.
 */

#include "base/addr.h"
#include "rdma/device.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LINK_PROOF_SIZE  32
#define LINK_SECRET_SIZE 32
#define LINK_VERSION     1

/* How long a peer has to prove itself. */
#define LINK_PROVE_NS UINT64_C(3000000000)

/* Links of one hub. */
#define LINK_MAX 4096

/* A link that is for no shard in particular. */
#define LINK_NO_SHARD 0

enum link_use {
	LINK_READS = 0,
	LINK_FRAMES = 1,
};

enum link_state {
	LINK_CONNECTING,
	LINK_PROVING,
	LINK_READY,
	LINK_ENDED, /* link_error() says why; only link_close() is left */
};

/* All links of one thread: the event channel, the completion queue, maybe a listener. */
struct link_hub;
struct link;

struct link_hub_config {
	uint64_t node;         /* ours; 0 for a client */
	const uint8_t *secret; /* LINK_SECRET_SIZE bytes, copied; NULL: none */
	uint32_t link_max;     /* 1 to LINK_MAX */
	uint32_t send_depth;   /* work requests of a link's send queue */
	uint64_t seed;         /* of nonces, for tests; 0: random */

	/*
	 * Called from link_hub_turn() whenever the state of a link of ours changes. A link of a
	 * peer is shown when it is LINK_READY, and again when it has ended: those that don't get
	 * that far are the hub's own business, and counted. May close the link, or others.
	 */
	void (*changed)(void *context, struct link *link);
	void *context;

	/*
	 * Is this vShard here? A link that names another is refused. NULL: nobody is asked.
	 */
	bool (*has_shard)(void *context, uint32_t vshard);

	/*
	 * For LINK_FRAMES, which are refused without: where all such links receive. Their wr_id
	 * have LINK_WR_SHARED set. Borrowed until link_hub_free().
	 */
	struct ibv_srq *srq;
	uint32_t srq_depth; /* receives it has at most */
	/* Where the bytes of a receive lie; a handshake is read from there. */
	const uint8_t *(*srq_bytes)(void *context, uint64_t wr_id);
	/*
	 * A receive of the shared queue has completed, so the memory is the poster's again. 'link'
	 * is LINK_READY, or NULL when the bytes are nobody's: a handshake's, or of a link that is
	 * gone.
	 */
	void (*received)(void *context, struct link *link, const struct ibv_wc *completion);
};

/* Set in the wr_id of every receive of the shared queue, and in no other: works are aligned. */
#define LINK_WR_SHARED UINT64_C(1)

/* Borrows the device until link_hub_free(). Returns 0 or a negative errno. */
int link_hub_new(struct device *device, const struct link_hub_config *config,
		 struct link_hub **ret_hub, char *error, size_t error_size);
void link_hub_free(struct link_hub *hub); /* closes all links */

/* Accepts peers at 'addr', whose port 0 takes any and is then in '*ret_bound'. */
int link_listen(struct link_hub *hub, const struct addr *addr, struct addr *ret_bound, char *error,
		size_t error_size);

struct link_options {
	struct addr to;
	enum link_use use;
	uint16_t shard; /* that it is for: link_shard_name(), or LINK_NO_SHARD */
	uint64_t deadline_ns;
};

/* What hellos call a vShard; LINK_NO_SHARD for one beyond those that can be named. */
static inline uint16_t link_shard_name(uint32_t vshard)
{
	return vshard < UINT16_MAX ? (uint16_t)(vshard + 1) : LINK_NO_SHARD;
}

/*
 * Begins a link; it is LINK_READY, or LINK_ENDED, some turns later, by 'deadline_ns' at the latest.
 * Returns 0 or a negative errno.
 */
int link_connect(struct link_hub *hub, const struct link_options *options, uint64_t now_ns,
		 struct link **ret_link, char *error, size_t error_size);

/*
 * Disconnects and frees. What was posted on the link is given up: the device has let go of its
 * memory, and no 'done' is called any more. Memory windows that are bound to its queue pair must
 * have been deallocated. NULL is fine.
 */
void link_close(struct link *link);

#define LINK_STAT_LIST(LINK_STAT)                                                                  \
	LINK_STAT(connected)         /* links of ours that became ready */                         \
	LINK_STAT(accepted)          /* links of peers that became ready */                        \
	LINK_STAT(ended)             /* of both, after that */                                     \
	LINK_STAT(failed)            /* links of ours that never became ready */                   \
	LINK_STAT(refused_malformed) /* peers whose hello isn't one, or of another version */      \
	LINK_STAT(refused_full)      /* no link or no completions left for them */                 \
	LINK_STAT(refused_other)     /* another device, no frames here, or not that shard */       \
	LINK_STAT(refused_secret)    /* peers whose proof is wrong, or who found ours wrong */     \
	LINK_STAT(refused_late)      /* peers who didn't prove themselves in time */               \
	LINK_STAT(refused_gone)      /* peers who went before they were ready */

struct link_hub_stats {
#define LINK_STAT_FIELD(name) uint64_t name;
	LINK_STAT_LIST(LINK_STAT_FIELD)
#undef LINK_STAT_FIELD
	uint32_t links; /* now, those that are being made included */
};

struct link_hub_stats link_hub_stats(const struct link_hub *hub);

/*
 * Takes in what has happened: connection events, and handshakes. Never blocks. Completions of
 * work that others posted go to who posted it (see struct link_work). Returns whether there was
 * any.
 */
bool link_hub_turn(struct link_hub *hub, uint64_t now_ns);

/*
 * Readable when link_hub_turn() may have connection events; and, after link_hub_arm() and until the
 * next turn, when it may have completions. Owned by the hub.
 */
int link_hub_fd(const struct link_hub *hub);

/*
 * Is the device going, or gone? All links are ended then, and no other is made. A kernel may wait
 * for this hub, and for the device to be closed, before it lets go of the device.
 */
bool link_hub_is_removed(const struct link_hub *hub);

/* When link_hub_turn() has to run next at the latest; UINT64_MAX: when link_hub_fd() says so. */
uint64_t link_hub_due_ns(const struct link_hub *hub);

/* To be followed by one more turn before sleeping: what completed before it doesn't wake. */
int link_hub_arm(struct link_hub *hub);

enum link_state link_state(const struct link *link);
const char *link_error(const struct link *link); /* one line, what to do included */
uint64_t link_peer_node(const struct link *link);
struct addr link_peer(const struct link *link);
bool link_is_accepted(const struct link *link);   /* the peer connected to us */
uint16_t link_shard(const struct link *link);     /* what its hello named, or LINK_NO_SHARD */
uint32_t link_reads_max(const struct link *link); /* READs under way that both sides agreed on */
struct ibv_qp *link_qp(struct link *link);
struct device *link_device(struct link *link);

/* Ends its queue pair: what is posted there completes, and the hub sees the link end. */
void link_break(struct link *link);

/* The value that binds a region request to this link; both sides compute the same. LINK_READY only.
 */
void link_proof(const struct link *link, uint8_t ret_proof[LINK_PROOF_SIZE]);

/* The link of a listener that has this proof and is LINK_READY, or NULL. */
struct link *link_find(struct link_hub *hub, const uint8_t proof[LINK_PROOF_SIZE]);

/* Room for whoever uses the link. */
void link_set_context(struct link *link, void *context);
void *link_context(const struct link *link);

/*
 * Work posted on a link's queue pair: its wr_id is the address of one of these, which
 * stays until 'done' was called for the last signalled request. 'done' gets
 * every completion that names it, successful or not.
 */
struct link_work {
	void (*done)(struct link_work *work, struct link *link, const struct ibv_wc *completion);
};
