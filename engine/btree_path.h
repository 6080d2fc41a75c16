/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * B+tree path - the pages from the root down to where a key belongs
 *
 * By level: pages[0] is the leaf, pages[top] the root. What is below a page that was split or
 * joined isn't looked up in 'slots' again.
 *
 * Threads: the pager's owner.
 */

#include "engine/btree_page.h"

struct path {
	struct page pages[BTREE_HEIGHT_MAX];
	unsigned slots[BTREE_HEIGHT_MAX]; /* entry of the page below, from level 1 on */
	unsigned top;
};

/* Pins the pages; also after an error, path_close() gives them back. Returns as pager_get(). */
int path_open(const struct btree *tree, uint64_t key, struct path *path);
void path_close(const struct btree *tree, struct path *path);

/* Makes the page of a level writable. Returns as pager_edit(). */
int path_edit(const struct btree *tree, struct path *path, unsigned level);

/* The root's count of entries. Returns as pager_edit(). */
int path_add_count(const struct btree *tree, struct path *path, int64_t added);

/* Whether the key is above all of the tree. */
bool path_at_end(const struct path *path, uint64_t key);

/* The leaf is full: splits pages so that it isn't, for an entry of that key; BTREE_E_CORRUPT when
 * keys are in such a disorder that it still is. Returns as pager_allocate(). */
int path_split(const struct btree *tree, struct path *path, uint64_t key);

/* Reads the pages beside those of the path that path_join() would need, were an entry taken from
 * the leaf. Returns as pager_get(). */
int path_prepare_join(const struct btree *tree, struct path *path);

/* An entry was taken from the leaf: joins pages that have too few. Returns as pager_allocate(). */
int path_join(const struct btree *tree, struct path *path);

/* Entries of a writable page. */
void entry_insert(struct pager *pager, const struct page *page, unsigned index, uint64_t key,
		  uint64_t value);
void entry_remove(struct pager *pager, const struct page *page, unsigned index);

/* Moves 'count' entries, and notes what changed. Those behind move up, what becomes free is zero.
 */
void entry_move(struct pager *pager, const struct page *from, unsigned from_index,
		const struct page *to, unsigned to_index, unsigned count);
