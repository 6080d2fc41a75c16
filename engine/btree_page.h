/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * B+tree page - the entries of one page
 *
 * Threads: the pager's owner.
 */

#include "base/check.h"
#include "engine/btree.h"

#define ENTRY_SIZE 16

static inline uint32_t entry_offset(unsigned index)
{
	return PAGE_HEADER + index * ENTRY_SIZE;
}

static inline uint64_t entry_key(const uint8_t *page, unsigned index)
{
	return load_le64(page + entry_offset(index));
}

/* A value, or the page below. */
static inline uint64_t entry_value(const uint8_t *page, unsigned index)
{
	return load_le64(page + entry_offset(index) + 8);
}

static inline void entry_set(uint8_t *page, unsigned index, uint64_t key, uint64_t value)
{
	store_le64(page + entry_offset(index), key);
	store_le64(page + entry_offset(index) + 8, value);
}

/* The first entry whose key is not below 'key'; the count if there is none. */
static inline unsigned entry_lower(const uint8_t *page, uint64_t key)
{
	unsigned low = 0, count = page_count(page);

	while (count > 0) {
		unsigned half = count / 2;
		bool below = entry_key(page, low + half) < key;

		low = below ? low + half + 1 : low;
		count = below ? count - half - 1 : half;
	}
	return low;
}

/* The entry of the page below in which the key is, or would be. */
static inline unsigned entry_child(const uint8_t *page, uint64_t key)
{
	unsigned index = entry_lower(page, key);

	if (index < page_count(page) && entry_key(page, index) == key)
		return index;
	return index ? index - 1 : 0;
}

/* Pins the page below an entry, which is of the level below. Returns as pager_get(). */
int btree_child(struct pager *pager, const struct page *parent, unsigned index,
		struct page *ret_child);

/* Pins the root. Returns as pager_get(). */
int btree_root(const struct btree *tree, struct page *ret_root);
