/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A store whose owner is a poll core, on a disk that aborts whatever blocks on it, loses power, and
 * fails: transactions of every kind, commits that are waited for by polling, reads that never wait,
 * walks, the feed, named readers, checkpoints, rotation of the log and compaction. History is
 * short, so that what a reader's pin promises is seen after a crash.
 */

#include "base/byteorder.h"
#include "base/defs.h"
#include "engine/feed.h"
#include "tests/lib/crash.h"
#include "tests/lib/store_model.h"

#include <errno.h>
#include <malloc.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COMMITS 160

/* The store is closed and opened again every so often. */
#define REOPEN 70

/* Every so many transactions: keys are read, all are walked, the reader is pinned. */
#define LOOK 20
#define WALK 30
#define PIN  3

/* Seconds of history that is kept for nobody. */
#define HISTORY_SECONDS 40

#define READER "reader"

/* Places of each mode that are tried. */
#define AT_MAX 40

/* What a store that wasn't stopped goes on after. */
#define FAILURES_MAX 2

struct life {
	struct store_model model;
	struct store *store;
	uint64_t seed;
	uint32_t failures;
	uint32_t tries; /* without room */
	struct feed *feed;
	struct feed_position at;     /* where it was when the store was closed */
	uint32_t fed;                /* the last transaction that it told of */
	struct feed_position pinned; /* number 0: not yet */
	struct feed_position saved;
	char *error;
	size_t error_size;
};

static struct store_options options_of(const struct life *life)
{
	return (struct store_options){
		.create = true,
		.polls = true,
		.history = {.age = HISTORY_SECONDS,
			    .size = RETENTION_FOREVER,
			    .pin_age = RETENTION_FOREVER,
			    .pin_size = RETENTION_FOREVER},
		.log_size = 64 << 10,
		.cache_pages = 64,
		.wal = {.segment_size = 128 << 10, .buffer_size = 64 << 10, .salt = 1},
		.kv = {.memtable_size = 16 << 10,
		       .cache_size = 1 << 20,
		       .table_size = 32 << 10,
		       .level_size = 64 << 10,
		       .clock = store_model_clock,
		       .clock_context = (void *)&life->model},
	};
}

static void *begin(uint64_t seed)
{
	struct life *life = calloc(1, sizeof(*life));

	if (life == NULL)
		abort();
	life->seed = seed;
	store_model_init(&life->model, seed, COMMITS + 1);
	life->model.wide = true;
	return life;
}

static void end(void *context)
{
	struct life *life = context;

	store_model_deinit(&life->model);
	free(life);
}

/* ---- the life ---- */

/* An io has its store's lock until it is freed; a faulty one is then as new. */
static int open_store(const struct life *life, struct io *io, struct store **ret_store, char *error,
		      size_t error_size)
{
	struct store_options options = options_of(life);
	int r = store_open(io, &options, ret_store, error, error_size);

	if (r != 0)
		io_free(io);
	return r == STORE_E_CORRUPT ? CRASH_E_DETECTED : r > 0 ? CRASH_E_WRONG : r;
}

/* Whether the life goes on: there may be room again, or what failed was no more than a job. */
static int bear(struct life *life, int result)
{
	if (result == -ENOSPC && life->tries++ < MODEL_TRIES_MAX)
		return 0;
	if (result == -EIO && wal_failed(store_wal(life->store)) == 0 &&
	    life->failures++ < FAILURES_MAX)
		return 0;
	return result;
}

static int of_store(struct life *life, int result)
{
	return store_model_result(life->store, result, life->error, life->error_size);
}

/* ---- what a poll core does besides ---- */

static int PRINTF_LIKE(3, 4) say(char *error, size_t error_size, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(error, error_size, format, arguments);
	va_end(arguments);
	return MODEL_E_WRONG;
}

static int open_feed(struct store *store, struct feed_position since, struct feed **ret_feed)
{
	const struct feed_options options = {
		.since = since, .follow = true, .wait_never = true, .window = 64};

	return feed_open(store_kv(store), &options, ret_feed);
}

