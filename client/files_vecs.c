/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Files_vecs - .fvecs, .bvecs, .ivecs
 *
 *      offset  size            what
 *      0       4               dim, i32; the same in every row
 *      4       dim x element   values
 *
 * and so on, row by row. There is no count: the file's size says it.
 */

#include "client/files_format.h"

#include "base/byteorder.h"

#include <inttypes.h>

#define ROW_HEAD 4

int files_vecs_read(struct files *files, char *error)
{
	uint64_t dim, stride;

	if (files->size == 0)
		return files_shape(files, 0, 1, ROW_HEAD, ROW_HEAD, error);
	if (files->size < ROW_HEAD)
		return files_invalid(files, error,
				     "%zu bytes are no row; the file is cut off or not a .?vecs",
				     files->size);
	dim = load_le32(files->bytes);
	if (dim == 0 || dim > FILES_DIM_MAX)
		return files_invalid(files, error,
				     "row 0 says it has %" PRIu64
				     " values, 1 to %d are read; is this really a .?vecs file?",
				     dim, FILES_DIM_MAX);
	stride = ROW_HEAD + dim * files_element_size(files->element);
	if (files->size % stride != 0)
		return files_invalid(files, error,
				     "%zu bytes are no whole number of rows of %" PRIu64
				     " bytes; the file is cut off at row %" PRIu64
				     ", fetch it again",
				     files->size, stride, files->size / stride);
	return files_shape(files, files->size / stride, dim, ROW_HEAD, ROW_HEAD, error);
}

int files_vecs_check_row(const struct files *files, uint32_t row, char *error)
{
	uint64_t at = files->offset + row * files->stride - ROW_HEAD;
	uint32_t dim = load_le32(files->bytes + at);

	if (dim == files->dim)
		return 0;
	return files_invalid(files, error,
			     "row %" PRIu32 " at offset %" PRIu64 " says it has %" PRIu32
			     " values, row 0 has %" PRIu32 "; all rows must be of one length",
			     row, at, dim, files->dim);
}
