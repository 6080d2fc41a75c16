/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/test.h"

#include "tests/lib/fake_kv.h"

#include "base/byteorder.h"
#include "base/defs.h"
#include "engine/memtable.h"

#include <stdlib.h>
#include <string.h>

#define SOURCE_MAX 256
#define BLOB_MAX   64

struct table {
	struct kv *kv;
	struct entry *entries; /* sorted; points and range tombstones apart */
	struct entry *ranges;
	uint32_t count;
	uint32_t range_count;
	bool with_bounds;
	struct table_summary summary;
};

struct table_cursor {
	struct table *table;
	struct table_cursor_options options;
	uint32_t at; /* entry; count: behind the last */
	uint64_t blocks;
};

struct kv {
	struct memtable *memtables[SOURCE_MAX]; /* the live one foremost */
	struct table *tables[SOURCE_MAX];
	uint32_t memtable_count;
	uint32_t table_count;
	struct table *garbage[SOURCE_MAX * 4]; /* stay for views */
	struct memtable *old[SOURCE_MAX * 4];
	uint32_t garbage_count;
	uint32_t old_count;
	uint64_t visible;
	uint64_t durable;
	uint64_t history;
	struct entry_bytes blobs[BLOB_MAX];
	uint32_t blob_count;
	uint32_t wait_every;
	uint32_t turns;
	uint32_t fail_after;
	int fail_rc;
	uint64_t moves;
	uint64_t blocks;
	uint32_t views;
	uint32_t cursors;
};

struct kv_view {
	struct kv *kv;
	struct kv_source sources[2 * SOURCE_MAX];
	uint32_t count;
};

static void *taken(size_t count, size_t size)
{
	void *memory = calloc(count + 1, size);

	assert_non_null(memory);
	return memory;
}

static void new_memtable(struct kv *kv)
{
	assert_true(kv->memtable_count < SOURCE_MAX);
	memmove(kv->memtables + 1, kv->memtables, kv->memtable_count * sizeof(kv->memtables[0]));
	assert_int_equal(memtable_new(64U << 10, &kv->memtables[0]), 0);
	kv->memtable_count++;
}

struct kv *fake_kv_new(void)
{
	struct kv *kv = taken(1, sizeof(*kv));

	kv->history = 1;
	new_memtable(kv);
	return kv;
}

static struct entry_bytes copied(struct entry_bytes from)
{
	uint8_t *bytes = taken(from.size, 1);

	if (from.size > 0)
		memcpy(bytes, from.bytes, from.size);
	return (struct entry_bytes){bytes, from.size};
}

static void free_table(struct table *table)
{
	for (uint32_t i = 0; i < table->count + table->range_count; i++) {
		struct entry *entry =
			i < table->count ? &table->entries[i] : &table->ranges[i - table->count];

		free((void *)(uintptr_t)entry->key.bytes);
		free((void *)(uintptr_t)entry->value.bytes);
	}
	free(table->entries);
	free(table->ranges);
	free(table);
}

void fake_kv_free(struct kv *kv)
{
	assert_int_equal(kv->views, 0);
	assert_int_equal(kv->cursors, 0);
	for (uint32_t i = 0; i < kv->table_count; i++)
		free_table(kv->tables[i]);
	for (uint32_t i = 0; i < kv->garbage_count; i++)
		free_table(kv->garbage[i]);
	for (uint32_t i = 0; i < kv->memtable_count; i++)
		memtable_free(kv->memtables[i]);
	for (uint32_t i = 0; i < kv->old_count; i++)
		memtable_free(kv->old[i]);
	for (uint32_t i = 0; i < kv->blob_count; i++)
		free((void *)(uintptr_t)kv->blobs[i].bytes);
	free(kv);
}

void fake_kv_add(struct kv *kv, const struct entry *entry)
{
	assert_int_equal(memtable_add(kv->memtables[0], entry), 0);
	kv->visible = kv->durable = entry->seqno;
}

void fake_kv_set_durable(struct kv *kv, uint64_t seqno)
{
	kv->durable = seqno;
}

void fake_kv_set_history(struct kv *kv, uint64_t seqno)
{
	kv->history = seqno;
}

void fake_kv_seal(struct kv *kv)
{
	new_memtable(kv);
}

static int by_order(const void *a, const void *b)
{
	return entry_compare(a, b);
}

static void summarize(struct table_summary *summary, const struct entry *entry)
{
	summary->seqno_min = MIN(summary->seqno_min, entry->seqno);
	summary->seqno_max = MAX(summary->seqno_max, entry->seqno);
	summary->entries++;
}

