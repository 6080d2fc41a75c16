/* SPDX-License-Identifier: Apache-2.0 */

#include "cluster/vectors.h"

#include "base/hash.h"
#include "cluster/vectors_internal.h"
#include "hnsw/convert.h"
#include "hnsw/dist.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define VECTOR_MAX_DEFAULT  (UINT32_C(1) << 24)
#define GROWING_MAX_DEFAULT (UINT32_C(1) << 16)

/* Entries between two calls of 'progress'. */
#define PROGRESS_STRIDE 1024

int vectors_refuse(struct vectors *vectors, int code, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(vectors->error, sizeof(vectors->error), format, arguments);
	va_end(arguments);
	return code;
}

struct entry_bytes vectors_name(const struct vectors *vectors)
{
	return (struct entry_bytes){.bytes = vectors->name, .size = vectors->name_size};
}

uint64_t vectors_position(const struct vectors *vectors)
{
	return vectors->position;
}

const char *vectors_unused(const struct vectors *vectors)
{
	return vectors->unused;
}

bool vectors_was_saved(const struct vectors *vectors)
{
	return vectors->saved;
}

struct live *vectors_live(struct vectors *vectors)
{
	return vectors->live;
}

const struct vectors_schema *vectors_schema(const struct vectors *vectors)
{
	return &vectors->schema;
}

const char *vectors_error(const struct vectors *vectors)
{
	return vectors->error;
}

/* The index has no room until a job was done, or at all. */
static int of_live(struct vectors *vectors, uint64_t label, int r)
{
	switch (r) {
	case LIVE_E_VALUE:
		return vectors_refuse(
			vectors, VECTORS_E_CORRUPT, "vector %llu has values that no %s can have",
			(unsigned long long)label, vector_type_name(vectors->schema.type));
	case LIVE_E_FULL:
		return vectors_refuse(vectors, VECTORS_E_FULL, "more than %u vectors",
				      vectors->options.vector_max);
	case LIVE_E_BUSY:
		return VECTORS_E_BUSY;
	default:
		return r;
	}
}

/* Whether the key is one of the collection's vectors; its label then fits the index. */
static int label_of(struct vectors *vectors, struct entry_bytes key, bool *ret_ours,
		    uint32_t *ret_label)
{
	struct vector_key vector;

	*ret_ours = keys_vector_read(key, &vector) &&
		    vector.collection.size == vectors->name_size &&
		    memcmp(vector.collection.bytes, vectors->name, vectors->name_size) == 0;
	if (!*ret_ours)
		return 0;
	if (vector.label > UINT32_MAX)
		return vectors_refuse(vectors, VECTORS_E_CORRUPT, "label %llu is beyond 32 bits",
				      (unsigned long long)vector.label);
	*ret_label = (uint32_t)vector.label;
	return 0;
}

int vectors_take(struct vectors *vectors, struct entry_bytes key, struct entry_bytes value)
{
	struct vector_value vector;
	uint32_t label = 0;
	bool ours;
	int r = label_of(vectors, key, &ours, &label);
	if (r != 0 || !ours)
		return r;

	if (!keys_vector_value_read(value, &vector) ||
	    vector.element_type != vectors->schema.type || vector.vector.size != vectors->row_size)
		return vectors_refuse(vectors, VECTORS_E_CORRUPT,
				      "vector %u isn't %u values of type %s", label,
				      vectors->schema.dim, vector_type_name(vectors->schema.type));
	memcpy(vectors->row, vector.vector.bytes, vector.vector.size);
	convert_back(vectors->schema.type, vectors->row, vectors->schema.dim, vectors->values);
	return of_live(vectors, label, live_put(vectors->live, label, vectors->values));
}

static int drop(struct vectors *vectors, struct entry_bytes key)
{
	uint32_t label = 0;
	bool ours;
	int r = label_of(vectors, key, &ours, &label);
	if (r != 0 || !ours)
		return r;

	r = live_delete(vectors->live, label);
	return r == LIVE_E_ABSENT ? 0 : of_live(vectors, label, r);
}

/* Ranges are the applications', whose keys are no vectors'; operands aren't either. */
static int take_event(struct vectors *vectors, const struct feed_event *event)
{
	switch (event->kind) {
	case FEED_INSERT:
		return vectors_take(vectors, event->key, event->value);
	case FEED_POINT_TOMBSTONE:
		return drop(vectors, event->key);
	default:
		return 0;
	}
}

int vectors_open_feed(struct vectors *vectors)
{
	struct feed_options options = {
		.since.seqno = vectors->position + 1,
		.follow = true,
		.visible = true,
		.wait_never = store_polls(vectors->store),
		.scratch = vectors->options.scratch,
	};

	return feed_open(store_kv(vectors->store), &options, &vectors->feed);
}

