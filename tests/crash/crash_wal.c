/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Crash_wal - nothing that the log called durable is lost, and what is read was appended
 *
 * The run appends random records, alone and in transactions, flushes with and without sync while
 * others are under way, rolls back, releases segments, and opens the log again in the middle. The
 * model has a checksum of each record by LSN. What is read after a cut has to be a prefix of
 * these, at least up to what was durable; an end that was torn is cut, and the log goes on.
 */

#include "base/crc.h"
#include "base/rand.h"
#include "engine/wal.h"
#include "engine/wal_reader.h"
#include "tests/lib/crash.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LSN_MAX    4096
#define MARK_TX    UINT64_MAX /* of the rollbacks that recoveries append */
#define RECORD_MAX 2048

struct model {
	uint64_t seed;
	struct rand rand;
	uint32_t digests[LSN_MAX]; /* of the record that was appended last with that LSN */
	uint64_t durable;
	uint64_t released; /* the reader is asked from here on */
	unsigned rounds;
	bool with_tx;
	bool with_release;
	bool with_reopen;
	bool with_unsynced;
	bool small_disk; /* a recovery may find no room for its segment */
};

static void *begin_with(uint64_t seed, struct model kind)
{
	struct model *model = malloc(sizeof(*model));

	if (!model)
		abort();
	*model = kind;
	model->seed = seed;
	model->released = 1;
	rand_init(&model->rand, seed);
	return model;
}

static void *begin_group(uint64_t seed)
{
	return begin_with(seed, (struct model){.rounds = 60, .with_unsynced = true});
}

static void *begin_tx(uint64_t seed)
{
	return begin_with(seed, (struct model){.rounds = 50, .with_tx = true});
}

static void *begin_rotation(uint64_t seed)
{
	return begin_with(seed, (struct model){.rounds = 150, .with_release = true});
}

static void *begin_all(uint64_t seed)
{
	return begin_with(seed, (struct model){.rounds = 120,
					       .with_tx = true,
					       .with_release = true,
					       .with_reopen = true,
					       .with_unsynced = true});
}

static void *begin_full(uint64_t seed)
{
	struct model *model = begin_all(seed);

	model->small_disk = true;
	return model;
}

static uint32_t digest_of(const struct record *record)
{
	uint8_t bytes[RECORD_MAX];

	if (record_size(record) > sizeof(bytes) || record_encode(record, bytes))
		abort();
	return crc32c(bytes, record_size(record)) | 1;
}

static int open_log(struct io *io, uint64_t next, struct wal **ret_wal)
{
	const struct wal_options options = {.segment_size = 16 << 10,
					    .buffer_size = 8 << 10,
					    .recycle_max = 2,
					    .next_lsn = next,
					    .salt = 7};

	return wal_open(io, &options, ret_wal);
}

/* ---- the run ---- */

static void note(struct model *model, const struct wal *wal)
{
	struct wal_position position = wal_position(wal);

	if (position.durable > model->durable)
		model->durable = position.durable;
}

static int append(struct model *model, struct wal *wal)
{
	uint8_t value[1600];
	uint32_t size = (uint32_t)rand_below(&model->rand, sizeof(value));
	struct record record = {.type = RECORD_KV_SET, .timestamp = rand_next(&model->rand)};
	int result;

	if (rand_below(&model->rand, 3))
		size %= 100;
	for (uint32_t i = 0; i < size; i++)
		value[i] = (uint8_t)rand_next(&model->rand);
	record.kv.key = (struct record_bytes){value, size / 2};
	record.kv.value = (struct record_bytes){value + size / 2, size - size / 2};
	result = wal_append(wal, &record);
	if (!result && record.lsn >= LSN_MAX)
		abort();
	if (!result)
		model->digests[record.lsn] = digest_of(&record);
	return result;
}

/* Until there is room, or the log fails. */
static int make_room(struct model *model, struct wal *wal)
{
	int result = wal_sync(wal);

	if (result == -ENOSPC) /* a fault that passes */
		result = wal_sync(wal);
	note(model, wal);
	return result;
}

