/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Pager - 4 KiB pages in one file, changed by logged transactions
 *
 * A page has a number from 1 on and lies at number * PAGE_SIZE; page 0 says whose file it is
 * (engine/page.h, docs/format/page.md).
 *
 * Changes come in transactions. A transaction works on copies: pager_commit() appends its records
 * to the log and puts the copies into the cache, pager_rollback() drops them. Dirty pages go to the
 * file only when the log is durable past the transaction that changed them.
 *
 *      pager_get --> page --pager_edit--> copy --pager_commit--> dirty --pager_work--> file
 *                                          |
 *                                          +----pager_rollback--> gone
 *
 * Torn pages. The first record about a page after a checkpoint began is the whole page (PageWrite
 * at offset 0) or a PageAllocate; recovery takes either as it is, whatever the file has, and every
 * later record on top of it. So a page that a power cut tore is never read, records that say
 * what happens to a page (BTreeSplit, PageFree) find it as it was, and a
 * recovery that was itself interrupted can run again.
 *
 * A checkpoint is fuzzy: pager_checkpoint_begin() notes the next LSN, pages dirty then are
 * written by and by while changes go on, and when all are and the file is synced, recovery may
 * start at the noted LSN.
 *
 * Roots of trees keep their numbers: a root that splits moves its content to new pages. So what a
 * checkpoint has to remember is small (struct pager_state), and lies in the Checkpoint record and
 * the manifest.
 *
 * Opening after a crash: pager_open() without a log, pager_redo() for each committed record from
 * state.lsn on, then pager_attach().
 *
 * Loading. A file that was just made may take transactions before it has a log: they are in the
 * file when a checkpoint behind pager_attach() is whole, and nowhere else before.
 *
 * Errors in a transaction. When pager_allocate(), pager_release(), pager_edit() or pager_log() says
 * other than 0, what was being done is half done: only pager_rollback() makes sense, and
 * pager_commit() says -ECANCELED. After it nothing has changed. A pager_get() changes nothing:
 * what its failure means is its caller's to say.
 *
 * Polling. Reads, and what makes the file longer, block; an owner that may not asks for
 * pager_set_polls(). A page that isn't cached is then read by the queue: PAGER_E_WAIT, and
 * again until it is there; a read that failed is told to the next who asks for the page, and then
 * forgotten. Where no frame can be had, pages are written by the queue: PAGER_E_BUSY. Both say: let
 * go of pins, pager_poll(), and again.
 *
 * Threads: one owner.
 */

#include "engine/io.h"
#include "engine/page.h"
#include "engine/record.h"
#include "engine/wal.h"

#include <stdbool.h>
#include <stdint.h>

#define PAGER_FILE "pages"

/* Pages one transaction can change. */
#define PAGER_WRITE_MAX 4096

/* Pages a cache has at least; and when its options don't say. */
#define PAGER_CACHE_MIN     32
#define PAGER_CACHE_DEFAULT 4096

/* And at most: 64 GiB. */
#define PAGER_CACHE_MAX (UINT32_C(1) << 24)

/* Writes of pages under way, where they are queued. */
#define PAGER_QUEUE_MAX 32

/* Reads of pages under way for an owner that polls. */
#define PAGER_READ_MAX 32

/* Frames that transactions leave to others while the owner polls, or half of fewer: what one
 * change of a graph looks at finds room, so that all of it is cached at once. */
#define PAGER_SPARE 48

enum {
	PAGER_E_CORRUPT =
		1,    /* a page isn't what it says; pager_error() has number, expected and found */
	PAGER_E_BUSY, /* no page of the cache can be given up, or the log is full: poll the log,
			 then again */
	PAGER_E_FULL, /* PAGER_WRITE_MAX, more records than the log takes at once, or more pages
			 than the cache holds */
	PAGER_E_WAIT, /* polling: the page is being read */
};

