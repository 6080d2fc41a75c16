/* SPDX-License-Identifier: Apache-2.0 */

#include "engine/ledger_book.h"

#include "base/defs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Members of the state are constant for readers; here they are ours. */
static struct ledger_table *tables_of(struct ledger_book *book)
{
	return (struct ledger_table *)(uintptr_t)book->state.tables;
}

static struct ledger_blob *blobs_of(struct ledger_book *book)
{
	return (struct ledger_blob *)(uintptr_t)book->state.blobs;
}

static struct ledger_pin *pins_of(struct ledger_book *book)
{
	return (struct ledger_pin *)(uintptr_t)book->state.pins;
}

/* Keys and references of a table lie in one piece, which begins with the references. */
void ledger_table_deinit(struct ledger_table *table)
{
	free((void *)(uintptr_t)table->references);
}

int ledger_table_copy(const struct ledger_table *table, struct ledger_table *ret_copy)
{
	size_t size = table->reference_count * sizeof(*table->references);
	uint8_t *piece = malloc(size + table->first.size + table->last.size);

	if (!piece)
		return -ENOMEM;
	*ret_copy = *table;
	if (size > 0)
		memcpy(piece, table->references, size);
	memcpy(piece + size, table->first.bytes, table->first.size);
	memcpy(piece + size + table->first.size, table->last.bytes, table->last.size);
	ret_copy->references = (const struct ledger_reference *)(void *)piece;
	ret_copy->first.bytes = piece + size;
	ret_copy->last.bytes = piece + size + table->first.size;
	return 0;
}

/* Makes 'count' items fit. */
static int reserve(const void **items, uint32_t count, size_t size)
{
	void *grown = realloc((void *)(uintptr_t)*items, MAX(count, 1U) * size);

	if (!grown)
		return -ENOMEM;
	*items = grown;
	return 0;
}

void ledger_book_deinit(struct ledger_book *book)
{
	for (uint32_t i = 0; i < book->state.table_count; i++)
		ledger_table_deinit(&tables_of(book)[i]);
	free(tables_of(book));
	free(blobs_of(book));
	free(pins_of(book));
	*book = (struct ledger_book){0};
}

static int remove_table(struct ledger_book *book, uint64_t number)
{
	struct ledger_table *tables = tables_of(book);

	for (uint32_t i = 0; i < book->state.table_count; i++)
		if (tables[i].number == number) {
			ledger_table_deinit(&tables[i]);
			tables[i] = tables[--book->state.table_count];
			return 0;
		}
	return LEDGER_E_INVALID;
}

static int add_table(struct ledger_book *book, const struct ledger_table *table)
{
	for (uint32_t i = 0; i < book->state.table_count; i++)
		if (book->state.tables[i].number == table->number)
			return LEDGER_E_INVALID;
	int error = ledger_table_copy(table, &tables_of(book)[book->state.table_count]);
	if (!error)
		book->state.table_count++;
	return error;
}

static int remove_blob(struct ledger_book *book, uint64_t number)
{
	struct ledger_blob *blobs = blobs_of(book);

	for (uint32_t i = 0; i < book->state.blob_count; i++)
		if (blobs[i].number == number) {
			blobs[i] = blobs[--book->state.blob_count];
			return 0;
		}
	return LEDGER_E_INVALID;
}

static int add_blob(struct ledger_book *book, const struct ledger_blob *blob)
{
	for (uint32_t i = 0; i < book->state.blob_count; i++)
		if (book->state.blobs[i].number == blob->number)
			return LEDGER_E_INVALID;
	blobs_of(book)[book->state.blob_count++] = *blob;
	return 0;
}

/* Where the name is, or would be. */
static uint32_t pin_index(const struct ledger_book *book, const char *name)
{
	uint32_t index = 0;

	while (index < book->state.pin_count && strcmp(book->state.pins[index].name, name) < 0)
		index++;
	return index;
}

static bool pin_is_at(const struct ledger_book *book, uint32_t index, const char *name)
{
	return index < book->state.pin_count && strcmp(book->state.pins[index].name, name) == 0;
}

static int remove_pin(struct ledger_book *book, const char *name)
{
	uint32_t index = pin_index(book, name);
	struct ledger_pin *pins = pins_of(book);

	if (!pin_is_at(book, index, name))
		return LEDGER_E_INVALID;
	memmove(&pins[index], &pins[index + 1], (--book->state.pin_count - index) * sizeof(*pins));
	return 0;
}

