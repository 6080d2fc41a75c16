/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/btree.h"

#include "base/check.h"
#include "engine/btree_page.h"
#include "engine/pager_internal.h"

#include <inttypes.h>
#include <string.h>

int btree_create(struct pager *pager, uint64_t *ret_root)
{
	struct page page;
	int result = pager_allocate(pager, PAGE_BTREE_LEAF, &page);

	if (result)
		return result;
	*ret_root = page.number;
	pager_put(pager, &page);
	return 0;
}

static int check_tree_page(struct pager *pager, const struct page *page, unsigned level)
{
	enum page_kind kind = level ? PAGE_BTREE_INTERNAL : PAGE_BTREE_LEAF;

	if (page_kind(page->bytes) != kind)
		return pager_corrupt(pager, "page %" PRIu64 ": kind: expected %s, found %s",
				     page->number, page_kind_name(kind),
				     page_kind_name(page_kind(page->bytes)));
	if (page_level(page->bytes) != level)
		return pager_corrupt(pager, "page %" PRIu64 ": level: expected %u, found %u",
				     page->number, level, page_level(page->bytes));
	return 0;
}

/* Only a tree without entries has a page without: so there is always a way down, and to the
 * next entry. */
static int check_count(struct pager *pager, const struct page *page, bool is_root)
{
	if (page_count(page->bytes) > 0 || (is_root && page_level(page->bytes) == 0))
		return 0;
	return pager_corrupt(pager, "page %" PRIu64 ": count: expected at least 1, found 0",
			     page->number);
}

/* Takes the pin back when the page isn't what it has to be. */
static int check_got(struct pager *pager, struct page *page, unsigned level, bool is_root)
{
	int result = check_tree_page(pager, page, level);

	if (result == 0)
		result = check_count(pager, page, is_root);
	if (result)
		pager_put(pager, page);
	return result;
}

static int get_checked(struct pager *pager, uint64_t number, unsigned level, bool is_root,
		       struct page *ret_page)
{
	struct page page;
	int result = pager_get(pager, number, &page);

	if (result == 0)
		result = check_got(pager, &page, level, is_root);
	if (result == 0)
		*ret_page = page;
	return result;
}

int btree_child(struct pager *pager, const struct page *parent, unsigned index,
		struct page *ret_child)
{
	return get_checked(pager, entry_value(parent->bytes, index), page_level(parent->bytes) - 1,
			   /* is_root= */ false, ret_child);
}

int btree_root(const struct btree *tree, struct page *ret_root)
{
	struct page page;
	unsigned level;
	int result = pager_get(tree->pager, tree->root, &page);

	if (result)
		return result;
	level = page_level(page.bytes);
	result = check_got(tree->pager, &page, level, /* is_root= */ true);
	if (result)
		return result;
	if (level >= BTREE_HEIGHT_MAX) {
		pager_put(tree->pager, &page);
		return pager_corrupt(tree->pager,
				     "page %" PRIu64 ": level: expected below %d, found %u",
				     tree->root, BTREE_HEIGHT_MAX, level);
	}
	*ret_root = page;
	return 0;
}

int btree_get(const struct btree *tree, uint64_t key, uint64_t *ret_value)
{
	struct page page, child;
	unsigned index;
	int result = btree_root(tree, &page);

	while (result == 0 && page_level(page.bytes) > 0) {
		result = btree_child(tree->pager, &page, entry_child(page.bytes, key), &child);
		pager_put(tree->pager, &page);
		page = child;
	}
	if (result)
		return result;
	index = entry_lower(page.bytes, key);
	if (index < page_count(page.bytes) && entry_key(page.bytes, index) == key)
		*ret_value = entry_value(page.bytes, index);
	else
		result = BTREE_E_ABSENT;
	pager_put(tree->pager, &page);
	return result;
}

int btree_count(const struct btree *tree, uint64_t *ret_count)
{
	struct page page;
	int result = btree_root(tree, &page);

	if (result)
		return result;
	*ret_count = page_link(page.bytes);
	pager_put(tree->pager, &page);
	return 0;
}

int btree_height(const struct btree *tree, uint32_t *ret_height)
{
	struct page page;
	int result = btree_root(tree, &page);

	if (result)
		return result;
	*ret_height = page_level(page.bytes) + 1;
	pager_put(tree->pager, &page);
	return 0;
}
