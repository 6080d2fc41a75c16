/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Pager checkpoint - writing behind, and the moment from which recovery may start
 *
 * A checkpoint at LSN L promises: the file, synced, has every change below L, or the log
 * has from L on what makes up for it. A page that is dirty when it begins is written,
 * or changed again. In the second case the new version's first record is its image, since the
 * page wasn't changed since L; so it needs no writing, but the image has to be
 * durable when the checkpoint is said to be whole. That way a page that is changed all the time
 * can't hold up a checkpoint.
 */

#include "base/check.h"
#include "base/defs.h"
#include "engine/pager_internal.h"

int pager_write_now(struct pager *pager, uint32_t pages_max)
{
	uint32_t written = 0;

	if (pager->failed)
		return pager->failed;
	for (uint32_t i = 0; i < pager->frame_count && written < pages_max && pager->stats.dirty;
	     i++) {
		uint32_t frame = pager->work_hand;

		pager->work_hand = frame + 1 < pager->frame_count ? frame + 1 : 0;
		if (cache_may_write(pager, frame)) {
			int result = cache_write(pager, frame);

			if (result)
				return result;
			written++;
		}
	}
	while (written == 0 && pager->write_count > 0)
		pager_wait(pager);
	return 0;
}

int pager_work(struct pager *pager, uint32_t pages_max)
{
	return pager->queue ? pager_queue_write(pager, pages_max)
			    : pager_write_now(pager, pages_max);
}

static void begin(struct pager *pager)
{
	struct checkpoint *checkpoint = &pager->checkpoint;

	*checkpoint = (struct checkpoint){.begun = true};
	for (uint32_t i = 0; i < pager->frame_count; i++) {
		pager->frames[i].awaited = pager->frames[i].dirty;
		checkpoint->awaited += pager->frames[i].dirty;
	}
	pager->state.lsn = wal_position(pager->wal).next;
	pager->image_lsn = pager->state.lsn;
	checkpoint->state = pager->state;
	checkpoint->lsn = pager->state.lsn - 1;
}

/*
 * What an open transaction has encoded was chosen for the checkpoint before, and what it changed of
 * the state isn't committed: so it has to end first.
 */
void pager_checkpoint_begin(struct pager *pager)
{
	CHECK(pager->wal);
	if (pager->change.open)
		pager->checkpoint = (struct checkpoint){.wanted = true};
	else
		begin(pager);
}

void checkpoint_after_change(struct pager *pager)
{
	if (pager->checkpoint.wanted)
		begin(pager);
}

int pager_checkpoint_poll(struct pager *pager, bool *ret_done, struct pager_state *ret_state)
{
	struct checkpoint *checkpoint = &pager->checkpoint;

	pager_poll(pager);
	if (pager->failed)
		return pager->failed;
	*ret_done = false;
	if (!checkpoint->begun || checkpoint->awaited || pager_durable(pager) < checkpoint->lsn)
		return 0;
	if (pager->queue && !checkpoint->synced)
		return pager_queue_sync(pager);
	if (!pager->queue)
		pager->failed = io_sync(pager->file);
	if (pager->failed)
		return pager->failed;
	checkpoint->begun = false;
	*ret_done = true;
	*ret_state = checkpoint->state;
	return 0;
}
