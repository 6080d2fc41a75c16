/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Shard - one vShard's part of a collection, served by one core
 *
 * A shard joins what `tern build` wrote for it: the sealed segment, and the
 * coarse descriptor that type 53 answers with. Both are checked when they are
 * opened (names, sizes and checksums against the manifest, then everything in
 * the segment), so that the core that owns the shard needs no checks.
 *
 * The table is the node's: every core finds every shard in it, so that a core
 * which doesn't own a shard can say who does. A vShard can have shards of
 * several collections; the pair is the key.
 *
 * Threads: opening, adding and closing before and after the cores run; a table
 * and its shards don't change in between and can be read by any.
 */

#include "cluster/manifest.h"
#include "hnsw/segment.h"
#include "proto/payload_vector.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Shards of all collections on one node. */
#define SHARD_TABLE_MAX 4096

/* Collections on one node. */
#define SHARD_COLLECTION_MAX 16

enum {
	SHARD_E_INVALID = 1, /* a file isn't what the manifest says; the text says what */
};

struct shard {
	uint32_t vshard;
	uint32_t core;     /* index of the core that owns it */
	uint16_t udp_port; /* where that core is reached */
	uint16_t name_length;
	char collection[MANIFEST_COLLECTION_MAX + 1];
	struct segment segment;
	uint32_t label_max;    /* largest vector id in the segment; 0 when it is empty */
	uint32_t coarse_size;  /* bytes */
	const uint8_t *coarse; /* body of kind 1; owned */
	uint64_t generation;   /* of segment and descriptor */
};

/* How hard searches try: the candidates that they keep. */
struct shard_ef {
	uint32_t max;        /* 1 to VECTOR_EF_MAX; no search gets more */
	uint32_t unasked;    /* of searches that leave it open; 0: what recall_target takes */
	float recall_target; /* picks the segment's ef; 0: the segment's default */
};

/* The ef of a search of 'shard' that asks for 'ef'; 0: it leaves it open. */
uint32_t shard_ef(const struct shard *shard, const struct shard_ef *config, uint32_t ef);

struct shard_options {
	uint32_t core;
	uint16_t udp_port;
	struct segment_open_options memory;
};

/*
 * Opens shard 'index' of 'manifest', whose files are in 'folder'. On failure
 * 'error' (of 'error_size' bytes) has one line.
 *
 * Returns 0, SHARD_E_INVALID or a negative errno.
 */
int shard_open(const struct manifest *manifest, uint32_t index, const char *folder,
	       const struct shard_options *options, struct shard *ret_shard, char *error,
	       size_t error_size);
void shard_close(struct shard *shard);

/* What the manifests say, whatever this node owns of it. */
struct shard_collection {
	char name[MANIFEST_COLLECTION_MAX + 1];
	uint32_t name_length;
	uint32_t shard_count;
	uint32_t dim;
};

struct shard_table {
	uint32_t collection_count;
	struct shard_collection collections[SHARD_COLLECTION_MAX];
	uint32_t count;
	struct shard *shards;               /* owned, with what is in them */
	uint16_t first[MANIFEST_SHARD_MAX]; /* by vShard: 1 + index, 0 for none */
	uint16_t next[SHARD_TABLE_MAX];     /* the same, of the same vShard */
};

/* Room for SHARD_TABLE_MAX shards. Returns 0 or -ENOMEM. */
int shard_table_new(struct shard_table **ret_table);

/* Closes all shards in it. NULL is fine. */
void shard_table_free(struct shard_table *table);

/*
 * Takes '*shard'.
 *
 * Returns 0, -EEXIST (a shard of that collection and vShard is in it) or
 * -ENOSPC; then the caller still owns the shard.
 */
int shard_table_add(struct shard_table *table, const struct shard *shard);

/* Notes a collection. Returns 0, or -ENOSPC. */
int shard_table_note(struct shard_table *table, const struct manifest *manifest);

/* Index of the collection, or -1 when no manifest speaks of it. */
int shard_table_collection(const struct shard_table *table, const struct text_view *collection);

/* Is there a shard of that vShard, of whichever collection? */
bool shard_table_has(const struct shard_table *table, uint32_t vshard);

/* The shard of that collection, or NULL when it is not on this node. */
const struct shard *shard_table_find(const struct shard_table *table, uint32_t vshard,
				     const struct text_view *collection);
