/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/btree_path.h"

#include <string.h>

int path_open(const struct btree *tree, uint64_t key, struct path *path)
{
	int result;

	memset(path, 0, sizeof(*path));
	result = btree_root(tree, &path->pages[0]);
	if (result)
		return result;
	path->top = page_level(path->pages[0].bytes);
	if (path->top > 0) {
		path->pages[path->top] = path->pages[0];
		path->pages[0].bytes = NULL;
	}
	for (unsigned level = path->top; level > 0 && result == 0; level--) {
		const struct page *page = &path->pages[level];

		path->slots[level] = entry_child(page->bytes, key);
		result =
			btree_child(tree->pager, page, path->slots[level], &path->pages[level - 1]);
	}
	return result;
}

void path_close(const struct btree *tree, struct path *path)
{
	for (unsigned level = 0; level <= path->top; level++)
		pager_put(tree->pager, &path->pages[level]);
}

int path_edit(const struct btree *tree, struct path *path, unsigned level)
{
	return pager_edit(tree->pager, &path->pages[level]);
}

int path_add_count(const struct btree *tree, struct path *path, int64_t added)
{
	struct page *root = &path->pages[path->top];
	int result = pager_edit(tree->pager, root);

	if (result)
		return result;
	page_set_link(root->bytes, page_link(root->bytes) + (uint64_t)added);
	pager_log_bytes(tree->pager, root, PAGE_AT_LINK, 8);
	return 0;
}

bool path_at_end(const struct path *path, uint64_t key)
{
	for (unsigned level = path->top; level > 0; level--)
		if (path->slots[level] + 1 < page_count(path->pages[level].bytes))
			return false;
	return entry_lower(path->pages[0].bytes, key) == page_count(path->pages[0].bytes);
}

static void log_entries(struct pager *pager, const struct page *page, unsigned index, unsigned end)
{
	pager_log_bytes(pager, page, PAGE_AT_COUNT, 2);
	pager_log_bytes(pager, page, entry_offset(index), (end - index) * ENTRY_SIZE);
}

void entry_insert(struct pager *pager, const struct page *page, unsigned index, uint64_t key,
		  uint64_t value)
{
	unsigned count = page_count(page->bytes);
	uint8_t *at = page->bytes + entry_offset(index);

	CHECK(count < PAGE_ENTRY_MAX && index <= count);
	memmove(at + ENTRY_SIZE, at, (count - index) * ENTRY_SIZE);
	entry_set(page->bytes, index, key, value);
	page_set_count(page->bytes, count + 1);
	log_entries(pager, page, index, count + 1);
}

/* Takes entries out; the free end is zero. */
static void cut(uint8_t *bytes, unsigned index, unsigned count)
{
	unsigned end = page_count(bytes);
	uint8_t *at = bytes + entry_offset(index);

	memmove(at, at + count * ENTRY_SIZE, (end - index - count) * ENTRY_SIZE);
	memset(bytes + entry_offset(end - count), 0, count * ENTRY_SIZE);
	page_set_count(bytes, end - count);
}

void entry_remove(struct pager *pager, const struct page *page, unsigned index)
{
	unsigned count = page_count(page->bytes);

	CHECK(index < count);
	cut(page->bytes, index, 1);
	log_entries(pager, page, index, count);
}

void entry_move(struct pager *pager, const struct page *from, unsigned from_index,
		const struct page *to, unsigned to_index, unsigned count)
{
	unsigned from_count = page_count(from->bytes), to_count = page_count(to->bytes);
	uint8_t *at = to->bytes + entry_offset(to_index);

	CHECK(from_index + count <= from_count && to_index <= to_count &&
	      to_count + count <= PAGE_ENTRY_MAX);
	memmove(at + count * ENTRY_SIZE, at, (to_count - to_index) * ENTRY_SIZE);
	memcpy(at, from->bytes + entry_offset(from_index), count * ENTRY_SIZE);
	page_set_count(to->bytes, to_count + count);
	log_entries(pager, to, to_index, to_count + count);
	cut(from->bytes, from_index, count);
	log_entries(pager, from, from_index, from_count);
}
