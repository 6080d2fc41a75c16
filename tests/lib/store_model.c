/* SPDX-License-Identifier: Apache-2.0 */

#include "tests/lib/store_model.h"

#include "base/byteorder.h"
#include "base/clock.h"
#include "base/defs.h"
#include "engine/edge.h"
#include "engine/table.h"
#include "tests/lib/test.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define NONE UINT32_MAX

/* Changes of one transaction. */
#define CHANGE_MAX 6

/* Seconds that a value of a wide model lives at most, most times, and by which the clock moves. */
#define TTL_MAX     400
#define TTL_SHORT   20
#define SECONDS_MAX 4

#define CLOCK_BEGIN UINT64_C(1700000000)

/* Times that what isn't there yet is asked for again. */
#define AGAIN_MAX 100000

static uint8_t filled[MODEL_VALUE_MAX];

static struct entry_bytes bytes_of(struct model_value value)
{
	for (uint32_t i = 0; i < value.size; i++)
		filled[i] = (uint8_t)(value.fill + i * (value.fill >> 8 | 1));
	return (struct entry_bytes){.bytes = filled, .size = value.size};
}

static struct entry_bytes key_of(const char *prefix, uint32_t number)
{
	static char key[32];
	int size = snprintf(key, sizeof(key), "%s%03u", prefix, number);

	return (struct entry_bytes){.bytes = (const uint8_t *)key, .size = (uint32_t)size};
}

static struct vector_key vector_of(uint32_t label)
{
	return (struct vector_key){.collection = {.bytes = (const uint8_t *)"c", .size = 1},
				   .label = label};
}

static struct model_state *state_of(const struct store_model *model, uint32_t number)
{
	return &model->states[number % model->state_max];
}

void store_model_init(struct store_model *model, uint64_t seed, uint32_t state_max)
{
	*model = (struct store_model){
		.states = calloc(state_max, sizeof(struct model_state)),
		.state_max = state_max,
		.seed = seed,
		.clock = CLOCK_BEGIN,
		.now_ns = 1,
	};
	assert_non_null(model->states);
	rand_init(&model->rand, seed);
	for (uint32_t i = 0; i < MODEL_KEY_MAX; i++)
		model->states[0].keys[i].size = NONE;
	for (uint32_t i = 0; i < MODEL_WEAK_MAX; i++)
		model->states[0].weak[i].size = NONE;
	for (uint32_t i = 0; i < MODEL_VECTOR_MAX; i++)
		model->states[0].vectors[i].size = NONE;
	model->states[0].schema.size = NONE;
}

uint64_t store_model_clock(void *context)
{
	const struct store_model *model = context;

	return model->clock;
}

void store_model_polls(const struct store_model *model, bool polls)
{
	if (model->disk != NULL)
		faulty_polls(model->disk, polls);
}

void store_model_deinit(struct store_model *model)
{
	free(model->states);
}

static uint32_t below(struct store_model *model, uint32_t bound)
{
	return (uint32_t)rand_below(&model->rand, bound);
}

static void count(struct store_model *model, enum census_kind kind)
{
	model->census.counts[kind]++;
}

/* Mostly small, sometimes large enough for a blob file. */
static struct model_value random_value(struct store_model *model)
{
	uint32_t size_max = below(model, model->wide ? 3 : 8) == 0 ? MODEL_VALUE_MAX : 200;

	return (struct model_value){.size = below(model, size_max), .fill = below(model, 1u << 20)};
}

static int change_put(struct store_model *model, struct store *store, struct model_state *state)
{
	uint32_t key = below(model, MODEL_KEY_MAX);
	struct model_value value = random_value(model);
	struct store_put put = {.value = bytes_of(value), .key = key_of("k", key)};

	if (model->wide && below(model, 3) == 0) {
		put.ttl_seconds = 1 + below(model, below(model, 2) == 0 ? TTL_MAX : TTL_SHORT);
		value.expires = model->clock + put.ttl_seconds;
	}
	count(model, value.expires > 0 ? CENSUS_PUT_TTL : CENSUS_PUT);
	state->keys[key] = value;
	return store == NULL ? 0 : store_put(store, &put);
}

