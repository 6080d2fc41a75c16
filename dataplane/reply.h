/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Reply - how handlers of vector requests answer
 *
 * A request is answered once: by a status alone, by an envelope, or by both. What
 * is refused for a reason that only words can tell is answered with a type 51
 * that says them, beside the status.
 *
 * Threads: as the request's core.
 */

#include "dataplane/dispatch.h"
#include "proto/payload_vector.h"

#include <stddef.h>
#include <stdint.h>

/* The status says it all. */
void reply_status(const struct dispatch_item *item, uint16_t status, uint32_t hint,
		  uint64_t now_ns);

/* Room for a payload of up to 'capacity' bytes; NULL when no buffer is free. */
uint8_t *reply_payload(const struct dispatch_item *item, size_t capacity);

/* Puts an envelope of 'type' in front of 'payload', of reply_payload(), and sends both. */
void reply_send(const struct dispatch_item *item, uint16_t type, uint16_t status, uint8_t *payload,
		size_t size, uint64_t now_ns);

/* The same, with what 'status' says by its hint. */
void reply_send_hint(const struct dispatch_item *item, uint16_t type, uint16_t status,
		     uint32_t hint, uint8_t *payload, size_t size, uint64_t now_ns);

/* A type 51 without hits, for the shard that was asked, with 'text' as its error. */
void reply_words(const struct dispatch_item *item, uint16_t status, const char *text,
		 uint64_t now_ns);

/*
 * Encodes and sends a type 51. Returns STATUS_OK, or the status that the request
 * still has to be answered with: OVERLOADED (no buffer), or TOO_LARGE (over
 * 'message_size_max').
 */
uint16_t reply_hits(const struct dispatch_item *item, const struct vector_answer *answer,
		    uint32_t message_size_max, uint64_t now_ns);
