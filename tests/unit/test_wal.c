/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/wal.h"

#include "engine/wal_folder.h"
#include "engine/wal_format.h"
#include "tests/lib/faulty.h"
#include "tests/lib/log_rig.h"
#include "tests/lib/test.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static struct faulty *disk;
static struct io *io;

static int set_up(void **state)
{
	disk = faulty_new(1);
	io = faulty_io(disk);
	return 0;
}

static int tear_down(void **state)
{
	faulty_free(disk);
	return 0;
}

static struct log_rig_result read_all(void)
{
	const struct wal_reader_options options = {0};

	return log_rig_read(io, &options, /* cut= */ false);
}

/* Polls until nothing is under way. */
static void settle(struct wal *wal)
{
	for (unsigned i = 0; i < 100000; i++)
		(void)wal_poll(wal);
}

static void what_was_synced_is_read_back(void **state)
{
	struct wal *wal = log_rig_open(io, 1);
	struct log_rig_result result;

	for (unsigned i = 0; i < 10; i++)
		assert_int_equal(log_rig_append(wal, 100), 0);
	assert_int_equal(wal_position(wal).durable, 0);
	assert_int_equal(wal_sync(wal), 0);
	assert_int_equal(wal_position(wal).durable, 10);
	wal_close(wal);
	result = read_all();
	assert_int_equal(result.end, WAL_READER_E_END);
	assert_int_equal(result.first, 1);
	assert_int_equal(result.sets, 10);
	assert_int_equal(result.last, 11); /* the Durable record of the close */
}

static void records_that_gather_share_a_sync(void **state)
{
	struct wal *wal = log_rig_open(io, 1);

	assert_int_equal(log_rig_append(wal, 50), 0);
	wal_flush(wal, true);
	for (unsigned i = 0; i < 20; i++) {
		assert_int_equal(log_rig_append(wal, 50), 0);
		wal_flush(wal, true); /* a write is under way: follows by itself */
	}
	settle(wal);
	assert_int_equal(wal_position(wal).durable, wal_position(wal).next - 1);
	assert_in_range(wal_stats(wal).flushes, 2, 3);
	assert_int_equal(wal_stats(wal).records, 21);
	wal_close(wal);
}

static void a_flush_without_sync_is_not_durable_until_one_with(void **state)
{
	struct wal *wal = log_rig_open(io, 1);

	assert_int_equal(log_rig_append(wal, 50), 0);
	wal_flush(wal, false);
	settle(wal);
	assert_int_equal(wal_position(wal).durable, 0);
	wal_flush(wal, true);
	settle(wal);
	assert_int_equal(wal_position(wal).durable, 1);
	wal_close(wal);
}

static void segments_rotate_and_are_used_again(void **state)
{
	struct wal *wal = log_rig_open(io, 1);
	struct log_rig_result result;

	for (unsigned i = 0; i < 400; i++) {
		assert_int_equal(log_rig_append(wal, 700), 0);
		assert_int_equal(wal_sync(wal), 0);
		if (i % 40 == 39)
			assert_int_equal(wal_release(wal, wal_position(wal).durable), 0);
	}
	assert_true(wal_stats(wal).segments > 15);
	assert_true(wal_stats(wal).recycled > 5);
	assert_true(wal_position(wal).oldest > 1);
	wal_close(wal);
	result = read_all();
	assert_int_equal(result.end, WAL_READER_E_END);
	assert_true(result.first > 1);
}

static void a_full_buffer_says_busy_and_takes_more_after_a_flush(void **state)
{
	struct wal *wal = log_rig_open(io, 1);
	unsigned count = 0;

	assert_true(wal_has_room(wal, 8000, 1));
	assert_false(wal_has_room(wal, 8192, 1));
	while (log_rig_append(wal, 500) == 0)
		count++;
	assert_int_equal(log_rig_append(wal, 500), WAL_E_BUSY);
	assert_int_equal(count, 8192 / (500 + 42 + 8));
	assert_int_equal(wal_position(wal).next, count + 1);
	assert_int_equal(wal_sync(wal), 0);
	assert_int_equal(log_rig_append(wal, 500), 0);
	assert_int_equal(wal_sync(wal), 0);
	wal_close(wal);
	assert_int_equal(read_all().sets, count + 1);
}

