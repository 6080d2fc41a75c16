/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Pager - 4 KiB pages in one file, changed by logged transactions
 *
 * A page has a number from 1 on and lies at number * PAGE_SIZE; page 0 says whose file it is. Each
 * page begins with PAGE_HEADER bytes (docs/format/page.md): number, LSN, CRC-32C, kind, count,
 * link.
 *
 * Changes come in transactions. A transaction works on copies: pager_commit() appends its records
 * to the log and puts the copies into the cache, pager_rollback() drops them. Dirty pages go to the
 * file only when the log is durable past their LSN, in slices of pager_work().
 *
 * Torn pages. The first change of a page after a checkpoint began is logged as the whole page
 * (PageWrite at offset 0); recovery takes a whole page as it is, whatever the file has, and every
 * later record on top of it. So a page that a power cut tore is never read, and records that say
 * what happens to a page (BTreeSplit, EdgeInsert, EdgeDelete) find it as it was.
 *
 * A checkpoint is fuzzy: pager_checkpoint_begin() notes the next LSN, pages dirty then are
 * written by and by while changes go on, and when all are and the file is synced, recovery may
 * start at the noted LSN.
 *
 * Roots of trees keep their numbers: a root that splits moves its content to new pages. So what a
 * checkpoint has to remember is small (struct pager_state), and lies in the Checkpoint record and
 * the manifest.
 *
 * Threads: one owner.
 */

#include "engine/io.h"
#include "engine/record.h"
#include "engine/wal.h"

#include <stdbool.h>
#include <stdint.h>

#define PAGE_SIZE   4096
#define PAGE_HEADER 32

/* Pages one transaction can change. */
#define PAGER_WRITE_MAX 4096

enum {
	PAGER_E_CORRUPT =
		1,    /* a page isn't what it says; pager_error() has number, expected and found */
	PAGER_E_BUSY, /* no page of the cache can be given up, or the log is full: poll the log,
			 then again */
	PAGER_E_FULL, /* PAGER_WRITE_MAX */
};

enum page_kind {
	PAGE_FREE = 0,
	PAGE_BTREE_LEAF,
	PAGE_BTREE_INTERNAL,
	PAGE_EDGES,
};

/* What recovery starts from. */
struct pager_state {
	uint64_t lsn;        /* redo begins here */
	uint64_t page_count; /* pages 1 to page_count exist */
	uint64_t free_head;  /* first of the chain of free pages, 0: none */
	uint64_t free_count;
	uint64_t node_root; /* two trees that are made with the file */
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
	uint32_t cache_pages; /* 0: 4096 */
	struct pager_state state;
	bool create;
};

/* The file is 'pages'. Borrows io and wal (NULL: read-only, no transactions). Returns 0,
 * PAGER_E_CORRUPT or a negative errno. */
int pager_open(struct io *io, struct wal *wal, const struct pager_options *options,
	       struct pager **ret_pager);
void pager_close(struct pager *pager);

/* Pins the page; it is checked when it is read from the file. In a transaction, the transaction's
 * own version. Blocks when it isn't cached. Returns 0, PAGER_E_CORRUPT, PAGER_E_BUSY or a negative
 * errno. */
int pager_get(struct pager *pager, uint64_t number, struct page *ret_page);
void pager_put(struct pager *pager, struct page *page);

int pager_begin(struct pager *pager);
/* A page of zeros behind its header, from the free chain or the file's end; logged as PageAllocate.
 * Pinned. */
int pager_allocate(struct pager *pager, enum page_kind kind, struct page *ret_page);
/* The page must not be pinned elsewhere. Logged as PageFree. */
int pager_release(struct pager *pager, uint64_t number);
/* Makes the transaction's copy of a pinned page writable: bytes behind the header, count and link.
 */
int pager_edit(struct pager *pager, struct page *page);
/* Logs bytes [offset, offset + size) of an edited page as they are at the commit. What is
 * described by a record of its own (pager_log()) isn't logged so. */
int pager_log_bytes(struct pager *pager, const struct page *page, uint32_t offset, uint32_t size);
/* Logs a record that pager_redo() knows how to do again: BTreeSplit, EdgeInsert, EdgeDelete. */
int pager_log(struct pager *pager, const struct record *record);
int pager_commit(struct pager *pager, uint64_t timestamp);
/* What pager_commit() is going to append: when the log has room for it, it succeeds. */
void pager_pending(const struct pager *pager, uint64_t *ret_bytes, uint32_t *ret_count);
void pager_rollback(struct pager *pager);

/* Recovery: does again what one committed record says. Other types are ignored. Records come in the
 * order of the log from pager_state.lsn on. Returns 0, PAGER_E_CORRUPT (e.g. a page freed twice) or
 * a negative errno. */
int pager_redo(struct pager *pager, const struct record *record);

/* Writes up to 'pages_max' pages whose changes are durable. Returns 0 or a negative errno. */
int pager_work(struct pager *pager, uint32_t pages_max);
void pager_checkpoint_begin(struct pager *pager);
/* Whether the one begun is whole (then '*ret_state' is what to remember); syncs the file as its
 * last step. */
int pager_checkpoint_poll(struct pager *pager, bool *ret_done, struct pager_state *ret_state);

/* One line about the last PAGER_E_CORRUPT. */
const char *pager_error(const struct pager *pager);
