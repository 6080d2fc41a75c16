/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/test.h"

#include "base/defs.h"
#include "engine/io.h"
#include "engine/retention.h"
#include "tests/lib/faulty.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A ledger that only remembers pins, and fails when it is told to. */
struct ledger {
	struct ledger_pin pins[LEDGER_PIN_MAX];
	uint32_t count;
	int rc;
	pthread_mutex_t lock; /* as the real one has */
};

static struct ledger ledger;
static struct io *io;
static char folder[] = "/tmp/tern-retention-XXXXXX";

const uint8_t *ledger_store(const struct ledger *from)
{
	(void)from;
	return (const uint8_t *)"sixteen bytes...";
}

uint32_t ledger_pins(struct ledger *from, struct ledger_pin *ret_pins, uint32_t max)
{
	pthread_mutex_lock(&from->lock);
	uint32_t count = from->count;
	memcpy(ret_pins, from->pins, MIN(count, max) * sizeof(ret_pins[0]));
	pthread_mutex_unlock(&from->lock);
	return count;
}

static void remove_pin(struct ledger *to, const char *name)
{
	for (uint32_t i = 0; i < to->count; i++)
		if (strcmp(to->pins[i].name, name) == 0)
			to->pins[i--] = to->pins[--to->count];
}

int ledger_commit(struct ledger *to, const struct ledger_edit *edit)
{
	if (to->rc)
		return to->rc;
	pthread_mutex_lock(&to->lock);
	for (uint32_t i = 0; i < edit->pin_remove_count; i++)
		remove_pin(to, edit->pin_removes[i]);
	for (uint32_t i = 0; i < edit->pin_count; i++) {
		remove_pin(to, edit->pins[i].name);
		assert_true(to->count < LEDGER_PIN_MAX);
		to->pins[to->count++] = edit->pins[i];
	}
	pthread_mutex_unlock(&to->lock);
	return 0;
}

static int set_up(void **state)
{
	(void)state;
	ledger = (struct ledger){.lock = PTHREAD_MUTEX_INITIALIZER};
	assert_int_equal(io_plain_new(folder, true, &io), 0);
	io_remove(io, "history");
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	io_free(io);
	return 0;
}

static struct retention *opened(const struct retention_options *options)
{
	struct retention *retention;

	assert_int_equal(retention_open(io, &ledger, options, &retention), 0);
	return retention;
}

/* A change a second, of ten bytes each. */
static void write_until(struct retention *retention, uint64_t from, uint64_t to)
{
	for (uint64_t second = from; second <= to; second++)
		retention_note(retention, second, second, 10);
}

/* As a store's worker does. */
static void save_pins(struct retention *retention)
{
	assert_int_equal(retention_sync(retention), 0);
}

static struct feed_position at(uint64_t seqno)
{
	return (struct feed_position){.seqno = seqno};
}

static void the_floor_follows_the_age(void **state)
{
	struct retention *retention = opened(&(struct retention_options){
		.age = 1000, .size = RETENTION_FOREVER, .pin_age = 2000});

	(void)state;
	assert_int_equal(retention_floor(retention, 1), 0);
	write_until(retention, 1, 5000);
	assert_in_range(retention_floor(retention, 5000), 3930, 4001);
	assert_in_range(retention_floor(retention, 5500), 4430, 4501);
	retention_close(retention);
}

static void the_floor_follows_the_size(void **state)
{
	struct retention *retention = opened(&(struct retention_options){
		.age = RETENTION_FOREVER, .size = 6400, .pin_size = 12800});

	(void)state;
	write_until(retention, 1, 5000);
	/* The last 640 changes, and up to a sample's distance more. */
	assert_in_range(retention_floor(retention, 5000), 4350, 4361);
	retention_close(retention);
}

