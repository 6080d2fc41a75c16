/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Catalog - which regions of a node's shards can be read, and where they lie
 *
 * Places are pieces of memory that are shared, or registered with a device, as a
 * whole: the image of each shard's segment, and one more that holds the directories
 * of all shards. A region is a range of a place, and has a name (docs/format/region.md).
 *
 * Threads: made by one; then constant.
 */

#include "dataplane/shard.h"
#include "proto/payload_region.h"

#include <stddef.h>
#include <stdint.h>

/* The id of the one segment that a shard has. */
#define CATALOG_SEGMENT_ID 1

enum {
	CATALOG_E_UNKNOWN = 1, /* no region of that name, or one without bytes */
};

struct catalog_place {
	const uint8_t *start; /* borrowed from the shard, or the catalog's own */
	uint64_t size;
	int fd; /* of the memory, borrowed; -1: it can't be shared */
};

struct catalog_region {
	uint32_t place;
	uint64_t offset; /* in the place */
	uint64_t size;
	uint64_t generation;
	uint32_t crc; /* of the image's header, or the directory */
};

struct catalog;

/*
 * Borrows the table and what is in it until catalog_free(). 'ef' is what directories tell readers.
 * Returns 0 or a negative errno.
 */
int catalog_new(const struct shard_table *shards, const struct shard_ef *ef,
		struct catalog **ret_catalog);
void catalog_free(struct catalog *catalog);

uint32_t catalog_place_count(const struct catalog *catalog);
const struct catalog_place *catalog_place(const struct catalog *catalog, uint32_t index);

/* The place of a shard's segment. */
uint32_t catalog_shard_place(const struct catalog *catalog, const struct shard *shard);

/* Finds a region of 'shard', one of the table's. Returns 0 or CATALOG_E_UNKNOWN. */
int catalog_find(const struct catalog *catalog, const struct shard *shard,
		 const struct region_name *name, struct catalog_region *ret_region);
