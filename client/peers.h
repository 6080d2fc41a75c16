/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Peers - what a program says about the cluster it wants to talk to
 *
 * Server names become addresses here, the secret's file becomes bytes, and the
 * servers decide what the client's own socket is bound to.
 *
 * Threads: any; resolving a name blocks.
 */

#include "base/addr.h"
#include "cluster/route.h"
#include "proto/session.h"

#include <stddef.h>
#include <stdint.h>

/* ternd's, when the configuration names no other. */
#define PEERS_DEFAULT_PORT 7400

/* Characters of an error line, the final zero included. */
#define PEERS_ERROR_MAX 512

struct peers {
	struct addr servers[ROUTE_SERVER_MAX];
	uint32_t server_count;
	struct addr local; /* to bind to, port 0 */
};

/*
 * Reads "HOST[:PORT],HOST[:PORT]...": names, IPv4, or IPv6 in brackets. Every
 * address of a name counts as a server.
 *
 * Returns 0, or -EINVAL and one line in 'error'.
 */
int peers_resolve(const char *list, struct peers *ret_peers, char *error, size_t error_size);

/* Reads the cluster's secret as nodes do. Returns 0, or -EINVAL and one line in 'error'. */
int peers_read_secret(const char *path, uint8_t ret_secret[SESSION_SECRET_SIZE], char *error,
		      size_t error_size);
