/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Pack_f32 - the elements of MessagePack float32 arrays, many at a time
 *
 * Each element is five bytes: the marker 0xca and four bytes, big endian. A
 * query vector is hundreds of them and nothing else in a message comes close,
 * so this is where a codec's time goes.
 *
 * There is one table of functions for each instruction set. The processor's
 * best is chosen at the first use, or the one that the environment variable
 * TERN_ISA names (scalar, avx2, avx512), for tests and comparisons; a name that
 * is not to be had is passed over here, and reported by hnsw/dist.h, which obeys
 * the same variable. All tables give the same bits, signalling NaNs included.
 *
 * Threads: any; the choice is made once and then constant.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PACK_F32_SIZE 5

struct pack_f32_table {
	const char *isa;

	/*
	 * Reads 'count' elements from PACK_F32_SIZE * count bytes; neither reads
	 * nor writes beyond. False when any marker is another; what stands in
	 * 'to' is then of no use.
	 */
	bool (*decode)(const uint8_t *from, float *to, size_t count);

	/* Writes PACK_F32_SIZE * count bytes. */
	void (*encode)(const float *from, uint8_t *to, size_t count);
};

/* The table in use; never NULL. */
const struct pack_f32_table *pack_f32_table(void);

/* The table for 'isa', or NULL when this processor does not have it. */
const struct pack_f32_table *pack_f32_find(const char *isa);
