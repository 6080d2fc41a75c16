/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Table pin - how a struct table_pin comes to hold something
 *
 * Threads: as table.h.
 */

#include "engine/block_cache.h"
#include "engine/table.h"

/* Gives the pin at least 'size' bytes of its own, pin->own. Returns 0 or -ENOMEM. */
int table_pin_own(struct table_pin *pin, uint64_t size);

/* Takes what block_cache_get() pinned, and lets go what it held before. */
void table_pin_hold(struct table_pin *pin, struct block_cache *cache, struct block_cached *cached);

/* The same with bytes that aren't the cache's, mostly in pin->own. */
void table_pin_show(struct table_pin *pin, const uint8_t *bytes, uint32_t size);
