/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Metric - what "near" means
 *
 * The numbers are the protocol's (section 19.3). Smaller is nearer, always: L2
 * is squared, cosine is 1 - cos (a zero vector is at distance 1 of everything),
 * the inner product is negated.
 *
 * Threads: any.
 */

#include <stdint.h>

enum metric { METRIC_L2 = 0, METRIC_COSINE = 1, METRIC_IP = 2, METRIC_COUNT };

/* "l2", "cosine" or "ip"; NULL for what is no metric. */
const char *metric_name(uint32_t metric);

/* Returns 0, or -EINVAL when 'name' is none of them. */
int metric_parse(const char *name, enum metric *ret_metric);
