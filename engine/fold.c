/* SPDX-License-Identifier: Apache-2.0 */

#include "engine/fold.h"

#include "base/defs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct fold_operand {
	uint64_t seqno;
	size_t offset; /* in the bytes */
	uint32_t size;
	uint8_t type;
};

void fold_clear(struct fold *fold)
{
	fold->count = 0;
	fold->size = 0;
	if (fold->capacity + fold->outs[0].capacity + fold->outs[1].capacity +
		    fold->room * sizeof(struct fold_operand) >
	    FOLD_KEEP_MAX)
		fold_deinit(fold);
}

void fold_deinit(struct fold *fold)
{
	free(fold->operands);
	free(fold->bytes);
	free(fold->arguments);
	merge_out_deinit(&fold->outs[0]);
	merge_out_deinit(&fold->outs[1]);
	*fold = (struct fold){.ops = fold->ops};
}

static int make_room(struct fold *fold)
{
	if (fold->count < fold->room)
		return 0;
	uint32_t room = MAX(2 * fold->room, 16U);
	struct fold_operand *operands = realloc(fold->operands, room * sizeof(*operands));
	if (!operands)
		return -ENOMEM;
	fold->operands = operands;
	struct entry_bytes *arguments = realloc(fold->arguments, room * sizeof(*arguments));
	if (!arguments)
		return -ENOMEM;
	fold->arguments = arguments;
	fold->room = room;
	return 0;
}

static int make_room_for_bytes(struct fold *fold, size_t size)
{
	if (size <= fold->capacity - fold->size)
		return 0;
	size_t capacity = MIN(2 * (fold->size + size), (size_t)FOLD_SIZE_MAX);
	uint8_t *bytes = realloc(fold->bytes, capacity);
	if (!bytes)
		return -ENOMEM;
	fold->bytes = bytes;
	fold->capacity = capacity;
	return 0;
}

static bool are_of_one_operator(const struct fold *fold, uint8_t type)
{
	for (uint32_t i = 0; i < fold->count; i++)
		if (fold->operands[i].type != type)
			return false;
	return true;
}

/* What was gathered becomes one operand, with the youngest's number. */
static int collapse(struct fold *fold)
{
	struct entry_bytes value;
	int error = fold_finish(fold, NULL, &value);

	if (error)
		return error;
	if (value.size > 0)
		memcpy(fold->bytes, value.bytes, value.size);
	fold->operands[0].offset = 0;
	fold->operands[0].size = value.size;
	fold->count = 1;
	fold->size = value.size;
	return 0;
}

/* Operands of several operators in a row can't become one. */
static int stay_below_limits(struct fold *fold, const struct entry *entry)
{
	int error = 0;

	if (fold->count < FOLD_COUNT_MAX && fold->size + entry->value.size <= FOLD_SIZE_MAX)
		return 0;
	if (fold->count > 0 && are_of_one_operator(fold, entry->type))
		error = collapse(fold);
	if (error)
		return error;
	return fold->count < FOLD_COUNT_MAX && fold->size + entry->value.size <= FOLD_SIZE_MAX
		       ? 0
		       : MERGE_OP_E_SIZE;
}

int fold_add(struct fold *fold, const struct entry *entry)
{
	int error = stay_below_limits(fold, entry);

	if (!error)
		error = make_room(fold);
	if (!error)
		error = make_room_for_bytes(fold, entry->value.size);
	if (error)
		return error;
	if (entry->value.size > 0)
		memcpy(fold->bytes + fold->size, entry->value.bytes, entry->value.size);
	fold->operands[fold->count++] = (struct fold_operand){.seqno = entry->seqno,
							      .offset = fold->size,
							      .size = entry->value.size,
							      .type = entry->type};
	fold->size += entry->value.size;
	return 0;
}

/* Operands of one operator that follow one another are folded by one call: the arguments are
 * filled from the oldest on, and handed over when the operator changes. */
int fold_finish(struct fold *fold, const struct entry_bytes *base, struct entry_bytes *ret_value)
{
	struct entry_bytes value = base ? *base : (struct entry_bytes){0};
	bool has_value = base != NULL;
	unsigned turn = 0;

	for (uint32_t left = fold->count; left > 0; turn ^= 1) {
		struct merge_out *out = &fold->outs[turn];
		uint8_t type = fold->operands[left - 1].type;
		uint32_t count = 0;

		for (; left > 0 && fold->operands[left - 1].type == type; left--)
			fold->arguments[count++] = fold_at(fold, left - 1).value;
		merge_out_clear(out);
		int error = merge_ops_fold(fold->ops, type, has_value ? &value : NULL,
					   fold->arguments, count, out);
		if (error)
			return error;
		value = (struct entry_bytes){.bytes = out->bytes, .size = out->size};
		has_value = true;
	}
	*ret_value = value;
	return 0;
}

struct entry fold_at(const struct fold *fold, uint32_t index)
{
	const struct fold_operand *operand = &fold->operands[index];

	return (struct entry){
		.value = {.bytes = operand->size > 0 ? fold->bytes + operand->offset : NULL,
			  .size = operand->size},
		.seqno = operand->seqno,
		.kind = ENTRY_MERGE,
		.type = operand->type,
	};
}
