/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster/vectors.h"

#include "tests/lib/faulty.h"
#include "tests/lib/test.h"
#include "tests/lib/vectors_rig.h"

#include <dirent.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const struct entry_bytes name = {.bytes = (const uint8_t *)"words", .size = 5};
static const struct entry_bytes other_name = {.bytes = (const uint8_t *)"word", .size = 4};
static const struct vectors_schema schema = {
	.dim = VECTORS_RIG_DIM, .metric = METRIC_L2, .type = VECTOR_F32};

struct fixture {
	char folder[64];
	struct io *io;
	struct store *store;
	struct vectors *vectors;
	struct vectors_state state;
	uint32_t next_fill;
};

static uint64_t clock_stands(void *context)
{
	return 1700000000;
}

static void open_store(struct fixture *fixture)
{
	const struct store_options options = {
		.create = true,
		.wal = {.segment_size = 1 << 20, .buffer_size = 512 << 10},
		.kv = {.memtable_size = 64 << 10, .table_size = 64 << 10, .clock = clock_stands},
	};
	char error[256];

	assert_int_equal(io_plain_new(fixture->folder, /* create= */ true, &fixture->io), 0);
	int r = store_open(fixture->io, &options, &fixture->store, error, sizeof(error));
	if (r != 0)
		fail_msg("opening: %d %s", r, error);
}

static struct vectors *open_collection(struct fixture *fixture, struct entry_bytes which)
{
	const struct vectors_options options = {
		.name = which, .folder = fixture->folder, .growing_max = 64};
	struct vectors *vectors;
	char error[256];
	int r = vectors_open(fixture->store, &options, NULL, NULL, &vectors, error, sizeof(error));

	if (r != 0)
		fail_msg("opening the collection: %d %s", r, error);
	return vectors;
}

static void close_all(struct fixture *fixture)
{
	vectors_close(fixture->vectors);
	fixture->vectors = NULL;
	assert_int_equal(store_close(fixture->store), 0);
	io_free(fixture->io);
}

static void reopen(struct fixture *fixture)
{
	close_all(fixture);
	open_store(fixture);
	fixture->vectors = open_collection(fixture, name);
}

static int set_up_type(void **state, enum vector_type type)
{
	static struct fixture fixture;
	struct vectors_schema wanted = schema;

	memset(&fixture, 0, sizeof(fixture));
	snprintf(fixture.folder, sizeof(fixture.folder), "/tmp/test_vectors.XXXXXX");
	assert_non_null(mkdtemp(fixture.folder));
	open_store(&fixture);
	wanted.type = type;
	assert_int_equal(vectors_create(fixture.store, name, &wanted), 0);
	fixture.vectors = open_collection(&fixture, name);
	*state = &fixture;
	return 0;
}

static int set_up(void **state)
{
	return set_up_type(state, VECTOR_F32);
}

static int set_up_u8(void **state)
{
	return set_up_type(state, VECTOR_U8);
}

static int set_up_i8(void **state)
{
	return set_up_type(state, VECTOR_I8);
}

static int tear_down(void **state)
{
	struct fixture *fixture = *state;
	char command[128];

	close_all(fixture);
	snprintf(command, sizeof(command), "rm -r '%s'", fixture->folder);
	assert_int_equal(system(command), 0);
	return 0;
}

static void put(struct fixture *fixture, uint32_t label, enum store_durability durability)
{
	float values[VECTORS_RIG_DIM];
	struct entry_bytes payload = {(const uint8_t *)"payload", label % 8};

	fixture->state.fills[label] = ++fixture->next_fill;
	vectors_rig_values(vectors_schema(fixture->vectors)->type, fixture->next_fill, values);
	assert_int_equal(vectors_put(fixture->vectors, label, values, payload), 0);
	assert_int_equal(vectors_rig_commit(fixture->store, durability), 0);
}

static void delete (struct fixture *fixture, uint32_t label, enum store_durability durability)
{
	fixture->state.fills[label] = 0;
	assert_int_equal(vectors_delete(fixture->vectors, label), 0);
	assert_int_equal(vectors_rig_commit(fixture->store, durability), 0);
}

