/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Recover - does again what the log says and tables and pages don't have
 *
 * Records outside any transaction are applied as they come, those inside one when its commit
 * comes; a transaction that was rolled back, or that the log ends in, is dropped. Key space and
 * pages each skip what they have. What was read is synced before it is applied: after a crash of
 * the process alone the end of the log may be in the kernel's memory only, and no table or page may
 * be ahead of the log.
 *
 * A log that has lost its end looks like one that ends earlier. What the ledger knows of it is held
 * against it: the newest segment has to be there, as long as it was, or a newer one, and records up
 * to what tables, pages and ledger know of.
 *
 * Memory: one transaction of RECOVER_COUNT_MAX records and RECOVER_SIZE_MAX bytes, the reader's
 * pieces, and what key space and pages are limited to; when those are full they write files.
 *
 * Threads: one, before the store is used.
 */

#include "engine/io.h"
#include "engine/kv.h"
#include "engine/ledger.h"
#include "engine/pager.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One transaction: all changes of a store's, and of its pages. */
#define RECOVER_COUNT_MAX UINT32_C(65536)
#define RECOVER_SIZE_MAX  (UINT32_C(64) << 20)

enum {
	RECOVER_E_CORRUPT = 1, /* 'error' says which file, offset and LSN, and what */
};

struct recover_options {
	uint64_t from; /* first LSN that is needed; without a log from there on, 'from' 1 is an
			  empty one */
	uint64_t pages_from;   /* pages have what comes before */
	uint64_t known;        /* tables and ledger have changes up to here: the log was longer */
	uint32_t store;        /* first bytes of the store's id: whose log it is */
	struct ledger_log log; /* what the ledger says of the log's newest segment */
	bool salvage;          /* go on behind holes */
};

struct recover_result {
	uint64_t next_lsn; /* of the next record */
	uint64_t open_tx;  /* the transaction that the log ends in: to be ended by a rollback */
	bool has_open_tx;
	uint64_t records; /* read */
	uint64_t applied;
	uint64_t dropped;        /* of transactions that weren't committed */
	uint64_t bytes;          /* of the log */
	uint64_t torn_lsn;       /* what was cut off began with it; 0: nothing */
	uint64_t salvaged_bytes; /* that were left out */
	uint64_t missing;        /* LSNs that no record was found for */
	bool salvaged;           /* the log has holes: another checkpoint is to let it go */
	uint32_t segments;       /* of the log that were there */
	uint64_t memory;         /* bytes taken beside key space and pages */
};

/* On failure 'error' has one line. Returns 0, RECOVER_E_CORRUPT or a negative errno. */
int recover_run(struct io *io, const struct recover_options *options, struct kv *kv,
		struct pager *pager, struct recover_result *ret_result, char *error,
		size_t error_size);
