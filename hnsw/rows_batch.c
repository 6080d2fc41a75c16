/* SPDX-License-Identifier: Apache-2.0 */
#include "hnsw/rows_batch.h"

#include "base/check.h"

void rows_batch_init(struct rows_batch *batch, const struct rows_form *form,
		     const struct rows *rows, const struct rows_query *queries, uint32_t count,
		     void *memory)
{
	enum vector_type type = rows_type(form);

	CHECK(count <= DIST_BATCH_QUERIES);
	dist_batch_init(&batch->batch, dist_batch_best(), type, rows->size, memory);
	batch->queries = queries;
	batch->count = count;
	batch->squared = form->metric == METRIC_L2 && !form->compact;
	for (uint32_t i = 0; i < count; i++) {
		dist_batch_set(&batch->batch, i, queries[i].row);
		batch->squares[i] = dist_square(type, queries[i].row, rows->size);
	}
}

static void finish_row(const struct rows_batch *batch, const struct rows *rows, uint32_t node,
		       const int32_t *products, float *ret_distances)
{
	const struct rows_factors *factors = rows_factors_at(rows, node);
	int32_t own = 0;

	if (batch->squared)
		own = dist_square(batch->batch.type, rows_at(rows, node), rows->size);
	for (uint32_t i = 0; i < batch->count; i++) {
		int32_t value = products[i];

		if (batch->squared)
			value = dist_batch_l2(batch->squares[i], own, value);
		ret_distances[i] = rows_finish(&batch->queries[i], factors, (float)value);
	}
}

void rows_batch_distances(const struct rows_batch *batch, const struct rows *rows, uint32_t first,
			  uint32_t count, float *ret_distances)
{
	const struct dist_batch_rows followed = {rows_at(rows, first), rows->stride, count};
	int32_t products[ROWS_BATCH_ROWS * DIST_BATCH_QUERIES];

	CHECK(count <= ROWS_BATCH_ROWS);
	dist_batch_products(&batch->batch, &followed, products);
	for (uint32_t i = 0; i < count; i++)
		finish_row(batch, rows, first + i, products + i * DIST_BATCH_QUERIES,
			   ret_distances + i * DIST_BATCH_QUERIES);
}
