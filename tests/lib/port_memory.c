/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/port_memory.h"

#include "base/check.h"

#include <stdlib.h>
#include <string.h>

static struct port_memory *port_of(struct port_queue *queue)
{
	return (struct port_memory *)queue;
}

static unsigned receive(struct port_queue *queue, struct port_frame *frames, unsigned count)
{
	struct port_memory *port = port_of(queue);
	unsigned done = 0;

	for (; done < count && port->head != port->tail; done++) {
		struct port_memory_frame *frame =
			&port->frames[port->head++ % PORT_MEMORY_FRAME_MAX];

		frames[done] = (struct port_frame){
			.from = port->peer->queue.local,
			.size = frame->size,
			.bytes = frame->bytes,
			.cookie = frame,
		};
		port->out++;
		queue->stats.frames_received++;
	}
	return done;
}

static void release(struct port_queue *queue, struct port_frame *frames, unsigned count)
{
	struct port_memory *port = port_of(queue);

	CHECK(count <= port->out);
	port->out -= count;
	for (unsigned i = 0; i < count; i++)
		memset(((struct port_memory_frame *)frames[i].cookie)->bytes, 0xdd,
		       PORT_MEMORY_FRAME_SIZE);
}

static void send_frame(struct port_queue *queue, const struct addr *to, const void *head,
		       size_t head_size, const void *body, size_t body_size)
{
	struct port_memory *peer = port_of(queue)->peer;
	struct port_memory_frame *frame;

	CHECK(addr_equal(to, &peer->queue.local));
	CHECK(head_size + body_size <= PORT_MEMORY_FRAME_SIZE);
	if (peer->tail - peer->head + peer->out == PORT_MEMORY_FRAME_MAX) {
		peer->dropped++;
		return;
	}
	frame = &peer->frames[peer->tail++ % PORT_MEMORY_FRAME_MAX];
	frame->size = (uint32_t)(head_size + body_size);
	memcpy(frame->bytes, head, head_size);
	if (body_size)
		memcpy(frame->bytes + head_size, body, body_size);
	queue->stats.frames_sent++;
}

static void flush(struct port_queue *queue)
{
}

static int wait_fd(struct port_queue *queue)
{
	return -1;
}

static const struct port_ops ops = {
	.receive = receive,
	.release = release,
	.send = send_frame,
	.flush = flush,
	.wait_fd = wait_fd,
};

static void init_one(struct port_memory *port, struct port_memory *peer, uint16_t udp_port)
{
	memset(port, 0, sizeof(*port));
	port->queue.ops = &ops;
	port->queue.frame_size = PORT_MEMORY_FRAME_SIZE;
	CHECK(addr_parse("127.0.0.1", udp_port, &port->queue.local) == 0);
	port->peer = peer;
	port->frames = calloc(PORT_MEMORY_FRAME_MAX, sizeof(*port->frames));
	CHECK(port->frames);
}

void port_memory_init(struct port_memory *a, struct port_memory *b)
{
	init_one(a, b, 1);
	init_one(b, a, 2);
}

void port_memory_deinit(struct port_memory *port)
{
	CHECK(port->out == 0);
	free(port->frames);
}
