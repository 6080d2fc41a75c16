/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Sim net - a datagram network in memory, with its own time
 *
 * Frames wait in a heap by the time at which they arrive. A link loses,
 * doubles, delays and corrupts them as its seed says; equal seeds and equal
 * sends give equal deliveries. Every frame has an allocation of exactly its
 * size, so that a sanitizer sees each overread.
 */

#include "base/addr.h"
#include "base/rand.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SIM_NET_HOST_MAX 16

/* Chances are in thousandths. */
struct sim_link {
	unsigned loss;
	unsigned duplicate;
	unsigned corrupt;
	unsigned cut;  /* loses its tail */
	unsigned late; /* is delayed by up to 'late_ns' */
	uint64_t late_ns;
	uint64_t delay_ns;  /* of every frame */
	uint64_t jitter_ns; /* up to so much more: what reorders */
};

/* A frame arrives; it is borrowed for the call. */
typedef void sim_net_deliver_fn(void *context, const struct addr *from, const uint8_t *bytes,
				size_t size);

/* Looks at a frame that is sent; false loses it. */
typedef bool sim_net_filter_fn(void *context, const struct addr *to, const uint8_t *bytes,
			       size_t size);

struct sim_frame {
	uint64_t due_ns;
	uint64_t order; /* equal times arrive in the order of sending */
	struct addr from, to;
	size_t size;
	uint8_t *bytes;
};

struct sim_host {
	struct addr addr;
	sim_net_deliver_fn *deliver; /* NULL: nobody is there, frames are lost */
	void *context;
};

struct sim_net {
	struct rand rand;
	struct sim_link link;
	uint64_t now_ns;
	uint64_t order;
	struct sim_host hosts[SIM_NET_HOST_MAX];
	unsigned host_count;
	struct sim_frame *frames; /* a binary heap */
	size_t frame_count, frame_capacity;
	sim_net_filter_fn *filter; /* NULL: none */
	void *filter_context;
	uint64_t sent, lost, duplicated, corrupted;
};

void sim_net_init(struct sim_net *net, uint64_t seed, const struct sim_link *link);
void sim_net_deinit(struct sim_net *net);

/* Adds a host; returns its number. */
unsigned sim_net_attach(struct sim_net *net, const struct addr *addr, sim_net_deliver_fn *deliver,
			void *context);

void sim_net_send(struct sim_net *net, const struct addr *from, const struct addr *to,
		  const void *head, size_t head_size, const void *body, size_t body_size);

/* When the next frame arrives; UINT64_MAX when none is under way. */
uint64_t sim_net_due_ns(const struct sim_net *net);

/* Delivers the next frame and moves the time to it; false when none is under way. */
bool sim_net_step(struct sim_net *net);
