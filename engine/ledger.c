/* SPDX-License-Identifier: Apache-2.0 */

#include "engine/ledger.h"

#include "base/check.h"
#include "base/rand.h"
#include "engine/ledger_book.h"
#include "engine/ledger_file.h"
#include "engine/ledger_sector.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A ledger is written anew when it has grown to this many times what it began with, and by as many
 * bytes at least: then writing anew costs a fraction of what was appended. */
#define GROWN_TIMES 4
#define GROWN_SIZE  (UINT64_C(64) << 10)

struct ledger {
	struct io *io;
	struct io_file *file; /* NULL: what CURRENT names isn't known, so the next is a new one */
	struct ledger_head head;
	/* Who asks must not wait for another thread's sync, so 'lock' is never held for one. The
	 * book is replaced with both locks held. */
	pthread_mutex_t commits; /* one at a time: of the rest */
	pthread_mutex_t lock;    /* of the book and next_file */
	struct ledger_book book;
	uint64_t next_file;  /* as given out: the book has what is lasting */
	uint64_t attempt;    /* highest number of a ledger's file that was tried */
	uint64_t size;       /* of the file */
	uint64_t begun_size; /* of its head and first edit */
	uint64_t edit;       /* number of the next */
	bool read_only;
};

/* What CURRENT names now is on the disk, or the one before: both stay until this succeeds. */
static int write_anew(struct ledger *ledger, const struct ledger_book *book)
{
	struct ledger_head head = ledger->head;
	struct io_file *file;
	uint64_t size;

	io_close(ledger->file);
	ledger->file = NULL;
	head.number = ++ledger->attempt;
	int error = ledger_file_write(ledger->io, &head, book, &file, &size);
	if (error)
		return error;
	error = ledger_current_write(ledger->io, head.number);
	if (error) {
		io_close(file);
		return error;
	}
	ledger->file = file;
	ledger->head = head;
	ledger->size = ledger->begun_size = size;
	ledger->edit = 1;
	ledger_file_clean(ledger->io, head.number);
	return 0;
}

static int append_bytes(struct ledger *ledger, const struct ledger_bytes *sectors)
{
	int error = io_write(ledger->file, ledger->size, sectors->bytes, sectors->size);

	if (!error)
		error = io_sync(ledger->file);
	if (error) {
		io_close(ledger->file);
		ledger->file = NULL;
		return error;
	}
	ledger->size += sectors->size;
	ledger->edit++;
	return 0;
}

static int append(struct ledger *ledger, const struct ledger_counters *counters,
		  const struct ledger_edit *edit)
{
	struct ledger_bytes bytes = {0}, sectors = {0};
	int error = ledger_edit_encode(counters, edit, &bytes);

	if (!error)
		error = ledger_sector_encode(&ledger->head, ledger->edit, bytes.bytes, bytes.size,
					     &sectors);
	if (!error)
		error = append_bytes(ledger, &sectors);
	ledger_bytes_free(&bytes);
	ledger_bytes_free(&sectors);
	return error;
}

static bool has_grown(const struct ledger *ledger)
{
	return ledger->size > GROWN_TIMES * ledger->begun_size &&
	       ledger->size - ledger->begun_size > GROWN_SIZE;
}

static uint64_t given_out(struct ledger *ledger)
{
	pthread_mutex_lock(&ledger->lock);
	uint64_t number = ledger->next_file;
	pthread_mutex_unlock(&ledger->lock);
	return number;
}

static void replace_book(struct ledger *ledger, const struct ledger_book *book)
{
	pthread_mutex_lock(&ledger->lock);
	struct ledger_book before = ledger->book;
	ledger->book = *book;
	pthread_mutex_unlock(&ledger->lock);
	ledger_book_deinit(&before);
}

/* The book with the edit in it comes first, so that nothing can fail behind the sync. */
static int commit(struct ledger *ledger, const struct ledger_edit *edit)
{
	const struct ledger_counters counters = {.next_file = given_out(ledger),
						 .flushed = edit->flushed,
						 .history = edit->history ? edit->history : 1};
	struct ledger_book book;
	const char *what;
	int error = ledger_book_copy(&ledger->book, &book);

	if (error)
		return error;
	error = ledger_book_apply(&book, &counters, edit, &what);
	if (!error)
		error = ledger->file && !has_grown(ledger) ? append(ledger, &counters, edit)
							   : write_anew(ledger, &book);
	if (error) {
		ledger_book_deinit(&book);
		return error;
	}
	replace_book(ledger, &book);
	return 0;
}

