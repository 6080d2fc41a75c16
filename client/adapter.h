/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Adapter - the RDMA devices of this machine, as `tern info` shows them
 *
 * Each device that libibverbs knows is opened for a moment, as a node and a reader
 * would open it; one that can't be has the reason, with what to do about it.
 *
 * Threads: one at a time.
 */

#include "rdma/device.h"

#include <stdbool.h>
#include <stdint.h>

/* GIDs of one device that are shown. */
#define ADAPTER_GID_MAX 16

struct adapter {
	char name[DEVICE_NAME_MAX];
	bool opens;
	char why_not[DEVICE_ERROR_MAX]; /* "" when it opens */
	struct device_info info;        /* the rest only when it opens */
	struct device_gid gids[ADAPTER_GID_MAX];
	unsigned gid_count;
};

/* Looks at up to 'count' devices; returns how many there are of them. */
unsigned adapter_look(const struct verbs_ops *ops, struct adapter *devices, unsigned count);

/* Writes the address that a GID of RoCE is, or the GID, in text; returns 'to'. */
#define ADAPTER_GID_TEXT_MAX 48
const char *adapter_gid_text(const uint8_t gid[16], char to[ADAPTER_GID_TEXT_MAX]);
