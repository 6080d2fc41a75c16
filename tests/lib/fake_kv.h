/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Fake kv - a key space of real memtables and of tables in memory, for tests of the feed
 *
 * Takes the place of engine/kv.c and engine/table.c: a program that is linked with it has the
 * functions of their headers that a feed calls, and those below to make it be what a test wants.
 * Tables are of blocks of FAKE_KV_BLOCK entries, and count the blocks that are read.
 *
 * It counts what it hands out: fake_kv_free() fails the test when a view or a cursor is left.
 *
 * Threads: one.
 */

#include "engine/kv.h"

#define FAKE_KV_BLOCK 8

struct kv *fake_kv_new(void);
void fake_kv_free(struct kv *kv);

/* Adds to the live memtable; all up to it becomes visible and durable. */
void fake_kv_add(struct kv *kv, const struct entry *entry);

void fake_kv_set_durable(struct kv *kv, uint64_t seqno);
void fake_kv_set_history(struct kv *kv, uint64_t seqno);

/* The live memtable becomes a sealed one. */
void fake_kv_seal(struct kv *kv);

/* All memtables become tables, one each, foremost. */
void fake_kv_flush(struct kv *kv);

/* A table of its own, in any order; with bounds, or as older writers made them. */
void fake_kv_table(struct kv *kv, const struct entry *entries, uint32_t count, bool with_bounds);

/* All tables become one. Versions below 'floor' that are superseded go, and history is as it then
 * is. */
void fake_kv_compact(struct kv *kv, uint64_t floor);

/* A number for a value that is out of line: what an ENTRY_BLOB entry has as its 4 bytes. */
uint32_t fake_kv_blob(struct kv *kv, const void *bytes, uint32_t size);

/* From now on every n-th move of a cursor, and look at a blob, says that it has to wait (0: none).
 */
void fake_kv_wait(struct kv *kv, uint32_t every);

/* The n-th move of a cursor from now on fails by 'rc', once; 0: the next look at a blob. */
void fake_kv_fail(struct kv *kv, uint32_t moves, int rc);

/* Entries and blocks that cursors have read so far. */
uint64_t fake_kv_moves(const struct kv *kv);
uint64_t fake_kv_blocks(const struct kv *kv);

/* Views that are open. */
uint32_t fake_kv_views(const struct kv *kv);
