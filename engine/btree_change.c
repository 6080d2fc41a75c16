/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/btree_path.h"

#include "base/defs.h"
#include "engine/pager_internal.h"

#include <string.h>

static int insert_new(const struct btree *tree, struct path *path, uint64_t key, uint64_t value)
{
	struct page *leaf = &path->pages[0];
	int result = 0;

	if (page_count(leaf->bytes) == PAGE_ENTRY_MAX)
		result = path_split(tree, path, key);
	if (result == 0)
		result = path_edit(tree, path, 0);
	if (result)
		return result;
	entry_insert(tree->pager, leaf, entry_lower(leaf->bytes, key), key, value);
	return path_add_count(tree, path, 1);
}

static int replace(const struct btree *tree, struct path *path, unsigned index, uint64_t value)
{
	struct page *leaf = &path->pages[0];
	int result = path_edit(tree, path, 0);

	if (result)
		return result;
	store_le64(leaf->bytes + entry_offset(index) + 8, value);
	pager_log_bytes(tree->pager, leaf, entry_offset(index) + 8, 8);
	return 0;
}

/* Half a change can't be committed. */
static int done(const struct btree *tree, int result)
{
	switch (result) {
	case 0:
	case BTREE_E_ABSENT:
	case BTREE_E_EXISTS:
	case BTREE_E_ORDER:
		return result;
	default:
		return change_fail(tree->pager, result);
	}
}

static bool has_key(const struct page *leaf, unsigned index, uint64_t key)
{
	return index < page_count(leaf->bytes) && entry_key(leaf->bytes, index) == key;
}

static int put(const struct btree *tree, uint64_t key, uint64_t value, bool may_replace)
{
	struct path path;
	int result = path_open(tree, key, &path);

	if (result == 0) {
		unsigned index = entry_lower(path.pages[0].bytes, key);

		if (!has_key(&path.pages[0], index, key))
			result = insert_new(tree, &path, key, value);
		else if (may_replace)
			result = replace(tree, &path, index, value);
		else
			result = BTREE_E_EXISTS;
	}
	path_close(tree, &path);
	return done(tree, result);
}

int btree_insert(const struct btree *tree, uint64_t key, uint64_t value)
{
	return put(tree, key, value, /* may_replace= */ false);
}

int btree_put(const struct btree *tree, uint64_t key, uint64_t value)
{
	return put(tree, key, value, /* may_replace= */ true);
}

static int delete_at(const struct btree *tree, struct path *path, unsigned index)
{
	int result = path_edit(tree, path, 0);

	if (result)
		return result;
	entry_remove(tree->pager, &path->pages[0], index);
	result = path_join(tree, path);
	return result ? result : path_add_count(tree, path, -1);
}

int btree_delete(const struct btree *tree, uint64_t key)
{
	struct path path;
	int result = path_open(tree, key, &path);

	if (result == 0) {
		unsigned index = entry_lower(path.pages[0].bytes, key);

		result = has_key(&path.pages[0], index, key) ? delete_at(tree, &path, index)
							     : BTREE_E_ABSENT;
	}
	path_close(tree, &path);
	return done(tree, result);
}

/* A full page is split, and what was added to the one above may split that. Each takes the first of
 * the free pages. */
static int prepare_split(const struct btree *tree, const struct path *path)
{
	uint64_t next = pager_state(tree->pager)->free_head;

	for (unsigned level = 0; level <= path->top && next; level++) {
		struct page page;
		int result;

		if (page_count(path->pages[level].bytes) < PAGE_ENTRY_MAX)
			break;
		result = pager_get(tree->pager, next, &page);
		if (result)
			return result;
		next = page_link(page.bytes);
		pager_put(tree->pager, &page);
	}
	return 0;
}

int btree_prepare(const struct btree *tree, uint64_t key, bool removed)
{
	struct path path;
	int result = path_open(tree, key, &path);

	if (result == 0)
		result = removed ? path_prepare_join(tree, &path) : prepare_split(tree, &path);
	path_close(tree, &path);
	return result;
}

static bool rising(const struct btree_entry *entries, size_t count)
{
	for (size_t i = 1; i < count; i++)
		if (entries[i].key <= entries[i - 1].key)
			return false;
	return true;
}

/* Fills the last page, a new one if it is full. */
static int load_page(const struct btree *tree, struct path *path, const struct btree_entry *entries,
		     size_t count, size_t *ret_taken)
{
	struct page *leaf = &path->pages[0];
	unsigned from, taken;
	int result = 0;

	if (page_count(leaf->bytes) == PAGE_ENTRY_MAX)
		result = path_split(tree, path, entries[0].key);
	if (result == 0)
		result = path_edit(tree, path, 0);
	if (result)
		return result;
	from = page_count(leaf->bytes);
	taken = (unsigned)MIN(count, (size_t)(PAGE_ENTRY_MAX - from));
	for (unsigned i = 0; i < taken; i++)
		entry_set(leaf->bytes, from + i, entries[i].key, entries[i].value);
	page_set_count(leaf->bytes, from + taken);
	pager_log_bytes(tree->pager, leaf, PAGE_AT_COUNT, 2);
	pager_log_bytes(tree->pager, leaf, entry_offset(from), taken * ENTRY_SIZE);
	*ret_taken = taken;
	return path_add_count(tree, path, taken);
}

int btree_load(const struct btree *tree, const struct btree_entry *entries, size_t count)
{
	size_t taken = 0;
	int result = rising(entries, count) ? 0 : BTREE_E_ORDER;

	for (size_t at = 0; at < count && result == 0; at += taken) {
		struct path path;

		result = path_open(tree, entries[at].key, &path);
		if (result == 0 && !path_at_end(&path, entries[at].key))
			result = BTREE_E_ORDER;
		if (result == 0)
			result = load_page(tree, &path, entries + at, count - at, &taken);
		path_close(tree, &path);
	}
	return done(tree, result);
}
