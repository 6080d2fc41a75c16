/* SPDX-License-Identifier: Apache-2.0 */
#include "base/rand.h"
#include "engine/btree.h"
#include "engine/btree_check.h"
#include "engine/btree_cursor.h"
#include "engine/wal_reader.h"
#include "tests/lib/crash.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * A tree on pages, the real log and a file that remembers the last checkpoint: splits, joins, freed
 * pages, pages written behind, checkpoints. Wherever it ends, the tree is afterwards what it was
 * at a commit that is not older than the last one that was acknowledged, and every page is in it
 * or free.
 *
 * Key 0 has the commit's number, so that a check knows which tree it has to find.
 */

#define COMMITS      12
#define COMMITS_LONG 36
#define SLOTS        3000

/* Changes of one commit, in waves, so that pages are freed and used again: up in the first commits
 * of a wave, then down, when all keys of a range go. */
#define CHANGES 150
#define WAVE    6
#define UP      4
#define RANGE   900

#define STATE     "state"
#define STATE_NEW "state.new"

struct model {
	uint64_t seed;
	uint64_t begun;   /* commits */
	uint64_t durable; /* of them */
};

struct store {
	struct io *io;
	struct wal *wal;
	struct pager *pager;
	struct btree tree;
	struct pager_state state; /* of the last checkpoint */
	uint64_t next_lsn;
	uint8_t *records; /* of the transaction that recovery is in: u32 size and bytes each */
	size_t size;
	char *error;
	size_t error_size;
};

/* What of the engine isn't the io's errno isn't what was promised. */
static int judge(struct store *store, int result, const char *what)
{
	if (result <= 0)
		return result;
	snprintf(store->error, store->error_size, "%s: %d %s", what, result,
		 store->pager ? pager_error(store->pager) : "");
	return CRASH_E_WRONG;
}

static bool is_long(void)
{
	return getenv("TERN_LONG") != NULL;
}

/* ---- the file that remembers ---- */

static int write_state(struct store *store)
{
	struct io_file *file;
	int result = io_open(store->io, STATE_NEW, IO_CREATE, &file);

	if (result)
		return result;
	result = io_write(file, 0, &store->state, sizeof(store->state));
	if (result == 0)
		result = io_sync(file);
	io_close(file);
	if (result == 0)
		result = io_rename(store->io, STATE_NEW, STATE);
	return result ? result : io_sync_folder(store->io);
}

static int read_state(struct store *store)
{
	struct io_file *file;
	int result = io_open(store->io, STATE, IO_READ_ONLY, &file);

	if (result)
		return result;
	result = io_read(file, 0, &store->state, sizeof(store->state));
	io_close(file);
	return result;
}

/* ---- opening ---- */

static int open_wal(struct store *store)
{
	const struct wal_options options = {.segment_size = 512 << 10,
					    .buffer_size = 256 << 10,
					    .recycle_max = 2,
					    .next_lsn = store->next_lsn,
					    .salt = 0x9a6e5 + (uint32_t)store->next_lsn};

	return wal_open(store->io, &options, &store->wal);
}

static int open_pager(struct store *store, bool create)
{
	const struct pager_options options = {
		.cache_pages = 64, .state = store->state, .create = create};
	char error[PAGE_ERROR_MAX] = "";
	int result =
		pager_open(store->io, create ? store->wal : NULL, &options, &store->pager, error);

	if (result <= 0)
		return result;
	snprintf(store->error, store->error_size, "pager_open: %s", error);
	return CRASH_E_WRONG;
}

static int checkpoint(struct store *store, bool wait);

static int make_tree(struct store *store)
{
	int result = pager_begin(store->pager);

	if (result)
		return result;
	result = btree_create(store->pager, &store->tree.root);
	if (result == 0)
		result = btree_put(&store->tree, 0, 0);
	if (result == 0) {
		pager_state(store->pager)->node_root = store->tree.root;
		result = pager_commit(store->pager, 1);
	}
	if (result)
		pager_rollback(store->pager);
	return judge(store, result, "creation");
}

