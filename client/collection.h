/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Collection - what a client knows of one collection
 *
 * Its shards, and the descriptors by which a query chooses among them. Filled by
 * one survey (cluster/survey.h), replaced by the next: collection_begin(), then
 * collection_found() once a shard, then collection_finish().
 *
 * Threads: a collection belongs to one thread.
 */

#include "base/metric.h"
#include "cluster/coarse.h"
#include "cluster/route.h"
#include "proto/payload_vector.h"

#include <stdbool.h>
#include <stdint.h>

struct collection_body {
	uint8_t *bytes; /* owned; NULL when the shard has not answered */
	uint32_t size;
};

struct collection {
	char name[VECTOR_COLLECTION_MAX + 1];
	uint32_t id;   /* the route table's number */
	bool known;    /* do the members below mean anything? */
	bool certain;  /* are these all its shards? */
	bool complete; /* have all of them answered? */
	enum metric metric;
	uint32_t dim;
	uint32_t shard_count;
	uint64_t vector_count;
	struct coarse *coarse; /* owned */

	/* What the survey under way has brought. */
	bool first;
	enum metric found_metric;
	uint32_t found_dim;
	uint64_t found_vectors;
	struct collection_body bodies[ROUTE_VSHARD_MAX];
};

/* Forgets what an unfinished survey has brought; what was known stays. */
void collection_begin(struct collection *collection);

/*
 * Takes in shard 'index's descriptor. Returns OK, or the enum status for which
 * the shard is of no use: another metric or dimension than its siblings.
 */
uint16_t collection_found(struct collection *collection, uint32_t index,
			  const struct coarse_answer *answer);

/* Makes known what was found of 'shard_count' shards. Returns 0, -EBADMSG or -ENOMEM. */
int collection_finish(struct collection *collection, uint32_t shard_count, bool certain);

void collection_deinit(struct collection *collection);

/*
 * Writes the vShards to ask, and returns how many: all when 'probe' is 0, else
 * the 'probe' nearest by their descriptors and every shard without one, since
 * nothing speaks against it. 'query' is 'dim' finite floats. Both arrays have
 * room for shard_count numbers.
 */
uint32_t collection_choose(const struct collection *collection, const float *query, uint32_t probe,
			   uint32_t *scratch, uint32_t *vshards);
