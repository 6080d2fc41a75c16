/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/ledger.h"

#include "tests/lib/faulty.h"
#include "tests/lib/test.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct ledger_options create = {.create = true};
static char text[256];

static struct ledger *open_ledger(struct faulty *disk)
{
	struct ledger *ledger;

	assert_int_equal(ledger_open(faulty_io(disk), &create, &ledger, text, sizeof(text)), 0);
	return ledger;
}

static struct entry_bytes bytes_of(const char *string)
{
	return (struct entry_bytes){.bytes = (const uint8_t *)string,
				    .size = (uint32_t)strlen(string)};
}

static struct ledger_table table_of(struct ledger *ledger, const char *first, const char *last)
{
	return (struct ledger_table){
		.number = ledger_next_file(ledger),
		.size = 1234,
		.entries = 5,
		.seqno_min = 7,
		.seqno_max = 9,
		.first = bytes_of(first),
		.last = bytes_of(last),
		.level = 1,
	};
}

static void commit(struct ledger *ledger, const struct ledger_edit *edit)
{
	assert_int_equal(ledger_commit(ledger, edit), 0);
}

/* A ledger with something of everything. */
static void fill(struct ledger *ledger)
{
	const struct ledger_blob blob = {
		.number = ledger_next_file(ledger), .size = 900, .frame_bytes = 800};
	const struct ledger_reference reference = {.blob = blob.number, .bytes = 700};
	struct ledger_table tables[2] = {table_of(ledger, "a", "f"), table_of(ledger, "f", "k")};
	const struct ledger_pages pages = {.state = {.lsn = 5, .page_count = 77, .height = 3},
					   .header = "header"};
	const struct ledger_log log = {.number = 8, .first = 70, .size = 4096, .durable = 75};
	const struct ledger_pin pins[] = {{.name = "zoe", .seqno = 4},
					  {.name = "ann", .seqno = 6, .updated = 9, .index = 2}};

	tables[0].references = &reference;
	tables[0].reference_count = 1;
	commit(ledger, &(struct ledger_edit){.flushed = 9,
					     .history = 3,
					     .pages = &pages,
					     .log = &log,
					     .adds = tables,
					     .add_count = 2,
					     .blob_adds = &blob,
					     .blob_add_count = 1,
					     .pins = pins,
					     .pin_count = 2});
}

static void assert_filled(const struct ledger *ledger)
{
	const struct ledger_state *state = ledger_state(ledger);

	assert_int_equal(state->flushed, 9);
	assert_int_equal(state->history, 3);
	assert_int_equal(state->next_file, 4);
	assert_true(state->has_pages);
	assert_int_equal(state->pages.state.page_count, 77);
	assert_int_equal(state->pages.state.height, 3);
	assert_string_equal((const char *)state->pages.header, "header");
	assert_int_equal(state->log.number, 8);
	assert_int_equal(state->log.first, 70);
	assert_int_equal(state->log.size, 4096);
	assert_int_equal(state->log.durable, 75);
	assert_int_equal(state->table_count, 2);
	assert_int_equal(state->tables[0].reference_count, 1);
	assert_int_equal(state->tables[0].references[0].bytes, 700);
	assert_memory_equal(state->tables[1].last.bytes, "k", 1);
	assert_int_equal(state->blob_count, 1);
	assert_int_equal(state->pin_count, 2);
	assert_string_equal(state->pins[0].name, "ann");
	assert_int_equal(state->pins[0].index, 2);
}

static void what_was_committed_is_there_again(void **state)
{
	struct faulty *disk = faulty_new(1);
	struct ledger *ledger = open_ledger(disk);
	uint8_t store[16];

	(void)state;
	memcpy(store, ledger_store(ledger), sizeof(store));
	fill(ledger);
	assert_filled(ledger);
	ledger_close(ledger);
	for (unsigned i = 0; i < 3; i++) {
		faulty_restart(disk, i);
		ledger = open_ledger(disk);
		assert_filled(ledger);
		assert_memory_equal(ledger_store(ledger), store, sizeof(store));
		ledger_close(ledger);
	}
	faulty_free(disk);
}

static void a_folder_without_a_store_is_said_to_be_one(void **state)
{
	const struct ledger_options options = {0};
	struct faulty *disk = faulty_new(1);
	struct ledger *ledger;

	(void)state;
	assert_int_equal(ledger_open(faulty_io(disk), &options, &ledger, text, sizeof(text)),
			 LEDGER_E_ABSENT);
	faulty_free(disk);
}

