/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Manifest - which shards a collection is spread over, and their files
 *
 * `tern build` writes a folder: manifest.json, and for each shard a segment and
 * a coarse descriptor (the body of a type 53 answer). ternd serves from it, and
 * a client learns from it which shards there are. docs/format/manifest.md.
 *
 * Placement: shard i of a collection is vShard (home + i) mod 1024, where home
 * is the collection's hash (protocol section 16.2, base/hash.h), so that a client
 * that knows a collection's name and its number of shards knows all its vShards.
 * Vector ids are the row numbers of the file that was built from: unique in the
 * whole collection, so that one filter bitmap serves all its shards.
 *
 * Threads: loading and saving by one thread; a loaded manifest can be read by any.
 */

#include "base/metric.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MANIFEST_SHARD_MAX      1024 /* the protocol's number of vShards */
#define MANIFEST_COLLECTION_MAX 255  /* bytes */
#define MANIFEST_FILE_MAX       255  /* bytes of a file's name, inside the manifest's folder */
#define MANIFEST_DIM_MAX        4096 /* values of a vector */
#define MANIFEST_SIZE_MAX       (UINT32_C(1) << 20) /* bytes of manifest.json */
#define MANIFEST_NAME           "manifest.json"

enum {
	MANIFEST_E_INVALID = 1, /* not a manifest that we read; the text says why */
};

enum manifest_partition {
	MANIFEST_PARTITION_KMEANS, /* near vectors share a shard: coarse routing means something */
	MANIFEST_PARTITION_HASH,
};

struct manifest_shard {
	uint32_t vshard;
	uint32_t count; /* vectors */
	uint64_t segment_size;
	uint32_t segment_crc; /* CRC-32C of the whole file */
	uint32_t coarse_crc;
	char segment[MANIFEST_FILE_MAX + 1]; /* file names without any '/' */
	char coarse[MANIFEST_FILE_MAX + 1];
};

struct manifest {
	char collection[MANIFEST_COLLECTION_MAX + 1];
	enum metric metric;
	enum manifest_partition partition;
	uint32_t dim;
	uint64_t count;      /* vectors in all shards */
	uint64_t generation; /* of its segments and descriptors */
	uint32_t shard_count;
	struct manifest_shard *shards; /* owned; in the order of the collection's shards */
};

/* "kmeans" or "hash". */
const char *manifest_partition_name(enum manifest_partition partition);

/* Returns 0, or -EINVAL when 'name' is none of them. */
int manifest_partition_parse(const char *name, enum manifest_partition *ret_partition);

/* Is it 1 to MANIFEST_COLLECTION_MAX bytes of UTF-8? */
bool manifest_collection_valid(const char *collection);

/* The vShard of a collection's shard 'index'. */
uint32_t manifest_vshard(const char *collection, uint32_t index);

/*
 * Reads FOLDER/manifest.json, or the file itself when 'path' is one. Checks
 * names (no way out of the folder), counts, numbers and that vShards are
 * manifest_vshard()'s; doesn't open the shards' files.
 *
 * Returns 0, MANIFEST_E_INVALID or a negative errno, with one line in 'error'.
 */
int manifest_load(const char *path, struct manifest *ret_manifest, char *error, size_t error_size);

/* The same from 'size' bytes of JSON in memory. Returns 0, MANIFEST_E_INVALID or -ENOMEM. */
int manifest_decode(const void *bytes, size_t size, struct manifest *ret_manifest, char *error,
		    size_t error_size);

/*
 * Writes FOLDER/manifest.json by way of a temporary beside it, synced and renamed.
 * The manifest must be one that manifest_load() accepts. Returns 0 or a negative errno.
 */
int manifest_save(const struct manifest *manifest, const char *folder);

void manifest_deinit(struct manifest *manifest);
