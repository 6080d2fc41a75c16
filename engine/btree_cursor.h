/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * B+tree cursor - entries in order of their keys, both ways
 *
 * A cursor stands on an entry. It keeps one leaf pinned and moves within it without a look at
 * anything else; when pages have changed meanwhile, it looks its place up again by the key, so it
 * sees every entry that was there all the time exactly once. Before the first seek it stands
 * before the first entry for btree_cursor_next() and behind the last for btree_cursor_prev().
 *
 * All return 0, BTREE_E_ABSENT (there is no such entry), or as pager_get(). Unless 0 the cursor
 * stays where it was; after BTREE_E_WAIT or BTREE_E_BUSY the same call again goes on.
 *
 * Threads: the pager's owner.
 */

#include "engine/btree.h"

struct btree_cursor {
	struct btree tree;
	struct btree_entry entry;         /* where it stands */
	bool placed;                      /* on an entry */
	uint64_t changes;                 /* of the pager, when the place was looked up */
	struct page leaf;                 /* pinned; without bytes: the place must be looked up */
	unsigned index;                   /* in it */
	unsigned top;                     /* level of the root */
	uint64_t pages[BTREE_HEIGHT_MAX]; /* by level, from 1 on */
	unsigned slots[BTREE_HEIGHT_MAX];
};

void btree_cursor_open(const struct btree *tree, struct btree_cursor *ret_cursor);

/* Gives back the pin. A zeroed cursor is fine. */
void btree_cursor_close(struct btree_cursor *cursor);

/* To the first entry whose key is not below 'key'. */
int btree_cursor_seek(struct btree_cursor *cursor, uint64_t key);

/* To the last entry whose key is not above 'key'. */
int btree_cursor_seek_back(struct btree_cursor *cursor, uint64_t key);

int btree_cursor_next(struct btree_cursor *cursor);
int btree_cursor_prev(struct btree_cursor *cursor);
