/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Files - rows of numbers in the formats that the field uses
 *
 *      .fvecs .bvecs .ivecs   each row: i32 dim, then dim values (f32, u8, i32)
 *      .fbin .u8bin .i8bin    u32 rows, u32 dim, then rows x dim values
 *      .npy                   NumPy 1.0 to 3.0, two dimensions, C order
 *      .hdf5:NAME             a two-dimensional data set, as ann-benchmarks has
 *                             them: train, test, neighbors, distances
 *
 * All little endian. A file is mapped (HDF5: read); rows are taken out as f32 or
 * as i32 whatever the file's own type. Where that type already is packed f32 or
 * i32, the rows are the mapping itself and nothing is copied.
 *
 * The bytes are foreign: every header and every row's length is checked, and
 * floats that are not finite are refused. What is not checked is that nobody
 * truncates a file while it is mapped.
 *
 * Errors are one line: the file, the row or offset, what is wrong, what to do.
 *
 * Threads: a file belongs to one thread; rows that were taken out can be read by any.
 */

#include "base/vector_source.h"

#include <stddef.h>
#include <stdint.h>

/* Values of one row: a vector, or the neighbours of a query. */
#define FILES_DIM_MAX 16384

/* Rows of one file: one less than the ids there are, so that UINT32_MAX stays free. */
#define FILES_ROW_MAX UINT32_C(4294967294)

#define FILES_ERROR_MAX 512 /* bytes of an error text, the final zero included */

enum {
	FILES_E_INVALID = 1, /* not what its name says, or more than a limit; the text says why */
};

enum files_format { FILES_VECS, FILES_BIN, FILES_NPY, FILES_HDF5 };

enum files_element { FILES_F32, FILES_F64, FILES_U8, FILES_I8, FILES_I32, FILES_I64 };

struct files {
	uint32_t count; /* rows */
	uint32_t dim;   /* values of a row */
	enum files_element element;
	/* The rest is between the files_*.c. */
	enum files_format format;
	char *name;           /* owned; as errors call it */
	const uint8_t *bytes; /* borrows from mapping, memory or files_attach()'s caller */
	size_t size;          /* of bytes */
	uint64_t offset;      /* of row 0's first value */
	uint64_t stride;      /* from a row to the next */
	void *mapping;        /* owned, of mapping_size bytes, when not NULL */
	size_t mapping_size;
	void *memory;  /* owned: what HDF5 was read to */
	float *floats; /* owned: converted rows */
	int32_t *ints; /* owned: converted rows */
};

/*
 * Opens 'path', whose ending says the format. For .hdf5 without ":NAME" the data
 * set is 'dataset'.
 *
 * Returns 0, FILES_E_INVALID or a negative errno, with one line in 'error' (of
 * FILES_ERROR_MAX bytes).
 */
int files_open(const char *path, const char *dataset, struct files *ret_files, char *error);

/*
 * The same over bytes in memory, which it borrows until files_close(). 'name' has
 * the ending and stands in errors. Not for HDF5.
 */
int files_attach(const char *name, const void *bytes, size_t size, struct files *ret_files,
		 char *error);
void files_close(struct files *files);

/*
 * All rows, row-major, not padded; every value is finite. Borrows until
 * files_close(). Returns 0, FILES_E_INVALID or -ENOMEM.
 */
int files_floats(struct files *files, const float **ret_rows, char *error);

/*
 * The same without a copy where the file has bytes, or f32 one behind the other;
 * else by files_floats().
 */
int files_source(struct files *files, struct vector_source *ret_source, char *error);

/* The same as whole numbers from INT32_MIN to INT32_MAX; refuses files of floats. */
int files_ints(struct files *files, const int32_t **ret_rows, char *error);

/* Bytes of memory that the rows taken out so far have been copied to. */
uint64_t files_memory(const struct files *files);

/*
 * Writes 'count' rows of 'dim' values to 'path' (.fvecs, .fbin or .npy; .ivecs or
 * .npy), by way of a temporary beside it, synced and renamed.
 *
 * Returns 0, FILES_E_INVALID (the ending fits no format of that type) or a
 * negative errno, with one line in 'error'.
 */
int files_write_floats(const char *path, const float *rows, uint32_t count, uint32_t dim,
		       char *error);
int files_write_ints(const char *path, const int32_t *rows, uint32_t count, uint32_t dim,
		     char *error);
