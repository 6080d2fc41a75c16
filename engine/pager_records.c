/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Pager records - what a transaction is going to say in the log
 *
 * Records are encoded one after another as things happen, so that each finds the pages as those
 * before it left them, and copied to the log at the commit. Changed bytes are only noted at
 * first: all changes of a page up to the next record that says more about it become one
 * PageWrite. Records about different pages may change places, since each says all about its own.
 */

#include "base/check.h"
#include "base/defs.h"
#include "engine/pager_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* What PageWrite has beside its data. */
#define WRITE_OVERHEAD 56

/* TransactionBegin and TransactionCommit. */
#define ENDS_SIZE  56
#define ENDS_COUNT 2

/* An error leaves only the way back. */
int change_fail(struct pager *pager, int result)
{
	if (unlikely(result))
		pager->change.error = result;
	return result;
}

/* Room for one more record. */
static int reserve(struct change *change, size_t size)
{
	size_t capacity = MAX(change->capacity, (size_t)1 << 16);
	uint8_t *records;

	if (change->size + size > WAL_BUFFER_MAX)
		return PAGER_E_FULL;
	while (capacity < change->size + size)
		capacity *= 2;
	if (capacity == change->capacity)
		return 0;
	records = realloc(change->records, capacity);
	if (!records)
		return -ENOMEM;
	change->records = records;
	change->capacity = capacity;
	return 0;
}

/* The LSN is the commit's affair; 1 stands for it, since 0 can't be decoded. */
static int append(struct pager *pager, struct record *record)
{
	struct change *change = &pager->change;
	size_t size = record_size(record);
	int result;

	if (size > RECORD_SIZE_MAX)
		return PAGER_E_FULL;
	result = reserve(change, sizeof(uint32_t) + size);
	if (result)
		return result;
	record->lsn = 1;
	store_le32(change->records + change->size, (uint32_t)size);
	result = record_encode(record, change->records + change->size + sizeof(uint32_t));
	CHECK(result == 0);
	change->size += sizeof(uint32_t) + size;
	change->record_count++;
	return 0;
}

static int append_bytes(struct pager *pager, uint64_t number, uint32_t offset, const uint8_t *bytes,
			uint32_t size)
{
	struct record record = {.type = RECORD_PAGE_WRITE};

	record.page.page = number;
	record.page.offset = offset;
	record.page.checksum = (uint32_t)record_checksum(bytes, size);
	record.page.data = (struct record_bytes){bytes, size};
	return append(pager, &record);
}

/* The page whole; LSN and CRC are redo's own. */
static int append_image(struct pager *pager, uint32_t frame, uint32_t used)
{
	memcpy(pager->scratch, frame_bytes(pager, frame), used);
	memset(pager->scratch + PAGE_AT_LSN, 0, PAGE_AT_COUNT - PAGE_AT_LSN);
	return append_bytes(pager, pager->frames[frame].number, 0, pager->scratch, used);
}

void change_note_logged(struct frame *entry)
{
	entry->low = entry->high = 0;
	entry->head = false;
	entry->imaged = true;
	entry->logged = true;
}

/* Header and body in one piece when they lie near each other. */
static int append_ranges(struct pager *pager, uint32_t frame)
{
	const struct frame *entry = &pager->frames[frame];
	const uint8_t *bytes = frame_bytes(pager, frame);
	uint32_t low = entry->low;
	int result = 0;

	if (entry->head && low < entry->high && low - PAGE_HEADER <= WRITE_OVERHEAD) {
		low = PAGE_AT_COUNT;
	} else if (entry->head) {
		result = append_bytes(pager, entry->number, PAGE_AT_COUNT, bytes + PAGE_AT_COUNT,
				      PAGE_HEADER - PAGE_AT_COUNT);
	}
	if (result == 0 && low < entry->high)
		result = append_bytes(pager, entry->number, low, bytes + low, entry->high - low);
	return result;
}

/* Logs what is noted of a copy: as an image if it has to be one, or if that is smaller. */
static int log_noted(struct pager *pager, uint32_t frame)
{
	struct frame *entry = &pager->frames[frame];
	uint32_t ranges = (uint32_t)(entry->high - entry->low) + (entry->head ? WRITE_OVERHEAD : 0);
	int result;

	if (ranges == 0)
		return 0;
	if (!entry->imaged || ranges > page_used(frame_bytes(pager, frame)))
		result = append_image(pager, frame, page_used(frame_bytes(pager, frame)));
	else
		result = append_ranges(pager, frame);
	if (result == 0)
		change_note_logged(entry);
	return result;
}

