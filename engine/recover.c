/* SPDX-License-Identifier: Apache-2.0 */

#include "engine/recover.h"

#include "base/defs.h"
#include "engine/changes.h"
#include "engine/edge.h"
#include "engine/wal_folder.h"
#include "engine/wal_reader.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/* Bytes that a slice of the key space's job may read. */
#define JOB_SLICE (UINT64_C(64) << 20)

struct recover {
	struct io *io;
	uint64_t pages_from;
	struct kv *kv;
	struct pager *pager;
	struct wal_reader *reader;
	struct changes tx; /* records since the begin */
	uint64_t lost_bytes;
	uint64_t lost_up_to; /* a lost segment had no larger LSNs; 0: none is lost */
	struct recover_result result;
	char *error;
	size_t error_size;
};

/* Says what is wrong at the record just read. */
static int refuse(struct recover *recover, const char *what)
{
	struct wal_place place = wal_reader_place(recover->reader);

	snprintf(recover->error, recover->error_size, "%s offset %llu lsn %llu: %s", place.file,
		 (unsigned long long)place.offset, (unsigned long long)place.lsn, what);
	return RECOVER_E_CORRUPT;
}

/* One slice of what writes sealed memtables into tables, and compacts these. '*ret_idle': there is
 * no more to do. */
static int work_on_kv(struct kv *kv, bool *ret_idle)
{
	enum kv_need need;
	int r = kv_work(kv, &need);
	if (r != 0)
		return r;
	r = kv_job(kv, JOB_SLICE);
	*ret_idle = r == KV_E_IDLE && need == KV_NEED_NOTHING;
	return r == KV_E_IDLE ? 0 : r;
}

/* Until there is room; a table that is ingested wants all that is before it in tables. The last
 * slice may be the one that makes it. */
static int take_into_kv(struct kv *kv, const struct record *record)
{
	bool idle = false;
	int r;

	while ((r = kv_apply(kv, record, /* more= */ false)) == KV_E_BUSY) {
		if (idle)
			return -ENOBUFS;
		r = work_on_kv(kv, &idle);
		if (r != 0)
			return r;
	}
	return r;
}

static int apply_to_kv(struct recover *recover, const struct record *record)
{
	/* What was read is synced, so a memtable that this record fills may be flushed. */
	kv_set_durable(recover->kv, record->lsn);
	int r = take_into_kv(recover->kv, record);
	switch (r) {
	case KV_E_INVALID:
		return refuse(recover, "a key or value that no store takes");
	case KV_E_CORRUPT:
		return refuse(recover, kv_error(recover->kv));
	default:
		return r;
	}
}

static int apply(struct recover *recover, const struct record *record)
{
	int r = apply_to_kv(recover, record);
	if (r != 0)
		return r;
	if (record->lsn >= recover->pages_from) {
		r = pager_redo(recover->pager, record);
		edge_redo(recover->pager, record);
	}
	if (r == PAGER_E_CORRUPT)
		return refuse(recover, pager_error(recover->pager));
	if (r > 0)
		return refuse(recover, "more pages in one change than the page cache holds");
	recover->result.applied++;
	return r;
}

static void drop(struct recover *recover)
{
	recover->result.dropped += recover->tx.count;
	recover->result.has_open_tx = false;
	changes_clear(&recover->tx);
}

static int begin(struct recover *recover, const struct record *record)
{
	/* A transaction that has no end was cut short by a crash. */
	drop(recover);
	recover->result.has_open_tx = true;
	recover->result.open_tx = record->transaction.tx;
	return 0;
}

static int commit(struct recover *recover, const struct record *record)
{
	if (!recover->result.has_open_tx || recover->result.open_tx != record->transaction.tx) {
		/* Its records were applied one by one if its begin is older than what is read. */
		if (recover->result.has_open_tx)
			return refuse(recover, "commit of a transaction that isn't open");
		return 0;
	}

	for (uint32_t i = 0; i < recover->tx.count; i++) {
		int r = apply(recover, &recover->tx.records[i]);
		if (r != 0)
			return r;
	}
	recover->result.has_open_tx = false;
	changes_clear(&recover->tx);
	return 0;
}

