/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Ledger file - a ledger's files: reading one, writing one anew, and CURRENT, which names it
 *
 * Threads: one at a time.
 */

#include "engine/ledger_book.h"
#include "engine/ledger_sector.h"

#define LEDGER_CURRENT "CURRENT"

/* Puts a line about damage together. */
struct ledger_error {
	char *text;
	size_t size;
};

void ledger_name(uint64_t number, char name[IO_NAME_MAX + 1]);

/* Returns 0, LEDGER_E_ABSENT, LEDGER_E_CORRUPT or a negative errno. */
int ledger_current_read(struct io *io, uint64_t *ret_number, struct ledger_error *error);

/* Names 'number' in CURRENT. After a negative errno either may stand there. */
int ledger_current_write(struct io *io, uint64_t number);

/* What the bytes of a ledger's file say. The caller owns '*ret_book'. Returns 0, LEDGER_E_CORRUPT
 * or a negative errno. */
int ledger_file_parse(const uint8_t *bytes, size_t size, const char *name,
		      struct ledger_book *ret_book, uint64_t *ret_number,
		      struct ledger_error *error);

/* Reads the file of that number. Returns as ledger_file_parse(). */
int ledger_file_read(struct io *io, uint64_t number, struct ledger_book *ret_book,
		     struct ledger_error *error);

/* Writes and syncs a file with the book as its first edit; the caller owns '*ret_file', open for
 * more, of '*ret_size' bytes. Returns 0 or a negative errno, and then there is no file, or one that
 * nobody names. */
int ledger_file_write(struct io *io, const struct ledger_head *head, const struct ledger_book *book,
		      struct io_file **ret_file, uint64_t *ret_size);

/* Removes all ledgers but the one of that number. What can't be removed stays for the next time. */
void ledger_file_clean(struct io *io, uint64_t number);

/* Whether the folder has files of a store that only a ledger can make sense of. Returns 0 or a
 * negative errno. */
int ledger_file_orphans(struct io *io, char name[IO_NAME_MAX + 1], bool *ret_found);
