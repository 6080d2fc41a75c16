/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Memtable - the newest versions of keys, in memory
 *
 * A skip list (Pugh, 1990) in memory that is only added to: ordered as tables are (key ascending,
 * number descending), and each entry also knows the one added after it, so that the same
 * entries can be read in the order of their numbers: the change feed's live end.
 *
 * The memory is taken in one piece by memtable_new(). An entry that comes when it is used up
 * (the owner may finish a transaction before it seals the memtable) gets a piece of its own from
 * the heap. An owner that keeps two and empties them in turns by memtable_reset() takes nothing
 * from the heap in steady state.
 *
 * Threads: one adds; others may read a sealed one.
 */

#include "engine/entry.h"

#include <stdbool.h>
#include <stdint.h>

/* Bytes that one memtable is made for. */
#define MEMTABLE_SIZE_MAX (UINT64_C(4) << 30)

struct memtable;
struct memtable_node;

/* Full from 'size_max' bytes on, at most MEMTABLE_SIZE_MAX. The caller owns '*ret_memtable'.
 * Returns 0, -EINVAL or -ENOMEM. */
int memtable_new(uint64_t size_max, struct memtable **ret_memtable);

/* NULL is fine. */
void memtable_free(struct memtable *memtable);

/* Empties it; nodes and entries of before are gone. */
void memtable_reset(struct memtable *memtable);

/* Copies the entry; numbers never fall from call to call. Range tombstones too. Returns 0 or
 * -ENOMEM (then nothing changed). */
int memtable_add(struct memtable *memtable, const struct entry *entry);

/*
 * The same for many entries in a row that nobody looks for meanwhile, in a tenth of the time: by
 * its key an entry is found after memtable_link(), if not before; by its number at once. Until
 * then an entry takes 16 bytes more, and 32 while it is linked; 32 MiB in all at most.
 */
int memtable_add_late(struct memtable *memtable, const struct entry *entry);
void memtable_link(struct memtable *memtable);

bool memtable_is_full(const struct memtable *memtable);
uint64_t memtable_size(const struct memtable *memtable);  /* bytes, its own book-keeping included */
uint64_t memtable_count(const struct memtable *memtable); /* range tombstones included */
uint64_t memtable_seqno_min(const struct memtable *memtable); /* 0 when it is empty */
uint64_t memtable_seqno_max(const struct memtable *memtable);

/* By key: first at or behind (key, seqno), last before it, the very last, and the neighbour behind.
 * NULL: none. Range tombstones aren't among them. */
const struct memtable_node *memtable_seek(const struct memtable *memtable, struct entry_bytes key,
					  uint64_t seqno);
const struct memtable_node *memtable_before(const struct memtable *memtable, struct entry_bytes key,
					    uint64_t seqno);
const struct memtable_node *memtable_last(const struct memtable *memtable);
const struct memtable_node *memtable_next(const struct memtable_node *node);
const struct entry *memtable_entry(const struct memtable_node *node);

/* By number: the first from 'seqno' on, range tombstones included, and the one added after it
 * (NULL: none so far). */
const struct memtable_node *memtable_since(const struct memtable *memtable, uint64_t seqno);
const struct memtable_node *memtable_after(const struct memtable_node *node);

/* Range tombstones in the order of their numbers. */
uint32_t memtable_range_count(const struct memtable *memtable);
struct entry memtable_range(const struct memtable *memtable, uint32_t index);
