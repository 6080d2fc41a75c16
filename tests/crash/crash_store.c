/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A store on a disk that loses power, fails, fills up and rots: transactions of every kind, group
 * commit, rotation of the log, flushes, compactions, checkpoints, tables from elsewhere, history
 * that is cut and history that a reader keeps. What is there afterwards is one of the states from
 * the last acknowledged one on, whole; the feed has each transaction once, from the reader's pin
 * on; and the store goes on from there. The short life does all that a store can do, and fails when
 * it leaves something out; the long one does more of it.
 */

#include "base/byteorder.h"
#include "engine/feed.h"
#include "tests/lib/crash.h"
#include "tests/lib/store_model.h"

#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SHORT_COMMITS 100
#define LONG_COMMITS  600

/* A life closes its store and opens it again every so often. */
#define SHORT_REOPEN 70
#define LONG_REOPEN  130

/* What a life does beside its transactions comes at these, of each so many. */
#define EXTRA_ROUND   25
#define EXTRA_PIN     4
#define EXTRA_INGEST  11
#define EXTRA_UNPIN   18
#define EXTRA_COMPACT 22

/* Places of the long life that are tried, of some thousand. */
#define LONG_AT_MAX 5

/* What a store that wasn't stopped goes on after. */
#define FAILURES_MAX 2

#define READER "reader"

/* Where the reader stands. */
struct pin {
	uint64_t seqno;   /* 0: nowhere */
	uint32_t commits; /* that it has seen */
};

struct life {
	struct store_model model;
	struct pin pin;       /* for certain, */
	struct pin pin_begun; /* or this */
	struct store *store;
	uint64_t seed;
	uint32_t commits;
	uint32_t reopen;
	uint32_t failures;
	uint32_t tries; /* without room */
	char *error;
	size_t error_size;
};

static struct store_options options_of(const struct life *life)
{
	return (struct store_options){
		.create = true,
		.log_size = 64 << 10,
		.cache_pages = 64,
		.wal = {.segment_size = 128 << 10, .buffer_size = 64 << 10, .salt = 1},
		.kv = {.memtable_size = 16 << 10,
		       .cache_size = 1 << 20,
		       .table_size = 32 << 10,
		       .level_size = 64 << 10,
		       .clock = store_model_clock,
		       .clock_context = (void *)&life->model},
		.history = {.age = 30, .size = 24 << 10, .pin_age = 300, .pin_size = 1 << 20},
	};
}

static void *begin(uint64_t seed, uint32_t commits, uint32_t reopen)
{
	struct life *life = calloc(1, sizeof(*life));

	if (life == NULL)
		abort();
	life->seed = seed;
	life->commits = commits;
	life->reopen = reopen;
	store_model_init(&life->model, seed, commits + 1);
	life->model.wide = true;
	return life;
}

static void *begin_short(uint64_t seed)
{
	return begin(seed, SHORT_COMMITS, SHORT_REOPEN);
}

