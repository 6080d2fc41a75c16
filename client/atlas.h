/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Atlas - the collections that a client knows, and the surveys that teach it
 *
 * A collection is surveyed when it is first asked for. When a survey was not
 * certain or not complete, it is done again when the collection is asked for
 * later, at most once every ATLAS_AGAIN_NS. One survey runs at a time.
 *
 * Threads: an atlas belongs to one thread.
 */

#include "client/collection.h"
#include "cluster/leg.h"
#include "cluster/route.h"
#include "cluster/survey.h"

#include <stdint.h>

struct atlas;

/* Collections that one client can ask for. */
#define ATLAS_COLLECTION_MAX 64

/* The least time between two surveys of a collection that has gaps. */
#define ATLAS_AGAIN_NS UINT64_C(2000000000)

/* How long a survey may take. */
#define ATLAS_SURVEY_NS UINT64_C(5000000000)

/*
 * Borrows 'route', which knows ATLAS_COLLECTION_MAX collections. 'shard_count' is
 * every collection's; 0: find out. Calls carry 'tag' + index of a survey's leg.
 *
 * Returns 0 or -ENOMEM.
 */
int atlas_new(struct route *route, uint32_t shard_count, uint64_t tag, struct atlas **ret_atlas);

/* No call may be under way. */
void atlas_free(struct atlas *atlas);

/*
 * The collection of that name, which is perhaps not known yet; a survey is due
 * when it isn't. NULL when the name is none, or there are too many collections.
 */
struct collection *atlas_want(struct atlas *atlas, const char *name, uint64_t now_ns);

/* The collection of that name, or NULL when it isn't known. */
const struct collection *atlas_find(const struct atlas *atlas, const char *name);

/*
 * Moves surveys along. Returns the collection whose survey has just ended, and
 * in '*ret_status' why its shards are missing (enum status), else NULL.
 */
struct collection *atlas_run(struct atlas *atlas, const struct leg_ops *ops, void *context,
			     uint64_t now_ns, uint16_t *ret_status);

/* The answer to a call of 'leg'. */
void atlas_take(struct atlas *atlas, uint32_t leg, const struct session_answer *answer,
		uint64_t now_ns);

/* When atlas_run() is due at the latest; UINT64_MAX when nothing is. */
uint64_t atlas_due_ns(const struct atlas *atlas);
