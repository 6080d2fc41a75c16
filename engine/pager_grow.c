/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Pager grow - room in the file
 *
 * Growing in steps keeps the file in few pieces, and its size from changing at every sync. When
 * there is no room for a step, there may still be for a page.
 *
 * For an owner that polls the queue makes the file longer, and before pages need it: when half of
 * the last step is used. What fails there is told when a page does need it.
 */

#include "base/defs.h"
#include "engine/pager_internal.h"

#include <errno.h>

/* The file grows by an eighth of itself within these bounds, pages. */
#define GROW_MIN 64
#define GROW_MAX 4096

static uint64_t step_of(const struct pager *pager)
{
	return MIN(MAX(pager->file_pages / 8, GROW_MIN), GROW_MAX);
}

static int grow_now(struct pager *pager, uint64_t number)
{
	uint64_t step = step_of(pager);
	uint64_t pages = number + 1;
	int result = io_allocate(pager->file, (pages + step) * PAGE_SIZE);

	if (result == 0)
		pages += step;
	else if (result == -ENOSPC)
		result = io_allocate(pager->file, pages * PAGE_SIZE);
	if (result == 0)
		pager->file_pages = pages;
	return result;
}

static int begin(struct pager *pager, uint64_t pages)
{
	struct page_growth *growth = &pager->growth;
	int result;

	growth->op = (struct io_op){
		.file = pager->file, .kind = IO_ALLOCATE, .offset = pages * PAGE_SIZE};
	result = pager_queue_submit(pager, &growth->op);
	growth->under_way = result == 0;
	return result;
}

void pager_grow_end(struct pager *pager)
{
	struct page_growth *growth = &pager->growth;

	growth->under_way = false;
	growth->failed = growth->op.result > 0 ? -EIO : growth->op.result;
	if (growth->failed == 0)
		pager->file_pages = growth->op.offset / PAGE_SIZE;
}

/* Whether the one that failed asked for more than the page. */
static bool asked_for_more(const struct pager *pager, uint64_t number)
{
	return pager->growth.op.offset / PAGE_SIZE > number + 1;
}

static int grow_by_queue(struct pager *pager, uint64_t number)
{
	struct page_growth *growth = &pager->growth;
	int failed = growth->failed;
	bool least = failed == -ENOSPC && asked_for_more(pager, number);
	int result;

	if (growth->under_way)
		return PAGER_E_BUSY;
	growth->failed = 0;
	if (failed && !least)
		return failed;
	result = begin(pager, number + 1 + (least ? 0 : step_of(pager)));
	return result ? result : PAGER_E_BUSY;
}

/* A step ahead. What fails now isn't tried again before it is told. */
static void grow_ahead(struct pager *pager, uint64_t number)
{
	struct page_growth *growth = &pager->growth;
	uint64_t step = step_of(pager);

	if (growth->under_way || growth->failed || pager->file_pages - number > step / 2)
		return;
	growth->failed = begin(pager, pager->file_pages + step);
}

int pager_grow(struct pager *pager, uint64_t number)
{
	while (pager->growth.under_way && !pager->polls)
		pager_wait(pager);
	if (number >= pager->file_pages)
		return pager->polls ? grow_by_queue(pager, number) : grow_now(pager, number);
	if (pager->polls)
		grow_ahead(pager, number);
	return 0;
}