/* The feed's error, or that its history has gone. */
static int of_feed(struct vectors *vectors, int r)
{
	switch (r) {
	case FEED_E_GAP:
		return vectors_refuse(vectors, VECTORS_E_CORRUPT,
				      "the feed's history begins at %llu, behind the index's %llu",
				      (unsigned long long)feed_oldest(vectors->feed),
				      (unsigned long long)vectors->position);
	case FEED_E_CORRUPT:
		return vectors_refuse(vectors, VECTORS_E_CORRUPT, "%s", feed_error(vectors->feed));
	default:
		return r;
	}
}

/*
 * An event that the index has no room for is kept, with its bytes in the feed, and taken by the
 * next call: the feed gives each out once.
 */
static int follow_some(struct vectors *vectors, uint32_t events_max, bool *ret_caught_up)
{
	for (uint32_t i = 0; i < events_max; i++) {
		if (!vectors->has_event) {
			int r = feed_next(vectors->feed, &vectors->event);
			if (r == FEED_E_END) {
				vectors->position = feed_resolved(vectors->feed) - 1;
				*ret_caught_up = true;
				return 0;
			}
			if (r == FEED_E_WAIT) {
				kv_poll(store_kv(vectors->store));
				*ret_caught_up = false;
				return 0;
			}
			if (r != 0)
				return of_feed(vectors, r);
			vectors->has_event = true;
		}
		int r = take_event(vectors, &vectors->event);
		if (r != 0)
			return r;
		vectors->has_event = false;
		/* Events of one number may follow, so it isn't reached yet. */
		vectors->position = vectors->event.seqno - 1;
	}
	*ret_caught_up = false;
	return 0;
}

int vectors_follow(struct vectors *vectors, uint32_t events_max, bool *ret_caught_up,
		   enum live_need *ret_need)
{
	bool caught_up = false;
	int busy = follow_some(vectors, events_max, &caught_up);
	if (busy != 0 && busy != VECTORS_E_BUSY)
		return busy;

	int r = live_work(vectors->live, ret_need);
	if (r < 0)
		return r;
	*ret_caught_up = caught_up;
	return busy;
}

int vectors_job(struct vectors *vectors)
{
	int r = live_build(vectors->live);

	return r == LIVE_E_IDLE ? VECTORS_E_IDLE : r;
}

int vectors_settle(struct vectors *vectors)
{
	for (;;) {
		enum live_need need;
		bool caught_up = false;
		int r = vectors_follow(vectors, PROGRESS_STRIDE, &caught_up, &need);
		if (r != 0 && r != VECTORS_E_BUSY)
			return r;
		if (need == LIVE_NEED_BUILD) {
			r = vectors_job(vectors);
			if (r < 0)
				return r;
		} else if (caught_up && need == LIVE_NEED_NOTHING) {
			return 0;
		}
	}
}

int vectors_put(struct vectors *vectors, uint32_t label, const float *values,
		struct entry_bytes payload)
{
	const struct vectors_schema *schema = &vectors->schema;
	size_t bad;
	int r = convert_check(schema->type, values, schema->dim, &bad);
	if (r != 0)
		return vectors_refuse(vectors, VECTORS_E_INVALID, "value %zu of vector %u %s", bad,
				      label, convert_refusal(r));
	if (payload.size > VECTORS_PAYLOAD_MAX)
		return vectors_refuse(vectors, VECTORS_E_INVALID,
				      "the payload of vector %u has more than %u bytes", label,
				      VECTORS_PAYLOAD_MAX);

	convert_row(schema->type, values, schema->dim, vectors->row);
	struct store_vector vector = {
		.key = {.collection = vectors_name(vectors), .label = label},
		.element_type = (uint8_t)schema->type,
		.vector = {.bytes = vectors->row, .size = vectors->row_size},
		.payload = payload,
	};
	r = store_vector_put(vectors->store, &vector);
	return r > 0 ? VECTORS_E_BUSY : r;
}

int vectors_delete(struct vectors *vectors, uint32_t label)
{
	int r = store_vector_delete(
		vectors->store,
		(struct vector_key){.collection = vectors_name(vectors), .label = label});

	return r > 0 ? VECTORS_E_BUSY : r;
}

/* Room for one more, by doing what the index asks for. */
static int take_blocking(struct vectors *vectors, const struct entry *entry)
{
	for (;;) {
		enum live_need need;
		int r = vectors_take(vectors, entry->key, entry->value);
		if (r != VECTORS_E_BUSY)
			return r;
		r = live_work(vectors->live, &need);
		if (r == 0 && need == LIVE_NEED_BUILD)
			r = live_build(vectors->live);
		if (r < 0)
			return r;
	}
}