static void a_record_that_no_buffer_holds_is_refused(void **state)
{
	struct wal *wal = log_rig_open(io, 1);

	assert_int_equal(log_rig_append(wal, 8192), WAL_E_SIZE);
	assert_int_equal(wal_position(wal).next, 1);
	assert_int_equal(log_rig_append(wal, 8192 - 50), 0);
	wal_close(wal);
}

static void a_transaction_waits_for_its_commit(void **state)
{
	struct wal *wal = log_rig_open(io, 1);
	uint64_t lsn = 0;

	assert_int_equal(log_rig_append(wal, 100), 0);
	assert_int_equal(wal_begin(wal, 7, 5), 0);
	assert_int_equal(log_rig_append(wal, 100), 0);
	wal_flush(wal, true);
	settle(wal);
	assert_int_equal(wal_position(wal).durable, 1);
	assert_int_equal(read_all().last, 1);
	assert_int_equal(log_rig_append(wal, 100), 0);
	assert_int_equal(wal_commit(wal, 5, &lsn), 0);
	assert_int_equal(lsn, 5);
	assert_int_equal(wal_sync(wal), 0);
	assert_int_equal(wal_position(wal).durable, 5);
	assert_int_equal(read_all().last, 5);
	assert_false(read_all().open_tx);
	wal_close(wal);
}

/* What is durable of the log may never end within one: then tables would have a part of it that a
 * power cut takes from the log. */
static void a_transaction_across_segments_is_durable_as_a_whole(void **state)
{
	struct wal *wal = log_rig_open(io, 1);

	for (uint64_t tx = 1; tx <= 40; tx++) {
		uint64_t before = wal_position(wal).durable;
		uint64_t lsn;

		assert_int_equal(wal_begin(wal, tx, 5), 0);
		for (unsigned i = 0; i < 10; i++)
			assert_int_equal(log_rig_append(wal, 300), 0);
		assert_int_equal(wal_commit(wal, 5, &lsn), 0);
		wal_flush(wal, true);
		for (unsigned i = 0; i < 100000 && wal_position(wal).durable < lsn; i++) {
			assert_in_range(wal_position(wal).durable, before, before + 1);
			(void)wal_poll(wal);
		}
		assert_int_equal(wal_position(wal).durable, lsn);
	}
	assert_true(wal_stats(wal).segments > 5);
	wal_close(wal);
}

static void a_rollback_takes_everything_back(void **state)
{
	struct wal *wal = log_rig_open(io, 1);
	struct log_rig_result result;

	for (unsigned round = 0; round < 60; round++) {
		uint64_t before = wal_position(wal).next;

		assert_int_equal(wal_begin(wal, round, 5), 0);
		for (unsigned i = 0; i < round % 6; i++) {
			assert_int_equal(log_rig_append(wal, 900), 0);
			wal_flush(wal, true);
			if (round % 3)
				settle(wal);
		}
		assert_int_equal(wal_rollback(wal, 5), 0);
		assert_in_range(wal_position(wal).next, before, before + 1);
		assert_int_equal(log_rig_append(wal, 300), 0);
		assert_int_equal(wal_sync(wal), 0);
	}
	assert_int_equal(wal_stats(wal).records, 60);
	wal_close(wal);
	result = read_all();
	assert_int_equal(result.end, WAL_READER_E_END);
	assert_int_equal(result.sets, 60);
}

static void a_transaction_that_no_buffer_holds_is_refused_and_can_be_rolled_back(void **state)
{
	struct wal *wal = log_rig_open(io, 1);
	unsigned count = 0;
	int result;

	assert_int_equal(wal_begin(wal, 1, 1), 0);
	while ((result = log_rig_append(wal, 1000)) == 0)
		count++;
	assert_int_equal(result, WAL_E_SIZE);
	assert_int_equal(count, 7);
	assert_int_equal(wal_rollback(wal, 1), 0);
	assert_int_equal(wal_position(wal).next, 1);
	wal_close(wal);
}