void fake_kv_table(struct kv *kv, const struct entry *entries, uint32_t count, bool with_bounds)
{
	struct table *table = taken(1, sizeof(*table));

	assert_true(kv->table_count < SOURCE_MAX);
	*table = (struct table){
		.kv = kv,
		.entries = taken(count, sizeof(struct entry)),
		.ranges = taken(count, sizeof(struct entry)),
		.with_bounds = with_bounds,
		.summary.seqno_min = UINT64_MAX,
	};
	for (uint32_t i = 0; i < count; i++) {
		struct entry entry = entries[i];

		entry.key = copied(entry.key);
		entry.value = copied(entry.value);
		summarize(&table->summary, &entry);
		if (entry.kind == ENTRY_RANGE_TOMBSTONE)
			table->ranges[table->range_count++] = entry;
		else
			table->entries[table->count++] = entry;
	}
	qsort(table->entries, table->count, sizeof(struct entry), by_order);
	qsort(table->ranges, table->range_count, sizeof(struct entry), by_order);
	memmove(kv->tables + 1, kv->tables, kv->table_count * sizeof(kv->tables[0]));
	kv->tables[0] = table;
	kv->table_count++;
	kv->visible = MAX(kv->visible, table->summary.seqno_max);
	kv->durable = MAX(kv->durable, table->summary.seqno_max);
}

void fake_kv_flush(struct kv *kv)
{
	for (uint32_t i = kv->memtable_count; i-- > 0;) {
		struct memtable *memtable = kv->memtables[i];
		struct entry *entries = taken(memtable_count(memtable), sizeof(struct entry));
		const struct memtable_node *node = memtable_since(memtable, 0);
		uint32_t count = 0;

		for (; node; node = memtable_after(node))
			entries[count++] = *memtable_entry(node);
		if (count > 0)
			fake_kv_table(kv, entries, count, true);
		free(entries);
		kv->old[kv->old_count++] = memtable;
		assert_true(kv->old_count < ARRAY_COUNT(kv->old));
	}
	kv->memtable_count = 0;
	new_memtable(kv);
}

/* Whether a younger version at or below the floor hides it: by its key alone. */
static bool is_superseded(const struct entry *entry, const struct entry *younger, uint64_t floor)
{
	return younger && younger->seqno < floor && younger->key.size == entry->key.size &&
	       memcmp(younger->key.bytes, entry->key.bytes, entry->key.size) == 0;
}

void fake_kv_compact(struct kv *kv, uint64_t floor)
{
	struct entry *all, *kept;
	uint32_t count = 0, kept_count = 0;

	for (uint32_t i = 0; i < kv->table_count; i++)
		count += kv->tables[i]->count + kv->tables[i]->range_count;
	all = taken(count, sizeof(struct entry));
	kept = taken(count, sizeof(struct entry));
	count = 0;
	for (uint32_t i = 0; i < kv->table_count; i++) {
		struct table *table = kv->tables[i];

		memcpy(all + count, table->entries, table->count * sizeof(struct entry));
		count += table->count;
		memcpy(kept + kept_count, table->ranges, table->range_count * sizeof(struct entry));
		kept_count += table->range_count;
		kv->garbage[kv->garbage_count++] = table;
		assert_true(kv->garbage_count < ARRAY_COUNT(kv->garbage));
	}
	kv->table_count = 0;
	qsort(all, count, sizeof(struct entry), by_order);
	for (uint32_t i = 0; i < count; i++) {
		if (is_superseded(&all[i], i > 0 ? &all[i - 1] : NULL, floor))
			kv->history = MAX(kv->history, all[i].seqno + 1);
		else
			kept[kept_count++] = all[i];
	}
	if (kept_count > 0)
		fake_kv_table(kv, kept, kept_count, true);
	free(all);
	free(kept);
}

uint32_t fake_kv_blob(struct kv *kv, const void *bytes, uint32_t size)
{
	assert_true(kv->blob_count < BLOB_MAX);
	kv->blobs[kv->blob_count] = copied((struct entry_bytes){bytes, size});
	return kv->blob_count++;
}

void fake_kv_wait(struct kv *kv, uint32_t every)
{
	kv->wait_every = every;
}

void fake_kv_fail(struct kv *kv, uint32_t moves, int rc)
{
	kv->fail_after = moves;
	kv->fail_rc = rc;
}

uint64_t fake_kv_moves(const struct kv *kv)
{
	return kv->moves;
}

uint64_t fake_kv_blocks(const struct kv *kv)
{
	return kv->blocks;
}

uint32_t fake_kv_views(const struct kv *kv)
{
	return kv->views;
}

/* What kv.h and table.h promise a feed. */

uint64_t kv_visible(const struct kv *kv)
{
	return kv->visible;
}

uint64_t kv_durable(const struct kv *kv)
{
	return kv->durable;
}

uint64_t kv_history(const struct kv *kv)
{
	return kv->history;
}

const char *kv_error(const struct kv *kv)
{
	(void)kv;
	return "blob 1: damaged";
}