static void the_floor_never_falls(void **state)
{
	struct retention *retention =
		opened(&(struct retention_options){.age = 1000, .pin_age = 9000});
	uint64_t floor;

	(void)state;
	write_until(retention, 1, 5000);
	floor = retention_floor(retention, 5000);
	assert_int_equal(retention_pin(retention, "late", at(1), 5000), 0);
	assert_int_equal(retention_floor(retention, 5000), floor);
	assert_int_equal(retention_floor(retention, 4000), floor);
	retention_close(retention);
}

static void a_pin_holds_the_floor_until_it_moves(void **state)
{
	struct retention *retention =
		opened(&(struct retention_options){.age = 1000, .pin_age = 9000});

	(void)state;
	assert_int_equal(retention_pin(retention, "reader", at(70), 0), 0);
	write_until(retention, 1, 5000);
	assert_int_equal(retention_floor(retention, 5000), 70);
	assert_int_equal(retention_pin(retention, "reader", at(2000), 5000), 0);
	save_pins(retention);
	assert_int_equal(retention_floor(retention, 5000), 2000);
	assert_int_equal(retention_unpin(retention, "reader"), 0);
	save_pins(retention);
	assert_in_range(retention_floor(retention, 5000), 3930, 4001);
	retention_close(retention);
}

static void a_dead_readers_pin_lapses(void **state)
{
	struct retention *retention =
		opened(&(struct retention_options){.age = 100, .pin_age = 1000});
	struct retention_reader reader;

	(void)state;
	assert_int_equal(retention_pin(retention, "dead", at(5), 0), 0);
	write_until(retention, 1, 900);
	assert_int_equal(retention_floor(retention, 900), 5);
	assert_int_equal(retention_find(retention, "dead", 900, &reader), 0);
	assert_false(reader.lapsed);
	write_until(retention, 901, 5000);
	assert_in_range(retention_floor(retention, 5000), 3930, 4001);
	assert_int_equal(retention_find(retention, "dead", 5000, &reader), 0);
	assert_true(reader.lapsed);
	assert_int_equal(reader.position.seqno, 5);
	retention_close(retention);
}

static void a_reader_that_lags_by_too_many_bytes_lapses_too(void **state)
{
	struct retention *retention =
		opened(&(struct retention_options){.size = 640, .pin_size = 6400});

	(void)state;
	assert_int_equal(retention_pin(retention, "slow", at(5), 0), 0);
	write_until(retention, 1, 5000);
	assert_in_range(retention_floor(retention, 5000), 4350, 4361);
	retention_close(retention);
}

static void pins_outlast_the_process(void **state)
{
	struct retention *retention = opened(&(struct retention_options){0});
	struct retention_reader reader;

	(void)state;
	assert_int_equal(retention_pin(retention, "a", (struct feed_position){70, 3}, 123), 0);
	assert_int_equal(retention_pin(retention, "b", at(80), 124), 0);
	assert_int_equal(retention_unpin(retention, "b"), 0);
	save_pins(retention);
	retention_close(retention);
	retention = opened(&(struct retention_options){0});
	assert_int_equal(retention_find(retention, "a", 200, &reader), 0);
	assert_int_equal(reader.position.seqno, 70);
	assert_int_equal(reader.position.index, 3);
	assert_int_equal(reader.updated, 123);
	assert_int_equal(retention_find(retention, "b", 200, &reader), RETENTION_E_ABSENT);
	assert_int_equal(retention_unpin(retention, "b"), RETENTION_E_ABSENT);
	retention_close(retention);
}

static void names_are_checked(void **state)
{
	static const char *const bad[] = {"", "a b", "a/b", "\xc3\xa4", "a\n"};
	char longest[LEDGER_PIN_NAME_MAX + 2];
	struct retention *retention = opened(&(struct retention_options){0});

	(void)state;
	for (unsigned i = 0; i < 5; i++)
		assert_int_equal(retention_pin(retention, bad[i], at(1), 1), RETENTION_E_INVALID);
	memset(longest, 'n', sizeof(longest));
	longest[LEDGER_PIN_NAME_MAX + 1] = 0;
	assert_int_equal(retention_pin(retention, longest, at(1), 1), RETENTION_E_INVALID);
	longest[LEDGER_PIN_NAME_MAX] = 0;
	assert_int_equal(retention_pin(retention, longest, at(1), 1), 0);
	retention_close(retention);
}

