/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Changes - the records of one transaction, before they are logged
 *
 * Records and the bytes that they point to are copied into memory taken once, so a transaction
 * costs no allocation, and whoever gave the bytes may use them again.
 *
 * Threads: one owner.
 */

#include "engine/record.h"

#include <stdint.h>

/* Changes of one transaction, and bytes of them, that a store takes. */
#define CHANGES_COUNT_MAX UINT32_C(16384)
#define CHANGES_SIZE_MAX  (UINT32_C(4) << 20)

enum {
	CHANGES_E_FULL = 1, /* more than one transaction can have */
	CHANGES_E_SIZE,     /* more than a record of the log can have */
};

struct changes {
	struct record *records; /* owned */
	uint8_t *bytes;         /* owned */
	uint32_t count;
	uint32_t count_max;
	uint32_t used; /* of bytes */
	uint32_t size_max;
	uint64_t record_bytes; /* of all records, encoded */
};

/* Returns 0 or -ENOMEM. Memory that no transaction reaches is never touched. */
int changes_init(uint32_t count_max, uint32_t size_max, struct changes *ret_changes);
void changes_deinit(struct changes *changes);

/* Copies the record and what it points to. Unless 0 nothing has changed. */
int changes_add(struct changes *changes, const struct record *record);
/* Takes back what the last changes_add() added. */
void changes_drop_last(struct changes *changes);
void changes_clear(struct changes *changes);
