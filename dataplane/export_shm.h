/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Export_shm - regions for peers on this host, which map the memory
 *
 * The owner's side of rdma/shm_link.h: who connects and proves membership can be
 * lent memory, by its descriptor. Part of export.h, as export_verbs.h is.
 *
 * A lease that ends takes nothing back: what a peer has mapped stays mapped, and
 * stays what it was, since the memory is never used for anything else. The
 * lease's time tells the peer when that is no longer the shard's content.
 *
 * Threads: export's.
 */

#include "dataplane/catalog.h"
#include "dataplane/export.h"

#include <stddef.h>
#include <stdint.h>

struct export_shm;

/*
 * Listens. Borrows 'catalog' until export_shm_close().
 *
 * Returns 0; or a negative errno and a line in 'error': nothing is shared then.
 */
int export_shm_open(const struct export_config *config, const struct catalog *catalog,
		    export_answered_fn answered, void *context, struct export_shm **ret_shm,
		    char *error, size_t error_size);

/* Withdraws all leases and ends all links. NULL is fine. */
void export_shm_close(struct export_shm *shm);

/* Readable when export_shm_turn() has something to do. */
int export_shm_fd(const struct export_shm *shm);

/* Takes in what has happened, ends what has run out. */
void export_shm_turn(struct export_shm *shm, uint64_t now_ns);

/* When a turn is due at the latest; UINT64_MAX when nothing runs out. */
uint64_t export_shm_due_ns(const struct export_shm *shm);

/* Decides about 'ask', which is for 'region': calls 'answered' at once. */
void export_shm_ask(struct export_shm *shm, struct export_ask *ask,
		    const struct catalog_region *region, uint32_t lease_ms, uint64_t now_ns);

/* Ends all leases of a place, and says so to who has them. What they mapped stays theirs. */
void export_shm_withdraw(struct export_shm *shm, uint32_t place);

/* Adds to the counters and gauges. */
void export_shm_stats(const struct export_shm *shm, struct export_stats *stats);
