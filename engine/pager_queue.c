/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Pager queue - writing pages and syncing them while the owner goes on; what ended of all kinds
 *
 * A page is copied when its write begins. When the write ends the page is clean, unless it was
 * changed or replaced meanwhile; then it is written once more, by and by. A write that failed
 * leaves it dirty.
 *
 * A checkpoint needs no write of a version that was replaced, so it may be whole while one is under
 * way: the new version's image, in the log, makes up for whatever that leaves.
 */

#include "base/check.h"
#include "base/defs.h"
#include "engine/pager_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Beside writes and reads a sync, and one that makes the file longer. */
#define OPS_MAX (PAGER_QUEUE_MAX + PAGER_READ_MAX + 2)

int pager_queue_init(struct pager *pager)
{
	int result = io_queue_new(pager->io, OPS_MAX, &pager->queue);

	if (result)
		return result;
	pager->writes = calloc(PAGER_QUEUE_MAX, sizeof(*pager->writes));
	pager->reads = calloc(PAGER_READ_MAX, sizeof(*pager->reads));
	pager->read_max = MIN(PAGER_READ_MAX, pager->frame_count / 4);
	if (!pager->writes || !pager->reads ||
	    posix_memalign((void **)&pager->write_bytes, PAGE_SIZE, PAGER_QUEUE_MAX * PAGE_SIZE))
		return -ENOMEM;
	return 0;
}

void pager_queue_deinit(struct pager *pager)
{
	if (!pager->queue)
		return;
	while (io_queue_count(pager->queue) > 0)
		pager_wait(pager);
	io_queue_free(pager->queue);
	free(pager->writes);
	free(pager->reads);
	free(pager->write_bytes);
}

bool pager_is_writing(const struct pager *pager, uint64_t number)
{
	for (uint32_t i = 0; pager->write_count > 0 && i < PAGER_QUEUE_MAX; i++) {
		if (pager->writes[i].under_way && pager->writes[i].op.offset == number * PAGE_SIZE)
			return true;
	}
	return false;
}

static void end_write(struct pager *pager, struct page_write *write)
{
	write->under_way = false;
	pager->write_count--;
	/* The frame may have another page by now, or the page another version. */
	struct frame *entry = &pager->frames[write->frame];
	bool same = entry->state == FRAME_CACHED && entry->writing &&
		    entry->number * PAGE_SIZE == write->op.offset;

	if (write->op.result)
		pager->write_error = write->op.result < 0 ? write->op.result : -EIO;
	if (same && write->op.result)
		entry->writing = false;
	else if (same)
		cache_clean(pager, write->frame);
}

static void end_sync(struct pager *pager)
{
	pager->sync_under_way = false;
	if (pager->sync.result)
		pager->failed = pager->sync.result < 0 ? pager->sync.result : -EIO;
	else
		pager->checkpoint.synced = pager->checkpoint.syncing;
}

void pager_poll(struct pager *pager)
{
	struct io_op *ops[OPS_MAX];
	uint32_t count = pager->queue ? io_queue_poll(pager->queue, ops, OPS_MAX) : 0;

	for (uint32_t i = 0; i < count; i++) {
		if (ops[i] == &pager->sync)
			end_sync(pager);
		else if (ops[i] == &pager->growth.op)
			pager_grow_end(pager);
		else if (ops[i]->kind == IO_READ)
			pager_read_end(pager, ops[i]->context);
		else
			end_write(pager, ops[i]->context);
	}
}

void pager_wait(struct pager *pager)
{
	if (!pager->queue || io_queue_count(pager->queue) == 0)
		return;
	io_queue_wait(pager->queue);
	pager_poll(pager);
}

int pager_queue_submit(struct pager *pager, struct io_op *op)
{
	int result = io_queue_submit(pager->queue, op);

	return result > 0 ? -EIO : result;
}

static int begin_write(struct pager *pager, uint32_t frame)
{
	uint8_t *bytes = frame_bytes(pager, frame);
	uint32_t slot = 0;
	int result;

	while (pager->writes[slot].under_way)
		slot++;
	struct page_write *write = &pager->writes[slot];
	uint8_t *copy = pager->write_bytes + (size_t)slot * PAGE_SIZE;

	CHECK(page_number(bytes) == pager->frames[frame].number);
	page_seal(bytes);
	memcpy(copy, bytes, PAGE_SIZE);
	*write = (struct page_write){
		.op = {.file = pager->file,
		       .bytes = copy,
		       .offset = pager->frames[frame].number * PAGE_SIZE,
		       .size = PAGE_SIZE,
		       .kind = IO_WRITE,
		       .context = write},
		.frame = frame,
	};
	result = pager_queue_submit(pager, &write->op);
	if (result)
		return result;
	write->under_way = true;
	pager->frames[frame].writing = true;
	pager->write_count++;
	return 0;
}

int pager_queue_write(struct pager *pager, uint32_t pages_max)
{
	uint32_t begun = 0;
	int result;

	pager_poll(pager);
	result = pager->failed ? pager->failed : pager->write_error;
	pager->write_error = 0;
	for (uint32_t i = 0;
	     !result && i < pager->frame_count && begun < pages_max &&
	     pager->write_count < PAGER_QUEUE_MAX && pager->stats.dirty > pager->write_count;
	     i++) {
		uint32_t frame = pager->work_hand;

		pager->work_hand = frame + 1 < pager->frame_count ? frame + 1 : 0;
		if (!cache_may_write(pager, frame))
			continue;
		result = begin_write(pager, frame);
		begun++;
	}
	return result;
}

int pager_queue_sync(struct pager *pager)
{
	int result;

	/* One that was begun for a checkpoint given up may not cover what this one needs. */
	if (pager->sync_under_way)
		return 0;
	pager->sync = (struct io_op){.file = pager->file, .kind = IO_SYNC};
	result = pager_queue_submit(pager, &pager->sync);
	if (result)
		return result;
	pager->sync_under_way = true;
	pager->checkpoint.syncing = true;
	return 0;
}
