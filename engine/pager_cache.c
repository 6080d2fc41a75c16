/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Pager cache - frames, the table that finds them, and the clock that gives them up
 *
 * The clock's hand passes over frames in use and spares those used since it came by last. Clean
 * ones are given up first, since that costs nothing; when a whole turn finds none, a
 * batch of dirty ones is written, and the next turn finds those.
 */

#include "base/check.h"
#include "base/defs.h"
#include "base/hash.h"
#include "engine/pager_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Pages written at once when no clean one is left. */
#define WRITE_BATCH 16

int cache_init(struct pager *pager, uint32_t frame_count)
{
	uint32_t copy_max = MIN(frame_count, PAGER_WRITE_MAX), bucket_count = 1;
	struct memory_options options = {.name = "pages", .huge = true, .numa_node = -1};
	int result;

	while (bucket_count < frame_count)
		bucket_count *= 2;
	options.size = (size_t)frame_count * (PAGE_SIZE + sizeof(struct frame)) +
		       ((size_t)bucket_count + copy_max) * sizeof(uint32_t) + PAGE_SIZE;
	result = arena_init(&options, &pager->arena);
	if (result)
		return result;
	pager->bytes = arena_take(&pager->arena, (size_t)frame_count * PAGE_SIZE, PAGE_SIZE);
	pager->frames = arena_take(&pager->arena, frame_count * sizeof(struct frame), 64);
	pager->buckets = arena_take(&pager->arena, bucket_count * sizeof(uint32_t), 64);
	pager->change.copies = arena_take(&pager->arena, copy_max * sizeof(uint32_t), 64);
	CHECK(pager->bytes && pager->frames && pager->buckets && pager->change.copies);
	pager->frame_count = frame_count;
	pager->bucket_mask = bucket_count - 1;
	pager->change.copy_max = copy_max;
	memset(pager->buckets, 0xFF, bucket_count * sizeof(uint32_t));
	for (uint32_t i = 0; i < frame_count; i++)
		pager->frames[i].next = i + 1 < frame_count ? i + 1 : FRAME_NONE;
	return 0;
}

void cache_deinit(struct pager *pager)
{
	arena_deinit(&pager->arena);
}

static uint32_t *bucket_of(const struct pager *pager, uint64_t number)
{
	return &pager->buckets[hash_mix64(number) & pager->bucket_mask];
}

static uint32_t find(const struct pager *pager, uint64_t number, bool copies)
{
	uint32_t frame = *bucket_of(pager, number);

	while (frame != FRAME_NONE) {
		const struct frame *entry = &pager->frames[frame];

		if (entry->number == number && (copies || entry->state == FRAME_CACHED))
			break;
		frame = entry->next;
	}
	return frame;
}

uint32_t cache_find(const struct pager *pager, uint64_t number)
{
	return find(pager, number, true);
}

uint32_t cache_find_base(const struct pager *pager, uint64_t number)
{
	return find(pager, number, false);
}

void cache_insert(struct pager *pager, uint32_t frame, uint64_t number, enum frame_state state)
{
	uint32_t *bucket = bucket_of(pager, number);

	pager->frames[frame] =
		(struct frame){.number = number, .next = *bucket, .state = (uint8_t)state};
	*bucket = frame;
}

static void unlink_frame(struct pager *pager, uint32_t frame)
{
	uint32_t *link = bucket_of(pager, pager->frames[frame].number);

	while (*link != frame)
		link = &pager->frames[*link].next;
	*link = pager->frames[frame].next;
}

void cache_give_back(struct pager *pager, uint32_t frame)
{
	pager->frames[frame] = (struct frame){.next = pager->empty};
	pager->empty = frame;
}

static void make_clean(struct pager *pager, struct frame *entry)
{
	pager->stats.dirty -= entry->dirty;
	pager->checkpoint.awaited -= entry->awaited;
	entry->dirty = false;
	entry->awaited = false;
	entry->writing = false;
}

void cache_clean(struct pager *pager, uint32_t frame)
{
	pager->stats.writes++;
	make_clean(pager, &pager->frames[frame]);
}

void cache_drop(struct pager *pager, uint32_t frame)
{
	struct frame *entry = &pager->frames[frame];

	unlink_frame(pager, frame);
	make_clean(pager, entry);
	if (entry->pins)
		entry->state = FRAME_ORPHAN;
	else
		cache_give_back(pager, frame);
}

void cache_unpin(struct pager *pager, uint32_t frame)
{
	struct frame *entry = &pager->frames[frame];

	CHECK(entry->pins > 0);
	entry->pins--;
	if (entry->pins == 0 && entry->state == FRAME_ORPHAN)
		cache_give_back(pager, frame);
}

void cache_dirty(struct pager *pager, uint32_t frame, uint64_t flush_lsn)
{
	struct frame *entry = &pager->frames[frame];

	DCHECK(entry->state == FRAME_CACHED);
	pager->stats.dirty += !entry->dirty;
	entry->dirty = true;
	entry->writing = false;
	entry->flush_lsn = flush_lsn;
}