static bool is_commit(const struct feed_event *event)
{
	return event->kind == FEED_INSERT && event->key.size == 6 &&
	       memcmp(event->key.bytes, "commit", 6) == 0 && event->value.size == 4;
}

/* Each transaction is told of once, in its order, and none before it is durable. */
static int take_event(struct life *life, const struct feed_event *event)
{
	if (!is_commit(event))
		return 0;
	uint32_t number = load_le32(event->value.bytes);
	if (number != life->fed + 1 || number > life->model.commits)
		return say(life->error, life->error_size, "the feed tells of commit %u behind %u",
			   number, life->fed);
	if (event->seqno > store_stats(life->store).durable)
		return say(life->error, life->error_size,
			   "the feed tells of commit %u, which isn't durable", number);
	life->fed = number;
	return 0;
}

static int follow(struct life *life)
{
	int r = life->feed == NULL ? open_feed(life->store, life->at, &life->feed) : 0;

	while (r == 0) {
		struct feed_event event;
		int next = feed_next(life->feed, &event);

		if (next == FEED_E_WAIT)
			kv_poll(store_kv(life->store));
		if (next == FEED_E_END || next == FEED_E_WAIT)
			return 0;
		if (next > 0)
			return say(life->error, life->error_size, "the feed said %d: %s", next,
				   feed_error(life->feed));
		r = next < 0 ? next : take_event(life, &event);
	}
	return r;
}

/* What the pin's position is behind was told of, and is needed no more. */
static int pin(struct life *life)
{
	struct retention *retention = store_retention(life->store);

	if (life->pinned.seqno > 0 && retention_is_saved(retention, READER))
		life->saved = life->pinned;
	if (life->model.commits % PIN != 0)
		return 0;
	life->pinned = feed_position(life->feed);
	int r = retention_pin(retention, READER, life->pinned, life->model.clock);
	/* Another comes and goes. */
	if (r == 0 && life->model.commits % (4 * PIN) == 0)
		r = retention_pin(retention, "other", life->pinned, life->model.clock);
	else if (r == 0 && retention_unpin(retention, "other") == RETENTION_E_BUSY)
		r = RETENTION_E_BUSY;
	return r == 0 ? 0 : say(life->error, life->error_size, "the reader's pin: %d", r);
}

static int next_key(struct kv_cursor *cursor, struct kv *kv, bool first)
{
	int r;

	do {
		r = first ? kv_cursor_seek(cursor, (struct entry_bytes){0})
			  : kv_cursor_next(cursor);
		if (r == KV_E_WAIT)
			kv_poll(kv);
	} while (r == KV_E_WAIT);
	return r;
}

static int walk(struct life *life)
{
	struct kv *kv = store_kv(life->store);
	uint8_t before[64];
	struct entry_bytes last = {.bytes = before};
	struct kv_cursor *cursor;
	int r = kv_cursor_new(kv, 0, KV_WAIT_NEVER, &cursor);
	if (r != 0)
		return r;

	for (r = next_key(cursor, kv, true); r == 0; r = next_key(cursor, kv, false)) {
		struct entry_bytes key = kv_cursor_entry(cursor)->key;

		if (key_compare(last, key) >= 0 || key.size > sizeof(before))
			r = say(life->error, life->error_size, "a walk gives keys out of order");
		if (r != 0)
			break;
		memcpy(before, key.bytes, key.size);
		last.size = key.size;
	}
	kv_cursor_free(cursor);
	if (r == KV_E_CORRUPT)
		return say(life->error, life->error_size, "a walk: %s", kv_error(kv));
	return r == KV_E_ABSENT ? 0 : r;
}

