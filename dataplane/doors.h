/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Doors - the sockets that readers on this host find a node at
 *
 * A socket of shared memory has the name of the address that a reader knows the
 * node by (rdma/shm_link.h). A node that listens at all addresses of its host, 0.0.0.0
 * or ::, is known by any of them: so it has a socket for each that the host has at the start.
 *
 * Threads: one.
 */

#include "base/addr.h"
#include "rdma/shm_link.h"

#include <stddef.h>
#include <stdint.h>

/* Addresses of a host that are listened at; others of it are left out, and logged. */
#define DOORS_MAX 64

struct doors {
	int epoll_fd; /* of the sockets; readable when a reader waits; -1: none */
	uint32_t count;
	int fds[DOORS_MAX]; /* owned */
};

/* Returns 0, or a negative errno and one line in 'error'; nothing is left open then. */
int doors_open(const struct addr *listen, struct doors *ret_doors, char *error, size_t error_size);
void doors_close(struct doors *doors);

/* As shm_link_accept(), at whichever door somebody waits. */
int doors_accept(const struct doors *doors, const struct shm_link_config *config, uint64_t now_ns,
		 struct shm_link **ret_link);
