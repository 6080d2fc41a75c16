/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/kv_rig.h"

#include "base/byteorder.h"
#include "base/check.h"
#include "engine/memtable.h"
#include "engine/merge_op.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t rig_clock(void *context)
{
	return ((struct kv_rig *)context)->now;
}

void kv_rig_init(struct kv_rig *rig, struct io *io)
{
	*rig = (struct kv_rig){
		.io = io,
		.now = 1000,
		.options = {.memtable_size = 48 << 10,
			    .cache_size = 4 << 20,
			    .table_size = 12 << 10,
			    .level_size = 48 << 10,
			    .clock = rig_clock},
	};
}

void kv_rig_deinit(struct kv_rig *rig)
{
	kv_rig_close(rig);
	for (uint64_t i = 0; i < rig->count; i++) {
		free(rig->changes[i].key);
		free(rig->changes[i].value);
	}
	free(rig->changes);
}

void kv_rig_close(struct kv_rig *rig)
{
	kv_close(rig->kv);
	ledger_close(rig->ledger);
	rig->kv = NULL;
	rig->ledger = NULL;
}

int kv_rig_open(struct kv_rig *rig)
{
	const struct ledger_options options = {.create = true};
	int result = ledger_open(rig->io, &options, &rig->ledger, rig->error, sizeof(rig->error));

	rig->options.clock_context = rig;
	if (result) {
		rig->ledger = NULL;
		return result == LEDGER_E_CORRUPT ? KV_E_CORRUPT : result;
	}
	result = kv_open(rig->io, rig->ledger, &rig->options, &rig->kv, rig->error,
			 sizeof(rig->error));
	if (result)
		rig->kv = NULL;
	uint64_t index = 0;
	if (!result) {
		kv_set_late(rig->kv, true);
		result = kv_rig_apply(rig, &index);
		kv_set_late(rig->kv, false);
	}
	if (!result)
		result = kv_clean(rig->kv);
	if (result)
		kv_rig_close(rig);
	return result;
}

static uint8_t *copy(const uint8_t *bytes, uint32_t size)
{
	uint8_t *to = malloc(size + 1);

	CHECK(to);
	if (size > 0)
		memcpy(to, bytes, size);
	return to;
}

void kv_rig_note(struct kv_rig *rig, const struct kv_change *change)
{
	if (rig->count == rig->capacity) {
		rig->capacity = MAX(2 * rig->capacity, UINT64_C(64));
		rig->changes = realloc(rig->changes, rig->capacity * sizeof(*rig->changes));
		CHECK(rig->changes);
	}
	rig->changes[rig->count] = *change;
	rig->changes[rig->count].key = copy(change->key, change->key_size);
	rig->changes[rig->count++].value = copy(change->value, change->value_size);
}

static struct record record_of(const struct kv_change *change, uint64_t lsn)
{
	struct record record = {.type = change->type, .lsn = lsn, .timestamp = change->timestamp};
	struct record_bytes value = {.bytes = change->value, .size = change->value_size};

	record.kv.key = (struct record_bytes){.bytes = change->key, .size = change->key_size};
	record.kv.value_type = change->value_type;
	if (change->type == RECORD_KV_RANGE_DELETE)
		record.kv.end = value;
	else
		record.kv.value = value;
	record.kv.has_ttl = change->ttl > 0;
	record.kv.ttl_seconds = change->ttl;
	return record;
}

static int apply_one(struct kv_rig *rig, uint64_t index)
{
	const struct kv_change *change = &rig->changes[index];
	const struct record record = record_of(change, index + 1);
	int result;

	while ((result = kv_apply(rig->kv, &record, change->more)) == KV_E_BUSY) {
		result = kv_rig_work(rig);
		if (result)
			return result;
	}
	return result;
}

/* What is visible rises by whole transactions. */
int kv_rig_apply(struct kv_rig *rig, uint64_t *index)
{
	for (; *index < rig->count; ++*index) {
		int result = apply_one(rig, *index);

		if (result)
			return result;
		if (!rig->changes[*index].more) {
			kv_set_visible(rig->kv, *index + 1);
			kv_set_durable(rig->kv, *index + 1);
		}
	}
	return 0;
}

