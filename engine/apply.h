/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Apply - one store's change feed made another store's changes
 *
 *	while (feed_next(feed, &event) == 0) {
 *		store_apply(replica, &event);
 *		store_commit(replica, STORE_NONE, &lsn);
 *	}
 *
 * Applied from the first event on to an empty store, a feed makes the same store: keys and their
 * types, what operands make of them, edges in both directions in the order in which they were
 * added, vectors with their payloads, schemas. From a position on it does the same to a copy as of
 * that position. Numbers are the replica's own, and times to live end when the original's do,
 * to the second.
 *
 * Who applies keeps the position of the source that is durable here. After a crash some
 * events may come again: puts, deletes and edges do no harm then, merge operands and weak deletes
 * count twice. So a position belongs into the transaction whose events it is behind.
 *
 * Threads: the store's owner.
 */

#include "engine/feed.h"
#include "engine/store.h"

/*
 * Stages what the event says. Returns 0; STORE_E_SIZE or STORE_E_BUSY (commit what is staged, then
 * again), STORE_E_WAIT, STORE_E_CORRUPT or a negative errno, as the call that stages it;
 * STORE_E_INVALID: no store makes such an event.
 */
int store_apply(struct store *store, const struct feed_event *event);
