/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Region - pinned memory that peers may read, and their leases of it
 *
 * Memory is registered once, for nobody to read. Who asks for it gets a lease: a
 * key of its own, for one link, one range and some time. Where the device has memory
 * windows of type 2B the key is a window bound to that link's queue pair, else a
 * registration of its own. When a lease ends (its time, its link, or the owner's
 * word) the key is taken back, and the device refuses it from then on.
 *
 *      region_register --> granting --region_end--> ending --last lease gone, grace over--> ended
 *
 * The memory may be unmapped when region_state() is REGION_ENDED, and not before.
 *
 * Threads: regions belong to the thread of their device's hub.
 */

#include "rdma/device.h"
#include "rdma/link.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Leases of one region, and of all regions together. */
#define REGION_LEASE_MAX       4096
#define REGION_LEASE_TOTAL_MAX 65536

#define REGION_LEASE_MS_MIN 100
#define REGION_LEASE_MS_MAX 3600000

/* After the last lease: for READs that are under way in the fabric. */
#define REGION_GRACE_NS UINT64_C(2000000000)

enum {
	REGION_E_FULL = 1, /* too many leases */
	REGION_E_ENDING,   /* nothing is granted any more */
	REGION_E_RANGE,    /* not within the region */
};

enum region_state {
	REGION_GRANTING,
	REGION_ENDING,
	REGION_ENDED,
};

struct region;
struct lease;

struct lease_info {
	uint64_t id;          /* never 0, never again the same */
	uint64_t remote_addr; /* what the peer's READ names */
	uint32_t rkey;
	uint64_t size;
	uint32_t lease_ms; /* granted */
	uint64_t expires_ns;
};

/* Borrows the memory until REGION_ENDED. Returns 0 or a negative errno (-ENOMEM: memlock). */
int region_register(struct device *device, const void *start, uint64_t size,
		    struct region **ret_region, char *error, size_t error_size);

/*
 * Grants [offset, offset + size) to the peer of 'link'. 'done' is called when the key works, or
 * with an error (then without a lease): not before region_grant() returns, from link_hub_turn().
 *
 * Returns 0, REGION_E_* or a negative errno.
 */
typedef void (*region_granted_fn)(void *context, struct lease *lease, int error);
int region_grant(struct region *region, struct link *link, uint64_t offset, uint64_t size,
		 uint32_t lease_ms, uint64_t now_ns, region_granted_fn done, void *context);

struct lease_info lease_info(const struct lease *lease);

/* Ends a lease before its time. It is gone at some later turn. */
void lease_revoke(struct lease *lease);

/* All leases of a link that ended, which is about to be closed: its keys died with it. */
void region_link_closed(struct region *region, struct link *link);

/* Ends what has run out. To be called every now and then, 10 ms apart or less. */
void region_tick(struct region *region, uint64_t now_ns);

/* No new leases; revokes all of them. */
void region_end(struct region *region, uint64_t now_ns);
enum region_state region_state(const struct region *region);

/* REGION_ENDED only; or at the program's end, with the links closed. NULL is fine. */
void region_free(struct region *region);

#define REGION_STAT_LIST(REGION_STAT)                                                              \
	REGION_STAT(leases_granted)                                                                \
	REGION_STAT(leases_expired)                                                                \
	REGION_STAT(leases_revoked)                                                                \
	REGION_STAT(leases_failed)

struct region_stats {
#define REGION_STAT_FIELD(name) uint64_t name;
	REGION_STAT_LIST(REGION_STAT_FIELD)
#undef REGION_STAT_FIELD
	uint32_t leases; /* now */
};

struct region_stats region_stats(const struct region *region);
