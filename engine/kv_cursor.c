/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Forward, one merge of all sources gives each key's versions youngest first, and the value is
 * taken from them as they go by. Backward they would come oldest first, so the merge only says
 * which key is the next smaller one, and its value is looked up as kv_get() does it.
 *
 * 'key' is the last key that was dealt with, given out or not. What waits for a block loses the
 * merge's place and nothing else: the next call seeks by 'key' again.
 */

#include "engine/kv_internal.h"

#include "base/check.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum place {
	PLACE_NOWHERE, /* no seek so far */
	PLACE_BEFORE,  /* before all keys */
	PLACE_KEY,     /* at 'key' */
	PLACE_BEHIND,  /* behind all keys */
};

struct kv_cursor {
	struct kv_view *view; /* held */
	uint64_t seqno;
	unsigned flags;
	struct source *sources;
	uint32_t source_count;
	struct table **tables; /* of the sources, with their bounds */
	struct entry_bytes *firsts;
	struct entry_bytes *lasts;
	struct merger merger;
	struct kv_reader reader;
	struct entry entry;
	enum place place;
	bool merging; /* the merge stands at or behind 'key', forward */
	bool again;   /* 'key' itself isn't dealt with yet */
	uint32_t key_size;
	uint8_t key[ENTRY_KEY_MAX];
};

static struct entry_bytes key_of(const struct kv_cursor *cursor)
{
	return (struct entry_bytes){.bytes = cursor->key, .size = cursor->key_size};
}

static void set_key(struct kv_cursor *cursor, struct entry_bytes key)
{
	if (key.size > 0)
		memcpy(cursor->key, key.bytes, key.size);
	cursor->key_size = key.size;
	cursor->place = PLACE_KEY;
}

static int allocate(struct kv_cursor *cursor)
{
	size_t count = kv_view_count(cursor->view);

	cursor->tables = calloc(count, sizeof(struct table *));
	cursor->firsts = calloc(count, sizeof(*cursor->firsts));
	cursor->lasts = calloc(count, sizeof(*cursor->lasts));
	cursor->sources = calloc(count, sizeof(*cursor->sources));
	return cursor->tables && cursor->firsts && cursor->lasts && cursor->sources ? 0 : -ENOMEM;
}

/* A source for each memtable, each table of level 0, and each other level. */
static void make_sources(struct kv_cursor *cursor)
{
	const struct version *version = cursor->view->version;
	const struct table_cursor_options options = {.wait_never =
							     (cursor->flags & KV_WAIT_NEVER) != 0};
	uint32_t at = 0;

	for (uint32_t i = 0; i < cursor->view->mem_count; i++)
		source_init_memtable(cursor->view->mems[i]->memtable,
				     &cursor->sources[cursor->source_count++]);
	for (unsigned level = 0; level < KV_LEVEL_MAX; level++)
		for (uint32_t i = 0, from = at; i < version->counts[level]; i++) {
			const struct table_file *file = version->levels[level][i];

			cursor->tables[at] = file->table;
			cursor->firsts[at] = file->info.first;
			cursor->lasts[at] = file->info.last;
			at++;
			if (level > 0 && i + 1 < version->counts[level])
				continue;
			source_init_tables(cursor->tables + from, cursor->firsts + from,
					   cursor->lasts + from, at - from, &options,
					   &cursor->sources[cursor->source_count++]);
			from = at;
		}
}

int kv_cursor_new(struct kv *kv, uint64_t seqno, unsigned flags, struct kv_cursor **ret_cursor)
{
	struct kv_cursor *cursor = calloc(1, sizeof(*cursor));
	int error;

	if (!cursor)
		return -ENOMEM;
	error = kv_view_open(kv, &cursor->view);
	CHECK(!error);
	cursor->seqno = seqno ? seqno : kv->visible;
	cursor->flags = flags;
	cursor->reader.fold.ops = &kv->ops;
	error = allocate(cursor);
	if (!error) {
		make_sources(cursor);
		error = merger_init(cursor->sources, cursor->source_count, &cursor->merger);
	}
	if (error) {
		kv_cursor_free(cursor);
		return error;
	}
	*ret_cursor = cursor;
	return 0;
}

void kv_cursor_free(struct kv_cursor *cursor)
{
	if (!cursor)
		return;
	merger_deinit(&cursor->merger);
	for (uint32_t i = 0; i < cursor->source_count; i++)
		source_deinit(&cursor->sources[i]);
	free(cursor->tables);
	free(cursor->firsts);
	free(cursor->lasts);
	free(cursor->sources);
	kv_reader_deinit(&cursor->reader);
	kv_view_close(cursor->view);
	free(cursor);
}

/* A source's answer as the cursor's. The merge has lost its place. */
static int failed(struct kv_cursor *cursor, int result)
{
	cursor->merging = false;
	switch (result) {
	case SOURCE_E_WAIT:
		return KV_E_WAIT;
	case SOURCE_E_CORRUPT:
		return kv_corrupt(cursor->view->kv, merger_error(&cursor->merger));
	default:
		return result;
	}
}

