/* SPDX-License-Identifier: Apache-2.0 */

/* Files - the ending chooses the reader, whose shape is held against the limits and the bytes. */

#include "client/files_format.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static const struct ending {
	const char *ending;
	enum files_format format;
	enum files_element element; /* .npy and .hdf5 say it themselves */
} endings[] = {
	{".fvecs", FILES_VECS, FILES_F32}, {".bvecs", FILES_VECS, FILES_U8},
	{".ivecs", FILES_VECS, FILES_I32}, {".fbin", FILES_BIN, FILES_F32},
	{".u8bin", FILES_BIN, FILES_U8},   {".i8bin", FILES_BIN, FILES_I8},
	{".npy", FILES_NPY, FILES_F32},    {".hdf5", FILES_HDF5, FILES_F32},
};

size_t files_element_size(enum files_element element)
{
	static const uint8_t sizes[] = {
		[FILES_F32] = 4, [FILES_F64] = 8, [FILES_U8] = 1,
		[FILES_I8] = 1,  [FILES_I32] = 4, [FILES_I64] = 8,
	};

	return sizes[element];
}

PRINTF_LIKE(3, 0)
static void error_line(const char *name, char *error, const char *format, va_list args)
{
	int length = snprintf(error, FILES_ERROR_MAX, "%s: ", name);

	if (length >= 0 && length < FILES_ERROR_MAX)
		vsnprintf(error + length, FILES_ERROR_MAX - (size_t)length, format, args);
}

int files_refuse(const char *name, int result, char *error, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	error_line(name, error, format, args);
	va_end(args);
	return result;
}

int files_invalid(const struct files *files, char *error, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	error_line(files->name, error, format, args);
	va_end(args);
	return FILES_E_INVALID;
}

int files_shape(struct files *files, uint64_t count, uint64_t dim, uint64_t offset,
		uint64_t row_head, char *error)
{
	uint64_t stride, want;

	if (dim == 0 || dim > FILES_DIM_MAX)
		return files_invalid(files, error, "rows of %" PRIu64 " values, 1 to %d are read",
				     dim, FILES_DIM_MAX);
	if (count > FILES_ROW_MAX)
		return files_invalid(files, error,
				     "%" PRIu64 " rows, at most %" PRIu32 " are read; split it",
				     count, FILES_ROW_MAX);
	/* Below 2^32 x (4 + 2^14 x 8): no overflow from here on. */
	stride = row_head + dim * files_element_size(files->element);
	want = offset - row_head + count * stride;
	if (count && want > files->size)
		return files_invalid(files, error,
				     "%" PRIu64 " rows of %" PRIu64 " values end at offset %" PRIu64
				     ", the file has %zu bytes; it is cut off, fetch it again",
				     count, dim, want, files->size);
	files->count = (uint32_t)count;
	files->dim = (uint32_t)dim;
	files->offset = offset;
	files->stride = stride;
	return 0;
}

/* 'length' characters of 'name' end in which ending? NULL when none of ours. */
static const struct ending *find_ending(const char *name, size_t length)
{
	for (size_t i = 0; i < ARRAY_COUNT(endings); i++) {
		size_t end = strlen(endings[i].ending);

		if (length > end && memcmp(name + length - end, endings[i].ending, end) == 0)
			return &endings[i];
	}
	return NULL;
}

static int no_ending(const char *name, char *error)
{
	return files_refuse(name, FILES_E_INVALID, error,
			    "its ending is none of .fvecs .bvecs .ivecs .npy .fbin .u8bin .i8bin "
			    ".hdf5[:NAME]; rename or convert it");
}

static int read_bytes(struct files *files, char *error)
{
	switch (files->format) {
	case FILES_VECS:
		return files_vecs_read(files, error);
	case FILES_BIN:
		return files_bin_read(files, error);
	case FILES_NPY:
		return files_npy_read(files, error);
	case FILES_HDF5:
		break;
	}
	return files_invalid(files, error, "HDF5 is read from files only");
}

int files_attach(const char *name, const void *bytes, size_t size, struct files *ret_files,
		 char *error)
{
	const struct ending *ending = find_ending(name, strlen(name));
	struct files files = {.bytes = bytes, .size = size};
	int result;

	if (!ending)
		return no_ending(name, error);
	files.format = ending->format;
	files.element = ending->element;
	files.name = strdup(name);
	if (!files.name)
		return files_refuse(name, -ENOMEM, error, "out of memory");
	result = read_bytes(&files, error);
	if (result)
		files_close(&files);
	else
		*ret_files = files;
	return result;
}

static int map(const char *path, void **ret_mapping, size_t *ret_size, char *error)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), code;
	void *mapping = NULL;
	struct stat stat;

	if (fd < 0 || fstat(fd, &stat) < 0) {
		code = errno;
		if (fd >= 0)
			close(fd);
		return files_refuse(path, -code, error, "can't be opened: %s", strerror(code));
	}
	if (!S_ISREG(stat.st_mode)) {
		close(fd);
		return files_refuse(path, FILES_E_INVALID, error, "is no regular file");
	}
	if (stat.st_size > 0) {
		mapping = mmap(NULL, (size_t)stat.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
		if (mapping == MAP_FAILED) {
			code = errno;
			close(fd);
			return files_refuse(path, -code, error, "can't be mapped: %s",
					    strerror(code));
		}
	}
	close(fd);
	*ret_mapping = mapping;
	*ret_size = (size_t)stat.st_size;
	return 0;
}

static int open_hdf5(const char *path, const char *dataset, struct files *ret_files, char *error)
{
	struct files files = {.format = FILES_HDF5};
	const char *colon = strrchr(path, ':');
	int result;

	if (colon)
		dataset = colon + 1;
	files.name = colon ? strndup(path, (size_t)(colon - path)) : strdup(path);
	if (!files.name)
		return files_refuse(path, -ENOMEM, error, "out of memory");
	if (access(files.name, R_OK) < 0)
		result = files_refuse(files.name, -errno, error, "can't be opened: %s",
				      strerror(errno));
	else
		/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): the call leaves the name alone */
		result = files_hdf5_read(&files, files.name, dataset, error);
	if (result)
		files_close(&files);
	else
		*ret_files = files;
	return result;
}

int files_open(const char *path, const char *dataset, struct files *ret_files, char *error)
{
	const char *colon = strrchr(path, ':');
	const struct ending *ending = NULL;
	void *mapping = NULL;
	size_t size = 0;
	int result;

	if (colon)
		ending = find_ending(path, (size_t)(colon - path));
	if (!ending || ending->format != FILES_HDF5)
		ending = find_ending(path, strlen(path));
	if (!ending)
		return no_ending(path, error);
	if (ending->format == FILES_HDF5)
		return open_hdf5(path, dataset, ret_files, error);
	result = map(path, &mapping, &size, error);
	if (result)
		return result;
	result = files_attach(path, mapping, size, ret_files, error);
	if (result) {
		if (mapping)
			munmap(mapping, size);
		return result;
	}
	ret_files->mapping = mapping;
	ret_files->mapping_size = size;
	return 0;
}

void files_close(struct files *files)
{
	if (!files)
		return;
	if (files->mapping)
		munmap(files->mapping, files->mapping_size);
	free(files->memory);
	free(files->floats);
	free(files->ints);
	free(files->name);
	*files = (struct files){0};
}
