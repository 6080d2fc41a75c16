/* SPDX-License-Identifier: Apache-2.0 */

/*
 * One store's feed applied to an empty one makes the same: random lives of a whole store (keys of
 * every kind, edges, vectors, schemas, ingested tables), whose feed another store applies in
 * transactions of its own, closed and opened again in between. The model of the first is then
 * compared with the second, which has to be sound in itself.
 *
 * TERN_SEED replays one seed; TERN_LONG takes many more, and longer lives.
 */

#include "engine/apply.h"

#include "tests/lib/faulty.h"
#include "tests/lib/store_model.h"
#include "tests/lib/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	COMMITS = 300,
	COMMITS_LONG = 2000,
	SEEDS = 6,
	SEEDS_LONG = 500,
	STAGED_MAX = 20,   /* events of a transaction */
	REOPEN_EVERY = 70, /* transactions */
	INGEST_EVERY = 90, /* commits */
};

static char error[256];

/* The first store and the second. */
struct pair {
	struct store_model model;
	struct faulty *source_disk;
	struct faulty *replica_disk;
	struct store *source;
	struct store *replica;
	struct rand rand;
};

static struct store *open_store(struct faulty *disk, struct store_model *model)
{
	struct store_options options = {
		.create = true,
		.log_size = 64 << 10,
		.cache_pages = 64,
		.wal = {.segment_size = 128 << 10, .buffer_size = 64 << 10, .salt = 1},
		.kv = {.memtable_size = 16 << 10,
		       .cache_size = 1 << 20,
		       .table_size = 32 << 10,
		       .level_size = 64 << 10,
		       .clock = store_model_clock,
		       .clock_context = model},
		.history = {.age = RETENTION_FOREVER,
			    .size = RETENTION_FOREVER,
			    .pin_age = RETENTION_FOREVER,
			    .pin_size = RETENTION_FOREVER},
	};
	struct store *store;

	if (store_open(faulty_io(disk), &options, &store, error, sizeof(error)) != 0)
		fail_msg("%s", error);
	return store;
}

static void expect(struct store_model *model, int result)
{
	if (result != 0)
		fail_msg("after %u commits: %d %s", model->commits, result, error);
}

static void live(struct pair *pair, uint32_t commits)
{
	struct store_model *model = &pair->model;

	while (model->commits < commits) {
		if (model->commits % INGEST_EVERY == INGEST_EVERY - 1)
			expect(model,
			       store_model_ingest(model, pair->source, faulty_io(pair->source_disk),
						  error, sizeof(error)));
		else
			expect(model, store_model_step(model, pair->source, error, sizeof(error)));
	}
	assert_int_equal(store_sync(pair->source), 0);
	store_model_acknowledge(model);
	store_model_release(model, pair->source);
}

/* A slice of what the replica has to do. */
static void work(struct pair *pair)
{
	enum kv_need need;
	int result;

	assert_int_equal(store_sync(pair->replica), 0);
	assert_int_equal(store_work(pair->replica, 0, &need), 0);
	result = need == KV_NEED_JOB ? store_job(pair->replica) : 0;
	assert_true(result == 0 || result == STORE_E_IDLE);
}

static void commit(struct pair *pair)
{
	uint64_t lsn;
	int result;

	while ((result = store_commit(pair->replica, STORE_NONE, &lsn)) == STORE_E_BUSY)
		work(pair);
	assert_int_equal(result, 0);
	work(pair);
}

static void close_and_open(struct pair *pair)
{
	assert_int_equal(store_close(pair->replica), 0);
	faulty_restart(pair->replica_disk, rand_next(&pair->rand));
	pair->replica = open_store(pair->replica_disk, &pair->model);
}

static void apply_all(struct pair *pair)
{
	struct feed_event event;
	struct feed *feed;
	uint64_t staged = 0, transactions = 0;
	int result;

	assert_int_equal(feed_open(store_kv(pair->source), &(struct feed_options){0}, &feed), 0);
	while ((result = feed_next(feed, &event)) == 0) {
		result = store_apply(pair->replica, &event);
		if (result == STORE_E_BUSY || result == STORE_E_SIZE) {
			commit(pair);
			result = store_apply(pair->replica, &event);
		}
		assert_int_equal(result, 0);
		if (++staged < 1 + rand_below(&pair->rand, STAGED_MAX))
			continue;
		commit(pair);
		staged = 0;
		if (++transactions % REOPEN_EVERY == 0)
			close_and_open(pair);
	}
	assert_int_equal(result, FEED_E_END);
	feed_close(feed);
	commit(pair);
	assert_int_equal(store_sync(pair->replica), 0);
}

static void report(void *context, const char *line)
{
	(void)context;
	print_error("%s\n", line);
}

static bool same(struct entry_bytes a, struct entry_bytes b)
{
	return a.size == b.size && memcmp(a.bytes, b.bytes, a.size) == 0;
}

