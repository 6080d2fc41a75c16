/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/merge_op.h"

#include "base/byteorder.h"
#include "base/defs.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COUNTER_SIZE     8
#define MEMBER_HEAD_SIZE 4
#define OUT_SIZE_MIN     64

static int out_grow(struct merge_out *out, size_t size)
{
	size_t capacity = MAX(out->capacity, OUT_SIZE_MIN);
	uint8_t *bytes;

	if (size <= out->capacity)
		return 0;
	while (capacity < size)
		capacity *= 2;
	bytes = realloc(out->bytes, capacity);
	if (!bytes)
		return -ENOMEM;
	out->bytes = bytes;
	out->capacity = (uint32_t)capacity;
	return 0;
}

int merge_out_append(struct merge_out *out, const void *bytes, size_t size)
{
	int rc;

	if (size > MERGE_OP_VALUE_MAX - out->size)
		return MERGE_OP_E_SIZE;
	if (size == 0)
		return 0;
	rc = out_grow(out, out->size + size);
	if (rc)
		return rc;
	memcpy(out->bytes + out->size, bytes, size);
	out->size += (uint32_t)size;
	return 0;
}

void merge_out_clear(struct merge_out *out)
{
	out->size = 0;
}

void merge_out_deinit(struct merge_out *out)
{
	free(out->bytes);
	*out = (struct merge_out){0};
}

static int counter_merge(const struct entry_bytes *base, const struct entry_bytes *operands,
			 uint32_t count, struct merge_out *out)
{
	uint8_t bytes[COUNTER_SIZE];
	uint64_t sum = 0; /* unsigned, as it wraps */

	if (base && base->size != COUNTER_SIZE)
		return MERGE_OP_E_INVALID;
	if (base)
		sum = load_le64(base->bytes);
	for (uint32_t i = 0; i < count; i++) {
		if (operands[i].size != COUNTER_SIZE)
			return MERGE_OP_E_INVALID;
		sum += load_le64(operands[i].bytes);
	}
	store_le64(bytes, sum);
	return merge_out_append(out, bytes, sizeof(bytes));
}

static int append_merge(const struct entry_bytes *base, const struct entry_bytes *operands,
			uint32_t count, struct merge_out *out)
{
	int rc = base ? merge_out_append(out, base->bytes, base->size) : 0;

	for (uint32_t i = 0; i < count && !rc; i++)
		rc = merge_out_append(out, operands[i].bytes, operands[i].size);
	return rc;
}

/* The members of sets, side by side; borrows from them. */
struct members {
	struct entry_bytes *at;
	uint32_t count;
};

static int by_bytes(const void *a, const void *b)
{
	const struct entry_bytes *left = a, *right = b;

	return key_compare(*left, *right);
}

/*
 * Takes a set apart: into 'ret_members' unless that is NULL. Returns how many there are, or -1: the
 * bytes aren't a set (a length past the end, members not ascending).
 */
static int64_t set_read(struct entry_bytes set, struct entry_bytes *ret_members)
{
	struct entry_bytes member, before;
	uint32_t at = 0;
	int64_t count = 0;

	while (at < set.size) {
		if (set.size - at < MEMBER_HEAD_SIZE)
			return -1;
		member.size = load_le32(set.bytes + at);
		at += MEMBER_HEAD_SIZE;
		if (member.size > set.size - at)
			return -1;
		member.bytes = set.bytes + at;
		at += member.size;
		if (count > 0 && key_compare(before, member) >= 0)
			return -1;
		if (ret_members)
			ret_members[count] = member;
		before = member;
		count++;
	}
	return count;
}

/* How many members all sets have together, or -1. */
static int64_t sets_count(const struct entry_bytes *base, const struct entry_bytes *operands,
			  uint32_t count)
{
	int64_t sum = base ? set_read(*base, NULL) : 0;

	for (uint32_t i = 0; i < count && sum >= 0; i++) {
		int64_t members = set_read(operands[i], NULL);

		sum = members < 0 ? -1 : sum + members;
	}
	return sum;
}

static int write_members(const struct members *members, struct merge_out *out)
{
	uint8_t head[MEMBER_HEAD_SIZE];
	int rc = 0;

	for (uint32_t i = 0; i < members->count && !rc; i++) {
		const struct entry_bytes *member = &members->at[i];

		if (i > 0 && key_equal(member[-1], *member))
			continue;
		store_le32(head, member->size);
		rc = merge_out_append(out, head, sizeof(head));
		if (!rc)
			rc = merge_out_append(out, member->bytes, member->size);
	}
	return rc;
}

/* All members are gathered and sorted at once: a row of small operands on a large set would
 * otherwise copy the set for each. */
static int set_union_merge(const struct entry_bytes *base, const struct entry_bytes *operands,
			   uint32_t count, struct merge_out *out)
{
	int64_t sum = sets_count(base, operands, count);
	struct members members = {0};
	int rc;

	if (sum < 0)
		return MERGE_OP_E_INVALID;
	if (sum == 0)
		return 0;
	if (sum > UINT32_MAX)
		return MERGE_OP_E_SIZE;
	members.at = malloc((size_t)sum * sizeof(members.at[0]));
	if (!members.at)
		return -ENOMEM;
	if (base)
		members.count = (uint32_t)set_read(*base, members.at);
	for (uint32_t i = 0; i < count; i++)
		members.count += (uint32_t)set_read(operands[i], members.at + members.count);
	qsort(members.at, members.count, sizeof(members.at[0]), by_bytes);
	rc = write_members(&members, out);
	free(members.at);
	return rc;
}

static void set(struct merge_ops *ops, uint8_t number, const char *name, merge_fn merge)
{
	ops->ops[number].merge = merge;
	snprintf(ops->ops[number].name, MERGE_OP_NAME_MAX, "%s", name);
}

void merge_ops_init(struct merge_ops *ops)
{
	memset(ops, 0, sizeof(*ops));
	set(ops, MERGE_OP_COUNTER, "counter", counter_merge);
	set(ops, MERGE_OP_APPEND, "append", append_merge);
	set(ops, MERGE_OP_SET_UNION, "set_union", set_union_merge);
}

int merge_ops_register(struct merge_ops *ops, uint8_t number, const char *name, merge_fn merge)
{
	if (name[0] == 0 || strlen(name) >= MERGE_OP_NAME_MAX)
		return -EINVAL;
	if (number < MERGE_OP_CUSTOM_MIN || merge_ops_name(ops, number) ||
	    merge_ops_number(ops, name))
		return MERGE_OP_E_TAKEN;
	set(ops, number, name, merge);
	return 0;
}

const char *merge_ops_name(const struct merge_ops *ops, uint8_t number)
{
	return ops->ops[number].merge ? ops->ops[number].name : NULL;
}

uint8_t merge_ops_number(const struct merge_ops *ops, const char *name)
{
	for (unsigned i = 1; i < ARRAY_COUNT(ops->ops); i++)
		if (ops->ops[i].merge && strcmp(ops->ops[i].name, name) == 0)
			return (uint8_t)i;
	return 0;
}

int merge_ops_fold(const struct merge_ops *ops, uint8_t number, const struct entry_bytes *base,
		   const struct entry_bytes *operands, uint32_t count, struct merge_out *out)
{
	uint32_t size = out->size;
	int rc;

	if (!ops->ops[number].merge)
		return MERGE_OP_E_UNKNOWN;
	rc = ops->ops[number].merge(base, operands, count, out);
	if (rc)
		out->size = size; /* what a failed one left is nothing */
	return rc;
}
