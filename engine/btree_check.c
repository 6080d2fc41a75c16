/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/btree_check.h"

#include "engine/btree_page.h"
#include "engine/pager_internal.h"

#include <inttypes.h>
#include <string.h>

/* Keys from 'low' on, and below 'high' unless there is no end. */
struct bounds {
	uint64_t low;
	uint64_t high;
	bool endless;
};

struct walk {
	const struct btree *tree;
	struct pager *pager;
	struct page_set *set;
	struct btree_stats stats;
	uint64_t root_count;              /* that the root says */
	uint64_t last[BTREE_HEIGHT_MAX];  /* page before on its level; 0: none */
	uint64_t links[BTREE_HEIGHT_MAX]; /* that one's link */
};

static int wrong(struct walk *walk, const struct page *page, const char *what, uint64_t expected,
		 uint64_t found)
{
	return pager_corrupt(walk->pager,
			     "page %" PRIu64 ": %s: expected %" PRIu64 ", found %" PRIu64,
			     page->number, what, expected, found);
}

static int check_keys(struct walk *walk, const struct page *page, const struct bounds *bounds)
{
	unsigned count = page_count(page->bytes);

	for (unsigned i = 0; i < count; i++) {
		uint64_t key = entry_key(page->bytes, i);

		if (i > 0 && key <= entry_key(page->bytes, i - 1))
			return wrong(walk, page, "next key: above", entry_key(page->bytes, i - 1),
				     key);
		if (key < bounds->low)
			return wrong(walk, page, "key: at least", bounds->low, key);
		if (!bounds->endless && key >= bounds->high)
			return wrong(walk, page, "key: below", bounds->high, key);
	}
	if (page_level(page->bytes) > 0 && entry_key(page->bytes, 0) != bounds->low)
		return wrong(walk, page, "first key", bounds->low, entry_key(page->bytes, 0));
	return 0;
}

static int check_rest(struct walk *walk, const struct page *page)
{
	uint32_t end = entry_offset(page_count(page->bytes));

	if (page_used(page->bytes) > end)
		return wrong(walk, page, "end of its entries", end, page_used(page->bytes));
	return 0;
}

static int check_fill(struct walk *walk, const struct page *page, bool is_root)
{
	unsigned count = page_count(page->bytes), least = BTREE_FILL_MIN;

	if (page_level(page->bytes) == 0 && is_root)
		return 0;
	if (is_root || page_link(page->bytes) == 0)
		least = page_level(page->bytes) ? 2 : 1;
	return count < least ? wrong(walk, page, "count: at least", least, count) : 0;
}

/* Pages come by from left to right on each level. The root's link is no link. */
static int check_link(struct walk *walk, const struct page *page, bool is_root)
{
	unsigned level = page_level(page->bytes);

	if (is_root)
		return 0;
	if (walk->last[level] && walk->links[level] != page->number)
		return pager_corrupt(walk->pager,
				     "page %" PRIu64 ": link: expected %" PRIu64 ", found %" PRIu64,
				     walk->last[level], page->number, walk->links[level]);
	walk->last[level] = page->number;
	walk->links[level] = page_link(page->bytes);
	return 0;
}

static int check_once(struct walk *walk, const struct page *page)
{
	if (walk->set && !page_set_add(walk->set, page->number))
		return pager_corrupt(walk->pager, "page %" PRIu64 ": is in more than one place",
				     page->number);
	return 0;
}

static int check_page(struct walk *walk, const struct page *page, const struct bounds *bounds)
{
	bool is_root = page->number == walk->tree->root;
	int result = check_once(walk, page);

	if (result == 0)
		result = check_keys(walk, page, bounds);
	if (result == 0)
		result = check_rest(walk, page);
	if (result == 0)
		result = check_fill(walk, page, is_root);
	return result ? result : check_link(walk, page, is_root);
}

static int walk_page(struct walk *walk, const struct page *page, const struct bounds *bounds);

static int walk_child(struct walk *walk, const struct page *page, unsigned index,
		      const struct bounds *bounds)
{
	struct bounds below = *bounds;
	struct page child;
	int result = btree_child(walk->pager, page, index, &child);

	if (result)
		return result;
	below.low = entry_key(page->bytes, index);
	if (index + 1 < page_count(page->bytes)) {
		below.high = entry_key(page->bytes, index + 1);
		below.endless = false;
	}
	result = walk_page(walk, &child, &below);
	pager_put(walk->pager, &child);
	return result;
}

static int walk_page(struct walk *walk, const struct page *page, const struct bounds *bounds)
{
	unsigned count = page_count(page->bytes);
	int result = check_page(walk, page, bounds);

	if (result)
		return result;
	if (page_level(page->bytes) == 0) {
		walk->stats.leaves++;
		walk->stats.entries += count;
		return 0;
	}
	walk->stats.internals++;
	for (unsigned i = 0; i < count && result == 0; i++)
		result = walk_child(walk, page, i, bounds);
	return result;
}

static int check_ends(struct walk *walk, const struct page *root)
{
	if (page_link(root->bytes) != walk->stats.entries)
		return wrong(walk, root, "entries of the tree", walk->stats.entries,
			     page_link(root->bytes));
	for (unsigned level = 0; level < page_level(root->bytes); level++)
		if (walk->links[level])
			return pager_corrupt(walk->pager,
					     "page %" PRIu64 ": link: expected 0, found %" PRIu64,
					     walk->last[level], walk->links[level]);
	return 0;
}

int btree_check(const struct btree *tree, struct page_set *set, struct btree_stats *ret_stats)
{
	struct walk walk = {.tree = tree, .pager = tree->pager, .set = set};
	const struct bounds all = {.endless = true};
	struct page root;
	int result = btree_root(tree, &root);

	if (result)
		return result;
	walk.stats.height = page_level(root.bytes) + 1;
	result = walk_page(&walk, &root, &all);
	if (result == 0)
		result = check_ends(&walk, &root);
	pager_put(tree->pager, &root);
	if (result == 0)
		*ret_stats = walk.stats;
	return result;
}

static int check_free_page(struct pager *pager, struct page_set *set, uint64_t *number)
{
	struct page page;
	int result = pager_get(pager, *number, &page);

	if (result)
		return result;
	if (page_kind(page.bytes) != PAGE_FREE)
		result = pager_corrupt(pager, "page %" PRIu64 ": kind: expected free, found %s",
				       *number, page_kind_name(page_kind(page.bytes)));
	else if (!page_set_add(set, *number))
		result = pager_corrupt(pager, "page %" PRIu64 ": is in more than one place",
				       *number);
	else
		*number = page_link(page.bytes);
	pager_put(pager, &page);
	return result;
}

int btree_check_free(struct pager *pager, struct page_set *set)
{
	const struct pager_state *state = pager_state(pager);
	uint64_t number = state->free_head, count = 0;

	while (number) {
		int result = check_free_page(pager, set, &number);

		if (result)
			return result;
		count++;
	}
	if (count != state->free_count)
		return pager_corrupt(pager, "free pages: expected %" PRIu64 ", found %" PRIu64,
				     state->free_count, count);
	return 0;
}

int btree_check_all(struct pager *pager, const struct page_set *set)
{
	uint64_t missing = page_set_missing(set, 1);

	if (!missing)
		return 0;
	return pager_corrupt(pager, "page %" PRIu64 ": is nowhere, and not free", missing);
}
