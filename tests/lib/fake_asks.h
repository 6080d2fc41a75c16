/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Fake asks - a session layer that only remembers what it was asked
 *
 * Takes the place of leg_ops in tests of the coordinator: each call is kept
 * until the test completes it, in whatever order, with whatever answer.
 */

#include "cluster/leg.h"
#include "proto/payload_vector.h"

#include <stdbool.h>
#include <stdint.h>

#define FAKE_ASKS_MAX 4096

struct fake_ask {
	struct session_call call;
	struct addr to;
	uint32_t vshard; /* of its envelope */
	uint16_t type;
};

struct fake_asks {
	struct fake_ask list[FAKE_ASKS_MAX]; /* under way, in the order of arrival */
	uint32_t count;
	uint32_t total; /* asked ever */
	int result;     /* what the next ask returns, without being kept, when not 0 */
};

extern const struct leg_ops fake_asks_ops;

/* Takes call 'index' off the list. */
struct fake_ask fake_asks_take(struct fake_asks *asks, uint32_t index);

/* Writes a type 51 message to the call's buffer; returns the answer that carries it. */
struct session_answer fake_asks_hits(const struct fake_ask *ask, const struct vector_hit *hits,
				     uint32_t count);

/* The same with a whole answer, and the envelope's type and vShard. */
struct session_answer fake_asks_message(const struct fake_ask *ask,
					const struct vector_answer *answer, uint16_t type,
					uint32_t vshard);

/* Writes a type 53 message with one centroid. */
struct session_answer fake_asks_centroid(const struct fake_ask *ask, const float *centroid,
					 uint32_t dim);

/* An answer without a message. */
struct session_answer fake_asks_status(const struct fake_ask *ask, uint16_t status, uint32_t hint);
