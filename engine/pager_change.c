/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Pager change - transactions
 *
 * The records of a transaction are encoded one after another as things happen, so that
 * each finds the pages as those before it left them, and copied to the log at the commit.
 * Changed bytes are only noted at first: all changes of a page up to the next record that
 * says more about it become one PageWrite. Records about different pages may change places,
 * since each says all about its own.
 */

#include "base/check.h"
#include "base/defs.h"
#include "engine/pager_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* What PageWrite has beside its data. */
#define WRITE_OVERHEAD 56

/* TransactionBegin and TransactionCommit. */
#define ENDS_SIZE  56
#define ENDS_COUNT 2

/* An error leaves only the way back. */
static int fail(struct pager *pager, int result)
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

static void note_logged(struct frame *entry)
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
		note_logged(entry);
	return result;
}

/* Makes sure that redo finds the copy as it is now. */
static int log_state(struct pager *pager, uint32_t frame)
{
	struct frame *entry = &pager->frames[frame];
	int result = log_noted(pager, frame);

	if (result == 0 && !entry->imaged)
		result = append_image(pager, frame, page_used(frame_bytes(pager, frame)));
	if (result == 0)
		note_logged(entry);
	return result;
}

int pager_begin(struct pager *pager)
{
	struct change *change = &pager->change;
	int failed;

	CHECK(pager->wal && !change->open);
	failed = pager->failed ? pager->failed : wal_failed(pager->wal);
	/* A log that has no room may have some by the commit. */
	if (failed == -ENOSPC)
		failed = 0;
	change->open = true;
	change->error = failed;
	change->count = 0;
	change->size = 0;
	change->record_count = 0;
	change->before = pager->state;
	return failed;
}

/* A frame that is the transaction's own version of the page. */
static int add_copy(struct pager *pager, uint64_t number, uint32_t *ret_frame)
{
	struct change *change = &pager->change;
	int result;

	if (change->count == change->copy_max)
		return PAGER_E_FULL;
	result = cache_take(pager, ret_frame);
	if (result)
		return result;
	cache_insert(pager, *ret_frame, number, FRAME_COPY);
	change->copies[change->count++] = *ret_frame;
	return 0;
}

static int copy_page(struct pager *pager, struct page *page)
{
	uint32_t base = frame_of(pager, page), copy;
	int result = add_copy(pager, page->number, &copy);

	if (result)
		return result;
	memcpy(frame_bytes(pager, copy), page->bytes, PAGE_SIZE);
	pager->frames[copy].imaged = page_lsn(page->bytes) >= pager->image_lsn;
	pager->frames[copy].pins = 1;
	page->bytes = frame_bytes(pager, copy);
	cache_unpin(pager, base);
	return 0;
}

int pager_edit(struct pager *pager, struct page *page)
{
	DCHECK(pager->change.open && page_number(page->bytes) == page->number);
	pager->changes++;
	if (pager->frames[frame_of(pager, page)].state == FRAME_COPY)
		return 0;
	/* The pin may be from before this page's first edit. */
	CHECK(cache_find(pager, page->number) == frame_of(pager, page));
	return fail(pager, copy_page(pager, page));
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
	case RECORD_EDGE_INSERT:
	case RECORD_EDGE_DELETE:
		ret_pages[0] = record->edge.page;
		return 1;
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
		result = log_state(pager, frame);
	}
	return fail(pager, result ? result : append(pager, &copy));
}

static int append_page_record(struct pager *pager, enum record_type type, uint64_t number,
			      uint32_t checksum)
{
	struct record record = {.type = type};

	record.page.page = number;
	record.page.checksum = checksum;
	return append(pager, &record);
}

/* Takes the first page of the chain; the image tells redo how the chain goes on. */
static int take_free(struct pager *pager, struct page *ret_page)
{
	struct pager_state *state = &pager->state;
	struct page page;
	int result = pager_get(pager, state->free_head, &page);
	uint64_t link;

	if (result)
		return result;
	link = page_link(page.bytes);
	if (page_kind(page.bytes) != PAGE_FREE || link > state->page_count || !state->free_count)
		result = pager_corrupt(pager,
				       "page %" PRIu64 ": kind: expected a free one, found %s",
				       page.number, page_kind_name(page_kind(page.bytes)));
	if (result == 0)
		result = pager_edit(pager, &page);
	if (result == 0)
		result = log_state(pager, frame_of(pager, &page));
	if (result) {
		pager_put(pager, &page);
		return result;
	}
	state->free_head = link;
	state->free_count--;
	*ret_page = page;
	return 0;
}

static int take_end(struct pager *pager, struct page *ret_page)
{
	uint64_t number = pager->state.page_count + 1;
	uint32_t frame;
	int result = pager_grow(pager, number);

	if (result == 0)
		result = add_copy(pager, number, &frame);
	if (result)
		return result;
	pager->frames[frame].pins = 1;
	pager->state.page_count = number;
	ret_page->bytes = frame_bytes(pager, frame);
	ret_page->number = number;
	return 0;
}

