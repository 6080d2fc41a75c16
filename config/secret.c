/* SPDX-License-Identifier: Apache-2.0 */
#include "config/secret.h"

#include "base/hex.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define HEX_LENGTH (2 * CONFIG_SECRET_SIZE)

/* The digits, the end of line that editors and openssl leave, and one byte to see that more
 * follows. */
#define FILE_SIZE (HEX_LENGTH + 2 + 1)

/* Looks at the open file and not at the path, so that nobody can change it in between. */
static int check_mode(int fd, char why[VALUE_WHY_MAX])
{
	struct stat status;

	if (fstat(fd, &status) || !S_ISREG(status.st_mode)) {
		snprintf(why, VALUE_WHY_MAX, "is no regular file; name one");
		return -EINVAL;
	}
	if (status.st_mode & (S_IROTH | S_IWOTH | S_IWGRP)) {
		snprintf(why, VALUE_WHY_MAX,
			 "has mode %03o, so that others can read or change it; chmod 600 it",
			 status.st_mode & 0777);
		return -EINVAL;
	}
	return 0;
}

static int decode(const char *bytes, ssize_t size, uint8_t secret[CONFIG_SECRET_SIZE],
		  char why[VALUE_WHY_MAX])
{
	static const uint8_t zeros[CONFIG_SECRET_SIZE];

	if (size == HEX_LENGTH + 2 && bytes[HEX_LENGTH] == '\r' && bytes[HEX_LENGTH + 1] == '\n')
		size = HEX_LENGTH;
	if (size == HEX_LENGTH + 1 && bytes[HEX_LENGTH] == '\n')
		size = HEX_LENGTH;
	if (size == CONFIG_SECRET_SIZE)
		memcpy(secret, bytes, CONFIG_SECRET_SIZE);
	else if (size != HEX_LENGTH || !hex_read(bytes, CONFIG_SECRET_SIZE, secret)) {
		snprintf(why, VALUE_WHY_MAX,
			 "holds neither 32 bytes nor 64 hexadecimal digits; openssl rand -hex 32 "
			 "makes one");
		return -EINVAL;
	}
	if (memcmp(secret, zeros, sizeof(zeros)) == 0) {
		snprintf(why, VALUE_WHY_MAX, "is all zero; openssl rand -hex 32 makes a secret");
		return -EINVAL;
	}
	return 0;
}

static ssize_t read_all(int fd, char *bytes, size_t size)
{
	size_t got = 0;

	while (got < size) {
		ssize_t count = read(fd, bytes + got, size - got);

		if (count < 0 && errno == EINTR)
			continue;
		if (count < 0)
			return -errno;
		if (count == 0)
			break;
		got += (size_t)count;
	}
	return (ssize_t)got;
}

int secret_load(const char *path, uint8_t ret_secret[CONFIG_SECRET_SIZE], char why[VALUE_WHY_MAX])
{
	uint8_t secret[CONFIG_SECRET_SIZE];
	char bytes[FILE_SIZE];
	/* Without O_NONBLOCK a pipe would stop the start until somebody writes to it. */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	int error = -EINVAL;
	ssize_t size;

	if (fd < 0) {
		snprintf(why, VALUE_WHY_MAX, "can't be opened: %s; check its path and owner",
			 strerror(errno));
		return -EINVAL;
	}
	if (check_mode(fd, why))
		goto close_file;
	size = read_all(fd, bytes, sizeof(bytes));
	if (size < 0)
		snprintf(why, VALUE_WHY_MAX, "can't be read: %s; check the disk",
			 strerror((int)-size));
	else
		error = decode(bytes, size, secret, why);
	if (!error)
		memcpy(ret_secret, secret, sizeof(secret));
	explicit_bzero(bytes, sizeof(bytes));
	explicit_bzero(secret, sizeof(secret));
close_file:
	close(fd);
	return error;
}
