/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Sources are asked from the youngest to the oldest. For one key their versions don't overlap, so
 * the first that is no merge operand ends the search.
 */

#include "engine/kv_internal.h"

#include "base/check.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>

enum { GOES_ON = 1000 }; /* internal: no base so far */

/* One search. */
struct search {
	struct kv_view *view;
	struct kv_reader *reader;
	struct entry_bytes key;
	uint64_t seqno;
	uint64_t cover; /* versions below this are deleted */
	unsigned flags;
	struct entry *entry; /* what is found */
};

void kv_reader_deinit(struct kv_reader *reader)
{
	table_pin_release(&reader->pin);
	table_pin_release(&reader->blob_pin);
	fold_deinit(&reader->fold);
}

uint64_t kv_cover(const struct kv_view *view, struct entry_bytes key, uint64_t seqno)
{
	uint64_t cover = version_cover(view->version, key, seqno);

	for (uint32_t i = 0; i < view->mem_count; i++)
		if (view->mems[i]->ranges.count > 0) {
			uint64_t found = range_set_cover(&view->mems[i]->ranges, key, seqno);

			cover = MAX(cover, found);
		}
	return cover;
}

int kv_view_blob(struct kv_view *view, const struct entry *entry, unsigned flags,
		 struct table_pin *pin, struct entry_bytes *ret_value)
{
	struct blob_place place;

	if (blob_place_decode(entry->value, &place))
		return kv_corrupt(view->kv, "an entry's place in a blob file is none");
	const struct blob_file *file = version_blob(view->version, place.file);
	if (!file)
		return kv_corrupt(view->kv, "an entry points to a blob file that isn't there");
	int result = blob_get(file->blob, &place, entry->key,
			      flags & KV_WAIT_NEVER ? TABLE_WAIT_NEVER : 0, pin, ret_value);
	switch (result) {
	case BLOB_E_CORRUPT:
		return kv_corrupt(view->kv, blob_error(file->blob));
	case BLOB_E_WAIT:
		return KV_E_WAIT;
	default:
		return result;
	}
}

int kv_fold_failed(struct kv *kv, const struct kv_reader *reader, int result)
{
	static const char *const reasons[] = {
		[MERGE_OP_E_INVALID] = "value or operand is nothing that it takes",
		[MERGE_OP_E_SIZE] = "the value would be above 64 MiB",
		[MERGE_OP_E_UNKNOWN] = "it isn't registered",
	};
	uint8_t number = fold_at(&reader->fold, 0).type;
	const char *name = merge_ops_name(&kv->ops, number);

	static_assert(MERGE_OP_VALUE_MAX == 64 << 20, "as the text says");
	if (result < 0)
		return result;
	snprintf(kv->error, sizeof(kv->error), "merge operator %u%s%s: %s", number, name ? " " : "",
		 name ? name : "", reasons[result]);
	return KV_E_OPERATOR;
}

/* Folds what the reader gathered into 'base' (NULL: none). */
static int fold(struct kv *kv, struct kv_reader *reader, const struct entry *base,
		struct entry_bytes key, struct entry *ret_entry)
{
	struct entry_bytes value;
	int result = fold_finish(&reader->fold, base ? &base->value : NULL, &value);

	if (result)
		return kv_fold_failed(kv, reader, result);
	*ret_entry = (struct entry){
		.key = key,
		.value = value,
		.seqno = fold_at(&reader->fold, 0).seqno,
		.expires = base ? base->expires : 0,
		.kind = ENTRY_VALUE,
		.type = base ? base->type : 0,
	};
	return 0;
}

static bool is_expired(const struct kv *kv, const struct entry *entry)
{
	return entry->expires != 0 &&
	       entry->expires <= kv->options.clock(kv->options.clock_context);
}

