/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Export_verbs - regions for peers that read by RDMA
 *
 * The device, its links and the registered places of a catalog. Part of export.h,
 * which decides what is asked for; this decides who gets it.
 *
 * Threads: export's.
 */

#include "dataplane/catalog.h"
#include "dataplane/export.h"
#include "rdma/device.h"

#include <stddef.h>
#include <stdint.h>

struct export_verbs;

/*
 * Opens the device, listens, registers what is in 'catalog' (borrowed until
 * export_verbs_close()). A place that can't be registered is logged and left out.
 *
 * Returns 0; or a negative errno and a line in 'error': there are no verbs here then.
 */
int export_verbs_open(const struct export_config *config, const struct catalog *catalog,
		      export_answered_fn answered, void *context, struct export_verbs **ret_verbs,
		      char *error, size_t error_size);

/* Takes back every key, closes every link, refuses what is under way. NULL is fine. */
void export_verbs_close(struct export_verbs *verbs);

/* Descriptors that are readable when export_verbs_turn() has something to do. */
#define EXPORT_VERBS_FD_COUNT 2
void export_verbs_fds(const struct export_verbs *verbs, int ret_fds[EXPORT_VERBS_FD_COUNT]);

/* Takes in what has happened, ends what has run out. Returns whether the device is still there. */
bool export_verbs_turn(struct export_verbs *verbs, uint64_t now_ns);

/* When a turn is due at the latest; UINT64_MAX when nothing runs out. */
uint64_t export_verbs_due_ns(const struct export_verbs *verbs);

/* Decides about 'ask', which is for 'region': calls 'answered', now or later. */
void export_verbs_ask(struct export_verbs *verbs, struct export_ask *ask,
		      const struct catalog_region *region, uint32_t lease_ms, uint64_t now_ns);

/* Begins to take back every key of a place, which isn't granted any more. */
void export_verbs_withdraw(struct export_verbs *verbs, uint32_t place, uint64_t now_ns);

/* Is its last key gone, and the grace after it over? It is no longer registered then. */
bool export_verbs_withdrawn(struct export_verbs *verbs, uint32_t place);

const struct device_info *export_verbs_device(const struct export_verbs *verbs);

/* Adds to the counters, of what is about to be closed. */
void export_verbs_retire(const struct export_verbs *verbs, struct export_stats *stats);

/* Adds to counters and gauges. */
void export_verbs_stats(const struct export_verbs *verbs, struct export_stats *stats);
