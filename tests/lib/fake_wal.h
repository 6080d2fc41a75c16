/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Fake wal - a log in memory in place of engine/wal.c
 *
 * Has the functions of engine/wal.h, for programs that link it before engine. Says of itself when
 * it is durable, has no room, or stops, so that a test of what stands on a log can choose the
 * moment. Power cuts are tested with the real log.
 *
 * Threads: one.
 */

#include "engine/pager.h"

struct wal *fake_wal_new(void);
void fake_wal_free(struct wal *wal);

/* Bytes of records that it takes until the next sync; UINT64_MAX at first. */
void fake_wal_set_room(struct wal *wal, uint64_t bytes);

/* wal_failed() says so from now on; 0: goes again. */
void fake_wal_stop(struct wal *wal, int error);

/* Records in all, which is the last LSN, and one of them, by its LSN - 1; it borrows until the next
 * append. */
uint64_t fake_wal_count(const struct wal *wal);
struct record fake_wal_record(const struct wal *wal, uint64_t index);

/* Records below that LSN go; no transaction is open. */
void fake_wal_release(struct wal *wal, uint64_t lsn);

/* What a recovery does that finds all up to LSN 'last': gives the pager the records of committed
 * transactions from LSN 'from' on. Returns what pager_redo() does. */
int fake_wal_redo(const struct wal *wal, struct pager *pager, uint64_t from, uint64_t last);