static void files_without_their_ledger_are_refused(void **state)
{
	struct faulty *disk = faulty_new(1);
	struct ledger *ledger;

	(void)state;
	faulty_file_set(disk, "wal-0000000000000001", "x", 1);
	assert_int_equal(ledger_open(faulty_io(disk), &create, &ledger, text, sizeof(text)),
			 LEDGER_E_CORRUPT);
	assert_non_null(strstr(text, "wal-0000000000000001"));
	faulty_free(disk);
}

static void a_reader_changes_nothing(void **state)
{
	const struct ledger_options options = {.read_only = true};
	struct faulty *disk = faulty_new(1);
	struct ledger *ledger = open_ledger(disk);

	(void)state;
	fill(ledger);
	ledger_close(ledger);
	uint64_t steps = faulty_steps(disk);
	assert_int_equal(ledger_open(faulty_io(disk), &options, &ledger, text, sizeof(text)), 0);
	assert_filled(ledger);
	assert_int_equal(ledger_commit(ledger, &(struct ledger_edit){.flushed = 99}), -EROFS);
	ledger_close(ledger);
	assert_int_equal(faulty_steps(disk), steps);
	faulty_free(disk);
}

static void an_edit_that_does_not_fit_changes_nothing(void **state)
{
	struct faulty *disk = faulty_new(1);
	struct ledger *ledger = open_ledger(disk);
	const uint64_t absent[] = {2, 77};
	const char *const nobody[] = {"nobody"};

	(void)state;
	fill(ledger);
	assert_int_equal(
		ledger_commit(ledger, &(struct ledger_edit){.removes = absent, .remove_count = 2}),
		LEDGER_E_INVALID);
	assert_int_equal(ledger_commit(ledger, &(struct ledger_edit){.pin_removes = nobody,
								     .pin_remove_count = 1}),
			 LEDGER_E_INVALID);
	assert_filled(ledger);
	ledger_close(ledger);
	ledger = open_ledger(disk);
	assert_filled(ledger);
	ledger_close(ledger);
	faulty_free(disk);
}

static void pins_are_set_moved_and_taken_away(void **state)
{
	struct faulty *disk = faulty_new(1);
	struct ledger *ledger = open_ledger(disk);
	struct ledger_pin pin = {.name = "ann", .seqno = 10}, pins[4];
	const char *const zoe[] = {"zoe"};

	(void)state;
	fill(ledger);
	commit(ledger,
	       &(struct ledger_edit){
		       .pins = &pin, .pin_count = 1, .pin_removes = zoe, .pin_remove_count = 1});
	assert_int_equal(ledger_pins(ledger, pins, 4), 1);
	assert_int_equal(pins[0].seqno, 10);
	ledger_close(ledger);
	ledger = open_ledger(disk);
	assert_int_equal(ledger_pins(ledger, pins, 4), 1);
	assert_string_equal(pins[0].name, "ann");
	ledger_close(ledger);
	faulty_free(disk);
}

static uint32_t count_ledgers(struct faulty *disk)
{
	char(*names)[IO_NAME_MAX + 1];
	uint32_t count = faulty_files(disk, &names), ledgers = 0;

	for (uint32_t i = 0; i < count; i++)
		ledgers += strncmp(names[i], "ledger-", 7) == 0;
	free(names);
	return ledgers;
}

/* A thousand edits of a sector each would be half a MiB. */
static void a_ledger_that_has_grown_is_written_anew(void **state)
{
	struct faulty *disk = faulty_new(1);
	struct ledger *ledger = open_ledger(disk);
	char(*names)[IO_NAME_MAX + 1];
	size_t size;

	(void)state;
	for (uint64_t i = 1; i <= 1000; i++)
		commit(ledger, &(struct ledger_edit){.flushed = i});
	assert_int_equal(count_ledgers(disk), 1);
	assert_int_equal(faulty_files(disk, &names), 2);
	uint8_t *bytes = faulty_file_bytes(disk, names[1], &size);
	assert_non_null(bytes);
	assert_true(size < 100000);
	free(bytes);
	free(names);
	ledger_close(ledger);
	ledger = open_ledger(disk);
	assert_int_equal(ledger_state(ledger)->flushed, 1000);
	ledger_close(ledger);
	faulty_free(disk);
}

