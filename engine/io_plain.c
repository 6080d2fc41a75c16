/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/io_plain.h"

#include "base/check.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static int folder_of(struct io *io)
{
	return CONTAINER_OF(io, struct io_plain, io)->folder;
}

static struct io_plain_file *plain_file(struct io_file *file)
{
	return CONTAINER_OF(file, struct io_plain_file, file);
}

/* 0 or the negative errno of a call that returned -1 for failure. */
static int result_of(int returned)
{
	return returned < 0 ? -errno : 0;
}

static int sync_folder_of(int at, const char *path)
{
	int fd = openat(at, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int error;

	if (fd < 0)
		return -errno;
	error = result_of(fsync(fd));
	close(fd);
	return error;
}

/* The folder is opened first, so its parent is ".." whatever 'path' looks like. */
static int make_folder(const char *path, int *ret_folder)
{
	bool made = mkdir(path, 0700) == 0;
	int folder, error;

	if (!made && errno != EEXIST)
		return -errno;
	folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (folder < 0)
		return -errno;
	error = made ? sync_folder_of(folder, "..") : 0;
	if (error) {
		close(folder);
		return error;
	}
	*ret_folder = folder;
	return 0;
}

static const struct io_ops plain_ops;

int io_plain_new_with(io_queue_new_fn *queue_new, const char *path, bool create, struct io **ret_io)
{
	struct io_plain *plain;
	int folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (folder < 0 && errno != ENOENT)
		return -errno;
	if (folder < 0 && !create)
		return IO_E_ABSENT;
	if (folder < 0) {
		int error = make_folder(path, &folder);
		if (error)
			return error;
	}
	plain = malloc(sizeof(*plain));
	if (!plain) {
		close(folder);
		return -ENOMEM;
	}
	*plain = (struct io_plain){
		.io.ops = &plain_ops,
		.folder = folder,
		.queue_new = queue_new,
	};
	*ret_io = &plain->io;
	return 0;
}

int io_plain_new(const char *path, bool create, struct io **ret_io)
{
	return io_plain_new_with(io_plain_queue_new, path, create, ret_io);
}

static void plain_free(struct io *io)
{
	close(folder_of(io));
	free(CONTAINER_OF(io, struct io_plain, io));
}

/* The lock is the folder's own descriptor's: nothing stays behind when the process dies. */
static int plain_lock(struct io *io, bool shared)
{
	int error = result_of(flock(folder_of(io), (shared ? LOCK_SH : LOCK_EX) | LOCK_NB));

	return error == -EWOULDBLOCK ? IO_E_LOCKED : error;
}

/*
 * Direct is asked for on the open descriptor: an open() that is refused for it would
 * have made the file already. What a file system can't do is then simply not so.
 */
static bool set_direct(int fd, bool direct)
{
	int flags = fcntl(fd, F_GETFL);

	flags = direct ? flags | O_DIRECT : flags & ~O_DIRECT;
	return fcntl(fd, F_SETFL, flags) == 0;
}

int io_plain_outcome(int error)
{
	return error == -ENOENT ? IO_E_ABSENT : error == -EEXIST ? IO_E_EXISTS : error;
}

int io_plain_how(unsigned flags)
{
	return O_CLOEXEC | O_NOFOLLOW | (flags & IO_READ_ONLY ? O_RDONLY : O_RDWR) |
	       (flags & IO_CREATE ? O_CREAT : 0) | (flags & IO_EXCLUSIVE ? O_EXCL : 0);
}

int io_plain_take(int fd, unsigned flags, struct io_file **ret_file)
{
	struct io_plain_file *file = malloc(sizeof(*file));

	if (!file) {
		close(fd);
		return -ENOMEM;
	}
	*file = (struct io_plain_file){
		.file = {&plain_ops, flags},
		.fd = fd,
		.direct = (flags & IO_DIRECT) && set_direct(fd, true),
	};
	*ret_file = &file->file;
	return 0;
}

static int plain_open(struct io *io, const char *name, unsigned flags, struct io_file **ret_file)
{
	int fd = openat(folder_of(io), name, io_plain_how(flags), IO_PLAIN_MODE);

	return fd < 0 ? io_plain_outcome(-errno) : io_plain_take(fd, flags, ret_file);
}

static void plain_close(struct io_file *file)
{
	close(plain_file(file)->fd);
	free(plain_file(file));
}

static int plain_read(struct io_file *file, uint64_t offset, void *bytes, size_t size)
{
	struct io_plain_file *plain = plain_file(file);
	uint8_t *to = bytes;

	while (size > 0) {
		ssize_t count = pread(plain->fd, to, size, (off_t)offset);

		if (count < 0 && errno == EINTR)
			continue;
		if (count < 0)
			return -errno;
		/* A direct read that ends between blocks met the end; to go on from there is
		 * EINVAL, not 0. */
		if (count == 0 || (plain->direct && count % IO_ALIGN != 0))
			return IO_E_END;
		to += count;
		offset += (uint64_t)count;
		size -= (size_t)count;
	}
	return 0;
}

static int plain_write(struct io_file *file, uint64_t offset, const void *bytes, size_t size)
{
	const uint8_t *from = bytes;
	int fd = plain_file(file)->fd;

	while (size > 0) {
		ssize_t count = pwrite(fd, from, size, (off_t)offset);

		if (count < 0 && errno == EINTR)
			continue;
		if (count < 0)
			return -errno;
		if (count == 0)
			return -EIO;
		from += count;
		offset += (uint64_t)count;
		size -= (size_t)count;
	}
	return 0;
}

static int plain_sync(struct io_file *file)
{
	return result_of(fdatasync(plain_file(file)->fd));
}

static int plain_size(struct io_file *file, uint64_t *ret_size)
{
	struct stat stat;

	if (fstat(plain_file(file)->fd, &stat) < 0)
		return -errno;
	*ret_size = (uint64_t)stat.st_size;
	return 0;
}

static int plain_truncate(struct io_file *file, uint64_t size)
{
	return result_of(ftruncate(plain_file(file)->fd, (off_t)size));
}

/* libc's way for file systems that can't allocate writes single bytes, which direct I/O refuses. */
int io_plain_allocate_by_writing(struct io_plain_file *file, uint64_t size)
{
	int error;

	if (file->direct)
		set_direct(file->fd, false);
	error = -posix_fallocate(file->fd, 0, (off_t)size);
	if (file->direct)
		file->direct = set_direct(file->fd, true);
	return error;
}

static int plain_allocate(struct io_file *file, uint64_t size)
{
	int error = result_of(fallocate(plain_file(file)->fd, 0, 0, (off_t)size));

	if (error == -EOPNOTSUPP)
		error = io_plain_allocate_by_writing(plain_file(file), size);
	return error;
}

static int plain_rename(struct io *io, const char *from, const char *to)
{
	return io_plain_outcome(result_of(renameat(folder_of(io), from, folder_of(io), to)));
}

static int plain_remove(struct io *io, const char *name)
{
	return io_plain_outcome(result_of(unlinkat(folder_of(io), name, 0)));
}

static int plain_sync_folder(struct io *io)
{
	return result_of(fsync(folder_of(io)));
}

/* A file of a store: not a folder, and of a name that io_open() takes. */
static bool is_ours(int folder, const char *name)
{
	struct stat stat;

	return io_name_check(name) && fstatat(folder, name, &stat, AT_SYMLINK_NOFOLLOW) == 0 &&
	       S_ISREG(stat.st_mode);
}

static int plain_list(struct io *io, int (*visit)(void *context, const char *name), void *context)
{
	/* A descriptor of its own: the reading position is the open file's. */
	int fd = openat(folder_of(io), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *folder = fd < 0 ? NULL : fdopendir(fd);
	int result = 0;

	if (!folder) {
		result = -errno;
		if (fd >= 0)
			close(fd);
		return result;
	}
	while (result == 0) {
		struct dirent *entry;

		errno = 0;
		entry = readdir(folder);
		if (!entry) {
			result = -errno;
			break;
		}
		if (is_ours(fd, entry->d_name))
			result = visit(context, entry->d_name);
	}
	closedir(folder);
	return result;
}

static int plain_queue_new(struct io *io, uint32_t depth, struct io_queue **ret_queue)
{
	return CONTAINER_OF(io, struct io_plain, io)->queue_new(io, depth, ret_queue);
}

static const struct io_ops plain_ops = {
	.free = plain_free,
	.lock = plain_lock,
	.rename = plain_rename,
	.remove = plain_remove,
	.sync_folder = plain_sync_folder,
	.list = plain_list,
	.open = plain_open,
	.close = plain_close,
	.read = plain_read,
	.write = plain_write,
	.sync = plain_sync,
	.size = plain_size,
	.truncate = plain_truncate,
	.allocate = plain_allocate,
	.queue_new = plain_queue_new,
};
