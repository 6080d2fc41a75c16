/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * History - which number was reached when, and after how many bytes
 *
 * Two rows of samples, one at even distances in time and one in bytes, by which limits become
 * numbers: "what is older than a day" is everything up to the last sample that is a day old. A
 * limit never takes more than it says, and at most a sample's distance less.
 *
 * The distance is so small that half a row reaches back to the largest limit; a row that is full
 * loses its older half.
 *
 * Threads: one.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Samples of a row. */
#define HISTORY_ROW_MAX 2048

/* Bytes of an encoded history. */
#define HISTORY_SIZE_MAX (52 + 2 * HISTORY_ROW_MAX * 24)

/* A limit that there isn't. */
#define HISTORY_NO_LIMIT UINT64_MAX

enum {
	HISTORY_E_INVALID = 1, /* no history: another size, damaged, samples that fall */
	HISTORY_E_STORE,       /* of another store */
};

/* At 'seconds' everything up to 'seqno' had been written, 'bytes' of it since the store was made.
 */
struct history_sample {
	uint64_t seqno;
	uint64_t seconds; /* Unix */
	uint64_t bytes;
};

struct history_row {
	struct history_sample samples[HISTORY_ROW_MAX]; /* none of a sample's three ever falls */
	uint32_t count;
	uint64_t distance; /* seconds, bytes; HISTORY_NO_LIMIT: there are no samples */
};

struct history {
	struct history_row by_time;
	struct history_row by_bytes;
	struct history_sample newest;
};

/* No samples. The largest limits that it will be asked for: seconds and bytes, or HISTORY_NO_LIMIT.
 */
void history_init(struct history *history, uint64_t age_max, uint64_t size_max);

/* 'bytes' more were written, up to 'seqno', at 'now' (Unix seconds). Returns whether that made a
 * sample. */
bool history_note(struct history *history, uint64_t seqno, uint64_t now, uint64_t bytes);

/* The largest number below which everything was surely written at least 'age' seconds before 'now';
 * 0: no sample is that old. */
uint64_t history_before(const struct history *history, uint64_t now, uint64_t age);

/* The largest number from which on surely 'size' bytes were written or more; 0: there is no such.
 */
uint64_t history_within(const struct history *history, uint64_t size);

/* Returns the bytes written to 'bytes', which has room for HISTORY_SIZE_MAX
 * (docs/format/history.md). */
size_t history_encode(const struct history *history, const uint8_t store[16], uint8_t *bytes);

/* The distances stay; unless it returns 0 all does. Returns 0, HISTORY_E_INVALID or
 * HISTORY_E_STORE.
 */
int history_decode(struct history *history, const uint8_t store[16], const uint8_t *bytes,
		   size_t size);
