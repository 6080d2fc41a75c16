/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Reader - one-sided search: k nearest neighbours in a segment that a peer has granted
 *
 * hnsw's machine (hnsw/remote.h) fed by rdma's fetch, whichever kind that is. The
 * owner's processor has no part in it. Answers are the owner's own for the same
 * segment and ef, bit for bit.
 *
 *      reader_new() -> OPENING --outline here--> READY --fetch or segment fails--> FAILED
 *                      reader_ask() ... reader_turn() ... reader_take()
 *
 * Several questions are under way at a time. What all of them want goes out in one batch a
 * turn (one doorbell), the rows of the next candidates with it, so that a round trip serves
 * several hops of several questions.
 *
 * A reader that fails answers what is under way with the error, and stays so: its user asks
 * the owner instead. Nothing read after the lease's end is used: fetch_poll() sees to it.
 *
 * Memory: reader_new() takes everything but what the fetch brings, which goes to memory of the
 * caller's.
 *
 * Threads: a reader belongs to one thread, that of its fetch.
 */

#include "hnsw/search.h"
#include "rdma/fetch.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Questions under way at a time: what they wait for fits REMOTE_VECTOR_SLOTS. */
#define READER_IN_FLIGHT_MAX 32

/* Of answers; more are asked of the owner. */
#define READER_K_MAX 1000

/* Candidates whose rows are asked for ahead. */
#define READER_BREADTH_MAX 64

/* Bytes of reader_error(), final zero included. */
#define READER_ERROR_MAX 320

enum {
	READER_E_BUSY = 1, /* as many questions as it can have under way: turn, and try again */
	READER_E_LIMIT,    /* k or the vector's dimension */
};

enum reader_state {
	READER_OPENING,
	READER_READY,
	READER_FAILED,
};

struct reader_config {
	uint32_t in_flight; /* 1 to READER_IN_FLIGHT_MAX */
	uint32_t ef_max;    /* 1 to SEARCH_EF_MAX */
	uint32_t k_max;     /* 1 to READER_K_MAX */
	uint32_t breadth;   /* 0 to READER_BREADTH_MAX */
	/* What the grant says of the segment, so that another one is not taken for it. */
	uint64_t generation;
	uint32_t header_crc; /* the header's own checksum */
	uint32_t ef;         /* of questions with ef 0; 0: the segment's default */
};

struct reader_answer {
	uint64_t tag;
	int error; /* 0, or what the reader failed with: a negative errno */
	const struct search_hit
		*hits; /* nearest first; valid until the next reader_ask() or turn */
	uint32_t hit_count;
	uint32_t rounds; /* round trips it waited for */
	uint32_t hops;
};

#define READER_STAT_LIST(READER_STAT)                                                              \
	READER_STAT(answers)                                                                       \
	READER_STAT(rounds) /* round trips, summed over the answers */                             \
	READER_STAT(hops)                                                                          \
	READER_STAT(distances)                                                                     \
	READER_STAT(met) /* nodes, as search_stats() has it */                                     \
	READER_STAT(failures)

struct reader_stats {
#define READER_STAT_FIELD(name) uint64_t name;
	READER_STAT_LIST(READER_STAT_FIELD)
#undef READER_STAT_FIELD
	uint64_t opening_reads;
	uint64_t opening_bytes;
};

struct reader;

/*
 * Begins to open the segment that 'fetch' reads, which must have been made with 'memory' (at a
 * multiple of 64, of 'memory_size' bytes); both are borrowed until reader_free(). The more
 * memory, the more rows stay here between questions.
 *
 * Returns 0, -EINVAL (config) or -ENOMEM. Whatever the segment isn't shows in reader_state().
 */
int reader_new(struct fetch *fetch, void *memory, uint64_t memory_size,
	       const struct reader_config *config, struct reader **ret_reader);

/* The fetch must have nothing under way, or be closed first. NULL is fine. */
void reader_free(struct reader *reader);

enum reader_state reader_state(const struct reader *reader);

/* One line: what it failed with. */
const char *reader_error(const struct reader *reader);

/* READY only. */
const struct segment *reader_segment(const struct reader *reader);

/*
 * Takes up a question of segment->dim finite floats, which are copied. READY only.
 * Returns 0, READER_E_*.
 */
int reader_ask(struct reader *reader, const float *query, uint32_t k, uint32_t ef, uint64_t tag);

/* Takes in what came, goes on, and asks for more. Never blocks. Returns whether anything came. */
bool reader_turn(struct reader *reader, uint64_t now_ns);

/* Hands out up to 'count' answers; each question has one. Returns how many. */
unsigned reader_take(struct reader *reader, struct reader_answer *answers, unsigned count);

/*
 * Goes on with another fetch of the same segment into the same memory, when what is under way has
 * come: its lease lasts longer, say. reader_fetch() tells when; the one before is then the caller's
 * to close. Not while an earlier one is waiting.
 */
void reader_use(struct reader *reader, struct fetch *fetch);
struct fetch *reader_fetch(const struct reader *reader);

/* Fails it from outside: the owner has taken its memory back, say. */
void reader_fail(struct reader *reader, int error, const char *why);

/* Questions that have no answer yet. */
uint32_t reader_running(const struct reader *reader);

/* Keeps nothing of the questions before: see remote_forget(). READY only. */
void reader_forget(struct reader *reader);

/* Gives up the questions under way, without an answer: their time is over, say. */
void reader_abandon(struct reader *reader, uint64_t tag);

struct reader_stats reader_stats(const struct reader *reader);
