/* SPDX-License-Identifier: Apache-2.0 */

#include "tests/lib/salvage_model.h"

#include "base/clock.h"
#include "engine/edge.h"
#include "tests/lib/test.h"

#include <stdio.h>

/* Targets are above the nodes that are sources. */
#define TARGET_BASE 1000

/* Bytes of a value. */
#define VALUE_MAX 700

/* Tries of a commit while the store is busy. */
#define TRIES_MAX 10000

static struct entry_bytes value_of(uint32_t number)
{
	static uint8_t bytes[VALUE_MAX];
	uint32_t size = number * 97 % VALUE_MAX;

	for (uint32_t i = 0; i < size; i++)
		bytes[i] = (uint8_t)(number + i);
	return (struct entry_bytes){bytes, size};
}

static struct entry_bytes key_of(uint32_t tx, uint32_t index)
{
	static char text[24];
	int size = snprintf(text, sizeof(text), "t%05u/%u", tx, index);

	return (struct entry_bytes){(const uint8_t *)text, (uint32_t)size};
}

static struct vector_key vector_of(uint32_t tx, uint32_t index)
{
	return (struct vector_key){.collection = {(const uint8_t *)"c", 1},
				   .label = (uint64_t)tx * SALVAGE_VECTOR_MAX + index};
}

static struct edge_key edge_of(const struct salvage_model *model, uint32_t tx, uint32_t index)
{
	return (struct edge_key){
		.source = model->txs[tx].sources[index],
		.target = TARGET_BASE + (int64_t)tx * SALVAGE_EDGE_MAX + index,
	};
}

void salvage_model_init(struct salvage_model *model, uint64_t seed)
{
	*model = (struct salvage_model){0};
	rand_init(&model->rand, seed);
}

static uint32_t below(struct salvage_model *model, uint32_t bound)
{
	return (uint32_t)rand_below(&model->rand, bound);
}

static void stage_puts(struct salvage_model *model, struct store *store, uint32_t number)
{
	struct salvage_tx *tx = &model->txs[number];

	for (uint32_t i = 0; i < tx->key_count; i++) {
		struct store_put put = {.key = key_of(number, i), .value = value_of(number + i)};
		assert_int_equal(store_put(store, &put), 0);
	}
	for (uint32_t i = 0; i < tx->vector_count; i++) {
		struct store_vector vector = {.key = vector_of(number, i),
					      .vector = {(const uint8_t *)"vector..", 8}};
		assert_int_equal(store_vector_put(store, &vector), 0);
	}
	for (uint32_t i = 0; i < tx->edge_count; i++) {
		tx->sources[i] = below(model, SALVAGE_NODES);
		assert_int_equal(store_edge_add(store, edge_of(model, number, i)), 0);
	}
}

/* Something of an earlier transaction, if it is still there. */
static void stage_removal(struct salvage_model *model, struct store *store, uint32_t number)
{
	uint32_t victim = 1 + below(model, number - 1);
	struct salvage_tx *tx = &model->txs[victim];

	if (tx->edge_count > 0 && tx->edge_gone[0] == 0) {
		tx->edge_gone[0] = number;
		assert_int_equal(store_edge_remove(store, edge_of(model, victim, 0)), 0);
	}
	if (tx->key_count > 1 && tx->key_gone[1] == 0) {
		tx->key_gone[1] = number;
		assert_int_equal(store_delete(store, key_of(victim, 1)), 0);
	}
}

static void work(struct store *store)
{
	enum kv_need need;
	int r = store_work(store, clock_now_ns(), &need);

	if (r == 0 && need == KV_NEED_JOB)
		r = store_job(store);
	assert_true(r == 0 || r == STORE_E_IDLE);
}

static void commit(struct salvage_model *model, struct store *store, uint64_t *ret_lsn)
{
	enum store_durability durability = below(model, 3) == 0 ? STORE_SYNC : STORE_NONE;
	int r;

	for (uint32_t tries = 0; (r = store_commit(store, durability, ret_lsn)) == STORE_E_BUSY;
	     tries++) {
		assert_true(tries < TRIES_MAX);
		assert_int_equal(store_sync(store), 0);
		work(store);
	}
	assert_int_equal(r, 0);
	if (durability == STORE_SYNC)
		assert_int_equal(store_sync(store), 0);
	if (below(model, 4) == 0)
		work(store);
}

