/* SPDX-License-Identifier: Apache-2.0 */

#include "client/one_file.h"

#include "base/defs.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int one_open(struct io *io, const char *name, unsigned flags, struct io_file **ret_file)
{
	struct one_file *one = CONTAINER_OF(io, struct one_file, io);

	if (strcmp(name, ONE_FILE_NAME) != 0)
		return IO_E_ABSENT;
	if (!(flags & IO_READ_ONLY))
		return -EROFS;
	*ret_file = &one->file;
	return 0;
}

static void one_close(struct io_file *file)
{
}

static void one_free(struct io *io)
{
}

static int one_read(struct io_file *file, uint64_t offset, void *bytes, size_t size)
{
	const struct one_file *one = CONTAINER_OF(file, struct one_file, file);
	uint8_t *to = bytes;

	while (size > 0) {
		ssize_t count = pread(one->handle, to, size, (off_t)offset);

		if (count < 0 && errno == EINTR)
			continue;
		if (count <= 0)
			return count < 0 ? -errno : IO_E_END;
		to += count;
		offset += (uint64_t)count;
		size -= (size_t)count;
	}
	return 0;
}

static int one_size(struct io_file *file, uint64_t *ret_size)
{
	const struct one_file *one = CONTAINER_OF(file, struct one_file, file);
	struct stat about;

	if (fstat(one->handle, &about))
		return -errno;
	*ret_size = (uint64_t)about.st_size;
	return 0;
}

int one_file_open(const char *path, struct one_file *one)
{
	static const struct io_ops ops = {
		.free = one_free,
		.open = one_open,
		.close = one_close,
		.read = one_read,
		.size = one_size,
	};

	one->io.ops = &ops;
	one->handle = open(path, O_RDONLY | O_CLOEXEC);
	return one->handle < 0 ? -errno : 0;
}

void one_file_close(struct one_file *one)
{
	if (one->handle >= 0)
		close(one->handle);
	one->handle = -1;
}
