/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/test.h"

#include "base/rand.h"
#include "cluster/coarse.h"
#include "cluster/partition.h"
#include "hnsw/truth.h"
#include "proto/payload_vector.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define DIM       6
#define ROW_COUNT 2000

static float rows[ROW_COUNT * DIM];
static const struct vector_source source = {rows, VECTOR_F32, DIM, DIM * sizeof(float)};
static struct workers *workers;

static void make_rows(uint64_t seed)
{
	struct rand rand;

	rand_init(&rand, seed);
	for (uint32_t i = 0; i < ROW_COUNT * DIM; i++)
		rows[i] = (float)(20 * (rand_unit(&rand) - 0.5));
}

static struct partition_options options_for(enum manifest_partition kind, enum metric metric,
					    uint32_t shards)
{
	return (struct partition_options){
		.kind = kind, .metric = metric, .shard_count = shards, .seed = 9};
}

/* Every row is in one shard, and each shard's rows ascend. */
static void check_partition(const struct partition *partition, uint32_t shards, uint32_t count)
{
	bool seen[ROW_COUNT] = {false};

	assert_int_equal(partition->shard_count, shards);
	assert_int_equal(partition->starts[0], 0);
	assert_int_equal(partition->starts[shards], count);
	for (uint32_t s = 0; s < shards; s++)
		for (uint32_t i = partition->starts[s]; i < partition->starts[s + 1]; i++) {
			uint32_t row = partition->rows[i];

			assert_true(row < count && !seen[row]);
			assert_true(i == partition->starts[s] || partition->rows[i - 1] < row);
			seen[row] = true;
		}
}

static void every_row_is_in_one_shard(void **state)
{
	static const uint32_t shard_counts[] = {1, 2, 7, MANIFEST_SHARD_MAX};
	struct partition partition;

	make_rows(1);
	for (int kind = 0; kind < 2; kind++)
		for (enum metric metric = 0; metric < METRIC_COUNT; metric++)
			for (unsigned i = 0; i < 4; i++) {
				struct partition_options options = options_for(
					(enum manifest_partition)kind, metric, shard_counts[i]);

				assert_int_equal(
					partition_rows(&source, 500, &options, workers, &partition),
					0);
				check_partition(&partition, shard_counts[i], 500);
				partition_deinit(&partition);
			}
}

static void kmeans_shards_are_of_about_equal_size(void **state)
{
	struct partition_options options = options_for(MANIFEST_PARTITION_KMEANS, METRIC_L2, 5);
	struct partition partition;

	make_rows(2);
	assert_int_equal(partition_rows(&source, ROW_COUNT, &options, workers, &partition), 0);
	for (uint32_t s = 0; s < 5; s++)
		assert_true(partition.starts[s + 1] - partition.starts[s] <=
			    ROW_COUNT / 5 + ROW_COUNT / 5 / PARTITION_SLACK);
	partition_deinit(&partition);
}

static void a_number_of_shards_that_is_out_of_range_is_refused(void **state)
{
	struct partition_options options = options_for(MANIFEST_PARTITION_HASH, METRIC_L2, 0);
	struct partition partition;

	assert_int_equal(partition_rows(&source, 10, &options, workers, &partition), -EINVAL);
	options.shard_count = MANIFEST_SHARD_MAX + 1;
	assert_int_equal(partition_rows(&source, 10, &options, workers, &partition), -EINVAL);
}

/* Members add up to the shard's rows, and each row lies in the radius of one of the centroids. */
static void check_summary(const uint8_t *body, size_t size, enum metric metric,
			  const struct partition *partition, uint32_t shard)
{
	uint32_t count, members = 0;
	float centroid[DIM];

	assert_int_equal(centroid_body_check(body, size, DIM, &count), 0);
	for (uint32_t c = 0; c < count; c++)
		members += centroid_body_row(body, DIM, c).member_count;
	assert_int_equal(members, partition->starts[shard + 1] - partition->starts[shard]);
	for (uint32_t i = partition->starts[shard]; i < partition->starts[shard + 1]; i++) {
		bool inside = false;

		for (uint32_t c = 0; c < count && !inside; c++) {
			struct centroid_row row = centroid_body_row(body, DIM, c);

			memcpy(centroid, row.floats, sizeof(centroid));
			inside = truth_distance(metric, rows + (size_t)partition->rows[i] * DIM,
						centroid, DIM) <= row.radius;
		}
		assert_true(inside);
	}
}

