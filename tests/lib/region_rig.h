/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Region_rig - an owner with regions and a reader of them, on one device
 *
 * Both in this program, on a real device or on a fake one. The owner closes
 * links that ended, as a program would; the reader's stay until rig_close().
 *
 * Threads: one.
 */

#include "rdma/region.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RIG_REGION_MAX 4
#define RIG_LINK_MAX   16
#define RIG_READ_MAX   65536

/* What rig_read() answers when nothing comes. */
#define RIG_NO_ANSWER (-1)

struct rig_node {
	struct device *device;
	struct link_hub *hub;
};

struct rig_read {
	struct link_work work;
	bool done;
	enum ibv_wc_status status;
};

struct rig {
	struct rig_node owner, reader;
	struct addr bound;
	struct region *regions[RIG_REGION_MAX]; /* that are ticked */
	bool real;                              /* time is the clock's; else a ms a turn */
	uint64_t now_ns;
	uint8_t *to; /* RIG_READ_MAX bytes, where READs go */
	struct ibv_mr *to_mr;
	unsigned owner_ends; /* links that ended at the owner */
};

void rig_open(struct rig *rig, const struct verbs_ops *ops, bool real);
void rig_close(struct rig *rig);

/* Both hubs and all regions. */
void rig_turn(struct rig *rig, unsigned count);

/* Turns for that time of the rig's. */
void rig_pass(struct rig *rig, uint64_t ns);

/* The reader's side of a link that is ready; and what the owner has of it, or NULL. */
struct link *rig_connect(struct rig *rig);
struct link *rig_owner_side(struct rig *rig, const struct link *link);

/* Closes the reader's side. */
void rig_disconnect(struct rig *rig, struct link *link);

/* Posts a READ. Returns whether it could. 'read' is the rig's until it is done, or its link closed.
 */
bool rig_post(struct rig *rig, struct link *link, uint64_t remote_addr, uint32_t rkey,
	      uint32_t size, struct rig_read *read);

/* A READ into rig->to. Returns its enum ibv_wc_status or RIG_NO_ANSWER. */
int rig_read(struct rig *rig, struct link *link, uint64_t remote_addr, uint32_t rkey,
	     uint32_t size);

/* A grant, and what became of it. */
struct rig_grant {
	bool done;
	int error;
	struct lease_info lease;
};

/* region_grant() with '*grant' as the receiver. Returns what it does. */
int rig_grant(struct rig *rig, struct region *region, struct link *link, uint64_t offset,
	      uint64_t size, uint32_t lease_ms, struct rig_grant *grant);

/* The same, and waits until it is done; fails the test if it isn't granted. */
struct lease_info rig_granted(struct rig *rig, struct region *region, struct link *link,
			      uint64_t offset, uint64_t size, uint32_t lease_ms);