int pager_allocate(struct pager *pager, enum page_kind kind, struct page *ret_page)
{
	struct page page;
	int result;

	CHECK(pager->change.open);
	pager->changes++;
	result = pager->state.free_head ? take_free(pager, &page) : take_end(pager, &page);
	if (result)
		return fail(pager, result);
	result = append_page_record(pager, RECORD_PAGE_ALLOCATE, page.number, 0);
	if (result) {
		pager_put(pager, &page);
		return fail(pager, result);
	}
	page_init(page.bytes, page.number, kind);
	note_logged(&pager->frames[frame_of(pager, &page)]);
	pager_log_bytes(pager, &page, PAGE_AT_COUNT, PAGE_HEADER - PAGE_AT_COUNT);
	*ret_page = page;
	return 0;
}

static int release(struct pager *pager, struct page *page)
{
	struct pager_state *state = &pager->state;
	int result;

	if (page_kind(page->bytes) == PAGE_FREE)
		return pager_corrupt(pager, "page %" PRIu64 ": freed, and is free already",
				     page->number);
	result = pager_edit(pager, page);
	if (result == 0)
		result = log_state(pager, frame_of(pager, page));
	if (result == 0)
		result = append_page_record(pager, RECORD_PAGE_FREE, page->number,
					    page_checksum(page->bytes));
	if (result)
		return result;
	page_init(page->bytes, page->number, PAGE_FREE);
	page_set_link(page->bytes, state->free_head);
	state->free_head = page->number;
	state->free_count++;
	return 0;
}

int pager_release(struct pager *pager, uint64_t number)
{
	struct page page;
	int result;

	CHECK(pager->change.open);
	result = pager_get(pager, number, &page);
	if (result)
		return result;
	result = release(pager, &page);
	pager_put(pager, &page);
	return fail(pager, result);
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

static int log_all_noted(struct pager *pager)
{
	const struct change *change = &pager->change;
	int result = 0;

	for (uint32_t i = 0; i < change->count && result == 0; i++)
		result = log_noted(pager, change->copies[i]);
	return fail(pager, result);
}

/* What the log said, in the pager's words. */
static int log_result(const struct pager *pager, int result)
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
	result = change->error ? -ECANCELED : log_all_noted(pager);
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
			return log_result(pager, result);
		stamp(pager, &record);
		at += sizeof(size) + size;
	}
	return 0;
}

/* The copy becomes the page. A checkpoint needn't wait for the old version any more, but for
 * the commit: see pager_checkpoint.c. */
static void adopt_copy(struct pager *pager, uint32_t copy, uint64_t lsn)
{
	struct frame *entry = &pager->frames[copy];
	uint32_t base = cache_find_base(pager, entry->number);

	if (base != FRAME_NONE) {
		if (pager->frames[base].awaited)
			pager->checkpoint.lsn = lsn;
		cache_drop(pager, base);
	}
	entry->state = FRAME_CACHED;
	entry->recent = true;
	cache_dirty(pager, copy, lsn);
}

void pager_adopt(struct pager *pager, uint64_t lsn)
{
	struct change *change = &pager->change;

	CHECK(change->open);
	for (uint32_t i = 0; i < change->count; i++) {
		uint32_t copy = change->copies[i];

		if (pager->frames[copy].logged)
			adopt_copy(pager, copy, lsn);
		else
			cache_drop(pager, copy);
	}
	pager->changes++;
	change->open = false;
	checkpoint_after_change(pager);
}

static int commit(struct pager *pager, uint64_t timestamp, uint64_t *ret_lsn)
{
	struct wal *wal = pager->wal;
	int result = wal_begin(wal, wal_position(wal).next, timestamp);

	if (result)
		return log_result(pager, result);
	result = pager_append(pager, timestamp);
	if (result == 0)
		result = log_result(pager, wal_commit(wal, timestamp, ret_lsn));
	if (result)
		(void)wal_rollback(wal, timestamp);
	return result;
}

/* When the log has no room although nothing waits in it, it never will. */
static int no_room(const struct pager *pager)
{
	struct wal_position position = wal_position(pager->wal);

	return position.durable + 1 == position.next ? PAGER_E_FULL : PAGER_E_BUSY;
}

int pager_commit(struct pager *pager, uint64_t timestamp)
{
	uint64_t bytes, lsn = 0;
	uint32_t count;
	int result;

	CHECK(pager->change.open);
	result = pager->change.error ? -ECANCELED : log_all_noted(pager);
	if (result)
		return result;
	pager_pending(pager, &bytes, &count);
	if (count && !wal_has_room(pager->wal, bytes, count))
		return no_room(pager);
	if (count)
		result = commit(pager, timestamp, &lsn);
	if (result == 0)
		pager_adopt(pager, lsn);
	return result;
}

void pager_rollback(struct pager *pager)
{
	struct change *change = &pager->change;

	CHECK(change->open);
	for (uint32_t i = 0; i < change->count; i++)
		cache_drop(pager, change->copies[i]);
	pager->state = change->before;
	pager->changes++;
	change->error = 0;
	change->open = false;
	checkpoint_after_change(pager);
}
