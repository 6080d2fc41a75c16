/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Paged - a log and pages in a folder, without the rest of a store, for benchmarks of what lies on
 * pages
 *
 * What fails ends the program.
 *
 * Threads: one.
 */

#include "engine/pager.h"
#include "engine/wal.h"

struct paged {
	struct io *io;
	struct wal *wal;
	struct pager *pager;
};

void paged_open(const char *folder, uint32_t cache_pages, const struct wal_options *wal_options,
		struct paged *ret_paged);

/* Ends pager_begin()'s transaction; returns when it is durable. */
void paged_commit(struct paged *paged);

/* Writes all pages to their file, and lets go of the log before it. */
void paged_checkpoint(struct paged *paged);

void paged_close(struct paged *paged);
