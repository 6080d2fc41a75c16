/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Fold - the merge operands of one key, gathered from the youngest on and folded into a value
 *
 * Operands are copied, since what they borrow from moves on while older ones are looked for. Where
 * they are more than FOLD_COUNT_MAX or FOLD_SIZE_MAX, those that were gathered become one, as
 * operators allow (docs/format/merge.md); so the memory that a key takes is bounded.
 *
 * Threads: one at a time.
 */

#include "engine/merge_op.h"

#include <stdbool.h>

/* Operands, and bytes of them, that are held at once. */
#define FOLD_COUNT_MAX (UINT32_C(1) << 20)
#define FOLD_SIZE_MAX  MERGE_OP_VALUE_MAX

/* Bytes of memory that fold_clear() keeps. */
#define FOLD_KEEP_MAX (UINT32_C(4) << 20)

struct fold_operand;

/* All zeros, but for 'ops': no operands. */
struct fold {
	const struct merge_ops *ops; /* borrowed */
	struct fold_operand *operands;
	uint8_t *bytes;
	struct entry_bytes *arguments; /* what an operator is called with */
	struct merge_out outs[2];      /* in turns: one operator's result is the next one's base */
	size_t size;                   /* of the bytes */
	size_t capacity;
	uint32_t count;
	uint32_t room; /* operands and arguments */
};

/* Forgets the operands and the value. */
void fold_clear(struct fold *fold);
void fold_deinit(struct fold *fold);

/*
 * Adds an operand that is older than those before: entry->value, for operator entry->type. Returns
 * 0 or -ENOMEM; where what was gathered has to become one operand and doesn't, also
 * MERGE_OP_E_INVALID, MERGE_OP_E_SIZE or MERGE_OP_E_UNKNOWN: then there is no value.
 */
int fold_add(struct fold *fold, const struct entry *entry);

/*
 * Folds what was gathered into 'base' (NULL: none). The value borrows until the next call but
 * fold_at(). Operands stay. Returns 0, MERGE_OP_E_INVALID, MERGE_OP_E_SIZE,
 * MERGE_OP_E_UNKNOWN or -ENOMEM.
 */
int fold_finish(struct fold *fold, const struct entry_bytes *base, struct entry_bytes *ret_value);

/* The index-th operand, the youngest first. Borrows until the next fold_add(). */
struct entry fold_at(const struct fold *fold, uint32_t index);