static void too_many_readers_are_refused_unless_one_has_lapsed(void **state)
{
	struct retention *retention =
		opened(&(struct retention_options){.age = 100, .pin_age = 1000});
	struct retention_reader reader;
	char name[16];

	(void)state;
	for (unsigned i = 0; i < RETENTION_READER_MAX; i++) {
		snprintf(name, sizeof(name), "reader%u", i);
		while (retention_pin(retention, name, at(500 + i), 0) == RETENTION_E_BUSY)
			save_pins(retention);
	}
	write_until(retention, 1, 1000);
	assert_int_equal(retention_pin(retention, "more", at(900), 1000), RETENTION_E_FULL);
	assert_int_equal(retention_pin(retention, "reader7", at(900), 1000), 0);
	write_until(retention, 1001, 1600);
	assert_int_equal(retention_pin(retention, "more", at(1500), 1600), 0);
	assert_int_equal(retention_find(retention, "reader0", 1600, &reader), RETENTION_E_ABSENT);
	assert_int_equal(retention_find(retention, "more", 1600, &reader), 0);
	/* The same when some are staged. */
	assert_int_equal(retention_pin(retention, "another", at(1500), 1600), 0);
	assert_int_equal(retention_find(retention, "reader1", 1600, &reader), RETENTION_E_ABSENT);
	save_pins(retention);
	assert_int_equal(ledger.count, RETENTION_READER_MAX);
	retention_close(retention);
}

/* The worker's part is done by hand here. */
static void a_pin_counts_at_once_and_is_saved_by_the_worker(void **state)
{
	struct retention *retention =
		opened(&(struct retention_options){.age = 1000, .pin_age = 9000});
	struct retention_reader reader;

	(void)state;
	assert_int_equal(retention_job(retention), RETENTION_E_IDLE);
	assert_int_equal(retention_pin(retention, "a", at(70), 1), 0);
	assert_false(retention_is_saved(retention, "a"));
	assert_int_equal(retention_find(retention, "a", 1, &reader), 0);
	assert_int_equal(reader.position.seqno, 70);
	write_until(retention, 1, 5000);
	assert_int_equal(retention_floor(retention, 5000), 70);
	assert_int_equal(ledger.count, 0);
	assert_true(retention_work(retention, 5000, 0));
	assert_int_equal(ledger.count, 0);
	assert_int_equal(retention_job(retention), 0);
	assert_int_equal(ledger.count, 1);
	assert_int_equal(retention_job(retention), RETENTION_E_IDLE);
	assert_false(retention_work(retention, 5000, 0));
	assert_true(retention_is_saved(retention, "a"));

	/* What comes while the worker has the one before. */
	assert_int_equal(retention_pin(retention, "a", at(80), 1), 0);
	assert_true(retention_work(retention, 5000, 0));
	assert_int_equal(retention_pin(retention, "a", at(90), 1), 0);
	assert_int_equal(retention_job(retention), 0);
	assert_int_equal(ledger.pins[0].seqno, 80);
	assert_true(retention_work(retention, 5000, 0));
	assert_false(retention_is_saved(retention, "a"));
	assert_int_equal(retention_job(retention), 0);
	assert_false(retention_work(retention, 5000, 0));
	assert_true(retention_is_saved(retention, "a"));
	assert_int_equal(ledger.pins[0].seqno, 90);
	retention_close(retention);
}

