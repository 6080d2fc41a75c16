/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A store of random transactions is damaged: bits and sectors of its log, marks of transactions,
 * its pages. Salvage leaves each transaction whole or not there, and a graph that agrees with the
 * key space; it loses only what damage touches, or may touch; it can be interrupted by power cuts;
 * and behind it the store opens as any other.
 *
 * A seed gives a run; a failing one is printed and replays: TERN_SEED=n. TERN_LONG=1 tries more.
 */

#include "base/defs.h"
#include "engine/wal_format.h"
#include "engine/wal_reader.h"
#include "tests/lib/faulty.h"
#include "tests/lib/salvage_model.h"
#include "tests/lib/test.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SEEDS      50
#define SEEDS_LONG 3000

/* Records of a log. */
#define ROW_MAX 20000

/* Steps of a salvage, about: a power cut is at one of them. */
#define STEP_MAX 120

#define SECTOR 512

/* A record of the log before the damage. */
struct row {
	char file[IO_NAME_MAX + 1];
	uint64_t offset;
	uint64_t size;
	uint64_t lsn;
	uint64_t durable; /* of a Durable */
	enum record_type type;
	bool damaged;
};

static struct row rows[ROW_MAX];
static uint32_t row_count;
static struct salvage_model model;
static bool applied[SALVAGE_TX_MAX + 1];
static struct rand source;
static struct faulty *disk;
static char error[256];
static bool pages_damaged;
static uint64_t severed, holes, made, cuts, torn;

static uint32_t below(uint64_t bound)
{
	return (uint32_t)rand_below(&source, bound);
}

static uint64_t clock_now(void *context)
{
	(void)context;
	return 1700000000;
}

static int open_store(bool salvage, struct store **ret_store)
{
	const struct store_options options = {
		.create = true,
		.salvage = salvage,
		.log_size = 384 << 10,
		.cache_pages = 64,
		.wal = {.segment_size = 256 << 10, .buffer_size = 128 << 10, .salt = 1},
		.kv = {.memtable_size = 16 << 10,
		       .cache_size = 1 << 20,
		       .table_size = 32 << 10,
		       .level_size = 64 << 10,
		       .clock = clock_now},
	};
	int r = store_open(faulty_io(disk), &options, ret_store, error, sizeof(error));

	if (r != 0)
		io_free(faulty_io(disk));
	return r;
}

static void close_store(struct store *store)
{
	assert_int_equal(store_close(store), 0);
	io_free(faulty_io(disk));
}

static void report(void *context, const char *line)
{
	(void)context;
	print_error("%s\n", line);
}

static void assert_whole(struct store *store)
{
	uint64_t faults = 0;

	assert_int_equal(store_verify(store, report, NULL, &faults), 0);
	assert_int_equal(faults, 0);
	salvage_model_check(&model, store, applied);
}

/* ---- before the damage ---- */

static void live(uint32_t transactions)
{
	struct store *store;

	assert_int_equal(open_store(/* salvage= */ false, &store), 0);
	for (uint32_t i = 0; i < transactions; i++) {
		salvage_model_step(&model, store);
		if (below(40) == 0)
			assert_int_equal(store_checkpoint(store), 0);
		if (below(40) == 0) {
			close_store(store);
			assert_int_equal(open_store(/* salvage= */ false, &store), 0);
		}
	}
	close_store(store);
}

static void note_rows(void)
{
	const struct wal_reader_options options = {0};
	struct wal_reader *reader;
	struct record record;
	int r = wal_reader_open(faulty_io(disk), &options, &reader, error, sizeof(error));

	assert_int_equal(r, 0);
	row_count = 0;
	while ((r = wal_reader_next(reader, &record)) == 0) {
		struct wal_place place = wal_reader_place(reader);
		struct row *row = &rows[row_count++];

		assert_true(row_count < ROW_MAX);
		*row = (struct row){.offset = place.offset,
				    .size = WAL_FRAME_HEAD + record_size(&record),
				    .lsn = record.lsn,
				    .type = record.type};
		if (record.type == RECORD_DURABLE)
			row->durable = record.durable.durable;
		memcpy(row->file, place.file, sizeof(row->file));
	}
	assert_int_equal(r, WAL_READER_E_END);
	wal_reader_close(reader);
	io_free(faulty_io(disk));
}

/* ---- the damage ---- */

/* Bytes [offset, offset + size) of the file are not what they were. */
static void note_damage(const char *file, uint64_t offset, uint64_t size)
{
	for (uint32_t i = 0; i < row_count; i++)
		rows[i].damaged |= strcmp(rows[i].file, file) == 0 &&
				   rows[i].offset < offset + size &&
				   offset < rows[i].offset + rows[i].size;
}