static bool is_at_key(const struct kv_cursor *cursor, const struct entry *entry)
{
	return entry && key_equal(entry->key, key_of(cursor));
}

static int conclude(struct kv_cursor *cursor, const struct entry *found)
{
	return kv_conclude(cursor->view, &cursor->reader, key_of(cursor), cursor->flags, found,
			   &cursor->entry);
}

/* The state of 'key', whose first version is on top. The merge ends behind what was looked at. */
static int gather(struct kv_cursor *cursor)
{
	struct kv_view *view = cursor->view;
	uint64_t cover = kv_cover(view, key_of(cursor), cursor->seqno);
	const struct entry *entry;

	fold_clear(&cursor->reader.fold);
	while (is_at_key(cursor, entry = merger_entry(&cursor->merger))) {
		if (entry->seqno <= cursor->seqno) {
			bool is_value = entry->kind == ENTRY_VALUE || entry->kind == ENTRY_BLOB;

			if (entry->seqno < cover)
				break;
			if (entry->kind != ENTRY_MERGE)
				return conclude(cursor, is_value ? entry : NULL);
			int error = fold_add(&cursor->reader.fold, entry);
			if (error)
				return kv_fold_failed(view->kv, &cursor->reader, error);
		}
		int result = merger_next(&cursor->merger);
		if (result)
			return failed(cursor, result);
	}
	return conclude(cursor, NULL);
}

/* Puts the merge behind 'key', or at it if it isn't dealt with. */
static int find_place(struct kv_cursor *cursor)
{
	int result = 0;

	if (!cursor->merging) {
		bool all = cursor->place == PLACE_BEFORE;
		struct entry_bytes key = {0};

		if (!all)
			key = key_of(cursor);
		result = merger_seek(&cursor->merger, key, all || cursor->again ? UINT64_MAX : 0);
		if (result)
			return failed(cursor, result);
		cursor->merging = true;
	}
	while (!cursor->again && cursor->place == PLACE_KEY &&
	       is_at_key(cursor, merger_entry(&cursor->merger))) {
		result = merger_next(&cursor->merger);
		if (result)
			return failed(cursor, result);
	}
	return 0;
}

static int forward(struct kv_cursor *cursor)
{
	for (;;) {
		int result = find_place(cursor);

		if (result)
			return result;
		const struct entry *entry = merger_entry(&cursor->merger);
		if (!entry) {
			cursor->place = PLACE_BEHIND;
			cursor->merging = false;
			cursor->again = false;
			return KV_E_ABSENT;
		}
		set_key(cursor, entry->key);
		cursor->again = true;
		result = gather(cursor);
		if (result == KV_E_OPERATOR)
			cursor->entry = (struct entry){.key = key_of(cursor)};
		else if (result && result != KV_E_ABSENT) {
			cursor->merging = false;
			return result;
		}
		cursor->again = false;
		if (result != KV_E_ABSENT)
			return result;
	}
}

int kv_cursor_seek(struct kv_cursor *cursor, struct entry_bytes key)
{
	if (key.size > ENTRY_KEY_MAX)
		return KV_E_INVALID;
	cursor->merging = false;
	cursor->again = true;
	set_key(cursor, key);
	if (key.size == 0)
		cursor->place = PLACE_BEFORE;
	return forward(cursor);
}

int kv_cursor_next(struct kv_cursor *cursor)
{
	DCHECK(cursor->place != PLACE_NOWHERE);
	return cursor->place == PLACE_BEHIND ? KV_E_ABSENT : forward(cursor);
}

int kv_cursor_previous(struct kv_cursor *cursor)
{
	DCHECK(cursor->place != PLACE_NOWHERE);
	cursor->merging = false;
	cursor->again = false;
	while (cursor->place != PLACE_BEFORE) {
		int result = merger_seek_before(&cursor->merger, key_of(cursor),
						cursor->place == PLACE_BEHIND);

		if (result)
			return failed(cursor, result);
		const struct entry *entry = merger_entry(&cursor->merger);
		if (!entry) {
			cursor->place = PLACE_BEFORE;
			break;
		}
		/* The entry stays where it is: the lookup has ways of its own. */
		result = kv_resolve(cursor->view, &cursor->reader, entry->key, cursor->seqno,
				    cursor->flags, &cursor->entry);
		if (result == KV_E_OPERATOR)
			cursor->entry = (struct entry){0};
		else if (result && result != KV_E_ABSENT)
			return result;
		set_key(cursor, entry->key);
		cursor->entry.key = key_of(cursor);
		if (result != KV_E_ABSENT)
			return result;
	}
	return KV_E_ABSENT;
}

int kv_cursor_last(struct kv_cursor *cursor)
{
	cursor->place = PLACE_BEHIND;
	return kv_cursor_previous(cursor);
}

const struct entry *kv_cursor_entry(const struct kv_cursor *cursor)
{
	return &cursor->entry;
}