/* A poll core is told to come again for pages. */
static int stage_edge(struct store_model *model, struct store *store, struct edge_key edge,
		      bool added)
{
	int r = STORE_E_BUSY;

	for (uint32_t tries = 0; tries < MODEL_TRIES_MAX; tries++) {
		r = added ? store_edge_add(store, edge) : store_edge_remove(store, edge);
		if (model->disk == NULL || (r != STORE_E_WAIT && r != STORE_E_BUSY))
			return r;
		model->now_ns += NS_PER_MS;
		r = store_poll(store, model->now_ns);
		if (r != 0)
			return r;
	}
	return STORE_E_BUSY;
}

static int change_delete(struct store_model *model, struct store *store, struct model_state *state)
{
	uint32_t key = below(model, MODEL_KEY_MAX);

	count(model, CENSUS_DELETE);
	state->keys[key].size = NONE;
	return store == NULL ? 0 : store_delete(store, key_of("k", key));
}

static int change_range(struct store_model *model, struct store *store, struct model_state *state)
{
	uint32_t start = below(model, MODEL_KEY_MAX - 1);
	uint32_t end = start + 1 + below(model, MODEL_KEY_MAX - start - 1);
	char first[8];
	struct entry_bytes low = {(const uint8_t *)first,
				  (uint32_t)snprintf(first, sizeof(first), "k%03u", start)};

	count(model, CENSUS_DELETE_RANGE);
	for (uint32_t i = start; i < end; i++)
		state->keys[i].size = NONE;
	return store == NULL ? 0 : store_delete_range(store, low, key_of("k", end));
}

static int change_merge(struct store_model *model, struct store *store, struct model_state *state)
{
	uint32_t key = below(model, MODEL_KEY_MAX);
	uint32_t by = below(model, 1000);
	uint8_t operand[8];

	count(model, CENSUS_MERGE);
	store_le64(operand, by);
	state->counters[key] += by;
	state->counted[key] = true;
	return store == NULL
		       ? 0
		       : store_merge(store, 1, key_of("m", key), (struct entry_bytes){operand, 8});
}

static int change_edge(struct store_model *model, struct store *store, struct model_state *state)
{
	uint32_t from = below(model, MODEL_NODE_MAX);
	uint32_t to = below(model, MODEL_NODE_MAX);
	struct edge_key edge = {.source = (int64_t)from - 3, .target = (int64_t)to - 3};

	count(model, state->edges[from][to] == 0 ? CENSUS_EDGE_ADD : CENSUS_EDGE_REMOVE);
	if (state->edges[from][to] == 0) {
		state->edges[from][to] = ++model->next_edge;
		return store == NULL ? 0 : stage_edge(model, store, edge, true);
	}
	state->edges[from][to] = 0;
	return store == NULL ? 0 : stage_edge(model, store, edge, false);
}

static int change_vector(struct store_model *model, struct store *store, struct model_state *state)
{
	uint32_t label = below(model, MODEL_VECTOR_MAX);
	struct store_vector vector = {.key = vector_of(label),
				      .payload = {(const uint8_t *)"p", 1}};

	if (state->vectors[label].size != NONE && below(model, 3) == 0) {
		count(model, CENSUS_VECTOR_DELETE);
		state->vectors[label].size = NONE;
		return store == NULL ? 0 : store_vector_delete(store, vector.key);
	}
	count(model, CENSUS_VECTOR_PUT);
	state->vectors[label] = (struct model_value){.size = 64, .fill = below(model, 1u << 20)};
	vector.vector = bytes_of(state->vectors[label]);
	return store == NULL ? 0 : store_vector_put(store, &vector);
}

