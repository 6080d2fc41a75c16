/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A store on real files, in a process that is killed. The n-th operation is the model's n-th
 * transaction: so a child makes the model's transactions up to those that are done without a store,
 * and goes on with one.
 */

#include "base/byteorder.h"
#include "base/clock.h"
#include "tests/lib/killed.h"
#include "tests/lib/store_model.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* Seeds, each a folder and a row of children, on each io. */
#define SEEDS 5

/* States that a model keeps, and what a child has under way at most. */
#define STATES     64
#define UNTOLD_MAX 16

struct text {
	char *bytes;
	size_t size;
};

static struct store_options options_of(struct store_model *model)
{
	return (struct store_options){
		.create = true,
		.log_size = 256 << 10,
		.cache_pages = 128,
		.wal = {.segment_size = 256 << 10, .buffer_size = 64 << 10},
		.kv = {.memtable_size = 64 << 10,
		       .cache_size = 1 << 20,
		       .table_size = 64 << 10,
		       .level_size = 128 << 10,
		       .clock = store_model_clock,
		       .clock_context = model},
	};
}

/* A child's clock is where its transactions have brought it; the files' tables may be later. */
static void come_to(struct store_model *model, uint32_t number, char *error, size_t error_size)
{
	while (model->commits < number)
		(void)store_model_step(model, NULL, error, error_size);
	store_model_acknowledge(model);
}

static void begin_model(struct store_model *model, uint64_t seed)
{
	store_model_init(model, seed, STATES);
	model->row = true;
	model->wide = true;
}

/* Of opening a store that is locked, 10 ms each. */
#define LOCK_TRIES 1000

typedef int (*io_fn)(const char *folder, bool create, struct io **ret_io);

/* What a killed process had given its ring keeps the folder, and its lock, a moment longer. */
static int open_store(struct io *io, const struct store_options *options, struct store **ret_store,
		      char *error, size_t error_size)
{
	const struct timespec pause = {.tv_nsec = 10 * NS_PER_MS};
	int r = STORE_E_LOCKED;

	for (unsigned tries = 0; r == STORE_E_LOCKED && tries < LOCK_TRIES; tries++) {
		if (tries > 0)
			nanosleep(&pause, NULL);
		r = store_open(io, options, ret_store, error, error_size);
	}
	return r;
}

static int work(struct store_model *model, struct store *store, int tell, char *error,
		size_t error_size)
{
	for (;;) {
		int r = store_model_step(model, store, error, error_size);
		if (r == 0 && model->commits - model->acknowledged >= UNTOLD_MAX)
			r = store_model_result(store, store_sync(store), error, error_size);
		if (r == 0)
			r = store_model_work(model, store, error, error_size);
		if (r != 0)
			return r;
		if (store_is_done(store, model->lsn)) {
			store_model_acknowledge(model);
			killed_tell(tell, model->commits);
		}
	}
}

static int run_on(const char *folder, uint64_t seed, uint64_t done, int tell, io_fn make)
{
	struct store_model model;
	struct store *store;
	struct io *io;
	char error[256] = "";

	begin_model(&model, seed);
	come_to(&model, (uint32_t)done, error, sizeof(error));
	struct store_options options = options_of(&model);
	int r = make(folder, /* create= */ true, &io);
	if (r == 0)
		r = open_store(io, &options, &store, error, sizeof(error));
	if (r == 0)
		r = work(&model, store, tell, error, sizeof(error));
	fprintf(stderr, "child: %d %s\n", r, error);
	return r < 0 ? r : -EIO;
}

static int run_plain(const char *folder, uint64_t seed, uint64_t done, int tell)
{
	return run_on(folder, seed, done, tell, io_plain_new);
}

static int run_ring(const char *folder, uint64_t seed, uint64_t done, int tell)
{
	return run_on(folder, seed, done, tell, io_ring_new);
}

/* The number of the state that the store is in, by what it says itself. */
static int number_of(struct store *store, uint32_t *ret_number)
{
	struct entry_bytes key = {(const uint8_t *)"commit", 6};
	struct entry entry;
	int r = kv_get(store_kv(store), key, 0, 0, &entry);

	*ret_number = 0;
	if (r == KV_E_ABSENT)
		return 0;
	if (r == 0 && entry.value.size == 4)
		*ret_number = load_le32(entry.value.bytes);
	return r;
}

static void report(void *context, const char *line)
{
	struct text *text = context;

	snprintf(text->bytes, text->size, "%s", line);
}

static int compare(struct store_model *model, struct store *store, uint64_t *ret_done, char *error,
		   size_t error_size)
{
	struct text text = {error, error_size};
	uint64_t faults = 0;
	uint32_t number;
	int r = number_of(store, &number);
	if (r == 0) {
		come_to(model, number, error, error_size);
		r = store_model_check(model, store, &number, error, error_size);
	}
	if (r == 0)
		r = store_verify(store, report, &text, &faults);
	*ret_done = number;
	return r != 0 ? r : faults > 0;
}

static int check(const char *folder, uint64_t seed, uint64_t *ret_done, char *error,
		 size_t error_size)
{
	struct store_model model;
	struct store *store;
	struct io *io;

	begin_model(&model, seed);
	struct store_options options = options_of(&model);
	int r = io_plain_new(folder, /* create= */ true, &io);
	if (r != 0) {
		snprintf(error, error_size, "the folder: %s", strerror(-r));
		return 1;
	}
	r = open_store(io, &options, &store, error, error_size);
	if (r == 0) {
		r = compare(&model, store, ret_done, error, error_size);
		if (r < 0)
			snprintf(error, error_size, "%s", strerror(-r));
		if (store_close(store) != 0 && r == 0) {
			snprintf(error, error_size, "it doesn't close");
			r = 1;
		}
	}
	io_free(io);
	store_model_deinit(&model);
	return r != 0;
}

int main(void)
{
	static const struct killed_workload plain = {"plain", run_plain, check};
	static const struct killed_workload ring = {"ring", run_ring, check};
	struct io *io;
	int failed = 0;
	int error = io_ring_new(".", false, &io);

	if (error == 0)
		io_free(io);
	else
		printf("ring skipped: the kernel says %s\n", strerror(-error));
	for (uint64_t seed = 1; seed <= SEEDS && !failed; seed++) {
		failed = killed_loop(&plain, seed);
		if (!failed && error == 0)
			failed = killed_loop(&ring, SEEDS + seed);
	}
	return failed;
}
