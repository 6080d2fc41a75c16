/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Handle_region - requests of type 56, answered with 57
 *
 * A peer asks for a region of a shard's memory. The core only decodes and finds
 * the shard; whether the peer gets the region is for the thread that owns regions
 * and links (export.h), which the request is passed to. The core goes on,
 * and answers when that thread has decided:
 *
 *      dispatch -> handle_region -> desk ~ ~ export's thread ~ ~ desk -> handle_region_run()
 *                     | malformed, shard elsewhere, no place free          |
 *                     v                                                    v
 *                  a status, or 57 with the reason                        57
 *
 * A request that says nothing wrong and gets nothing is answered OK, with a 57 whose reason
 * tells why. One for a shard that isn't this core's gets the status that says so, so
 * that the peer finds the right core, and with it a 57 "shard moved".
 *
 * Threads: a handler belongs to its core; the shard table is shared and constant.
 */

#include "dataplane/dispatch.h"
#include "dataplane/export.h"
#include "dataplane/shard.h"

#include <stdint.h>

struct handle_region;

struct handle_region_config {
	const struct shard_table *shards; /* borrowed until handle_region_free() */
	struct export_desk *desk;         /* borrowed; NULL: this node exports nothing */
	uint32_t core;                    /* whose shards are ours */
};

#define HANDLE_REGION_STAT_LIST(HANDLE_REGION_STAT)                                                \
	HANDLE_REGION_STAT(requests)                                                               \
	HANDLE_REGION_STAT(granted)                                                                \
	HANDLE_REGION_STAT(refused_malformed)                                                      \
	HANDLE_REGION_STAT(refused_invalid)   /* no such transport */                              \
	HANDLE_REGION_STAT(refused_elsewhere) /* another core's shard */                           \
	HANDLE_REGION_STAT(refused_not_here)                                                       \
	HANDLE_REGION_STAT(refused_overloaded) /* no place, or no buffer */                        \
	HANDLE_REGION_STAT(refused_reason)     /* answered with a reason: see export's counters */

struct handle_region_stats {
#define HANDLE_REGION_STAT_FIELD(name) uint64_t name;
	HANDLE_REGION_STAT_LIST(HANDLE_REGION_STAT_FIELD)
#undef HANDLE_REGION_STAT_FIELD
};

/* Returns 0 or -ENOMEM. */
int handle_region_new(const struct handle_region_config *config,
		      struct handle_region **ret_handler);

/* After export's thread has ended, if it was given anything. NULL is fine. */
void handle_region_free(struct handle_region *handler);

/* Puts type 56 into the table, which borrows the handler. */
void handle_region_register(struct handle_region *handler, struct dispatch *dispatch);

/* Answers what has been decided. Returns the requests answered. */
unsigned handle_region_run(struct handle_region *handler, uint64_t now_ns);

const struct handle_region_stats *handle_region_stats(const struct handle_region *handler);
