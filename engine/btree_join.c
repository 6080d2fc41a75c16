/* SPDX-License-Identifier: Apache-2.0 */

/*
 * B+tree join - pages that have too few entries
 *
 * Such a page and a neighbour below the same page are joined when the outcome leaves room for more;
 * else their entries are shared evenly. The right one of two always moves into the left
 * one, so the row of a level stays linked without a look at pages elsewhere.
 */

#include "engine/btree_path.h"
#include "engine/pager_internal.h"

#include <inttypes.h>
#include <string.h>

/* Entries of a page made of two: far from splitting, and halves of more are far from joining. */
#define JOINED_MAX 200

static int join(struct pager *pager, struct page *above, unsigned right_slot, struct page *left,
		struct page *right)
{
	unsigned count = page_count(right->bytes), at = page_count(left->bytes);

	memcpy(left->bytes + entry_offset(at), right->bytes + PAGE_HEADER, count * ENTRY_SIZE);
	page_set_count(left->bytes, at + count);
	page_set_link(left->bytes, page_link(right->bytes));
	pager_log_bytes(pager, left, PAGE_AT_COUNT, PAGE_HEADER - PAGE_AT_COUNT);
	pager_log_bytes(pager, left, entry_offset(at), count * ENTRY_SIZE);
	entry_remove(pager, above, right_slot);
	return pager_release(pager, right->number);
}

static int share(struct pager *pager, struct page *above, unsigned right_slot, struct page *left,
		 struct page *right)
{
	unsigned left_count = page_count(left->bytes), right_count = page_count(right->bytes);
	unsigned wanted = (left_count + right_count) / 2;
	int result = pager_edit(pager, right);

	if (result)
		return result;
	if (left_count > wanted)
		entry_move(pager, left, wanted, right, 0, left_count - wanted);
	else
		entry_move(pager, right, 0, left, left_count, wanted - left_count);
	store_le64(above->bytes + entry_offset(right_slot), entry_key(right->bytes, 0));
	pager_log_bytes(pager, above, entry_offset(right_slot), 8);
	return 0;
}

static int settle(struct pager *pager, struct page *above, unsigned right_slot, struct page *left,
		  struct page *right, bool *ret_joined)
{
	bool joined = page_count(left->bytes) + page_count(right->bytes) <= JOINED_MAX;
	int result = pager_edit(pager, above);

	if (result == 0)
		result = pager_edit(pager, left);
	if (result)
		return result;
	*ret_joined = joined;
	return joined ? join(pager, above, right_slot, left, right)
		      : share(pager, above, right_slot, left, right);
}

/* The page of a level with the neighbour on its left, the first one with that on its right. */
static int settle_level(const struct btree *tree, struct path *path, unsigned level,
			bool *ret_joined)
{
	struct page *page = &path->pages[level], *above = &path->pages[level + 1];
	unsigned slot = path->slots[level + 1];
	struct page other;
	int result;

	if (page_count(above->bytes) < 2)
		return pager_corrupt(tree->pager,
				     "page %" PRIu64 ": count: expected at least 2, found %u",
				     above->number, page_count(above->bytes));
	result = btree_child(tree->pager, above, slot ? slot - 1 : 1, &other);
	if (result)
		return result;
	if (other.number == page->number) {
		pager_put(tree->pager, &other);
		return pager_corrupt(tree->pager, "page %" PRIu64 ": is in more than one place",
				     page->number);
	}
	result = slot ? settle(tree->pager, above, slot, &other, page, ret_joined)
		      : settle(tree->pager, above, 1, page, &other, ret_joined);
	pager_put(tree->pager, &other);
	return result;
}

/* A root with one page below it takes that one's entries, and keeps its own number and count. */
static int shrink(const struct btree *tree, struct path *path)
{
	struct pager *pager = tree->pager;
	struct page *root = &path->pages[path->top];
	struct page child;
	int result = btree_child(pager, root, 0, &child);

	if (result)
		return result;
	result = pager_edit(pager, root);
	if (result == 0) {
		root->bytes[PAGE_AT_KIND] = child.bytes[PAGE_AT_KIND];
		root->bytes[PAGE_AT_LEVEL] = child.bytes[PAGE_AT_LEVEL];
		page_set_count(root->bytes, page_count(child.bytes));
		memcpy(root->bytes + PAGE_HEADER, child.bytes + PAGE_HEADER,
		       PAGE_SIZE - PAGE_HEADER);
		pager_log_bytes(pager, root, PAGE_AT_COUNT, PAGE_SIZE - PAGE_AT_COUNT);
		result = pager_release(pager, child.number);
	}
	pager_put(pager, &child);
	return result;
}

int path_prepare_join(const struct btree *tree, struct path *path)
{
	for (unsigned level = 0; level < path->top; level++) {
		const struct page *above = &path->pages[level + 1];
		unsigned slot = path->slots[level + 1];
		struct page other;
		int result;

		if (page_count(path->pages[level].bytes) > BTREE_FILL_MIN ||
		    page_count(above->bytes) < 2)
			break;
		result = btree_child(tree->pager, above, slot ? slot - 1 : 1, &other);
		if (result)
			return result;
		pager_put(tree->pager, &other);
	}
	return 0;
}

int path_join(const struct btree *tree, struct path *path)
{
	bool joined = true;
	int result = 0;

	for (unsigned level = 0; level < path->top && joined && result == 0; level++) {
		if (page_count(path->pages[level].bytes) >= BTREE_FILL_MIN)
			break;
		result = settle_level(tree, path, level, &joined);
	}
	if (result == 0 && path->top > 0 && page_count(path->pages[path->top].bytes) == 1)
		result = shrink(tree, path);
	return result;
}