static int change_weak(struct store_model *model, struct store *store, struct model_state *state)
{
	uint32_t key = below(model, MODEL_WEAK_MAX);

	if (state->weak[key].size != NONE) {
		count(model, CENSUS_DELETE_WEAK);
		state->weak[key].size = NONE;
		return store == NULL ? 0 : store_delete_weak(store, key_of("w", key));
	}
	state->weak[key] = random_value(model);
	struct store_put put = {.value = bytes_of(state->weak[key]), .key = key_of("w", key)};
	return store == NULL ? 0 : store_put(store, &put);
}

static int change_schema(struct store_model *model, struct store *store, struct model_state *state)
{
	count(model, CENSUS_SCHEMA);
	state->schema =
		(struct model_value){.size = 1 + below(model, 40), .fill = below(model, 99)};
	return store == NULL
		       ? 0
		       : store_schema_put(store, vector_of(0).collection, bytes_of(state->schema));
}

/* ---- steps ---- */

static int say(char *error, size_t error_size, int result, const char *text)
{
	snprintf(error, error_size, "%s", text);
	return result;
}

int store_model_result(struct store *store, int result, char *error, size_t error_size)
{
	switch (result) {
	case STORE_E_STOPPED:
		return -EIO;
	case STORE_E_BUSY:
		return -EAGAIN;
	case STORE_E_CORRUPT:
		return say(error, error_size, MODEL_E_CORRUPT, store_error(store));
	default:
		break;
	}
	if (result <= 0)
		return result;
	snprintf(error, error_size, "the store said %d", result);
	return MODEL_E_WRONG;
}

int store_model_work(struct store_model *model, struct store *store, char *error, size_t error_size)
{
	enum kv_need need;

	model->now_ns += NS_PER_MS;
	store_model_polls(model, true);
	int r = store_work(store, model->now_ns, &need);
	store_model_polls(model, false);
	if (r == 0 && need == KV_NEED_JOB)
		r = store_job(store);
	store_census_look(&model->census, store);
	return r == STORE_E_IDLE ? 0 : store_model_result(store, r, error, error_size);
}

/* A disk in memory gets on by being polled; a real one takes its time, and other threads the
 * processor. */
static void give_time(const struct store_model *model, uint32_t tries)
{
	const struct timespec pause = {.tv_nsec = 10 * NS_PER_MS};

	if (model->disk == NULL && tries > MODEL_TRIES_MAX / 10)
		nanosleep(&pause, NULL);
}

int store_model_wait(struct store_model *model, struct store *store, char *error, size_t error_size)
{
	for (uint32_t tries = 0; tries < MODEL_TRIES_MAX; tries++) {
		if (store_is_done(store, model->lsn)) {
			store_model_acknowledge(model);
			return 0;
		}
		give_time(model, tries);
		int r = store_model_work(model, store, error, error_size);
		if (r != 0)
			return r;
	}
	return wal_failed(store_wal(store)) == -ENOSPC
		       ? -ENOSPC
		       : say(error, error_size, MODEL_E_WRONG, "a commit is never done");
}

static int commit(struct store_model *model, struct store *store, char *error, size_t error_size)
{
	enum store_durability durability = below(model, 4) == 0   ? STORE_NONE
					   : below(model, 4) == 0 ? STORE_GROUP
								  : STORE_SYNC;

	bool full = false;

	count(model, durability == STORE_NONE    ? CENSUS_NONE
		     : durability == STORE_GROUP ? CENSUS_GROUP
						 : CENSUS_SYNC);
	for (uint32_t tries = 0; tries < (full ? MODEL_FULL_MAX : MODEL_TRIES_MAX); tries++) {
		store_model_polls(model, true);
		int r = store_commit(store, durability, &model->lsn);
		store_model_polls(model, false);
		if (r != STORE_E_BUSY && r != STORE_E_WAIT)
			return store_model_result(store, r, error, error_size);
		give_time(model, tries);
		r = store_model_work(model, store, error, error_size);
		full |= r == -ENOSPC || wal_failed(store_wal(store)) == -ENOSPC;
		if (r != 0 && r != -ENOSPC)
			return r;
	}
	return full ? -ENOSPC : say(error, error_size, MODEL_E_WRONG, "the store stays busy");
}

