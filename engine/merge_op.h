/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Merge op - operators that fold operands into a value
 *
 * A merge writes an operand and reads nothing; reads and compaction fold a key's
 * operands, oldest first, into the value below them. An operator is known by a number (in
 * records and files) and by a name (to people). What it makes of the same input is always the same,
 * or a replica would drift; and folding in two steps gives what one step gives. The value may be
 * larger than one that a record holds, up to MERGE_OP_VALUE_MAX.
 * docs/format/merge.md says what the built-in ones do.
 *
 * Threads: a table of operators belongs to one; built-in operators have no state.
 */

#include "engine/entry.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes of an operator's name, final zero included. */
#define MERGE_OP_NAME_MAX 32

/* Numbers below MERGE_OP_CUSTOM_MIN are Tern's. */
#define MERGE_OP_CUSTOM_MIN 16

/* Bytes of a value that operands are folded into: as many as a blob file takes. */
#define MERGE_OP_VALUE_MAX (UINT32_C(64) << 20)

enum {
	MERGE_OP_COUNTER = 1, /* an i64; operands are added */
	MERGE_OP_APPEND,      /* operands are put behind */
	MERGE_OP_SET_UNION,   /* a sorted set of byte strings */
};

enum {
	MERGE_OP_E_INVALID = 1, /* base or operand is nothing that the operator takes */
	MERGE_OP_E_SIZE,        /* the result would be above MERGE_OP_VALUE_MAX */
	MERGE_OP_E_UNKNOWN,     /* no operator of that number */
	MERGE_OP_E_TAKEN,       /* the number or the name has one, or isn't for others */
};

/* Where a result is put: grows up to MERGE_OP_VALUE_MAX. Starts as zeros. */
struct merge_out {
	uint8_t *bytes;
	uint32_t size;
	uint32_t capacity;
};

/* Puts bytes behind. Returns 0, MERGE_OP_E_SIZE or -ENOMEM; unless 0 nothing has changed. */
int merge_out_append(struct merge_out *out, const void *bytes, size_t size);

/* Empties it and keeps the memory. */
void merge_out_clear(struct merge_out *out);

/* Frees the memory. */
void merge_out_deinit(struct merge_out *out);

/*
 * Folds 'count' operands (oldest first) into 'base' (NULL: none) and appends the result to 'out'.
 * Returns 0, MERGE_OP_E_INVALID, MERGE_OP_E_SIZE or -ENOMEM.
 */
typedef int (*merge_fn)(const struct entry_bytes *base, const struct entry_bytes *operands,
			uint32_t count, struct merge_out *out);

/* The operators of one key space. About 10 KiB. */
struct merge_ops {
	struct {
		merge_fn merge; /* NULL: no operator of that number */
		char name[MERGE_OP_NAME_MAX];
	} ops[256];
};

/* With the built-in ones. */
void merge_ops_init(struct merge_ops *ops);

/* Adds one of a number from MERGE_OP_CUSTOM_MIN on; the name is copied. Returns 0, -EINVAL (the
 * name is empty or too long) or MERGE_OP_E_TAKEN. */
int merge_ops_register(struct merge_ops *ops, uint8_t number, const char *name, merge_fn merge);

/* The name of an operator; NULL: there is none. */
const char *merge_ops_name(const struct merge_ops *ops, uint8_t number);

/* The number of the operator of that name; 0: there is none. */
uint8_t merge_ops_number(const struct merge_ops *ops, const char *name);

/* As merge_fn, by the operator's number. Returns MERGE_OP_E_UNKNOWN, too. Unless it returns 0,
 * 'out' is as it was. */
int merge_ops_fold(const struct merge_ops *ops, uint8_t number, const struct entry_bytes *base,
		   const struct entry_bytes *operands, uint32_t count, struct merge_out *out);
