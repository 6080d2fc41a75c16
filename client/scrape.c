/* SPDX-License-Identifier: Apache-2.0 */
#include "client/scrape.h"

#include "base/defs.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

/* Below a runtime folder: EAL's own way to name it. */
#define SOCKET_BELOW "dpdk/%s/dpdk_telemetry.v2"

static int connect_to(const char *path, int *ret_fd)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct timeval timeout = {.tv_sec = SCRAPE_TIMEOUT_S};
	int fd;

	if (strlen(path) >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	memcpy(address.sun_path, path, strlen(path) + 1);
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout)) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout)) < 0 ||
	    connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0) {
		int result = -errno;

		close(fd);
		return result;
	}
	*ret_fd = fd;
	return 0;
}

static int refuse(const char *path, int result, char *error, size_t error_size)
{
	const char *mend = "";

	if (result == -ECONNREFUSED)
		mend = "; the node was killed: start it again";
	else if (result == -EACCES)
		mend = "; ask as the user that ternd runs as, or as root";
	else if (result == -ENOENT)
		mend = "; start ternd with telemetry on";
	snprintf(error, error_size, "%s: %s%s", path, strerror(-result), mend);
	return result;
}

/* Where EAL may have put it: systemd's folder for the service, root's, a user's, the last resort.
 */
static int find(const char *prefix, int *ret_fd, char *error, size_t error_size)
{
	const char *folders[] = {getenv("RUNTIME_DIRECTORY"), "/run/tern", "/var/run",
				 getenv("XDG_RUNTIME_DIR"), "/tmp"};
	char closed[sizeof(((struct sockaddr_un *)NULL)->sun_path)] = "";
	int result = -ENOENT;

	for (size_t i = 0; i < ARRAY_COUNT(folders); i++) {
		char path[sizeof(closed)];
		int length;

		if (!folders[i] || !*folders[i])
			continue;
		length = snprintf(path, sizeof(path), "%s/" SOCKET_BELOW, folders[i], prefix);
		if (length < 0 || (size_t)length >= sizeof(path))
			continue;
		result = connect_to(path, ret_fd);
		if (result == 0)
			return 0;
		/* Root's folder is closed to others, whose nodes are in the folders behind it. */
		if (result == -EACCES && !*closed)
			memcpy(closed, path, sizeof(path));
		else if (result != -ENOENT)
			return refuse(path, result, error, error_size);
	}
	if (*closed)
		return refuse(closed, -EACCES, error, error_size);
	snprintf(error, error_size,
		 "no node with file prefix '%s' on this host; start ternd with telemetry on, or "
		 "name its socket with --socket",
		 prefix);
	return result;
}

/* One message, ended by a zero. */
static int receive(struct scrape *scrape, char *error, size_t error_size)
{
	ssize_t size = recv(scrape->fd, scrape->answer, SCRAPE_ANSWER_MAX, 0);

	if (size <= 0) {
		int result = size < 0 ? -errno : -ECONNRESET;

		snprintf(error, error_size, "telemetry: %s; is the node shutting down?",
			 strerror(-result));
		return result;
	}
	scrape->answer[size] = 0;
	return 0;
}

int scrape_open(const char *path, const char *prefix, struct scrape *ret_scrape, char *error,
		size_t error_size)
{
	struct scrape *scrape = ret_scrape;
	int result;

	if (path) {
		result = connect_to(path, &scrape->fd);
		if (result < 0)
			(void)refuse(path, result, error, error_size);
	} else {
		result = find(prefix, &scrape->fd, error, error_size);
	}
	if (result < 0)
		return result;
	result = receive(scrape, error, error_size); /* the greeting */
	if (result < 0)
		scrape_close(scrape);
	return result;
}

int scrape_ask(struct scrape *scrape, const char *command, json_t **ret_value, char *error,
	       size_t error_size)
{
	json_t *answer, *value;
	size_t length = strcspn(command, ",");
	char name[64];
	int result;

	if (send(scrape->fd, command, strlen(command), MSG_NOSIGNAL) < 0) {
		result = -errno;
		snprintf(error, error_size, "telemetry: %s", strerror(-result));
		return result;
	}
	result = receive(scrape, error, error_size);
	if (result < 0)
		return result;
	snprintf(name, sizeof(name), "%.*s", (int)length, command);
	answer = json_loads(scrape->answer, 0, NULL);
	value = json_object_get(answer, name);
	if (!json_is_object(value) && !json_is_array(value)) {
		json_decref(answer);
		snprintf(error, error_size, "the node answers nothing to %s; is it a ternd?",
			 command);
		return -EBADMSG;
	}
	*ret_value = json_incref(value);
	json_decref(answer);
	return 0;
}

void scrape_close(struct scrape *scrape)
{
	if (scrape->fd >= 0)
		close(scrape->fd);
	scrape->fd = -1;
}