static void catch_up_and_compare(struct fixture *fixture)
{
	vectors_rig_catch_up(fixture->vectors);
	vectors_rig_compare(fixture->vectors, &fixture->state);
}

static void put_row(struct fixture *fixture, uint32_t first, uint32_t count)
{
	for (uint32_t i = first; i < first + count; i++)
		put(fixture, i, STORE_NONE);
}

/* Every type a test runs with: puts, replacements, deletions, more than a growing index takes. */
static void changes_are_found(void **state)
{
	struct fixture *fixture = *state;

	put_row(fixture, 0, 150);
	catch_up_and_compare(fixture);
	put_row(fixture, 50, 100);
	for (uint32_t i = 0; i < 150; i += 7)
		delete (fixture, i, STORE_NONE);
	catch_up_and_compare(fixture);
	/* Deleting what isn't there is no error, and changes nothing. */
	delete (fixture, 7, STORE_SYNC);
	delete (fixture, 199, STORE_SYNC);
	catch_up_and_compare(fixture);
	reopen(fixture);
	assert_false(vectors_was_saved(fixture->vectors));
	vectors_rig_compare(fixture->vectors, &fixture->state);
}

static void payloads_are_kept_with_the_vector(void **state)
{
	struct fixture *fixture = *state;
	uint8_t key[KEYS_VECTOR_MAX];
	struct vector_value value;
	struct entry entry;

	put(fixture, 6, STORE_SYNC);
	uint32_t size = keys_vector((struct vector_key){.collection = name, .label = 6}, key);
	assert_int_equal(
		kv_get(store_kv(fixture->store), (struct entry_bytes){key, size}, 0, 0, &entry), 0);
	assert_true(keys_vector_value_read(entry.value, &value));
	assert_int_equal(value.element_type, VECTOR_F32);
	assert_int_equal(value.vector.size, VECTORS_RIG_DIM * sizeof(float));
	assert_int_equal(value.payload.size, 6);
	assert_memory_equal(value.payload.bytes, "payloa", 6);
}

/* One call of vectors_follow() with room for all says so, and searches see all of it. */
static void what_is_acknowledged_is_seen_after_following_once(void **state)
{
	static const enum store_durability durabilities[] = {STORE_SYNC, STORE_GROUP, STORE_NONE};
	struct fixture *fixture = *state;

	for (uint32_t i = 0; i < 30; i++) {
		enum live_need need;
		bool caught_up = false;
		put(fixture, i % 12, durabilities[i % 3]);
		assert_int_equal(vectors_follow(fixture->vectors, 1000, &caught_up, &need), 0);
		assert_true(caught_up);
		vectors_rig_compare(fixture->vectors, &fixture->state);
	}
	delete (fixture, 3, STORE_GROUP);
	enum live_need need;
	bool caught_up = false;
	assert_int_equal(vectors_follow(fixture->vectors, 1000, &caught_up, &need), 0);
	assert_true(caught_up);
	vectors_rig_compare(fixture->vectors, &fixture->state);
}

/* Nothing of what is staged, or was taken back, gets into the index. */
static void what_is_not_committed_is_not_seen(void **state)
{
	struct fixture *fixture = *state;
	float values[VECTORS_RIG_DIM];

	put(fixture, 1, STORE_SYNC);
	vectors_rig_values(VECTOR_F32, 99, values);
	assert_int_equal(vectors_put(fixture->vectors, 1, values, (struct entry_bytes){0}), 0);
	catch_up_and_compare(fixture);
	store_rollback(fixture->store);
	catch_up_and_compare(fixture);
}

