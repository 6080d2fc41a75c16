/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster/reader.h"

#include "base/check.h"
#include "base/defs.h"
#include "hnsw/layout.h"
#include "hnsw/remote.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Batches under way: each search waits for one or two, and they can share. */
#define BATCH_COUNT 32

/* Rows that a waiting search can hold on to: see hnsw/remote.h. */
#define PINNED_MAX (2 * SEGMENT_M_MAX)

/* What the header's batch is called; others are called by their number. */
#define HEADER_COOKIE UINT64_MAX

/* Pieces whose tags are kept until their batch is done. */
struct batch {
	bool used;
	unsigned count;
	uint64_t tags[FETCH_PIECE_MAX];
};

enum question_state {
	QUESTION_FREE,
	QUESTION_RUNS,
	QUESTION_DONE,
};

struct question {
	enum question_state state;
	struct search *search;   /* owned */
	struct search_hit *hits; /* owned: k_max of them */
	uint32_t k;
	uint64_t tag;
	int error;
	uint32_t hit_count;
	uint32_t rounds;
};

enum opening {
	OPENING_BEGIN,
	OPENING_HEADER,
	OPENING_OUTLINE,
	OPENING_DONE,
};

struct reader {
	struct fetch *fetch; /* borrowed */
	struct fetch *next;  /* borrowed: to go on with; NULL: none */
	uint8_t *memory;     /* borrowed */
	uint64_t memory_size;
	struct reader_config config;
	enum reader_state state;
	enum opening opening;
	char text[READER_ERROR_MAX];
	struct remote *remote; /* owned */
	struct question questions[READER_IN_FLIGHT_MAX];
	uint32_t running;
	bool is_fresh; /* a question that has not run yet */
	struct batch batches[BATCH_COUNT];
	unsigned pending_count; /* taken from the remote, and the fetch had no room */
	struct remote_want pending[FETCH_PIECE_MAX];
	struct reader_stats stats;
};

static const char *meaning(int error)
{
	switch (error) {
	case -EACCES:
		return "the owner's device refused the key: the lease was taken back";
	case -ETIMEDOUT:
		return "the lease is over";
	case -ENOTCONN:
		return "the connection to the owner has ended";
	default:
		return strerror(-error);
	}
}

/* Ends everything; what is under way is answered with the error. */
static void fail(struct reader *reader, int error, const char *what, const char *why)
{
	if (reader->state == READER_FAILED)
		return;
	reader->state = READER_FAILED;
	reader->stats.failures++;
	snprintf(reader->text, sizeof(reader->text), "%s: %s", what, why);
	for (unsigned i = 0; i < reader->config.in_flight; i++) {
		struct question *question = &reader->questions[i];

		if (question->state != QUESTION_RUNS)
			continue;
		search_abandon(question->search);
		question->state = QUESTION_DONE;
		question->error = error;
		question->hit_count = 0;
	}
	reader->running = 0;
}

static bool is_valid(const struct reader_config *config, const void *memory, uint64_t memory_size)
{
	return config->in_flight >= 1 && config->in_flight <= READER_IN_FLIGHT_MAX &&
	       config->ef_max >= 1 && config->ef_max <= SEARCH_EF_MAX && config->k_max >= 1 &&
	       config->k_max <= READER_K_MAX && config->breadth <= READER_BREADTH_MAX &&
	       (uintptr_t)memory % SEGMENT_ALIGN == 0 && memory_size >= REMOTE_HEADER_SIZE;
}

int reader_new(struct fetch *fetch, void *memory, uint64_t memory_size,
	       const struct reader_config *config, struct reader **ret_reader)
{
	struct reader *reader;

	if (!is_valid(config, memory, memory_size))
		return -EINVAL;
	reader = calloc(1, sizeof(*reader));
	if (!reader)
		return -ENOMEM;
	reader->fetch = fetch;
	reader->memory = memory;
	reader->memory_size = memory_size;
	reader->config = *config;
	*ret_reader = reader;
	return 0;
}

