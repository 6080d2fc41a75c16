/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Port RDMA, inside - slots, peers and the calls between port_rdma*.c
 *
 * port_rdma.c has slots and the port's functions, port_rdma_peer.c the links,
 * what they are called, and credits.
 *
 *      receive slot:  posted --completion--> ready --port_receive--> lent --port_release--> posted
 *      send slot:     free --port_send--> waiting --flush--> posted --completion--> free
 *      peer:          free --> dialling --> greeting --HELLO came--> open
 *                      ^           |            |                     |
 *                      +--- no slot of it is lent any more --- gone <-+
 *
 * Invariants, with n = link_max and w = window:
 *  1. Receives that are posted, ready or lent: always n * (w + 2) + RECEIVE_SPARE.
 *  2. For each peer: allowed + held + owed <= w. All may come, and all have a receive.
 *  3. A posted send slot is in its peer's posted queue, in the order of the send queue: when one
 *     has completed, all before it have.
 *
 * Threads: a queue belongs to its core.
 */

#include "rdma/port_rdma.h"

/* Frames that wait or are posted on one link; the send queue holds as many. */
#define PEER_FRAMES_MAX 64

/* CREDITs and the HELLO of one link that have not completed. */
#define PEER_CONTROL_MAX 4

/* Frames that wait or are posted on all links of a queue. */
#define SEND_SLOT_COUNT 256

/* For frames of ended links that are still lent: two bursts. */
#define RECEIVE_SPARE (2 * PORT_BURST_MAX)

/* Of a receiver that has no window of its own: HELLO and the link's handshake, or two CREDITs. */
#define PEER_RECEIVE_SPARE 2

#define HELLO_SIZE    32
#define HELLO_VERSION 1
#define HELLO_NAME    16 /* offset of the name in the body */

/* The name of a peer that doesn't listen begins with it, and has this port. */
#define NAME_FIRST 0xfd
#define NAME_PORT  1

enum message_kind {
	MESSAGE_HELLO = 1,
	MESSAGE_FRAME = 2,
	MESSAGE_CREDIT = 3,
};

enum peer_state {
	PEER_FREE,
	PEER_DIALLING, /* the link isn't ready */
	PEER_GREETING, /* it is, and our HELLO is under way; the peer's hasn't come */
	PEER_OPEN,
	PEER_GONE, /* the link is closed, but frames of it are lent or ready */
};

struct peer;

struct receive_slot {
	struct ibv_recv_wr request;
	struct ibv_sge piece;
	bool posted;
	struct peer *peer; /* of the frame in it */
	uint32_t size;
	struct addr from;
};

struct send_slot {
	struct link_work work;
	struct ibv_send_wr request;
	struct ibv_sge piece;
	struct peer *peer;      /* whose frame it is, or whose control slot */
	struct send_slot *next; /* in the peer's queue, or of the free ones */
	bool control;           /* for HELLO and CREDIT: belongs to its peer for good */
	bool posted;
};

struct send_list {
	struct send_slot *first;
	struct send_slot *last;
	uint32_t count;
};

struct peer {
	struct rdma_queue *queue;
	struct link *link; /* NULL when FREE or GONE */
	enum peer_state state;
	struct addr name;        /* valid when named */
	bool named;              /* is in the table of names */
	bool dirty;              /* is in the list of those that have something to post */
	bool broken;             /* is to be ended by the end of this turn */
	bool heard;              /* something came since the last look */
	struct peer *next_named; /* in its bucket */
	struct peer *next_dirty; /* or the next free one */

	uint32_t frame_size; /* the largest that it takes */
	uint32_t window;     /* its own, and so the most that 'credits' can be */
	uint32_t credits;    /* frames that we may send */
	uint32_t allowed;    /* frames that it may send */
	uint32_t owed;       /* credits to give with the next message */
	uint32_t held;       /* its frames that are ready or lent */

	struct send_list waiting;
	struct send_list posted;
	struct send_slot controls[PEER_CONTROL_MAX];
	struct send_slot *free_controls;
	uint8_t *hello; /* HELLO_SIZE bytes of registered memory */
};

struct rdma_queue {
	struct port_queue queue;
	struct port_rdma_config config;
	struct link_hub *hub;
	struct ibv_srq *srq;
	struct ibv_mr *registered;
	uint8_t *memory; /* of all slots; owned */
	size_t memory_size;
	uint8_t name[16]; /* ours when we don't listen */
	int epoll_fd;
	int kick_fd; /* makes epoll_fd readable for frames that are here already */
	bool kicked;

	struct receive_slot *receives; /* owned */
	uint32_t receive_count;
	uint32_t *ready; /* owned; a ring of indexes, a power of two long */
	uint32_t ready_mask;
	uint32_t ready_first, ready_count;

	struct send_slot *sends; /* owned; SEND_SLOT_COUNT of them */
	struct send_slot *free_sends;
	uint32_t free_send_count;

	struct peer *peers; /* owned; link_max of them */
	struct peer *free_peers;
	struct peer *dirty;  /* have something to post */
	struct peer **names; /* owned; buckets */
	uint32_t name_mask;
	uint32_t broken_count;
	uint64_t look_next_ns; /* for links that are silent */
	uint64_t events_next_ns;
	bool takes_events; /* the device's */

	struct port_rdma_stats stats;
	char why[DEVICE_ERROR_MAX];
};

/* --- port_rdma_peer.c --- */

void peers_init(struct rdma_queue *q);

/* The peer that frames to 'to' go to, dialled if there is none; NULL when there can't be one. */
struct peer *peer_for(struct rdma_queue *q, const struct addr *to);

/* Puts it on the list of those that have something to post. */
void peer_touch(struct peer *peer);

/* Posts what may go: frames within credits, and credits that are due. */
void peer_push(struct peer *peer);

/* A frame of it was given back, and its receive is posted again. */
void peer_credit(struct peer *peer);

/* A message has come. Returns whether it is a frame, which the peer now holds the slot of. */
bool peer_take(struct peer *peer, const uint8_t *bytes, const struct ibv_wc *completion);

/* Ends its link; frames that wait are dropped. */
void peer_end(struct peer *peer);

/* Ends all that broke the rules or whose link failed. */
void peers_sweep(struct rdma_queue *q);

/* Ends those that are silent. */
void peers_look(struct rdma_queue *q, uint64_t now_ns);

/* What the link hub calls. */
void peers_link_changed(void *context, struct link *link);

/* --- port_rdma.c --- */

/* What the device calls when a slot's request has completed. */
void send_done(struct link_work *work, struct link *link, const struct ibv_wc *completion);

void send_slot_free(struct rdma_queue *q, struct send_slot *slot);
void send_list_add(struct send_list *list, struct send_slot *slot);
struct send_slot *send_list_take(struct send_list *list);
