/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Live - the vectors of one shard, searched while they come, change and go
 *
 * A set of members: sealed segments, and growing indexes of which the last takes
 * what comes. Each member has a time of death for every node.
 *
 *      put -----> active growing index ---full---> frozen ---+
 *                                                            | live_build(), on
 *      delete --> time of death                              | a worker thread
 *                                                            v
 *                 sealed segments <--- swapped in --- one sealed segment
 *
 * Time is a number that every change counts up by one. A search is of the moment
 * it began: it has what was born until then and had not died. So it sees
 * exactly one version of a label that is being replaced, whatever the writer does
 * meanwhile, and finds k vectors while k live.
 *
 * Nobody waits for anybody. A search pins the set it works on by naming it in a
 * slot of its own (a hazard pointer); the writer publishes a changed set beside it
 * and gives an old one up when no slot names it. The order of reads that makes a
 * search consistent stands in live_search.c.
 *
 * Merging drops the dead and builds the graph anew, so a merged segment is byte
 * for byte what a build of the same vectors gives. It begins when the dead pass a
 * share of all, or when a growing index is full; with it go the segments that are
 * not much larger, so that there are few. Deaths that arrive meanwhile are noted
 * and carried over, some at a time.
 *
 * The same calls in the same order, live_work() and live_build() among them, give
 * the same bytes.
 *
 * Threads: one writer, which makes all calls but those of live_search.h, and
 * live_build(), which any one other thread may make (or the writer).
 */

#include "hnsw/build.h"
#include "hnsw/segment.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Segments and growing indexes of one shard. */
#define LIVE_MEMBER_MAX 16

/* Searches, under way or not, that one shard can have. */
#define LIVE_SEARCH_MAX 1024

/* What live_options.dead_percent 0 means: memory stays within a tenth of a fresh build's. */
#define LIVE_DEAD_PERCENT 6

struct live;

enum {
	LIVE_E_ABSENT = 1, /* no vector has the label */
	LIVE_E_VALUE,      /* a value that is not finite, or that the type can't hold */
	LIVE_E_FULL,       /* vector_max vectors live */
	LIVE_E_BUSY,       /* no room until a merge is done: live_work() and live_build() first */
	LIVE_E_IDLE,       /* nothing waits to be built */
};

struct live_options {
	enum metric metric;
	uint32_t dim;
	uint32_t vector_max;   /* vectors that live at a time */
	uint32_t growing_max;  /* vectors of one growing index; memory is taken as they come */
	uint32_t dead_percent; /* merge when more of all nodes are dead; 0: LIVE_DEAD_PERCENT */
	struct build_options build; /* of segments; metric is this one's, generations count on */
};

/* What live_work() leaves to be done. */
enum live_need {
	LIVE_NEED_NOTHING,
	LIVE_NEED_WORK,  /* live_work() again */
	LIVE_NEED_BUILD, /* live_build() */
};

struct live_stats {
	uint64_t vectors;  /* that live */
	uint64_t dead;     /* nodes still there */
	uint64_t size;     /* bytes of all members */
	uint32_t sealed;   /* members */
	uint32_t growing;  /* members, the active one included */
	uint64_t merges;   /* since live_new() */
	uint64_t searches; /* that pin a set at this moment */
};

/* Returns 0, -EINVAL or -ENOMEM. */
int live_new(const struct live_options *options, struct live **ret_live);

/* No search and no live_build() is under way, and all searches are freed. */
void live_free(struct live *live);

/*
 * Adds a sealed segment that was built or opened, of other labels than those that
 * live. Takes the segment and 'image' (NULL: the segment owns its bytes), when it succeeds.
 * Returns 0, -EINVAL, LIVE_E_FULL, LIVE_E_BUSY or -ENOMEM.
 */
int live_adopt(struct live *live, const struct segment *segment, const struct build_image *image);

/*
 * Gives the label this vector (dim floats), in place of the one it has. A search that
 * begins later finds it. Returns 0, LIVE_E_VALUE, LIVE_E_FULL, LIVE_E_BUSY
 * or -ENOMEM; unless 0 nothing has changed.
 */
int live_put(struct live *live, uint32_t label, const float *vector);

/* Returns 0, LIVE_E_ABSENT or -ENOMEM. */
int live_delete(struct live *live, uint32_t label);

bool live_has(const struct live *live, uint32_t label);

/*
 * One slice of what is to be done: a merge is begun, some deaths are carried
 * over, a merged segment is swapped in, a set nobody searches is given up. Its time doesn't
 * grow with the number of vectors.
 *
 * Returns 0, or a negative errno when a merge failed; everything is then as it was before it,
 * and the next call tries again.
 */
int live_work(struct live *live, enum live_need *ret_need);

/*
 * Builds what live_work() has begun, and frees members nobody searches: seconds, on a worker
 * thread. Returns 0, or LIVE_E_IDLE when there was nothing to do.
 */
int live_build(struct live *live);

/* Asks for all that is there to become one sealed segment, by live_work() and live_build(). */
void live_settle(struct live *live);

struct live_stats live_stats(const struct live *live);

/* The 'index'-th sealed member, or NULL. Borrows until the next live_work(). */
const struct segment *live_segment(const struct live *live, uint32_t index);
