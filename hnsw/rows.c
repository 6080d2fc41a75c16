/* SPDX-License-Identifier: Apache-2.0 */
#include "hnsw/rows.h"

#include "hnsw/convert.h"

#include <math.h>
#include <string.h>

/* What the codes leave to be added: see rows.h. 'square' is that of the difference to the mean. */
static float compact_add(const struct rows_form *form, const float *vector, double square)
{
	if (form->metric == METRIC_L2)
		return (float)square;
	return (float)(form->mean_square / 2 -
		       dist_best()->exact_ip(vector, form->mean, form->dim));
}

static float largest_difference(const struct rows_form *form, const float *vector)
{
	float largest = 0;

	for (uint32_t i = 0; i < form->dim; i++) {
		float size = fabsf(vector[i] - form->mean[i]);

		largest = size > largest ? size : largest;
	}
	return largest;
}

/* To the nearest integer, ties to even, of what is less than 2^22: a compiler can do many at once.
 */
static inline float rounded(float value)
{
	const float shift = 0x1.8p23F;

	return (value + shift) - shift;
}

/* Into the codes' range, a NaN too: a crafted segment's mean may be anything. */
static inline float clamped(float value)
{
	value = value > -ROWS_CODE_MAX ? value : -ROWS_CODE_MAX;
	return value < ROWS_CODE_MAX ? value : ROWS_CODE_MAX;
}

/*
 * Differences beyond f32's range have no codes; those so small that their
 * inverse has no f32 are all zero.
 */
static void compact_encode(const struct rows_form *form, const float *vector, int8_t *codes,
			   struct rows_factors *factors)
{
	float largest = largest_difference(form, vector);
	float inverse = largest > 0 ? (float)ROWS_CODE_MAX / largest : 0;
	double square = 0, fit = 0;
	int32_t code_square = 0;

	inverse = isfinite(inverse) ? inverse : 0;
	memset(codes, 0, dist_row_size(VECTOR_I8, form->dim));
	for (uint32_t i = 0; i < form->dim; i++) {
		float difference = vector[i] - form->mean[i];
		int32_t code = (int32_t)rounded(clamped(difference * inverse));

		codes[i] = (int8_t)code;
		square += (double)difference * (double)difference;
		fit += (double)difference * code;
		code_square += code * code;
	}
	factors->scale = code_square ? (float)(fit / code_square) : 0;
	factors->add = compact_add(form, vector, square);
}

void rows_encode(const struct rows_form *form, const float *vector, void *row,
		 struct rows_factors *factors)
{
	if (form->compact) {
		compact_encode(form, vector, row, factors);
		return;
	}
	convert_row(form->type, vector, form->dim, row);
	if (rows_have_factors(form))
		*factors = (struct rows_factors){
			.scale = dist_inverse_norm(form->type, row,
						   dist_row_size(form->type, form->dim)),
		};
}

void rows_query_row(const struct rows_form *form, const void *row,
		    const struct rows_factors *factors, struct rows_query *ret_query)
{
	struct dist_row_measure measure = dist_row_measure(
		dist_best(), rows_type(form), form->compact ? METRIC_IP : form->metric);

	*ret_query = (struct rows_query){
		.kernel = measure.pair,
		.many = measure.many_pair,
		.row = row,
		.factors = factors ? *factors : (struct rows_factors){.scale = 1},
		.offset = form->metric == METRIC_COSINE ? 1 : 0,
		.gain = measure.sign,
	};
	if (form->compact && form->metric == METRIC_L2)
		ret_query->gain = -2;
}

/* One over the norm of any floats. */
static float inverse_norm(const float *vector, uint32_t dim)
{
	double sum = dist_best()->exact_ip(vector, vector, dim);

	return sum > 0 ? (float)(1 / sqrt(sum)) : 0;
}

/* A bit of a query is set where the value is nearer to one than to zero. */
static void bits_query(const struct rows_form *form, const float *vector, uint8_t *bits)
{
	memset(bits, 0, dist_row_size(VECTOR_B1, form->dim));
	for (uint32_t i = 0; i < form->dim; i++)
		if (vector[i] > 0.5F)
			bits[i / 8] = (uint8_t)(bits[i / 8] | 1U << i % 8);
}

static bool is_bytes(enum vector_type type)
{
	return type == VECTOR_I8 || type == VECTOR_U8;
}

/* Rows whose type can't hold the query are compared with its floats. */
static void mixed_query(const struct rows_form *form, const float *vector, struct rows_query *query)
{
	struct dist_row_measure measure = dist_row_measure(dist_best(), form->type, form->metric);

	query->kernel = measure.mixed;
	query->many = measure.many_mixed;
	query->row = vector;
}

void rows_query(const struct rows_form *form, const float *vector, void *scratch,
		struct rows_query *ret_query)
{
	rows_query_row(form, scratch, /* factors= */ NULL, ret_query);
	if (form->compact)
		rows_encode(form, vector, scratch, &ret_query->factors);
	else if (form->type == VECTOR_B1)
		bits_query(form, vector, scratch);
	else if (form->type == VECTOR_F32)
		ret_query->row = vector;
	else if (!is_bytes(form->type) || !convert_bytes(form->type, vector, form->dim, scratch))
		mixed_query(form, vector, ret_query);
	if (rows_have_factors(form) && !form->compact)
		ret_query->factors.scale = inverse_norm(vector, form->dim);
}
