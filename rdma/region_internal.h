/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Region_internal - what region.c and lease.c share
 *
 * With windows:
 *
 *      free --grant--> binding --completion--> active
 *                         |                      |
 *                         | no answer            | time, revoked
 *                         v                      v
 *                       lost <--no answer--- unbinding --completion--> free
 *
 * With registrations:
 *
 *      free --grant--> made --tick--> active --time, revoked--> free
 *
 * Any state --region_link_closed--> free. A lost lease has no key any more; its place is kept for
 * the completion that the device still owes.
 *
 * Threads: see region.h.
 */

#include "rdma/region.h"

enum lease_state {
	LEASE_FREE,
	LEASE_MADE,
	LEASE_BINDING,
	LEASE_ACTIVE,
	LEASE_UNBINDING,
	LEASE_LOST,
};

struct lease {
	struct link_work work;
	enum lease_state state;
	bool unwanted; /* revoked before it was active */
	struct region *region;
	struct link *link;
	struct ibv_mw *window; /* one of these two, unless free or lost */
	struct ibv_mr *mr;
	uint64_t due_ns; /* when the tick has to look at it */
	region_granted_fn done;
	void *context;
	struct lease_info info;
	struct lease *next; /* free ones */
};

struct region {
	struct device *device;
	const uint8_t *start;
	uint64_t size;
	struct ibv_mr *mr; /* what windows lie on; NULL without windows */
	enum region_state state;
	uint64_t now_ns;   /* the latest that was said */
	uint64_t due_ns;   /* no lease is due before */
	uint64_t ended_ns; /* when the last lease was seen to be gone; 0: not yet */
	struct region_stats stats;
	struct lease *leases; /* REGION_LEASE_MAX */
	uint32_t fresh;       /* leases from here on were never used */
	struct lease *free_first, *free_last;
};

/* Registers memory that may be mapped read-only. Returns 0 or a negative errno. */
int region_pin(const struct region *region, uint64_t offset, uint64_t size, int access,
	       struct ibv_mr **ret_mr, char *error, size_t error_size);

/* What a tick does for a lease that is due. */
void lease_look(struct lease *lease);

/* Ends it as if its time had come; for one that isn't active yet, as soon as it is. */
void lease_end(struct lease *lease);

/* Its key, and what was posted for it, die with its link. */
void lease_cut(struct lease *lease);

/* Takes the key back at once, without the link's queue. */
void lease_drop_key(struct lease *lease);
