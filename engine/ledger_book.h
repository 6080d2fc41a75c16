/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Ledger book - the state that a ledger's edits make up
 *
 * Threads: one at a time.
 */

#include "engine/ledger_edit.h"

/* A copy that owns its keys and references. Returns 0 or -ENOMEM. */
int ledger_table_copy(const struct ledger_table *table, struct ledger_table *ret_copy);
void ledger_table_deinit(struct ledger_table *table);

/* Its tables, keys, references, blob files and pins are its own. All zeros, but for the
 * counters: an empty one. */
struct ledger_book {
	struct ledger_state state;
};

/* Returns 0 or -ENOMEM, and then there is nothing to free. */
int ledger_book_copy(const struct ledger_book *book, struct ledger_book *ret_copy);
void ledger_book_deinit(struct ledger_book *book);

/* Takes all of the edit in. Returns 0, LEDGER_E_INVALID ('*ret_what' says) or -ENOMEM; unless 0
 * the book is half changed and only good for ledger_book_deinit(). */
int ledger_book_apply(struct ledger_book *book, const struct ledger_counters *counters,
		      const struct ledger_edit *edit, const char **ret_what);

/* Whether parts agree with one another: files have numbers that were given, references lead to
 * blob files that hold as much, no two tables of a level from 1 on overlap. Returns 0,
 * LEDGER_E_INVALID or -ENOMEM. */
int ledger_book_check(const struct ledger_book *book, const char **ret_what);

/* An edit that makes this book from an empty one. Borrows from the book. */
struct ledger_edit ledger_book_edit(const struct ledger_book *book);
