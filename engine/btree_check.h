/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * B+tree check - looks through everything that should hold
 *
 * Reads every page of a tree, so that their CRCs are checked too, and holds the invariants
 * of btree.h against them; then the chain of free pages. Changes nothing. After all trees and what
 * else is on pages, a page that is not in the set is lost.
 *
 * What reads everything blocks: while the pager polls it says BTREE_E_WAIT, and begins anew each
 * time.
 *
 * Threads: the pager's owner.
 */

#include "engine/btree.h"
#include "engine/page_set.h"

struct btree_stats {
	uint64_t entries;
	uint64_t leaves;
	uint64_t internals;
	uint32_t height;
};

/* Adds the tree's pages to the set (NULL: none). Returns 0, BTREE_E_CORRUPT (pager_error() says)
 * or as pager_get(). */
int btree_check(const struct btree *tree, struct page_set *set, struct btree_stats *ret_stats);

/* Adds the free pages. Returns as btree_check(). */
int btree_check_free(struct pager *pager, struct page_set *set);

/* Whether every page is in the set. Returns 0 or BTREE_E_CORRUPT. */
int btree_check_all(struct pager *pager, const struct page_set *set);
