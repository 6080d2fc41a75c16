/* SPDX-License-Identifier: Apache-2.0 */

#include "engine/ledger_edit.h"

#include "base/byteorder.h"
#include "base/check.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum tag {
	TAG_COUNTERS = 1,
	TAG_PAGES,
	TAG_TABLE_REMOVE,
	TAG_TABLE_ADD,
	TAG_BLOB_REMOVE,
	TAG_BLOB_ADD,
	TAG_PIN_REMOVE,
	TAG_PIN_SET,
	TAG_LOG,
};

/* Fixed parts behind the tag, and of one reference. */
#define PAGES_SIZE     (8 * 8 + 4 + LEDGER_HEADER_SIZE)
#define TABLE_SIZE     (7 * 8 + 4 + 1 + 1 + 2 + 2 + 4)
#define REFERENCE_SIZE 16
#define LOG_SIZE       (4 + 3 * 8)

void ledger_bytes_add(struct ledger_bytes *bytes, const void *from, size_t size)
{
	if (bytes->failed || size == 0)
		return;
	if (size > bytes->capacity - bytes->size) {
		size_t capacity = 2 * (bytes->size + size);
		uint8_t *grown = realloc(bytes->bytes, capacity);

		if (!grown) {
			bytes->failed = true;
			return;
		}
		bytes->bytes = grown;
		bytes->capacity = capacity;
	}
	memcpy(bytes->bytes + bytes->size, from, size);
	bytes->size += size;
}

void ledger_bytes_free(struct ledger_bytes *bytes)
{
	free(bytes->bytes);
	*bytes = (struct ledger_bytes){0};
}

static void add8(struct ledger_bytes *to, uint8_t value)
{
	ledger_bytes_add(to, &value, 1);
}

static void add16(struct ledger_bytes *to, uint16_t value)
{
	uint8_t bytes[2];

	store_le16(bytes, value);
	ledger_bytes_add(to, bytes, sizeof(bytes));
}

static void add32(struct ledger_bytes *to, uint32_t value)
{
	uint8_t bytes[4];

	store_le32(bytes, value);
	ledger_bytes_add(to, bytes, sizeof(bytes));
}

static void add64(struct ledger_bytes *to, uint64_t value)
{
	uint8_t bytes[8];

	store_le64(bytes, value);
	ledger_bytes_add(to, bytes, sizeof(bytes));
}

static void encode_pages(const struct ledger_pages *pages, struct ledger_bytes *to)
{
	const struct pager_state *state = &pages->state;

	add8(to, TAG_PAGES);
	add64(to, state->lsn);
	add64(to, state->page_count);
	add64(to, state->free_head);
	add64(to, state->free_count);
	add64(to, state->node_root);
	add64(to, state->edge_root);
	add64(to, state->node_count);
	add64(to, state->edge_count);
	add32(to, state->height);
	ledger_bytes_add(to, pages->header, LEDGER_HEADER_SIZE);
}

static void encode_log(const struct ledger_log *log, struct ledger_bytes *to)
{
	add8(to, TAG_LOG);
	add32(to, log->number);
	add64(to, log->first);
	add64(to, log->size);
	add64(to, log->durable);
}

static void encode_table(const struct ledger_table *table, struct ledger_bytes *to)
{
	add8(to, TAG_TABLE_ADD);
	add64(to, table->number);
	add64(to, table->size);
	add64(to, table->entries);
	add64(to, table->tombstones);
	add64(to, table->seqno_min);
	add64(to, table->seqno_max);
	add64(to, table->seqno_global);
	add32(to, table->crc);
	add8(to, table->level);
	add8(to, table->foreign);
	add16(to, (uint16_t)table->first.size);
	add16(to, (uint16_t)table->last.size);
	add32(to, table->reference_count);
	ledger_bytes_add(to, table->first.bytes, table->first.size);
	ledger_bytes_add(to, table->last.bytes, table->last.size);
	for (uint32_t i = 0; i < table->reference_count; i++) {
		add64(to, table->references[i].blob);
		add64(to, table->references[i].bytes);
	}
}

static void encode_blob(const struct ledger_blob *blob, struct ledger_bytes *to)
{
	add8(to, TAG_BLOB_ADD);
	add64(to, blob->number);
	add64(to, blob->size);
	add64(to, blob->frame_bytes);
}

static void encode_name(const char *name, struct ledger_bytes *to)
{
	size_t length = strlen(name);

	CHECK(length <= LEDGER_PIN_NAME_MAX);
	add8(to, (uint8_t)length);
	ledger_bytes_add(to, name, length);
}

