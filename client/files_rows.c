/* SPDX-License-Identifier: Apache-2.0 */

/* Files_rows - takes the rows out of a file whose shape is known, whatever its format. */

#include "client/files_format.h"

#include "base/byteorder.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static const uint8_t *row_at(const struct files *files, uint32_t row)
{
	return files->bytes + files->offset + row * files->stride;
}

/* Are all rows, as they lie there, one array of 'element', aligned for it? */
static bool packed(const struct files *files, enum files_element element)
{
	return files->element == element && files->count &&
	       files->stride == files->dim * files_element_size(element) &&
	       (uintptr_t)row_at(files, 0) % files_element_size(element) == 0 &&
	       __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__;
}

static int check_finite(const struct files *files, uint32_t row, const float *values, char *error)
{
	for (uint32_t i = 0; i < files->dim; i++)
		if (!isfinite(values[i]))
			return files_invalid(files, error,
					     "row %" PRIu32 ", value %" PRIu32
					     " is no finite f32; leave that row out",
					     row, i);
	return 0;
}

/* A double beyond f32 becomes an infinity here, and check_finite() refuses it. */
static void convert_floats(const struct files *files, const uint8_t *from, float *to)
{
	for (uint32_t i = 0; i < files->dim; i++) {
		uint64_t bits;
		double value;

		switch (files->element) {
		case FILES_F32:
			to[i] = load_lef32(from + 4 * (size_t)i);
			break;
		case FILES_F64:
			bits = load_le64(from + 8 * (size_t)i);
			memcpy(&value, &bits, sizeof(value));
			to[i] = (float)value;
			break;
		case FILES_U8:
			to[i] = (float)from[i];
			break;
		case FILES_I8:
			to[i] = (float)(int8_t)from[i];
			break;
		case FILES_I32:
			to[i] = (float)(int32_t)load_le32(from + 4 * (size_t)i);
			break;
		case FILES_I64:
			to[i] = (float)(int64_t)load_le64(from + 8 * (size_t)i);
			break;
		}
	}
}

static int64_t load_int(const struct files *files, const uint8_t *from, uint32_t index)
{
	switch (files->element) {
	case FILES_U8:
		return from[index];
	case FILES_I8:
		return (int8_t)from[index];
	case FILES_I32:
		return (int32_t)load_le32(from + 4 * (size_t)index);
	default:
		return (int64_t)load_le64(from + 8 * (size_t)index);
	}
}

static int convert_ints(const struct files *files, uint32_t row, int32_t *to, char *error)
{
	for (uint32_t i = 0; i < files->dim; i++) {
		int64_t value = load_int(files, row_at(files, row), i);

		if (value < INT32_MIN || value > INT32_MAX)
			return files_invalid(files, error,
					     "row %" PRIu32 ", value %" PRIu32 ": %" PRId64
					     " doesn't fit 32 bits",
					     row, i, value);
		to[i] = (int32_t)value;
	}
	return 0;
}

/* Room for all values of 4 bytes, or NULL and the reason in 'error'. */
static void *values_new(const struct files *files, char *error)
{
	size_t size = (size_t)files->count * files->dim * 4;
	void *values = malloc(size ? size : 1);

	if (!values)
		(void)files_refuse(files->name, -ENOMEM, error,
				   "no memory for %zu bytes; free some", size);
	return values;
}

static int check_row_head(const struct files *files, uint32_t row, char *error)
{
	return files->format == FILES_VECS ? files_vecs_check_row(files, row, error) : 0;
}

int files_floats(struct files *files, const float **ret_rows, char *error)
{
	bool borrowed = packed(files, FILES_F32);
	const float *rows;
	float *to = NULL;
	int result = 0;

	if (files->floats) {
		*ret_rows = files->floats;
		return 0;
	}
	if (!borrowed) {
		to = values_new(files, error);
		if (!to)
			return -ENOMEM;
	}
	rows = borrowed ? (const float *)(const void *)row_at(files, 0) : to;
	for (uint32_t row = 0; row < files->count && !result; row++) {
		size_t at = (size_t)row * files->dim;

		result = check_row_head(files, row, error);
		if (result)
			break;
		if (to)
			convert_floats(files, row_at(files, row), to + at);
		result = check_finite(files, row, rows + at, error);
	}
	if (result) {
		free(to);
		return result;
	}
	files->floats = to;
	*ret_rows = rows;
	return 0;
}

/* Bytes as they lie there; every row's head is right. */
static int bytes_source(const struct files *files, struct vector_source *ret_source, char *error)
{
	int result = 0;

	for (uint32_t row = 0; row < files->count && !result; row++)
		result = check_row_head(files, row, error);
	if (!result)
		*ret_source = (struct vector_source){
			.first = row_at(files, 0),
			.type = files->element == FILES_U8 ? VECTOR_U8 : VECTOR_I8,
			.dim = files->dim,
			.stride = files->stride,
		};
	return result;
}

int files_source(struct files *files, struct vector_source *ret_source, char *error)
{
	const float *rows;
	int result;

	if (files->element == FILES_U8 || files->element == FILES_I8)
		return bytes_source(files, ret_source, error);
	result = files_floats(files, &rows, error);
	if (!result)
		*ret_source = vector_source_floats(rows, files->dim);
	return result;
}

int files_ints(struct files *files, const int32_t **ret_rows, char *error)
{
	int32_t *to;
	int result = 0;

	if (files->element == FILES_F32 || files->element == FILES_F64)
		return files_invalid(files, error,
				     "has floats where whole numbers are wanted; is it the right "
				     "file?");
	if (packed(files, FILES_I32)) {
		*ret_rows = (const int32_t *)(const void *)row_at(files, 0);
		return 0;
	}
	if (files->ints) {
		*ret_rows = files->ints;
		return 0;
	}
	to = values_new(files, error);
	if (!to)
		return -ENOMEM;
	for (uint32_t row = 0; row < files->count && !result; row++) {
		result = check_row_head(files, row, error);
		if (!result)
			result = convert_ints(files, row, to + (size_t)row * files->dim, error);
	}
	if (result) {
		free(to);
		return result;
	}
	files->ints = to;
	*ret_rows = to;
	return 0;
}

uint64_t files_memory(const struct files *files)
{
	uint64_t values = (uint64_t)files->count * files->dim * 4, size = 0;

	if (files->memory)
		size += files->size;
	if (files->floats)
		size += values;
	if (files->ints)
		size += values;
	return size;
}
