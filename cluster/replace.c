/* SPDX-License-Identifier: Apache-2.0 */

#include "cluster/replace.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/*
 * The process's number keeps two writers of the same file apart: the later rename wins. 0644 less
 * the umask, as any program's files.
 */
int replace_begin(struct replace *replace, const char *path)
{
	int length = snprintf(replace->temporary, sizeof(replace->temporary), "%s.%ld.tmp", path,
			      (long)getpid());
	int fd;

	if (length < 0 || (size_t)length >= sizeof(replace->temporary))
		return -ENAMETOOLONG;
	memcpy(replace->path, path, strlen(path) + 1);
	fd = open(replace->temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (fd < 0)
		return -errno;
	replace->file = fdopen(fd, "wb");
	if (!replace->file) {
		int code = errno;

		close(fd);
		unlink(replace->temporary);
		return -code;
	}
	return 0;
}

/* Makes the rename itself durable. */
static int sync_folder(const char *path)
{
	char folder[PATH_MAX];
	const char *slash = strrchr(path, '/');
	int fd, code = 0;

	if (slash)
		snprintf(folder, sizeof(folder), "%.*s", (int)(slash - path + 1), path);
	else
		snprintf(folder, sizeof(folder), ".");
	fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (fsync(fd) < 0)
		code = errno;
	close(fd);
	return -code;
}

int replace_commit(struct replace *replace)
{
	int code = 0;

	/* A stream remembers that a write failed, but not why: writing the rest tells, or EIO
	 * stands for it. */
	if (fflush(replace->file) || fsync(fileno(replace->file)) < 0)
		code = errno;
	else if (ferror(replace->file))
		code = EIO;
	if (fclose(replace->file) && !code)
		code = errno;
	replace->file = NULL;
	if (!code && rename(replace->temporary, replace->path) < 0)
		code = errno;
	if (code) {
		unlink(replace->temporary);
		return -code;
	}
	return sync_folder(replace->path);
}

void replace_abort(struct replace *replace)
{
	fclose(replace->file);
	replace->file = NULL;
	unlink(replace->temporary);
}

int replace_file(const char *path, const void *bytes, size_t size)
{
	struct replace replace = {0};
	int result = replace_begin(&replace, path);

	if (result)
		return result;
	if (fwrite(bytes, 1, size, replace.file) != size) {
		result = -errno;
		replace_abort(&replace);
		return result ? result : -EIO;
	}
	return replace_commit(&replace);
}
