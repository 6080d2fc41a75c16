/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Ledger edit - one edit of a ledger as bytes
 *
 * A row of items, each a tag and what it says (docs/format/ledger.md). Sizes and ranges are checked
 * here; whether the edit fits what there is, is the book's to say (engine/ledger_book.h).
 *
 * Threads: any.
 */

#include "engine/ledger.h"

#include <stddef.h>

/* Counters that every edit has. */
struct ledger_counters {
	uint64_t next_file;
	uint64_t flushed;
	uint64_t history;
};

/* An edit read back. Names and keys borrow from the bytes it was read from; arrays are its own. */
struct ledger_edit_read {
	struct ledger_counters counters;
	struct ledger_edit edit;
	struct ledger_pages pages;
	struct ledger_log log;
};

/* Bytes that a writer appends to. All zeros: empty. */
struct ledger_bytes {
	uint8_t *bytes;
	size_t size;
	size_t capacity;
	bool failed; /* no memory: nothing more is taken */
};

void ledger_bytes_add(struct ledger_bytes *bytes, const void *from, size_t size);
void ledger_bytes_free(struct ledger_bytes *bytes);

/* Appends the edit. Returns 0, -EFBIG (LEDGER_EDIT_MAX) or -ENOMEM. */
int ledger_edit_encode(const struct ledger_counters *counters, const struct ledger_edit *edit,
		       struct ledger_bytes *to);

/* Returns 0, LEDGER_E_CORRUPT ('*ret_what' says) or -ENOMEM. Unless 0 there is nothing to free. */
int ledger_edit_decode(const uint8_t *bytes, size_t size, struct ledger_edit_read *ret_edit,
		       const char **ret_what);
void ledger_edit_free(struct ledger_edit_read *edit);
