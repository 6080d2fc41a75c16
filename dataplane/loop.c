/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/loop.h"

#include "base/check.h"
#include "base/defs.h"

#include <errno.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/* Head and tail only grow; places between them hold frames. */
struct ring {
	uint8_t *bytes;  /* place_count times frame_size; NULL: this pair has no ring */
	uint32_t *sizes; /* by place */
	uint32_t place_count;
	alignas(CACHE_LINE) _Atomic uint32_t head; /* written by the sender */
	alignas(CACHE_LINE) _Atomic uint32_t tail; /* written by the receiver */
};

struct loop {
	uint32_t core_count;
	uint32_t frame_size;
	struct addr cores[PORT_QUEUE_MAX];
	struct ring rings[]; /* from core_count cores to each of as many */
};

static struct ring *ring_of(struct loop *loop, uint32_t from, uint32_t to)
{
	return &loop->rings[from * loop->core_count + to];
}

static int ring_init(struct ring *ring, uint32_t place_count, uint32_t frame_size)
{
	ring->place_count = place_count;
	ring->bytes = malloc((size_t)place_count * frame_size);
	ring->sizes = calloc(place_count, sizeof(*ring->sizes));
	return ring->bytes && ring->sizes ? 0 : -ENOMEM;
}

int loop_new(const struct addr *cores, uint32_t core_count, uint32_t frame_size, bool all,
	     struct loop **ret_loop)
{
	size_t size = sizeof(struct loop) + sizeof(struct ring) * core_count * core_count;
	struct loop *loop;
	int r = 0;

	CHECK(core_count && core_count <= PORT_QUEUE_MAX);
	loop = aligned_alloc(CACHE_LINE, align_up(size, CACHE_LINE));
	if (!loop)
		return -ENOMEM;
	memset(loop, 0, size);
	loop->core_count = core_count;
	loop->frame_size = frame_size;
	memcpy(loop->cores, cores, sizeof(*cores) * core_count);
	for (uint32_t from = 0; from < core_count; from++)
		for (uint32_t to = 0; to < core_count && !r; to++)
			if (from == to || all)
				r = ring_init(ring_of(loop, from, to),
					      from == to ? LOOP_OWN_MAX : LOOP_OTHER_MAX,
					      frame_size);
	if (r) {
		loop_free(loop);
		return r;
	}
	*ret_loop = loop;
	return 0;
}

void loop_free(struct loop *loop)
{
	if (!loop)
		return;
	for (uint32_t i = 0; i < loop->core_count * loop->core_count; i++) {
		free(loop->rings[i].bytes);
		free(loop->rings[i].sizes);
	}
	free(loop);
}

bool loop_send(struct loop *loop, uint32_t from, const struct addr *to, const void *head,
	       size_t head_size, const void *body, size_t body_size)
{
	/* Queue i has UDP port base + i, but a port that was asked for any has none in a row. */
	uint32_t core = 0;
	struct ring *ring;
	uint32_t at;
	uint8_t *bytes;
	uint32_t head_at;

	while (core < loop->core_count && !addr_equal(&loop->cores[core], to))
		core++;
	if (core == loop->core_count)
		return false;
	ring = ring_of(loop, from, core);
	if (!ring->bytes)
		return false;
	head_at = atomic_load_explicit(&ring->head, memory_order_relaxed); /* own index */
	/* Acquire: a place is overwritten only after it was released. Pairs with loop_release(). */
	if (head_at - atomic_load_explicit(&ring->tail, memory_order_acquire) == ring->place_count)
		return true; /* dropped */
	CHECK(head_size + body_size <= loop->frame_size);
	at = head_at & (ring->place_count - 1);
	bytes = ring->bytes + (size_t)at * loop->frame_size;
	memcpy(bytes, head, head_size);
	if (body_size)
		memcpy(bytes + head_size, body, body_size);
	ring->sizes[at] = (uint32_t)(head_size + body_size);
	/* Release: the frame is there before the index says so. Pairs with loop_receive(). */
	atomic_store_explicit(&ring->head, head_at + 1, memory_order_release);
	return true;
}

unsigned loop_receive(struct loop *loop, uint32_t to, struct port_frame *frames, unsigned count)
{
	unsigned done = 0;

	for (uint32_t from = 0; from < loop->core_count; from++) {
		struct ring *ring = ring_of(loop, from, to);
		uint32_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed); /* own */
		/* Acquire: the frames are read after the index. Pairs with loop_send(). */
		uint32_t head = atomic_load_explicit(&ring->head, memory_order_acquire);

		for (; tail != head && done < count; tail++) {
			uint32_t at = tail & (ring->place_count - 1);

			frames[done++] = (struct port_frame){
				.from = loop->cores[from],
				.size = ring->sizes[at],
				.bytes = ring->bytes + (size_t)at * loop->frame_size,
				.cookie = ring,
			};
		}
	}
	return done;
}

void loop_release(struct loop *loop, struct port_frame *frames, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		struct ring *ring = frames[i].cookie;
		uint32_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed); /* own */

		/* Release: the place was read before it is given back. Pairs with loop_send(). */
		atomic_store_explicit(&ring->tail, tail + 1, memory_order_release);
	}
}

bool loop_waits(const struct loop *loop, uint32_t core)
{
	const struct ring *ring = &loop->rings[core * loop->core_count + core];

	/* Both indexes are the core's own. */
	return atomic_load_explicit(&ring->head, memory_order_relaxed) !=
	       atomic_load_explicit(&ring->tail, memory_order_relaxed);
}