int kv_rig_put(struct kv_rig *rig, const struct kv_change *change)
{
	uint64_t index = rig->count;

	kv_rig_note(rig, change);
	return kv_rig_apply(rig, &index);
}

int kv_rig_work(struct kv_rig *rig)
{
	for (;;) {
		enum kv_need need;
		int result = kv_work(rig->kv, &need);

		if (result)
			return result;
		if (need == KV_NEED_NOTHING)
			return 0;
		if (need == KV_NEED_WORK)
			continue;
		result = kv_job(rig->kv, 4096);
		if (result && result != KV_E_IDLE)
			return result;
	}
}

uint32_t kv_rig_key(uint64_t index, uint8_t key[16])
{
	/* Of different lengths, some the beginning of others; the last digit is the family. */
	int size = snprintf((char *)key, 16, index % 7 == 0 ? "k%02u" : "k%02u-abcdef",
			    (unsigned)index);

	return (uint32_t)size;
}

/* Keys of even index are counters, others are strings that grow. */
static bool is_counter(const uint8_t *key)
{
	return (key[2] - '0') % 2 == 0;
}

static void random_value(struct rand *rand, struct kv_change *change, uint8_t *value)
{
	change->value = value;
	if (is_counter(change->key)) {
		change->value_size = 8;
		store_le64(value, rand_below(rand, 1000));
		return;
	}
	change->value_size = rand_below(rand, 12) == 0 ? (uint32_t)(4000 + rand_below(rand, 10000))
						       : (uint32_t)rand_below(rand, 200);
	for (uint32_t i = 0; i < change->value_size; i++)
		value[i] = (uint8_t)(rand_below(rand, 4) ? 'a' + i % 7 : rand_below(rand, 256));
}

static void random_operand(struct rand *rand, struct kv_change *change, uint8_t *value)
{
	change->type = RECORD_KV_MERGE;
	change->value_type = is_counter(change->key) ? MERGE_OP_COUNTER : MERGE_OP_APPEND;
	change->value = value;
	change->value_size = is_counter(change->key) ? 8 : (uint32_t)rand_below(rand, 8);
	for (uint32_t i = 0; i < change->value_size; i++)
		value[i] = (uint8_t)rand_below(rand, 256);
}

void kv_rig_random(struct kv_rig *rig, struct rand *rand, struct kv_change *ret_change,
		   uint8_t *space)
{
	struct kv_change change = {.key = space, .timestamp = rig->now};
	uint64_t index = rand_below(rand, KV_RIG_KEYS), what = rand_below(rand, 100);

	change.key_size = kv_rig_key(index, space);
	if (what < 50) {
		change.type = RECORD_KV_SET;
		change.value_type = (uint8_t)rand_below(rand, 100);
		change.ttl = rand_below(rand, 8) == 0 ? 1 + rand_below(rand, 20) : 0;
		random_value(rand, &change, space + 16);
	} else if (what < 75) {
		random_operand(rand, &change, space + 16);
	} else if (what < 85) {
		change.type = RECORD_KV_DELETE;
	} else if (what < 95) {
		change.type = RECORD_KV_WEAK_DELETE;
	} else {
		change.type = RECORD_KV_RANGE_DELETE;
		change.value = space + 16;
		change.value_size = kv_rig_key(
			index + 1 + rand_below(rand, KV_RIG_KEYS - index + 3), space + 16);
	}
	*ret_change = change;
}

static int compare(const uint8_t *a, uint32_t a_size, const uint8_t *b, uint32_t b_size)
{
	int order = memcmp(a, b, MIN(a_size, b_size));

	return order ? order : (a_size > b_size) - (a_size < b_size);
}

/* What the change is to the key: the type of record, or 0 for nothing. */
static unsigned meaning(const struct kv_change *change, const uint8_t *key, uint32_t size)
{
	if (change->type == RECORD_KV_RANGE_DELETE)
		return compare(change->key, change->key_size, key, size) <= 0 &&
				       compare(key, size, change->value, change->value_size) < 0
			       ? RECORD_KV_DELETE
			       : 0;
	return compare(change->key, change->key_size, key, size) == 0 ? change->type : 0;
}

