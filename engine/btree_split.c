/* SPDX-License-Identifier: Apache-2.0 */

/*
 * B+tree split - room for one more entry
 *
 * Every page from the leaf up that is full is split, from the topmost down, so that the page above
 * always has room for the new page's entry. When all are, the root's entries first
 * move to a new page below it.
 *
 * A page is split in the middle, unless the key is above all of the tree: then the old pages stay
 * full, since nothing will come into them while keys go on rising. A page above the leaves gives
 * its last two entries away even then, so that no page has only one below it and each has
 * a neighbour to be joined with.
 */

#include "engine/btree_path.h"
#include "engine/pager_internal.h"

#include <inttypes.h>
#include <string.h>

/* What a page above the leaves keeps when it is split at the tree's end. */
#define KEEP_INTERNAL (PAGE_ENTRY_MAX - 2)

/* Moves entries from the key on to a page without any, which becomes the next one. */
static void split_entries(uint8_t *original, uint8_t *created, uint64_t key)
{
	unsigned count = page_count(original), from = entry_lower(original, key);
	uint32_t size = (count - from) * ENTRY_SIZE;

	memcpy(created + PAGE_HEADER, original + entry_offset(from), size);
	memset(original + entry_offset(from), 0, size);
	page_set_count(created, count - from);
	page_set_count(original, from);
	created[PAGE_AT_LEVEL] = original[PAGE_AT_LEVEL];
	page_set_link(created, page_link(original));
	page_set_link(original, page_number(created));
}

static int check_split(struct pager *pager, const struct record *record, const struct page *page,
		       bool created)
{
	enum page_kind kind = record->split.leaf ? PAGE_BTREE_LEAF : PAGE_BTREE_INTERNAL;

	if (page_kind(page->bytes) != kind)
		return pager_corrupt(pager,
				     "page %" PRIu64 ": split at lsn %" PRIu64
				     ": kind: expected %s, found %s",
				     page->number, record->lsn, page_kind_name(kind),
				     page_kind_name(page_kind(page->bytes)));
	if (created && page_count(page->bytes) != 0)
		return pager_corrupt(pager,
				     "page %" PRIu64 ": split at lsn %" PRIu64
				     ": count: expected 0, found %u",
				     page->number, record->lsn, page_count(page->bytes));
	return 0;
}

static int redo_pages(struct pager *pager, const struct record *record, struct page *original,
		      struct page *created)
{
	bool original_done, created_done;
	int result = pager_redo_get(pager, record->split.original, record->lsn, original,
				    &original_done);

	if (result == 0)
		result = pager_redo_get(pager, record->split.created, record->lsn, created,
					&created_done);
	if (result || (original_done && created_done))
		return result;
	if (original_done || created_done || original->number == created->number)
		return pager_corrupt(pager,
				     "page %" PRIu64 ": split at lsn %" PRIu64
				     ": only one of its two pages is as it was",
				     original->number, record->lsn);
	result = check_split(pager, record, original, false);
	if (result == 0)
		result = check_split(pager, record, created, true);
	if (result)
		return result;
	split_entries(original->bytes, created->bytes, record->split.key);
	pager_redo_put(pager, original, record->lsn);
	pager_redo_put(pager, created, record->lsn);
	return 0;
}

int btree_redo_split(struct pager *pager, const struct record *record)
{
	struct page original = {0}, created = {0};
	int result = redo_pages(pager, record, &original, &created);

	pager_put(pager, &original);
	pager_put(pager, &created);
	return result;
}

/* The root's entries move to a page of their own below it. */
static int grow(const struct btree *tree, struct path *path)
{
	struct pager *pager = tree->pager;
	struct page *root = &path->pages[path->top];
	struct page child;
	int result = path->top + 1 < BTREE_HEIGHT_MAX ? pager_edit(pager, root) : BTREE_E_FULL;

	if (result == 0)
		result = pager_allocate(pager, page_kind(root->bytes), &child);
	if (result)
		return result;
	memcpy(child.bytes + PAGE_HEADER, root->bytes + PAGE_HEADER, PAGE_SIZE - PAGE_HEADER);
	page_set_count(child.bytes, page_count(root->bytes));
	child.bytes[PAGE_AT_LEVEL] = root->bytes[PAGE_AT_LEVEL];
	pager_log_bytes(pager, &child, PAGE_AT_COUNT, PAGE_SIZE - PAGE_AT_COUNT);

	memset(root->bytes + PAGE_HEADER, 0, PAGE_SIZE - PAGE_HEADER);
	root->bytes[PAGE_AT_KIND] = PAGE_BTREE_INTERNAL;
	root->bytes[PAGE_AT_LEVEL]++;
	page_set_count(root->bytes, 1);
	entry_set(root->bytes, 0, 0, child.number);
	pager_log_bytes(pager, root, PAGE_AT_COUNT, PAGE_SIZE - PAGE_AT_COUNT);

	path->top++;
	path->pages[path->top] = *root;
	path->slots[path->top] = 0;
	path->pages[path->top - 1] = child;
	return 0;
}

/* At the end a full leaf stays as it is, and the new key begins the next one. */
static uint64_t split_key(const struct page *page, uint64_t key, bool at_end)
{
	if (!at_end)
		return entry_key(page->bytes, PAGE_ENTRY_MAX / 2);
	return page_level(page->bytes) ? entry_key(page->bytes, KEEP_INTERNAL) : key;
}

/* Both pages are edited, and as redo will find them. */
static int split_logged(struct pager *pager, const struct page *original,
			const struct page *created, uint64_t key)
{
	struct record record = {.type = RECORD_BTREE_SPLIT};
	int result;

	record.split.original = original->number;
	record.split.created = created->number;
	record.split.key = key;
	record.split.leaf = page_level(original->bytes) == 0;
	result = pager_log(pager, &record);
	if (result == 0)
		split_entries(original->bytes, created->bytes, key);
	return result;
}

/* Splits the page of a level; the path goes on through the half where the key belongs. */
static int split_level(const struct btree *tree, struct path *path, unsigned level, uint64_t key,
		       bool at_end)
{
	struct pager *pager = tree->pager;
	struct page *page = &path->pages[level], *above = &path->pages[level + 1];
	uint64_t from = split_key(page, key, at_end);
	struct page created;
	int result = pager_edit(pager, page);

	if (result == 0)
		result = pager_edit(pager, above);
	if (result == 0)
		result = pager_allocate(pager, page_kind(page->bytes), &created);
	if (result)
		return result;
	result = split_logged(pager, page, &created, from);
	if (result == 0) {
		entry_insert(pager, above, entry_lower(above->bytes, from), from, created.number);
		if (key >= from) {
			struct page original = *page;

			*page = created;
			created = original;
		}
	}
	pager_put(pager, &created);
	return result;
}

/* Where keys don't rise, a split may move none of them. */
static int check_room(const struct btree *tree, const struct page *page)
{
	if (page_count(page->bytes) < PAGE_ENTRY_MAX)
		return 0;
	return pager_corrupt(tree->pager, "page %" PRIu64 ": its keys don't rise", page->number);
}

int path_split(const struct btree *tree, struct path *path, uint64_t key)
{
	bool at_end = path_at_end(path, key);
	unsigned level = 0;
	int result = 0;

	while (level <= path->top && page_count(path->pages[level].bytes) == PAGE_ENTRY_MAX)
		level++;
	if (level > path->top)
		result = grow(tree, path);
	while (level > 0 && result == 0) {
		result = split_level(tree, path, --level, key, at_end);
		if (result == 0)
			result = check_room(tree, &path->pages[level]);
	}
	return result;
}
