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
 * Salvage goes on behind holes of the log, and drops every transaction that a hole touches, whole:
 *
 *      Begin a b [hole] c d Commit      a b c d: the end is of the transaction, or of another
 *                                       one whose begin is lost
 *      a b [hole] c d Commit            c d: so is this end
 *      a b [hole] c d Begin, Durable    none: neither stands within a transaction
 *      a b [hole] c d, another hole     c d: nobody knows
 *      a b [hole] c d, the log's end    c d: the same
 *
 * What a hole had may have been about pages, and records about pages find them only as those
 * before left them. So from the first hole on, or the first record that finds a page damaged,
 * pages are left alone, and the caller makes the graph anew from the key space.
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
	/* With salvage: pages can't be had from the log. Called once, before the key space takes
	 * what follows, so that no other recovery takes them for whole. Returns 0 or a negative
	 * errno. */
	int (*forget_pages)(void *context);
	void *context;
};

struct recover_result {
	uint64_t next_lsn; /* of the next record */
	uint64_t open_tx;  /* the transaction that the log ends in: to be ended by a rollback */
	bool has_open_tx;
	uint64_t records; /* read */
	uint64_t applied;
	uint64_t dropped;        /* of transactions that weren't committed */
	uint64_t severed;        /* of transactions that a hole touches, or may touch */
	uint64_t bytes;          /* of the log */
	uint64_t torn_lsn;       /* what was cut off began with it; 0: nothing */
	uint64_t salvaged_bytes; /* that were left out */
	uint64_t missing;        /* LSNs that no record was found for */
	uint64_t holes;
	bool salvaged;     /* the log has holes: another checkpoint is to let it go */
	bool pages_lost;   /* from options.pages_from on */
	uint32_t segments; /* of the log that were there */
	uint64_t memory;   /* bytes taken beside key space and pages */
};

/* Without a pager nothing is done about pages. On failure 'error' has one line. Returns 0,
 * RECOVER_E_CORRUPT or a negative errno. */
int recover_run(struct io *io, const struct recover_options *options, struct kv *kv,
		struct pager *pager, struct recover_result *ret_result, char *error,
		size_t error_size);