static int remove_log(void *context, const char *name)
{
	struct io *io = context;

	return strncmp(name, "wal-", 4) == 0 ? io_remove(io, name) : 0;
}

static int create(struct store *store)
{
	int result = io_list(store->io, remove_log, store->io);

	if (result == 0)
		result = io_sync_folder(store->io);
	store->next_lsn = 1;
	if (result == 0)
		result = open_wal(store);
	if (result == 0)
		result = open_pager(store, true);
	if (result)
		return result;
	store->tree.pager = store->pager;
	result = make_tree(store);
	return result ? result : checkpoint(store, true);
}

static void keep(struct store *store, const struct record *record)
{
	size_t size = record_size(record);

	store->records = realloc(store->records, store->size + sizeof(uint32_t) + size);
	if (!store->records)
		abort();
	store_le32(store->records + store->size, (uint32_t)size);
	if (record_encode(record, store->records + store->size + sizeof(uint32_t)))
		abort();
	store->size += sizeof(uint32_t) + size;
}

static int redo_kept(struct store *store)
{
	int result = 0;

	for (size_t at = 0; at < store->size && result == 0;) {
		uint32_t size = load_le32(store->records + at);
		struct record record;

		if (record_decode(store->records + at + sizeof(size), size, &record))
			abort();
		result = judge(store, pager_redo(store->pager, &record), "redo");
		at += sizeof(size) + size;
	}
	return result;
}

static int take_record(struct store *store, const struct record *record)
{
	store->next_lsn = record->lsn + 1;
	switch (record->type) {
	case RECORD_TRANSACTION_BEGIN:
	case RECORD_TRANSACTION_ROLLBACK:
		store->size = 0;
		return 0;
	case RECORD_TRANSACTION_COMMIT:
		return redo_kept(store);
	default:
		keep(store, record);
		return 0;
	}
}

static int read_log(struct store *store)
{
	const struct wal_reader_options options = {.from = store->state.lsn};
	struct wal_reader *reader;
	struct record record;
	int end, result = wal_reader_open(store->io, &options, &reader, store->error,
					  store->error_size);

	if (result)
		return result < 0 ? result : CRASH_E_WRONG;
	while ((end = wal_reader_next(reader, &record)) == 0 && result == 0)
		result = take_record(store, &record);
	if (result == 0 && end == WAL_READER_E_TORN)
		result = wal_reader_cut(reader);
	if (result == 0 && end > 0 && end != WAL_READER_E_CORRUPT)
		result = wal_reader_rewrite(reader);
	if (end == WAL_READER_E_CORRUPT) {
		snprintf(store->error, store->error_size, "log: %s", wal_reader_error(reader));
		result = CRASH_E_WRONG;
	}
	wal_reader_close(reader);
	return end < 0 ? end : result;
}

static int recover(struct store *store)
{
	int result = open_pager(store, false);

	if (result)
		return result;
	store->next_lsn = store->state.lsn;
	result = read_log(store);
	if (result == 0)
		result = open_wal(store);
	if (result)
		return result;
	pager_attach(store->pager, store->wal);
	store->tree = (struct btree){store->pager, pager_state(store->pager)->node_root};
	return 0;
}

static int open_store(struct io *io, struct store *store, char *error, size_t error_size)
{
	int result;

	*store = (struct store){.io = io, .error = error, .error_size = error_size};
	result = read_state(store);
	return result == IO_E_ABSENT ? create(store) : result ? result : recover(store);
}

static void close_store(struct store *store)
{
	pager_close(store->pager);
	wal_close(store->wal);
	free(store->records);
}

/* ---- working ---- */

