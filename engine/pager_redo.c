/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Pager redo - recovery, one record at a time
 *
 * Images and PageAllocates are applied whatever the page has; they come first of each page's
 * records, so what the file has is not asked, and may be torn or from a recovery that was
 * itself interrupted. Of a page that had neither, the LSN says which records it has already:
 * those up to it, each of which changed this page alone.
 */

#include "base/check.h"
#include "base/defs.h"
#include "engine/btree.h"
#include "engine/pager_internal.h"

#include <inttypes.h>
#include <string.h>

/* The page as the log makes it anew: a frame of any content. */
static int get_anew(struct pager *pager, uint64_t number, uint32_t *ret_frame)
{
	uint32_t frame = cache_find(pager, number);

	if (frame == FRAME_NONE) {
		int result = cache_take(pager, &frame);

		if (result)
			return result;
		cache_insert(pager, frame, number, FRAME_CACHED);
	}
	*ret_frame = frame;
	return 0;
}

static void changed(struct pager *pager, uint32_t frame, uint64_t lsn)
{
	store_le64(frame_bytes(pager, frame) + PAGE_AT_LSN, lsn);
	cache_dirty(pager, frame, 0);
	pager->changes++;
}

int pager_redo_get(struct pager *pager, uint64_t number, uint64_t lsn, struct page *ret_page,
		   bool *ret_done)
{
	int result = pager_get(pager, number, ret_page);

	if (result == 0)
		*ret_done = page_lsn(ret_page->bytes) >= lsn;
	return result;
}

void pager_redo_put(struct pager *pager, struct page *page, uint64_t lsn)
{
	changed(pager, frame_of(pager, page), lsn);
	pager_put(pager, page);
}

/* The chain's first page, whose link is where the chain goes on, or the next at the end. */
static int redo_place(struct pager *pager, const struct record *record)
{
	struct pager_state *state = &pager->state;
	uint64_t number = record->page.page;
	struct page page;
	int result;

	if (number == 0 || number != (state->free_head ? state->free_head : state->page_count + 1))
		return pager_corrupt(pager,
				     "page %" PRIu64 ": allocated at lsn %" PRIu64
				     ": expected %" PRIu64 ", found %" PRIu64,
				     number, record->lsn,
				     state->free_head ? state->free_head : state->page_count + 1,
				     number);
	if (!state->free_head) {
		result = pager_grow(pager, number);
		if (result == 0)
			state->page_count = number;
		return result;
	}
	result = pager_get(pager, number, &page);
	if (result)
		return result;
	state->free_head = page_link(page.bytes);
	state->free_count--;
	if (page_kind(page.bytes) != PAGE_FREE)
		result = pager_corrupt(
			pager, "page %" PRIu64 ": allocated at lsn %" PRIu64 ", and isn't free",
			number, record->lsn);
	pager_put(pager, &page);
	return result;
}

static int redo_allocate(struct pager *pager, const struct record *record)
{
	uint32_t frame;
	int result = redo_place(pager, record);

	if (result == 0)
		result = get_anew(pager, record->page.page, &frame);
	if (result)
		return result;
	page_init(frame_bytes(pager, frame), record->page.page, PAGE_FREE);
	changed(pager, frame, record->lsn);
	return 0;
}

static int free_page(struct pager *pager, const struct record *record, struct page *page)
{
	uint32_t found = page_checksum(page->bytes);

	if (page_kind(page->bytes) == PAGE_FREE)
		return pager_corrupt(
			pager, "page %" PRIu64 ": freed at lsn %" PRIu64 ", and is free already",
			page->number, record->lsn);
	if (found != record->page.checksum)
		return pager_corrupt(pager,
				     "page %" PRIu64 ": freed at lsn %" PRIu64
				     ": checksum: expected 0x%08" PRIx32 ", found 0x%08" PRIx32,
				     page->number, record->lsn, record->page.checksum, found);
	page_init(page->bytes, page->number, PAGE_FREE);
	page_set_link(page->bytes, pager->state.free_head);
	return 0;
}

static int redo_free(struct pager *pager, const struct record *record)
{
	struct pager_state *state = &pager->state;
	struct page page;
	bool done;
	int result = pager_redo_get(pager, record->page.page, record->lsn, &page, &done);

	if (result)
		return result;
	if (!done)
		result = free_page(pager, record, &page);
	if (result || done) {
		pager_put(pager, &page);
	} else {
		pager_redo_put(pager, &page, record->lsn);
	}
	if (result == 0) {
		state->free_head = record->page.page;
		state->free_count++;
	}
	return result;
}

static int corrupt_write(struct pager *pager, const struct record *record, const char *what)
{
	return pager_corrupt(pager, "page %" PRIu64 ": written at lsn %" PRIu64 ": %s",
			     record->page.page, record->lsn, what);
}

static int check_write(struct pager *pager, const struct record *record)
{
	const struct record_bytes *data = &record->page.data;
	uint32_t offset = record->page.offset, least = offset ? 1 : PAGE_HEADER;

	if (data->size < least || offset > PAGE_SIZE || data->size > PAGE_SIZE - offset ||
	    (offset > 0 && offset < PAGE_AT_COUNT))
		return corrupt_write(pager, record, "bytes outside of what may change");
	if ((uint32_t)record_checksum(data->bytes, data->size) != record->page.checksum)
		return corrupt_write(pager, record, "its checksum is wrong");
	if (record->page.page == 0 || record->page.page > pager->state.page_count)
		return corrupt_write(pager, record, "there is no such page");
	return 0;
}

static int redo_image(struct pager *pager, const struct record *record)
{
	const struct record_bytes *data = &record->page.data;
	uint8_t *bytes;
	uint32_t frame;
	int result = get_anew(pager, record->page.page, &frame);

	if (result)
		return result;
	bytes = frame_bytes(pager, frame);
	memcpy(bytes, data->bytes, data->size);
	memset(bytes + data->size, 0, PAGE_SIZE - data->size);
	changed(pager, frame, record->lsn);
	return page_check_shape(bytes, record->page.page, pager->error) ? 0 : PAGER_E_CORRUPT;
}

static int redo_write(struct pager *pager, const struct record *record)
{
	const struct record_bytes *data = &record->page.data;
	struct page page;
	bool done, whole;
	int result = check_write(pager, record);

	if (result)
		return result;
	if (record->page.offset == 0)
		return redo_image(pager, record);
	result = pager_redo_get(pager, record->page.page, record->lsn, &page, &done);
	if (result)
		return result;
	if (done) {
		pager_put(pager, &page);
		return 0;
	}
	memcpy(page.bytes + record->page.offset, data->bytes, data->size);
	whole = page_check_shape(page.bytes, page.number, pager->error);
	pager_redo_put(pager, &page, record->lsn);
	return whole ? 0 : PAGER_E_CORRUPT;
}

int pager_redo(struct pager *pager, const struct record *record)
{
	CHECK(!pager->wal && !pager->read_only);
	switch (record->type) {
	case RECORD_PAGE_ALLOCATE:
		return redo_allocate(pager, record);
	case RECORD_PAGE_FREE:
		return redo_free(pager, record);
	case RECORD_PAGE_WRITE:
		return redo_write(pager, record);
	case RECORD_BTREE_SPLIT:
		return btree_redo_split(pager, record);
	default:
		return 0;
	}
}
