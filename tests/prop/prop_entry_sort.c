/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/test.h"

#include "base/rand.h"
#include "engine/entry_sort.h"

#include <stdlib.h>
#include <string.h>

/*
 * Against the order that entry_compare() makes: entries have falling numbers, so where equal keys
 * stay in their order, both are the same.
 */

#define SEED      UINT64_C(87)
#define ROUNDS    60
#define ENTRY_MAX 20000
#define KEY_MAX   320

/* What a round's keys are like. */
struct shape {
	uint32_t common;  /* bytes that all begin with */
	uint32_t size;    /* bytes behind them, at most */
	uint32_t letters; /* values of a byte */
	uint32_t keys;    /* different ones; 0: any */
	bool fixed;       /* all keys are as long */
};

struct sample {
	struct entry entries[ENTRY_MAX];
	uint8_t keys[ENTRY_MAX][KEY_MAX];
	struct entry_ref refs[ENTRY_MAX], spare[ENTRY_MAX], expected[ENTRY_MAX];
	uint32_t count;
};

static struct shape random_shape(struct rand *rand)
{
	static const uint32_t commons[] = {0, 0, 3, 8, 9, 40, 255, 256, 257, 300};
	static const uint32_t letters[] = {1, 2, 3, 10, 256};

	return (struct shape){
		.common = commons[rand_below(rand, 10)],
		.size = (uint32_t)rand_below(rand, 20),
		.letters = letters[rand_below(rand, 5)],
		.keys = rand_below(rand, 3) ? 0 : 1 + (uint32_t)rand_below(rand, 50),
		.fixed = rand_below(rand, 2),
	};
}

static struct entry_bytes make_key(const struct shape *shape, struct rand *rand,
				   uint8_t bytes[KEY_MAX])
{
	uint32_t size = shape->fixed ? shape->size : (uint32_t)rand_below(rand, shape->size + 1);

	memset(bytes, 'c', shape->common);
	for (uint32_t i = 0; i < size; i++)
		bytes[shape->common + i] = (uint8_t)rand_below(rand, shape->letters);
	return (struct entry_bytes){bytes, shape->common + size};
}

static void fill(struct sample *sample, struct rand *rand)
{
	struct shape shape = random_shape(rand);

	print_message("common %u size %u letters %u keys %u fixed %d\n", shape.common, shape.size,
		      shape.letters, shape.keys, shape.fixed);
	sample->count = (uint32_t)rand_below(rand, rand_below(rand, 2) ? 600 : ENTRY_MAX);
	for (uint32_t i = 0; i < sample->count; i++) {
		struct entry *entry = &sample->entries[i];

		*entry = (struct entry){.seqno = sample->count - i, .kind = ENTRY_VALUE};
		entry->key = shape.keys > 0 && i >= shape.keys
				     ? sample->entries[rand_below(rand, shape.keys)].key
				     : make_key(&shape, rand, sample->keys[i]);
		sample->refs[i] = (struct entry_ref){entry_chunk(entry->key, 0), entry};
	}
}

static int by_entry(const void *a, const void *b)
{
	return entry_compare(((const struct entry_ref *)a)->entry,
			     ((const struct entry_ref *)b)->entry);
}

static void the_order_is_that_of_comparing(void **state)
{
	struct sample *sample = malloc(sizeof(*sample));
	struct rand rand;

	(void)state;
	assert_non_null(sample);
	rand_init(&rand, SEED);
	for (unsigned round = 0; round < ROUNDS; round++) {
		print_message("seed %d round %u: ", (int)SEED, round);
		fill(sample, &rand);
		memcpy(sample->expected, sample->refs, sample->count * sizeof(sample->refs[0]));
		qsort(sample->expected, sample->count, sizeof(sample->refs[0]), by_entry);
		entry_sort(sample->refs, sample->spare, sample->count);
		for (uint32_t i = 0; i < sample->count; i++) {
			assert_ptr_equal(sample->refs[i].entry, sample->expected[i].entry);
			assert_int_equal(sample->refs[i].chunk, sample->expected[i].chunk);
		}
	}
	free(sample);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_order_is_that_of_comparing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