static void a_transaction_behind_others_is_busy_until_they_are_written(void **state)
{
	struct wal *wal = log_rig_open(io, 1);
	uint64_t lsn;

	for (unsigned i = 0; i < 6; i++)
		assert_int_equal(log_rig_append(wal, 1000), 0);
	assert_int_equal(wal_begin(wal, 1, 1), 0);
	assert_int_equal(log_rig_append(wal, 1000), 0);
	assert_int_equal(log_rig_append(wal, 1000), WAL_E_BUSY);
	wal_flush(wal, true);
	for (unsigned i = 0; i < 6; i++)
		assert_int_equal(log_rig_append(wal, 1000), 0);
	assert_int_equal(wal_commit(wal, 1, &lsn), 0);
	assert_int_equal(wal_sync(wal), 0);
	wal_close(wal);
	assert_int_equal(read_all().sets, 13);
}

static void a_log_goes_on_in_a_segment_of_its_own(void **state)
{
	struct wal *wal = log_rig_open(io, 1);
	struct log_rig_result result;

	assert_int_equal(log_rig_append(wal, 100), 0);
	assert_int_equal(wal_sync(wal), 0);
	wal_close(wal);
	wal = log_rig_open(io, read_all().last + 1);
	assert_int_equal(wal_position(wal).next, 3);
	assert_int_equal(wal_position(wal).oldest, 1);
	assert_int_equal(log_rig_append(wal, 100), 0);
	assert_int_equal(wal_sync(wal), 0);
	wal_close(wal);
	result = read_all();
	assert_int_equal(result.end, WAL_READER_E_END);
	assert_int_equal(result.sets, 2);
	assert_int_equal(result.last, 4);
}

static void a_log_that_begins_behind_is_not_opened(void **state)
{
	const struct wal_options options = log_rig_options(5);
	struct wal *wal = log_rig_open(io, 100);

	wal_close(wal);
	assert_int_equal(wal_open(io, &options, &wal), -EINVAL);
}

static void sizes_that_can_not_be_are_refused(void **state)
{
	struct wal_options options = log_rig_options(1);
	struct wal *wal;

	options.segment_size += 512;
	assert_int_equal(wal_open(io, &options, &wal), -EINVAL);
	options.segment_size = 8192;
	assert_int_equal(wal_open(io, &options, &wal), -EINVAL);
	options = log_rig_options(1);
	options.buffer_size = (uint32_t)options.segment_size;
	assert_int_equal(wal_open(io, &options, &wal), -EINVAL);
	options = log_rig_options(1);
	options.recycle_max = WAL_SPARE_MAX + 1;
	assert_int_equal(wal_open(io, &options, &wal), -EINVAL);
}

static void a_failed_sync_stops_the_log(void **state)
{
	struct wal *wal = log_rig_open(io, 1);

	assert_int_equal(log_rig_append(wal, 100), 0);
	assert_int_equal(wal_sync(wal), 0);
	faulty_fail_sync(disk, 1);
	assert_int_equal(log_rig_append(wal, 100), 0);
	assert_int_equal(wal_sync(wal), -EIO);
	assert_int_equal(wal_failed(wal), -EIO);
	assert_int_equal(wal_position(wal).durable, 1);
	assert_int_equal(log_rig_append(wal, 100), WAL_E_STOPPED);
	assert_int_equal(wal_begin(wal, 1, 1), WAL_E_STOPPED);
	assert_int_equal(wal_sync(wal), -EIO);
	assert_int_equal(wal_release(wal, 1), -EIO);
	wal_close(wal);
}

