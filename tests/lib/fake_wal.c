/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/fake_wal.h"

#include "base/check.h"

#include <stdlib.h>
#include <string.h>

struct entry {
	size_t offset;
	size_t size;
};

struct wal {
	uint8_t *bytes;
	size_t size;
	size_t capacity;
	struct entry *entries; /* those that are kept */
	size_t count;          /* of them */
	uint64_t released;     /* LSNs that aren't */
	size_t entry_capacity;
	size_t begun; /* entries before the transaction; SIZE_MAX: none is open */
	uint64_t tx;
	uint64_t durable;
	uint64_t room;
	uint64_t used; /* of the room, since the last sync */
	int failed;
};

struct wal *fake_wal_new(void)
{
	struct wal *wal = calloc(1, sizeof(*wal));

	CHECK(wal);
	wal->begun = SIZE_MAX;
	wal->room = UINT64_MAX;
	return wal;
}

void fake_wal_free(struct wal *wal)
{
	free(wal->bytes);
	free(wal->entries);
	free(wal);
}

void fake_wal_set_room(struct wal *wal, uint64_t bytes)
{
	wal->room = bytes;
}

void fake_wal_stop(struct wal *wal, int error)
{
	wal->failed = error;
}

uint64_t fake_wal_count(const struct wal *wal)
{
	return wal->released + wal->count;
}

struct record fake_wal_record(const struct wal *wal, uint64_t index)
{
	const struct entry *entry = &wal->entries[index - wal->released];
	struct record record;

	CHECK(index >= wal->released && index - wal->released < wal->count);
	CHECK(record_decode(wal->bytes + entry->offset, entry->size, &record) == 0);
	return record;
}

void fake_wal_release(struct wal *wal, uint64_t lsn)
{
	size_t gone = (size_t)(lsn - 1 - wal->released);
	size_t offset = gone < wal->count ? wal->entries[gone].offset : wal->size;

	memmove(wal->bytes, wal->bytes + offset, wal->size - offset);
	memmove(wal->entries, wal->entries + gone, (wal->count - gone) * sizeof(*wal->entries));
	wal->size -= offset;
	wal->count -= gone;
	wal->released += gone;
	for (size_t i = 0; i < wal->count; i++)
		wal->entries[i].offset -= offset;
}

static uint64_t end_of_transaction(const struct wal *wal, uint64_t index)
{
	while (index < fake_wal_count(wal) &&
	       fake_wal_record(wal, index).type != RECORD_TRANSACTION_COMMIT)
		index++;
	return index;
}

int fake_wal_redo(const struct wal *wal, struct pager *pager, uint64_t from, uint64_t last)
{
	for (uint64_t i = from ? from - 1 : 0; i < fake_wal_count(wal) && i < last; i++) {
		struct record record = fake_wal_record(wal, i);
		int result;

		if (record.type == RECORD_TRANSACTION_BEGIN && end_of_transaction(wal, i) >= last)
			return 0;
		result = pager_redo(pager, &record);
		if (result)
			return result;
	}
	return 0;
}

bool wal_has_room(const struct wal *wal, uint64_t bytes, uint32_t count)
{
	return wal->used <= wal->room && bytes <= wal->room - wal->used;
}

/* Room for one more. */
static void reserve(struct wal *wal, size_t size)
{
	if (wal->size + size > wal->capacity) {
		wal->capacity = 2 * (wal->size + size);
		wal->bytes = realloc(wal->bytes, wal->capacity);
	}
	if (wal->count == wal->entry_capacity) {
		wal->entry_capacity = 2 * wal->count + 64;
		wal->entries = realloc(wal->entries, wal->entry_capacity * sizeof(*wal->entries));
	}
	CHECK(wal->bytes && wal->entries);
}

int wal_append(struct wal *wal, struct record *record)
{
	size_t size = record_size(record);

	if (wal->failed)
		return WAL_E_STOPPED;
	if (!wal_has_room(wal, size, 1))
		return WAL_E_BUSY;
	reserve(wal, size);
	record->lsn = fake_wal_count(wal) + 1;
	CHECK(record_encode(record, wal->bytes + wal->size) == 0);
	wal->entries[wal->count++] = (struct entry){wal->size, size};
	wal->size += size;
	wal->used += size;
	return 0;
}

int wal_begin(struct wal *wal, uint64_t tx, uint64_t timestamp)
{
	struct record record = {.type = RECORD_TRANSACTION_BEGIN, .timestamp = timestamp};
	size_t begun = wal->count;
	int result;

	CHECK(wal->begun == SIZE_MAX);
	record.transaction.tx = tx;
	result = wal_append(wal, &record);
	if (result == 0) {
		wal->begun = begun;
		wal->tx = tx;
	}
	return result;
}

int wal_commit(struct wal *wal, uint64_t timestamp, uint64_t *ret_lsn)
{
	struct record record = {.type = RECORD_TRANSACTION_COMMIT, .timestamp = timestamp};
	int result;

	CHECK(wal->begun != SIZE_MAX);
	record.transaction.tx = wal->tx;
	result = wal_append(wal, &record);
	if (result)
		return result;
	wal->begun = SIZE_MAX;
	*ret_lsn = record.lsn;
	return 0;
}

int wal_rollback(struct wal *wal, uint64_t timestamp)
{
	CHECK(wal->begun != SIZE_MAX);
	wal->size = wal->begun < wal->count ? wal->entries[wal->begun].offset : wal->size;
	wal->count = wal->begun;
	wal->begun = SIZE_MAX;
	return 0;
}

void wal_flush(struct wal *wal, bool sync)
{
	(void)wal_sync(wal);
}

bool wal_poll(struct wal *wal)
{
	return false;
}

int wal_sync(struct wal *wal)
{
	if (wal->failed)
		return wal->failed;
	wal->durable = fake_wal_count(wal);
	wal->used = 0;
	return 0;
}

struct wal_position wal_position(const struct wal *wal)
{
	return (struct wal_position){
		.next = fake_wal_count(wal) + 1, .durable = wal->durable, .oldest = 1};
}

int wal_failed(const struct wal *wal)
{
	return wal->failed;
}
