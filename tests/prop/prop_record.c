/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Prop_record - whatever record is encoded is decoded as it was, and nothing else is
 *
 * Random records go both ways; then their bytes are changed at random: what is still accepted has
 * to encode to exactly the changed bytes, so that no two encodings mean one record. A seed as the
 * argument replays one.
 */

#include "tests/lib/records.h"
#include "tests/lib/test.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SEED_COUNT 20000

static uint64_t only_seed;
static uint64_t running_seed;

static void check_seed(uint64_t seed)
{
	uint8_t content[RECORDS_BYTES_MAX], bytes[4 * RECORDS_BYTES_MAX];
	uint8_t again[4 * RECORDS_BYTES_MAX];
	struct record record, decoded;
	struct rand rand;
	size_t size;

	rand_init(&rand, seed);
	records_fill(&rand, content);
	records_random(&rand, 1 + rand_below(&rand, 1000), 60, content, &record);
	size = record_size(&record);
	assert_int_equal(record_encode(&record, bytes), 0);
	assert_int_equal(record_decode(bytes, size, &decoded), 0);
	assert_true(records_equal(&record, &decoded));
	for (unsigned i = 0; i < 8; i++) {
		bytes[rand_below(&rand, size)] ^= (uint8_t)(1U << rand_below(&rand, 8));
		if (record_decode(bytes, size, &decoded))
			continue;
		assert_int_equal(record_size(&decoded), size);
		assert_int_equal(record_encode(&decoded, again), 0);
		assert_memory_equal(again, bytes, size);
	}
}

static void records_go_both_ways_and_have_one_encoding(void **state)
{
	for (uint64_t seed = 1; seed <= SEED_COUNT; seed++) {
		running_seed = only_seed ? only_seed : seed;
		check_seed(running_seed);
		if (only_seed)
			break;
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(records_go_both_ways_and_have_one_encoding),
	};

	if (argc > 1)
		only_seed = strtoull(argv[1], NULL, 0);
	if (cmocka_run_group_tests(tests, NULL, NULL) == 0)
		return 0;
	fprintf(stderr, "failed at seed %" PRIu64 ": give it as the argument to replay it\n",
		running_seed);
	return 1;
}
