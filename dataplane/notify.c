/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/notify.h"

#include "base/clock.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

int notify_send(const char *lines)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un name = {.sun_family = AF_UNIX};
	size_t length;
	int r = 0;
	int fd;

	if (!path || !*path)
		return 0;
	length = strlen(path);
	if ((*path != '/' && *path != '@') || length >= sizeof(name.sun_path))
		return -EINVAL;
	memcpy(name.sun_path, path, length);
	if (*path == '@')
		name.sun_path[0] = '\0'; /* an abstract name */
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (sendto(fd, lines, strlen(lines), MSG_NOSIGNAL, (struct sockaddr *)&name,
		   (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length)) < 0)
		r = -errno;
	close(fd);
	return r;
}

uint64_t notify_watchdog_ns(void)
{
	const char *text = getenv("WATCHDOG_USEC");
	char *end;
	uint64_t us;

	if (!text)
		return 0;
	errno = 0;
	us = strtoull(text, &end, 10);
	if (errno || *end || us > UINT64_MAX / NS_PER_US / 2)
		return 0;
	/* Twice as often as asked for, as sd_watchdog_enabled(3) recommends. */
	return us * NS_PER_US / 2;
}