static int append_some(struct model *model, struct wal *wal)
{
	uint64_t count = 1 + rand_below(&model->rand, 6);

	for (uint64_t i = 0; i < count; i++) {
		int result = append(model, wal);

		if (result == WAL_E_STOPPED)
			return wal_failed(wal);
		if (result == WAL_E_SIZE)
			return 0; /* the transaction is full */
		if (result == WAL_E_BUSY) {
			result = make_room(model, wal);
			if (result)
				return result;
		}
		if (rand_below(&model->rand, 4) == 0)
			wal_flush(wal, !model->with_unsynced || rand_below(&model->rand, 2));
		(void)wal_poll(wal);
		note(model, wal);
	}
	return 0;
}

static void note_mark(struct model *model, enum record_type type, uint64_t lsn, uint64_t tx)
{
	const struct record record = {
		.type = type, .lsn = lsn, .timestamp = tx, .transaction = {.tx = tx}};

	model->digests[lsn] = digest_of(&record);
}

static int transact(struct model *model, struct wal *wal)
{
	uint64_t tx = 1 + rand_below(&model->rand, 1000), lsn;
	int result = wal_begin(wal, tx, tx);

	if (result == WAL_E_STOPPED)
		return wal_failed(wal);
	if (result)
		return make_room(model, wal);
	note_mark(model, RECORD_TRANSACTION_BEGIN, wal_position(wal).next - 1, tx);
	result = append_some(model, wal);
	if (result || rand_below(&model->rand, 3) == 0) {
		(void)wal_rollback(wal, tx);
		return result;
	}
	result = wal_commit(wal, tx, &lsn);
	if (result) {
		(void)wal_rollback(wal, tx);
		return result == WAL_E_STOPPED ? wal_failed(wal) : make_room(model, wal);
	}
	note_mark(model, RECORD_TRANSACTION_COMMIT, lsn, tx);
	return 0;
}

static int release(struct model *model, struct wal *wal)
{
	uint64_t lsn = 1 + model->durable - rand_below(&model->rand, model->durable / 4 + 1);
	int result;

	if (lsn > model->released)
		model->released = lsn;
	result = wal_release(wal, model->released);
	return result == -ENOSPC ? 0 : result;
}

static int recover(const struct model *model, struct io *io, uint64_t *ret_next, char *error,
		   size_t error_size);

static int reopen(struct model *model, struct io *io, struct wal **wal, char *error,
		  size_t error_size)
{
	uint64_t next;
	int result = make_room(model, *wal);

	if (result)
		return result;
	wal_close(*wal);
	*wal = NULL;
	result = recover(model, io, &next, error, error_size);
	return result ? result : open_log(io, next, wal);
}

static int work(struct model *model, struct io *io, struct wal **wal, char *error,
		size_t error_size)
{
	int result = 0;

	for (unsigned i = 0; !result && i < model->rounds; i++) {
		if (model->with_tx && rand_below(&model->rand, 2))
			result = transact(model, *wal);
		else
			result = append_some(model, *wal);
		if (!result && rand_below(&model->rand, 3) == 0)
			result = make_room(model, *wal);
		if (!result && model->with_release && rand_below(&model->rand, 8) == 0)
			result = release(model, *wal);
		if (!result && model->with_reopen && rand_below(&model->rand, 30) == 0)
			result = reopen(model, io, wal, error, error_size);
	}
	return result ? result : make_room(model, *wal);
}

static int run(void *context, struct io *io, char *error, size_t error_size)
{
	struct model *model = context;
	struct wal *wal = NULL;
	int result = open_log(io, 1, &wal);

	if (!result)
		result = work(model, io, &wal, error, error_size);
	wal_close(wal);
	return result;
}

/* ---- the check ---- */

static bool is_mark(const struct record *record)
{
	return record->type == RECORD_TRANSACTION_ROLLBACK && record->transaction.tx == MARK_TX;
}

struct check {
	const struct model *model;
	uint64_t last; /* LSN of the last record of the run, Durable ones included */
	uint64_t next;
	bool marked; /* a recovery's record was seen: no more of the run's may follow */
};

