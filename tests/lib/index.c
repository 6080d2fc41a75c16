/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/index.h"

#include "base/rand.h"
#include "tests/lib/test.h"

#include <stdlib.h>

#define CENTRES 16

float *index_rows(uint32_t count, uint32_t dim, uint64_t seed)
{
	float *rows = malloc(((size_t)count * dim + 1) * sizeof(*rows));
	float *centres = malloc((size_t)CENTRES * dim * sizeof(*centres));
	struct rand rand;

	assert_non_null(rows);
	assert_non_null(centres);
	rand_init(&rand, seed);
	for (size_t i = 0; i < (size_t)CENTRES * dim; i++)
		centres[i] = (float)(rand_unit(&rand) - 0.5);
	for (uint32_t row = 0; row < count; row++) {
		const float *centre = centres + rand_below(&rand, CENTRES) * dim;

		for (uint32_t i = 0; i < dim; i++)
			rows[(size_t)row * dim + i] = centre[i] + (float)(rand_unit(&rand) - 0.5);
	}
	free(centres);
	return rows;
}

void index_build_as(const float *rows, const uint32_t *labels, uint32_t count, uint32_t dim,
		    const struct build_options *options, struct build_image *ret_image,
		    struct segment *ret_segment)
{
	char error[200] = "";
	uint64_t bad_row;
	int result;

	assert_int_equal(build_segment(rows, labels, count, dim, options, ret_image, &bad_row), 0);
	result = segment_attach(ret_image->bytes, ret_image->size, ret_segment, error,
				sizeof(error));
	if (result)
		print_error("%s\n", error);
	assert_int_equal(result, 0);
}

void index_build(const float *rows, const uint32_t *labels, uint32_t count, uint32_t dim,
		 enum metric metric, struct build_image *ret_image, struct segment *ret_segment)
{
	const struct build_options options = {
		.metric = metric, .m = 8, .ef_construction = 60, .seed = 7};

	index_build_as(rows, labels, count, dim, &options, ret_image, ret_segment);
}

void index_build_edges(const float *rows, const uint32_t *labels, uint32_t count, uint32_t dim,
		       enum metric metric, struct build_image *ret_image,
		       struct segment *ret_segment)
{
	const struct build_options options = {.metric = metric,
					      .layout = BUILD_LAYOUT_EDGES,
					      .m = 8,
					      .ef_construction = 60,
					      .seed = 7};

	index_build_as(rows, labels, count, dim, &options, ret_image, ret_segment);
	assert_true(ret_segment->codes.bits > 0);
}

struct search *index_search(const struct segment *segment)
{
	const struct search_limits limits = {
		.node_max = segment->count, .dim_max = segment->dim, .ef_max = 512};
	struct search *search;

	assert_int_equal(search_new(&limits, &search), 0);
	return search;
}
