/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Fabric - a client's port over RDMA, and the verbs device under it
 *
 * Threads: as the port's.
 */

#include "proto/port.h"

#include <stddef.h>
#include <stdint.h>

/* Bytes of an error line, final zero included. */
#define FABRIC_ERROR_MAX 512

/* Poll cores that a client talks to at a time; each has a link of its own. */
#define FABRIC_LINK_MAX 64

struct fabric {
	struct device *device; /* owned */
	struct port *port;     /* owned */
};

/*
 * Opens the verbs device of that name, or the first whose port is up for NULL, and a port with
 * one queue. 'secret' (LINK_SECRET_SIZE bytes, or NULL) is copied.
 *
 * Returns 0, or a negative errno and one line in 'error'.
 */
int fabric_open(const char *device, const uint8_t *secret, struct fabric *ret_fabric, char *error,
		size_t error_size);

/* A zeroed one is fine. */
void fabric_close(struct fabric *fabric);
