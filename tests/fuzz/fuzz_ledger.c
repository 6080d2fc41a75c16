/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/ledger_file.h"

#include <stdlib.h>
#include <string.h>

/*
 * A ledger's file from anywhere: as it is; and the input as the bytes of an edit behind a whole
 * first one, with right checksums, since nearly every input would end at them. What is accepted
 * can be written and read again, and is the same.
 */

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static const struct ledger_head head = {.number = 1, .store = "fuzz"};

static void encode_book(const struct ledger_book *book, struct ledger_bytes *to)
{
	const struct ledger_counters counters = {.next_file = book->state.next_file,
						 .flushed = book->state.flushed,
						 .history = book->state.history};
	const struct ledger_edit edit = ledger_book_edit(book);

	if (ledger_edit_encode(&counters, &edit, to))
		abort();
}

/* What the book's own edit makes of an empty one is the book. */
static void check_again(const struct ledger_book *book)
{
	struct ledger_bytes first = {0}, second = {0};
	struct ledger_book again = {0};
	struct ledger_edit_read read;
	const char *what;

	encode_book(book, &first);
	if (ledger_edit_decode(first.bytes, first.size, &read, &what))
		abort();
	if (ledger_book_apply(&again, &read.counters, &read.edit, &what) ||
	    ledger_book_check(&again, &what))
		abort();
	encode_book(&again, &second);
	if (first.size != second.size || memcmp(first.bytes, second.bytes, first.size) != 0)
		abort();
	ledger_edit_free(&read);
	ledger_book_deinit(&again);
	ledger_bytes_free(&first);
	ledger_bytes_free(&second);
}

static void parse(const uint8_t *bytes, size_t size)
{
	struct ledger_book book;
	char text[256] = "";
	struct ledger_error error = {.text = text, .size = sizeof(text)};
	uint64_t number;

	switch (ledger_file_parse(bytes, size, "fuzz", &book, &number, &error)) {
	case 0:
		check_again(&book);
		ledger_book_deinit(&book);
		break;
	case LEDGER_E_CORRUPT:
		if (!strstr(text, "offset"))
			abort();
		break;
	default:
		break;
	}
}

/* The input as the bytes of edits: each is led by its size, u16. */
static void parse_sealed(const uint8_t *bytes, size_t size)
{
	struct ledger_bytes file = {0};
	uint64_t number = 0;

	ledger_head_encode(&head, &file);
	while (size >= 2) {
		size_t edit = (size_t)bytes[0] | (size_t)bytes[1] << 8;

		bytes += 2;
		size -= 2;
		edit = edit < size ? edit : size;
		if (edit > 0 && ledger_sector_encode(&head, number++, bytes, edit, &file))
			abort();
		bytes += edit;
		size -= edit;
	}
	parse(file.bytes, file.size);
	ledger_bytes_free(&file);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	parse(bytes, size);
	parse_sealed(bytes, size);
	return 0;
}