static void a_summary_covers_its_shard(void **state)
{
	struct partition partition;
	uint8_t *body;
	size_t size;

	make_rows(3);
	for (enum metric metric = 0; metric < METRIC_COUNT; metric++) {
		struct partition_options options =
			options_for(MANIFEST_PARTITION_KMEANS, metric, 3);

		assert_int_equal(partition_rows(&source, ROW_COUNT, &options, workers, &partition),
				 0);
		for (uint32_t s = 0; s < 3; s++) {
			assert_int_equal(partition_summary(&source, &partition, s, &options,
							   workers, &body, &size),
					 0);
			check_summary(body, size, metric, &partition, s);
			free(body);
		}
		partition_deinit(&partition);
	}
}

static void a_shard_without_rows_has_an_empty_summary(void **state)
{
	struct partition_options options = options_for(MANIFEST_PARTITION_KMEANS, METRIC_L2, 4);
	struct partition partition;
	uint32_t empty = 0;
	uint8_t *body;
	size_t size;

	make_rows(4);
	assert_int_equal(partition_rows(&source, 3, &options, workers, &partition), 0);
	while (partition.starts[empty + 1] > partition.starts[empty])
		empty++;
	assert_int_equal(
		partition_summary(&source, &partition, empty, &options, workers, &body, &size), 0);
	assert_int_equal(size, CENTROID_BODY_HEAD);
	free(body);
	options.centroid_count = VECTOR_CENTROID_MAX + 1;
	assert_int_equal(partition_summary(&source, &partition, 0, &options, workers, &body, &size),
			 -EINVAL);
	partition_deinit(&partition);
}

/* What coarse routing is for: the shard that comes first has the nearest row more often than not.
 */
static void the_nearest_row_is_mostly_in_the_first_shard(void **state)
{
	struct partition_options options = options_for(MANIFEST_PARTITION_KMEANS, METRIC_L2, 8);
	const struct truth_options truth = {.metric = METRIC_L2, .k = 1};
	struct partition partition;
	struct coarse *coarse;
	struct truth_hit hit;
	uint32_t order[8], first = 0;
	uint8_t *body;
	size_t size;

	make_rows(5);
	/* The last 200 rows are the queries. */
	assert_int_equal(partition_rows(&source, ROW_COUNT - 200, &options, workers, &partition),
			 0);
	assert_int_equal(coarse_new(METRIC_L2, DIM, 8, &coarse), 0);
	for (uint32_t s = 0; s < 8; s++) {
		assert_int_equal(
			partition_summary(&source, &partition, s, &options, workers, &body, &size),
			0);
		assert_int_equal(coarse_set(coarse, s, body, size), 0);
		free(body);
	}
	for (uint32_t q = ROW_COUNT - 200; q < ROW_COUNT; q++) {
		const float *query = rows + (size_t)q * DIM;

		coarse_order(coarse, query, order);
		assert_int_equal(truth_compute(rows, ROW_COUNT - 200, query, 1, DIM, &truth, &hit),
				 0);
		for (uint32_t i = partition.starts[order[0]]; i < partition.starts[order[0] + 1];
		     i++)
			first += partition.rows[i] == hit.row;
	}
	/* By chance it would be 25. */
	assert_true(first > 100);
	coarse_free(coarse);
	partition_deinit(&partition);
}

static int start_workers(void **state)
{
	return workers_new(2, &workers);
}

static int stop_workers(void **state)
{
	workers_free(workers);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_row_is_in_one_shard),
		cmocka_unit_test(kmeans_shards_are_of_about_equal_size),
		cmocka_unit_test(a_number_of_shards_that_is_out_of_range_is_refused),
		cmocka_unit_test(a_summary_covers_its_shard),
		cmocka_unit_test(a_shard_without_rows_has_an_empty_summary),
		cmocka_unit_test(the_nearest_row_is_mostly_in_the_first_shard),
	};

	return cmocka_run_group_tests(tests, start_workers, stop_workers) != 0;
}