/* Makes sure that redo finds the copy as it is now. */
int change_log_state(struct pager *pager, uint32_t frame)
{
	struct frame *entry = &pager->frames[frame];
	int result = log_noted(pager, frame);

	if (result == 0 && !entry->imaged)
		result = append_image(pager, frame, page_used(frame_bytes(pager, frame)));
	if (result == 0)
		change_note_logged(entry);
	return result;
}

void pager_log_bytes(struct pager *pager, const struct page *page, uint32_t offset, uint32_t size)
{
	struct frame *entry = &pager->frames[frame_of(pager, page)];
	uint32_t end = offset + size;

	CHECK(entry->state == FRAME_COPY && offset >= PAGE_AT_COUNT && end <= PAGE_SIZE);
	if (offset < PAGE_HEADER) {
		entry->head = true;
		offset = PAGE_HEADER;
	}
	if (offset >= end)
		return;
	entry->low = (uint16_t)(entry->high ? MIN(entry->low, offset) : offset);
	entry->high = (uint16_t)MAX(entry->high, end);
}

unsigned pager_record_pages(const struct record *record, uint64_t ret_pages[RECORD_PAGES_MAX])
{
	switch (record->type) {
	case RECORD_PAGE_ALLOCATE:
	case RECORD_PAGE_FREE:
	case RECORD_PAGE_WRITE:
		ret_pages[0] = record->page.page;
		return 1;
	case RECORD_BTREE_SPLIT:
		ret_pages[0] = record->split.original;
		ret_pages[1] = record->split.created;
		return 2;
	default:
		return 0;
	}
}

int pager_log(struct pager *pager, const struct record *record)
{
	struct record copy = *record;
	uint64_t pages[RECORD_PAGES_MAX];
	unsigned count = pager_record_pages(record, pages);
	int result = 0;

	CHECK(pager->change.open);
	for (unsigned i = 0; i < count && result == 0; i++) {
		uint32_t frame = cache_find(pager, pages[i]);

		CHECK(frame != FRAME_NONE && pager->frames[frame].state == FRAME_COPY);
		result = change_log_state(pager, frame);
	}
	return change_fail(pager, result ? result : append(pager, &copy));
}

int change_log_page(struct pager *pager, enum record_type type, uint64_t number, uint32_t checksum)
{
	struct record record = {.type = type};

	record.page.page = number;
	record.page.checksum = checksum;
	return append(pager, &record);
}

/* Upper bounds, before log_noted() decided on images. */
void pager_pending(const struct pager *pager, uint64_t *ret_bytes, uint32_t *ret_count)
{
	const struct change *change = &pager->change;
	uint64_t bytes = change->size;
	uint32_t count = change->record_count;

	for (uint32_t i = 0; i < change->count; i++) {
		const struct frame *entry = &pager->frames[change->copies[i]];

		if (entry->head || entry->low < entry->high) {
			bytes += PAGE_SIZE + 2 * WRITE_OVERHEAD;
			count += 2;
		}
	}
	*ret_bytes = count ? bytes + ENDS_SIZE : 0;
	*ret_count = count ? count + ENDS_COUNT : 0;
}

int change_log_noted(struct pager *pager)
{
	const struct change *change = &pager->change;
	int result = 0;

	for (uint32_t i = 0; i < change->count && result == 0; i++)
		result = log_noted(pager, change->copies[i]);
	return change_fail(pager, result);
}

/* What the log said, in the pager's words. */
int change_result(const struct pager *pager, int result)
{
	switch (result) {
	case WAL_E_BUSY:
		return PAGER_E_BUSY;
	case WAL_E_SIZE:
		return PAGER_E_FULL;
	case WAL_E_STOPPED:
		return wal_failed(pager->wal);
	default:
		return result;
	}
}

static void stamp(struct pager *pager, const struct record *record)
{
	uint64_t pages[RECORD_PAGES_MAX];
	unsigned count = pager_record_pages(record, pages);

	for (unsigned i = 0; i < count; i++) {
		uint32_t frame = cache_find(pager, pages[i]);

		store_le64(frame_bytes(pager, frame) + PAGE_AT_LSN, record->lsn);
	}
}

int pager_append(struct pager *pager, uint64_t timestamp)
{
	const struct change *change = &pager->change;
	size_t at = 0;
	int result;

	CHECK(change->open);
	result = change->error ? -ECANCELED : change_log_noted(pager);
	if (result)
		return result;
	while (at < change->size) {
		uint32_t size = load_le32(change->records + at);
		struct record record;

		result = record_decode(change->records + at + sizeof(size), size, &record);
		CHECK(result == 0);
		record.timestamp = timestamp;
		result = wal_append(pager->wal, &record);
		if (result)
			return change_result(pager, result);
		stamp(pager, &record);
		at += sizeof(size) + size;
	}
	return 0;
}
