/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/btree_cursor.h"

#include "engine/btree_page.h"

#include <string.h>

void btree_cursor_open(const struct btree *tree, struct btree_cursor *ret_cursor)
{
	memset(ret_cursor, 0, sizeof(*ret_cursor));
	ret_cursor->tree = *tree;
}

void btree_cursor_close(struct btree_cursor *cursor)
{
	pager_put(cursor->tree.pager, &cursor->leaf);
}

/* From a pinned page down to a leaf by 'choose'; takes the pin. */
static int go_down(struct btree_cursor *cursor, struct page page,
		   unsigned (*choose)(const uint8_t *page, uint64_t key), uint64_t key)
{
	struct pager *pager = cursor->tree.pager;
	int result = 0;

	while (result == 0 && page_level(page.bytes) > 0) {
		unsigned level = page_level(page.bytes);
		struct page child;

		cursor->pages[level] = page.number;
		cursor->slots[level] = choose(page.bytes, key);
		result = btree_child(pager, &page, cursor->slots[level], &child);
		pager_put(pager, &page);
		page = child;
	}
	if (result)
		return result;
	pager_put(pager, &cursor->leaf);
	cursor->leaf = page;
	return 0;
}

static unsigned choose_first(const uint8_t *page, uint64_t key)
{
	return 0;
}

static unsigned choose_last(const uint8_t *page, uint64_t key)
{
	return page_count(page) ? page_count(page) - 1 : 0;
}

/* The leaf where the key belongs. */
static int look_up(struct btree_cursor *cursor, uint64_t key)
{
	struct page root;
	int result = btree_root(&cursor->tree, &root);

	if (result)
		return result;
	cursor->changes = pager_changes(cursor->tree.pager);
	cursor->top = page_level(root.bytes);
	return go_down(cursor, root, entry_child, key);
}

/* To the leaf on the right or left, if there is one. */
static int step(struct btree_cursor *cursor, bool forward)
{
	struct pager *pager = cursor->tree.pager;

	for (unsigned level = 1; level <= cursor->top; level++) {
		unsigned slot = cursor->slots[level];
		struct page page, child;
		int result = pager_get(pager, cursor->pages[level], &page);

		if (result)
			return result;
		if (forward ? slot + 1 >= page_count(page.bytes) : slot == 0) {
			pager_put(pager, &page);
			continue;
		}
		slot = forward ? slot + 1 : slot - 1;
		result = btree_child(pager, &page, slot, &child);
		pager_put(pager, &page);
		if (result)
			return result;
		cursor->slots[level] = slot;
		return go_down(cursor, child, forward ? choose_first : choose_last, 0);
	}
	return BTREE_E_ABSENT;
}

static int stand(struct btree_cursor *cursor, unsigned index)
{
	cursor->index = index;
	cursor->entry.key = entry_key(cursor->leaf.bytes, index);
	cursor->entry.value = entry_value(cursor->leaf.bytes, index);
	cursor->placed = true;
	return 0;
}

/* On the entry at 'index' of the leaf, or the next there is. */
static int settle_forward(struct btree_cursor *cursor, unsigned index)
{
	while (index >= page_count(cursor->leaf.bytes)) {
		int result = step(cursor, /* forward= */ true);

		if (result)
			return result;
		index = 0;
	}
	return stand(cursor, index);
}

/* On the last entry below 'end' of the leaf, or the one before. */
static int settle_back(struct btree_cursor *cursor, unsigned end)
{
	while (end == 0) {
		int result = step(cursor, /* forward= */ false);

		if (result)
			return result;
		end = page_count(cursor->leaf.bytes);
	}
	return stand(cursor, end - 1);
}

/* When a way led nowhere, the next one begins with looking up. */
static int done(struct btree_cursor *cursor, int result)
{
	if (result)
		pager_put(cursor->tree.pager, &cursor->leaf);
	return result;
}

int btree_cursor_seek(struct btree_cursor *cursor, uint64_t key)
{
	int result = look_up(cursor, key);

	if (result == 0)
		result = settle_forward(cursor, entry_lower(cursor->leaf.bytes, key));
	return done(cursor, result);
}

int btree_cursor_seek_back(struct btree_cursor *cursor, uint64_t key)
{
	int result = look_up(cursor, key);

	if (result == 0) {
		unsigned end = entry_lower(cursor->leaf.bytes, key);

		if (end < page_count(cursor->leaf.bytes) &&
		    entry_key(cursor->leaf.bytes, end) == key)
			end++;
		result = settle_back(cursor, end);
	}
	return done(cursor, result);
}

static bool in_place(const struct btree_cursor *cursor)
{
	return cursor->leaf.bytes && cursor->changes == pager_changes(cursor->tree.pager);
}

int btree_cursor_next(struct btree_cursor *cursor)
{
	if (cursor->placed && in_place(cursor))
		return done(cursor, settle_forward(cursor, cursor->index + 1));
	if (cursor->placed && cursor->entry.key == UINT64_MAX)
		return BTREE_E_ABSENT;
	return btree_cursor_seek(cursor, cursor->placed ? cursor->entry.key + 1 : 0);
}

int btree_cursor_prev(struct btree_cursor *cursor)
{
	if (cursor->placed && in_place(cursor))
		return done(cursor, settle_back(cursor, cursor->index));
	if (cursor->placed && cursor->entry.key == 0)
		return BTREE_E_ABSENT;
	return btree_cursor_seek_back(cursor, cursor->placed ? cursor->entry.key - 1 : UINT64_MAX);
}