int ledger_commit(struct ledger *ledger, const struct ledger_edit *edit)
{
	if (ledger->read_only)
		return -EROFS;

	pthread_mutex_lock(&ledger->commits);
	int error = commit(ledger, edit);
	pthread_mutex_unlock(&ledger->commits);
	return error;
}

static int refuse_orphans(struct ledger *ledger, struct ledger_error *error)
{
	char name[IO_NAME_MAX + 1];
	bool found;
	int result = ledger_file_orphans(ledger->io, name, &found);

	if (result || !found)
		return result;
	snprintf(error->text, error->size,
		 LEDGER_CURRENT ": offset 0: it isn't there, and %s needs it", name);
	return LEDGER_E_CORRUPT;
}

static int make(struct ledger *ledger, struct ledger_error *error)
{
	int result = refuse_orphans(ledger, error);

	if (result)
		return result;
	ledger->book.state.next_file = 1;
	ledger->book.state.history = 1;
	return rand_secret(ledger->book.state.store, sizeof(ledger->book.state.store));
}

static int open_state(struct ledger *ledger, const struct ledger_options *options,
		      struct ledger_error *error)
{
	uint64_t number;
	int result = ledger_current_read(ledger->io, &number, error);

	if (!result) {
		result = ledger_file_read(ledger->io, number, &ledger->book, error);
		ledger->attempt = number;
	} else if (result == LEDGER_E_ABSENT && options->create && !options->read_only) {
		result = make(ledger, error);
	}
	if (result)
		return result;
	memcpy(ledger->head.store, ledger->book.state.store, sizeof(ledger->head.store));
	ledger->next_file = ledger->book.state.next_file;
	return options->read_only ? 0 : write_anew(ledger, &ledger->book);
}

int ledger_open(struct io *io, const struct ledger_options *options, struct ledger **ret_ledger,
		char *error, size_t error_size)
{
	struct ledger_error text = {.text = error, .size = error_size};
	struct ledger *ledger = calloc(1, sizeof(*ledger));

	if (!ledger)
		return -ENOMEM;
	ledger->io = io;
	ledger->read_only = options->read_only;
	CHECK(pthread_mutex_init(&ledger->commits, NULL) == 0);
	CHECK(pthread_mutex_init(&ledger->lock, NULL) == 0);
	int result = open_state(ledger, options, &text);
	if (result) {
		ledger_close(ledger);
		return result;
	}
	*ret_ledger = ledger;
	return 0;
}

void ledger_close(struct ledger *ledger)
{
	if (!ledger)
		return;
	io_close(ledger->file);
	ledger_book_deinit(&ledger->book);
	pthread_mutex_destroy(&ledger->lock);
	pthread_mutex_destroy(&ledger->commits);
	free(ledger);
}

const struct ledger_state *ledger_state(const struct ledger *ledger)
{
	return &ledger->book.state;
}

const uint8_t *ledger_store(const struct ledger *ledger)
{
	return ledger->head.store;
}

uint64_t ledger_next_file(struct ledger *ledger)
{
	pthread_mutex_lock(&ledger->lock);
	uint64_t number = ledger->next_file++;
	pthread_mutex_unlock(&ledger->lock);
	return number;
}

void ledger_skip_files(struct ledger *ledger, uint64_t number)
{
	pthread_mutex_lock(&ledger->lock);
	if (ledger->next_file <= number)
		ledger->next_file = number + 1;
	pthread_mutex_unlock(&ledger->lock);
}

uint32_t ledger_pins(struct ledger *ledger, struct ledger_pin *ret_pins, uint32_t max)
{
	pthread_mutex_lock(&ledger->lock);
	const struct ledger_state *state = &ledger->book.state;
	for (uint32_t i = 0; i < state->pin_count && i < max; i++)
		ret_pins[i] = state->pins[i];
	uint32_t count = state->pin_count;
	pthread_mutex_unlock(&ledger->lock);
	return count;
}