static void flip(const struct row *row)
{
	uint64_t at = row->offset + below(row->size);

	faulty_flip(disk, row->file, at * 8 + below(8));
	note_damage(row->file, at, 1);
}

static void zero(const char *file, uint64_t offset, uint64_t size)
{
	size_t file_size;
	uint8_t *bytes = faulty_file_bytes(disk, file, &file_size);

	assert_non_null(bytes);
	size = MIN(size, file_size - offset);
	memset(bytes + offset, 0, size);
	faulty_file_set(disk, file, bytes, file_size);
	free(bytes);
	note_damage(file, offset, size);
}

static const struct row *random_row(void)
{
	return &rows[below(row_count)];
}

/* A record of that type, if there is one from a random place on. */
static const struct row *random_mark(enum record_type type)
{
	uint32_t at = below(row_count);

	while (at + 1 < row_count && rows[at].type != type)
		at++;
	return &rows[at];
}

static void zero_sectors(void)
{
	const struct row *row = random_row();
	uint64_t offset = row->offset / SECTOR * SECTOR;

	/* The header of a segment is another matter. */
	if (offset > 0)
		zero(row->file, offset, (1 + below(8)) * SECTOR);
}

/* From a commit to the begin that follows. */
static void zero_seam(void)
{
	const struct row *row = random_mark(RECORD_TRANSACTION_COMMIT), *end = row;

	while (end + 1 < rows + row_count && end->type != RECORD_TRANSACTION_BEGIN &&
	       strcmp(end[1].file, row->file) == 0)
		end++;
	zero(row->file, row->offset, end->offset + end->size - row->offset);
}

static void damage_pages(void)
{
	size_t size;
	uint8_t *bytes = faulty_file_bytes(disk, "pages", &size);

	assert_non_null(bytes);
	switch (below(4)) {
	case 0:
		assert_int_equal(io_remove(faulty_io(disk), "pages"), 0);
		io_free(faulty_io(disk));
		break;
	case 1:
		faulty_file_set(disk, "pages", bytes, below(size));
		break;
	default:
		for (uint32_t i = 1 + below(3); i > 0; i--)
			faulty_flip(disk, "pages", below(size * 8));
		break;
	}
	free(bytes);
	pages_damaged = true;
}

static void damage(void)
{
	const struct row *row;

	switch (below(9)) {
	case 0:
		flip(random_row());
		break;
	case 1:
		for (uint32_t i = 2 + below(4); i > 0; i--)
			flip(random_row());
		break;
	case 2:
		zero_sectors();
		break;
	case 3:
		flip(random_mark(RECORD_TRANSACTION_BEGIN));
		break;
	case 4:
		row = random_mark(RECORD_TRANSACTION_COMMIT);
		zero(row->file, row->offset, row->size);
		break;
	case 5:
		zero_seam();
		break;
	case 6:
		flip(random_mark(RECORD_EDGE_INSERT));
		flip(random_mark(RECORD_PAGE_WRITE));
		break;
	case 7:
		damage_pages();
		zero_sectors();
		break;
	default:
		damage_pages();
		break;
	}
}

/* ---- after it ---- */

/* Without salvage the store is refused, or its log is as good as it was. */
static void open_as_it_is(void)
{
	struct faulty *before = disk;
	struct store *store;

	disk = faulty_clone(before, source.state[0]);
	int r = open_store(/* salvage= */ false, &store);
	if (r == 0) {
		if (!pages_damaged)
			assert_whole(store);
		close_store(store);
	} else {
		assert_int_equal(r, STORE_E_CORRUPT);
	}
	faulty_free(disk);
	disk = before;
}

/* Power may fail in the middle, several times. */
static struct store *salvage(void)
{
	struct store *store;
	int r;

	for (uint32_t tries = below(2) * below(4); tries > 0; tries--) {
		faulty_cut_at(disk, faulty_steps(disk) + 1 + below(STEP_MAX));
		r = open_store(/* salvage= */ true, &store);
		assert_true(r == 0 || faulty_is_off(disk));
		if (r == 0) {
			(void)store_close(store);
			io_free(faulty_io(disk));
		}
		cuts += faulty_is_off(disk);
		faulty_restart(disk, below(UINT32_MAX));
		open_as_it_is();
	}
	assert_int_equal(open_store(/* salvage= */ true, &store), 0);
	return store;
}

