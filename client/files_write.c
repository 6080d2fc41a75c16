/* SPDX-License-Identifier: Apache-2.0 */

/* Files_write - rows to a file, in the format that its ending says. */

#include "client/files_format.h"

#include "base/byteorder.h"
#include "cluster/replace.h"

#include <stdbool.h>
#include <string.h>

static bool ends_with(const char *path, const char *ending)
{
	size_t length = strlen(path), end = strlen(ending);

	return length > end && strcmp(path + length - end, ending) == 0;
}

/* Values of both types are 4 bytes; 'bits' has them as they lie in memory. */
static void write_row(FILE *file, const uint32_t *bits, uint32_t dim, bool with_dim)
{
	uint8_t value[4];

	if (with_dim) {
		store_le32(value, dim);
		fwrite(value, 1, sizeof(value), file);
	}
	for (uint32_t i = 0; i < dim; i++) {
		store_le32(value, bits[i]);
		fwrite(value, 1, sizeof(value), file);
	}
}

static int write_rows(const char *path, enum files_format format, enum files_element element,
		      const void *rows, uint32_t count, uint32_t dim, char *error)
{
	uint8_t head[FILES_HEAD_MAX] = {0};
	size_t head_size = 0;
	struct replace replace = {0};
	int result = replace_begin(&replace, path);

	if (!result) {
		if (format == FILES_NPY)
			head_size = files_npy_head(head, element, count, dim);
		else if (format == FILES_BIN)
			head_size = files_bin_head(head, count, dim);
		fwrite(head, 1, head_size, replace.file);
		for (uint32_t row = 0; row < count && !ferror(replace.file); row++)
			write_row(replace.file, (const uint32_t *)rows + (size_t)row * dim, dim,
				  format == FILES_VECS);
		result = replace_commit(&replace);
	}
	if (result)
		return files_refuse(path, result, error, "can't be written: %s", strerror(-result));
	return 0;
}

int files_write_floats(const char *path, const float *rows, uint32_t count, uint32_t dim,
		       char *error)
{
	if (ends_with(path, ".fvecs"))
		return write_rows(path, FILES_VECS, FILES_F32, rows, count, dim, error);
	if (ends_with(path, ".fbin"))
		return write_rows(path, FILES_BIN, FILES_F32, rows, count, dim, error);
	if (ends_with(path, ".npy"))
		return write_rows(path, FILES_NPY, FILES_F32, rows, count, dim, error);
	return files_refuse(path, FILES_E_INVALID, error,
			    "vectors are written to .fvecs, .fbin or .npy: choose one of these "
			    "endings");
}

int files_write_ints(const char *path, const int32_t *rows, uint32_t count, uint32_t dim,
		     char *error)
{
	if (ends_with(path, ".ivecs"))
		return write_rows(path, FILES_VECS, FILES_I32, rows, count, dim, error);
	if (ends_with(path, ".npy"))
		return write_rows(path, FILES_NPY, FILES_I32, rows, count, dim, error);
	return files_refuse(path, FILES_E_INVALID, error,
			    "row numbers are written to .ivecs or .npy: choose one of these "
			    "endings");
}
