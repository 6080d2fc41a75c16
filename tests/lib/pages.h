/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Pages - a pager with a fake log on a disk in memory, for tests
 *
 * Threads: one.
 */

#include "engine/btree.h"
#include "tests/lib/fake_wal.h"
#include "tests/lib/faulty.h"

struct pages {
	struct faulty *disk;
	struct wal *wal;
	struct pager *pager;
	struct pager_state state; /* of the last checkpoint that was whole */
	uint32_t cache_pages;
	bool queued;                /* the pager's writes */
	char error[PAGE_ERROR_MAX]; /* of the last opening */
};

/* An empty file. Fails the test where something fails, as all here that don't return. */
void pages_init(struct pages *pages, uint32_t cache_pages);
void pages_init_queued(struct pages *pages, uint32_t cache_pages);
void pages_deinit(struct pages *pages);

/* Forgets the pager as a crash does, what was not synced included, opens the file again and
 * redoes what the log has up to LSN 'last', from the last checkpoint on. Returns what went
 * wrong there. */
int pages_recover(struct pages *pages, uint64_t last);

/* The power goes: what was written since the last sync may be there. */
void pages_crash(struct pages *pages, uint64_t seed);

/* Commits, whatever time it is. */
void pages_commit(struct pages *pages);

/* Syncs the log, takes a checkpoint, and gives up what it needs of the log no more. */
void pages_checkpoint(struct pages *pages);

/* Everything about the tree holds, and every page is in it or free (a second tree may be 0). */
void pages_check(struct pages *pages, uint64_t root, uint64_t other_root);
