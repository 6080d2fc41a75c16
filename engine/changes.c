/* SPDX-License-Identifier: Apache-2.0 */

#include "engine/changes.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int changes_init(uint32_t count_max, uint32_t size_max, struct changes *ret_changes)
{
	struct changes changes = {
		.records = malloc(count_max * sizeof(*changes.records)),
		.bytes = malloc(size_max),
		.count_max = count_max,
		.size_max = size_max,
	};

	if (changes.records == NULL || changes.bytes == NULL) {
		changes_deinit(&changes);
		return -ENOMEM;
	}
	*ret_changes = changes;
	return 0;
}

void changes_deinit(struct changes *changes)
{
	free(changes->records);
	free(changes->bytes);
	*changes = (struct changes){0};
}

/* The byte strings of a record; the count of them. */
static unsigned strings_of(struct record *record, struct record_bytes *strings[RECORD_FIELD_MAX])
{
	const struct record_field *fields;
	unsigned field_count = record_fields(record->type, &fields), count = 0;

	for (unsigned i = 0; i < field_count; i++)
		if (fields[i].kind == RECORD_FIELD_BYTES ||
		    fields[i].kind == RECORD_FIELD_BYTES_OPTIONAL)
			strings[count++] =
				(struct record_bytes *)((char *)record + fields[i].offset);
	return count;
}

int changes_add(struct changes *changes, const struct record *record)
{
	struct record_bytes *strings[RECORD_FIELD_MAX];
	size_t record_bytes = record_size(record);
	uint64_t size = 0;
	uint32_t used = changes->used;
	struct record *copy;
	unsigned count;

	if (record_bytes > RECORD_SIZE_MAX)
		return CHANGES_E_SIZE;
	if (changes->count == changes->count_max)
		return CHANGES_E_FULL;
	copy = &changes->records[changes->count];
	*copy = *record;
	count = strings_of(copy, strings);
	for (unsigned i = 0; i < count; i++)
		size += strings[i]->size;
	if (size > changes->size_max - used)
		return CHANGES_E_FULL;

	for (unsigned i = 0; i < count; i++) {
		if (strings[i]->size > 0)
			memcpy(changes->bytes + used, strings[i]->bytes, strings[i]->size);
		strings[i]->bytes = changes->bytes + used;
		used += strings[i]->size;
	}
	changes->count++;
	changes->used = used;
	changes->record_bytes += record_bytes;
	return 0;
}

void changes_drop_last(struct changes *changes)
{
	struct record *last = &changes->records[--changes->count];
	struct record_bytes *strings[RECORD_FIELD_MAX];
	unsigned count = strings_of(last, strings);

	for (unsigned i = 0; i < count; i++)
		changes->used -= strings[i]->size;
	changes->record_bytes -= record_size(last);
}

void changes_clear(struct changes *changes)
{
	changes->count = 0;
	changes->used = 0;
	changes->record_bytes = 0;
}