/* Key by key, with types and times. */
static void compare_entries(struct store *source, struct store *replica)
{
	struct kv_cursor *a, *b;
	const struct entry_bytes first = {0};
	int result;

	assert_int_equal(kv_cursor_new(store_kv(source), 0, 0, &a), 0);
	assert_int_equal(kv_cursor_new(store_kv(replica), 0, 0, &b), 0);
	result = kv_cursor_seek(a, first);
	assert_int_equal(kv_cursor_seek(b, first), result);
	while (result == 0) {
		const struct entry *ours = kv_cursor_entry(a), *theirs = kv_cursor_entry(b);

		assert_true(same(ours->key, theirs->key));
		assert_true(same(ours->value, theirs->value));
		assert_int_equal(ours->type, theirs->type);
		assert_int_equal(ours->expires, theirs->expires);
		result = kv_cursor_next(a);
		assert_int_equal(kv_cursor_next(b), result);
	}
	assert_int_equal(result, KV_E_ABSENT);
	kv_cursor_free(a);
	kv_cursor_free(b);
}

/* As the model says, and each of its parts as the others. */
static void compare(struct pair *pair)
{
	uint64_t faults;
	uint32_t number;

	expect(&pair->model,
	       store_model_check(&pair->model, pair->replica, &number, error, sizeof(error)));
	assert_int_equal(number, pair->model.commits);
	assert_int_equal(store_verify(pair->replica, report, NULL, &faults), 0);
	assert_int_equal(faults, 0);
	compare_entries(pair->source, pair->replica);
}

static void begin(struct pair *pair, uint64_t seed, uint32_t commits)
{
	print_message("seed %llu\n", (unsigned long long)seed);
	*pair = (struct pair){.source_disk = faulty_new(seed),
			      .replica_disk = faulty_new(seed + 1)};
	rand_init(&pair->rand, seed);
	store_model_init(&pair->model, seed, commits + 1);
	pair->model.wide = true;
	pair->source = open_store(pair->source_disk, &pair->model);
	pair->replica = open_store(pair->replica_disk, &pair->model);
}

static void end(struct pair *pair)
{
	assert_int_equal(store_close(pair->replica), 0);
	assert_int_equal(store_close(pair->source), 0);
	store_model_deinit(&pair->model);
	faulty_free(pair->source_disk);
	faulty_free(pair->replica_disk);
}

static void run(uint64_t seed, uint32_t commits)
{
	struct pair pair;

	begin(&pair, seed, commits);
	live(&pair, commits);
	apply_all(&pair);
	compare(&pair);
	close_and_open(&pair);
	compare(&pair);
	end(&pair);
}

static void put(struct store *store, const char *key, const char *value, uint8_t type, uint64_t ttl)
{
	const struct store_put made = {
		.key = {(const uint8_t *)key, (uint32_t)strlen(key)},
		.value = {(const uint8_t *)value, (uint32_t)strlen(value)},
		.type = type,
		.ttl_seconds = ttl,
	};

	assert_int_equal(store_put(store, &made), 0);
}

/* Whether the store's own feed has a weak delete of the key. */
static bool has_weak(struct store *store, struct entry_bytes key)
{
	struct feed_event event;
	struct feed *feed;
	bool found = false;

	assert_int_equal(feed_open(store_kv(store), &(struct feed_options){0}, &feed), 0);
	while (feed_next(feed, &event) == 0)
		found |= event.kind == FEED_POINT_TOMBSTONE && event.weak && same(event.key, key);
	feed_close(feed);
	return found;
}

/* What the model doesn't look at: types, and that a delete was weak. */
static void types_times_and_weak_deletes_are_carried_over(void **state)
{
	const struct entry_bytes once = {(const uint8_t *)"once", 4};
	struct pair pair;
	uint64_t lsn;

	(void)state;
	begin(&pair, 1, 1);
	put(pair.source, "typed", "a", 7, 0);
	put(pair.source, "late", "b", 0, 1000);
	put(pair.source, "over", "c", 0, 10);
	put(pair.source, "once", "d", 1, 0);
	assert_int_equal(store_delete_weak(pair.source, once), 0);
	assert_int_equal(store_commit(pair.source, STORE_SYNC, &lsn), 0);
	assert_int_equal(store_sync(pair.source), 0);
	pair.model.clock += 100;
	apply_all(&pair);
	compare_entries(pair.source, pair.replica);
	pair.model.clock += 1000;
	compare_entries(pair.source, pair.replica);
	assert_true(has_weak(pair.replica, once));
	end(&pair);
}

static void a_feed_applied_to_an_empty_store_makes_the_same_store(void **state)
{
	const char *seed = getenv("TERN_SEED");
	bool is_long = getenv("TERN_LONG") != NULL;

	(void)state;
	if (seed != NULL) {
		run(strtoull(seed, NULL, 10), is_long ? COMMITS_LONG : COMMITS);
		return;
	}
	for (uint64_t i = 1; i <= (is_long ? SEEDS_LONG : SEEDS); i++)
		run(i, is_long ? COMMITS_LONG : COMMITS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(types_times_and_weak_deletes_are_carried_over),
		cmocka_unit_test(a_feed_applied_to_an_empty_store_makes_the_same_store),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
