/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Loop - frames from a node's cores to themselves
 *
 * A coordinating core asks the node's own shards as it asks all others: by frames
 * to their cores. A frame to its own core never leaves the core. One to another
 * core of the node goes by a ring between the two when the port can't bring it
 * (a network card doesn't hear itself); a socket port leaves it to the kernel,
 * which also wakes the other core.
 *
 *      core 0 --ring 0,0--> core 0      (always)
 *      core 0 --ring 0,1--> core 1      (ports that can only be polled)
 *
 * A ring has few places; what doesn't fit is dropped, as on a wire: sessions
 * repeat it.
 *
 * Threads: core 'from' sends, core 'to' receives and releases; loop_new() before,
 * loop_free() after them.
 */

#include "base/addr.h"
#include "proto/port.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct loop;

/* Frames that wait from a core to itself, and from one to another; powers of two. */
#define LOOP_OWN_MAX   64
#define LOOP_OTHER_MAX 16

/* Copies the cores' addresses. 'all': between cores too. Returns 0 or -ENOMEM. */
int loop_new(const struct addr *cores, uint32_t core_count, uint32_t frame_size, bool all,
	     struct loop **ret_loop);
void loop_free(struct loop *loop);

/* True when the loop carries frames from 'from' to 'to', and has taken (or dropped) this one. */
bool loop_send(struct loop *loop, uint32_t from, const struct addr *to, const void *head,
	       size_t head_size, const void *body, size_t body_size);

/* Up to 'count' frames for core 'to', which it borrows until loop_release() of all of them. */
unsigned loop_receive(struct loop *loop, uint32_t to, struct port_frame *frames, unsigned count);
void loop_release(struct loop *loop, struct port_frame *frames, unsigned count);

/* Does a frame of its own wait for the core? */
bool loop_waits(const struct loop *loop, uint32_t core);