static void a_little_at_a_time_comes_to_the_same(void **state)
{
	struct fixture *fixture = *state;
	enum live_need need = LIVE_NEED_NOTHING;
	bool caught_up = false;

	put_row(fixture, 0, 150);
	put_row(fixture, 100, 50);
	for (unsigned calls = 0; !caught_up; calls++) {
		int r = vectors_follow(fixture->vectors, 1, &caught_up, &need);
		assert_true(r == 0 || r == VECTORS_E_BUSY);
		if (need == LIVE_NEED_BUILD)
			assert_int_equal(vectors_job(fixture->vectors), 0);
		assert_true(calls < 10000);
	}
	catch_up_and_compare(fixture);
}

/* What went to tables before it was followed is read by the queue. */
static void a_poll_core_follows_without_waiting(void **state)
{
	struct faulty *disk = faulty_new(1);
	const struct store_options options = {
		.create = true,
		.polls = true,
		.wal = {.segment_size = 1 << 20, .buffer_size = 512 << 10},
		.kv = {.memtable_size = 64 << 10, .clock = clock_stands},
	};
	const struct vectors_options collection = {.name = name, .growing_max = 64};
	struct fixture fixture = {0};
	enum live_need need = LIVE_NEED_NOTHING;
	bool caught_up = false;
	char error[256];

	assert_int_equal(
		store_open(faulty_io(disk), &options, &fixture.store, error, sizeof(error)), 0);
	assert_int_equal(vectors_create(fixture.store, name, &schema), 0);
	assert_int_equal(vectors_open(fixture.store, &collection, NULL, NULL, &fixture.vectors,
				      error, sizeof(error)),
			 0);
	put_row(&fixture, 0, 150);
	assert_int_equal(store_checkpoint(fixture.store), 0);
	for (unsigned calls = 0; !caught_up || need != LIVE_NEED_NOTHING; calls++) {
		assert_true(calls < 100000);
		faulty_polls(disk, true);
		int r = vectors_follow(fixture.vectors, 10, &caught_up, &need);
		faulty_polls(disk, false);
		assert_true(r == 0 || r == VECTORS_E_BUSY);
		if (need == LIVE_NEED_BUILD)
			assert_int_equal(vectors_job(fixture.vectors), 0);
	}
	vectors_rig_compare(fixture.vectors, &fixture.state);
	vectors_close(fixture.vectors);
	assert_int_equal(store_close(fixture.store), 0);
	faulty_free(disk);
}

static void a_saved_index_is_taken_again(void **state)
{
	struct fixture *fixture = *state;

	put_row(fixture, 0, 120);
	delete (fixture, 5, STORE_NONE);
	assert_int_equal(vectors_save(fixture->vectors), 0);
	reopen(fixture);
	assert_true(vectors_was_saved(fixture->vectors));
	vectors_rig_compare(fixture->vectors, &fixture->state);
}

static void the_feed_brings_a_saved_index_up_to_date(void **state)
{
	struct fixture *fixture = *state;

	put_row(fixture, 0, 120);
	assert_int_equal(vectors_save(fixture->vectors), 0);
	put_row(fixture, 60, 120);
	for (uint32_t i = 0; i < 40; i++)
		delete (fixture, i, STORE_NONE);
	assert_int_equal(store_checkpoint(fixture->store), 0);
	put(fixture, 3, STORE_NONE);
	reopen(fixture);
	assert_true(vectors_was_saved(fixture->vectors));
	catch_up_and_compare(fixture);
}

/* Calls 'each' for every saved index. Returns how many there are. */
static unsigned each_saved(struct fixture *fixture, void (*each)(const char *path))
{
	DIR *folder = opendir(fixture->folder);
	unsigned count = 0;

	assert_non_null(folder);
	for (struct dirent *entry = readdir(folder); entry != NULL; entry = readdir(folder)) {
		char path[400];
		if (strncmp(entry->d_name, "index-", 6) != 0)
			continue;
		count++;
		snprintf(path, sizeof(path), "%s/%s", fixture->folder, entry->d_name);
		if (each != NULL)
			each(path);
	}
	closedir(folder);
	return count;
}

