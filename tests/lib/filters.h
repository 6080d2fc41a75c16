/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Filters - made of Roaring bitmaps' bytes, as a request would bring them, for tests
 *
 * Threads: any.
 */

#include "hnsw/filter.h"

#include <roaring/roaring.h>
#include <stdint.h>

/* Makes the bitmap's members those of the filter, or the test fails. */
void filters_read(struct filter *filter, const roaring_bitmap_t *bitmap);

/* The same with a set of labels. */
void filters_set(struct filter *filter, const uint32_t *labels, uint32_t count);

/* A new filter of these labels, none of which is greater than 'label_max'; filter_free(). */
struct filter *filters_of(const uint32_t *labels, uint32_t count, uint32_t label_max);
