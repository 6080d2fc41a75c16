/* SPDX-License-Identifier: Apache-2.0 */

#include "cluster/vectors_internal.h"

#include <stdio.h>
#include <string.h>

/* A collection, and where its faults are told. */
struct look {
	struct store *store;
	const char *folder;
	struct entry_bytes name;
	kv_report_fn report;
	void *context;
	uint64_t *faults;
};

static void tell(const struct look *look, const char *text)
{
	char line[512];

	snprintf(line, sizeof(line), "collection %.*s: %s", (int)look->name.size,
		 (const char *)look->name.bytes, text);
	look->report(look->context, line);
	++*look->faults;
}

static void tell_of_index(void *context, const char *line)
{
	const struct look *look = context;

	tell(look, line);
}

/* One that is damaged is told, and left: the next search makes it anew. */
static int look_at_index(struct look *look, struct vectors *vectors)
{
	uint64_t faults;
	int r;

	if (vectors->damaged)
		tell(look, vectors->unused);
	if (!vectors->saved)
		return 0;
	r = vectors_settle(vectors);
	return r ? r : vectors_check(vectors, tell_of_index, look, &faults);
}

/* A collection without a saved index is built from the key space, so there is nothing to check. */
static int look_at(struct look *look)
{
	struct vectors_options options = {.name = look->name, .folder = look->folder};
	char pin[VECTORS_PIN_MAX], error[256];
	struct vectors *vectors;
	uint64_t number;
	int r;

	vectors_pin_name(look->name, pin);
	if (!vectors_find_pin(look->store, pin, &number))
		return 0;
	r = vectors_open(look->store, &options, NULL, NULL, &vectors, error, sizeof(error));
	if (r > 0) {
		tell(look, error);
		return 0;
	}
	if (r < 0)
		return r;
	r = look_at_index(look, vectors);
	if (r > 0)
		tell(look, vectors_error(vectors));
	vectors_close(vectors);
	return r > 0 ? 0 : r;
}

int vectors_verify(struct store *store, const char *folder, kv_report_fn report, void *context,
		   uint64_t *faults)
{
	struct kv_cursor *cursor;
	int r = kv_cursor_new(store_kv(store), 0, 0, &cursor);
	if (r < 0)
		return r;

	for (r = kv_cursor_seek(cursor, KEYS_SCHEMAS); r == 0; r = kv_cursor_next(cursor)) {
		struct look look = {store, folder, {0}, report, context, faults};
		uint8_t name[KEYS_COLLECTION_MAX];
		if (!keys_schema_read(kv_cursor_entry(cursor)->key, &look.name) ||
		    look.name.size > sizeof(name))
			break;
		memcpy(name, look.name.bytes, look.name.size);
		look.name.bytes = name;
		r = look_at(&look);
		if (r < 0)
			break;
	}
	kv_cursor_free(cursor);
	return r == KV_E_ABSENT ? 0 : r > 0 ? VECTORS_E_CORRUPT : r;
}