static void saving_again_leaves_one_file(void **state)
{
	struct fixture *fixture = *state;

	put_row(fixture, 0, 70);
	assert_int_equal(vectors_save(fixture->vectors), 0);
	put_row(fixture, 30, 70);
	assert_int_equal(vectors_save(fixture->vectors), 0);
	assert_int_equal(each_saved(fixture, NULL), 1);
	reopen(fixture);
	assert_true(vectors_was_saved(fixture->vectors));
	vectors_rig_compare(fixture->vectors, &fixture->state);
	/* Again without a change between. */
	assert_int_equal(vectors_save(fixture->vectors), 0);
	assert_int_equal(each_saved(fixture, NULL), 1);
}

static void remove_file(const char *path)
{
	assert_int_equal(unlink(path), 0);
}

static void flip_middle(const char *path)
{
	struct stat status;
	uint8_t byte;
	int fd = open(path, O_RDWR | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &status), 0);
	assert_int_equal(pread(fd, &byte, 1, status.st_size / 2), 1);
	byte ^= 4;
	assert_int_equal(pwrite(fd, &byte, 1, status.st_size / 2), 1);
	close(fd);
}

static void halve(const char *path)
{
	struct stat status;

	assert_int_equal(stat(path, &status), 0);
	assert_int_equal(truncate(path, status.st_size / 2), 0);
}

static void empty(const char *path)
{
	assert_int_equal(truncate(path, 0), 0);
}

static void a_saved_index_that_is_no_use_is_made_anew(void **state)
{
	static void (*const damages[])(const char *path) = {remove_file, flip_middle, halve, empty};
	struct fixture *fixture = *state;

	for (unsigned i = 0; i < sizeof(damages) / sizeof(damages[0]); i++) {
		put_row(fixture, 10 * i, 70);
		assert_int_equal(vectors_save(fixture->vectors), 0);
		put(fixture, i, STORE_NONE);
		assert_int_equal(each_saved(fixture, damages[i]), 1);
		reopen(fixture);
		assert_false(vectors_was_saved(fixture->vectors));
		vectors_rig_compare(fixture->vectors, &fixture->state);
	}
}

/* Compaction has dropped the deletions that the saved index lacks. */
static void a_saved_index_older_than_the_history_is_made_anew(void **state)
{
	struct fixture *fixture = *state;
	struct kv *kv = store_kv(fixture->store);

	put_row(fixture, 0, 120);
	assert_int_equal(vectors_save(fixture->vectors), 0);
	uint64_t saved = vectors_position(fixture->vectors);
	for (uint32_t i = 0; i < 40; i++)
		delete (fixture, i, STORE_NONE);
	vectors_close(fixture->vectors);
	fixture->vectors = NULL;
	kv_set_floor(kv, store_stats(fixture->store).lsn + 1);
	assert_int_equal(store_checkpoint(fixture->store), 0);
	kv_compact(kv);
	assert_int_equal(store_settle(fixture->store), 0);
	assert_true(kv_history(kv) > saved + 1);

	fixture->vectors = open_collection(fixture, name);
	assert_false(vectors_was_saved(fixture->vectors));
	vectors_rig_compare(fixture->vectors, &fixture->state);
	put_row(fixture, 30, 20);
	catch_up_and_compare(fixture);
}

static void two_collections_of_a_store_do_not_mix(void **state)
{
	struct fixture *fixture = *state;
	struct vectors_schema wanted = {.dim = VECTORS_RIG_DIM, .type = VECTOR_I8};
	struct vectors_state others = {{0}};
	float values[VECTORS_RIG_DIM];

	/* Its name begins that of the first. */
	assert_int_equal(vectors_create(fixture->store, other_name, &wanted), 0);
	struct vectors *other = open_collection(fixture, other_name);
	put_row(fixture, 0, 40);
	for (uint32_t i = 20; i < 60; i++) {
		others.fills[i] = 5000 + i;
		vectors_rig_values(VECTOR_I8, others.fills[i], values);
		assert_int_equal(vectors_put(other, i, values, (struct entry_bytes){0}), 0);
	}
	assert_int_equal(vectors_rig_commit(fixture->store, STORE_SYNC), 0);
	delete (fixture, 30, STORE_SYNC);
	catch_up_and_compare(fixture);
	vectors_rig_catch_up(other);
	vectors_rig_compare(other, &others);
	assert_int_equal(vectors_save(other), 0);
	assert_int_equal(vectors_save(fixture->vectors), 0);
	assert_int_equal(each_saved(fixture, NULL), 2);
	vectors_close(other);

	reopen(fixture);
	other = open_collection(fixture, other_name);
	assert_true(vectors_was_saved(fixture->vectors) && vectors_was_saved(other));
	vectors_rig_compare(fixture->vectors, &fixture->state);
	vectors_rig_compare(other, &others);
	vectors_close(other);
}

