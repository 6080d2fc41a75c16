/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Memtable - the newest versions of keys, in memory
 *
 * A skip list (Pugh, 1990) in chunks of memory that only grow: ordered as tables are
 * (key ascending, number descending), and each entry also knows the one appended after it, so that
 * the same entries can be read in the order of their numbers: the change feed's live end.
 *
 * Threads: one appends; others may read a sealed one.
 */

#include "engine/table.h"

struct memtable;
struct memtable_node;

int memtable_new(uint64_t size_max, struct memtable **ret_memtable);
void memtable_free(struct memtable *memtable);

/* Copies the entry; numbers rise from call to call. Range tombstones too. Returns 0 or -ENOMEM
 * (then nothing changed). */
int memtable_add(struct memtable *memtable, const struct entry *entry);
bool memtable_is_full(const struct memtable *memtable);
uint64_t memtable_size(const struct memtable *memtable);
uint64_t memtable_count(const struct memtable *memtable);
uint64_t memtable_seqno_min(const struct memtable *memtable); /* 0 when it is empty */
uint64_t memtable_seqno_max(const struct memtable *memtable);

/* By key: first at or behind (key, seqno), last before it, neighbours. NULL: none. Range tombstones
 * aren't among them. */
const struct memtable_node *memtable_seek(const struct memtable *memtable, struct entry_bytes key,
					  uint64_t seqno);
const struct memtable_node *memtable_before(const struct memtable *memtable, struct entry_bytes key,
					    uint64_t seqno);
const struct memtable_node *memtable_next(const struct memtable_node *node);
const struct entry *memtable_entry(const struct memtable_node *node);

/* By number: the first from 'seqno' on, range tombstones included, and the one appended after it.
 */
const struct memtable_node *memtable_since(const struct memtable *memtable, uint64_t seqno);
const struct memtable_node *memtable_after(const struct memtable_node *node);

uint32_t memtable_range_count(const struct memtable *memtable);
struct entry memtable_range(const struct memtable *memtable, uint32_t index);
