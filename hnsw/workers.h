/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Workers - a few threads that share out numbered items
 *
 * For building and exact search, which are long and run beside the poll cores,
 * never on them. Which worker takes which item is left to chance, so an item's
 * result must depend on the item alone.
 *
 * Threads: one caller, which works too. workers_run() orders everything that was
 * written before it before the items, and the items before its return.
 */

#include <stdint.h>

#define WORKERS_MAX 256

struct workers;

/* 'worker' is below the number of workers: the index of scratch memory that is its own. */
typedef void (*workers_fn)(void *context, uint32_t worker, uint32_t item);

/* Starts 'count' - 1 threads beside the caller. Returns 0, -EINVAL or a negative errno. */
int workers_new(uint32_t count, struct workers **ret_workers);
void workers_free(struct workers *workers);

uint32_t workers_count(const struct workers *workers);

/* Calls 'fn' once for each item in [0, items) and returns when all are done. */
void workers_run(struct workers *workers, uint32_t items, workers_fn fn, void *context);