static void a_collection_has_one_schema(void **state)
{
	struct fixture *fixture = *state;
	struct vectors_schema wanted = schema, found;

	assert_int_equal(vectors_create(fixture->store, name, &wanted), 0);
	wanted.dim++;
	assert_int_equal(vectors_create(fixture->store, name, &wanted), VECTORS_E_EXISTS);
	wanted = schema;
	wanted.metric = METRIC_COSINE;
	assert_int_equal(vectors_create(fixture->store, name, &wanted), VECTORS_E_EXISTS);
	wanted = schema;
	wanted.type = VECTOR_U8;
	assert_int_equal(vectors_create(fixture->store, name, &wanted), VECTORS_E_EXISTS);
	assert_int_equal(vectors_schema_get(fixture->store, name, &found), 0);
	assert_int_equal(found.dim, schema.dim);
	assert_int_equal(found.type, schema.type);
	assert_int_equal(found.metric, schema.metric);
}

static void no_collection_is_made_of_nonsense(void **state)
{
	struct fixture *fixture = *state;
	struct entry_bytes new_name = {(const uint8_t *)"new", 3};
	struct entry_bytes no_name = {(const uint8_t *)"", 0};
	struct vectors_schema wanted = schema, found;

	assert_int_equal(vectors_create(fixture->store, no_name, &wanted), VECTORS_E_INVALID);
	wanted.dim = 0;
	assert_int_equal(vectors_create(fixture->store, new_name, &wanted), VECTORS_E_INVALID);
	wanted.dim = VECTORS_DIM_MAX + 1;
	assert_int_equal(vectors_create(fixture->store, new_name, &wanted), VECTORS_E_INVALID);
	wanted = schema;
	wanted.type = VECTOR_TYPE_COUNT;
	assert_int_equal(vectors_create(fixture->store, new_name, &wanted), VECTORS_E_INVALID);
	wanted = schema;
	wanted.metric = METRIC_COUNT;
	assert_int_equal(vectors_create(fixture->store, new_name, &wanted), VECTORS_E_INVALID);
	assert_int_equal(vectors_schema_get(fixture->store, new_name, &found), VECTORS_E_ABSENT);

	const struct vectors_options options = {.name = new_name};
	struct vectors *vectors;
	char error[256] = "";
	assert_int_equal(
		vectors_open(fixture->store, &options, NULL, NULL, &vectors, error, sizeof(error)),
		VECTORS_E_ABSENT);
	assert_true(error[0] != '\0');
}

static void refuse(struct fixture *fixture, const float *values, uint32_t payload_size)
{
	static uint8_t payload[VECTORS_PAYLOAD_MAX + 1];

	assert_int_equal(vectors_put(fixture->vectors, 1, values,
				     (struct entry_bytes){payload, payload_size}),
			 VECTORS_E_INVALID);
	assert_true(vectors_error(fixture->vectors)[0] != '\0');
}

static void values_that_the_type_cannot_have_are_refused(void **state)
{
	struct fixture *fixture = *state;
	float values[VECTORS_RIG_DIM] = {0};

	refuse(fixture, values, VECTORS_PAYLOAD_MAX + 1);
	if (vectors_schema(fixture->vectors)->type == VECTOR_F32) {
		values[7] = NAN;
		refuse(fixture, values, 0);
		values[7] = INFINITY;
		refuse(fixture, values, 0);
	} else {
		values[7] = 0.5f;
		refuse(fixture, values, 0);
		values[7] = 256;
		refuse(fixture, values, 0);
		values[7] = -129;
		refuse(fixture, values, 0);
	}
	catch_up_and_compare(fixture);
}