/* Pins stay in the order of their names. */
static void set_pin(struct ledger_book *book, const struct ledger_pin *pin)
{
	uint32_t index = pin_index(book, pin->name);
	struct ledger_pin *pins = pins_of(book);

	if (!pin_is_at(book, index, pin->name))
		memmove(&pins[index + 1], &pins[index],
			(book->state.pin_count++ - index) * sizeof(*pins));
	pins[index] = *pin;
}

static int reserve_all(struct ledger_book *book, const struct ledger_edit *edit,
		       const char **ret_what)
{
	struct ledger_state *state = &book->state;

	if (edit->add_count > LEDGER_TABLE_MAX - state->table_count ||
	    edit->blob_add_count > LEDGER_BLOB_MAX - state->blob_count) {
		*ret_what = "there are too many tables or blob files";
		return LEDGER_E_INVALID;
	}
	int error = reserve((const void **)&state->tables, state->table_count + edit->add_count,
			    sizeof(*state->tables));
	if (!error)
		error = reserve((const void **)&state->blobs,
				state->blob_count + edit->blob_add_count, sizeof(*state->blobs));
	if (!error)
		error = reserve((const void **)&state->pins, state->pin_count + edit->pin_count,
				sizeof(*state->pins));
	return error;
}

static int apply_tables(struct ledger_book *book, const struct ledger_edit *edit,
			const char **ret_what)
{
	int error = 0;

	*ret_what = "a table goes that isn't there";
	for (uint32_t i = 0; !error && i < edit->remove_count; i++)
		error = remove_table(book, edit->removes[i]);
	if (error)
		return error;
	*ret_what = "a table comes that is there";
	for (uint32_t i = 0; !error && i < edit->add_count; i++)
		error = add_table(book, &edit->adds[i]);
	return error;
}

static int apply_blobs(struct ledger_book *book, const struct ledger_edit *edit,
		       const char **ret_what)
{
	int error = 0;

	*ret_what = "a blob file goes that isn't there, or comes that is";
	for (uint32_t i = 0; !error && i < edit->blob_remove_count; i++)
		error = remove_blob(book, edit->blob_removes[i]);
	for (uint32_t i = 0; !error && i < edit->blob_add_count; i++)
		error = add_blob(book, &edit->blob_adds[i]);
	return error;
}

static int apply_pins(struct ledger_book *book, const struct ledger_edit *edit,
		      const char **ret_what)
{
	int error = 0;

	*ret_what = "a pin goes that isn't there";
	for (uint32_t i = 0; !error && i < edit->pin_remove_count; i++)
		error = remove_pin(book, edit->pin_removes[i]);
	for (uint32_t i = 0; !error && i < edit->pin_count; i++)
		set_pin(book, &edit->pins[i]);
	if (!error && book->state.pin_count > LEDGER_PIN_MAX) {
		*ret_what = "there are too many pins";
		error = LEDGER_E_INVALID;
	}
	return error;
}

int ledger_book_apply(struct ledger_book *book, const struct ledger_counters *counters,
		      const struct ledger_edit *edit, const char **ret_what)
{
	struct ledger_state *state = &book->state;
	int error = reserve_all(book, edit, ret_what);

	if (!error)
		error = apply_tables(book, edit, ret_what);
	if (!error)
		error = apply_blobs(book, edit, ret_what);
	if (!error)
		error = apply_pins(book, edit, ret_what);
	if (error)
		return error;
	if (edit->pages) {
		state->has_pages = true;
		state->pages = *edit->pages;
	}
	if (edit->log)
		state->log = *edit->log;
	state->next_file = MAX(state->next_file, counters->next_file);
	state->flushed = MAX(state->flushed, counters->flushed);
	state->history = MAX(state->history, counters->history);
	return 0;
}

int ledger_book_copy(const struct ledger_book *book, struct ledger_book *ret_copy)
{
	const struct ledger_counters counters = {.next_file = book->state.next_file,
						 .flushed = book->state.flushed,
						 .history = book->state.history};
	const struct ledger_edit edit = ledger_book_edit(book);
	struct ledger_book copy = {0};
	const char *what;

	memcpy(copy.state.store, book->state.store, sizeof(copy.state.store));
	int error = ledger_book_apply(&copy, &counters, &edit, &what);
	if (error) {
		ledger_book_deinit(&copy);
		return error;
	}
	*ret_copy = copy;
	return 0;
}

