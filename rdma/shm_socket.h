/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Shm socket - packets of a shared-memory link on a Unix socket
 *
 * What stands between rdma/shm_link.c, which is states, and the kernel: names,
 * credentials, and descriptors that come with packets. Sockets are of kind
 * SEQPACKET, so a packet comes whole or not at all, and never blocks.
 *
 * Threads: any; nothing here has state.
 */

#include "base/addr.h"
#include "rdma/shm_wire.h"

#include <stdbool.h>
#include <stddef.h>

enum {
	SHM_SOCKET_E_WAIT = 1, /* not now: nothing has come, or there is no room */
	SHM_SOCKET_E_VERSION,  /* a packet of another version */
	SHM_SOCKET_E_CORRUPT,  /* no packet, or with descriptors that it mustn't have */
};

/* The caller owns what comes out of these. Each returns 0 or a negative errno, the first and the
 * last with one line in 'error'; accept also SHM_SOCKET_E_WAIT. */
int shm_socket_listen(const struct addr *self, int *ret_fd, char *error, size_t error_size);
int shm_socket_accept(int listen_fd, int *ret_fd);
int shm_socket_connect(const struct addr *owner, bool any_user, int *ret_fd, char *error,
		       size_t error_size);

/* Is the peer of this process's user, or root? */
bool shm_socket_is_trusted(int fd);

/*
 * Sends a packet, with 'memory_fd', which is borrowed, unless that is -1. Returns 0,
 * SHM_SOCKET_E_WAIT or a negative errno.
 */
int shm_socket_send(int fd, const struct shm_wire_packet *packet, int memory_fd);

/*
 * Takes one packet. '*ret_memory_fd' is then the caller's if it is a PASS, else -1.
 *
 * With NULL no descriptor gets into this process, and a packet with one is SHM_SOCKET_E_CORRUPT.
 * Closing a stranger's descriptor isn't harmless: it may block (a file system of the stranger's
 * own), and takes this process's locks off a file that is ours.
 *
 * Returns 0, SHM_SOCKET_E_* or a negative errno (-ECONNRESET: the peer has closed the connection).
 */
int shm_socket_receive(int fd, struct shm_wire_packet *ret_packet, int *ret_memory_fd);