/* Goes on with a checkpoint, to its end if that is waited for. */
static int checkpoint(struct store *store, bool wait)
{
	bool done = false;
	int result = wait ? wal_sync(store->wal) : 0;

	if (wait)
		pager_checkpoint_begin(store->pager);
	if (result == 0)
		result = pager_work(store->pager, wait ? UINT32_MAX : 2);
	if (result == 0)
		result = pager_checkpoint_poll(store->pager, &done, &store->state);
	if (result || !done)
		return result;
	result = write_state(store);
	return result ? result : wal_release(store->wal, store->state.lsn);
}

struct change {
	uint64_t key;
	uint64_t value; /* 0: deleted */
};

/* Half of them come in a row. */
static void changes_of(uint64_t seed, uint64_t commit, struct change changes[CHANGES])
{
	struct rand rand;
	uint64_t deleted = commit % WAVE < UP ? 10 : 85, row;

	rand_init(&rand, seed * 1000 + commit);
	row = 1 + rand_below(&rand, SLOTS);
	for (unsigned i = 0; i < CHANGES; i++) {
		uint64_t key = i % 2 ? row + i : 1 + rand_below(&rand, SLOTS);
		bool gone = rand_below(&rand, 100) < deleted;

		changes[i] = (struct change){key, gone ? 0 : 1 + rand_below(&rand, UINT32_MAX)};
	}
}

static int apply(struct store *store, const struct change *change)
{
	int result;

	if (change->value)
		return btree_put(&store->tree, change->key, change->value);
	result = btree_delete(&store->tree, change->key);
	return result == BTREE_E_ABSENT ? 0 : result;
}

static int empty_range(struct store *store, uint64_t commit)
{
	uint64_t first = 1 + commit * 331 % SLOTS;
	int result = 0;

	for (uint64_t key = first; key < first + RANGE && result == 0; key++)
		result = apply(store, &(struct change){key, 0});
	return result;
}

static int change_tree(struct store *store, uint64_t seed, uint64_t commit)
{
	struct change changes[CHANGES];
	int result = 0;

	changes_of(seed, commit, changes);
	for (unsigned i = 0; i < CHANGES && result == 0; i++)
		result = apply(store, &changes[i]);
	if (result == 0 && commit % WAVE >= UP)
		result = empty_range(store, commit);
	return result ? result : btree_put(&store->tree, 0, commit);
}

static int commit_changes(struct store *store, uint64_t seed, uint64_t commit)
{
	int result = pager_begin(store->pager);

	if (result)
		return result;
	result = change_tree(store, seed, commit);
	if (result == 0)
		result = pager_commit(store->pager, commit);
	if (result)
		pager_rollback(store->pager);
	return judge(store, result, "commit");
}

/* One that is taken back is as if it had never been. */
static int roll_back_changes(struct store *store, uint64_t seed, uint64_t commit)
{
	int result = pager_begin(store->pager);

	if (result)
		return result;
	result = change_tree(store, seed, commit + 1000);
	pager_rollback(store->pager);
	return judge(store, result, "a transaction to roll back");
}

static int work(struct store *store, struct model *model, uint64_t commit)
{
	int result = 0;

	if (commit % 5 == 2)
		result = roll_back_changes(store, model->seed, commit);
	model->begun = commit;
	if (result == 0)
		result = commit_changes(store, model->seed, commit);
	/* Every second one waits: pages may not be written before the log then. */
	if (result == 0 && commit % 2 == 0)
		result = wal_sync(store->wal);
	if (result)
		return result;
	if (commit % 2 == 0)
		model->durable = commit;
	if (commit % 4 == 2)
		pager_checkpoint_begin(store->pager);
	return judge(store, checkpoint(store, false), "checkpoint");
}

static int run(void *context, struct io *io, char *error, size_t error_size)
{
	struct model *model = context;
	uint64_t commits = is_long() ? COMMITS_LONG : COMMITS;
	struct store store;
	int result = open_store(io, &store, error, error_size);

	for (uint64_t commit = 1; commit <= commits && result == 0; commit++)
		result = work(&store, model, commit);
	close_store(&store);
	return result;
}