static int table_order(const void *a, const void *b)
{
	const struct ledger_table *first = *(const struct ledger_table *const *)a;
	const struct ledger_table *second = *(const struct ledger_table *const *)b;
	struct entry first_key = {.key = first->first}, second_key = {.key = second->first};

	if (first->level != second->level)
		return first->level - second->level;
	return entry_compare(&first_key, &second_key);
}

/* Ends of range tombstones aren't deleted themselves, so the next table may begin there. */
static int check_levels(const struct ledger_state *state, const char **ret_what)
{
	const struct ledger_table **sorted = malloc(MAX(state->table_count, 1U) * sizeof(*sorted));
	int error = 0;

	if (!sorted)
		return -ENOMEM;
	for (uint32_t i = 0; i < state->table_count; i++)
		sorted[i] = &state->tables[i];
	qsort(sorted, state->table_count, sizeof(*sorted), table_order);
	for (uint32_t i = 1; i < state->table_count; i++) {
		struct entry last = {.key = sorted[i - 1]->last}, first = {.key = sorted[i]->first};

		if (sorted[i]->level > 0 && sorted[i]->level == sorted[i - 1]->level &&
		    entry_compare(&last, &first) > 0) {
			*ret_what = "tables of a level overlap";
			error = LEDGER_E_INVALID;
		}
	}
	free(sorted);
	return error;
}

static int blob_order(const void *a, const void *b)
{
	const struct ledger_blob *first = a, *second = b;

	return (first->number > second->number) - (first->number < second->number);
}

/* Takes what the table refers to off the blob files' bytes, which 'blobs' has by number. */
static int check_references(const struct ledger_table *table, struct ledger_blob *blobs,
			    uint32_t count)
{
	for (uint32_t i = 0; i < table->reference_count; i++) {
		struct ledger_blob key = {.number = table->references[i].blob};
		struct ledger_blob *blob = bsearch(&key, blobs, count, sizeof(*blobs), blob_order);

		if (!blob || blob->frame_bytes < table->references[i].bytes)
			return LEDGER_E_INVALID;
		blob->frame_bytes -= table->references[i].bytes;
	}
	return 0;
}

static int check_blobs(const struct ledger_state *state, const char **ret_what)
{
	size_t size = state->blob_count * sizeof(*state->blobs);
	struct ledger_blob *blobs = malloc(MAX(size, sizeof(*blobs)));
	int error = 0;

	if (!blobs)
		return -ENOMEM;
	if (size > 0)
		memcpy(blobs, state->blobs, size);
	qsort(blobs, state->blob_count, sizeof(*blobs), blob_order);
	for (uint32_t i = 0; !error && i < state->table_count; i++)
		error = check_references(&state->tables[i], blobs, state->blob_count);
	if (error)
		*ret_what = "a table refers to a blob file that isn't there or hasn't as much";
	free(blobs);
	return error;
}

int ledger_book_check(const struct ledger_book *book, const char **ret_what)
{
	const struct ledger_state *state = &book->state;

	*ret_what = "a file's number was never given";
	for (uint32_t i = 0; i < state->table_count; i++)
		if (state->tables[i].number >= state->next_file)
			return LEDGER_E_INVALID;
	for (uint32_t i = 0; i < state->blob_count; i++)
		if (state->blobs[i].number >= state->next_file)
			return LEDGER_E_INVALID;
	int error = check_levels(state, ret_what);
	if (!error)
		error = check_blobs(state, ret_what);
	return error;
}

struct ledger_edit ledger_book_edit(const struct ledger_book *book)
{
	const struct ledger_state *state = &book->state;

	return (struct ledger_edit){
		.flushed = state->flushed,
		.history = state->history,
		.pages = state->has_pages ? &state->pages : NULL,
		.log = state->log.number > 0 ? &state->log : NULL,
		.adds = state->tables,
		.add_count = state->table_count,
		.blob_adds = state->blobs,
		.blob_add_count = state->blob_count,
		.pins = state->pins,
		.pin_count = state->pin_count,
	};
}
