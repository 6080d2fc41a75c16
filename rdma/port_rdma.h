/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Port RDMA - a port over reliable connections: no network stack, no DPDK
 *
 * The frames are the same bytes as on UDP, one SEND each. A queue has a link hub,
 * a shared receive queue and a completion queue of its own, and listens, when it is
 * a node's, at base port + i. Where a frame goes is an address as everywhere;
 * a link to it is made by the first frame that goes there, and again after it
 * ended. Frames wait meanwhile, up to a bound; what is above is dropped and counted.
 *
 *      port_send -> send slot --flush, within credits--> SEND -> completion -> free slot
 *      SEND -> receive slot -> port_receive, lent -> port_release -> posted again, credit owed
 *
 * A peer may have so many frames under way as it has credits, and gets one back
 * for each frame whose slot was posted again: in the immediate data of frames that go
 * there anyway, else in a message of their own. So there is a receive for
 * everything that may come, and nobody is ever told "receiver not ready".
 * docs/format/rdma_frames.md has the bytes and the argument.
 *
 * An address' port is that of the node's core, as on UDP. Links for frames are made
 * PORT_RDMA_OFFSET above it: at the port itself a node listens for readers of its memory.
 *
 * A frame's 'from' is where the peer listens, or for who doesn't (a client) a name that it made
 * up when it opened its port, so that it is known again on a new link. Answers to it go
 * over the link it came by.
 *
 * Threads: as port.h says.
 */

#include "proto/port.h"
#include "rdma/link.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Frames that a peer may have under way to a queue. */
#define PORT_RDMA_WINDOW_MAX     1024
#define PORT_RDMA_WINDOW_DEFAULT 32

/* Links of a queue; each takes 'window' receives of 'frame_size'. */
#define PORT_RDMA_LINK_MAX 1024

/* More than a node has cores, so that none of its ports is another's plus the offset. */
#define PORT_RDMA_OFFSET PORT_QUEUE_MAX

/* How long a dial may take. */
#define PORT_RDMA_DIAL_NS UINT64_C(3000000000)

/* A link on which nothing comes for so long, or twice as long, is ended: its peer may be gone. */
#define PORT_RDMA_SILENCE_NS UINT64_C(60000000000)

/* How long closing waits for what was sent to arrive. */
#define PORT_RDMA_LINGER_NS UINT64_C(200000000)

struct port_rdma_config {
	struct device *device; /* borrowed until the port is closed, which takes its events */
	/* Where queue 0 is reached; queue i has port + i, with port 0 each one a free port. */
	struct addr local;
	bool listen;              /* false: 'local' is of no matter, we only dial */
	uint32_t queue_count;     /* 1 to PORT_QUEUE_MAX */
	uint32_t frame_size;      /* 0: SESSION_FRAME_SIZE_MAX */
	uint32_t link_max;        /* of a queue, 1 to PORT_RDMA_LINK_MAX */
	uint32_t window;          /* 0: PORT_RDMA_WINDOW_DEFAULT */
	uint64_t node;            /* ours; 0 for a client */
	const uint8_t *secret;    /* LINK_SECRET_SIZE bytes, copied; NULL: none */
	uint64_t seed;            /* of nonces and names, for tests; 0: random */
	uint64_t (*now_ns)(void); /* for tests; NULL: clock_now_ns() */
	/* Called with true before, and with false after, what may take memory: links that come. */
	void (*allocates)(bool begins); /* NULL: nobody wants to know */
};

/*
 * Takes all slots and registers them, and listens.
 *
 * Returns 0, or a negative errno and a text in 'error' that says what failed
 * where and what to do.
 */
int port_rdma_open(const struct port_rdma_config *config, struct port **ret_port, char *error,
		   size_t error_size);

#define PORT_RDMA_STAT_LIST(PORT_RDMA_STAT)                                                        \
	PORT_RDMA_STAT(links_dialled)                                                              \
	PORT_RDMA_STAT(links_accepted)                                                             \
	PORT_RDMA_STAT(links_ended)                                                                \
	PORT_RDMA_STAT(links_refused)   /* no place for one more */                                \
	PORT_RDMA_STAT(links_broken)    /* ended by us, for a breach of the format */              \
	PORT_RDMA_STAT(doorbells)       /* batches posted */                                       \
	PORT_RDMA_STAT(credit_messages) /* credits that found no frame to ride on */               \
	PORT_RDMA_STAT(credit_waits)    /* batches cut short because credits were out */           \
	PORT_RDMA_STAT(receives_lost)   /* that a broken device didn't take back */

struct port_rdma_stats {
#define PORT_RDMA_STAT_FIELD(name) uint64_t name;
	PORT_RDMA_STAT_LIST(PORT_RDMA_STAT_FIELD)
#undef PORT_RDMA_STAT_FIELD
	uint32_t links; /* that are ready, now */
};

/* Of a queue of a port that port_rdma_open() made. */
struct port_rdma_stats port_rdma_stats(const struct port_queue *queue);

/* Why the last link that could not be made wasn't, or ended: one line, or "". */
const char *port_rdma_why(const struct port_queue *queue);
