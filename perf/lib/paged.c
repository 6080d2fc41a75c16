/* SPDX-License-Identifier: Apache-2.0 */

#include "perf/lib/paged.h"

#include "base/check.h"
#include "engine/io.h"

void paged_open(const char *folder, uint32_t cache_pages, const struct wal_options *wal_options,
		struct paged *ret_paged)
{
	const struct pager_options options = {.cache_pages = cache_pages, .create = true};
	char error[PAGE_ERROR_MAX];

	CHECK(io_plain_new(folder, true, &ret_paged->io) == 0);
	CHECK(wal_open(ret_paged->io, wal_options, &ret_paged->wal) == 0);
	CHECK(pager_open(ret_paged->io, ret_paged->wal, &options, &ret_paged->pager, error) == 0);
}

void paged_commit(struct paged *paged)
{
	CHECK(pager_commit(paged->pager, 1) == 0);
	CHECK(wal_sync(paged->wal) == 0);
}

void paged_checkpoint(struct paged *paged)
{
	struct pager_state state;
	bool done;

	pager_checkpoint_begin(paged->pager);
	CHECK(pager_work(paged->pager, UINT32_MAX) == 0);
	CHECK(pager_checkpoint_poll(paged->pager, &done, &state) == 0 && done);
	CHECK(wal_release(paged->wal, state.lsn) == 0);
}

void paged_close(struct paged *paged)
{
	pager_close(paged->pager);
	wal_close(paged->wal);
	io_free(paged->io);
}
