/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Batch check - kernels of batches against plain sums, on input that is meant to break them
 *
 * Threads: the main thread.
 */

#include "hnsw/dist_batch.h"

/*
 * Every length of row to four lines and some to DIST_DIM_MAX, every number of rows to
 * 70 and some more, rows next to pages that can't be touched, rows farther apart than they are
 * long, all the extremes. Asserts that each product is exact, and that nothing beyond
 * the products was written. 'look' (or NULL) is called after each batch.
 */
void batch_check(const struct dist_batch_kernels *kernels, void (*look)(void));
