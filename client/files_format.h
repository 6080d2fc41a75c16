/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Files_format - what the readers of the single formats share
 *
 * A reader looks at a header and fills count, dim, element, offset and stride;
 * files.c takes the rows out. So each reader ends in files_shape(), which holds
 * the limits and compares the shape with the bytes that are there.
 *
 * Threads: as files.h.
 */

#include "base/defs.h"
#include "client/files.h"

/* Bytes of one value. */
size_t files_element_size(enum files_element element);

/* Writes "NAME: ..." to 'error'; returns FILES_E_INVALID. */
int files_invalid(const struct files *files, char *error, const char *format, ...)
	PRINTF_LIKE(3, 4);

/* The same where there is no struct yet; returns 'result'. */
int files_refuse(const char *name, int result, char *error, const char *format, ...)
	PRINTF_LIKE(4, 5);

/* Takes over a shape whose values begin at 'offset', after checking it against limits and size. */
int files_shape(struct files *files, uint64_t count, uint64_t dim, uint64_t offset,
		uint64_t row_head, char *error);

int files_vecs_read(struct files *files, char *error);
int files_bin_read(struct files *files, char *error);
int files_npy_read(struct files *files, char *error);

/* Reads data set 'dataset' of the file at 'path' to files->memory. */
int files_hdf5_read(struct files *files, const char *path, const char *dataset, char *error);

/* Checks the dim that stands in front of row 'row' of a vecs file. */
int files_vecs_check_row(const struct files *files, uint32_t row, char *error);

/* Headers for writing; each returns its size, at most FILES_HEAD_MAX. */
#define FILES_HEAD_MAX 128 /* bytes of a header that we write */
size_t files_bin_head(uint8_t *to, uint32_t count, uint32_t dim);
size_t files_npy_head(uint8_t *to, enum files_element element, uint32_t count, uint32_t dim);
