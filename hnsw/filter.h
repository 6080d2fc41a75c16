/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Filter - which labels may be answered
 *
 * Reads a Roaring bitmap of u32 in its portable form (the public RoaringFormat
 * specification) from hostile bytes: every container is checked before use.
 * hnsw/README.md says why CRoaring doesn't do it.
 *
 * Memory is taken by filter_new() for the largest label; reading a bitmap
 * allocates nothing and sets one bit a member, so a poll core may do it.
 *
 * Threads: a filter belongs to one thread.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct filter;

enum {
	FILTER_E_MALFORMED = 1, /* not a portable Roaring bitmap */
};

/* A filter for labels 0 to 'label_max'; members above it are ignored. Returns 0 or -ENOMEM. */
int filter_new(uint32_t label_max, struct filter **ret_filter);
void filter_free(struct filter *filter);

/* Replaces what the filter holds. On failure it allows nothing. Returns 0 or FILTER_E_MALFORMED. */
int filter_read(struct filter *filter, const uint8_t *bytes, size_t size);

/* Allowed labels that are at most label_max. */
uint64_t filter_count(const struct filter *filter);

uint32_t filter_label_max(const struct filter *filter);

/* Bit 'label' of the words; label must be at most label_max. */
const uint64_t *filter_words(const struct filter *filter);
