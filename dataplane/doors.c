/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/doors.h"

#include "base/defs.h"
#include "base/log.h"

#include <errno.h>
#include <ifaddrs.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

/* 0.0.0.0 or ::. */
static bool is_everywhere(const struct addr *addr)
{
	static const uint8_t zeros[16];

	return memcmp(addr->ip, zeros, sizeof(zeros)) == 0 ||
	       (addr_is_ipv4(addr) && memcmp(addr->ip + 12, zeros, 4) == 0);
}

static int open_one(struct doors *doors, const struct addr *addr, char *error, size_t error_size)
{
	struct epoll_event event = {.events = EPOLLIN};
	int fd;
	int r;

	r = shm_link_listen(addr, &fd, error, error_size);
	if (r)
		return r;
	if (epoll_ctl(doors->epoll_fd, EPOLL_CTL_ADD, fd, &event)) {
		r = -errno;
		snprintf(error, error_size, "epoll: %s", strerror(-r));
		close(fd);
		return r;
	}
	doors->fds[doors->count++] = fd;
	return 0;
}

/* An address that two interfaces have is one door. */
static int open_all(struct doors *doors, const struct addr *listen, char *error, size_t error_size)
{
	struct addr seen[DOORS_MAX];
	struct ifaddrs *all;
	int r = 0;

	if (getifaddrs(&all)) {
		r = -errno;
		snprintf(error, error_size, "this host's addresses: %s", strerror(-r));
		return r;
	}
	for (const struct ifaddrs *one = all; one && !r; one = one->ifa_next) {
		struct addr addr;
		uint32_t i = 0;

		/* An interface can have none, or one of a family that no node is reached by. */
		if (!one->ifa_addr || !addr_from_sockaddr(one->ifa_addr, &addr))
			continue;
		addr.port = listen->port;
		while (i < doors->count && !addr_equal(&seen[i], &addr))
			i++;
		if (i < doors->count)
			continue;
		if (i == DOORS_MAX) {
			log_warning("shared memory: this host has more than %d addresses; readers "
				    "that know it by the others go without",
				    DOORS_MAX);
			break;
		}
		seen[i] = addr;
		r = open_one(doors, &addr, error, error_size);
	}
	freeifaddrs(all);
	return r;
}

int doors_open(const struct addr *listen, struct doors *ret_doors, char *error, size_t error_size)
{
	struct doors doors = {.epoll_fd = epoll_create1(EPOLL_CLOEXEC)};
	int r;

	if (doors.epoll_fd < 0) {
		r = -errno;
		snprintf(error, error_size, "epoll: %s", strerror(-r));
		return r;
	}
	r = is_everywhere(listen) ? open_all(&doors, listen, error, error_size)
				  : open_one(&doors, listen, error, error_size);
	if (r) {
		doors_close(&doors);
		return r;
	}
	*ret_doors = doors;
	return 0;
}

void doors_close(struct doors *doors)
{
	for (uint32_t i = 0; i < doors->count; i++)
		close(doors->fds[i]);
	if (doors->epoll_fd >= 0)
		close(doors->epoll_fd);
	*doors = (struct doors){.epoll_fd = -1};
}

int doors_accept(const struct doors *doors, const struct shm_link_config *config, uint64_t now_ns,
		 struct shm_link **ret_link)
{
	int r = SHM_LINK_E_NONE;

	for (uint32_t i = 0; i < doors->count && r == SHM_LINK_E_NONE; i++)
		r = shm_link_accept(doors->fds[i], config, now_ns, ret_link);
	return r;
}