static void merge(struct kv_expected *state, const struct kv_change *change)
{
	if (!state->there)
		*state = (struct kv_expected){.there = true, .value = copy(NULL, 0)};
	if (change->value_type == MERGE_OP_COUNTER) {
		uint64_t sum =
			(state->size == 8 ? load_le64(state->value) : 0) + load_le64(change->value);

		state->value = realloc(state->value, 8);
		CHECK(state->value);
		store_le64(state->value, sum);
		state->size = 8;
		return;
	}
	state->value = realloc(state->value, state->size + change->value_size + 1);
	CHECK(state->value);
	memcpy(state->value + state->size, change->value, change->value_size);
	state->size += change->value_size;
}

/* Forward through all changes; a value that has expired is none from its beginning. */
struct kv_expected kv_rig_expected(const struct kv_rig *rig, const uint8_t *key, uint32_t size,
				   uint64_t seqno)
{
	struct kv_expected state = {0};

	for (uint64_t i = 0; i < seqno; i++) {
		const struct kv_change *change = &rig->changes[i];
		bool expired = change->ttl > 0 && change->timestamp + change->ttl <= rig->now;

		switch (meaning(change, key, size)) {
		case RECORD_KV_MERGE:
			merge(&state, change);
			break;
		case RECORD_KV_SET:
			free(state.value);
			state = (struct kv_expected){0};
			if (!expired)
				state = (struct kv_expected){
					.there = true,
					.value = copy(change->value, change->value_size),
					.size = change->value_size,
					.type = change->value_type};
			break;
		case RECORD_KV_DELETE:
		case RECORD_KV_WEAK_DELETE:
			free(state.value);
			state = (struct kv_expected){0};
			break;
		default:
			break;
		}
	}
	return state;
}

static int wrong(struct kv_rig *rig, const uint8_t *key, uint64_t seqno, const char *what)
{
	snprintf(rig->error, sizeof(rig->error), "key %s at %llu: %s", (const char *)key,
		 (unsigned long long)seqno, what);
	return KV_RIG_E_WRONG;
}

/* 'entry' is NULL where there is no value. */
static int compare_entry(struct kv_rig *rig, const uint8_t *key, uint32_t size, uint64_t seqno,
			 const struct entry *entry)
{
	struct kv_expected expected = kv_rig_expected(rig, key, size, seqno);
	const char *what = NULL;

	if (!entry && expected.there)
		what = "it isn't there";
	else if (entry && !expected.there)
		what = "it is there";
	else if (entry && entry->kind != ENTRY_VALUE)
		what = "it is no value";
	else if (entry && entry->type != expected.type)
		what = "its type is another";
	else if (entry && (entry->value.size != expected.size ||
			   (expected.size > 0 &&
			    memcmp(entry->value.bytes, expected.value, expected.size) != 0)))
		what = "its value is another";
	free(expected.value);
	return what ? wrong(rig, key, seqno, what) : 0;
}

int kv_rig_check_key(struct kv_rig *rig, uint64_t index, uint64_t seqno, unsigned flags)
{
	uint8_t key[16];
	uint32_t size = kv_rig_key(index, key);
	struct entry entry;
	int result = kv_get(rig->kv, (struct entry_bytes){.bytes = key, .size = size}, seqno, flags,
			    &entry);

	if (result && result != KV_E_ABSENT)
		return result;
	return compare_entry(rig, key, size, seqno, result ? NULL : &entry);
}

/* What stands at the cursor is what the model has next, in either direction. Returns KV_E_ABSENT at
 * the end. */
static int check_step(struct kv_rig *rig, const struct kv_cursor *cursor, int result,
		      uint64_t seqno, int *index, int step)
{
	const struct entry *entry = result ? NULL : kv_cursor_entry(cursor);

	if (result && result != KV_E_ABSENT)
		return result;
	for (*index += step; *index >= 0 && *index < KV_RIG_KEYS; *index += step) {
		uint8_t key[16];
		uint32_t size = kv_rig_key((uint64_t)*index, key);
		bool here = entry && entry->key.size == size &&
			    memcmp(entry->key.bytes, key, size) == 0;
		int error = compare_entry(rig, key, size, seqno, here ? entry : NULL);

		if (error || here)
			return error;
	}
	return entry ? wrong(rig, (const uint8_t *)"", seqno, "a cursor gives more than there is")
		     : KV_E_ABSENT;
}