/* ---- checking ---- */

static int check_pages(struct store *store)
{
	struct btree_stats stats;
	struct page_set set;
	int result = page_set_init(pager_state(store->pager)->page_count, &set);

	if (result)
		return result;
	result = btree_check(&store->tree, &set, &stats);
	if (result == 0)
		result = btree_check_free(store->pager, &set);
	if (result == 0)
		result = btree_check_all(store->pager, &set);
	page_set_deinit(&set);
	return judge(store, result, "check");
}

static void expect_commits(uint64_t seed, uint64_t commits, uint64_t *values)
{
	struct change changes[CHANGES];

	for (uint64_t commit = 1; commit <= commits; commit++) {
		changes_of(seed, commit, changes);
		for (unsigned i = 0; i < CHANGES; i++)
			values[changes[i].key] = changes[i].value;
		for (uint64_t i = 0; commit % WAVE >= UP && i < RANGE; i++)
			values[1 + commit * 331 % SLOTS + i] = 0;
		values[0] = commit;
	}
}

static int compare(struct store *store, uint64_t seed, uint64_t commits)
{
	static uint64_t values[3 * SLOTS];
	struct btree_cursor cursor;
	uint64_t at = 0;
	int result;

	memset(values, 0, sizeof(values));
	expect_commits(seed, commits, values);
	btree_cursor_open(&store->tree, &cursor);
	while ((result = btree_cursor_next(&cursor)) == 0) {
		/* Key 0 is always there. */
		while (at && at < cursor.entry.key && values[at] == 0)
			at++;
		if (at != cursor.entry.key || values[at] != cursor.entry.value)
			break;
		at++;
	}
	btree_cursor_close(&cursor);
	while (result == BTREE_E_ABSENT && at < 3 * SLOTS && values[at] == 0)
		at++;
	if (result < 0 || (result == BTREE_E_ABSENT && at == 3 * SLOTS))
		return result < 0 ? result : 0;
	snprintf(store->error, store->error_size,
		 "commit %" PRIu64 ": key %" PRIu64 " isn't as it was (%d)", commits, at, result);
	return CRASH_E_WRONG;
}

static int check_store(struct store *store, const struct model *model)
{
	uint64_t commits;
	int result = check_pages(store);

	if (result == 0)
		result = judge(store, btree_get(&store->tree, 0, &commits), "key 0");
	if (result)
		return result;
	if (commits < model->durable || commits > model->begun) {
		snprintf(store->error, store->error_size,
			 "the tree of commit %" PRIu64 ": expected %" PRIu64 " to %" PRIu64,
			 commits, model->durable, model->begun);
		return CRASH_E_WRONG;
	}
	result = compare(store, model->seed, commits);
	/* So that a power cut finds a recovery that writes. */
	return result ? result : judge(store, checkpoint(store, true), "checkpoint");
}

static int check(const void *context, struct io *io, char *error, size_t error_size)
{
	struct store store;
	int result = open_store(io, &store, error, error_size);

	if (result == 0)
		result = check_store(&store, context);
	close_store(&store);
	return result;
}

static void *begin(uint64_t seed)
{
	struct model *model = calloc(1, sizeof(*model));

	if (!model)
		abort();
	model->seed = seed;
	return model;
}

/* The first by default, all in a long run or by name. */
static const struct crash_workload workloads[] = {
	{.name = "pages", .begin = begin, .run = run, .check = check, .end = free},
	{.name = "pieces", .begin = begin, .run = run, .check = check, .end = free, .piece_max = 2},
};

int main(int argc, char **argv)
{
	size_t count = sizeof(workloads) / sizeof(workloads[0]);

	return crash_main(argc, argv, workloads, argc > 1 || is_long() ? count : 1);
}
