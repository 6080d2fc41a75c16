/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Version - which tables and blob files make up the key space at a moment
 *
 * A version never changes; what a job has made gives a new one, which shares files with the one
 * before. Files are counted by the versions that have them: one that is in none any more is closed,
 * and removed if the ledger doesn't name it.
 *
 * Level 0 has tables as they were flushed, the youngest first. On every other level tables are
 * ordered by key and don't overlap, but for this: a table that ends with a range tombstone may
 * bear the key behind it as its last, with which the next one begins.
 *
 * A file from which a block is being read when its last reference goes leaves when that has ended.
 *
 * Threads: the owner; a job may read a version that the owner holds for it, but not its readers,
 * and open files that it then hands over.
 */

#include "engine/blob.h"
#include "engine/ledger.h"
#include "engine/range_set.h"
#include "engine/table.h"

#include <stdbool.h>

#define VERSION_LEVEL_MAX LEDGER_LEVEL_MAX

struct table_file {
	struct ledger_table info; /* owns keys and references */
	struct table *table;      /* the owner's reader */
	struct range_set ranges;
	struct table_file *next; /* of those that leave */
	uint32_t refs;
	bool doomed;  /* the ledger doesn't name it: the file goes with the last reference */
	bool damaged; /* a compaction couldn't read it: it stays where it is */
};

struct blob_file {
	struct ledger_blob info;
	struct blob *blob;
	uint64_t live;          /* bytes that tables of the newest version refer to */
	struct blob_file *next; /* of those that leave */
	uint32_t refs;
	bool doomed;
	bool damaged; /* the same: what lives in it isn't written anew */
};

struct version {
	struct table_file **levels[VERSION_LEVEL_MAX];
	uint32_t counts[VERSION_LEVEL_MAX];
	uint64_t sizes[VERSION_LEVEL_MAX]; /* bytes of files */
	bool has_ranges[VERSION_LEVEL_MAX];
	struct blob_file **blobs; /* by number */
	uint32_t blob_count;
	uint32_t refs;
};

/* What opens files, and what happens to those nobody needs. */
struct version_files {
	struct io *io;
	struct block_cache *cache;
	uint8_t store[16];
	uint64_t *doomed; /* numbers << 1, and 1 for a blob file: removed by the next job */
	uint32_t doomed_count;
	uint32_t doomed_capacity;
	struct table_file *leaving_tables; /* without a reference, and still being read */
	struct blob_file *leaving_blobs;
};

void version_table_name(uint64_t number, char name[IO_NAME_MAX + 1]);
void version_blob_name(uint64_t number, char name[IO_NAME_MAX + 1]);

/* Whether the name is a table's or a blob file's, and which. */
bool version_number(const char *name, uint64_t *ret_number, bool *ret_blob);

/* Opens a table as the ledger has it, with one reference and without the cache: any thread may,
 * which owns it until it hands it over. Returns 0, TABLE_E_CORRUPT ('error') or a negative errno.
 */
int table_file_open(const struct version_files *files, const struct ledger_table *info,
		    struct table_file **ret_file, char *error, size_t error_size);
/* What is being read from leaves when that has ended. Never blocks. */
void table_file_put(struct version_files *files, struct table_file *file);

/* The same of a blob file. */
int blob_file_open(const struct version_files *files, const struct ledger_blob *info,
		   struct blob_file **ret_file, char *error, size_t error_size);
void blob_file_put(struct version_files *files, struct blob_file *file);

/* Closes files that wait for a read, if it has ended. Never blocks. */
void version_files_poll(struct version_files *files);
bool version_files_are_leaving(const struct version_files *files);

/* Closes them all, and waits for that. */
void version_files_deinit(struct version_files *files);

/* The file of that number, or NULL. */
struct blob_file *version_blob(const struct version *version, uint64_t number);

/* What makes one version of another. */
struct version_change {
	struct table_file *const *adds;
	const uint64_t *removes; /* numbers of tables */
	struct blob_file *const *blob_adds;
	const uint64_t *blob_removes;
	uint32_t add_count;
	uint32_t remove_count;
	uint32_t blob_add_count;
	uint32_t blob_remove_count;
};

/* 'before' with the change (NULL: the empty version), with one reference; it takes references of
 * its own to the files. Returns 0 or -ENOMEM. */
int version_new(const struct version *before, const struct version_change *change,
		struct version **ret_version);
void version_get(struct version *version);
void version_put(struct version_files *files, struct version *version);

/* Counts again what tables refer to. */
void version_count_live(struct version *version);

/* On a level from 1 on: index of the first table that ends at or behind the key. */
uint32_t version_find(const struct version *version, unsigned level, struct entry_bytes key);

/* Whether a table on a level below (larger than) 'level' may have keys of [first, last]. */
bool version_has_below(const struct version *version, unsigned level, struct entry_bytes first,
		       struct entry_bytes last);

/* The largest number up to 'seqno' of a range tombstone in tables that covers the key; 0: none. */
uint64_t version_cover(const struct version *version, struct entry_bytes key, uint64_t seqno);
