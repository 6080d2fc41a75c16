/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Kv rig - a key space with a model beside it
 *
 * The model is the list of all changes; the state of a key at a number is worked out from it anew
 * each time. The list also stands for the log: opening again applies what tables don't have.
 *
 * Threads: one.
 */

#include "base/rand.h"
#include "engine/kv.h"

/* One change. Its number is its place in the list, from 1. */
struct kv_change {
	enum record_type type;
	uint8_t *key;
	uint8_t *value; /* of a range: its end */
	uint32_t key_size;
	uint32_t value_size;
	uint64_t timestamp;
	uint64_t ttl; /* 0: none */
	uint8_t value_type;
	bool more; /* the next is of the same transaction */
};

struct kv_rig {
	struct io *io; /* borrowed */
	struct ledger *ledger;
	struct kv *kv;
	struct kv_options options;
	uint64_t now;
	struct kv_change *changes; /* owned */
	uint64_t count;
	uint64_t capacity;
	char error[256]; /* of what failed or is wrong */
};

enum { KV_RIG_E_WRONG = 500 }; /* not what the model has */

/* What the model says of a key. */
struct kv_expected {
	bool there;
	uint8_t *value; /* the caller's to free() */
	size_t size;
	uint8_t type;
};

/* With small memtables and tables, so that little data makes many. */
void kv_rig_init(struct kv_rig *rig, struct io *io);

/* Closes what is open. */
void kv_rig_deinit(struct kv_rig *rig);

/* Opens ledger and key space and applies what isn't in tables. Returns what failed; then nothing is
 * open. */
int kv_rig_open(struct kv_rig *rig);
void kv_rig_close(struct kv_rig *rig);

/* Appends a change to the list; copies. */
void kv_rig_note(struct kv_rig *rig, const struct kv_change *change);

/* Applies the changes from the index-th on, working when the key space is busy, and makes them
 * visible. Returns 0 or what failed, with '*index' the first that isn't applied. */
int kv_rig_apply(struct kv_rig *rig, uint64_t *index);

/* Notes and applies one. */
int kv_rig_put(struct kv_rig *rig, const struct kv_change *change);

/* Works until nothing is left to do. Returns 0 or what failed. */
int kv_rig_work(struct kv_rig *rig);

/* A change at random: all kinds, few keys, so that they meet. */
void kv_rig_random(struct kv_rig *rig, struct rand *rand, struct kv_change *ret_change,
		   uint8_t *space);

/* Bytes that 'space' has to have. */
#define KV_RIG_SPACE 24576

/* Keys that kv_rig_random() uses, by index. */
#define KV_RIG_KEYS 60
uint32_t kv_rig_key(uint64_t index, uint8_t key[16]);

struct kv_expected kv_rig_expected(const struct kv_rig *rig, const uint8_t *key, uint32_t size,
				   uint64_t seqno);

/* Compares the key with the model, at 'seqno'. Returns 0, KV_RIG_E_WRONG, or what the key space
 * returned: KV_E_WAIT, KV_E_CORRUPT or a negative errno. */
int kv_rig_check_key(struct kv_rig *rig, uint64_t index, uint64_t seqno, unsigned flags);

/* All keys by kv_get(), and by a cursor both ways. */
int kv_rig_check(struct kv_rig *rig, uint64_t seqno);

/* Every change from kv_history() on is in memtables and tables once, range tombstones in pieces
 * without a gap. Returns as kv_rig_check(). */
int kv_rig_check_history(struct kv_rig *rig);
