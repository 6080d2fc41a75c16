/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Peer - a store of keys and values as the benchmarks see it: Tern's or another's
 *
 * All are set to the same promise: peer_ops.put returns when the change survives a power
 * cut. A session is one writer or reader; sessions of one database may run on threads of their own,
 * except Tern's, whose owner is one thread ('many' is then how that thread keeps several writers
 * under way).
 *
 * What fails ends the program with a line: a benchmark has no way to go on.
 *
 * Threads: as above.
 */

#include <stddef.h>
#include <stdint.h>

#define PEER_KEY_SIZE 16

/* One writer's next change. */
typedef void (*peer_next_fn)(void *context, uint32_t writer, uint8_t key[PEER_KEY_SIZE],
			     uint8_t *value);

struct peer_ops {
	const char *name;
	void *(*open)(const char *folder);
	void (*close)(void *database);
	void *(*session_new)(void *database);
	void (*session_free)(void *session);
	void (*put)(void *session, const uint8_t *key, const uint8_t *value, size_t value_size);
	/* 'count' changes of rising or random keys as fast as it goes, durable at the end. */
	void (*load)(void *session, peer_next_fn next, void *context, uint32_t count,
		     size_t value_size);
	/* Returns the value's size, or 0 when there is none. */
	size_t (*get)(void *session, const uint8_t *key, uint8_t *value, size_t value_max);
	/* Entries read from the key on, up to 'max'. '*ret_bytes' is what they hold. */
	uint32_t (*scan)(void *session, const uint8_t *key, uint32_t max, uint64_t *ret_bytes);
	/* 'writers' changes under way at a time until 'until_ns'; NULL: a thread for each. Returns
	 * changes done. */
	uint64_t (*many)(void *database, uint32_t writers, peer_next_fn next, void *context,
			 size_t value_size, uint64_t until_ns);
};

extern const struct peer_ops peer_tern;
extern const struct peer_ops peer_sqlite;
extern const struct peer_ops peer_lmdb;
extern const struct peer_ops peer_rocksdb;

/* Nothing but bytes written and synced: it can put, and that for one writer. */
extern const struct peer_ops peer_raw;

/* Ends the program: "bench: what: why". */
void peer_die(const char *what, const char *why) __attribute__((noreturn));