static int check_record(struct check *check, const struct record *record, char *error,
			size_t error_size)
{
	check->next = record->lsn + 1;
	if (is_mark(record)) {
		check->marked = true;
		return 0;
	}
	if (!check->marked)
		check->last = record->lsn;
	if (record->type == RECORD_DURABLE)
		return 0;
	if (!check->marked && record->lsn < LSN_MAX &&
	    check->model->digests[record->lsn] == digest_of(record))
		return 0;
	snprintf(error, error_size, "LSN %" PRIu64 " (%s) is not what was appended%s", record->lsn,
		 record_name(record->type), check->marked ? ", and comes behind a recovery" : "");
	return CRASH_E_WRONG;
}

static int read_log(struct check *check, struct wal_reader *reader, char *error, size_t error_size)
{
	struct record record;
	int result;

	while ((result = wal_reader_next(reader, &record)) == 0) {
		result = check_record(check, &record, error, error_size);
		if (result)
			return result;
	}
	if (result == WAL_READER_E_CORRUPT) {
		snprintf(error, error_size, "%s", wal_reader_error(reader));
		return CRASH_E_WRONG;
	}
	if (result == WAL_READER_E_TORN)
		result = wal_reader_cut(reader);
	return result < 0 ? result : wal_reader_rewrite(reader);
}

/* Reads all, cuts a torn end. Nothing durable may be missing. */
static int recover(const struct model *model, struct io *io, uint64_t *ret_next, char *error,
		   size_t error_size)
{
	const struct wal_reader_options options = {.from = model->released};
	struct check check = {.model = model, .last = model->released - 1, .next = model->released};
	struct wal_reader *reader;
	int result = wal_reader_open(io, &options, &reader, error, error_size);

	if (result == -ENOENT && model->durable == 0) {
		*ret_next = 1;
		return 0;
	}
	if (result == -ENOENT)
		snprintf(error, error_size, "no log from LSN %" PRIu64 " on", model->released);
	if (result == -ENOENT || result == WAL_READER_E_CORRUPT)
		return CRASH_E_WRONG;
	if (result)
		return result;
	result = read_log(&check, reader, error, error_size);
	wal_reader_close(reader);
	if (result)
		return result;
	if (check.last < model->durable) {
		snprintf(error, error_size,
			 "the log ends with LSN %" PRIu64 ", and %" PRIu64 " was durable",
			 check.last, model->durable);
		return CRASH_E_WRONG;
	}
	*ret_next = check.next;
	return 0;
}

/* Goes on as a store would, behind a mark, and reads it back. */
static int go_on(const struct model *model, struct io *io, uint64_t next, char *error,
		 size_t error_size)
{
	struct record record = {.type = RECORD_TRANSACTION_ROLLBACK,
				.transaction = {.tx = MARK_TX}};
	uint64_t again;
	struct wal *wal;
	int result = open_log(io, next, &wal);

	if (result)
		return result == -ENOSPC && model->small_disk ? 0 : result;
	if (wal_append(wal, &record))
		abort();
	result = wal_sync(wal);
	wal_close(wal);
	if (!result)
		result = recover(model, io, &again, error, error_size);
	if (!result && again <= record.lsn) {
		snprintf(error, error_size, "what recovery appended is gone");
		return CRASH_E_WRONG;
	}
	return result;
}

static int check(const void *context, struct io *io, char *error, size_t error_size)
{
	const struct model *model = context;
	uint64_t next;
	int result = recover(model, io, &next, error, error_size);

	return result ? result : go_on(model, io, next, error, error_size);
}

static const struct crash_workload workloads[] = {
	{.name = "group", .begin = begin_group, .run = run, .check = check, .end = free},
	{.name = "transactions", .begin = begin_tx, .run = run, .check = check, .end = free},
	{.name = "rotation", .begin = begin_rotation, .run = run, .check = check, .end = free},
	{.name = "all", .begin = begin_all, .run = run, .check = check, .end = free},
	{.name = "full",
	 .begin = begin_full,
	 .run = run,
	 .check = check,
	 .end = free,
	 .capacity = 80 << 10},
};

int main(int argc, char **argv)
{
	return crash_main(argc, argv, workloads, sizeof(workloads) / sizeof(workloads[0]));
}
