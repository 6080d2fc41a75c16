/* SPDX-License-Identifier: Apache-2.0 */

#include "tests/lib/store_model.h"

#include "base/byteorder.h"
#include "base/clock.h"
#include "engine/edge.h"
#include "tests/lib/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NONE UINT32_MAX

/* Changes of one transaction. */
#define CHANGE_MAX 6

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

void store_model_init(struct store_model *model, uint64_t seed, uint32_t commit_max)
{
	*model = (struct store_model){
		.states = calloc(commit_max + 1, sizeof(struct model_state)),
		.state_max = commit_max,
	};
	assert_non_null(model->states);
	rand_init(&model->rand, seed);
	for (uint32_t i = 0; i < MODEL_KEY_MAX; i++)
		model->states[0].keys[i].size = NONE;
	for (uint32_t i = 0; i < MODEL_VECTOR_MAX; i++)
		model->states[0].vectors[i].size = NONE;
}

void store_model_deinit(struct store_model *model)
{
	free(model->states);
}

static uint32_t below(struct store_model *model, uint32_t bound)
{
	return (uint32_t)rand_below(&model->rand, bound);
}

/* Mostly small, sometimes large enough for a blob file. */
static struct model_value random_value(struct store_model *model)
{
	uint32_t size_max = below(model, 8) == 0 ? MODEL_VALUE_MAX : 200;

	return (struct model_value){.size = below(model, size_max), .fill = below(model, 1u << 20)};
}

static int change_put(struct store_model *model, struct store *store, struct model_state *state)
{
	uint32_t key = below(model, MODEL_KEY_MAX);
	struct model_value value = random_value(model);
	struct store_put put = {.value = bytes_of(value), .key = key_of("k", key)};

	state->keys[key] = value;
	return store_put(store, &put);
}

static int change_delete(struct store_model *model, struct store *store, struct model_state *state)
{
	uint32_t key = below(model, MODEL_KEY_MAX);

	state->keys[key].size = NONE;
	return store_delete(store, key_of("k", key));
}

static int change_range(struct store_model *model, struct store *store, struct model_state *state)
{
	uint32_t start = below(model, MODEL_KEY_MAX - 1);
	uint32_t end = start + 1 + below(model, MODEL_KEY_MAX - start - 1);
	char first[8];
	struct entry_bytes low = {(const uint8_t *)first,
				  (uint32_t)snprintf(first, sizeof(first), "k%03u", start)};

	for (uint32_t i = start; i < end; i++)
		state->keys[i].size = NONE;
	return store_delete_range(store, low, key_of("k", end));
}

static int change_merge(struct store_model *model, struct store *store, struct model_state *state)
{
	uint32_t key = below(model, MODEL_KEY_MAX);
	uint32_t by = below(model, 1000);
	uint8_t operand[8];

	store_le64(operand, by);
	state->counters[key] += by;
	state->counted[key] = true;
	return store_merge(store, 1, key_of("m", key), (struct entry_bytes){operand, 8});
}

static int change_edge(struct store_model *model, struct store *store, struct model_state *state)
{
	uint32_t from = below(model, MODEL_NODE_MAX);
	uint32_t to = below(model, MODEL_NODE_MAX);
	struct edge_key edge = {.source = (int64_t)from - 3, .target = (int64_t)to - 3};

	if (state->edges[from][to] == 0) {
		state->edges[from][to] = ++model->next_edge;
		return store_edge_add(store, edge);
	}
	state->edges[from][to] = 0;
	return store_edge_remove(store, edge);
}

static int change_vector(struct store_model *model, struct store *store, struct model_state *state)
{
	uint32_t label = below(model, MODEL_VECTOR_MAX);
	struct store_vector vector = {.key = vector_of(label),
				      .payload = {(const uint8_t *)"p", 1}};

	if (state->vectors[label].size != NONE && below(model, 3) == 0) {
		state->vectors[label].size = NONE;
		return store_vector_delete(store, vector.key);
	}
	state->vectors[label] = (struct model_value){.size = 64, .fill = below(model, 1u << 20)};
	vector.vector = bytes_of(state->vectors[label]);
	return store_vector_put(store, &vector);
}

typedef int (*change_fn)(struct store_model *model, struct store *store, struct model_state *state);

static int work(struct store *store)
{
	enum kv_need need;
	int r = store_work(store, clock_now_ns(), &need);

	if (r == 0 && need == KV_NEED_JOB)
		r = store_job(store);
	return r == STORE_E_IDLE ? 0 : r;
}

static int commit(struct store_model *model, struct store *store)
{
	enum store_durability durability = below(model, 4) == 0 ? STORE_NONE : STORE_SYNC;

	for (;;) {
		int r = store_commit(store, durability, &model->lsn);
		if (r == STORE_E_BUSY)
			r = work(store);
		else
			return r;
		if (r != 0)
			return r;
	}
}