static int take(struct recover *recover, const struct record *record)
{
	switch (record->type) {
	case RECORD_TRANSACTION_BEGIN:
		return begin(recover, record);
	case RECORD_TRANSACTION_COMMIT:
		return commit(recover, record);
	case RECORD_TRANSACTION_ROLLBACK:
		drop(recover);
		return 0;
	case RECORD_DURABLE:
		return 0;
	default:
		break;
	}
	if (!recover->result.has_open_tx)
		return apply(recover, record);
	if (changes_add(&recover->tx, record) != 0)
		return refuse(recover, "a transaction larger than any that is written");
	return 0;
}

/* Reads the segment to its end, for what of it may be in the kernel's memory only. */
static int rewrite_tail(struct recover *recover, uint32_t number)
{
	struct wal_reader_options options = {0};
	char name[IO_NAME_MAX + 1], error[256];
	struct wal_reader *reader;
	struct record record;

	wal_folder_name(number, name);
	options.file = name;
	int r = wal_reader_open(recover->io, &options, &reader, error, sizeof(error));
	/* What is wrong with it is said when it is read with the others. */
	if (r != 0)
		return r < 0 ? r : 0;
	do
		r = wal_reader_next(reader, &record);
	while (r == 0);
	if (r == WAL_READER_E_END || r == WAL_READER_E_TORN)
		r = wal_reader_rewrite(reader);
	wal_reader_close(reader);
	return r < 0 ? r : 0;
}

/*
 * The newest segment that the ledger knows of, or one that was begun later, is there, and a power
 * cut makes none shorter. Says what is wrong; then all that could be missing is in that segment,
 * and salvage goes on with numbers behind it.
 */
static bool has_lost_end(struct recover *recover, const struct ledger_log *log,
			 const struct wal_file *newest)
{
	bool is_there = newest != NULL && newest->number == log->number;
	uint64_t size = is_there ? newest->size : 0;
	char name[IO_NAME_MAX + 1];

	if (log->number == 0 || (newest != NULL && newest->number > log->number) ||
	    (is_there && size >= log->size))
		return false;

	recover->lost_bytes = log->size - size;
	recover->lost_up_to = log->first + log->size / (WAL_FRAME_HEAD + WAL_RECORD_SIZE_MIN);
	wal_folder_name(log->number, name);
	if (is_there)
		snprintf(recover->error, recover->error_size,
			 "%s has %llu bytes of %llu: the log's end is missing, from a lsn above "
			 "%llu on",
			 name, (unsigned long long)size, (unsigned long long)log->size,
			 (unsigned long long)log->durable);
	else
		snprintf(recover->error, recover->error_size,
			 "%s is missing or has no header: the log is lost from lsn %llu on", name,
			 (unsigned long long)log->first);
	return true;
}

/*
 * What is read is shown, and goes into tables and pages: so it has to be on the disk first, all of
 * it. The segments before the last one are.
 */
static int secure_log(struct recover *recover, const struct recover_options *options)
{
	const struct wal_file *newest = NULL;
	struct wal_file *files;
	int r = wal_folder_list(recover->io, &files, &recover->result.segments);
	if (r < 0)
		return r;

	for (uint32_t i = 0; i < recover->result.segments; i++) {
		if (files[i].state != WAL_FILE_SPARE)
			newest = &files[i];
	}
	if (has_lost_end(recover, &options->log, newest) && !options->salvage)
		r = RECOVER_E_CORRUPT;
	if (r == 0 && newest != NULL && newest->state == WAL_FILE_BEGUN)
		r = rewrite_tail(recover, newest->number);
	free(files);
	return r;
}

