/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Live_member - a sealed segment or a growing index, and who of it is dead
 *
 * A node's time of death is written before the time itself is released, so that
 * whoever has acquired a time knows all who died until then. The count of the dead
 * is raised after that: a count read before a time is never too high for it.
 *
 * Threads: the writer's, but for what is atomic, which searches and live_build() read.
 */

#include "hnsw/build.h"
#include "hnsw/growing.h"
#include "hnsw/segment.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct live_member {
	struct growing *growing;  /* owned; NULL: sealed */
	struct segment segment;   /* owned, when sealed */
	struct build_image image; /* owned: the segment's bytes, when it was built here */
	uint64_t *died;           /* of each node, 0: it lives; owned, pages as they are touched */
	size_t died_size;         /* bytes reserved */
	_Atomic bool has_dead;    /* set before the first death's time is released */
	_Atomic uint32_t dead_count;
	uint32_t set_count;       /* sets it is in; the writer's */
	bool merging;             /* a merge has begun with it; the writer's */
	struct live_member *next; /* in the list of what is to be freed */
};

/* An empty growing member. Returns 0, -EINVAL or -ENOMEM. */
int live_member_new_growing(const struct growing_options *options, struct live_member **ret_member);

/* Takes the segment and the image (NULL: the segment owns its bytes). Returns 0 or -ENOMEM. */
int live_member_new_sealed(const struct segment *segment, const struct build_image *image,
			   struct live_member **ret_member);
void live_member_free(struct live_member *member);

/* Nodes, the dead included. */
uint32_t live_member_count(const struct live_member *member);

static inline uint32_t live_member_dead(const struct live_member *member)
{
	return atomic_load_explicit(&member->dead_count, memory_order_relaxed);
}

static inline uint32_t live_member_alive(const struct live_member *member)
{
	return live_member_count(member) - live_member_dead(member);
}

/* Bytes of it, times of death included. */
uint64_t live_member_size(const struct live_member *member);

/* The node that lives under the label, if there is one. */
bool live_member_find(const struct live_member *member, uint32_t label, uint32_t *ret_node);

/* Notes the death; the time is released after it, and then it is counted. */
void live_member_kill(struct live_member *member, uint32_t node, uint64_t time);
void live_member_count_dead(struct live_member *member);

/* Did the node live at 'time', which has been acquired? */
static inline bool live_member_lived(const struct live_member *member, uint32_t node, uint64_t time)
{
	return __atomic_load_n(&member->died[node], __ATOMIC_RELAXED) - 1 >= time;
}

/* The member as of 'time', as a search sees it. Borrows. */
void live_member_view(const struct live_member *member, uint64_t time, struct segment *ret_view);
