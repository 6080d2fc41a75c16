/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A store on a disk that loses power, fails, fills up and rots: transactions of every kind, group
 * commit, rotation of the log, flushes, compactions, checkpoints. What is there afterwards is one
 * of the states from the last acknowledged one on, whole; and the store goes on from it.
 */

#include "tests/lib/crash.h"
#include "tests/lib/store_model.h"

#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SHORT_COMMITS 100
#define LONG_COMMITS  600

/* The long life closes its store and opens it again every so often. */
#define REOPEN 130

/* What a store that wasn't stopped goes on after. */
#define FAILURES_MAX 2

struct life {
	struct store_model model;
	struct store *store;
	uint64_t seed;
	uint32_t commits;
	uint32_t reopen; /* 0: never */
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
	life->model.wide = reopen > 0;
	return life;
}

static void *begin_short(uint64_t seed)
{
	return begin(seed, SHORT_COMMITS, 0);
}

static void *begin_long(uint64_t seed)
{
	return begin(seed, LONG_COMMITS, REOPEN);
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
	return r;
}

static int live(struct life *life, struct io *io)
{
	int r = 0;

	while (r == 0 && life->model.commits < life->commits) {
		uint32_t number = life->model.commits;

		r = step(life);
		if (r == 0 && life->reopen > 0 && life->model.commits > number &&
		    life->model.commits % life->reopen == 0)
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
		{.name = "short",
		 .begin = begin_short,
		 .run = run,
		 .check = check,
		 .end = end,
		 .rots = true},
		{.name = "long",
		 .begin = begin_long,
		 .run = run,
		 .check = check,
		 .end = end,
		 .rots = true,
		 .at_max = 5},
	};

	/* The 64 MiB for a transaction, of which little is used, are not to be filled each time, nor
	 * given back and got anew. */
	mallopt(M_PERTURB, 0);
	mallopt(M_MMAP_THRESHOLD, 1 << 30);
	mallopt(M_TRIM_THRESHOLD, 1 << 30);
	return crash_main(argc, argv, workloads, sizeof(workloads) / sizeof(workloads[0]));
}