static void a_full_disk_is_waited_for(void **state)
{
	struct wal *wal = log_rig_open(io, 1);
	unsigned count = 0;
	int result = 0;

	faulty_set_capacity(disk, 40 << 10); /* two segments and a half */
	while (count < 1000 && !result) {
		assert_int_equal(log_rig_append(wal, 500), 0);
		count++;
		result = wal_sync(wal);
	}
	assert_int_equal(result, -ENOSPC);
	assert_int_equal(wal_failed(wal), -ENOSPC);
	assert_int_equal(wal_sync(wal), -ENOSPC);
	assert_int_equal(log_rig_append(wal, 500), 0); /* as long as there is a buffer */
	faulty_set_capacity(disk, 0);
	assert_int_equal(wal_sync(wal), 0);
	assert_int_equal(wal_failed(wal), 0);
	wal_close(wal);
	assert_int_equal(read_all().sets, count + 1);
	assert_int_equal(read_all().end, WAL_READER_E_END);
}

static void a_disk_without_room_for_a_segment_is_not_opened_on(void **state)
{
	const struct wal_options options = log_rig_options(1);
	struct wal *wal;

	faulty_set_capacity(disk, 8 << 10);
	assert_int_equal(wal_open(io, &options, &wal), -ENOSPC);
	faulty_set_capacity(disk, 0);
	wal = log_rig_open(io, 1);
	wal_close(wal);
}

static void released_segments_end_the_wait_for_room(void **state)
{
	struct wal *wal = log_rig_open(io, 1);
	int result = 0;

	faulty_set_capacity(disk, 40 << 10);
	while (!result) {
		assert_int_equal(log_rig_append(wal, 500), 0);
		result = wal_sync(wal);
	}
	assert_int_equal(result, -ENOSPC);
	assert_int_equal(wal_release(wal, wal_position(wal).durable), 0);
	assert_int_equal(wal_sync(wal), 0);
	wal_close(wal);
}

/* Segments that are part of the log, and those that can be used again. */
static uint32_t count_files(enum wal_file_state state)
{
	struct wal_file *files;
	uint32_t count, found = 0;

	assert_int_equal(wal_folder_list(io, &files, &count), 0);
	for (uint32_t i = 0; i < count; i++)
		found += files[i].state == state;
	free(files);
	return found;
}

/* Appends, and polls until all of it is durable or the log fails. */
static void append_by_polls(struct wal *wal, unsigned count)
{
	for (unsigned i = 0; i < count && (wal_failed(wal) == 0 || wal_failed(wal) == -ENOSPC);
	     i++) {
		(void)log_rig_append(wal, 700);
		for (unsigned polls = 0; polls < 1000; polls++) {
			if (wal_position(wal).durable == wal_position(wal).next - 1)
				break;
			wal_flush(wal, true);
			(void)wal_poll(wal);
		}
		if (i % 40 == 39)
			(void)wal_release(wal, wal_position(wal).durable);
	}
}

static void a_log_that_is_polled_never_blocks(void **state)
{
	struct wal *wal = log_rig_open(io, 1);

	faulty_polls(disk, true);
	append_by_polls(wal, 400);
	faulty_polls(disk, false);
	assert_int_equal(wal_failed(wal), 0);
	assert_int_equal(wal_position(wal).durable, wal_position(wal).next - 1);
	assert_true(wal_stats(wal).segments > 15);
	assert_true(wal_stats(wal).recycled > 5);
	wal_close(wal);
	assert_int_equal(read_all().end, WAL_READER_E_END);
}

static void what_is_released_goes_by_and_by_or_when_told(void **state)
{
	struct wal *wal = log_rig_open(io, 1);
	uint32_t before;

	append_by_polls(wal, 30);
	append_by_polls(wal, 30);
	before = count_files(WAL_FILE_BEGUN);
	assert_true(before > 2);
	assert_int_equal(wal_release(wal, wal_position(wal).durable), 0);
	assert_int_equal(count_files(WAL_FILE_BEGUN), before);
	settle(wal);
	assert_int_equal(count_files(WAL_FILE_BEGUN), 1);
	assert_int_equal(count_files(WAL_FILE_SPARE), 2); /* as many as are kept */
	append_by_polls(wal, 30);
	assert_true(count_files(WAL_FILE_BEGUN) > 1);
	assert_int_equal(wal_release(wal, wal_position(wal).durable), 0);
	assert_int_equal(wal_settle(wal), 0);
	assert_int_equal(count_files(WAL_FILE_BEGUN), 1);
	append_by_polls(wal, 30);
	assert_true(count_files(WAL_FILE_BEGUN) > 1);
	assert_int_equal(wal_release(wal, wal_position(wal).durable), 0);
	wal_close(wal);
	assert_int_equal(count_files(WAL_FILE_BEGUN), 1);
}

