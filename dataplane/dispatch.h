/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Dispatch - which handler a request goes to
 *
 * A table over the numbers of messages.def. Each request comes in as the bytes
 * of one envelope; what is wrong with the envelope, or has no handler, is
 * answered here with the status that says so, and counted by that status:
 *
 *      cut short, or the payload too large       MALFORMED, TOO_LARGE
 *      an envelope version other than 2          VERSION
 *      a number that messages.def doesn't have   UNKNOWN_TYPE
 *      a known type without a handler            UNSUPPORTED
 *      an epoch older than the node's            STALE_EPOCH
 *
 * Epoch 0 is a peer that knows of none, and is let through: it learns the epoch
 * from the answer.
 *
 * Threads: a table belongs to one core.
 */

#include "proto/envelope.h"
#include "proto/session.h"

#include <stdint.h>

/* Above the largest number in messages.def. */
#define DISPATCH_TYPE_MAX 127

/* A request on its way through a handler. */
struct dispatch_item {
	struct request *request;
	struct request_view view;
	struct envelope envelope; /* the payload borrows from 'view' */
};

/*
 * Takes the request: answers it, now or at the handler's own end of the burst.
 */
typedef void (*dispatch_fn)(void *context, const struct dispatch_item *item, uint64_t now_ns);

struct dispatch_row {
	dispatch_fn handle;
	void *context;
	uint64_t count; /* requests handed over */
};

struct dispatch {
	uint64_t epoch; /* requests of an older one are refused */
	uint64_t refused_malformed;
	uint64_t refused_version;
	uint64_t refused_type;
	uint64_t refused_unsupported;
	uint64_t refused_epoch;
	struct dispatch_row rows[DISPATCH_TYPE_MAX + 1];
};

void dispatch_init(struct dispatch *dispatch, uint64_t epoch);

/* Requests of 'type', one of enum message_type, go to 'handle'; borrows 'context'. */
void dispatch_set(struct dispatch *dispatch, uint16_t type, dispatch_fn handle, void *context);

/* Takes the request: hands it to its handler, or answers it with what is wrong. */
void dispatch_request(struct dispatch *dispatch, struct request *request, uint64_t now_ns);

/*
 * Finds what dispatch_request() does with an envelope.
 *
 * Returns STATUS_OK and the row and the envelope; else the status that refuses
 * it, and has counted it.
 */
uint16_t dispatch_find(struct dispatch *dispatch, const struct request_view *view,
		       struct envelope *ret_envelope, struct dispatch_row **ret_row);