static int poll_core(struct life *life)
{
	struct store_model *model = &life->model;

	store_model_polls(model, true);
	int r = follow(life);
	if (r == 0)
		r = pin(life);
	if (r == 0 && model->commits % WALK == 0)
		r = walk(life);
	if (r == 0 && model->commits % (2 * WALK) == 0)
		kv_compact(store_kv(life->store));
	store_model_polls(model, false);
	if (r == 0 && model->commits % LOOK == 0)
		r = store_model_check_keys(model, life->store, life->error, life->error_size);
	return r;
}

static int step(struct life *life)
{
	struct store_model *model = &life->model;
	int r = store_model_step(model, life->store, life->error, life->error_size);
	if (r == -EIO)
		return r;
	r = bear(life, r);
	if (r == 0 && rand_below(&model->rand, 3) == 0)
		r = bear(life, store_model_wait(model, life->store, life->error, life->error_size));
	if (r == 0)
		r = bear(life, store_model_work(model, life->store, life->error, life->error_size));
	if (r == 0 && store_is_done(life->store, model->lsn))
		store_model_acknowledge(model);
	if (r == 0)
		r = bear(life, poll_core(life));
	return r;
}

static int settle(struct life *life)
{
	int r;

	do
		r = of_store(life, store_settle(life->store));
	while (r != 0 && bear(life, r) == 0);
	if (r == 0)
		store_model_acknowledge(&life->model);
	return r;
}

/* The feed's place outlasts it. */
static int close_store(struct life *life)
{
	store_model_release(&life->model, life->store);
	if (life->feed != NULL)
		life->at = feed_position(life->feed);
	feed_close(life->feed);
	life->feed = NULL;
	int r = store_close(life->store);
	life->store = NULL;
	return r > 0 ? -EIO : r;
}

static int open_when_there_is_room(struct life *life, struct io *io)
{
	int r;

	do
		r = open_store(life, io, &life->store, life->error, life->error_size);
	while (r == -ENOSPC && life->tries++ < MODEL_TRIES_MAX);
	return r;
}

/* What was closed well is all there when it is opened again. */
static int reopen(struct life *life, struct io *io)
{
	int r = close_store(life);
	io_free(io);
	if (r != 0)
		return r;
	store_model_acknowledge(&life->model);
	life->saved = life->pinned;
	return open_when_there_is_room(life, io);
}

static int live(struct life *life, struct io *io)
{
	int r = 0;

	while (r == 0 && life->model.commits < COMMITS) {
		uint32_t number = life->model.commits;

		r = step(life);
		if (r == 0 && life->model.commits > number && life->model.commits % REOPEN == 0)
			r = reopen(life, io);
	}
	return r == 0 ? settle(life) : r;
}

static int run(void *context, struct io *io, char *error, size_t error_size)
{
	struct life *life = context;
	int r;

	life->error = error;
	life->error_size = error_size;
	life->model.disk = faulty_of(io);
	r = open_when_there_is_room(life, io);
	if (r == 0)
		r = live(life, io);
	if (life->store == NULL)
		return r;
	store_model_polls(&life->model, false);
	int closed = close_store(life);
	if (r == 0)
		r = closed;
	return r > 0 ? CRASH_E_WRONG : r;
}

/* ---- what is left of it ---- */

struct complaint {
	char *error;
	size_t error_size;
};

static void report(void *context, const char *line)
{
	struct complaint *complaint = context;

	snprintf(complaint->error, complaint->error_size, "%s", line);
}

static int verify(struct store *store, char *error, size_t error_size)
{
	struct complaint complaint = {error, error_size};
	uint64_t faults;
	int r = store_verify(store, report, &complaint, &faults);

	if (r != 0)
		return r;
	return faults > 0 ? CRASH_E_DETECTED : 0;
}

/* A store that was opened takes changes, and lets its log go. */
static int go_on(struct store *store, char *error, size_t error_size)
{
	struct store_put put = {.key = {(const uint8_t *)"on", 2},
				.value = {(const uint8_t *)"value", 5}};
	uint64_t lsn;
	int r = store_put(store, &put);
	if (r == 0)
		r = store_commit(store, STORE_SYNC, &lsn);
	if (r == 0)
		r = store_stats(store).lsn % 2 == 0 ? store_sync(store) : store_checkpoint(store);
	return store_model_result(store, r, error, error_size);
}