/* The n-th call fails, for every n; what is committed again is there, and nothing else. */
static void a_commit_that_failed_can_be_made_again(void **state)
{
	(void)state;
	for (uint64_t n = 1;; n++) {
		struct faulty *disk = faulty_new(n);
		struct ledger *ledger = open_ledger(disk);
		unsigned failures = 0;

		faulty_fail_at(disk, faulty_calls(disk) + n, n % 2 ? -EIO : -ENOSPC, 1 + n % 3);
		for (uint64_t i = 1; i <= 6; i++)
			while (ledger_commit(ledger, &(struct ledger_edit){.flushed = i}) != 0) {
				assert_int_equal(ledger_state(ledger)->flushed, i - 1);
				assert_true(++failures < 10);
			}
		ledger_close(ledger);
		faulty_restart(disk, n);
		ledger = open_ledger(disk);
		assert_int_equal(ledger_state(ledger)->flushed, 6);
		ledger_close(ledger);
		assert_int_equal(count_ledgers(disk), 1);
		faulty_free(disk);
		if (failures == 0)
			break;
	}
}

/* Power goes at every step: all that was taken is there, and at most one edit more. */
static void an_edit_is_there_wholly_or_not_at_all(void **state)
{
	(void)state;
	for (uint64_t cut = 1, done = 0; !done; cut++)
		for (uint64_t tear = 0; tear < 4; tear++) {
			struct faulty *disk = faulty_new(cut);
			struct ledger *ledger;
			uint64_t taken = 0;

			faulty_cut_at(disk, cut);
			if (ledger_open(faulty_io(disk), &create, &ledger, text, sizeof(text)) ==
			    0) {
				char name[ENTRY_KEY_MAX];

				memset(name, 'x', sizeof(name));
				for (uint64_t i = 1; i <= 4; i++) {
					struct ledger_table table = table_of(ledger, "a", "b");

					table.level = 0;
					table.last = (struct entry_bytes){.bytes = (uint8_t *)name,
									  .size = sizeof(name)};
					if (ledger_commit(ledger,
							  &(struct ledger_edit){.flushed = i,
										.adds = &table,
										.add_count = 1}))
						break;
					taken = i;
				}
				ledger_close(ledger);
			}
			done = !faulty_is_off(disk);
			faulty_restart(disk, tear);
			ledger = open_ledger(disk);
			uint64_t flushed = ledger_state(ledger)->flushed;
			assert_true(flushed == taken || flushed == taken + 1);
			assert_int_equal(ledger_state(ledger)->table_count, flushed);
			ledger_close(ledger);
			faulty_free(disk);
		}
}

/* Any single bit of any file. */
static void a_flipped_bit_is_refused(void **state)
{
	struct faulty *disk = faulty_new(1);
	struct ledger *ledger = open_ledger(disk);
	char(*names)[IO_NAME_MAX + 1];

	(void)state;
	fill(ledger);
	ledger_close(ledger);
	uint32_t count = faulty_files(disk, &names);
	for (uint32_t i = 0; i < count; i++) {
		size_t size;
		uint8_t *bytes = faulty_file_bytes(disk, names[i], &size);

		free(bytes);
		for (uint64_t bit = 0; bit < 8 * size; bit++) {
			faulty_flip(disk, names[i], bit);
			assert_int_equal(
				ledger_open(faulty_io(disk), &create, &ledger, text, sizeof(text)),
				LEDGER_E_CORRUPT);
			assert_non_null(strstr(text, "offset"));
			faulty_flip(disk, names[i], bit);
		}
	}
	free(names);
	ledger = open_ledger(disk);
	assert_filled(ledger);
	ledger_close(ledger);
	faulty_free(disk);
}

static void numbers_of_files_are_never_given_twice(void **state)
{
	struct faulty *disk = faulty_new(1);
	struct ledger *ledger = open_ledger(disk);

	(void)state;
	assert_int_equal(ledger_next_file(ledger), 1);
	assert_int_equal(ledger_next_file(ledger), 2);
	ledger_skip_files(ledger, 10);
	ledger_skip_files(ledger, 5);
	assert_int_equal(ledger_next_file(ledger), 11);
	commit(ledger, &(struct ledger_edit){.flushed = 1});
	ledger_close(ledger);
	ledger = open_ledger(disk);
	assert_int_equal(ledger_next_file(ledger), 12);
	ledger_close(ledger);
	faulty_free(disk);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_committed_is_there_again),
		cmocka_unit_test(a_folder_without_a_store_is_said_to_be_one),
		cmocka_unit_test(files_without_their_ledger_are_refused),
		cmocka_unit_test(a_reader_changes_nothing),
		cmocka_unit_test(an_edit_that_does_not_fit_changes_nothing),
		cmocka_unit_test(pins_are_set_moved_and_taken_away),
		cmocka_unit_test(a_ledger_that_has_grown_is_written_anew),
		cmocka_unit_test(a_commit_that_failed_can_be_made_again),
		cmocka_unit_test(an_edit_is_there_wholly_or_not_at_all),
		cmocka_unit_test(a_flipped_bit_is_refused),
		cmocka_unit_test(numbers_of_files_are_never_given_twice),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
