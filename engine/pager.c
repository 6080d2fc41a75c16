/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/pager.h"

#include "base/check.h"
#include "base/defs.h"
#include "engine/pager_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void pager_note(struct pager *pager, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(pager->error, sizeof(pager->error), format, arguments);
	va_end(arguments);
}

const char *pager_error(const struct pager *pager)
{
	return pager->error;
}

uint64_t pager_durable(const struct pager *pager)
{
	return pager->wal ? wal_position(pager->wal).durable : UINT64_MAX;
}

/* A file left by a creation that a crash ended isn't looked at. */
static int make_file(struct pager *pager, const uint8_t *store)
{
	int result = io_open(pager->io, PAGER_FILE, IO_CREATE, &pager->file);

	if (result == 0)
		result = io_truncate(pager->file, 0);
	if (result == 0) {
		page_init_file(pager->scratch, store);
		page_seal(pager->scratch);
		result = io_write(pager->file, 0, pager->scratch, PAGE_SIZE);
	}
	if (result == 0)
		result = io_sync(pager->file);
	return result ? result : io_sync_folder(pager->io);
}

static int check_file(struct pager *pager, const uint8_t *store)
{
	int result = io_read(pager->file, 0, pager->scratch, PAGE_SIZE);

	if (result == IO_E_END)
		return pager_corrupt(pager, "page 0: the file ends within it");
	if (result)
		return result;
	if (!page_check_file(pager->scratch, pager->error))
		return PAGER_E_CORRUPT;
	if (memcmp(pager->scratch + PAGE_AT_STORE, store, PAGE_STORE_SIZE) != 0)
		return pager_corrupt(pager, "page 0: the file belongs to another store");
	return 0;
}

static int open_file(struct pager *pager, const struct pager_options *options)
{
	static const uint8_t none[PAGE_STORE_SIZE];
	const uint8_t *store = options->store ? options->store : none;
	uint64_t size;
	int result;

	if (options->create)
		return make_file(pager, store);
	result =
		io_open(pager->io, PAGER_FILE, options->read_only ? IO_READ_ONLY : 0, &pager->file);
	if (result == IO_E_ABSENT)
		return pager_corrupt(pager, "the file '%s' is not there", PAGER_FILE);
	if (result == 0)
		result = check_file(pager, store);
	if (result == 0)
		result = io_size(pager->file, &size);
	if (result == 0)
		pager->file_pages = size / PAGE_SIZE;
	return result;
}

int pager_open(struct io *io, struct wal *wal, const struct pager_options *options,
	       struct pager **ret_pager, char error[static PAGE_ERROR_MAX])
{
	uint32_t count = options->cache_pages ? options->cache_pages : PAGER_CACHE_DEFAULT;
	struct pager *pager = calloc(1, sizeof(*pager));
	int result;

	if (!pager)
		return -ENOMEM;
	pager->io = io;
	pager->wal = wal;
	pager->state = options->state;
	pager->image_lsn = options->state.lsn;
	pager->read_only = options->read_only;
	pager->file_pages = 1;
	result = cache_init(pager, MIN(MAX(count, PAGER_CACHE_MIN), PAGER_CACHE_MAX));
	if (result == 0)
		result = open_file(pager, options);
	if (result == 0 && options->queued)
		result = pager_queue_init(pager);
	if (result) {
		memcpy(error, pager->error, PAGE_ERROR_MAX);
		pager_close(pager);
		return result;
	}
	*ret_pager = pager;
	return 0;
}

void pager_close(struct pager *pager)
{
	if (!pager)
		return;
	pager_queue_deinit(pager);
	io_close(pager->file);
	cache_deinit(pager);
	free(pager->change.records);
	free(pager);
}

void pager_load(struct pager *pager)
{
	CHECK(!pager->wal && !pager->read_only && pager->state.page_count == 0);
	pager->loads = true;
}

void pager_attach(struct pager *pager, struct wal *wal)
{
	CHECK(!pager->wal && !pager->read_only);
	pager->wal = wal;
}

void pager_set_polls(struct pager *pager, bool polls)
{
	uint32_t spare = polls ? MIN(PAGER_SPARE, pager->frame_count / 2) : 0;

	CHECK(pager->queue && pager->wal);
	pager->polls = polls;
	pager->change.copy_max = MIN(pager->frame_count - spare, PAGER_WRITE_MAX);
}

bool pager_was_short(struct pager *pager)
{
	bool was_short = pager->was_short;

	pager->was_short = false;
	return was_short;
}

int pager_get(struct pager *pager, uint64_t number, struct page *ret_page)
{
	uint32_t frame;
	int result = cache_get(pager, number, &frame);

	if (unlikely(result))
		return result;
	pager->frames[frame].pins++;
	pager->frames[frame].recent = true;
	ret_page->bytes = frame_bytes(pager, frame);
	ret_page->number = number;
	return 0;
}

void pager_put(struct pager *pager, struct page *page)
{
	if (!page->bytes)
		return;
	cache_unpin(pager, frame_of(pager, page));
	page->bytes = NULL;
}

uint64_t pager_changes(const struct pager *pager)
{
	return pager->changes;
}

struct pager_state *pager_state(struct pager *pager)
{
	return &pager->state;
}

struct pager_stats pager_stats(const struct pager *pager)
{
	struct pager_stats stats = pager->stats;

	for (uint32_t i = 0; i < pager->frame_count; i++)
		stats.pinned += pager->frames[i].pins > 0;
	return stats;
}
