/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/test.h"

#include "base/rand.h"
#include "engine/memtable.h"

#include <stdlib.h>
#include <string.h>

/* Against an array that is sorted anew: order, searches from anywhere, the chain from any number.
 */

#define SEED      UINT64_C(51)
#define ROUNDS    24
#define ENTRY_MAX 3000
#define KEY_MAX   12

struct model {
	struct entry entries[ENTRY_MAX]; /* in the order of their numbers */
	uint8_t keys[ENTRY_MAX][KEY_MAX];
	const struct entry *sorted[ENTRY_MAX];
	unsigned count;
	unsigned sorted_count;
};

/* Few letters, zeros among them, so that keys are each other's beginnings. */
static struct entry_bytes random_key(struct rand *rand, uint8_t bytes[KEY_MAX])
{
	uint32_t size = (uint32_t)rand_below(rand, KEY_MAX + 1);
	bool long_prefix = rand_below(rand, 2);

	for (uint32_t i = 0; i < size; i++)
		bytes[i] = long_prefix && i < 7 ? 'p' : (uint8_t)rand_below(rand, 3);
	return (struct entry_bytes){bytes, size};
}

static int by_key(const void *a, const void *b)
{
	return entry_compare(*(const struct entry *const *)a, *(const struct entry *const *)b);
}

static void fill(struct model *model, struct memtable *memtable, struct rand *rand)
{
	uint64_t seqno = 0;
	/* Entries in a row that are added in the same way: one, few, or all. */
	uint64_t row = UINT64_C(1) << rand_below(rand, 14);
	bool late = rand_below(rand, 2);

	model->count = 1 + (unsigned)rand_below(rand, ENTRY_MAX);
	model->sorted_count = 0;
	for (unsigned i = 0; i < model->count; i++) {
		struct entry *entry = &model->entries[i];

		seqno += 1 + (rand_below(rand, 4) ? 0 : rand_below(rand, 100));
		*entry = (struct entry){
			.key = random_key(rand, model->keys[i]),
			.value = {model->keys[i], (uint32_t)rand_below(rand, KEY_MAX)},
			.seqno = seqno,
			.expires = rand_below(rand, 3),
			.kind = ENTRY_VALUE + (unsigned)rand_below(rand, 6),
			.type = (uint8_t)rand_below(rand, 256),
		};
		if (late)
			assert_int_equal(memtable_add_late(memtable, entry), 0);
		else
			assert_int_equal(memtable_add(memtable, entry), 0);
		late = rand_below(rand, row) == 0 ? !late : late;
		if (entry->kind != ENTRY_RANGE_TOMBSTONE)
			model->sorted[model->sorted_count++] = entry;
	}
	memtable_link(memtable);
	qsort(model->sorted, model->sorted_count, sizeof(model->sorted[0]), by_key);
}

static void assert_same(const struct entry *entry, const struct entry *expected)
{
	assert_int_equal(entry_compare(entry, expected), 0);
	assert_int_equal(entry->value.size, expected->value.size);
	assert_memory_equal(entry->value.bytes, expected->value.bytes, entry->value.size);
	assert_int_equal(entry->kind, expected->kind);
	assert_int_equal(entry->type, expected->type);
	assert_int_equal(entry->expires, expected->expires);
}

static void check_order(const struct model *model, const struct memtable *memtable)
{
	const struct memtable_node *node =
		memtable_seek(memtable, (struct entry_bytes){0}, UINT64_MAX);

	for (unsigned i = 0; i < model->sorted_count; i++, node = memtable_next(node)) {
		assert_non_null(node);
		assert_same(memtable_entry(node), model->sorted[i]);
		if (i == model->sorted_count - 1)
			assert_ptr_equal(memtable_last(memtable), node);
	}
	assert_null(node);
}

static void check_search(const struct model *model, const struct memtable *memtable,
			 struct rand *rand)
{
	uint8_t bytes[KEY_MAX];
	uint64_t seqno_max = memtable_seqno_max(memtable);
	struct entry probe = {.key = random_key(rand, bytes),
			      .seqno = rand_below(rand, seqno_max + 2)};
	const struct memtable_node *at = memtable_seek(memtable, probe.key, probe.seqno);
	const struct memtable_node *before = memtable_before(memtable, probe.key, probe.seqno);
	unsigned i = 0;

	while (i < model->sorted_count && entry_compare(model->sorted[i], &probe) < 0)
		i++;
	if (i < model->sorted_count)
		assert_same(memtable_entry(at), model->sorted[i]);
	else
		assert_null(at);
	if (i > 0)
		assert_same(memtable_entry(before), model->sorted[i - 1]);
	else
		assert_null(before);
}

static void check_chain(const struct model *model, const struct memtable *memtable, uint64_t seqno)
{
	const struct memtable_node *node = memtable_since(memtable, seqno);
	unsigned i = 0;

	while (i < model->count && model->entries[i].seqno < seqno)
		i++;
	for (; i < model->count; i++, node = memtable_after(node)) {
		assert_non_null(node);
		assert_same(memtable_entry(node), &model->entries[i]);
	}
	assert_null(node);
}

static void check_ranges(const struct model *model, const struct memtable *memtable)
{
	uint32_t index = 0;

	for (unsigned i = 0; i < model->count; i++) {
		struct entry range;

		if (model->entries[i].kind != ENTRY_RANGE_TOMBSTONE)
			continue;
		assert_true(index < memtable_range_count(memtable));
		range = memtable_range(memtable, index++);
		assert_same(&range, &model->entries[i]);
	}
	assert_int_equal(index, memtable_range_count(memtable));
}

static void it_is_what_a_sorted_array_is(void **state)
{
	struct model *model = malloc(sizeof(*model));
	struct memtable *memtable;
	struct rand rand;

	(void)state;
	assert_non_null(model);
	rand_init(&rand, SEED);
	assert_int_equal(memtable_new(64U << 10, &memtable), 0);
	for (unsigned round = 0; round < ROUNDS; round++) {
		print_message("seed %d round %u\n", (int)SEED, round);
		fill(model, memtable, &rand);
		assert_int_equal(memtable_count(memtable), model->count);
		assert_int_equal(memtable_seqno_min(memtable), model->entries[0].seqno);
		assert_int_equal(memtable_seqno_max(memtable),
				 model->entries[model->count - 1].seqno);
		check_order(model, memtable);
		check_ranges(model, memtable);
		for (unsigned i = 0; i < 500; i++)
			check_search(model, memtable, &rand);
		for (unsigned i = 0; i < 50; i++)
			check_chain(model, memtable,
				    rand_below(&rand, memtable_seqno_max(memtable) + 2));
		memtable_reset(memtable);
	}
	memtable_free(memtable);
	free(model);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_is_what_a_sorted_array_is),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
