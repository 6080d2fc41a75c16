/* SPDX-License-Identifier: Apache-2.0 */
#include "client/atlas.h"

#include "proto/status.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* Bytes of a message with a shard's descriptor. */
#define DESCRIPTOR_SIZE_MAX (UINT32_C(4) << 20)

struct entry {
	struct collection collection;
	uint64_t surveyed_ns; /* when its last survey began; 0: never */
	bool wanted;          /* a survey is due */
};

struct atlas {
	struct route *route;    /* borrowed */
	struct survey *survey;  /* owned */
	struct entry *surveyed; /* whose survey is under way, or NULL */
	uint32_t shard_count;
	uint64_t tag;
	uint32_t entry_count;
	struct entry entries[ATLAS_COLLECTION_MAX];
};

int atlas_new(struct route *route, uint32_t shard_count, uint64_t tag, struct atlas **ret_atlas)
{
	struct atlas *atlas = calloc(1, sizeof(*atlas));
	int result;

	if (!atlas)
		return -ENOMEM;
	result = survey_new(DESCRIPTOR_SIZE_MAX, &atlas->survey);
	if (result < 0) {
		free(atlas);
		return result;
	}
	atlas->route = route;
	atlas->shard_count = shard_count;
	atlas->tag = tag;
	*ret_atlas = atlas;
	return 0;
}

void atlas_free(struct atlas *atlas)
{
	if (!atlas)
		return;
	for (uint32_t i = 0; i < atlas->entry_count; i++)
		collection_deinit(&atlas->entries[i].collection);
	survey_free(atlas->survey);
	free(atlas);
}

static struct entry *find_entry(struct atlas *atlas, const char *name)
{
	struct entry *entry;
	size_t length = strnlen(name, VECTOR_COLLECTION_MAX + 1);

	for (uint32_t i = 0; i < atlas->entry_count; i++)
		if (strcmp(atlas->entries[i].collection.name, name) == 0)
			return &atlas->entries[i];
	if (atlas->entry_count == ATLAS_COLLECTION_MAX)
		return NULL;
	entry = &atlas->entries[atlas->entry_count];
	if (route_collection(atlas->route, name, length, &entry->collection.id) != 0)
		return NULL;
	memcpy(entry->collection.name, name, length + 1);
	atlas->entry_count++;
	return entry;
}

static bool survey_is_due(const struct entry *entry, uint64_t now_ns)
{
	const struct collection *collection = &entry->collection;

	if (!collection->known || entry->surveyed_ns == 0)
		return true;
	return !(collection->certain && collection->complete) &&
	       now_ns - entry->surveyed_ns >= ATLAS_AGAIN_NS;
}

struct collection *atlas_want(struct atlas *atlas, const char *name, uint64_t now_ns)
{
	struct entry *entry = find_entry(atlas, name);

	if (!entry)
		return NULL;
	if (atlas->surveyed != entry && survey_is_due(entry, now_ns))
		entry->wanted = true;
	return &entry->collection;
}

const struct collection *atlas_find(const struct atlas *atlas, const char *name)
{
	for (uint32_t i = 0; i < atlas->entry_count; i++)
		if (atlas->entries[i].collection.known &&
		    strcmp(atlas->entries[i].collection.name, name) == 0)
			return &atlas->entries[i].collection;
	return NULL;
}

static uint16_t shard_found(void *context, uint32_t index, const struct coarse_answer *answer)
{
	return collection_found(context, index, answer);
}

static const struct survey_ops survey_ops = {.found = shard_found};

/* Takes up the next survey that is due, when the one before has given its buffers back. */
static void begin(struct atlas *atlas, uint64_t now_ns)
{
	struct survey_task task = {
		.shard_count = atlas->shard_count,
		.deadline_ns = now_ns + ATLAS_SURVEY_NS,
		.tag = atlas->tag,
	};

	for (uint32_t i = 0; i < atlas->entry_count; i++) {
		struct entry *entry = &atlas->entries[i];

		if (!entry->wanted)
			continue;
		entry->wanted = false;
		entry->surveyed_ns = now_ns;
		atlas->surveyed = entry;
		task.collection = entry->collection.id;
		collection_begin(&entry->collection);
		survey_begin(atlas->survey, &task, &survey_ops, &entry->collection, now_ns);
		return;
	}
}

/* Makes known what the survey found. Returns why shards are missing. */
static uint16_t finish(const struct atlas *atlas, struct collection *collection)
{
	uint32_t shard_count = survey_shard_count(atlas->survey);
	bool certain = survey_is_certain(atlas->survey);

	/* A survey with more gaps than the one before teaches nothing. */
	if (collection->known && shard_count < collection->shard_count && !certain)
		return STATUS_OK;
	if (shard_count > 0 && collection_finish(collection, shard_count, certain) < 0)
		return STATUS_INTERNAL;
	return survey_status(atlas->survey);
}

struct collection *atlas_run(struct atlas *atlas, const struct leg_ops *ops, void *context,
			     uint64_t now_ns, uint16_t *ret_status)
{
	struct collection *collection;

	if (!atlas->surveyed && survey_is_idle(atlas->survey))
		begin(atlas, now_ns);
	if (!atlas->surveyed)
		return NULL;
	survey_run(atlas->survey, atlas->route, ops, context, now_ns);
	if (!survey_is_done(atlas->survey))
		return NULL;
	collection = &atlas->surveyed->collection;
	atlas->surveyed = NULL;
	*ret_status = finish(atlas, collection);
	return collection;
}

void atlas_take(struct atlas *atlas, uint32_t leg, const struct session_answer *answer,
		uint64_t now_ns)
{
	survey_take(atlas->survey, atlas->route, leg, answer, now_ns);
}

uint64_t atlas_due_ns(const struct atlas *atlas)
{
	return atlas->surveyed ? survey_due_ns(atlas->survey) : UINT64_MAX;
}