/* Reads the whole collection as it is, and leaves the index at that moment. */
static int read_all(struct vectors *vectors, void (*progress)(void *context, uint64_t done),
		    void *context)
{
	struct kv *kv = store_kv(vectors->store);
	struct kv_cursor *cursor;
	uint8_t prefix[KEYS_VECTOR_MAX];
	uint32_t prefix_size = keys_collection(vectors_name(vectors), prefix);
	uint64_t seqno;
	uint64_t done = 0;
	int r = kv_snapshot(kv, &seqno);
	if (r < 0)
		return r;
	r = kv_cursor_new(kv, seqno, 0, &cursor);
	if (r < 0)
		goto release;

	for (r = kv_cursor_seek(cursor, (struct entry_bytes){prefix, prefix_size}); r == 0;
	     r = kv_cursor_next(cursor)) {
		const struct entry *entry = kv_cursor_entry(cursor);
		if (entry->key.size < prefix_size ||
		    memcmp(entry->key.bytes, prefix, prefix_size) != 0)
			break;
		r = take_blocking(vectors, entry);
		if (r != 0)
			goto free;
		if (++done % PROGRESS_STRIDE == 0 && progress != NULL)
			progress(context, done);
	}
	if (r > 0 && r != KV_E_ABSENT)
		r = vectors_refuse(vectors, VECTORS_E_CORRUPT, "%s", kv_error(kv));
	else if (r >= 0)
		r = 0;
	vectors->position = seqno;
free:
	kv_cursor_free(cursor);
release:
	kv_snapshot_release(kv, seqno);
	return r;
}

static int open_index(struct vectors *vectors, void (*progress)(void *context, uint64_t done),
		      void *context)
{
	struct live_options options = {
		.metric = vectors->schema.metric,
		.dim = vectors->schema.dim,
		.vector_max = vectors->options.vector_max,
		.growing_max = vectors->options.growing_max,
		.build = {.metric = vectors->schema.metric,
			  .type = vectors->schema.type,
			  .threads = vectors->options.threads},
	};
	int r = live_new(&options, &vectors->live);
	if (r < 0)
		return r;

	if (vectors->options.folder != NULL) {
		r = vectors_load(vectors, &vectors->saved);
		if (r != 0 || vectors->saved)
			return r;
	}
	r = read_all(vectors, progress, context);
	if (r != 0)
		return r;
	return vectors_open_feed(vectors);
}

/* Names may be longer than a pin's, and have characters that no file's name has. */
static uint64_t hash_of(struct entry_bytes name)
{
	uint64_t hash = name.size;

	for (uint32_t i = 0; i < name.size; i++)
		hash = hash_mix64(hash ^ name.bytes[i]);
	return hash;
}

void vectors_pin_name(struct entry_bytes name, char pin[VECTORS_PIN_MAX])
{
	snprintf(pin, VECTORS_PIN_MAX, "index-%016llx", (unsigned long long)hash_of(name));
}

static int allocate(struct vectors *vectors, const struct vectors_options *options)
{
	const struct vectors_schema *schema = &vectors->schema;

	vectors->options = *options;
	vectors->options.name = (struct entry_bytes){0};
	if (options->vector_max == 0)
		vectors->options.vector_max = VECTOR_MAX_DEFAULT;
	if (options->growing_max == 0)
		vectors->options.growing_max = GROWING_MAX_DEFAULT;
	if (vectors->options.threads == 0)
		vectors->options.threads = 1;
	vectors->row_size = (uint32_t)vector_type_size(schema->type, schema->dim);
	vectors->values = malloc(schema->dim * sizeof(*vectors->values));
	vectors->row = malloc(dist_row_size(schema->type, schema->dim));
	if (vectors->values == NULL || vectors->row == NULL)
		return -ENOMEM;

	vectors->name_size = (uint8_t)options->name.size;
	memcpy(vectors->name, options->name.bytes, options->name.size);
	vectors_pin_name(options->name, vectors->pin);
	return 0;
}

int vectors_open(struct store *store, const struct vectors_options *options,
		 void (*progress)(void *context, uint64_t done), void *context,
		 struct vectors **ret_vectors, char *error, size_t error_size)
{
	struct vectors_schema schema;
	int r = vectors_schema_get(store, options->name, &schema);
	if (r != 0) {
		snprintf(error, error_size, "%s",
			 r == VECTORS_E_ABSENT    ? "the store has no such collection"
			 : r == VECTORS_E_CORRUPT ? "the collection's schema is damaged"
						  : strerror(-r));
		return r;
	}
	struct vectors *vectors = calloc(1, sizeof(*vectors));
	if (vectors == NULL)
		return -ENOMEM;

	vectors->store = store;
	vectors->schema = schema;
	r = allocate(vectors, options);
	if (r == 0)
		r = open_index(vectors, progress, context);
	if (r != 0) {
		snprintf(error, error_size, "%s", r < 0 ? strerror(-r) : vectors->error);
		vectors_close(vectors);
		return r;
	}
	*ret_vectors = vectors;
	return 0;
}

void vectors_close(struct vectors *vectors)
{
	if (vectors == NULL)
		return;

	feed_close(vectors->feed);
	live_free(vectors->live);
	free(vectors->values);
	free(vectors->row);
	free(vectors);
}
