/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Device - an opened verbs device: its port, its address, its limits
 *
 * Opening picks a device, a port that is up, and a GID (RoCEv2 before RoCEv1,
 * IPv4 before IPv6 where both are there), unless the options name them; takes a protection
 * domain; and asks what the device can do. All verbs are called through a table
 * (verbs_ops.h), so that tests put a provider of their own there.
 *
 * Threads: opening and closing by one; events by one; the rest is constant.
 */

#include "base/addr.h"
#include "rdma/verbs_ops.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Devices that device_list() tells of. */
#define DEVICE_LIST_MAX 16

/* Bytes of a device's name, and of an error line, final zero included. */
#define DEVICE_NAME_MAX  64
#define DEVICE_ERROR_MAX 512

enum device_transport {
	DEVICE_INFINIBAND,
	DEVICE_ROCE_V1,
	DEVICE_ROCE_V2,
};

struct device_info {
	char name[DEVICE_NAME_MAX];
	char netdev[DEVICE_NAME_MAX]; /* "" when the GID has none */
	enum device_transport transport;
	uint8_t port;
	uint32_t gid_index;
	uint8_t gid[16];
	uint32_t mtu;          /* bytes, active */
	uint32_t read_out_max; /* READs that a queue pair can have under way */
	uint32_t read_in_max;  /* and can be asked for */
	uint32_t qp_max;
	uint32_t wr_max;  /* work requests of a queue */
	uint32_t cqe_max; /* completions of a queue */
	uint32_t srq_wr_max;
	uint64_t mr_size_max; /* bytes */
	bool has_windows;     /* memory windows of type 2B */
	bool active;          /* the port is up */
};

struct device_options {
	const char *name; /* NULL: the first that is up */
	uint8_t port;     /* 0: the first that is up */
	int gid_index;    /* -1: the best */
};

struct device;

/*
 * Opens a device. Borrows 'ops'. On failure 'error' (of 'error_size' bytes) has one line that
 * says what to do.
 *
 * Returns 0, -ENODEV (there is none, or none like that), or another negative errno.
 */
int device_open(const struct verbs_ops *ops, const struct device_options *options,
		struct device **ret_device, char *error, size_t error_size);

/* Everything made of it must be gone. NULL is fine. */
void device_close(struct device *device);

const struct device_info *device_info(const struct device *device);
const struct verbs_ops *device_ops(const struct device *device);
struct ibv_context *device_context(struct device *device);
struct ibv_pd *device_pd(struct device *device);

/*
 * Where peers reach the device, with 'port'. Returns whether there is such an address: a GID of
 * InfiniBand has none.
 */
bool device_addr(const struct device *device, uint16_t port, struct addr *ret_addr);

/* A GID of a port. */
struct device_gid {
	uint32_t index;
	enum device_transport transport;
	uint8_t gid[16];
	char netdev[DEVICE_NAME_MAX]; /* "" when it has none */
};

/* All GIDs of the device's port. Returns how many; those beyond 'count' are not told of. */
unsigned device_gids(const struct device *device, struct device_gid *gids, unsigned count);

/*
 * Registers [start, start + size), which is borrowed until the registration ends by dereg_mr.
 * Returns 0 or a negative errno, with 'error' saying what to do (-ENOMEM: memlock).
 */
int device_register(struct device *device, const void *start, uint64_t size, int access,
		    struct ibv_mr **ret_mr, char *error, size_t error_size);

/* "infiniband", "roce v1", "roce v2". */
const char *device_transport_name(enum device_transport transport);

/* All devices, opened for a moment. Returns how many; those beyond 'count' are not told of. */
unsigned device_list(const struct verbs_ops *ops, struct device_info *infos, unsigned count);

/*
 * What a verb that gives something of the device back returned. It can't fail, unless the device is
 * gone, and with it what was given back: the kernel then says EIO to everything.
 */
void device_given_back(const struct device *device, int result);

enum device_event {
	DEVICE_EVENT_NONE,    /* nothing waits */
	DEVICE_EVENT_PORT,    /* the port went up or down: device_info() has changed */
	DEVICE_EVENT_REMOVED, /* it is gone, or broken: close everything */
	DEVICE_EVENT_OTHER,   /* counted and logged */
};

/* Readable when device_event() has something. Doesn't block. */
int device_event_fd(const struct device *device);
enum device_event device_event(struct device *device);

/* Was DEVICE_EVENT_REMOVED seen? Any thread. */
bool device_is_removed(const struct device *device);

/*
 * Events so far that told of a broken queue pair, or of the device's removal: whoever has queue
 * pairs looks after them when there is another. The count is the device's, and read with acquire.
 * Any thread.
 */
const _Atomic uint32_t *device_alarms(const struct device *device);
