/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Port memory over RDMA: what tests do with two queues joined in memory happens on two ports of
 * verbs devices in memory, with links, credits and lent receives. Linked in the place of
 * port_memory.c, it runs the same tests on them.
 */

#include "base/check.h"
#include "rdma/port_rdma.h"
#include "tests/lib/fake_verbs.h"
#include "tests/lib/port_memory.h"

#include <stdio.h>

static struct device *device;
static unsigned port_count;

static struct port_memory *port_of(struct port_queue *queue)
{
	return (struct port_memory *)queue;
}

static struct port_queue *carrier_of(struct port_queue *queue)
{
	return port_queue(port_of(queue)->carrier, 0);
}

static unsigned receive(struct port_queue *queue, struct port_frame *frames, unsigned count)
{
	unsigned received = port_receive(carrier_of(queue), frames, count);

	/* Memory needs no flush, so the tests have none; what waited for credits goes now. */
	port_flush(carrier_of(queue));
	port_of(queue)->out += received;
	queue->stats = carrier_of(queue)->stats;
	return received;
}

static void release(struct port_queue *queue, struct port_frame *frames, unsigned count)
{
	CHECK(count <= port_of(queue)->out);
	port_of(queue)->out -= count;
	port_release(carrier_of(queue), frames, count);
}

static void send_frame(struct port_queue *queue, const struct addr *to, const void *head,
		       size_t head_size, const void *body, size_t body_size)
{
	port_send(carrier_of(queue), to, head, head_size, body, body_size);
	port_flush(carrier_of(queue));
}

static void flush(struct port_queue *queue)
{
	port_flush(carrier_of(queue));
	queue->stats = carrier_of(queue)->stats;
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

static void init_one(struct port_memory *port, uint16_t udp_port)
{
	struct port_rdma_config config = {
		.device = device,
		.listen = true,
		.queue_count = 1,
		.frame_size = PORT_MEMORY_FRAME_SIZE,
		.link_max = 2,
		.seed = udp_port,
	};
	char error[DEVICE_ERROR_MAX];

	*port = (struct port_memory){0};
	CHECK(addr_parse("10.77.0.1", udp_port, &config.local) == 0);
	CHECK(port_rdma_open(&config, &port->carrier, error, sizeof(error)) == 0);
	port->queue.ops = &ops;
	port->queue.frame_size = PORT_MEMORY_FRAME_SIZE;
	port->queue.local = port_queue(port->carrier, 0)->local;
	port_count++;
}

void port_memory_init(struct port_memory *a, struct port_memory *b)
{
	struct device_options options = {.gid_index = -1};
	const struct verbs_ops *verbs =
		fake_verbs_new(&(struct fake_verbs_config){.seed = 1, .devices = 1});
	char error[DEVICE_ERROR_MAX];

	CHECK(port_count == 0);
	CHECK(device_open(verbs, &options, &device, error, sizeof(error)) == 0);
	init_one(a, 1);
	init_one(b, 2);
}

void port_memory_deinit(struct port_memory *port)
{
	CHECK(port->out == 0);
	port_close(port->carrier);
	if (--port_count > 0)
		return;
	CHECK(fake_verbs_not_ready() == 0);
	device_close(device);
	CHECK(fake_verbs_live() == 0);
}