/* What recovery starts from. */
struct pager_state {
	uint64_t lsn;        /* redo begins here */
	uint64_t page_count; /* pages 1 to page_count exist */
	uint64_t free_head;  /* first of the chain of free pages, 0: none */
	uint64_t free_count;
	uint64_t node_root; /* two trees that are made with the file; 0: none yet */
	uint64_t edge_root;
	uint64_t node_count; /* logical counts, kept by edge.c */
	uint64_t edge_count;
	uint32_t height; /* of the node tree */
};

struct pager;

/* A pinned page. Constant, except between pager_edit() and the transaction's end. */
struct page {
	uint8_t *bytes; /* PAGE_SIZE */
	uint64_t number;
};

struct pager_options {
	uint32_t cache_pages; /* 0: PAGER_CACHE_DEFAULT */
	struct pager_state state;
	const uint8_t *store; /* PAGE_STORE_SIZE bytes that page 0 must have; NULL: zeros */
	bool create;          /* a file that is there is begun again */
	bool read_only;
	bool queued; /* pager_work() and pager_checkpoint_poll() only begin what blocks */
};

/*
 * Opens the file PAGER_FILE. Borrows io and wal; a NULL wal is for recovery and for reading: there
 * are no transactions until pager_attach(). A file that is made is synced, and its name too.
 * Returns 0, PAGER_E_CORRUPT ('error' says) or a negative errno.
 */
int pager_open(struct io *io, struct wal *wal, const struct pager_options *options,
	       struct pager **ret_pager, char error[static PAGE_ERROR_MAX]);

/* Writes nothing, but waits for what is under way. No page is pinned. NULL is fine. */
void pager_close(struct pager *pager);

/* There is no log, and nobody needs one: the file was made, and until pager_attach() a transaction
 * lasts no longer than the process. */
void pager_load(struct pager *pager);

/* Recovery or loading is over. Borrows wal, whose next LSN is above all that were redone. */
void pager_attach(struct pager *pager, struct wal *wal);

/* From now on nothing blocks but pager_wait(); or things may again. The pager is 'queued', and its
 * log attached. */
void pager_set_polls(struct pager *pager, bool polls);

/* Takes in what ended: pages that were read are cached. Never blocks. */
void pager_poll(struct pager *pager);

/* Whether frames were short since the last call: pages wait for the log to be durable, or to be
 * written. */
bool pager_was_short(struct pager *pager);

/* Pins the page; it is checked when it is read from the file. In a transaction, the transaction's
 * own version. Blocks when it isn't cached, or says PAGER_E_WAIT. Returns 0, PAGER_E_CORRUPT,
 * PAGER_E_BUSY, PAGER_E_WAIT or a negative errno. */
int pager_get(struct pager *pager, uint64_t number, struct page *ret_page);

/* Whether a transaction finds frames for as many more copies, as far as can be said before. Returns
 * 0, PAGER_E_BUSY (writing is begun) or a negative errno. */
int pager_reserve(struct pager *pager, uint32_t count);

/* Gives back a pin. A page without bytes is fine: it isn't pinned. */
void pager_put(struct pager *pager, struct page *page);

/* Grows with every change that a reader could see: who holds pins looks again when it did. */
uint64_t pager_changes(const struct pager *pager);

/* Roots and counts are their owners' to change, in a transaction, whose rollback takes them back,
 * or in redo. The rest is the pager's. */
struct pager_state *pager_state(struct pager *pager);

/* The log is attached, or the file is loaded, and no transaction is open. Returns 0, or the
 * negative errno that stopped the pager or the log: the transaction is open all the same, and can
 * only be rolled back. */
int pager_begin(struct pager *pager);

/* A page of zeros behind its header, from the free chain or the file's end; logged as PageAllocate.
 * Pinned and edited. Returns as pager_get(), -ENOSPC or PAGER_E_FULL. */
int pager_allocate(struct pager *pager, enum page_kind kind, struct page *ret_page);

