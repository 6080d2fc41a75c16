/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Live_set - what live.c, live_merge.c and live_search.c share
 *
 * Threads: see each member; the rest is the writer's.
 */

#include "base/defs.h"
#include "hnsw/live.h"
#include "hnsw/live_member.h"
#include "hnsw/live_search.h"

#include <stdatomic.h>
#include <stdint.h>

/* Doesn't change once it is published. */
struct live_set {
	struct live_member *members[LIVE_MEMBER_MAX]; /* the last one is the active growing index */
	uint32_t member_count;
	struct live_set *next; /* among those given up but perhaps still searched; the writer's */
};

/* A search's: which set it works on. In a cache line of its own. */
struct live_slot {
	_Alignas(CACHE_LINE) _Atomic(struct live_set *) pinned;
	_Atomic bool taken;
};

enum live_job_state {
	LIVE_JOB_NONE,
	LIVE_JOB_READY,   /* begun by the writer; live_build() may take it */
	LIVE_JOB_RUNNING, /* live_build() has it */
	LIVE_JOB_DONE,    /* the result is the writer's to swap in */
};

/* One merge. Who has it is 'state': a change releases all else, a look acquires it. */
struct live_job {
	_Atomic enum live_job_state state;
	struct live_member *sources[LIVE_MEMBER_MAX];
	uint32_t source_count;
	bool everything; /* all that there was is merged */
	uint64_t time;   /* the sources as of then are merged */
	uint64_t generation;
	struct live_member *result; /* NULL: nothing lived */
	int error;
	/* The writer's: labels of sources' nodes that died since. */
	uint32_t *late; /* owned */
	uint32_t late_count;
	uint32_t late_max;
	uint32_t late_done; /* carried over */
};

struct live {
	struct live_options options;
	_Atomic uint64_t time;              /* released by every change, after all of it */
	_Atomic(struct live_set *) current; /* owned */
	struct live_slot slots[LIVE_SEARCH_MAX];
	struct live_set *given_up; /* owned */
	/* Members that nobody searches: pushed by the writer, freed by live_build(). */
	_Atomic(struct live_member *) trash;
	struct live_job job;
	uint64_t vectors; /* that live */
	uint64_t merges;
	uint64_t growing_number; /* growing indexes so far: each has a seed of its own */
	bool settling;
};

/* The writer's own look at what it has published. */
static inline struct live_set *live_current(const struct live *live)
{
	return atomic_load_explicit(&live->current, memory_order_relaxed);
}

/*
 * How a search begins, in two halves so that a test can come between: the current set is
 * pinned; then the moment is taken, unless the set has been replaced meanwhile.
 */
struct live_set *live_search_pin(struct live_search *search);
bool live_search_take_moment(struct live_search *search, const struct live_set *set);

/* Publishes 'members', of which the last is the active one. Returns 0 or -ENOMEM. */
int live_publish(struct live *live, struct live_member *const *members, uint32_t count);

/* Freezes the active member and puts an empty one behind it. Returns 0, LIVE_E_BUSY or -ENOMEM. */
int live_rotate(struct live *live);

/* Begins, carries on or ends a merge; see live_work(). */
int live_merge_step(struct live *live, enum live_need *ret_need);

/* Room to note one death more, if a merge must know of it. Returns 0 or -ENOMEM. */
int live_merge_reserve(struct live *live);

/* Notes a death in a member that is being merged. */
void live_merge_note(struct live *live, const struct live_member *member, uint32_t label);