static bool is_boundary(const struct row *row)
{
	return row->type == RECORD_TRANSACTION_BEGIN || row->type == RECORD_DURABLE;
}

static bool is_end(const struct row *row)
{
	return row->type == RECORD_TRANSACTION_COMMIT || row->type == RECORD_TRANSACTION_ROLLBACK;
}

/* A record outside transactions is one for certain when no damage lies between it and the mark
 * before, or when the mark behind stands in no transaction. */
static bool must_have_single(uint32_t at)
{
	uint32_t before = at, behind = at;

	while (before > 0 && !rows[before].damaged && !is_boundary(&rows[before]) &&
	       !is_end(&rows[before]))
		before--;
	if (!rows[before].damaged)
		return true;
	while (behind + 1 < row_count && !rows[behind].damaged && !is_boundary(&rows[behind]) &&
	       !is_end(&rows[behind]))
		behind++;
	return !rows[behind].damaged && is_boundary(&rows[behind]);
}

static bool must_have(uint32_t at)
{
	if (rows[at].damaged)
		return false;
	if (rows[at].type != RECORD_TRANSACTION_COMMIT)
		return must_have_single(at);
	while (rows[at].type != RECORD_TRANSACTION_BEGIN) {
		if (at == 0 || rows[at].damaged)
			return false;
		at--;
	}
	return !rows[at].damaged;
}

/* Whether what lies behind says that the damaged record was durable; else it is a torn end. */
static bool is_proved(uint32_t at)
{
	if (strcmp(rows[at].file, rows[row_count - 1].file) != 0)
		return true;
	for (uint32_t i = at + 1; i < row_count; i++) {
		if (!rows[i].damaged && rows[i].durable >= rows[at].lsn)
			return true;
	}
	return false;
}

static uint32_t find_end(void)
{
	uint32_t end = 0;

	while (end < row_count && (!rows[end].damaged || is_proved(end)))
		end++;
	return end;
}

/* What nothing touched is there; so is what the log had let go. */
static void check_kept(void)
{
	uint32_t at = 0, end = find_end();

	for (uint32_t number = 1; number <= model.count; number++) {
		while (at < row_count && rows[at].lsn < model.txs[number].lsn)
			at++;
		bool in_log = at < row_count && rows[at].lsn == model.txs[number].lsn;
		if (!applied[number] && (!in_log || (at < end && must_have(at))))
			fail_msg("transaction %u, lsn %llu, which nothing touched, is gone", number,
				 (unsigned long long)model.txs[number].lsn);
	}
}

static void go_on(void)
{
	static bool before[SALVAGE_TX_MAX + 1];
	struct store *store;

	memcpy(before, applied, sizeof(before));
	assert_int_equal(open_store(/* salvage= */ false, &store), 0);
	assert_whole(store);
	assert_memory_equal(before, applied, (model.count + 1) * sizeof(bool));
	model.only_adds = true;
	for (uint32_t i = 0; i < 3; i++)
		salvage_model_step(&model, store);
	assert_whole(store);
	close_store(store);
}

static void run(uint64_t seed)
{
	struct store *store;

	rand_init(&source, seed);
	salvage_model_init(&model, seed);
	disk = faulty_new(seed);
	pages_damaged = false;
	live(20 + below(140));
	note_rows();
	damage();
	open_as_it_is();
	store = salvage();
	struct store_recovery recovery = store_stats(store).recovery;
	severed += recovery.severed;
	holes += recovery.holes;
	made += recovery.graph_made;
	torn += recovery.torn_lsn > 0;
	assert_whole(store);
	check_kept();
	close_store(store);
	go_on();
	faulty_free(disk);
}

static void what_salvage_leaves_is_whole(void **state)
{
	const char *only = getenv("TERN_SEED");
	uint64_t seeds = getenv("TERN_LONG") != NULL ? SEEDS_LONG : SEEDS;

	(void)state;
	if (only != NULL) {
		run(strtoull(only, NULL, 10));
		return;
	}
	for (uint64_t seed = 1; seed <= seeds; seed++) {
		print_message("seed %llu\r", (unsigned long long)seed);
		run(seed);
	}
	printf("%llu runs: %llu holes, %llu records of severed transactions, %llu torn ends, "
	       "%llu graphs made anew, %llu power cuts\n",
	       (unsigned long long)seeds, (unsigned long long)holes, (unsigned long long)severed,
	       (unsigned long long)torn, (unsigned long long)made, (unsigned long long)cuts);
	assert_true(holes > 0 && severed > 0 && made > 0 && cuts > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_salvage_leaves_is_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