static void encode_pin(const struct ledger_pin *pin, struct ledger_bytes *to)
{
	add8(to, TAG_PIN_SET);
	add64(to, pin->seqno);
	add64(to, pin->updated);
	add32(to, pin->index);
	encode_name(pin->name, to);
}

static void encode_number(enum tag tag, uint64_t number, struct ledger_bytes *to)
{
	add8(to, (uint8_t)tag);
	add64(to, number);
}

int ledger_edit_encode(const struct ledger_counters *counters, const struct ledger_edit *edit,
		       struct ledger_bytes *to)
{
	size_t before = to->size;

	add8(to, TAG_COUNTERS);
	add64(to, counters->next_file);
	add64(to, counters->flushed);
	add64(to, counters->history);
	if (edit->pages)
		encode_pages(edit->pages, to);
	if (edit->log)
		encode_log(edit->log, to);
	for (uint32_t i = 0; i < edit->remove_count; i++)
		encode_number(TAG_TABLE_REMOVE, edit->removes[i], to);
	for (uint32_t i = 0; i < edit->blob_remove_count; i++)
		encode_number(TAG_BLOB_REMOVE, edit->blob_removes[i], to);
	for (uint32_t i = 0; i < edit->blob_add_count; i++)
		encode_blob(&edit->blob_adds[i], to);
	for (uint32_t i = 0; i < edit->add_count; i++)
		encode_table(&edit->adds[i], to);
	for (uint32_t i = 0; i < edit->pin_remove_count; i++) {
		add8(to, TAG_PIN_REMOVE);
		encode_name(edit->pin_removes[i], to);
	}
	for (uint32_t i = 0; i < edit->pin_count; i++)
		encode_pin(&edit->pins[i], to);

	if (to->failed)
		return -ENOMEM;
	return to->size - before > LEDGER_EDIT_MAX ? -EFBIG : 0;
}

/* What is left to read of an edit, and what was wrong with it. */
struct input {
	const uint8_t *bytes;
	size_t size;
	const char *what;
};

/* The next 'size' bytes, or NULL. */
static const uint8_t *take(struct input *input, size_t size)
{
	const uint8_t *bytes = input->bytes;

	if (size > input->size) {
		input->what = "an item goes past the edit's end";
		return NULL;
	}
	input->bytes += size;
	input->size -= size;
	return bytes;
}

static int refuse(struct input *input, const char *what)
{
	input->what = what;
	return LEDGER_E_CORRUPT;
}

/* Room for one more item in an array of an edit, doubled at powers of two. */
static void *grow(const void *items, uint32_t count, size_t size)
{
	void *old = (void *)(uintptr_t)items;

	if ((count & (count - 1)) != 0)
		return old;
	return realloc(old, (count ? 2 * (size_t)count : 1) * size);
}

static int decode_counters(struct input *input, struct ledger_edit_read *edit)
{
	const uint8_t *at = take(input, 24);

	if (!at)
		return LEDGER_E_CORRUPT;
	edit->counters = (struct ledger_counters){
		.next_file = load_le64(at),
		.flushed = load_le64(at + 8),
		.history = load_le64(at + 16),
	};
	if (edit->counters.history == 0)
		return refuse(input, "the history begins at 0");
	return 0;
}

static int decode_pages(struct input *input, struct ledger_edit_read *edit)
{
	const uint8_t *at = take(input, PAGES_SIZE);

	if (!at)
		return LEDGER_E_CORRUPT;
	if (edit->edit.pages)
		return refuse(input, "the pages are there twice");
	edit->pages.state = (struct pager_state){
		.lsn = load_le64(at),
		.page_count = load_le64(at + 8),
		.free_head = load_le64(at + 16),
		.free_count = load_le64(at + 24),
		.node_root = load_le64(at + 32),
		.edge_root = load_le64(at + 40),
		.node_count = load_le64(at + 48),
		.edge_count = load_le64(at + 56),
		.height = load_le32(at + 64),
	};
	memcpy(edit->pages.header, at + 68, LEDGER_HEADER_SIZE);
	edit->edit.pages = &edit->pages;
	return 0;
}

static int decode_log(struct input *input, struct ledger_edit_read *edit)
{
	const uint8_t *at = take(input, LOG_SIZE);

	if (!at)
		return LEDGER_E_CORRUPT;
	if (edit->edit.log)
		return refuse(input, "the log is there twice");
	edit->log = (struct ledger_log){
		.number = load_le32(at),
		.first = load_le64(at + 4),
		.size = load_le64(at + 12),
		.durable = load_le64(at + 20),
	};
	if (edit->log.number == 0 || edit->log.first == 0)
		return refuse(input, "the log's newest segment is none");
	edit->edit.log = &edit->log;
	return 0;
}

