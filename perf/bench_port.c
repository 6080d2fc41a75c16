/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Bench_port - our port's echo against a bare one on the same device
 *
 * Bare moves bursts of packet buffers and reads no header. Ours moves the same
 * frames as UDP payloads through struct port: headers, checksums, neighbours,
 * statistics.
 */

#include "base/check.h"
#include "perf/lib/echo_bench.h"

#include <stdlib.h>

static void port_echo_serve(struct port_queue *queue, const atomic_bool *stop)
{
	struct port_frame frames[PORT_BURST_MAX];

	while (!atomic_load_explicit(stop, memory_order_relaxed)) {
		unsigned count = port_receive(queue, frames, PORT_BURST_MAX);

		if (count == 0)
			continue;
		for (unsigned i = 0; i < count; i++)
			port_send(queue, &frames[i].from, frames[i].bytes, frames[i].size, NULL, 0);
		port_release(queue, frames, count);
		port_flush(queue);
	}
}

struct asker {
	struct port_queue *queue;
	struct addr to;
	uint32_t size;
};

static unsigned ask_send(void *context, unsigned count)
{
	static uint8_t bytes[16384];
	const struct asker *asker = context;
	uint64_t before = asker->queue->stats.frames_sent;

	for (unsigned i = 0; i < count; i++)
		port_send(asker->queue, &asker->to, bytes, asker->size, NULL, 0);
	port_flush(asker->queue);
	return (unsigned)(asker->queue->stats.frames_sent - before);
}

static unsigned ask_poll(void *context)
{
	const struct asker *asker = context;
	struct port_frame frames[PORT_BURST_MAX];
	unsigned count = port_receive(asker->queue, frames, PORT_BURST_MAX);

	port_release(asker->queue, frames, count);
	return count;
}

static void *ask_open(struct port_queue *queue, const struct addr *to, uint32_t size)
{
	struct asker *asker = malloc(sizeof(*asker));

	CHECK(asker);
	*asker = (struct asker){.queue = queue, .to = *to, .size = size};
	return asker;
}

static const struct echo_load_ops ask_ops = {.send = ask_send, .poll = ask_poll};

static const uint32_t sizes[] = {64, 1024, UINT32_MAX, 0};

static const struct echo_way way = {.name = "echo",
				    .unit = "frames/s",
				    .sizes = sizes,
				    .serve = port_echo_serve,
				    .open = ask_open,
				    .ops = &ask_ops,
				    .close = free};

int main(int argc, char **argv)
{
	return echo_bench_main(argc, argv, &way);
}
