/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Ledger sector - edits of a ledger, cut into what a disk writes whole or not at all
 *
 *      head | edit 0: sector, sector, ... | edit 1: sector | ...
 *
 * Each sector bears its edit's number, its place in the edit and how many there are, and a CRC-32C
 * that also covers whose file it is. So of the last edit a reader can say which sectors came to
 * the disk: those that didn't are zeros. A sector that is neither zeros nor right is damage, and so
 * is an edit with sectors missing when something lies behind it.
 *
 * Threads: any.
 */

#include "engine/ledger_edit.h"

#define LEDGER_SECTOR_SIZE 512
#define LEDGER_SECTOR_HEAD 24
#define LEDGER_SECTOR_ROOM (LEDGER_SECTOR_SIZE - LEDGER_SECTOR_HEAD)

/* Whose ledger it is. */
struct ledger_head {
	uint64_t number; /* of the ledger's file */
	uint8_t store[16];
};

/* Appends the head's sector. */
void ledger_head_encode(const struct ledger_head *head, struct ledger_bytes *to);

/* Returns 0 or LEDGER_E_CORRUPT. */
int ledger_head_decode(const uint8_t *bytes, size_t size, struct ledger_head *ret_head,
		       const char **ret_what);

/* Appends the sectors of edit 'number', whose bytes these are. Returns 0 or -ENOMEM. */
int ledger_sector_encode(const struct ledger_head *head, uint64_t number, const uint8_t *edit,
			 size_t size, struct ledger_bytes *to);

/* Where a reader is in a file's bytes, which are there whole. */
struct ledger_reader {
	const uint8_t *bytes;
	size_t size;
	struct ledger_head head;
	size_t offset;   /* of the next edit; of the damage */
	uint64_t number; /* of the next edit */
};

enum { LEDGER_SECTOR_E_END = 100 }; /* no further edit is whole */

/* Appends the next edit's bytes. Returns 0, LEDGER_SECTOR_E_END, LEDGER_E_CORRUPT (reader->offset,
 * '*ret_what') or -ENOMEM. */
int ledger_reader_next(struct ledger_reader *reader, struct ledger_bytes *to,
		       const char **ret_what);
