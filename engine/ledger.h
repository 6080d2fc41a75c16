/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Ledger - what a store consists of, and from where its log is needed
 *
 * The manifest of a store (the name of the module keeps it apart from the cluster's). It is
 * opened before everything else and handed to key space, pages and feed, each of which keeps in it
 * what has to outlast the process:
 *
 *      key space   tables by level, blob files, up to where the log is in tables, history
 *      pages       what the last checkpoint left (struct pager_state, header snapshot)
 *      log         which segment was begun last, so that its loss is known as such
 *      feed        positions of named readers, which hold back compaction
 *
 * It is a log of edits in a file ledger-<number>. An edit is a row of sectors, each with the edit's
 * number, its place in the edit and a CRC-32C, so an edit whose end a power cut took is told from
 * one that rotted: sectors that never reached the disk are zeros, and nothing else is forgiven. An
 * edit is taken when it was synced. The file CURRENT names the ledger; it is replaced by renaming
 * when a ledger is written anew, as one edit with everything in it: at the start, when the log has
 * grown to several times that, and after any failure (what a failed sync left nobody knows). The
 * one before is removed only then. docs/format/ledger.md has the bytes.
 *
 * Threads: any; commits block, and wait for one another. Nothing else waits for them.
 */

#include "engine/entry.h"
#include "engine/io.h"
#include "engine/pager.h"

#include <stdbool.h>
#include <stdint.h>

/* Levels of tables. */
#define LEDGER_LEVEL_MAX 7

/* Tables, blob files and pins of one store. */
#define LEDGER_TABLE_MAX 1000000
#define LEDGER_BLOB_MAX  1000000
#define LEDGER_PIN_MAX   1024

/* Blob files that entries of one table point into. */
#define LEDGER_REFERENCE_MAX 65536

/* Characters of a pin's name. */
#define LEDGER_PIN_NAME_MAX 63

/* Bytes of the V3 database header that is kept with the pages' state. */
#define LEDGER_HEADER_SIZE 112

/* Bytes of one edit. */
#define LEDGER_EDIT_MAX (UINT32_C(1) << 30)

enum {
	LEDGER_E_ABSENT = 1, /* there is no store, and none was to be made */
	LEDGER_E_CORRUPT,    /* 'error' says which file, offset, what */
	LEDGER_E_INVALID,    /* the edit doesn't fit what there is: ours to fix */
};

/* Bytes of a blob file that a table's entries point to. */
struct ledger_reference {
	uint64_t blob; /* number of the file */
	uint64_t bytes;
};

struct ledger_table {
	uint64_t number; /* of the file */
	uint64_t size;
	uint64_t entries;
	uint64_t tombstones;
	uint64_t seqno_min; /* global */
	uint64_t seqno_max;
	uint64_t seqno_global; /* of a table that was ingested, else 0 */
	uint32_t crc;          /* of the footer: another file of that name is not this one */
	uint32_t reference_count;
	struct entry_bytes first; /* smallest key, range tombstones included */
	struct entry_bytes last;  /* largest key, or the end of a range tombstone */
	const struct ledger_reference *references; /* by rising blob number */
	uint8_t level;
	bool foreign; /* ingested: its file bears no store's name */
};

/* Live bytes are what tables refer to. */
struct ledger_blob {
	uint64_t number;
	uint64_t size;
	uint64_t frame_bytes; /* of all its frames */
};

/* How far a named reader has come: changes from 'seqno' on are kept for it. */
struct ledger_pin {
	char name[LEDGER_PIN_NAME_MAX + 1];
	uint64_t seqno;
	uint64_t updated; /* Unix seconds */
	uint32_t index;   /* within the number */
};

/* What the last checkpoint of the pages left. */
struct ledger_pages {
	struct pager_state state;
	uint8_t header[LEDGER_HEADER_SIZE];
};

/* The newest segment of the log that is known to be begun. */
struct ledger_log {
	uint32_t number;  /* 0: none is known */
	uint64_t first;   /* its first LSN */
	uint64_t size;    /* bytes of its file */
	uint64_t durable; /* all up to this LSN was durable when that was noted */
};

/* What one commit changes, all of it or nothing. Zeros change nothing; all is borrowed. */
struct ledger_edit {
	uint64_t flushed; /* LSN up to which the key space is in tables; takes effect if larger */
	uint64_t history; /* first number from which every change is kept; the same */
	const struct ledger_pages *pages;
	const struct ledger_log *log;
	const uint64_t *removes; /* numbers of tables; applied before what is added */
	const struct ledger_table *adds;
	const uint64_t *blob_removes;
	const struct ledger_blob *blob_adds;
	const struct ledger_pin *pins; /* set, by name */
	const char *const *pin_removes;
	uint32_t remove_count;
	uint32_t add_count;
	uint32_t blob_remove_count;
	uint32_t blob_add_count;
	uint32_t pin_count;
	uint32_t pin_remove_count;
};

/* All there is. */
struct ledger_state {
	uint8_t store[16];  /* the store's identity, in all its files */
	uint64_t next_file; /* the next number */
	uint64_t flushed;
	uint64_t history; /* at least 1 */
	bool has_pages;   /* a checkpoint was made */
	struct ledger_pages pages;
	struct ledger_log log;
	const struct ledger_table *tables; /* in no order */
	const struct ledger_blob *blobs;
	const struct ledger_pin *pins;
	uint32_t table_count;
	uint32_t blob_count;
	uint32_t pin_count;
};

struct ledger_options {
	bool create;    /* make a store if there is none */
	bool read_only; /* for tools: changes nothing on the disk, ledger_commit() says -EROFS */
};

struct ledger;

/*
 * Reads the ledger, and unless it is only read writes it anew and removes other ones. 'io' is
 * borrowed. Returns 0, LEDGER_E_ABSENT, LEDGER_E_CORRUPT ('error') or a negative errno.
 */
int ledger_open(struct io *io, const struct ledger_options *options, struct ledger **ret_ledger,
		char *error, size_t error_size);

/* NULL is fine. */
void ledger_close(struct ledger *ledger);

/* Borrows until the next commit: for openers, before anybody else commits. */
const struct ledger_state *ledger_state(const struct ledger *ledger);

/* The store's identity: 16 bytes that stay. */
const uint8_t *ledger_store(const struct ledger *ledger);

/* A number for a file, never given before; lasting with the next commit. */
uint64_t ledger_next_file(struct ledger *ledger);

/* No number up to this is given. */
void ledger_skip_files(struct ledger *ledger, uint64_t number);

/*
 * Makes the edit last. Blocks. After a negative errno it isn't part of the state, but may be on
 * the disk: files that it names stay until a commit succeeded, which writes the ledger anew.
 *
 * Returns 0, LEDGER_E_INVALID or a negative errno.
 */
int ledger_commit(struct ledger *ledger, const struct ledger_edit *edit);

/* Copies up to 'max' pins in the order of their names. Returns how many there are. */
uint32_t ledger_pins(struct ledger *ledger, struct ledger_pin *ret_pins, uint32_t max);
