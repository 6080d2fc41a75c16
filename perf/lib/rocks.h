/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Rocks - one table of RocksDB, as a peer
 *
 * A database of one sorted file, opened to be read, with a filter of 10 bits a key and a cache of
 * a given size. Made only where librocksdb-dev is installed.
 *
 * Threads: one.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct rocks;

struct rocks_options {
	const char *folder; /* that is there, and empty */
	uint32_t block_size;
	uint64_t cache_size;
	bool compress; /* zstd */
};

/* Everything exits with a line on stderr when the library says an error. */

/* Keys rise. */
void rocks_write_begin(const struct rocks_options *options, struct rocks **ret_rocks);
void rocks_write(struct rocks *rocks, const void *key, size_t key_size, const void *value,
		 size_t value_size);
void rocks_write_end(struct rocks *rocks);

struct rocks *rocks_open(const struct rocks_options *options);
void rocks_close(struct rocks *rocks);

/* Returns the value's size; 0: absent. */
size_t rocks_get(struct rocks *rocks, const void *key, size_t key_size);

/* Entries from first to last. */
uint64_t rocks_scan(struct rocks *rocks);
