/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * B+tree - u64 to u64, sorted by key, on pages
 *
 * Leaves hold (key, value), the pages above (lowest key, page below); each up to PAGE_ENTRY_MAX
 * entries of 16 bytes, sorted. Pages of one level are linked from left to right.
 *
 *      root      [ 0 | 500 ]                 link: entries in the whole tree
 *                 /      \
 *      internal [ 0 | 90 ] --> [ 500 | 700 ]
 *               /    |           |      |
 *      leaf    [..] [..] -----> [..]   [..]
 *
 * Invariants, all of which btree_check() looks through.
 *  1. Keys of a page rise, are not below the page's own key in its parent, and are below the
 *     next one there. A page of entries to pages begins with its own key; the leftmost is 0.
 *  2. A page's level is one above those below it; leaves are level 0.
 *  3. No page but the root has fewer than BTREE_FILL_MIN entries, unless it is the last of its
 *     level; one above the leaves has at least two, the root too.
 *  4. Bytes behind the entries are zero.
 *
 * The root keeps its number. When it is full its entries move to a new page below it. Every
 * other full page is split: BTreeSplit moves the entries from a key on to a new page on its
 * right, and is redone by the same function. Keys that come in rising order leave full pages
 * behind.
 *
 * Changes are made in a transaction of the pager. After an error other than BTREE_E_ABSENT,
 * BTREE_E_EXISTS and BTREE_E_ORDER the transaction can only be rolled back; for an owner that
 * polls btree_prepare() makes that rare.
 *
 * Threads: the pager's owner.
 */

#include "engine/pager.h"

/* Levels of a tree: 84 to the 11th pages are more than a file can have. */
#define BTREE_HEIGHT_MAX 12

/* A third: a page that falls below is joined with its neighbour, or gets some of its entries. */
#define BTREE_FILL_MIN 84

enum {
	BTREE_E_CORRUPT = PAGER_E_CORRUPT, /* pager_error() says what */
	BTREE_E_BUSY = PAGER_E_BUSY,
	BTREE_E_FULL = PAGER_E_FULL,
	BTREE_E_WAIT = PAGER_E_WAIT,
	BTREE_E_ABSENT, /* there is no such key, or no further one */
	BTREE_E_EXISTS, /* there is one already; nothing has changed */
	BTREE_E_ORDER,  /* keys to load don't rise, or not above what is there; nothing has changed
			 */
};

/* A tree by its root's page. Nothing else is kept. */
struct btree {
	struct pager *pager;
	uint64_t root;
};

struct btree_entry {
	uint64_t key;
	uint64_t value;
};

/* Makes an empty tree. Returns as pager_allocate(). */
int btree_create(struct pager *pager, uint64_t *ret_root);

/* Returns 0, BTREE_E_ABSENT, or as pager_get(). */
int btree_get(const struct btree *tree, uint64_t key, uint64_t *ret_value);

/* Entries in the tree, which is one look at the root. */
int btree_count(const struct btree *tree, uint64_t *ret_count);

/* Levels of the tree, from 1. */
int btree_height(const struct btree *tree, uint32_t *ret_height);

/* Returns 0, BTREE_E_EXISTS, or as pager_allocate(). */
int btree_insert(const struct btree *tree, uint64_t key, uint64_t value);

/* Inserts or replaces. */
int btree_put(const struct btree *tree, uint64_t key, uint64_t value);

/*
 * Has the pages cached that putting ('removed': deleting) the key is going to look at, as far as
 * that can be said before. Changes nothing. Returns 0, or as pager_get().
 */
int btree_prepare(const struct btree *tree, uint64_t key, bool removed);

/* Returns 0, BTREE_E_ABSENT, or as pager_allocate(). */
int btree_delete(const struct btree *tree, uint64_t key);

/*
 * Appends entries with rising keys, all above those that the tree has, and fills its pages. A
 * page takes 254 entries and a transaction PAGER_WRITE_MAX pages, so a long row comes in pieces.
 * Returns 0, BTREE_E_ORDER, or as pager_allocate().
 */
int btree_load(const struct btree *tree, const struct btree_entry *entries, size_t count);

/* For pager_redo(). */
int btree_redo_split(struct pager *pager, const struct record *record);