static int decode_numbers(struct input *input, const uint64_t **numbers, uint32_t *count)
{
	const uint8_t *at = take(input, 8);

	if (!at)
		return LEDGER_E_CORRUPT;
	uint64_t *grown = grow(*numbers, *count, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	*numbers = grown;
	grown[(*count)++] = load_le64(at);
	return 0;
}

static int key_order(struct entry_bytes a, struct entry_bytes b)
{
	struct entry first = {.key = a}, second = {.key = b};

	return entry_compare(&first, &second);
}

static int check_table(struct input *input, const struct ledger_table *table)
{
	if (table->level >= LEDGER_LEVEL_MAX)
		return refuse(input, "a table's level is past the last");
	if (table->first.size == 0 || table->first.size > ENTRY_KEY_MAX || table->last.size == 0 ||
	    table->last.size > ENTRY_KEY_MAX || key_order(table->first, table->last) > 0)
		return refuse(input, "a table's keys are none");
	if (table->seqno_min > table->seqno_max)
		return refuse(input, "a table's numbers are none");
	if (table->reference_count > LEDGER_REFERENCE_MAX)
		return refuse(input, "a table refers to too many blob files");
	for (uint32_t i = 1; i < table->reference_count; i++)
		if (table->references[i - 1].blob >= table->references[i].blob)
			return refuse(input, "a table's blob files are not in order");
	return 0;
}

static int decode_references(struct input *input, struct ledger_table *table)
{
	const uint8_t *at = take(input, (size_t)table->reference_count * REFERENCE_SIZE);

	if (!at)
		return LEDGER_E_CORRUPT;
	if (table->reference_count == 0)
		return 0;
	struct ledger_reference *references = calloc(table->reference_count, sizeof(*references));
	if (!references)
		return -ENOMEM;
	for (uint32_t i = 0; i < table->reference_count; i++, at += REFERENCE_SIZE) {
		references[i].blob = load_le64(at);
		references[i].bytes = load_le64(at + 8);
	}
	table->references = references;
	return 0;
}

static int decode_table_body(struct input *input, struct ledger_table *table)
{
	const uint8_t *at = take(input, TABLE_SIZE);

	if (!at)
		return LEDGER_E_CORRUPT;
	*table = (struct ledger_table){
		.number = load_le64(at),
		.size = load_le64(at + 8),
		.entries = load_le64(at + 16),
		.tombstones = load_le64(at + 24),
		.seqno_min = load_le64(at + 32),
		.seqno_max = load_le64(at + 40),
		.seqno_global = load_le64(at + 48),
		.crc = load_le32(at + 56),
		.level = at[60],
		.foreign = at[61] == 1,
		.first.size = load_le16(at + 62),
		.last.size = load_le16(at + 64),
		.reference_count = load_le32(at + 66),
	};
	if (at[61] > 1)
		return refuse(input, "a table is neither foreign nor not");
	table->first.bytes = take(input, table->first.size);
	table->last.bytes = table->first.bytes ? take(input, table->last.size) : NULL;
	if (!table->last.bytes)
		return LEDGER_E_CORRUPT;
	return 0;
}

static int decode_table(struct input *input, struct ledger_edit_read *edit)
{
	struct ledger_table table;
	int error = decode_table_body(input, &table);

	if (!error)
		error = decode_references(input, &table);
	if (error)
		return error;
	error = check_table(input, &table);
	struct ledger_table *grown =
		error ? NULL : grow(edit->edit.adds, edit->edit.add_count, sizeof(*grown));
	if (!grown) {
		free((void *)(uintptr_t)table.references);
		return error ? error : -ENOMEM;
	}
	edit->edit.adds = grown;
	grown[edit->edit.add_count++] = table;
	return 0;
}

static int decode_blob(struct input *input, struct ledger_edit_read *edit)
{
	const uint8_t *at = take(input, 24);

	if (!at)
		return LEDGER_E_CORRUPT;
	struct ledger_blob *grown =
		grow(edit->edit.blob_adds, edit->edit.blob_add_count, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	edit->edit.blob_adds = grown;
	grown[edit->edit.blob_add_count++] = (struct ledger_blob){
		.number = load_le64(at),
		.size = load_le64(at + 8),
		.frame_bytes = load_le64(at + 16),
	};
	return 0;
}

/* A pin's name, ended by a zero. */
static int decode_name(struct input *input, char name[LEDGER_PIN_NAME_MAX + 1])
{
	const uint8_t *size = take(input, 1);
	const uint8_t *bytes = size ? take(input, *size) : NULL;

	if (!bytes)
		return LEDGER_E_CORRUPT;
	if (*size == 0 || *size > LEDGER_PIN_NAME_MAX || memchr(bytes, 0, *size))
		return refuse(input, "a pin's name is none");
	memcpy(name, bytes, *size);
	name[*size] = 0;
	return 0;
}

static int decode_pin(struct input *input, struct ledger_edit_read *edit)
{
	const uint8_t *at = take(input, 20);
	struct ledger_pin pin;

	if (!at)
		return LEDGER_E_CORRUPT;
	pin = (struct ledger_pin){
		.seqno = load_le64(at), .updated = load_le64(at + 8), .index = load_le32(at + 16)};
	int error = decode_name(input, pin.name);
	if (error)
		return error;
	struct ledger_pin *grown = grow(edit->edit.pins, edit->edit.pin_count, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	edit->edit.pins = grown;
	grown[edit->edit.pin_count++] = pin;
	return 0;
}

static int decode_pin_remove(struct input *input, struct ledger_edit_read *edit)
{
	char name[LEDGER_PIN_NAME_MAX + 1];
	int error = decode_name(input, name);

	if (error)
		return error;
	char **grown = grow(edit->edit.pin_removes, edit->edit.pin_remove_count, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	edit->edit.pin_removes = (const char *const *)grown;
	grown[edit->edit.pin_remove_count] = strdup(name);
	if (!grown[edit->edit.pin_remove_count])
		return -ENOMEM;
	edit->edit.pin_remove_count++;
	return 0;
}

static int decode_item(struct input *input, uint8_t tag, struct ledger_edit_read *edit)
{
	switch (tag) {
	case TAG_COUNTERS:
		return refuse(input, "the counters are there twice");
	case TAG_PAGES:
		return decode_pages(input, edit);
	case TAG_TABLE_REMOVE:
		return decode_numbers(input, &edit->edit.removes, &edit->edit.remove_count);
	case TAG_TABLE_ADD:
		return decode_table(input, edit);
	case TAG_BLOB_REMOVE:
		return decode_numbers(input, &edit->edit.blob_removes,
				      &edit->edit.blob_remove_count);
	case TAG_BLOB_ADD:
		return decode_blob(input, edit);
	case TAG_PIN_REMOVE:
		return decode_pin_remove(input, edit);
	case TAG_PIN_SET:
		return decode_pin(input, edit);
	case TAG_LOG:
		return decode_log(input, edit);
	default:
		return refuse(input, "an item is of no known kind");
	}
}

static int decode(struct input *input, struct ledger_edit_read *edit)
{
	const uint8_t *tag = take(input, 1);

	if (!tag)
		return LEDGER_E_CORRUPT;
	if (*tag != TAG_COUNTERS)
		return refuse(input, "the counters don't come first");
	int error = decode_counters(input, edit);
	while (!error && input->size > 0) {
		tag = take(input, 1);
		error = decode_item(input, *tag, edit);
	}
	return error;
}

int ledger_edit_decode(const uint8_t *bytes, size_t size, struct ledger_edit_read *ret_edit,
		       const char **ret_what)
{
	struct input input = {.bytes = bytes, .size = size};

	*ret_edit = (struct ledger_edit_read){0};
	int error = decode(&input, ret_edit);
	if (error) {
		ledger_edit_free(ret_edit);
		*ret_what = input.what;
	}
	return error;
}

/* Arrays of an edit are constant for those who pass one in; here they are ours. */
static void drop(const void *ours)
{
	free((void *)(uintptr_t)ours);
}

void ledger_edit_free(struct ledger_edit_read *edit)
{
	for (uint32_t i = 0; i < edit->edit.add_count; i++)
		drop(edit->edit.adds[i].references);
	for (uint32_t i = 0; i < edit->edit.pin_remove_count; i++)
		drop(edit->edit.pin_removes[i]);
	drop(edit->edit.removes);
	drop(edit->edit.adds);
	drop(edit->edit.blob_removes);
	drop(edit->edit.blob_adds);
	drop(edit->edit.pins);
	drop(edit->edit.pin_removes);
	*edit = (struct ledger_edit_read){0};
}