typedef int (*change_fn)(struct store_model *model, struct store *store, struct model_state *state);

static int stage(struct store_model *model, struct store *store, struct model_state *state,
		 char *error, size_t error_size)
{
	static const change_fn changes[] = {change_put,    change_put,   change_put,
					    change_delete, change_range, change_merge,
					    change_edge,   change_edge,  change_vector,
					    change_weak,   change_weak,  change_schema};
	uint32_t kinds = sizeof(changes) / sizeof(changes[0]) - (model->wide ? 0 : 3);
	uint8_t text[4];
	struct store_put mark = {.key = {(const uint8_t *)"commit", 6}, .value = {text, 4}};

	store_le32(text, model->commits);
	store_model_polls(model, true);
	int r = store == NULL ? 0 : store_put(store, &mark);
	for (uint32_t i = below(model, CHANGE_MAX); i > 0 && r == 0; i--)
		r = changes[below(model, kinds)](model, store, state);
	store_model_polls(model, false);
	return store_model_result(store, r, error, error_size);
}

/* One snapshot is let go, and perhaps another one taken in its place. */
static int turn_snapshot(struct store_model *model, struct store *store)
{
	uint64_t *snapshot = &model->snapshots[below(model, MODEL_SNAPSHOT_MAX)];

	if (*snapshot != 0)
		kv_snapshot_release(store_kv(store), *snapshot);
	*snapshot = 0;
	if (below(model, 4) == 0)
		return 0;
	count(model, CENSUS_SNAPSHOT);
	return kv_snapshot(store_kv(store), snapshot);
}

/* What is staged and rolled back is nowhere. */
static int try_in_vain(struct store_model *model, struct store *store, char *error,
		       size_t error_size)
{
	struct model_state scratch = *state_of(model, model->commits);
	int r = stage(model, store, &scratch, error, error_size);

	count(model, CENSUS_ROLLBACK);
	if (store != NULL)
		store_rollback(store);
	return r;
}

static void pass_time(struct store_model *model)
{
	const struct model_state *state = state_of(model, model->commits);
	uint64_t before = model->clock;

	model->clock += below(model, SECONDS_MAX);
	for (uint32_t i = 0; i < MODEL_KEY_MAX; i++) {
		const struct model_value *value = &state->keys[i];

		if (value->size != NONE && value->expires > before &&
		    value->expires <= model->clock)
			count(model, CENSUS_EXPIRED);
	}
}

static int check_snapshot(const struct store_model *model, struct store *store, uint64_t seqno,
			  char *error, size_t error_size);

static int step_wide(struct store_model *model, struct store *store, char *error, size_t error_size)
{
	int r = 0;

	pass_time(model);
	if (below(model, 12) == 0)
		r = try_in_vain(model, store, error, error_size);
	if (r != 0 || store == NULL || model->row || below(model, 16) != 0)
		return r;
	r = turn_snapshot(model, store);
	for (uint32_t i = 0; i < MODEL_SNAPSHOT_MAX && r == 0; i++) {
		if (model->snapshots[i] != 0)
			r = check_snapshot(model, store, model->snapshots[i], error, error_size);
	}
	return r;
}