void reader_free(struct reader *reader)
{
	if (!reader)
		return;
	for (unsigned i = 0; i < reader->config.in_flight; i++) {
		search_free(reader->questions[i].search);
		free(reader->questions[i].hits);
	}
	remote_free(reader->remote);
	free(reader);
}

enum reader_state reader_state(const struct reader *reader)
{
	return reader->state;
}

const char *reader_error(const struct reader *reader)
{
	return reader->text;
}

const struct segment *reader_segment(const struct reader *reader)
{
	CHECK(reader->state == READER_READY);
	return remote_segment(reader->remote);
}

struct reader_stats reader_stats(const struct reader *reader)
{
	struct reader_stats stats = reader->stats;

	/* All that one has fetched that never became ready. */
	if (reader->opening != OPENING_DONE) {
		stats.opening_reads = reader->fetch->stats.reads;
		stats.opening_bytes = reader->fetch->stats.bytes;
	}
	return stats;
}

/* --- opening --- */

static void ask_header(struct reader *reader)
{
	const struct fetch_piece piece = {.size = REMOTE_HEADER_SIZE, .to = reader->memory};
	int error;

	if (reader->fetch->size < REMOTE_HEADER_SIZE) {
		fail(reader, -EPROTO, "opening the segment", "it is shorter than a header");
		return;
	}
	error = fetch_post(reader->fetch, &piece, 1, HEADER_COOKIE);
	if (error == FETCH_E_BUSY)
		return;
	if (error)
		fail(reader, error, "reading the segment's header", meaning(error));
	else
		reader->opening = OPENING_HEADER;
}

/* As many rows as there is memory for, and no more than there are. */
static bool start_remote(struct reader *reader, char *error, size_t error_size)
{
	const struct reader_config *config = &reader->config;
	const uint64_t room = reader->memory_size - REMOTE_HEADER_SIZE;
	const uint64_t fixed = remote_memory(reader->remote, 0);
	const uint64_t each = remote_memory(reader->remote, 1) - fixed;
	const uint64_t least =
		MAX((uint64_t)config->in_flight * PINNED_MAX + config->k_max, REMOTE_SLOT_MIN);
	uint64_t slots = room > fixed ? (room - fixed) / each : 0;
	int result;

	if (slots < least) {
		snprintf(error, error_size, "%llu bytes of memory, it takes %llu at least",
			 (unsigned long long)reader->memory_size,
			 (unsigned long long)(REMOTE_HEADER_SIZE + fixed + least * each));
		return false;
	}
	slots = MIN(slots, MAX(least, remote_nodes(reader->remote)));
	slots = MIN(slots, REMOTE_SLOT_MAX);
	result = remote_start(reader->remote, (uint32_t)slots, reader->memory + REMOTE_HEADER_SIZE);
	if (result)
		snprintf(error, error_size, "%s", strerror(-result));
	return result == 0;
}

static void take_header(struct reader *reader)
{
	char text[READER_ERROR_MAX / 2] = "";
	uint64_t generation = load_le64(reader->memory + LAYOUT_AT_GENERATION);

	if (load_le32(reader->memory + LAYOUT_AT_HEADER_CRC) != reader->config.header_crc ||
	    generation != reader->config.generation)
		snprintf(text, sizeof(text),
			 "it isn't the one that was granted (generation %llu, expected %llu)",
			 (unsigned long long)generation,
			 (unsigned long long)reader->config.generation);
	else if (remote_new(reader->memory, reader->fetch->size, &reader->remote, text,
			    sizeof(text)) == 0 &&
		 start_remote(reader, text, sizeof(text)))
		reader->opening = OPENING_OUTLINE;
	if (reader->opening != OPENING_OUTLINE)
		fail(reader, -EPROTO, "the segment's header", text);
}

static bool take_memory(struct reader *reader)
{
	const struct segment *segment = remote_segment(reader->remote);
	const struct search_limits limits = {
		.node_max = segment->count,
		.dim_max = segment->dim,
		.ef_max = MAX(reader->config.ef_max, reader->config.k_max)};

	for (unsigned i = 0; i < reader->config.in_flight; i++) {
		struct question *question = &reader->questions[i];

		question->hits = malloc(reader->config.k_max * sizeof(question->hits[0]));
		if (!question->hits || search_new(&limits, &question->search))
			return false;
	}
	return true;
}