int kv_conclude(struct kv_view *view, struct kv_reader *reader, struct entry_bytes key,
		unsigned flags, const struct entry *found, struct entry *ret_entry)
{
	struct entry base = {0};

	if (found && !is_expired(view->kv, found)) {
		base = *found;
		if (base.kind == ENTRY_BLOB) {
			int result =
				kv_view_blob(view, found, flags, &reader->blob_pin, &base.value);

			if (result)
				return result;
			base.kind = ENTRY_VALUE;
		}
	}
	if (reader->fold.count > 0)
		return fold(view->kv, reader, base.kind ? &base : NULL, key, ret_entry);
	if (!base.kind)
		return KV_E_ABSENT;
	*ret_entry = base;
	ret_entry->key = key;
	return 0;
}

/* The search ends here. */
static int conclude(struct search *search, const struct entry *found)
{
	return kv_conclude(search->view, search->reader, search->key, search->flags, found,
			   search->entry);
}

/* Takes the next older version. Returns GOES_ON, or what the search returns. */
static int take(struct search *search, const struct entry *entry)
{
	if (entry->seqno < search->cover)
		return conclude(search, NULL);
	switch (entry->kind) {
	case ENTRY_MERGE: {
		int error = fold_add(&search->reader->fold, entry);

		return error ? kv_fold_failed(search->view->kv, search->reader, error) : GOES_ON;
	}
	case ENTRY_VALUE:
	case ENTRY_BLOB:
		return conclude(search, entry);
	default:
		return conclude(search, NULL);
	}
}

static int search_memtable(struct search *search, const struct memtable *memtable)
{
	const struct memtable_node *node = memtable_seek(memtable, search->key, search->seqno);

	for (; node && key_equal(memtable_entry(node)->key, search->key);
	     node = memtable_next(node)) {
		int result = take(search, memtable_entry(node));

		if (result != GOES_ON)
			return result;
	}
	return GOES_ON;
}

static int search_table(struct search *search, const struct table_file *file)
{
	uint64_t seqno = search->seqno;
	struct entry entry;

	for (;;) {
		int result = table_get(file->table, search->key, seqno,
				       search->flags & KV_WAIT_NEVER ? TABLE_WAIT_NEVER : 0,
				       &search->reader->pin, &entry);

		switch (result) {
		case 0:
			break;
		case TABLE_E_END:
			return GOES_ON;
		case TABLE_E_WAIT:
			return KV_E_WAIT;
		case TABLE_E_CORRUPT:
			return kv_corrupt(search->view->kv, table_error(file->table));
		default:
			return result;
		}
		result = take(search, &entry);
		if (result != GOES_ON || entry.seqno == 0)
			return result;
		seqno = entry.seqno - 1;
	}
}

static int search_level(struct search *search, unsigned level)
{
	const struct version *version = search->view->version;
	uint32_t index = level == 0 ? 0 : version_find(version, level, search->key);

	for (; index < version->counts[level]; index++) {
		const struct table_file *file = version->levels[level][index];
		bool begins_behind = key_compare(file->info.first, search->key) > 0;

		if (level > 0 && begins_behind)
			break;
		if (begins_behind || key_compare(file->info.last, search->key) < 0)
			continue;
		int result = search_table(search, file);
		if (result != GOES_ON)
			return result;
	}
	return GOES_ON;
}

int kv_resolve(struct kv_view *view, struct kv_reader *reader, struct entry_bytes key,
	       uint64_t seqno, unsigned flags, struct entry *ret_entry)
{
	struct search search = {
		.view = view,
		.reader = reader,
		.key = key,
		.seqno = seqno,
		.cover = kv_cover(view, key, seqno),
		.flags = flags,
		.entry = ret_entry,
	};
	int result = GOES_ON;

	fold_clear(&reader->fold);
	for (uint32_t i = 0; result == GOES_ON && i < view->mem_count; i++)
		result = search_memtable(&search, view->mems[i]->memtable);
	for (unsigned level = 0; result == GOES_ON && level < KV_LEVEL_MAX; level++)
		result = search_level(&search, level);
	return result == GOES_ON ? conclude(&search, NULL) : result;
}

int kv_get(struct kv *kv, struct entry_bytes key, uint64_t seqno, unsigned flags,
	   struct entry *ret_entry)
{
	struct entry entry;
	int result =
		kv_resolve(kv->view, &kv->reader, key, seqno ? seqno : kv->visible, flags, &entry);

	if (!result)
		*ret_entry = entry;
	return result;
}
