/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Compact - tables, or one memtable, become new tables
 *
 *      sources --merge--> versions of a key --rules--> table writer, blob writer
 *
 * The rules say what of a key's versions is kept. All above the plan's 'keep' are. Below it, the
 * numbers of snapshots cut time into pieces, each of which ends at a moment that somebody can
 * read; of a piece only what makes up the state at its end is kept:
 *
 *   1. The youngest version, if it is a value.
 *   2. A tombstone, as long as something older may lie below the level that is written.
 *   3. Merge operands, folded into one value when the piece also has their base: a value that never
 *      expires, a tombstone, or nothing when nothing older can be anywhere. Others stay as they
 * are; so do those whose base can't be read or that give no value.
 *   4. An expired value becomes a tombstone.
 *   5. A weak tombstone and the value that it takes back both go if no table further down has the
 *      key.
 *   6. What a range tombstone of the same piece covers goes.
 *
 * Range tombstones are cut where a table ends and the next begins, so that tables of a level don't
 * overlap.
 *
 * Threads: one.
 */

#include "engine/fold.h"
#include "engine/merger.h"
#include "engine/version.h"

/* Operands of one key, and bytes of them, that are gathered to be folded; more stay as they are. */
#define COMPACT_FOLD_MAX       65536
#define COMPACT_FOLD_BYTES_MAX (UINT32_C(16) << 20)

enum {
	COMPACT_E_MORE = 1, /* the slice is used up */
	COMPACT_E_CORRUPT,  /* compact->error says, 'bad_table' or 'bad_blob' where */
};

/* What is to be done. Arrays are owned by the plan; what they point to is borrowed. */
struct compact_plan {
	struct io *io;
	struct ledger *ledger;
	const struct merge_ops *ops;
	const struct memtable *memtable; /* a flush */
	const struct version *version;   /* a compaction's, held by its owner */
	struct table_file **inputs; /* level 0 ones the youngest first, then by level and key */
	uint32_t input_count;
	unsigned level; /* that is written */
	bool keep_all;  /* nothing is dropped: blob files are given up */
	bool move;      /* tables only change their level */
	bool compress;
	uint64_t relocate;   /* number of the blob file whose values are written anew; 0: none */
	uint64_t keep;       /* every version above this is kept */
	uint64_t *snapshots; /* below 'keep', falling */
	uint32_t snapshot_count;
	uint64_t now;        /* Unix seconds */
	uint64_t table_size; /* of outputs; 0: no limit */
};

void compact_plan_deinit(struct compact_plan *plan);

/* What is being written. */
struct compact_output {
	struct table_writer *writer;
	uint64_t number;
	struct ledger_reference *references; /* of the table being written, by number */
	uint32_t reference_count;
	uint32_t reference_capacity;
	struct blob_writer *blob_writer;
	uint64_t blob_number;
	struct ledger_table *tables; /* whole; each owns what it points to, as references does */
	uint32_t table_count;
	struct ledger_blob blob; /* number 0: none */
	bool is_whole;           /* all is synced, the folder too */
};

/* Tombstones of a key that are kept only if something comes behind them. */
struct compact_held {
	uint64_t seqno;
	enum entry_kind kind;
};

/* A reader of the job's own. */
struct compact_reader {
	const struct table_file *file;
	struct table *table;
};
struct compact_blob {
	uint64_t number;
	struct blob *blob;
};

struct compact {
	struct compact_plan plan;
	bool begun;
	struct compact_reader *readers; /* of inputs */
	struct table **tables;          /* the same, and bounds, for the sources */
	struct entry_bytes *firsts;
	struct entry_bytes *lasts;
	struct source *sources;
	uint32_t source_count;
	struct merger merger;
	struct compact_reader *below; /* of tables further down, as they were needed */
	uint32_t below_count;
	struct compact_blob *blobs;
	uint32_t blob_count;
	struct table_pin pin;
	struct range_set ranges; /* of all inputs */
	bool *range_kept;        /* of each */
	struct compact_output output;
	const struct table_file *bad_table; /* the input that can't be read */
	uint64_t bad_blob; /* number of the blob file that can't be read somewhere; 0: none */
	uint64_t dropped;  /* largest number of a version that is gone or changed */
	uint64_t bytes;    /* read in this slice */

	/* The key at hand. */
	uint8_t key[ENTRY_KEY_MAX];
	uint32_t key_size;
	bool has_key;
	bool closed;    /* the piece has its base: the rest of it goes */
	bool took_back; /* the last of 'held' is weak, and a value went with it */
	uint32_t piece; /* index of its end: 0 is plan.keep, then snapshots */
	uint64_t cover; /* of range tombstones at the piece's end */
	struct fold fold;
	struct compact_held *held; /* snapshot_count + 1 */
	uint32_t held_count;

	/* Where the table being written begins; empty: before all keys. */
	uint8_t from[ENTRY_KEY_MAX];
	uint32_t from_size;
	char error[256];
};

/* Takes the plan. All else is zeros before. */
void compact_init(struct compact *compact, const struct compact_plan *plan);

/*
 * Goes on for about 'bytes_max' bytes read. Returns 0 (done: outputs are whole), COMPACT_E_MORE,
 * COMPACT_E_CORRUPT or a negative errno; unless the first two, it is as before the first call,
 * and no file is left.
 */
int compact_run(struct compact *compact, uint64_t bytes_max);

/* The edit that makes it lasting; arrays 'ret_removes' and 'ret_blob_removes' are the caller's to
 * free. Returns 0 or -ENOMEM. */
int compact_edit(const struct compact *compact, struct ledger_edit *ret_edit,
		 uint64_t **ret_removes, uint64_t **ret_blob_removes);

/* Removes outputs, which no ledger may name, and is as before the first compact_run(). */
void compact_discard(struct compact *compact);

/* Frees all; outputs stay. */
void compact_deinit(struct compact *compact);

/* Parts of it, each in a file of its own. */

/* compact_output.c: all return 0 or a negative errno. */
int compact_output_add(struct compact *compact, const struct entry *entry);
/* With values of KV_BLOB_MIN bytes and more out of line. */
int compact_output_put(struct compact *compact, const struct entry *entry);
/* Ends the table being written; the next one begins at 'key' (NULL: there is none). */
int compact_output_cut(struct compact *compact, const struct entry_bytes *key);
bool compact_output_is_full(const struct compact *compact);
int compact_output_finish(struct compact *compact);
void compact_output_abort(struct compact *compact);
void compact_output_deinit(struct compact_output *output);

/* compact_input.c */
int compact_input_open(struct compact *compact);
void compact_input_close(struct compact *compact);
/* Notes where the merge met damage. Returns COMPACT_E_CORRUPT. */
int compact_input_failed(struct compact *compact);
/* Returns 0, COMPACT_E_CORRUPT or a negative errno. */
int compact_blob_value(struct compact *compact, const struct entry *entry,
		       struct entry_bytes *ret_value);
/* Whether tables below the level that is written may have the key: by their bounds; by their
 * filters. */
bool compact_is_bottom(const struct compact *compact, struct entry_bytes first,
		       struct entry_bytes last);
bool compact_is_below(struct compact *compact, struct entry_bytes key);

/* compact_rules.c: return as compact_blob_value(). */
int compact_rules_entry(struct compact *compact, const struct entry *entry);
int compact_rules_end(struct compact *compact); /* of the key's versions */
/* Decides which range tombstones stay. */
void compact_rules_ranges(struct compact *compact);