static void check_outline(struct reader *reader)
{
	int result = remote_check(reader->remote);

	if (result == -EAGAIN)
		return;
	if (result == 0 && !take_memory(reader))
		result = -ENOMEM;
	if (result == -ENOMEM) {
		fail(reader, result, "opening the segment", "no memory");
		return;
	}
	if (result) {
		fail(reader, -EPROTO, "the segment's outline", remote_error(reader->remote));
		return;
	}
	reader->opening = OPENING_DONE;
	reader->state = READER_READY;
	reader->stats.opening_reads = reader->fetch->stats.reads;
	reader->stats.opening_bytes = reader->fetch->stats.bytes;
}

/* --- fetching --- */

static void batch_done(struct reader *reader, struct batch *batch)
{
	for (unsigned i = 0; i < batch->count && reader->state != READER_FAILED; i++)
		if (remote_arrived(reader->remote, batch->tags[i]))
			fail(reader, -EPROTO, "the segment", remote_error(reader->remote));
	batch->used = false;
}

static bool poll_fetch(struct reader *reader, uint64_t now_ns)
{
	struct fetch_done done[BATCH_COUNT];
	unsigned count = fetch_poll(reader->fetch, now_ns, done, ARRAY_COUNT(done));

	for (unsigned i = 0; i < count; i++) {
		if (done[i].error)
			fail(reader, done[i].error, "reading the segment", meaning(done[i].error));
		else if (done[i].cookie == HEADER_COOKIE)
			take_header(reader);
		else
			batch_done(reader, &reader->batches[done[i].cookie]);
	}
	return count > 0;
}

/* A batch that isn't under way, or BATCH_COUNT. */
static unsigned free_batch(const struct reader *reader)
{
	unsigned i = 0;

	while (i < BATCH_COUNT && reader->batches[i].used)
		i++;
	return i;
}

/* One batch of what is wanted. Returns false when there is nothing, or no room. */
static bool post_batch(struct reader *reader)
{
	struct fetch_piece pieces[FETCH_PIECE_MAX];
	unsigned number = free_batch(reader);
	struct batch *batch = &reader->batches[number];
	int error;

	if (number == BATCH_COUNT)
		return false;
	if (reader->pending_count == 0)
		reader->pending_count =
			remote_take(reader->remote, reader->pending, FETCH_PIECE_MAX);
	if (reader->pending_count == 0)
		return false;
	for (unsigned i = 0; i < reader->pending_count; i++) {
		const struct remote_want *want = &reader->pending[i];

		pieces[i] = (struct fetch_piece){want->offset, want->size, want->to};
		batch->tags[i] = want->tag;
	}
	error = fetch_post(reader->fetch, pieces, reader->pending_count, number);
	if (error == FETCH_E_BUSY)
		return false;
	if (error) {
		fail(reader, error, "reading the segment", meaning(error));
		return false;
	}
	batch->used = true;
	batch->count = reader->pending_count;
	reader->pending_count = 0;
	return true;
}

/* --- questions --- */

int reader_ask(struct reader *reader, const float *query, uint32_t k, uint32_t ef, uint64_t tag)
{
	const struct segment *segment = reader_segment(reader);
	struct question *question = reader->questions;
	struct search_params params = {.k = k, .ef = ef ? ef : reader->config.ef};

	if (k > reader->config.k_max)
		return READER_E_LIMIT;
	for (uint32_t i = 0; i < segment->dim; i++)
		if (!isfinite(query[i]))
			return READER_E_LIMIT;
	while (question < reader->questions + reader->config.in_flight &&
	       question->state != QUESTION_FREE)
		question++;
	if (question == reader->questions + reader->config.in_flight)
		return READER_E_BUSY;
	search_begin(question->search, segment, query, &params);
	question->state = QUESTION_RUNS;
	question->k = k;
	question->tag = tag;
	question->error = 0;
	question->rounds = 0;
	reader->running++;
	reader->is_fresh = true;
	return 0;
}