static void a_segment_opens_ahead_of_its_use(void **state)
{
	struct wal *wal = log_rig_open(io, 1);
	uint64_t calls;

	append_by_polls(wal, 20);
	settle(wal);
	assert_int_equal(wal_stats(wal).segments, 1);
	assert_int_equal(count_files(WAL_FILE_SPARE), 1);
	/* What is left to do when it is begun: rest, sync, header, sync, second part, sync. */
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(log_rig_append(wal, 700), 0);
	calls = faulty_calls(disk);
	assert_int_equal(wal_sync(wal), 0);
	assert_int_equal(wal_stats(wal).segments, 2);
	assert_in_range(faulty_calls(disk), calls + 5, calls + 6);
	wal_close(wal);
}

/* One call fails, at each place in turn: the log goes on, or it has stopped for good; and what it
 * called durable is there. */
static void fail_each_call(int error, unsigned *ret_stopped, unsigned *ret_went_on)
{
	bool was_hit = true;

	*ret_stopped = *ret_went_on = 0;
	for (uint64_t call = 1; was_hit; call++) {
		struct wal *wal;
		uint64_t durable, begin;

		faulty_free(disk);
		disk = faulty_new(call);
		io = faulty_io(disk);
		wal = log_rig_open(io, 1);
		begin = faulty_calls(disk);
		faulty_fail_at(disk, begin + call, error, 1);
		faulty_polls(disk, true);
		append_by_polls(wal, 100);
		faulty_polls(disk, false);
		was_hit = faulty_calls(disk) >= begin + call;
		if (wal_failed(wal) == 0) {
			assert_int_equal(wal_position(wal).durable, wal_position(wal).next - 1);
			assert_int_equal(wal_settle(wal), 0);
			*ret_went_on += was_hit;
		} else {
			assert_int_equal(wal_failed(wal), -EIO);
			assert_int_equal(wal_settle(wal), -EIO);
			*ret_stopped += 1;
		}
		durable = wal_position(wal).durable;
		wal_close(wal);
		assert_true(read_all().last >= durable);
	}
}

static void a_call_without_room_is_made_again_and_a_failed_one_stops_the_log(void **state)
{
	unsigned stopped, went_on;

	/* Where there is no room it is waited for, but for syncs of what can't be written again. */
	fail_each_call(-ENOSPC, &stopped, &went_on);
	assert_true(stopped > 0);
	assert_true(went_on > stopped);
	fail_each_call(-EIO, &stopped, &went_on);
	assert_true(stopped > 200);
	assert_int_equal(went_on, 0);
}

/* Steps on the disk that begin with 'text'. */
static unsigned count_steps(const char *text)
{
	char step[80];
	unsigned count = 0;

	for (uint64_t i = 1; i <= faulty_steps(disk); i++) {
		faulty_describe(disk, i, step, sizeof(step));
		count += strncmp(step, text, strlen(text)) == 0;
	}
	return count;
}

/* A sync that fails may have lost what it was to write; a second one wouldn't say so. */
static void a_new_segment_whose_sync_found_no_room_is_written_again(void **state)
{
	unsigned again = 0;

	for (uint64_t call = 1; call < 60; call++) {
		struct wal *wal;

		faulty_free(disk);
		disk = faulty_new(call);
		io = faulty_io(disk);
		wal = log_rig_open(io, 1);
		faulty_fail_at(disk, faulty_calls(disk) + call, -ENOSPC, 1);
		append_by_polls(wal, 20);
		wal_flush(wal, true);
		settle(wal);
		wal_close(wal);
		/* One write and one sync for each of two segments, unless one was lost. */
		assert_int_equal(count_steps("rename wal-new"), count_steps("sync wal-new"));
		again += count_steps("write wal-new") == 3 && count_steps("sync wal-new") == 2;
	}
	assert_true(again > 0);
}