/* After a crash the ledger's pin is the reader's. */
static void what_the_ledgers_pin_needs_is_kept_until_another_is_there(void **state)
{
	struct retention *retention =
		opened(&(struct retention_options){.age = 1000, .pin_age = 9000});

	(void)state;
	assert_int_equal(retention_pin(retention, "a", at(70), 1), 0);
	save_pins(retention);
	write_until(retention, 1, 5000);
	assert_int_equal(retention_pin(retention, "a", at(2000), 1), 0);
	assert_int_equal(retention_floor(retention, 5000), 70);
	assert_true(retention_work(retention, 5000, 0));
	assert_int_equal(retention_floor(retention, 5000), 70);
	assert_int_equal(retention_job(retention), 0);
	assert_int_equal(retention_floor(retention, 5000), 2000);
	assert_int_equal(retention_unpin(retention, "a"), 0);
	assert_int_equal(retention_floor(retention, 5000), 2000);
	save_pins(retention);
	assert_true(retention_floor(retention, 5000) > 3900);
	retention_close(retention);
}

static void readers_that_come_and_go_leave_nothing(void **state)
{
	struct retention *retention = opened(&(struct retention_options){0});
	struct retention_reader reader;
	char name[16];

	(void)state;
	for (unsigned i = 0; i < 3 * RETENTION_STAGED_MAX; i++) {
		snprintf(name, sizeof(name), "reader%u", i % 50);
		assert_int_equal(retention_pin(retention, name, at(1), 1), 0);
		assert_int_equal(retention_unpin(retention, name), 0);
		assert_int_equal(retention_unpin(retention, name), RETENTION_E_ABSENT);
	}
	assert_int_equal(retention_find(retention, "reader1", 1, &reader), RETENTION_E_ABSENT);
	assert_false(retention_work(retention, 1, 0));
	assert_true(retention_is_saved(retention, "reader1"));
	/* One that goes while the worker sets it. */
	assert_int_equal(retention_pin(retention, "a", at(1), 1), 0);
	assert_true(retention_work(retention, 1, 0));
	assert_int_equal(retention_unpin(retention, "a"), 0);
	assert_int_equal(retention_job(retention), 0);
	assert_int_equal(ledger.count, 1);
	save_pins(retention);
	assert_int_equal(ledger.count, 0);
	retention_close(retention);
}

static void more_changes_than_a_job_takes_wait_for_it(void **state)
{
	struct retention *retention = opened(&(struct retention_options){0});
	char name[16];
	unsigned count = 0;

	(void)state;
	for (;; count++) {
		snprintf(name, sizeof(name), "reader%u", count);
		if (retention_pin(retention, name, at(1), 1) != 0)
			break;
	}
	assert_in_range(count, RETENTION_STAGED_MAX - 2, RETENTION_STAGED_MAX);
	assert_int_equal(retention_pin(retention, name, at(1), 1), RETENTION_E_BUSY);
	assert_true(retention_work(retention, 1, 0));
	assert_int_equal(retention_pin(retention, name, at(1), 1), RETENTION_E_BUSY);
	assert_int_equal(retention_job(retention), 0);
	assert_int_equal(retention_pin(retention, name, at(1), 1), 0);
	save_pins(retention);
	assert_int_equal(ledger.count, count + 1);
	retention_close(retention);
}

static void a_pin_that_could_not_be_saved_waits(void **state)
{
	struct retention *retention = opened(&(struct retention_options){0});
	struct retention_reader reader;

	(void)state;
	ledger.rc = -EIO;
	assert_int_equal(retention_pin(retention, "a", at(1), 1), 0);
	assert_true(retention_work(retention, 1, 0));
	assert_int_equal(retention_job(retention), -EIO);
	assert_true(retention_work(retention, 1, 0));
	assert_false(retention_is_saved(retention, "a"));
	assert_int_equal(retention_sync(retention), -EIO);
	ledger.rc = 0;
	assert_int_equal(retention_job(retention), 0);
	assert_false(retention_work(retention, 1, 0));
	assert_true(retention_is_saved(retention, "a"));
	ledger.rc = -ENOSPC;
	assert_int_equal(retention_unpin(retention, "a"), 0);
	assert_int_equal(retention_sync(retention), -ENOSPC);
	retention_close(retention);
	/* It was never gone. */
	retention = opened(&(struct retention_options){0});
	assert_int_equal(retention_find(retention, "a", 1, &reader), 0);
	retention_close(retention);
}