int store_model_step(struct store_model *model, struct store *store, char *error, size_t error_size)
{
	uint32_t number = model->commits + 1;
	struct model_state *state = state_of(model, number);
	int r;

	if (model->row)
		rand_init(&model->rand, model->seed + number * UINT64_C(0x9E3779B97F4A7C15));
	r = model->wide ? step_wide(model, store, error, error_size) : 0;
	if (r != 0)
		return r;
	*state = *state_of(model, model->commits);
	model->commits = number;
	r = stage(model, store, state, error, error_size);
	bool staged = r == 0;
	if (r == 0 && store != NULL)
		r = commit(model, store, error, error_size);
	if (r != 0)
		store_rollback(store);
	/* Only what stopped at its commit may be in the log all the same. */
	if (r == -ENOSPC || (r != 0 && !staged))
		model->commits = number - 1;
	return r == -EAGAIN ? store_model_work(model, store, error, error_size) : r;
}

/* ---- a table from elsewhere ---- */

/* As a table's entry, with the number 0. */
static int add_entry(struct table_writer *writer, struct entry_bytes key, struct entry_bytes value)
{
	const struct entry entry = {.key = key, .value = value, .kind = ENTRY_VALUE};

	return table_writer_add(writer, &entry);
}

/* Sets the commit's number, and a run of keys. */
static int write_table(struct store_model *model, struct model_state *state, struct io *io,
		       uint64_t number, uint32_t *ret_count)
{
	const struct table_writer_options options = {0};
	uint32_t first = below(model, MODEL_KEY_MAX - 8), end = first + 1 + below(model, 8);
	char name[IO_NAME_MAX + 1];
	struct table_writer *writer;
	struct table_summary summary;
	uint8_t text[4];

	kv_table_name(number, name);
	store_le32(text, model->commits);
	int r = table_writer_new(io, name, &options, &writer);
	if (r != 0)
		return r;
	r = add_entry(writer, (struct entry_bytes){(const uint8_t *)"commit", 6},
		      (struct entry_bytes){text, 4});
	for (uint32_t key = first; key < end && r == 0; key++) {
		state->keys[key] = (struct model_value){.size = below(model, 200), .fill = key};
		r = add_entry(writer, key_of("k", key), bytes_of(state->keys[key]));
	}
	*ret_count = 1 + end - first;
	if (r != 0) {
		table_writer_abort(writer);
		return r;
	}
	r = table_writer_finish(writer, &summary);
	return r == 0 ? io_sync_folder(io) : r;
}

/* Until it holds, or fails for good. */
static int take_in(struct store_model *model, struct store *store, struct record *record,
		   char *error, size_t error_size)
{
	for (uint32_t tries = 0, faults = 0; tries < MODEL_TRIES_MAX; tries++) {
		int r = wal_position(store_wal(store)).durable < record->lsn
				? store_model_result(store, store_sync(store), error, error_size)
				: kv_apply(store_kv(store), record, /* more= */ false);
		if (r == 0 && kv_applied(store_kv(store)) >= record->lsn)
			return 0;
		if (r == KV_E_BUSY)
			r = store_model_work(model, store, error, error_size);
		if (r > 0)
			return r;
		if (r != 0 && faults++ == MODEL_FULL_MAX)
			break;
	}
	return -EIO;
}

int store_model_ingest(struct store_model *model, struct store *store, struct io *io, char *error,
		       size_t error_size)
{
	struct model_state *state = state_of(model, model->commits + 1);
	uint64_t number = ledger_next_file(store_ledger(store));
	struct record record = {.type = RECORD_TABLE_INGEST, .timestamp = model->clock};
	uint32_t entries;

	*state = *state_of(model, model->commits);
	model->commits++;
	int r = write_table(model, state, io, number, &entries);
	if (r == 0)
		r = store_model_result(store, store_sync(store), error, error_size);
	record.ingest.table = number;
	record.ingest.entries = entries;
	if (r == 0)
		r = wal_append(store_wal(store), &record);
	if (r != 0) {
		model->commits--;
		return r > 0 ? -EIO : r;
	}
	model->lsn = record.lsn;
	count(model, CENSUS_INGEST);
	r = take_in(model, store, &record, error, error_size);
	return r < 0 ? -EIO : r;
}

void store_model_acknowledge(struct store_model *model)
{
	model->acknowledged = model->commits;
}