static void a_log_closes_while_its_segments_are_worked_on(void **state)
{
	for (unsigned polls = 0; polls < 200; polls++) {
		struct wal *wal;
		struct log_rig_result result;
		uint64_t durable;

		faulty_free(disk);
		disk = faulty_new(polls);
		io = faulty_io(disk);
		wal = log_rig_open(io, 1);
		append_by_polls(wal, 35); /* in the second half of a segment: the next is made */
		assert_int_equal(wal_release(wal, wal_position(wal).durable), 0);
		for (unsigned i = 0; i < polls; i++)
			(void)wal_poll(wal);
		if (polls % 2) { /* what is under way ends badly */
			faulty_cut_at(disk, faulty_steps(disk) + 1 + polls % 3);
			(void)log_rig_append(wal, 700);
			wal_flush(wal, true);
		}
		durable = wal_position(wal).durable;
		wal_close(wal);
		faulty_restart(disk, polls);
		result = read_all();
		assert_true(result.end == WAL_READER_E_END || result.end == WAL_READER_E_TORN);
		assert_true(result.last >= durable);
	}
}

/* Also when all of them may go while the next one's header is being written. */
static void a_log_has_always_a_segment_that_was_begun(void **state)
{
	for (uint32_t i = 0; i < 400; i++) {
		uint32_t size = 1300 + i % 10 * 8; /* some leave no room for a frame */
		struct wal *wal = log_rig_open(io, 1);

		for (unsigned k = 0; k < 11; k++) {
			assert_int_equal(log_rig_append(wal, k ? 1400 : size), 0);
			assert_int_equal(wal_sync(wal), 0);
		}
		assert_int_equal(log_rig_append(wal, 700), 0);
		wal_flush(wal, true);
		while (wal_position(wal).durable < wal_position(wal).next - 1) {
			uint64_t durable = wal_position(wal).durable;

			assert_int_equal(wal_release(wal, durable + 1), 0);
			assert_true(count_files(WAL_FILE_BEGUN) > 0);
			(void)wal_poll(wal);
		}
		wal_close(wal);
		faulty_free(disk);
		disk = faulty_new(i);
		io = faulty_io(disk);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		CASE(what_was_synced_is_read_back),
		CASE(records_that_gather_share_a_sync),
		CASE(a_flush_without_sync_is_not_durable_until_one_with),
		CASE(segments_rotate_and_are_used_again),
		CASE(a_full_buffer_says_busy_and_takes_more_after_a_flush),
		CASE(a_record_that_no_buffer_holds_is_refused),
		CASE(a_transaction_waits_for_its_commit),
		CASE(a_transaction_across_segments_is_durable_as_a_whole),
		CASE(a_rollback_takes_everything_back),
		CASE(a_transaction_that_no_buffer_holds_is_refused_and_can_be_rolled_back),
		CASE(a_transaction_behind_others_is_busy_until_they_are_written),
		CASE(a_log_goes_on_in_a_segment_of_its_own),
		CASE(a_log_that_begins_behind_is_not_opened),
		CASE(sizes_that_can_not_be_are_refused),
		CASE(a_failed_sync_stops_the_log),
		CASE(a_full_disk_is_waited_for),
		CASE(a_disk_without_room_for_a_segment_is_not_opened_on),
		CASE(released_segments_end_the_wait_for_room),
		CASE(a_log_that_is_polled_never_blocks),
		CASE(what_is_released_goes_by_and_by_or_when_told),
		CASE(a_segment_opens_ahead_of_its_use),
		CASE(a_call_without_room_is_made_again_and_a_failed_one_stops_the_log),
		CASE(a_new_segment_whose_sync_found_no_room_is_written_again),
		CASE(a_log_closes_while_its_segments_are_worked_on),
		CASE(a_log_has_always_a_segment_that_was_begun),
#undef CASE
	};

	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
