/* SPDX-License-Identifier: Apache-2.0 */
#include "hnsw/convert.h"

#include "hnsw/dist.h"
#include "hnsw/half.h"

#include <float.h>
#include <math.h>
#include <string.h>

static int check_float(float value, float overflow)
{
	if (!isfinite(value))
		return CONVERT_E_FINITE;
	return fabsf(value) < overflow ? 0 : CONVERT_E_RANGE;
}

static int check_integer(float value, float least, float greatest)
{
	if (!isfinite(value))
		return CONVERT_E_FINITE;
	if (value < least || value > greatest)
		return CONVERT_E_RANGE;
	return value == truncf(value) ? 0 : CONVERT_E_INTEGER;
}

static int check_bit(float value)
{
	if (!isfinite(value))
		return CONVERT_E_FINITE;
	return value == 0 || value == 1 ? 0 : CONVERT_E_BIT;
}

static int check_value(enum vector_type type, float value)
{
	switch (type) {
	case VECTOR_F16:
		return check_float(value, HALF_F16_OVERFLOW);
	case VECTOR_BF16:
		return check_float(value, HALF_BF16_OVERFLOW);
	case VECTOR_I8:
		return check_integer(value, INT8_MIN, INT8_MAX);
	case VECTOR_U8:
		return check_integer(value, 0, UINT8_MAX);
	case VECTOR_B1:
		return check_bit(value);
	default:
		return check_float(value, INFINITY);
	}
}

int convert_check(enum vector_type type, const float *values, size_t dim, size_t *ret_index)
{
	for (size_t i = 0; i < dim; i++) {
		int code = check_value(type, values[i]);

		if (code) {
			*ret_index = i;
			return code;
		}
	}
	return 0;
}

const char *convert_refusal(int code)
{
	switch (code) {
	case CONVERT_E_FINITE:
		return "is not finite";
	case CONVERT_E_RANGE:
		return "is beyond the type's range";
	case CONVERT_E_INTEGER:
		return "is no integer";
	default:
		return "is neither 0 nor 1";
	}
}

static void fill_f32(const float *values, size_t dim, float *row)
{
	for (size_t i = 0; i < dim; i++)
		row[i] = values[i] + 0.0F;
}

/* The sign of a half that is nothing but its sign goes. */
static uint16_t positive_zero(uint16_t half)
{
	return half == 0x8000 ? 0 : half;
}

static void fill_f16(const float *values, size_t dim, uint16_t *row)
{
	for (size_t i = 0; i < dim; i++)
		row[i] = positive_zero(half_to_f16(values[i]));
}

static void fill_bf16(const float *values, size_t dim, uint16_t *row)
{
	for (size_t i = 0; i < dim; i++)
		row[i] = positive_zero(half_to_bf16(values[i]));
}

static void fill_i8(const float *values, size_t dim, int8_t *row)
{
	for (size_t i = 0; i < dim; i++)
		row[i] = (int8_t)values[i];
}

static void fill_u8(const float *values, size_t dim, uint8_t *row)
{
	for (size_t i = 0; i < dim; i++)
		row[i] = (uint8_t)values[i];
}

static void fill_b1(const float *values, size_t dim, uint8_t *row)
{
	for (size_t i = 0; i < dim; i++)
		row[i / 8] |= (uint8_t)((values[i] != 0) << i % 8);
}

void convert_row(enum vector_type type, const float *values, size_t dim, void *ret_row)
{
	memset(ret_row, 0, dist_row_size(type, dim));
	switch (type) {
	case VECTOR_F16:
		return fill_f16(values, dim, ret_row);
	case VECTOR_BF16:
		return fill_bf16(values, dim, ret_row);
	case VECTOR_I8:
		return fill_i8(values, dim, ret_row);
	case VECTOR_U8:
		return fill_u8(values, dim, ret_row);
	case VECTOR_B1:
		return fill_b1(values, dim, ret_row);
	default:
		return fill_f32(values, dim, ret_row);
	}
}

/* Rows are read byte by byte or by copies, since nobody promises their alignment. */
static float value_at(enum vector_type type, const uint8_t *row, size_t i)
{
	uint16_t half;
	float value;

	switch (type) {
	case VECTOR_F16:
		memcpy(&half, row + 2 * i, sizeof(half));
		return half_from_f16(half);
	case VECTOR_BF16:
		memcpy(&half, row + 2 * i, sizeof(half));
		return half_from_bf16(half);
	case VECTOR_I8:
		return (int8_t)row[i];
	case VECTOR_U8:
		return row[i];
	case VECTOR_B1:
		return (float)(row[i / 8] >> i % 8 & 1);
	default:
		memcpy(&value, row + 4 * i, sizeof(value));
		return value;
	}
}

void convert_back(enum vector_type type, const void *row, size_t dim, float *ret_values)
{
	for (size_t i = 0; i < dim; i++)
		ret_values[i] = value_at(type, row, i);
}

bool convert_bytes(enum vector_type type, const float *restrict values, size_t dim,
		   void *restrict ret_row)
{
	const float least = type == VECTOR_U8 ? 0 : INT8_MIN;
	const float greatest = type == VECTOR_U8 ? UINT8_MAX : INT8_MAX;
	uint8_t *bytes = ret_row;
	uint32_t inexact = 0;

	memset(bytes, 0, dist_row_size(type, dim));
	for (size_t i = 0; i < dim; i++) {
		float value = values[i] > least ? values[i] : least; /* a NaN too */
		int32_t integer = (int32_t)(value < greatest ? value : greatest);

		bytes[i] = (uint8_t)integer;
		inexact += (float)integer != values[i];
	}
	return inexact == 0;
}
