/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/test.h"

#include "base/byteorder.h"
#include "client/collection.h"
#include "cluster/manifest.h"
#include "proto/status.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SHARDS 4

/* A descriptor with one centroid at x. */
static uint16_t found(struct collection *collection, uint32_t index, float x, uint32_t metric,
		      uint32_t dim)
{
	uint8_t body[CENTROID_BODY_HEAD + CENTROID_ROW_HEAD + 2 * 4] = {0};
	struct coarse_answer answer = {
		.kind = COARSE_CENTROIDS,
		.metric = metric,
		.dim = dim,
		.vector_count = 5,
		.body = body,
		.body_size = CENTROID_BODY_HEAD + CENTROID_ROW_HEAD + dim * 4,
	};

	store_le32(body, 1);
	store_le32(body + CENTROID_BODY_HEAD, 5);
	store_lef32(body + CENTROID_BODY_HEAD + CENTROID_ROW_HEAD, x);
	return collection_found(collection, index, &answer);
}

/* Shards at x = 0, 10, 20, 30, of which 'unknown' (bits) have not answered. */
static struct collection *new_collection(uint32_t unknown)
{
	struct collection *collection = calloc(1, sizeof(*collection));

	assert_non_null(collection);
	memcpy(collection->name, "words", 6);
	collection_begin(collection);
	for (uint32_t i = 0; i < SHARDS; i++)
		if (!(unknown >> i & 1))
			assert_int_equal(found(collection, i, (float)(10 * i), METRIC_L2, 2),
					 STATUS_OK);
	assert_int_equal(collection_finish(collection, SHARDS, /* certain= */ true), 0);
	return collection;
}

static void free_collection(struct collection *collection)
{
	collection_deinit(collection);
	free(collection);
}

static void choose(const struct collection *collection, float x, uint32_t probe,
		   const uint32_t *expected, uint32_t count)
{
	uint32_t scratch[SHARDS], vshards[SHARDS];
	float query[2] = {x, 0};

	assert_int_equal(collection_choose(collection, query, probe, scratch, vshards), count);
	for (uint32_t i = 0; i < count; i++)
		assert_int_equal(vshards[i], manifest_vshard("words", expected[i]));
}

static void the_nearest_shards_are_chosen(void **state)
{
	struct collection *collection = new_collection(0);

	assert_true(collection->known && collection->complete && collection->certain);
	assert_int_equal(collection->vector_count, 20);
	choose(collection, 19, 1, (uint32_t[]){2}, 1);
	choose(collection, 19, 2, (uint32_t[]){2, 1}, 2);
	choose(collection, 19, 3, (uint32_t[]){2, 1, 3}, 3);
	choose(collection, 19, 4, (uint32_t[]){0, 1, 2, 3}, 4);
	choose(collection, 19, 0, (uint32_t[]){0, 1, 2, 3}, 4);
	choose(collection, 19, 100, (uint32_t[]){0, 1, 2, 3}, 4);
	free_collection(collection);
}

static void a_shard_without_a_descriptor_is_asked_besides(void **state)
{
	struct collection *collection = new_collection(2);

	assert_true(collection->known);
	assert_false(collection->complete);
	choose(collection, 19, 1, (uint32_t[]){1, 2}, 2);
	choose(collection, 0, 2, (uint32_t[]){1, 0, 2}, 3);
	free_collection(collection);
}

static void shards_that_disagree_are_refused(void **state)
{
	struct collection *collection = calloc(1, sizeof(*collection));

	assert_non_null(collection);
	collection_begin(collection);
	assert_int_equal(found(collection, 0, 1, METRIC_L2, 2), STATUS_OK);
	assert_int_equal(found(collection, 1, 1, METRIC_IP, 2), STATUS_MALFORMED);
	assert_int_equal(found(collection, 2, 1, METRIC_L2, 1), STATUS_MALFORMED);
	assert_int_equal(collection_finish(collection, 3, /* certain= */ false), 0);
	assert_false(collection->complete);
	assert_false(collection->certain);
	free_collection(collection);
}

static void a_later_survey_replaces_what_was_known(void **state)
{
	struct collection *collection = new_collection(8);

	collection_begin(collection);
	for (uint32_t i = 0; i < SHARDS; i++)
		assert_int_equal(found(collection, i, (float)(30 - 10 * (int)i), METRIC_L2, 2),
				 STATUS_OK);
	choose(collection, 0, 1, (uint32_t[]){3, 0}, 2);
	assert_int_equal(collection_finish(collection, SHARDS, /* certain= */ true), 0);
	assert_true(collection->complete);
	choose(collection, 0, 1, (uint32_t[]){3}, 1);
	free_collection(collection);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_nearest_shards_are_chosen),
		cmocka_unit_test(a_shard_without_a_descriptor_is_asked_besides),
		cmocka_unit_test(shards_that_disagree_are_refused),
		cmocka_unit_test(a_later_survey_replaces_what_was_known),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
