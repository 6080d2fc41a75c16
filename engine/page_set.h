/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Page set - which pages a check has come by
 *
 * Every page is in exactly one tree or chain. A check adds each page that it comes by; one that
 * is added twice, or is in nothing when all was walked, is an error.
 *
 * Threads: one.
 */

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

struct page_set {
	uint64_t *bits;
	uint64_t page_count; /* pages 1 to this one */
};

/* Returns 0 or -12 (ENOMEM). The caller owns '*ret_set'. */
static inline int page_set_init(uint64_t page_count, struct page_set *ret_set)
{
	ret_set->bits = calloc(page_count / 64 + 1, sizeof(uint64_t));
	ret_set->page_count = page_count;
	return ret_set->bits ? 0 : -12;
}

static inline void page_set_deinit(struct page_set *set)
{
	free(set->bits);
	set->bits = NULL;
}

static inline bool page_set_has(const struct page_set *set, uint64_t number)
{
	return set->bits[number / 64] >> (number % 64) & 1;
}

/* Returns false when there is no such page, or it was added before. */
static inline bool page_set_add(struct page_set *set, uint64_t number)
{
	if (number == 0 || number > set->page_count || page_set_has(set, number))
		return false;
	set->bits[number / 64] |= UINT64_C(1) << (number % 64);
	return true;
}

/* The first page from 'number' on that nobody added; 0: there is none. */
static inline uint64_t page_set_missing(const struct page_set *set, uint64_t number)
{
	for (; number <= set->page_count; number++)
		if (!page_set_has(set, number))
			return number;
	return 0;
}
