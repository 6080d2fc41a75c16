/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Pager change - transactions: their pages, from the first edit to the commit or back
 */

#include "base/check.h"
#include "base/defs.h"
#include "engine/pager_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

int pager_begin(struct pager *pager)
{
	struct change *change = &pager->change;
	int failed = pager->failed;

	CHECK((pager->wal || pager->loads) && !change->open);
	if (failed == 0 && pager->wal)
		failed = wal_failed(pager->wal);
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

	if (change->count >= change->copy_max)
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
	return change_fail(pager, copy_page(pager, page));
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
		result = change_log_state(pager, frame_of(pager, &page));
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
		return change_fail(pager, result);
	result = change_log_page(pager, RECORD_PAGE_ALLOCATE, page.number, 0);
	if (result) {
		pager_put(pager, &page);
		return change_fail(pager, result);
	}
	page_init(page.bytes, page.number, kind);
	change_note_logged(&pager->frames[frame_of(pager, &page)]);
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
		result = change_log_state(pager, frame_of(pager, page));
	if (result == 0)
		result = change_log_page(pager, RECORD_PAGE_FREE, page->number,
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
		return change_fail(pager, result);
	result = release(pager, &page);
	pager_put(pager, &page);
	return change_fail(pager, result);
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
		return change_result(pager, result);
	result = pager_append(pager, timestamp);
	if (result == 0)
		result = change_result(pager, wal_commit(wal, timestamp, ret_lsn));
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
	result = pager->change.error ? -ECANCELED : change_log_noted(pager);
	if (result)
		return result;
	if (!pager->wal) {
		pager_adopt(pager, 0);
		return 0;
	}
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
