/* SPDX-License-Identifier: Apache-2.0 */
#include "client/collection.h"

#include "base/check.h"
#include "cluster/manifest.h"
#include "proto/status.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void drop_bodies(struct collection *collection)
{
	for (uint32_t i = 0; i < ROUTE_VSHARD_MAX; i++) {
		free(collection->bodies[i].bytes);
		collection->bodies[i] = (struct collection_body){0};
	}
}

void collection_begin(struct collection *collection)
{
	drop_bodies(collection);
	collection->first = true;
	collection->found_vectors = 0;
}

uint16_t collection_found(struct collection *collection, uint32_t index,
			  const struct coarse_answer *answer)
{
	struct collection_body *body = &collection->bodies[index];

	CHECK(index < ROUTE_VSHARD_MAX && !body->bytes);
	if (collection->first) {
		collection->found_metric = (enum metric)answer->metric;
		collection->found_dim = answer->dim;
		collection->first = false;
	}
	if (answer->metric != collection->found_metric || answer->dim != collection->found_dim)
		return STATUS_MALFORMED;
	body->bytes = malloc(answer->body_size ? answer->body_size : 1);
	if (!body->bytes)
		return STATUS_INTERNAL;
	memcpy(body->bytes, answer->body, answer->body_size);
	body->size = answer->body_size;
	collection->found_vectors += answer->vector_count;
	return STATUS_OK;
}

/* Hands the bodies to a coarse router. Returns 0, -EBADMSG or -ENOMEM. */
static int make_coarse(struct collection *collection, uint32_t shard_count,
		       struct coarse **ret_coarse, bool *ret_complete)
{
	struct coarse *coarse;
	bool complete = true;
	int result =
		coarse_new(collection->found_metric, collection->found_dim, shard_count, &coarse);

	if (result < 0)
		return result;
	for (uint32_t i = 0; i < shard_count && result == 0; i++) {
		const struct collection_body *body = &collection->bodies[i];

		if (body->bytes)
			result = coarse_set(coarse, i, body->bytes, body->size);
		else
			complete = false;
	}
	if (result != 0) {
		coarse_free(coarse);
		return result < 0 ? result : -EBADMSG;
	}
	*ret_coarse = coarse;
	*ret_complete = complete;
	return 0;
}

int collection_finish(struct collection *collection, uint32_t shard_count, bool certain)
{
	struct coarse *coarse = NULL;
	bool complete = false;
	int result;

	CHECK(shard_count > 0 && shard_count <= ROUTE_VSHARD_MAX && !collection->first);
	result = make_coarse(collection, shard_count, &coarse, &complete);
	drop_bodies(collection);
	if (result < 0)
		return result;
	coarse_free(collection->coarse);
	collection->coarse = coarse;
	collection->metric = collection->found_metric;
	collection->dim = collection->found_dim;
	collection->vector_count = collection->found_vectors;
	collection->shard_count = shard_count;
	collection->certain = certain;
	collection->complete = complete;
	collection->known = true;
	return 0;
}

void collection_deinit(struct collection *collection)
{
	drop_bodies(collection);
	coarse_free(collection->coarse);
	collection->coarse = NULL;
	collection->known = false;
}

uint32_t collection_choose(const struct collection *collection, const float *query, uint32_t probe,
			   uint32_t *scratch, uint32_t *vshards)
{
	uint32_t known = 0, count = 0;

	if (probe == 0 || probe >= collection->shard_count) {
		for (uint32_t i = 0; i < collection->shard_count; i++)
			vshards[count++] = manifest_vshard(collection->name, i);
		return count;
	}
	coarse_order(collection->coarse, query, scratch);
	for (uint32_t i = 0; i < collection->shard_count && known < probe; i++) {
		known += coarse_known(collection->coarse, scratch[i]);
		vshards[count++] = manifest_vshard(collection->name, scratch[i]);
	}
	return count;
}