static int read_log(struct recover *recover)
{
	for (;;) {
		struct record record;
		int r = wal_reader_next(recover->reader, &record);
		switch (r) {
		case 0:
			break;
		case WAL_READER_E_END:
			return 0;
		case WAL_READER_E_TORN:
			recover->result.torn_lsn = recover->result.next_lsn;
			return wal_reader_cut(recover->reader);
		case WAL_READER_E_CORRUPT:
			snprintf(recover->error, recover->error_size, "%s",
				 wal_reader_error(recover->reader));
			return RECOVER_E_CORRUPT;
		default:
			return r;
		}

		recover->result.next_lsn = record.lsn + 1;
		r = take(recover, &record);
		if (r != 0)
			return r;
	}
}

static int run(struct recover *recover, const struct recover_options *options)
{
	struct wal_reader_options reader = {.from = options->from,
					    .durable = MAX(options->known, options->log.durable),
					    .store = options->store,
					    .ahead = true,
					    .salvage = options->salvage};
	int r = secure_log(recover, options);
	if (r != 0)
		return r;

	recover->result.next_lsn = options->from;
	r = wal_reader_open(recover->io, &reader, &recover->reader, recover->error,
			    recover->error_size);
	if (r == -ENOENT && (options->from == 1 || options->salvage)) {
		recover->result.salvaged = options->salvage;
		return 0;
	}
	if (r == -ENOENT) {
		snprintf(recover->error, recover->error_size,
			 "there is no log, and recovery begins with lsn %llu",
			 (unsigned long long)options->from);
		return RECOVER_E_CORRUPT;
	}
	if (r != 0)
		return r > 0 ? RECOVER_E_CORRUPT : r;

	kv_set_late(recover->kv, true);
	r = read_log(recover);
	kv_set_late(recover->kv, false);

	struct wal_reader_stats stats = wal_reader_stats(recover->reader);
	recover->result.records = stats.records;
	recover->result.bytes = stats.bytes;
	recover->result.salvaged_bytes = stats.skipped;
	recover->result.missing = stats.missing;
	recover->result.salvaged = stats.holes > 0;
	recover->result.memory =
		stats.memory + recover->tx.count_max * sizeof(struct record) + recover->tx.size_max;
	if (recover->result.has_open_tx)
		recover->result.dropped += recover->tx.count;
	return r;
}

/* A log that ends before what is known of it has lost its end; numbers would be given again. */
static int check_end(struct recover *recover, const struct recover_options *options)
{
	struct recover_result *result = &recover->result;
	uint64_t known = MAX(options->known, options->log.durable);

	if (result->next_lsn > known && recover->lost_up_to == 0)
		return 0;
	if (options->salvage) {
		result->missing += known + 1 - MIN(result->next_lsn, known + 1);
		result->next_lsn = MAX(result->next_lsn, MAX(known, recover->lost_up_to) + 1);
		result->salvaged_bytes += recover->lost_bytes;
		result->salvaged = true;
		return 0;
	}
	snprintf(recover->error, recover->error_size,
		 "the log ends before lsn %llu, though tables, pages or ledger know of %llu",
		 (unsigned long long)result->next_lsn, (unsigned long long)known);
	return RECOVER_E_CORRUPT;
}

/* What comes behind the last change is nothing to the key space: a flush reaches the log's end. */
static int note_end(struct recover *recover)
{
	const struct record end = {.type = RECORD_DURABLE, .lsn = recover->result.next_lsn - 1};

	return kv_apply(recover->kv, &end, /* more= */ false);
}

int recover_run(struct io *io, const struct recover_options *options, struct kv *kv,
		struct pager *pager, struct recover_result *ret_result, char *error,
		size_t error_size)
{
	struct recover recover = {.io = io,
				  .pages_from = options->pages_from,
				  .kv = kv,
				  .pager = pager,
				  .error = error,
				  .error_size = error_size};
	int r = changes_init(RECOVER_COUNT_MAX, RECOVER_SIZE_MAX, &recover.tx);
	if (r < 0)
		return r;

	error[0] = '\0';
	r = run(&recover, options);
	if (r == 0)
		r = check_end(&recover, options);
	if (r == 0)
		r = note_end(&recover);
	wal_reader_close(recover.reader);
	changes_deinit(&recover.tx);
	if (r == 0)
		*ret_result = recover.result;
	return r;
}
