/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Pager read - reading pages while the owner goes on
 *
 * A read has a frame of its own, which becomes the page's when it ended well. A failure is kept
 * until somebody asks for the page, or the slot is needed: then the page is read anew.
 */

#include "base/check.h"
#include "engine/pager_internal.h"

#include <string.h>

static struct page_read *find_read(const struct pager *pager, uint64_t number)
{
	for (uint32_t i = 0; i < PAGER_READ_MAX; i++)
		if (pager->reads[i].number == number)
			return &pager->reads[i];
	return NULL;
}

static bool is_under_way(const struct page_read *read)
{
	return read->number && read->frame != FRAME_NONE;
}

/* One that is free, else a failure that nobody asks for: in turn, so that it is kept for a while.
 */
static struct page_read *find_slot(struct pager *pager)
{
	struct page_read *read = find_read(pager, 0);

	CHECK(pager->read_count < PAGER_READ_MAX);
	if (read)
		return read;
	do {
		read = &pager->reads[pager->read_hand];
		pager->read_hand = (pager->read_hand + 1) % PAGER_READ_MAX;
	} while (is_under_way(read));
	return read;
}

static int tell(struct pager *pager, struct page_read *read)
{
	if (read->result == PAGER_E_CORRUPT)
		memcpy(pager->error, read->error, PAGE_ERROR_MAX);
	read->number = 0;
	return read->result;
}

static int begin(struct pager *pager, struct page_read *read, uint64_t number, uint32_t frame)
{
	int result;

	*read = (struct page_read){
		.op = {.file = pager->file,
		       .bytes = frame_bytes(pager, frame),
		       .offset = number * PAGE_SIZE,
		       .size = PAGE_SIZE,
		       .kind = IO_READ,
		       .context = read},
		.frame = frame,
	};
	result = pager_queue_submit(pager, &read->op);
	if (result) {
		cache_give_back(pager, frame);
		return result;
	}
	read->number = number;
	pager->read_count++;
	return PAGER_E_WAIT;
}

int pager_read_begin(struct pager *pager, uint64_t number)
{
	struct page_read *read = find_read(pager, number);
	uint32_t frame;
	int result;

	if (read && !is_under_way(read))
		return tell(pager, read);
	if (read || pager->read_count == pager->read_max)
		return PAGER_E_WAIT;
	result = cache_take(pager, &frame);
	return result ? result : begin(pager, find_slot(pager), number, frame);
}

void pager_read_end(struct pager *pager, struct page_read *read)
{
	uint32_t frame = read->frame;

	pager->read_count--;
	read->result = cache_check_read(read->number, frame_bytes(pager, frame), read->op.result,
					read->error);
	read->frame = FRAME_NONE;
	if (read->result) {
		cache_give_back(pager, frame);
		return;
	}
	pager->stats.misses++;
	cache_insert(pager, frame, read->number, FRAME_CACHED);
	pager->frames[frame].recent = true;
	read->number = 0;
}

int pager_read_settle(struct pager *pager, uint64_t number)
{
	struct page_read *read = pager->queue ? find_read(pager, number) : NULL;

	if (!read)
		return 0;
	while (is_under_way(read))
		pager_wait(pager);
	return read->number ? tell(pager, read) : 0;
}