static void *begin_long(uint64_t seed)
{
	return begin(seed, LONG_COMMITS, LONG_REOPEN);
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

static int step(struct life *life)
{
	struct store_model *model = &life->model;
	int r = store_model_step(model, life->store, life->error, life->error_size);
	if (r == -EIO)
		return r;
	r = bear(life, r);
	if (r == 0 && rand_below(&model->rand, 3) == 0) {
		r = of_store(life, store_sync(life->store));
		if (r == 0)
			store_model_acknowledge(model);
		r = bear(life, r);
	}
	if (r == 0)
		r = bear(life, store_model_work(model, life->store, life->error, life->error_size));
	if (r == 0 && store_is_done(life->store, model->lsn))
		store_model_acknowledge(model);
	return r;
}

/* Of a pin: the reader has seen all that is acknowledged. */
static int of_retention(struct life *life, int result, const char *what)
{
	if (result <= 0)
		return result;
	snprintf(life->error, life->error_size, "%s: %d", what, result);
	return CRASH_E_WRONG;
}

/* What was begun and failed is ended first. */
static int save_pin(struct life *life)
{
	int r = retention_sync(store_retention(life->store));

	if (r == 0)
		life->pin = life->pin_begun;
	return r;
}

static int pin(struct life *life)
{
	const struct store_model *model = &life->model;
	struct feed_position position = {.seqno = model->lsn + 1};
	int r = save_pin(life);
	if (r != 0)
		return r;

	life->pin_begun = (struct pin){position.seqno, model->commits};
	r = of_retention(
		life, retention_pin(store_retention(life->store), READER, position, model->clock),
		"pinning");
	if (r == 0)
		r = save_pin(life);
	if (r == 0)
		life->model.census.counts[CENSUS_PIN]++;
	return r;
}

static int unpin(struct life *life)
{
	int r = save_pin(life);
	if (r != 0)
		return r;

	life->pin_begun = (struct pin){0};
	if (life->pin.seqno > 0)
		r = of_retention(life, retention_unpin(store_retention(life->store), READER),
				 "unpinning");
	if (r == 0)
		r = save_pin(life);
	if (r == 0)
		life->model.census.counts[CENSUS_UNPIN]++;
	return r;
}

/* What isn't a transaction of the model's. */
static int step_extra(struct life *life, struct io *io)
{
	struct store_model *model = &life->model;
	uint32_t number = model->commits % EXTRA_ROUND;
	int r;

	switch (number) {
	case EXTRA_PIN:
	case EXTRA_UNPIN:
		r = of_store(life, store_sync(life->store));
		if (r != 0)
			return bear(life, r);
		store_model_acknowledge(model);
		return bear(life, number == EXTRA_PIN ? pin(life) : unpin(life));
	case EXTRA_COMPACT:
		kv_compact(store_kv(life->store));
		return 0;
	case EXTRA_INGEST:
		r = store_model_ingest(model, life->store, io, life->error, life->error_size);
		if (r == 0)
			store_model_acknowledge(model);
		return r == -EIO && model->acknowledged < model->commits ? r : bear(life, r);
	default:
		return 0;
	}
}

static int settle(struct life *life)
{
	int r;

	do
		r = of_store(life, store_settle(life->store));
	while (r != 0 && bear(life, r) == 0);
	if (r == 0)
		store_model_acknowledge(&life->model);
	store_census_look(&life->model.census, life->store);
	return r;
}

/* What was closed well is all there when it is opened again. */
static int reopen(struct life *life, struct io *io)
{
	store_model_release(&life->model, life->store);
	int r = store_close(life->store);
	life->store = NULL;
	io_free(io);
	if (r != 0)
		return r < 0 ? r : -EIO;
	store_model_acknowledge(&life->model);
	do
		r = open_store(life, io, &life->store, life->error, life->error_size);
	while (r == -ENOSPC && life->tries++ < MODEL_TRIES_MAX);
	if (r == 0)
		store_census_reopen(&life->model.census);
	return r;
}

static int live(struct life *life, struct io *io)
{
	int r = 0;

	while (r == 0 && life->model.commits < life->commits) {
		uint32_t number = life->model.commits;

		r = step(life);
		if (r == 0 && life->model.commits > number)
			r = step_extra(life, io);
		if (r == 0 && life->model.commits / life->reopen > number / life->reopen)
			r = reopen(life, io);
	}
	if (r != 0)
		return r;
	/* At the end all that is superseded and out of history goes. */
	store_model_release(&life->model, life->store);
	kv_compact(store_kv(life->store));
	return settle(life);
}

static int run(void *context, struct io *io, char *error, size_t error_size)
{
	struct life *life = context;
	int r;

	life->error = error;
	life->error_size = error_size;
	do
		r = open_store(life, io, &life->store, error, error_size);
	while (r == -ENOSPC && life->tries++ < MODEL_TRIES_MAX);
	if (r == 0)
		r = live(life, io);
	if (life->store == NULL)
		return r;
	store_model_release(&life->model, life->store);
	int closed = store_close(life->store);
	life->store = NULL;
	if (r == 0 && closed != 0)
		r = closed < 0 ? closed : -EIO;
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

static struct feed_position position_of(const struct pin *pin)
{
	return (struct feed_position){.seqno = pin->seqno};
}

/* Where the reader's pin is: '*ret_pin'. */
static int find_pin(const struct life *life, struct store *store, struct pin *ret_pin, char *error,
		    size_t error_size)
{
	struct retention_reader reader = {0};
	int r = retention_find(store_retention(store), READER, life->model.clock, &reader);
	uint64_t seqno = r == 0 ? reader.position.seqno : 0;

	if (seqno == life->pin.seqno)
		*ret_pin = life->pin;
	else if (seqno == life->pin_begun.seqno)
		*ret_pin = life->pin_begun;
	else {
		snprintf(error, error_size, "the reader is at %llu", (unsigned long long)seqno);
		return CRASH_E_WRONG;
	}
	return 0;
}

/* From the pin on, or from where history begins, each transaction's number comes once. */
static int read_feed(struct feed *feed, const struct pin *pin, uint32_t number, char *error,
		     size_t error_size)
{
	uint32_t before = pin->commits;
	bool first = pin->seqno == 0;
	struct feed_event event;
	int r;

	while ((r = feed_next(feed, &event)) == 0) {
		if (event.kind != FEED_INSERT || event.key.size != 6 ||
		    memcmp(event.key.bytes, "commit", 6) != 0)
			continue;
		uint32_t found = load_le32(event.value.bytes);
		if (!first && found != before + 1)
			break;
		first = false;
		before = found;
	}
	if (r == FEED_E_CORRUPT)
		snprintf(error, error_size, "%s", feed_error(feed));
	if (r < 0 || r == FEED_E_CORRUPT)
		return r < 0 ? r : CRASH_E_DETECTED;
	if (r == FEED_E_END && (first || before == number))
		return 0;
	snprintf(error, error_size, "the feed said %d behind commit %u, of %u to %u", r, before,
		 pin->commits, number);
	return CRASH_E_WRONG;
}

static int check_feed(const struct life *life, struct store *store, uint32_t number, char *error,
		      size_t error_size)
{
	struct pin pin;
	struct feed *feed;
	int r = find_pin(life, store, &pin, error, error_size);
	if (r != 0)
		return r;

	struct feed_options options = {.since = position_of(&pin), .window = 256};
	if (pin.seqno == 0)
		options.since.seqno = kv_history(store_kv(store));
	r = feed_open(store_kv(store), &options, &feed);
	if (r != 0)
		return r;
	r = read_feed(feed, &pin, number, error, error_size);
	feed_close(feed);
	return r;
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

	r = of_model(store_model_check(&model, store, &number, error, error_size));
	if (r == 0)
		r = check_feed(life, store, number, error, error_size);
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

static int complete(const void *context, char *error, size_t error_size)
{
	const struct life *life = context;
	const char *missing = store_census_missing(&life->model.census);

	if (missing == NULL)
		return 0;
	snprintf(error, error_size, "not one %s", missing);
	return CRASH_E_WRONG;
}

int main(int argc, char **argv)
{
	static const struct crash_workload workloads[] = {
		{.name = "short",
		 .begin = begin_short,
		 .run = run,
		 .check = check,
		 .end = end,
		 .complete = complete,
		 .rots = true,
		 .seeds = 1},
		{.name = "long",
		 .begin = begin_long,
		 .run = run,
		 .check = check,
		 .end = end,
		 .complete = complete,
		 .rots = true,
		 .at_max = LONG_AT_MAX,
		 .seeds = 1},
	};

	/* The 64 MiB for a transaction, of which little is used, are not to be filled each time,
	 * nor given back and got anew. */
	mallopt(M_PERTURB, 0);
	mallopt(M_MMAP_THRESHOLD, 1 << 30);
	mallopt(M_TRIM_THRESHOLD, 1 << 30);
	return crash_main(argc, argv, workloads, sizeof(workloads) / sizeof(workloads[0]));
}
