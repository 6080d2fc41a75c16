/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Beam insert - beam_insert() by the best instructions that there are
 *
 * A search inserts every third of the nodes that it compares with, and finding
 * the place and making room take as long as a distance.
 *
 * Threads: any.
 */

#include "hnsw/beam.h"

/* Keeps a key that beam_wants() has approved, as beam_insert() does. */
typedef void (*beam_insert_fn)(struct beam *beam, uint64_t key);

/* What suits the instructions of dist_best(). */
beam_insert_fn beam_insert_best(void);

#if defined(__x86_64__)
void beam_insert_avx512(struct beam *beam, uint64_t key);
#endif