void store_model_release(struct store_model *model, struct store *store)
{
	for (uint32_t i = 0; i < MODEL_SNAPSHOT_MAX; i++) {
		if (model->snapshots[i] != 0)
			kv_snapshot_release(store_kv(store), model->snapshots[i]);
		model->snapshots[i] = 0;
	}
}

/* ---- comparing ---- */

struct compare {
	const struct store_model *model;
	const struct model_state *state;
	struct store *store;
	uint64_t seqno; /* 0: what is visible */
	bool graph;     /* the pages too, which show the last commit */
	char *error;
	size_t error_size;
};

static int PRINTF_LIKE(2, 3) wrong(const struct compare *compare, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(compare->error, compare->error_size, format, arguments);
	va_end(arguments);
	return MODEL_E_WRONG;
}

/* The value, if there is one. Returns 0, MODEL_E_CORRUPT, MODEL_E_WRONG or a negative errno. */
static int get(const struct compare *compare, struct entry_bytes key, bool *ret_there,
	       struct entry *ret_entry)
{
	struct kv *kv = store_kv(compare->store);
	unsigned flags = compare->model->disk != NULL ? KV_WAIT_NEVER : 0;
	int r = KV_E_WAIT;

	for (uint32_t tries = 0; r == KV_E_WAIT && tries < AGAIN_MAX; tries++) {
		r = kv_get(kv, key, compare->seqno, flags, ret_entry);
		if (r == KV_E_WAIT)
			kv_poll(kv);
	}

	*ret_there = r == 0;
	switch (r) {
	case 0:
	case KV_E_ABSENT:
		return 0;
	case KV_E_CORRUPT:
		return say(compare->error, compare->error_size, MODEL_E_CORRUPT, kv_error(kv));
	default:
		return r < 0 ? r
			     : wrong(compare, "%.*s: kv_get() said %d", (int)key.size, key.bytes,
				     r);
	}
}

static bool is_there(const struct compare *compare, struct model_value value)
{
	return value.size != NONE && (value.expires == 0 || compare->model->clock < value.expires);
}

static bool has_bytes(struct entry_bytes found, struct model_value expected)
{
	return found.size == expected.size &&
	       memcmp(found.bytes, bytes_of(expected).bytes, expected.size) == 0;
}

static int compare_values(const struct compare *compare, const char *prefix,
			  const struct model_value *values, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		struct entry entry;
		bool there;
		int r = get(compare, key_of(prefix, i), &there, &entry);
		if (r != 0)
			return r;
		if (there != is_there(compare, values[i]))
			return wrong(compare, "key %s%03u is %s", prefix, i,
				     there ? "there" : "absent");
		if (there && !has_bytes(entry.value, values[i]))
			return wrong(compare, "key %s%03u has another value", prefix, i);
	}
	return 0;
}

static int compare_counters(const struct compare *compare)
{
	const struct model_state *state = compare->state;

	for (uint32_t i = 0; i < MODEL_KEY_MAX; i++) {
		struct entry entry;
		bool there;
		int r = get(compare, key_of("m", i), &there, &entry);
		if (r != 0)
			return r;
		if (there != state->counted[i])
			return wrong(compare, "counter %u is %s", i, there ? "there" : "absent");
		if (there && (entry.value.size != 8 ||
			      load_le64(entry.value.bytes) != (uint64_t)state->counters[i]))
			return wrong(compare, "counter %u has another value", i);
	}
	return 0;
}

static int compare_schema(const struct compare *compare)
{
	struct model_value expected = compare->state->schema;
	uint8_t key[KEYS_VECTOR_MAX];
	uint32_t size = keys_schema(vector_of(0).collection, key);
	struct entry entry;
	bool there;
	int r = get(compare, (struct entry_bytes){key, size}, &there, &entry);
	if (r != 0)
		return r;

	if (there != (expected.size != NONE))
		return wrong(compare, "the schema is %s", there ? "there" : "absent");
	return !there || has_bytes(entry.value, expected) ? 0
							  : wrong(compare, "the schema is another");
}

