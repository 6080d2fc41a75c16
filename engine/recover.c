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

/* What is known of the records that come next. */
enum position {
	OUTSIDE, /* they are in no transaction */
	INSIDE,  /* in result.open_tx, whose begin was read */
	BEHIND,  /* behind a hole: the next mark says */
};

struct recover {
	struct io *io;
	const struct recover_options *options;
	struct kv *kv;
	struct pager *pager; /* NULL: pages are left alone */
	struct wal_reader *reader;
	enum position position;
	struct changes tx; /* records since the begin, or the hole */
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
static int take_into_kv(struct kv *kv, const struct record *record, bool more)
{
	bool idle = false;
	int r;

	while ((r = kv_apply(kv, record, more)) == KV_E_BUSY) {
		if (idle)
			return -ENOBUFS;
		r = work_on_kv(kv, &idle);
		if (r != 0)
			return r;
	}
	return r;
}

static int apply_to_kv(struct recover *recover, const struct record *record, bool more)
{
	/* What was read is synced, so a memtable that this record fills may be flushed. */
	kv_set_durable(recover->kv, record->lsn);
	int r = take_into_kv(recover->kv, record, more);
	switch (r) {
	case KV_E_INVALID:
		return refuse(recover, "a key or value that no store takes");
	case KV_E_CORRUPT:
		return refuse(recover, kv_error(recover->kv));
	default:
		return r;
	}
}

/* From here on pages are left alone. */
static int forget_pages(struct recover *recover)
{
	if (recover->result.pages_lost)
		return 0;
	recover->result.pages_lost = true;
	recover->pager = NULL;
	return recover->options->forget_pages(recover->options->context);
}

static int apply_to_pages(struct recover *recover, const struct record *record)
{
	if (recover->pager == NULL || record->lsn < recover->options->pages_from)
		return 0;
	int r = pager_redo(recover->pager, record);
	edge_redo(recover->pager, record);
	if (r > 0 && recover->options->salvage)
		return forget_pages(recover);
	if (r == PAGER_E_CORRUPT)
		return refuse(recover, pager_error(recover->pager));
	if (r > 0)
		return refuse(recover, "more pages in one change than the page cache holds");
	return r;
}

/* 'more' of the transaction follow: a memtable doesn't end between them, so that no table has a
 * part of it. */
static int apply(struct recover *recover, const struct record *record, bool more)
{
	int r = apply_to_kv(recover, record, more);
	if (r == 0)
		r = apply_to_pages(recover, record);
	if (r == 0)
		recover->result.applied++;
	return r;
}

static void forget_tx(struct recover *recover, uint64_t *count)
{
	*count += recover->tx.count;
	changes_clear(&recover->tx);
	recover->position = OUTSIDE;
}

/* What was read since the begin, or the hole: one transaction, or changes that are in none. */
static int apply_all(struct recover *recover, bool together)
{
	const struct changes *tx = &recover->tx;

	for (uint32_t i = 0; i < tx->count; i++) {
		bool more = together && i + 1 < tx->count;
		int r = apply(recover, &tx->records[i], more);
		if (r != 0)
			return r;
	}
	changes_clear(&recover->tx);
	recover->position = OUTSIDE;
	return 0;
}

/* Whatever is open goes: the hole may have its end, or the begin of what follows. */
static int sever(struct recover *recover)
{
	forget_tx(recover, &recover->result.severed);
	recover->position = BEHIND;
	return forget_pages(recover);
}

static int begin(struct recover *recover, const struct record *record)
{
	if (recover->position == BEHIND) {
		int r = apply_all(recover, /* together= */ false);
		if (r != 0)
			return r;
	}
	/* A transaction that has no end was cut short by a crash. */
	forget_tx(recover, &recover->result.dropped);
	recover->position = INSIDE;
	recover->result.open_tx = record->transaction.tx;
	return 0;
}

static int commit(struct recover *recover, const struct record *record)
{
	switch (recover->position) {
	case INSIDE:
		if (recover->result.open_tx != record->transaction.tx)
			return refuse(recover, "commit of a transaction that isn't open");
		return apply_all(recover, /* together= */ true);
	case BEHIND:
		forget_tx(recover, &recover->result.severed);
		return 0;
	default:
		/* Its records were applied one by one if its begin is older than what is read. */
		return 0;
	}
}

static void roll_back(struct recover *recover)
{
	forget_tx(recover, recover->position == BEHIND ? &recover->result.severed
						       : &recover->result.dropped);
}

static int take_change(struct recover *recover, const struct record *record)
{
	if (recover->position != OUTSIDE) {
		if (changes_add(&recover->tx, record) == 0)
			return 0;
		if (recover->position == INSIDE)
			return refuse(recover, "a transaction larger than any that is written");
		/* So they are of none: its end would be among them. */
		int r = apply_all(recover, /* together= */ false);
		if (r != 0)
			return r;
	}
	return apply(recover, record, /* more= */ false);
}

static int take(struct recover *recover, const struct record *record)
{
	switch (record->type) {
	case RECORD_TRANSACTION_BEGIN:
		return begin(recover, record);
	case RECORD_TRANSACTION_COMMIT:
		return commit(recover, record);
	case RECORD_TRANSACTION_ROLLBACK:
		roll_back(recover);
		return 0;
	case RECORD_DURABLE:
		return recover->position == BEHIND ? apply_all(recover, /* together= */ false) : 0;
	default:
		return take_change(recover, record);
	}
}

/* What the log's end leaves open. Behind a hole it may be a transaction: so a rollback ends it. */
static void end_log(struct recover *recover)
{
	recover->result.has_open_tx = recover->position != OUTSIDE;
	roll_back(recover);
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

static int cut_end(struct recover *recover)
{
	recover->result.torn_lsn = recover->result.next_lsn;
	return wal_reader_cut(recover->reader);
}

/* Behind a hole a segment may have been begun that has no records yet. */
static void note_last(struct recover *recover)
{
	uint64_t next = wal_reader_place(recover->reader).lsn;

	recover->result.next_lsn = MAX(recover->result.next_lsn, next);
}

static int read_log(struct recover *recover)
{
	for (;;) {
		struct record record;
		int end = wal_reader_next(recover->reader, &record);
		int r = wal_reader_is_behind_hole(recover->reader) ? sever(recover) : 0;
		if (r != 0)
			return r;
		if (end == WAL_READER_E_END || end == WAL_READER_E_TORN)
			note_last(recover);
		switch (end) {
		case 0:
			break;
		case WAL_READER_E_END:
			return 0;
		case WAL_READER_E_TORN:
			return cut_end(recover);
		case WAL_READER_E_CORRUPT:
			snprintf(recover->error, recover->error_size, "%s",
				 wal_reader_error(recover->reader));
			return RECOVER_E_CORRUPT;
		default:
			return end;
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
	recover->result.holes = stats.holes;
	recover->result.salvaged = stats.holes > 0;
	recover->result.memory =
		stats.memory + recover->tx.count_max * sizeof(struct record) + recover->tx.size_max;
	end_log(recover);
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
				  .options = options,
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
	/* A log that lost its end may have lost what pages need. */
	if (r == 0 && recover.result.salvaged)
		r = forget_pages(&recover);
	if (r == 0)
		r = note_end(&recover);
	wal_reader_close(recover.reader);
	changes_deinit(&recover.tx);
	if (r == 0)
		*ret_result = recover.result;
	return r;
}