/* What comes behind the reader's pin begins where it was told of everything, and leads to the last
 * transaction. */
static int check_feed(const struct life *life, struct store *store, struct feed_position since,
		      uint32_t number, char *error, size_t error_size)
{
	struct feed_event event;
	uint32_t fed = 0;
	struct feed *feed;
	int r = open_feed(store, since, &feed);
	if (r != 0)
		return r;

	for (r = feed_next(feed, &event); r == 0 || r == FEED_E_WAIT; r = feed_next(feed, &event)) {
		uint32_t told;

		if (r == FEED_E_WAIT)
			kv_poll(store_kv(store));
		if (r == FEED_E_WAIT || !is_commit(&event))
			continue;
		told = load_le32(event.value.bytes);
		if (fed == 0 ? told > life->fed + 1 : told != fed + 1)
			break;
		fed = told;
	}
	if (r == FEED_E_END && (fed == number || (fed == 0 && number <= life->fed)))
		r = 0;
	else if (r >= 0)
		r = say(error, error_size, "the feed said %d behind commit %u of %u", r, fed,
			number);
	feed_close(feed);
	return r;
}

static bool is_before(struct feed_position a, struct feed_position b)
{
	return a.seqno < b.seqno || (a.seqno == b.seqno && a.index < b.index);
}

static int check_reader(const struct life *life, struct store *store, uint32_t number, char *error,
			size_t error_size)
{
	struct retention_reader reader;
	int r = retention_find(store_retention(store), READER, life->model.clock, &reader);

	if (number < life->fed)
		return say(error, error_size, "the feed told of commit %u, and %u is the last",
			   life->fed, number);
	if (r != 0 && life->saved.seqno == 0)
		return 0;
	if (r != 0 || is_before(reader.position, life->saved) ||
	    is_before(life->pinned, reader.position))
		return say(error, error_size, "the reader's pin is gone, or another one");
	return check_feed(life, store, reader.position, number, error, error_size);
}

static int of_model(int result)
{
	return result == MODEL_E_CORRUPT ? CRASH_E_DETECTED : result;
}

static int check(const void *context, struct io *io, char *error, size_t error_size)
{
	const struct life *life = context;
	struct store_model model = life->model;
	struct store *store;
	uint32_t number;
	int r = open_store(life, io, &store, error, error_size);
	if (r != 0)
		return r;

	model.disk = faulty_of(io);
	r = of_model(store_model_check(&model, store, &number, error, error_size));
	store_model_polls(&model, true);
	if (r == 0)
		r = check_reader(life, store, number, error, error_size);
	store_model_polls(&model, false);
	if (r == 0)
		r = verify(store, error, error_size);
	if (r == 0)
		r = of_model(go_on(store, error, error_size));
	if (r == 0) {
		store_model_go_on(&model, number);
		r = of_model(store_model_check(&model, store, &number, error, error_size));
	}
	int closed = store_close(store);
	return r != 0 || closed == 0 ? r : closed < 0 ? closed : -EIO;
}

int main(int argc, char **argv)
{
	static const struct crash_workload workloads[] = {
		{.name = "polls",
		 .begin = begin,
		 .run = run,
		 .check = check,
		 .end = end,
		 .at_max = AT_MAX},
	};

	/* The 64 MiB for a transaction, of which little is used, are not to be filled each time,
	 * nor given back and got anew. */
	mallopt(M_PERTURB, 0);
	mallopt(M_MMAP_THRESHOLD, 1 << 30);
	mallopt(M_TRIM_THRESHOLD, 1 << 30);
	return crash_main(argc, argv, workloads, sizeof(workloads) / sizeof(workloads[0]));
}
