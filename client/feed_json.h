/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Feed json - changes as JSON objects, in the manner of Debezium
 *
 *      {"op": "c", "key": "k", "value": "v", "type": 2, "expires": 1700000060,
 *       "source": {"store": "00..0f", "seqno": 9, "index": 0}, "token": "5445..."}
 *
 *      op      means                        has
 *      c       a value was written          value, type, expires (if it does)
 *      m       an operand for a merge       value, operator
 *      d       the key was deleted          weak (takes back one write): true
 *      dr      keys from 'key' up to, and   end
 *              not with, 'end' were deleted
 *
 * What is text (UTF-8 without control characters) stands under its name; other bytes as hex under
 * that name with _hex behind it. Keys of edges and vectors are taken apart, too: "edge":
 * {"source", "target"}, "vector": {"collection", "label"}.
 *
 * "c" is an overwriting, too: whether there was a value before isn't known, as for a key-value feed
 * with Debezium's tombstones. Its "r" and "t" mean other things, so a deleted range is a word
 * of its own, which a reader that doesn't know it refuses.
 *
 * Threads: any.
 */

#include "engine/feed.h"

#include <jansson.h>

/* The token continues behind the event: feed_position() after it. Returns NULL when there is no
 * memory. */
json_t *feed_json_event(const struct feed_event *event, struct feed_position after,
			const uint8_t store[16]);

/* {"op": "heartbeat", "resolved": N, "source": {"store"}, "token"}: every change below N was
 * given out. Returns NULL when there is no memory. */
json_t *feed_json_heartbeat(struct feed_position position, const uint8_t store[16]);