/* What someone else wrote under the collection's keys is said, not searched. */
static void a_value_that_is_no_vector_of_the_collection_is_said(void **state)
{
	struct fixture *fixture = *state;
	struct store_vector vector = {
		.key = {.collection = name, .label = 8},
		.element_type = VECTOR_F32,
		.vector = {(const uint8_t *)"abcd", 4},
	};
	enum live_need need;
	bool caught_up;

	assert_int_equal(store_vector_put(fixture->store, &vector), 0);
	assert_int_equal(vectors_rig_commit(fixture->store, STORE_SYNC), 0);
	assert_int_equal(vectors_follow(fixture->vectors, 1000, &caught_up, &need),
			 VECTORS_E_CORRUPT);
	assert_non_null(strstr(vectors_error(fixture->vectors), "vector 8"));
}

static void ignore(void *context, const char *line)
{
	unsigned *lines = context;

	++*lines;
}

static void the_check_finds_a_planted_difference(void **state)
{
	struct fixture *fixture = *state;
	float values[VECTORS_RIG_DIM];
	uint64_t faults;
	unsigned lines = 0;

	put_row(fixture, 0, 20);
	catch_up_and_compare(fixture);
	assert_int_equal(live_delete(vectors_live(fixture->vectors), 4), 0);
	assert_int_equal(vectors_check(fixture->vectors, ignore, &lines, &faults), 0);
	assert_int_equal(faults, 1);
	/* As many as there should be, but another. */
	vectors_rig_values(VECTOR_F32, 77, values);
	assert_int_equal(live_put(vectors_live(fixture->vectors), 50, values), 0);
	assert_int_equal(vectors_check(fixture->vectors, ignore, &lines, &faults), 0);
	assert_int_equal(faults, 2);
	assert_int_equal(live_delete(vectors_live(fixture->vectors), 50), 0);
	vectors_rig_values(VECTOR_F32, fixture->state.fills[4], values);
	assert_int_equal(live_put(vectors_live(fixture->vectors), 4, values), 0);
	assert_int_equal(live_put(vectors_live(fixture->vectors), 51, values), 0);
	assert_int_equal(vectors_check(fixture->vectors, ignore, &lines, &faults), 0);
	assert_int_equal(faults, 1);
	assert_int_equal(lines, 4);
}

#define OF(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		OF(changes_are_found),
		{"changes_are_found, u8", changes_are_found, set_up_u8, tear_down, NULL},
		{"changes_are_found, i8", changes_are_found, set_up_i8, tear_down, NULL},
		OF(payloads_are_kept_with_the_vector),
		OF(what_is_acknowledged_is_seen_after_following_once),
		OF(what_is_not_committed_is_not_seen),
		OF(a_little_at_a_time_comes_to_the_same),
		cmocka_unit_test(a_poll_core_follows_without_waiting),
		OF(a_saved_index_is_taken_again),
		OF(the_feed_brings_a_saved_index_up_to_date),
		OF(saving_again_leaves_one_file),
		OF(a_saved_index_that_is_no_use_is_made_anew),
		OF(a_saved_index_older_than_the_history_is_made_anew),
		OF(two_collections_of_a_store_do_not_mix),
		OF(a_collection_has_one_schema),
		OF(no_collection_is_made_of_nonsense),
		OF(values_that_the_type_cannot_have_are_refused),
		{"values_that_u8_cannot_have_are_refused",
		 values_that_the_type_cannot_have_are_refused, set_up_u8, tear_down, NULL},
		{"values_that_i8_cannot_have_are_refused",
		 values_that_the_type_cannot_have_are_refused, set_up_i8, tear_down, NULL},
		OF(a_value_that_is_no_vector_of_the_collection_is_said),
		OF(the_check_finds_a_planted_difference),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
