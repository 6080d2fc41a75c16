/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Port - what moves frames
 *
 * A port has one queue a core. Queue i owns the UDP port base + i: what is sent
 * there comes out of that queue, by the card's steering where it can, else by a
 * software hand-over. A frame here is a UDP payload; what carries it (Ethernet,
 * ARP, IP, checksums; or a kernel socket) is the port's own business.
 *
 * Three kinds, in three libraries: port_dpdk.h over any DPDK ethdev, port_socket.h
 * over kernel UDP sockets, port_rdma.h over verbs. The bytes of the frames are the
 * same on all.
 *
 * Threads: opening and closing before and after the cores run; a queue belongs
 * to its core.
 */

#include "base/addr.h"
#include "base/check.h"

#include <stddef.h>
#include <stdint.h>

/* Frames one burst hands over at most. */
#define PORT_BURST_MAX 32

/* Queues, and with them cores, of one port. */
#define PORT_QUEUE_MAX 64

/* Characters of an error text, final zero included, that a port's opening can need. */
#define PORT_ERROR_TEXT_MAX 512

struct port_queue;

struct port_frame {
	struct addr from;
	uint32_t size;
	const uint8_t *bytes; /* borrows from the port until port_release() */
	void *cookie;         /* the port's own */
};

#define PORT_STAT_LIST(PORT_STAT)                                                                  \
	PORT_STAT(frames_received)                                                                 \
	PORT_STAT(bytes_received)                                                                  \
	PORT_STAT(frames_sent)                                                                     \
	PORT_STAT(bytes_sent)                                                                      \
	PORT_STAT(frames_dropped_send)    /* queue full, no buffer, or no route yet */             \
	PORT_STAT(frames_dropped_receive) /* bad checksum, cut short, not for us */                \
	PORT_STAT(frames_handed_over)     /* from one queue to another in software */

struct port_stats {
#define PORT_STAT_FIELD(name) uint64_t name;
	PORT_STAT_LIST(PORT_STAT_FIELD)
#undef PORT_STAT_FIELD
};

/* First member of every port's own queue structure. */
struct port_queue {
	const struct port_ops *ops;
	struct port_stats stats;
	struct addr local;   /* where this queue is reached */
	uint32_t frame_size; /* largest UDP payload */
};

struct port_ops {
	unsigned (*receive)(struct port_queue *queue, struct port_frame *frames, unsigned count);
	void (*release)(struct port_queue *queue, struct port_frame *frames, unsigned count);
	void (*send)(struct port_queue *queue, const struct addr *to, const void *head,
		     size_t head_size, const void *body, size_t body_size);
	void (*flush)(struct port_queue *queue);
	int (*wait_fd)(struct port_queue *queue);
};

/* First member of every port's own structure. */
struct port {
	void (*close)(struct port *port);
	uint32_t queue_count;
	struct port_queue *queues[PORT_QUEUE_MAX]; /* owned by the port */
};

/* The queue of core 'index'; borrows from the port. */
static inline struct port_queue *port_queue(struct port *port, uint32_t index)
{
	CHECK(index < port->queue_count);
	return port->queues[index];
}

/* Closes all queues and frees the port; its frames are gone. NULL is fine. */
static inline void port_close(struct port *port)
{
	if (port)
		port->close(port);
}

/*
 * Hands over up to 'count' frames, PORT_BURST_MAX at most; each has to be given
 * back by port_release(), in any order and number.
 */
static inline unsigned port_receive(struct port_queue *queue, struct port_frame *frames,
				    unsigned count)
{
	return queue->ops->receive(queue, frames, count);
}

static inline void port_release(struct port_queue *queue, struct port_frame *frames, unsigned count)
{
	queue->ops->release(queue, frames, count);
}

/*
 * Copies head and body into one frame and queues it. A frame that can't go out
 * is dropped and counted: sessions repeat what is lost.
 */
static inline void port_send(struct port_queue *queue, const struct addr *to, const void *head,
			     size_t head_size, const void *body, size_t body_size)
{
	queue->ops->send(queue, to, head, head_size, body, body_size);
}

/*
 * Puts everything queued on the wire. What the wire can't take at this moment
 * stays queued, in order, for the next flush.
 */
static inline void port_flush(struct port_queue *queue)
{
	queue->ops->flush(queue);
}

/*
 * A descriptor that becomes readable when frames wait, for an idle core's
 * epoll; -1 when the port can only be polled. It is always the same, but has to
 * be asked for again after the last port_receive() and before each wait: a port
 * may have to be told that somebody is going to sleep.
 */
static inline int port_wait_fd(struct port_queue *queue)
{
	return queue->ops->wait_fd(queue);
}