static int compare_vectors(const struct compare *compare)
{
	for (uint32_t i = 0; i < MODEL_VECTOR_MAX; i++) {
		struct model_value expected = compare->state->vectors[i];
		uint8_t key[KEYS_VECTOR_MAX];
		uint32_t size = keys_vector(vector_of(i), key);
		struct vector_value value;
		struct entry entry;
		bool there;
		int r = get(compare, (struct entry_bytes){key, size}, &there, &entry);
		if (r != 0)
			return r;
		if (there != (expected.size != NONE))
			return wrong(compare, "vector %u is %s", i, there ? "there" : "absent");
		if (there && (!keys_vector_value_read(entry.value, &value) ||
			      !has_bytes(value.vector, expected) || value.payload.size != 1))
			return wrong(compare, "vector %u is another", i);
	}
	return 0;
}

/* What the graph said, in the model's words. */
static int of_edge(const struct compare *compare, int result)
{
	if (result == EDGE_E_CORRUPT)
		return say(compare->error, compare->error_size, MODEL_E_CORRUPT,
			   pager_error(store_pager(compare->store)));
	return result > 0 ? wrong(compare, "the graph said %d", result) : result;
}

/* Whether the graph is to be asked again. */
static bool is_again(const struct compare *compare, int result)
{
	if (compare->model->disk == NULL || (result != EDGE_E_WAIT && result != EDGE_E_BUSY))
		return false;
	pager_poll(store_pager(compare->store));
	return true;
}

static int compare_edge(const struct compare *compare, uint32_t from, uint32_t to)
{
	struct edge_key edge = {(int64_t)from - 3, (int64_t)to - 3};
	bool expected = compare->state->edges[from][to] != 0;
	uint8_t key[KEYS_EDGE_SIZE];
	struct entry entry;
	bool there;

	keys_edge(edge, key);
	int r = get(compare, (struct entry_bytes){key, sizeof(key)}, &there, &entry);
	if (r != 0)
		return r;
	if (there != expected)
		return wrong(compare, "key of edge %u to %u is %s", from, to,
			     there ? "there" : "absent");
	if (!compare->graph)
		return 0;
	for (uint32_t tries = 0; tries < AGAIN_MAX; tries++) {
		r = edge_has(store_pager(compare->store), edge.source, edge.target);
		if (!is_again(compare, r))
			break;
	}
	if (r != 0 && r != EDGE_E_ABSENT)
		return of_edge(compare, r);
	if ((r == 0) != expected)
		return wrong(compare, "edge %u to %u is %s", from, to, r == 0 ? "there" : "absent");
	return 0;
}

/* Up to MODEL_NODE_MAX + 1 of them. Where pages are waited for they come in several parts. */
static int neighbours(const struct compare *compare, int64_t node, bool incoming,
		      int64_t *ret_nodes, uint32_t *ret_count)
{
	uint32_t position = 0;
	uint32_t all = 0;
	uint32_t count = 1;

	for (uint32_t tries = 0; count > 0 && all <= MODEL_NODE_MAX; tries++) {
		int r = edge_neighbours(store_pager(compare->store), node, incoming, &position,
					ret_nodes + all, MODEL_NODE_MAX + 1 - all, &count);
		if (r == 0)
			all += count;
		else if (!is_again(compare, r) || tries == AGAIN_MAX)
			return r;
	}
	*ret_count = all;
	return 0;
}

