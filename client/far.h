/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Far - the shards of a question that this program searches itself, in their owners' memory
 *
 * Between a client's questions and cluster/one_sided.h. A question names its shards; those
 * that can be read are searched here, the others, and those whose reading fails, are handed
 * back, to be asked of their owners:
 *
 *      far_begin() -> far_advance() ... until far_is_done() -> far_rest(), far_hits()
 *
 * A shard's first question waits while the reading of it is being set up; later ones don't.
 *
 * Threads: a far and its questions belong to their client's thread.
 */

#include "cluster/gather.h"
#include "cluster/one_sided.h"

#include <stdbool.h>
#include <stdint.h>

struct far;
struct verbs_ops;

/* Searches of one shard that are under way at a time, when nothing else is said. */
#define FAR_IN_FLIGHT 16

/* Candidates whose rows are asked for ahead, when nothing else is said. */
#define FAR_BREADTH 8

/* Bytes of a reader's memory, when nothing else is said. */
#define FAR_MEMORY ((uint64_t)64 << 20)

struct far_config {
	const struct verbs_ops *ops; /* borrowed; NULL: no verbs */
	const char *device;          /* of verbs; NULL: the first that is up */
	bool shm;                    /* try shared memory */
	bool huge;                   /* readers' memory in huge pages */
	uint64_t memory_size;        /* of each shard's reader; 0: FAR_MEMORY */
	const uint8_t *secret;       /* LINK_SECRET_SIZE bytes, copied; NULL: none */
};

/*
 * What a program's options say: 'verbs' is the device's name, NULL for the first that is up, or
 * "none" for shared memory alone; 'mib' is each reader's memory, 0 for the default. Borrows both
 * pointers.
 */
struct far_config far_config_of(const char *verbs, uint64_t mib, const uint8_t *secret);

/*
 * Opens the verbs device if there is one; without it there is shared memory.
 * Returns 0 or a negative errno: -ENODEV when the device that was named can't be opened.
 */
int far_new(const struct far_config *config, struct far **ret_far);

/* All calls must have come back. */
void far_free(struct far *far);

enum far_place {
	FAR_WANTED, /* to be asked, or waited for */
	FAR_ASKED,
	FAR_DONE,
	FAR_LEFT, /* to be asked of the owner */
};

/* What a question has of it. Zeroed: nothing. */
struct far_question {
	uint32_t shard_count;
	uint32_t *shards;        /* owned: numbers of one_sided_shard(), UINT32_MAX for none */
	uint32_t *vshards;       /* owned */
	enum far_place *places;  /* owned */
	float *vector;           /* owned */
	struct gather_hit *hits; /* owned: room for k of the shards and k of a gather */
	uint32_t capacity;       /* shards there is room for */
	uint32_t dim_capacity, k_capacity;
	uint32_t k, ef;
	uint32_t hit_count;
	uint32_t open_count; /* WANTED or ASKED */
	uint32_t answered;   /* shards that were searched here */
	uint64_t tag;        /* the client's: below 2^48 */
};

void far_question_deinit(struct far_question *question);

/* Takes up a question for 'count' vShards; copies all of it. Returns 0 or -ENOMEM. */
int far_begin(struct far *far, struct far_question *question, uint32_t collection,
	      const uint32_t *vshards, uint32_t count, const float *vector, uint32_t dim,
	      uint32_t k, uint32_t ef, uint64_t tag);

/* Asks the shards that can be asked now. */
void far_advance(struct far *far, struct far_question *question);

/* Has every shard been searched, or left to its owner? */
static inline bool far_is_done(const struct far_question *question)
{
	return question->open_count == 0;
}

/* Its time is over: shards under way are given up. */
void far_abandon(struct far *far, struct far_question *question);

/* Writes the vShards that are left to their owners; returns how many. */
uint32_t far_rest(const struct far_question *question, uint32_t *vshards);

/* Merges a gather's hits with those found here, into the question's. Returns how many there are. */
uint32_t far_merge(struct far_question *question, const struct gather_hit *hits, uint32_t count);

/*
 * Moves all reading along; calls of it carry 'tag_base' + a number below ONE_SIDED_SHARD_MAX and
 * come back by far_take(). 'answered' is called for each search that ended, with its question's
 * tag, and is to pass it on to far_answer().
 */
typedef void (*far_answered_fn)(void *context, uint64_t tag, uint32_t shard,
				const struct reader_answer *answer);
void far_run(struct far *far, struct route *route, const struct leg_ops *ops, void *ops_context,
	     uint64_t tag_base, far_answered_fn answered, void *context, uint64_t now_ns);
void far_take(struct far *far, struct route *route, uint32_t number,
	      const struct session_answer *answer, uint64_t now_ns);

/* The search of shard 'shard' of the question has ended. */
void far_answer(struct far_question *question, uint32_t shard, const struct reader_answer *answer);

/* When far_run() is due at the latest; 'now_ns' when it is to be called again at once. */
uint64_t far_due_ns(const struct far *far, uint64_t now_ns);

/* Of all shards together. */
struct far_stats {
	uint32_t shards; /* wanted so far */
	uint32_t ready;
	uint32_t opened; /* times that a shard became ready */
	uint32_t failed; /* times that one couldn't, or stopped */
	uint64_t searches;
	uint64_t rounds; /* round trips, summed over the searches */
	uint64_t reads;  /* for the searches alone; what opening took is below */
	uint64_t bytes;
	uint64_t failures;
	uint64_t opening_reads;
	uint64_t opening_bytes;
	const char *transport; /* of the last shard that is ready: "verbs" or "shm"; else NULL */
	const char *reason;    /* why a shard isn't ready; "" when all are */
};

struct far_stats far_stats(const struct far *far);