static void what_was_reached_when_outlasts_the_process(void **state)
{
	const struct retention_options options = {.age = 1000, .pin_age = 9000};
	struct retention *retention = opened(&options);
	uint64_t floor;

	(void)state;
	assert_false(retention_work(retention, 5000, 5000));
	write_until(retention, 1, 5000);
	assert_true(retention_work(retention, 5000, 5000));
	assert_int_equal(retention_job(retention), 0);
	assert_false(retention_work(retention, 9000, 5000));
	write_until(retention, 5001, 5100);
	assert_false(retention_work(retention, 5100, 5100));
	floor = retention_floor(retention, 5000);
	retention_close(retention);
	retention = opened(&options);
	assert_int_equal(retention_floor(retention, 5000), floor);
	/* What was written after the file was is younger than anybody knows: kept. */
	assert_in_range(retention_floor(retention, 50000), 4930, 5001);
	retention_close(retention);
}

/* A number that a crash takes back may be given to a younger change. */
static void what_is_not_durable_is_not_in_the_file(void **state)
{
	struct retention *retention = opened(&(struct retention_options){0});
	struct io_file *file;

	(void)state;
	write_until(retention, 1, 5000);
	assert_false(retention_work(retention, 5000, 4999));
	assert_int_equal(retention_save(retention, 5000, 4999), 0);
	assert_int_equal(io_open(io, "history", 0, &file), IO_E_ABSENT);
	/* What was durable then is enough, however much came since. */
	write_until(retention, 5001, 6000);
	assert_true(retention_work(retention, 6000, 5000));
	assert_int_equal(retention_job(retention), 0);
	retention_close(retention);
	retention = opened(&(struct retention_options){.age = 1000});
	assert_in_range(retention_floor(retention, 50000), 4000, 5001);
	retention_close(retention);
}

static void a_file_that_could_not_be_written_waits(void **state)
{
	struct faulty *disk = faulty_new(1);
	struct retention *retention;
	unsigned failures = 0;

	(void)state;
	assert_int_equal(retention_open(faulty_io(disk), &ledger,
					&(struct retention_options){.age = 1000, .pin_age = 9000},
					&retention),
			 0);
	write_until(retention, 1, 5000);
	faulty_polls(disk, true);
	assert_true(retention_work(retention, 5000, 5000));
	faulty_polls(disk, false);
	for (uint64_t call = 1;; call++) {
		faulty_fail_at(disk, faulty_calls(disk) + call, -EIO, 1);
		if (retention_job(retention) == 0)
			break;
		faulty_polls(disk, true);
		assert_true(retention_work(retention, 5000, 5000));
		faulty_polls(disk, false);
		failures++;
	}
	assert_true(failures > 4);
	faulty_fail_at(disk, 0, 0, 0);
	retention_close(retention);
	assert_int_equal(retention_open(faulty_io(disk), &ledger,
					&(struct retention_options){.age = 1000, .pin_age = 9000},
					&retention),
			 0);
	assert_in_range(retention_floor(retention, 5000), 3930, 4001);
	retention_close(retention);
	faulty_free(disk);
}

static atomic_bool done;

static void *run_jobs(void *context)
{
	unsigned failures = 0;

	while (!atomic_load(&done))
		failures += retention_job(context) < 0;
	return failures > 0 ? context : NULL;
}