int store_model_step(struct store_model *model, struct store *store)
{
	static const change_fn changes[] = {change_put,    change_put,   change_put,
					    change_delete, change_range, change_merge,
					    change_edge,   change_edge,  change_vector};
	uint32_t number = model->commits + 1;
	struct model_state *state = &model->states[number];
	uint8_t text[4];
	struct store_put mark = {.key = {(const uint8_t *)"commit", 6}, .value = {text, 4}};

	assert_true(number <= model->state_max);
	*state = model->states[model->commits];
	model->commits = number;
	store_le32(text, number);
	int r = store_put(store, &mark);
	for (uint32_t i = below(model, CHANGE_MAX); i > 0 && r == 0; i--)
		r = changes[below(model, sizeof(changes) / sizeof(changes[0]))](model, store,
										state);
	if (r == 0)
		r = commit(model, store);
	if (r != 0)
		store_rollback(store);
	return r;
}

void store_model_acknowledge(struct store_model *model)
{
	model->acknowledged = model->commits;
}

static void assert_value(struct store *store, struct entry_bytes key, struct model_value expected)
{
	struct entry entry;
	int r = kv_get(store_kv(store), key, 0, 0, &entry);

	if (expected.size == NONE) {
		assert_int_equal(r, KV_E_ABSENT);
		return;
	}
	assert_int_equal(r, 0);
	assert_int_equal(entry.value.size, expected.size);
	if (expected.size > 0)
		assert_memory_equal(entry.value.bytes, bytes_of(expected).bytes, expected.size);
}

static void assert_counters(const struct model_state *state, struct store *store)
{
	for (uint32_t i = 0; i < MODEL_KEY_MAX; i++) {
		struct entry entry;
		int r = kv_get(store_kv(store), key_of("m", i), 0, 0, &entry);

		assert_int_equal(r, state->counted[i] ? 0 : KV_E_ABSENT);
		if (r == 0)
			assert_int_equal(load_le64(entry.value.bytes), state->counters[i]);
	}
}

static void assert_vectors(const struct model_state *state, struct store *store)
{
	for (uint32_t i = 0; i < MODEL_VECTOR_MAX; i++) {
		struct model_value expected = state->vectors[i];
		uint8_t key[KEYS_VECTOR_MAX];
		uint32_t size = keys_vector(vector_of(i), key);
		struct vector_value value;
		struct entry entry;
		int r = kv_get(store_kv(store), (struct entry_bytes){key, size}, 0, 0, &entry);

		assert_int_equal(r, expected.size == NONE ? KV_E_ABSENT : 0);
		if (r != 0)
			continue;
		assert_true(keys_vector_value_read(entry.value, &value));
		assert_int_equal(value.vector.size, expected.size);
		assert_memory_equal(value.vector.bytes, bytes_of(expected).bytes, expected.size);
		assert_int_equal(value.payload.size, 1);
	}
}

/* Pages and key space have the same edges, and both directions' clusters are in the order of
 * adding. */
static void assert_edges(const struct model_state *state, struct store *store)
{
	for (uint32_t node = 0; node < 2 * MODEL_NODE_MAX; node++) {
		bool incoming = node >= MODEL_NODE_MAX;
		uint32_t self = node % MODEL_NODE_MAX;
		int64_t found[MODEL_NODE_MAX + 1];
		uint32_t position = 0;
		uint32_t count;
		uint32_t before = 0;
		uint32_t expected = 0;

		for (uint32_t other = 0; other < MODEL_NODE_MAX; other++) {
			struct edge_key edge = {(int64_t)self - 3, (int64_t)other - 3};
			uint8_t key[KEYS_EDGE_SIZE];
			struct entry entry;
			bool there = state->edges[self][other] != 0;

			expected += (incoming ? state->edges[other][self]
					      : state->edges[self][other]) != 0;
			if (incoming)
				continue;
			keys_edge(edge, key);
			assert_int_equal(kv_get(store_kv(store),
						(struct entry_bytes){key, sizeof(key)}, 0, 0,
						&entry),
					 there ? 0 : KV_E_ABSENT);
			assert_int_equal(edge_has(store_pager(store), edge.source, edge.target),
					 there ? 0 : EDGE_E_ABSENT);
		}
		assert_int_equal(edge_neighbours(store_pager(store), (int64_t)self - 3, incoming,
						 &position, found, MODEL_NODE_MAX + 1, &count),
				 0);
		assert_int_equal(count, expected);
		for (uint32_t i = 0; i < count; i++) {
			uint32_t other = (uint32_t)(found[i] + 3);
			uint32_t order =
				incoming ? state->edges[other][self] : state->edges[self][other];

			assert_true(order > before);
			before = order;
		}
	}
}

uint32_t store_model_compare(struct store_model *model, struct store *store)
{
	struct entry entry;
	int r = kv_get(store_kv(store), (struct entry_bytes){(const uint8_t *)"commit", 6}, 0, 0,
		       &entry);
	uint32_t number = 0;

	if (r == 0) {
		assert_int_equal(entry.value.size, 4);
		number = load_le32(entry.value.bytes);
	} else {
		assert_int_equal(r, KV_E_ABSENT);
	}
	assert_true(number >= model->acknowledged);
	assert_true(number <= model->commits);

	const struct model_state *state = &model->states[number];
	for (uint32_t i = 0; i < MODEL_KEY_MAX; i++)
		assert_value(store, key_of("k", i), state->keys[i]);
	assert_counters(state, store);
	assert_vectors(state, store);
	assert_edges(state, store);
	model->commits = number;
	model->acknowledged = number;
	return number;
}