static void finish(struct reader *reader, struct question *question)
{
	struct search_stats stats = search_stats(question->search);

	question->hit_count = search_hits(question->search, question->hits, question->k);
	question->state = QUESTION_DONE;
	reader->running--;
	reader->stats.answers++;
	reader->stats.rounds += question->rounds;
	reader->stats.hops += stats.hops;
	reader->stats.distances += stats.distances;
	reader->stats.met += stats.met;
}

/* Goes on until it waits or is done. A round trip is counted when it waits anew. */
static void run(struct reader *reader, struct question *question)
{
	bool moved = false;

	while (!search_step(question->search)) {
		if (search_waits(question->search)) {
			question->rounds += moved || question->rounds == 0;
			search_foresee(question->search, reader->config.breadth);
			return;
		}
		moved = true;
	}
	finish(reader, question);
}

static void run_questions(struct reader *reader)
{
	for (unsigned i = 0; i < reader->config.in_flight; i++)
		if (reader->questions[i].state == QUESTION_RUNS)
			run(reader, &reader->questions[i]);
	reader->is_fresh = false;
}

static bool is_quiet(const struct reader *reader)
{
	for (unsigned i = 0; i < BATCH_COUNT; i++)
		if (reader->batches[i].used)
			return false;
	return true;
}

void reader_use(struct reader *reader, struct fetch *fetch)
{
	CHECK(!reader->next && fetch->size == reader->fetch->size);
	reader->next = fetch;
}

struct fetch *reader_fetch(const struct reader *reader)
{
	return reader->fetch;
}

void reader_fail(struct reader *reader, int error, const char *why)
{
	fail(reader, error, "reading the segment", why);
}

uint32_t reader_running(const struct reader *reader)
{
	return reader->running;
}

/* Goes over to the next fetch when nothing is under way on this one. */
static void change_fetch(struct reader *reader)
{
	if (!is_quiet(reader))
		return;
	reader->fetch = reader->next;
	reader->next = NULL;
}

bool reader_turn(struct reader *reader, uint64_t now_ns)
{
	bool came = poll_fetch(reader, now_ns);

	if (reader->next && reader->state == READER_READY)
		change_fetch(reader);
	/* What was read before would still be right, but nobody says any more that it is the
	 * latest. */
	if (now_ns >= reader->fetch->expires_ns)
		fail(reader, -ETIMEDOUT, "reading the segment", meaning(-ETIMEDOUT));
	if (reader->state == READER_FAILED)
		return came;
	if (reader->opening == OPENING_BEGIN)
		ask_header(reader);
	if (reader->opening == OPENING_OUTLINE)
		check_outline(reader);
	if (reader->state == READER_READY && (came || reader->is_fresh))
		run_questions(reader);
	while (reader->remote && !reader->next && reader->state != READER_FAILED &&
	       post_batch(reader))
		;
	return came;
}

unsigned reader_take(struct reader *reader, struct reader_answer *answers, unsigned count)
{
	unsigned taken = 0;

	for (unsigned i = 0; i < reader->config.in_flight && taken < count; i++) {
		struct question *question = &reader->questions[i];

		if (question->state != QUESTION_DONE)
			continue;
		question->state = QUESTION_FREE;
		answers[taken++] = (struct reader_answer){
			.tag = question->tag,
			.error = question->error,
			.hits = question->hits,
			.hit_count = question->hit_count,
			.rounds = question->rounds,
			.hops = (uint32_t)search_stats(question->search).hops,
		};
	}
	return taken;
}

void reader_forget(struct reader *reader)
{
	CHECK(reader->state == READER_READY);
	remote_forget(reader->remote);
}

void reader_abandon(struct reader *reader, uint64_t tag)
{
	for (unsigned i = 0; i < reader->config.in_flight; i++) {
		struct question *question = &reader->questions[i];

		if (question->state != QUESTION_RUNS || question->tag != tag)
			continue;
		search_abandon(question->search);
		question->state = QUESTION_FREE;
		reader->running--;
	}
}