/* The last that the owner says of a reader is what stays. */
static void an_owner_and_a_worker_agree(void **state)
{
	struct retention *retention = opened(&(struct retention_options){0});
	struct retention_reader reader;
	pthread_t worker;
	void *failed;
	char name[16];

	(void)state;
	atomic_store(&done, false);
	assert_int_equal(pthread_create(&worker, NULL, run_jobs, retention), 0);
	for (unsigned i = 0; i < 20000; i++) {
		uint64_t now = i * UINT64_C(100);

		snprintf(name, sizeof(name), "reader%u", i % 7);
		retention_note(retention, i + 1, now, 10);
		if (i % 5 == 0)
			(void)retention_unpin(retention, name);
		else
			assert_int_equal(retention_pin(retention, name, at(i), now), 0);
		(void)retention_work(retention, now, i);
		assert_true(retention_floor(retention, now) <= i + 1);
	}
	for (unsigned i = 0; i < 6; i++) {
		snprintf(name, sizeof(name), "reader%u", i);
		assert_int_equal(retention_pin(retention, name, at(30000 + i), 1), 0);
		while (!retention_is_saved(retention, name))
			(void)retention_work(retention, 1, 1);
	}
	atomic_store(&done, true);
	assert_int_equal(pthread_join(worker, &failed), 0);
	assert_null(failed);
	retention_close(retention);
	retention = opened(&(struct retention_options){0});
	for (unsigned i = 0; i < 6; i++) {
		snprintf(name, sizeof(name), "reader%u", i);
		assert_int_equal(retention_find(retention, name, 1, &reader), 0);
		assert_int_equal(reader.position.seqno, 30000 + i);
	}
	retention_close(retention);
}

static void a_damaged_file_is_refused(void **state)
{
	const struct retention_options options = {0};
	struct retention *retention = opened(&options), *other = NULL;
	struct io_file *file;
	uint8_t byte;

	(void)state;
	write_until(retention, 1, 500);
	assert_int_equal(retention_save(retention, 500, 500), 0);
	retention_close(retention);
	assert_int_equal(io_open(io, "history", 0, &file), 0);
	assert_int_equal(io_read(file, 50, &byte, 1), 0);
	byte ^= 4;
	assert_int_equal(io_write(file, 50, &byte, 1), 0);
	assert_int_equal(retention_open(io, &ledger, &options, &other), RETENTION_E_CORRUPT);
	assert_int_equal(io_truncate(file, (1U << 20)), 0);
	assert_int_equal(retention_open(io, &ledger, &options, &other), RETENTION_E_CORRUPT);
	assert_int_equal(io_truncate(file, 0), 0);
	assert_int_equal(retention_open(io, &ledger, &options, &other), RETENTION_E_CORRUPT);
	assert_null(other);
	io_close(file);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		CASE(the_floor_follows_the_age),
		CASE(the_floor_follows_the_size),
		CASE(the_floor_never_falls),
		CASE(a_pin_holds_the_floor_until_it_moves),
		CASE(a_dead_readers_pin_lapses),
		CASE(a_reader_that_lags_by_too_many_bytes_lapses_too),
		CASE(pins_outlast_the_process),
		CASE(names_are_checked),
		CASE(too_many_readers_are_refused_unless_one_has_lapsed),
		CASE(a_pin_counts_at_once_and_is_saved_by_the_worker),
		CASE(what_the_ledgers_pin_needs_is_kept_until_another_is_there),
		CASE(readers_that_come_and_go_leave_nothing),
		CASE(more_changes_than_a_job_takes_wait_for_it),
		CASE(a_pin_that_could_not_be_saved_waits),
		CASE(what_was_reached_when_outlasts_the_process),
		CASE(what_is_not_durable_is_not_in_the_file),
		CASE(a_file_that_could_not_be_written_waits),
		CASE(an_owner_and_a_worker_agree),
		CASE(a_damaged_file_is_refused),
	};
	int failed;

	if (!mkdtemp(folder))
		return 1;
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	if (!io_plain_new(folder, false, &io)) {
		io_remove(io, "history");
		io_free(io);
	}
	rmdir(folder);
	return failed != 0;
}
