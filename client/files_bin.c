/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Files_bin - .fbin, .u8bin, .i8bin of the big-ann benchmarks
 *
 *      offset  size                    what
 *      0       4                       rows, u32
 *      4       4                       dim, u32
 *      8       rows x dim x element    values, row-major
 */

#include "client/files_format.h"

#include "base/byteorder.h"

#include <inttypes.h>

#define BIN_HEAD 8

int files_bin_read(struct files *files, char *error)
{
	uint64_t count, dim, want;

	if (files->size < BIN_HEAD)
		return files_invalid(files, error,
				     "%zu bytes are less than the header's 8; the file is cut off",
				     files->size);
	/* Two u32 and 4 bytes a value make at most 2^66, so 'want' is used only with a dim in its
	 * limit. */
	count = load_le32(files->bytes);
	dim = load_le32(files->bytes + 4);
	want = BIN_HEAD + count * dim * files_element_size(files->element);
	if (dim && dim <= FILES_DIM_MAX && files->size > want)
		return files_invalid(files, error,
				     "the header's %" PRIu64 " rows of %" PRIu64
				     " values end at offset %" PRIu64
				     ", the file has %zu bytes; is the ending right?",
				     count, dim, want, files->size);
	return files_shape(files, count, dim, BIN_HEAD, 0, error);
}

size_t files_bin_head(uint8_t *to, uint32_t count, uint32_t dim)
{
	store_le32(to, count);
	store_le32(to + 4, dim);
	return BIN_HEAD;
}