/* A cluster has the edges in the order of adding. */
static int compare_cluster(const struct compare *compare, uint32_t self, bool incoming)
{
	const struct model_state *state = compare->state;
	int64_t found[MODEL_NODE_MAX + 1];
	uint32_t count;
	uint32_t before = 0;
	uint32_t expected = 0;

	for (uint32_t other = 0; other < MODEL_NODE_MAX; other++)
		expected += (incoming ? state->edges[other][self] : state->edges[self][other]) != 0;
	int r = neighbours(compare, (int64_t)self - 3, incoming, found, &count);
	if (r != 0)
		return of_edge(compare, r);
	if (count != expected)
		return wrong(compare, "node %u has %u neighbours, not %u", self, count, expected);
	for (uint32_t i = 0; i < count; i++) {
		uint32_t other = (uint32_t)(found[i] + 3);

		if (other >= MODEL_NODE_MAX)
			return wrong(compare, "node %u has a neighbour %u", self, other);
		uint32_t order = incoming ? state->edges[other][self] : state->edges[self][other];
		if (order <= before)
			return wrong(compare, "neighbours of node %u in another order", self);
		before = order;
	}
	return 0;
}

/* Pages and key space have the same edges. */
static int compare_edges(const struct compare *compare)
{
	int r = 0;

	for (uint32_t from = 0; from < MODEL_NODE_MAX; from++) {
		for (uint32_t to = 0; to < MODEL_NODE_MAX && r == 0; to++)
			r = compare_edge(compare, from, to);
	}
	for (uint32_t node = 0; node < 2 * MODEL_NODE_MAX && r == 0 && compare->graph; node++)
		r = compare_cluster(compare, node % MODEL_NODE_MAX, node >= MODEL_NODE_MAX);
	return r;
}

static int compare_all(const struct compare *compare)
{
	const struct model_state *state = compare->state;
	int r = compare_values(compare, "k", state->keys, MODEL_KEY_MAX);

	if (r == 0)
		r = compare_values(compare, "w", state->weak, MODEL_WEAK_MAX);
	if (r == 0)
		r = compare_counters(compare);
	if (r == 0)
		r = compare_vectors(compare);
	if (r == 0)
		r = compare_schema(compare);
	return r == 0 ? compare_edges(compare) : r;
}

/* What the commit's number says is the state that it is to be. */
static int check(struct compare *compare, uint32_t least, uint32_t *ret_number)
{
	const struct store_model *model = compare->model;
	uint32_t number = 0;
	struct entry entry;
	bool there;
	store_model_polls(model, true);
	int r = get(compare, (struct entry_bytes){(const uint8_t *)"commit", 6}, &there, &entry);
	store_model_polls(model, false);
	if (r != 0)
		return r;

	if (there && entry.value.size != 4)
		return wrong(compare, "the commit's number has %u bytes", entry.value.size);
	if (there)
		number = load_le32(entry.value.bytes);
	if (number < least || number > model->commits)
		return wrong(compare, "commit %u is there, of %u to %u", number, least,
			     model->commits);
	compare->state = state_of(model, number);
	*ret_number = number;
	store_model_polls(model, true);
	r = compare_all(compare);
	store_model_polls(model, false);
	return r;
}

/* It may be of any state up to the last one. */
static int check_snapshot(const struct store_model *model, struct store *store, uint64_t seqno,
			  char *error, size_t error_size)
{
	struct compare compare = {.model = model,
				  .store = store,
				  .seqno = seqno,
				  .error = error,
				  .error_size = error_size};
	uint32_t number;

	return check(&compare, 0, &number);
}

int store_model_check_keys(const struct store_model *model, struct store *store, char *error,
			   size_t error_size)
{
	struct compare compare = {
		.model = model, .store = store, .error = error, .error_size = error_size};
	uint32_t number;

	return check(&compare, model->acknowledged, &number);
}

int store_model_check(const struct store_model *model, struct store *store, uint32_t *ret_number,
		      char *error, size_t error_size)
{
	struct compare compare = {.model = model,
				  .store = store,
				  .graph = true,
				  .error = error,
				  .error_size = error_size};

	return check(&compare, model->acknowledged, ret_number);
}

void store_model_go_on(struct store_model *model, uint32_t number)
{
	model->commits = number;
	model->acknowledged = number;
}