bool cache_may_write(const struct pager *pager, uint32_t frame)
{
	const struct frame *entry = &pager->frames[frame];

	return entry->state == FRAME_CACHED && entry->dirty &&
	       entry->flush_lsn <= pager_durable(pager) && !pager_is_writing(pager, entry->number);
}

int cache_write(struct pager *pager, uint32_t frame)
{
	struct frame *entry = &pager->frames[frame];
	uint8_t *bytes = frame_bytes(pager, frame);
	int result;

	CHECK(cache_may_write(pager, frame) && page_number(bytes) == entry->number);
	page_seal(bytes);
	result = io_write(pager->file, entry->number * PAGE_SIZE, bytes, PAGE_SIZE);
	if (result)
		return result;
	cache_clean(pager, frame);
	return 0;
}

/* One turn of the clock. */
static uint32_t find_clean(struct pager *pager)
{
	for (uint32_t i = 0; i < pager->frame_count; i++) {
		uint32_t frame = pager->hand;
		struct frame *entry = &pager->frames[frame];

		pager->hand = frame + 1 < pager->frame_count ? frame + 1 : 0;
		if (entry->state != FRAME_CACHED || entry->pins)
			continue;
		if (!entry->recent && !entry->dirty)
			return frame;
		entry->recent = false;
	}
	return FRAME_NONE;
}

/* Writes, or begins to. */
static int make_room(struct pager *pager)
{
	return pager->polls ? pager_queue_write(pager, PAGER_QUEUE_MAX)
			    : pager_write_now(pager, WRITE_BATCH);
}

/* Nothing is going to be given up where the open transaction has it all. */
static int no_frame(struct pager *pager)
{
	if (pager->change.open && pager->stats.dirty == 0 && pager->read_count == 0)
		return PAGER_E_FULL;
	pager->was_short = true;
	return PAGER_E_BUSY;
}

static bool has_frames(const struct pager *pager, uint32_t count)
{
	uint32_t used = pager->stats.dirty + pager->change.count + pager->read_count;

	return used + count <= pager->frame_count || pager->stats.dirty == 0;
}

int pager_reserve(struct pager *pager, uint32_t count)
{
	int result = has_frames(pager, count) ? 0 : make_room(pager);

	if (result || has_frames(pager, count))
		return result;
	pager->was_short = true;
	return PAGER_E_BUSY;
}

int cache_take(struct pager *pager, uint32_t *ret_frame)
{
	uint32_t frame = FRAME_NONE;
	int result;

	if (pager->empty == FRAME_NONE) {
		/* The first turn may only take marks off. */
		for (unsigned turn = 0; turn < 2 && frame == FRAME_NONE; turn++)
			frame = find_clean(pager);
		if (frame == FRAME_NONE) {
			result = make_room(pager);
			if (result)
				return result;
			frame = find_clean(pager);
		}
		if (frame == FRAME_NONE)
			return no_frame(pager);
		cache_drop(pager, frame);
	}
	frame = pager->empty;
	pager->empty = pager->frames[frame].next;
	*ret_frame = frame;
	return 0;
}

int cache_check_read(uint64_t number, const uint8_t *bytes, int result,
		     char error[static PAGE_ERROR_MAX])
{
	if (result == IO_E_END) {
		snprintf(error, PAGE_ERROR_MAX, "page %" PRIu64 ": the file ends before it",
			 number);
		return PAGER_E_CORRUPT;
	}
	if (result)
		return result < 0 ? result : -EIO;
	return page_check(bytes, number, error) ? 0 : PAGER_E_CORRUPT;
}

static int read_now(struct pager *pager, uint64_t number, uint32_t *ret_frame)
{
	uint32_t frame;
	int result = pager_read_settle(pager, number);

	*ret_frame = cache_find(pager, number);
	if (result || *ret_frame != FRAME_NONE)
		return result;
	result = cache_take(pager, &frame);
	if (result)
		return result;
	result = io_read(pager->file, number * PAGE_SIZE, frame_bytes(pager, frame), PAGE_SIZE);
	result = cache_check_read(number, frame_bytes(pager, frame), result, pager->error);
	if (result) {
		cache_give_back(pager, frame);
		return result;
	}
	pager->stats.misses++;
	cache_insert(pager, frame, number, FRAME_CACHED);
	*ret_frame = frame;
	return 0;
}

int cache_get(struct pager *pager, uint64_t number, uint32_t *ret_frame)
{
	uint32_t frame = cache_find(pager, number);

	if (likely(frame != FRAME_NONE)) {
		pager->stats.hits++;
		*ret_frame = frame;
		return 0;
	}
	if (number == 0 || number > pager->state.page_count)
		return pager_corrupt(pager,
				     "page %" PRIu64 ": number: expected 1 to %" PRIu64
				     ", found %" PRIu64,
				     number, pager->state.page_count, number);
	if (pager->failed)
		return pager->failed;
	return pager->polls ? pager_read_begin(pager, number) : read_now(pager, number, ret_frame);
}