void salvage_model_step(struct salvage_model *model, struct store *store)
{
	uint32_t number = ++model->count;
	struct salvage_tx *tx = &model->txs[number];

	assert_true(number <= SALVAGE_TX_MAX);
	*tx = (struct salvage_tx){.key_count = 1};
	bool single = below(model, 4) == 0;
	if (!single) {
		tx->key_count = 1 + below(model, SALVAGE_KEY_MAX);
		tx->vector_count = below(model, SALVAGE_VECTOR_MAX + 1);
		tx->edge_count = below(model, SALVAGE_EDGE_MAX + 1);
	}
	stage_puts(model, store, number);
	if (!single && !model->only_adds && number > 1 && below(model, 3) == 0)
		stage_removal(model, store, number);
	commit(model, store, &tx->lsn);
}

static bool has_key(struct store *store, struct entry_bytes key)
{
	struct entry entry;
	int r = kv_get(store_kv(store), key, 0, 0, &entry);

	assert_true(r == 0 || r == KV_E_ABSENT);
	return r == 0;
}

static bool has_vector(struct store *store, struct vector_key vector)
{
	uint8_t key[KEYS_VECTOR_MAX];
	uint32_t size = keys_vector(vector, key);

	return has_key(store, (struct entry_bytes){key, size});
}

static bool has_edge_key(struct store *store, struct edge_key edge)
{
	uint8_t key[KEYS_EDGE_SIZE];

	keys_edge(edge, key);
	return has_key(store, (struct entry_bytes){key, sizeof(key)});
}

static bool is_there(const bool *applied, uint32_t tx, uint32_t gone)
{
	return applied[tx] && !applied[gone];
}

static void expect(const char *what, uint32_t tx, uint32_t index, bool found, bool expected)
{
	if (found != expected)
		fail_msg("%s %u of transaction %u is %s", what, index, tx,
			 found ? "there" : "absent");
}

static void check_tx(const struct salvage_model *model, struct store *store, const bool *applied,
		     uint32_t number)
{
	const struct salvage_tx *tx = &model->txs[number];

	for (uint32_t i = 0; i < tx->key_count; i++)
		expect("key", number, i, has_key(store, key_of(number, i)),
		       is_there(applied, number, tx->key_gone[i]));
	for (uint32_t i = 0; i < tx->vector_count; i++)
		expect("vector", number, i, has_vector(store, vector_of(number, i)),
		       applied[number]);
	for (uint32_t i = 0; i < tx->edge_count; i++) {
		struct edge_key edge = edge_of(model, number, i);
		bool expected = is_there(applied, number, tx->edge_gone[i]);
		int r = edge_has(store_pager(store), edge.source, edge.target);

		assert_true(r == 0 || r == EDGE_E_ABSENT);
		expect("key of edge", number, i, has_edge_key(store, edge), expected);
		expect("edge", number, i, r == 0, expected);
	}
}

static uint32_t count_edges(const struct salvage_model *model, const bool *applied, uint32_t node)
{
	uint32_t count = 0;

	for (uint32_t number = 1; number <= model->count; number++) {
		const struct salvage_tx *tx = &model->txs[number];
		for (uint32_t i = 0; i < tx->edge_count; i++)
			count += tx->sources[i] == node &&
				 is_there(applied, number, tx->edge_gone[i]);
	}
	return count;
}

/* Targets rise from edge to edge, and so does the time at which they were added. */
static void check_node(const struct salvage_model *model, struct store *store, const bool *applied,
		       uint32_t node)
{
	static int64_t targets[SALVAGE_TX_MAX * SALVAGE_EDGE_MAX];
	uint32_t position = 0, count;

	assert_int_equal(edge_neighbours(store_pager(store), node, /* incoming= */ false, &position,
					 targets, SALVAGE_TX_MAX * SALVAGE_EDGE_MAX, &count),
			 0);
	assert_int_equal(count, count_edges(model, applied, node));
	for (uint32_t i = 1; i < count; i++)
		assert_true(targets[i - 1] < targets[i]);
}

void salvage_model_check(const struct salvage_model *model, struct store *store, bool *applied)
{
	applied[0] = false;
	for (uint32_t number = 1; number <= model->count; number++)
		applied[number] = has_key(store, key_of(number, 0));
	for (uint32_t number = 1; number <= model->count; number++)
		check_tx(model, store, applied, number);
	for (uint32_t node = 0; node < SALVAGE_NODES; node++)
		check_node(model, store, applied, node);
}