/* Puts the page on the free chain, logged as PageFree. Pins from before its pager_edit() keep the
 * page that it was. Returns as pager_allocate(); PAGER_E_CORRUPT too when it is free already. */
int pager_release(struct pager *pager, uint64_t number);

/* Makes the transaction's copy of a pinned page writable: body, count, level and link. Other pins
 * see the page as it was. Again for the same page it does nothing. */
int pager_edit(struct pager *pager, struct page *page);

/* Says that bytes [offset, offset + size) of an edited page have changed; offset is from
 * PAGE_AT_COUNT on. They are logged as they are at the commit, or before a pager_log() or
 * pager_release() about the page. What a record of its own describes isn't logged so. */
void pager_log_bytes(struct pager *pager, const struct page *page, uint32_t offset, uint32_t size);

/* Logs a record. A BTreeSplit, which pager_redo() does again, comes before the change: its
 * pages are edited, and still as redo will find them. Others (EdgeInsert, the key space's) are
 * only carried. Copies bytes; lsn and timestamp are the commit's affair. Returns 0, PAGER_E_FULL or
 * a negative errno. */
int pager_log(struct pager *pager, const struct record *record);

/* Appends everything as one transaction of the log; without changes, nothing. Returns 0;
 * PAGER_E_BUSY when the log has no room (the transaction stays open: flush, poll, again); or an
 * error after which only pager_rollback() is left. */
int pager_commit(struct pager *pager, uint64_t timestamp);
/* What pager_commit() is going to append: when the log has room for it, it succeeds. */
void pager_pending(const struct pager *pager, uint64_t *ret_bytes, uint32_t *ret_count);
void pager_rollback(struct pager *pager);

/* At most what pager_commit() is going to append, its begin and commit included: when the log has
 * room for it, it succeeds. */
void pager_pending(const struct pager *pager, uint64_t *ret_bytes, uint32_t *ret_count);

/*
 * pager_commit() in its steps, for a transaction of the log that has others' records too:
 * pager_append() appends the records between the caller's wal_begin() and wal_commit(), and returns
 * as pager_commit(); pager_adopt() then takes the commit's LSN. Until it is called,
 * pager_rollback() still takes all back.
 */
int pager_append(struct pager *pager, uint64_t timestamp);
void pager_adopt(struct pager *pager, uint64_t lsn);

/*
 * Recovery: does again what one committed record says. Types that don't concern pages are ignored.
 * Records come in the order of the log from pager_state.lsn on, and are durable. Returns 0,
 * PAGER_E_CORRUPT (e.g. a page freed twice) or a negative errno.
 */
int pager_redo(struct pager *pager, const struct record *record);

/* Writes up to 'pages_max' pages whose changes are durable; blocks for that, or with 'queued'
 * begins up to PAGER_QUEUE_MAX at once and takes in those that ended. Returns 0 or a negative
 * errno, after which those pages are still to be written. */
int pager_work(struct pager *pager, uint32_t pages_max);

/* Waits until something that is under way ended; for those who may block. */
void pager_wait(struct pager *pager);

/* Notes the next LSN, or, while a transaction is open, that behind its end. A checkpoint that isn't
 * whole yet is given up for this one. */
void pager_checkpoint_begin(struct pager *pager);

/* Whether the one begun is whole (then '*ret_state' is what to remember); syncs the file as its
 * last step, which blocks unless 'queued'. Returns 0 or a negative errno: after a failed sync, of
 * everything from then on. */
int pager_checkpoint_poll(struct pager *pager, bool *ret_done, struct pager_state *ret_state);

/* One line about the last PAGER_E_CORRUPT. */
const char *pager_error(const struct pager *pager);

struct pager_stats {
	uint64_t hits;
	uint64_t misses; /* pages read */
	uint64_t writes;
	uint32_t dirty;  /* pages to be written */
	uint32_t pinned; /* by readers: 0 when everything was given back */
};

struct pager_stats pager_stats(const struct pager *pager);
