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
 * A window is bound and taken back by requests on the link's own send queue. A link whose queue
 * doesn't answer within REGION_ANSWER_NS is broken on purpose: a key that can't be taken back
 * ends with its queue pair.
 *
 * A registration of a lease's own works on every link of the device's protection domain, not only
 * on the one it was granted to: without windows a key is a secret among members.
 *
 * rxe holds a window to the range of its region only, not to its own (seen in Linux 6.1). So what a
 * peer must not read is not in a region that it gets a lease of.
 *
 * Threads: regions belong to the thread of their device's hub.
 */

#include "rdma/device.h"
#include "rdma/link.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Leases of one region, until their keys are gone. */
#define REGION_LEASE_MAX 4096

/* What a lease lasts, whatever is asked for. */
#define REGION_LEASE_MS_MIN 100
#define REGION_LEASE_MS_MAX 3600000

/* After the last lease: for READs that are under way in the fabric. */
#define REGION_GRACE_NS UINT64_C(2000000000)

/* How long a link's send queue has to bind a window or to take it back. */
#define REGION_ANSWER_NS UINT64_C(1000000000)

enum {
	REGION_E_FULL = 1, /* too many leases, or no window or registration left: try again later */
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
	uint64_t id;          /* never 0, never again the same in this process */
	uint64_t remote_addr; /* what the peer's READ names */
	uint32_t rkey;
	uint64_t size;
	uint32_t lease_ms; /* granted */
	uint64_t expires_ns;
};

/*
 * Borrows the memory until REGION_ENDED. It may be mapped for reading only (base/memory.h), if the
 * mapping can be made writable for a moment. Returns 0 or a negative errno (-ENOMEM: memlock).
 */
int region_register(struct device *device, const void *start, uint64_t size,
		    struct region **ret_region, char *error, size_t error_size);

/* The same with a registration of its own for each lease, even if the device has windows. */
int region_register_without_windows(struct device *device, const void *start, uint64_t size,
				    struct region **ret_region, char *error, size_t error_size);

/*
 * Grants [offset, offset + size) to the peer of 'link', which is LINK_READY. 'done' is called once:
 * when the key works, or with a negative errno and no lease; not before region_grant() returns,
 * from link_hub_turn(), region_tick() or region_link_closed(). The lease is valid while 'done'
 * runs; after that its id names it.
 *
 * Returns 0, REGION_E_* or a negative errno; only after 0 is 'done' called.
 */
typedef void (*region_granted_fn)(void *context, const struct lease *lease, int error);
int region_grant(struct region *region, struct link *link, uint64_t offset, uint64_t size,
		 uint32_t lease_ms, uint64_t now_ns, region_granted_fn done, void *context);

struct lease_info lease_info(const struct lease *lease);

/* Ends a lease before its time: its key is refused some turn later. Returns whether there is one.
 */
bool region_revoke(struct region *region, uint64_t id);

/*
 * All leases of a link that ended, or is to be closed: its keys are gone when this returns.
 * link_close() has to follow at once, without a turn of the hub, since no completion of the link is
 * waited for any more.
 */
void region_link_closed(struct region *region, struct link *link);

/* Ends what has run out. To be called every now and then, 10 ms apart or less. */
void region_tick(struct region *region, uint64_t now_ns);

/* When it has to be called next at the latest; UINT64_MAX: nothing runs out. */
uint64_t region_due_ns(const struct region *region);

/* No new leases; revokes all of them. */
void region_end(struct region *region, uint64_t now_ns);
enum region_state region_state(const struct region *region);

/* REGION_ENDED only; or at the program's end, with the links closed. NULL is fine. */
void region_free(struct region *region);

#define REGION_STAT_LIST(REGION_STAT)                                                              \
	REGION_STAT(leases_granted)                                                                \
	REGION_STAT(leases_expired)                                                                \
	REGION_STAT(leases_revoked)                                                                \
	REGION_STAT(leases_cut)    /* ended with their link */                                     \
	REGION_STAT(leases_failed) /* never granted, after 0 of region_grant() */                  \
	REGION_STAT(links_broken)  /* since they didn't answer */

struct region_stats {
#define REGION_STAT_FIELD(name) uint64_t name;
	REGION_STAT_LIST(REGION_STAT_FIELD)
#undef REGION_STAT_FIELD
	uint32_t leases; /* now, those included whose key is being made or taken back */
};

struct region_stats region_stats(const struct region *region);