static int walk(struct kv_rig *rig, struct kv_cursor *cursor, uint64_t seqno)
{
	int index = -1;
	int result = kv_cursor_seek(cursor, (struct entry_bytes){0});

	while (!(result = check_step(rig, cursor, result, seqno, &index, 1)))
		result = kv_cursor_next(cursor);
	if (result != KV_E_ABSENT)
		return result;
	index = KV_RIG_KEYS;
	result = kv_cursor_previous(cursor);
	while (!(result = check_step(rig, cursor, result, seqno, &index, -1)))
		result = kv_cursor_previous(cursor);
	return result == KV_E_ABSENT ? 0 : result;
}

int kv_rig_check(struct kv_rig *rig, uint64_t seqno)
{
	struct kv_cursor *cursor;

	for (uint64_t i = 0; i < KV_RIG_KEYS; i++) {
		int result = kv_rig_check_key(rig, i, seqno, 0);

		if (result)
			return result;
	}
	int result = kv_cursor_new(rig->kv, seqno, 0, &cursor);
	if (result)
		return result;
	result = walk(rig, cursor, seqno);
	kv_cursor_free(cursor);
	return result;
}

/* What was found of a change. */
struct found {
	unsigned count;  /* of a point change */
	uint64_t pieces; /* lengths of a range's pieces in keys */
};

/* Keys of the model in [start, end). */
static uint64_t keys_between(const uint8_t *start, uint32_t start_size, const uint8_t *end,
			     uint32_t end_size)
{
	uint64_t count = 0;

	for (uint64_t i = 0; i < 100; i++) {
		uint8_t key[16];
		uint32_t size = kv_rig_key(i, key);

		count += compare(start, start_size, key, size) <= 0 &&
			 compare(key, size, end, end_size) < 0;
	}
	return count;
}

static void count_entry(const struct kv_rig *rig, struct found *found, const struct entry *entry)
{
	CHECK(entry->seqno > 0 && entry->seqno <= rig->count);
	if (entry->kind == ENTRY_RANGE_TOMBSTONE)
		found[entry->seqno - 1].pieces += keys_between(
			entry->key.bytes, entry->key.size, entry->value.bytes, entry->value.size);
	else
		found[entry->seqno - 1].count++;
}

static int count_table(const struct kv_rig *rig, struct found *found, struct table *table)
{
	const struct table_cursor_options options = {0};
	struct table_cursor *cursor;
	int result = table_cursor_new(table, &options, &cursor);

	if (result)
		return result;
	for (result = table_cursor_first(cursor); !result; result = table_cursor_next(cursor))
		count_entry(rig, found, table_cursor_entry(cursor));
	table_cursor_free(cursor);
	for (uint32_t i = 0; i < table_range_count(table); i++) {
		struct entry range = table_range(table, i);

		count_entry(rig, found, &range);
	}
	return result == TABLE_E_END ? 0 : KV_E_CORRUPT;
}

static int count_all(struct kv_rig *rig, struct found *found)
{
	struct kv_view *view;
	int result = kv_view_open(rig->kv, &view);

	for (uint32_t i = 0; !result && i < kv_view_count(view); i++) {
		struct kv_source source = kv_view_source(view, i);

		if (source.table) {
			result = count_table(rig, found, source.table);
			continue;
		}
		const struct memtable_node *node = memtable_since(source.memtable, 0);
		for (; node; node = memtable_after(node))
			count_entry(rig, found, memtable_entry(node));
	}
	kv_view_close(view);
	return result;
}

int kv_rig_check_history(struct kv_rig *rig)
{
	struct found *found = calloc(rig->count + 1, sizeof(*found));

	CHECK(found);
	int result = count_all(rig, found);
	for (uint64_t i = kv_history(rig->kv) - 1; !result && i < rig->count; i++) {
		const struct kv_change *change = &rig->changes[i];
		bool range = change->type == RECORD_KV_RANGE_DELETE;
		uint64_t pieces = range ? keys_between(change->key, change->key_size, change->value,
						       change->value_size)
					: 0;

		if (found[i].count != !range || found[i].pieces != pieces)
			result = wrong(rig, change->key, i + 1, "the change isn't there once");
	}
	free(found);
	return result;
}