int kv_view_open(struct kv *kv, struct kv_view **ret_view)
{
	struct kv_view *view = taken(1, sizeof(*view));

	view->kv = kv;
	for (uint32_t i = 0; i < kv->memtable_count; i++)
		view->sources[view->count++].memtable = kv->memtables[i];
	for (uint32_t i = 0; i < kv->table_count; i++)
		view->sources[view->count++].table = kv->tables[i];
	kv->views++;
	*ret_view = view;
	return 0;
}

void kv_view_close(struct kv_view *view)
{
	view->kv->views--;
	free(view);
}

int kv_view_files(const struct kv_view *view, struct kv_view **ret_view)
{
	struct kv_view *files = taken(1, sizeof(*files));

	files->kv = view->kv;
	files->kv->views++;
	*ret_view = files;
	return 0;
}

uint32_t kv_view_count(const struct kv_view *view)
{
	return view->count;
}

struct kv_source kv_view_source(const struct kv_view *view, uint32_t index)
{
	assert_true(index < view->count);
	return view->sources[index];
}

static bool waits(struct kv *kv)
{
	return kv->wait_every && ++kv->turns % kv->wait_every == 0;
}

int kv_view_blob(struct kv_view *view, const struct entry *entry, unsigned flags,
		 struct table_pin *pin, struct entry_bytes *ret_value)
{
	struct kv *kv = view->kv;
	int rc = kv->fail_rc;

	(void)pin;
	assert_int_equal(entry->kind, ENTRY_BLOB);
	if ((flags & KV_WAIT_NEVER) && waits(kv))
		return KV_E_WAIT;
	if (rc && kv->fail_after == 0) {
		kv->fail_rc = 0;
		return rc;
	}
	*ret_value = kv->blobs[load_le32(entry->value.bytes)];
	return 0;
}

void table_pin_release(struct table_pin *pin)
{
	(void)pin;
}

const struct table_summary *table_summary(const struct table *table)
{
	return &table->summary;
}

const char *table_error(const struct table *table)
{
	(void)table;
	return "table 1: damaged";
}

uint32_t table_range_count(const struct table *table)
{
	return table->range_count;
}

struct entry table_range(const struct table *table, uint32_t index)
{
	assert_true(index < table->range_count);
	return table->ranges[index];
}

int table_cursor_new(struct table *table, const struct table_cursor_options *options,
		     struct table_cursor **ret_cursor)
{
	struct table_cursor *cursor = taken(1, sizeof(*cursor));

	*cursor = (struct table_cursor){.table = table, .options = *options};
	table->kv->cursors++;
	*ret_cursor = cursor;
	return 0;
}

void table_cursor_free(struct table_cursor *cursor)
{
	cursor->table->kv->cursors--;
	free(cursor);
}

static bool is_skipped(const struct table_cursor *cursor, uint32_t at)
{
	const struct table *table = cursor->table;
	uint64_t least = UINT64_MAX, most = 0;

	if (!table->with_bounds || cursor->options.distrust_bounds || !cursor->options.seqno_to)
		return false;
	for (uint32_t i = at; i < MIN(at + FAKE_KV_BLOCK, table->count); i++) {
		least = MIN(least, table->entries[i].seqno);
		most = MAX(most, table->entries[i].seqno);
	}
	return most < cursor->options.seqno_from || least > cursor->options.seqno_to;
}

static int move_to(struct table_cursor *cursor, uint32_t at)
{
	struct kv *kv = cursor->table->kv;
	int rc = kv->fail_rc;

	if (cursor->options.wait_never && waits(kv))
		return TABLE_E_WAIT;
	if (rc && kv->fail_after > 0 && --kv->fail_after == 0) {
		kv->fail_rc = 0;
		return rc;
	}
	while (at < cursor->table->count && at % FAKE_KV_BLOCK == 0 && is_skipped(cursor, at))
		at += FAKE_KV_BLOCK;
	if (at >= cursor->table->count)
		return TABLE_E_END;
	if (at % FAKE_KV_BLOCK == 0) {
		cursor->blocks++;
		kv->blocks++;
	}
	kv->moves++;
	cursor->at = at;
	return 0;
}

int table_cursor_first(struct table_cursor *cursor)
{
	return move_to(cursor, 0);
}

int table_cursor_next(struct table_cursor *cursor)
{
	return move_to(cursor, cursor->at + 1);
}

const struct entry *table_cursor_entry(const struct table_cursor *cursor)
{
	return &cursor->table->entries[cursor->at];
}

void table_cursor_cost(const struct table_cursor *cursor, uint64_t *ret_blocks, uint64_t *ret_bytes)
{
	*ret_blocks = cursor->blocks;
	*ret_bytes = cursor->blocks * FAKE_KV_BLOCK;
}
