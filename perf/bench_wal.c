/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Bench_wal - durable commits a second, and reading a log back, beside the device
 *
 * Commits: one writer, or 64 that each commit again when they were told, and share a flush. The raw
 *thing writes and syncs the same bytes, in whole blocks, to a file that is prepared the same way
 *(perf/lib/raw_log.h), and appends to one that isn't.
 *
 * Reading: every record of a log, checked and decoded, beside reads of the same files in pieces of
 * 1 MiB that do nothing with them; from the page cache, and with it emptied of these files.
 *
 *	bench_wal [--json] [--repeat N] [--folder F] [--value BYTES]
 */

#include "base/check.h"
#include "base/clock.h"
#include "base/defs.h"
#include "engine/wal.h"
#include "engine/wal_reader.h"
#include "perf/lib/bench.h"
#include "perf/lib/raw_log.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define RAW_SIZE     (UINT64_C(64) << 20)
#define WRITER_MAX   64
#define ROUNDS       150
#define READ_SIZE    (UINT64_C(192) << 20)
#define READ_PIECE   (1 << 20)
#define READ_REPEATS 2

struct options {
	struct bench_options bench;
	uint64_t value; /* bytes */
};

static uint8_t value[64 << 10];

/* A log in a folder of its own. */
struct bench {
	struct io *io;
	struct wal *wal;
	char path[300];
};

static void bench_open(struct bench *bench, const struct options *options)
{
	const struct wal_options wal_options = {0};

	snprintf(bench->path, sizeof(bench->path), "%s/bench_wal.%d", options->bench.folder,
		 (int)getpid());
	if (io_ring_new(bench->path, /* create= */ true, &bench->io) != 0)
		CHECK(io_plain_new(bench->path, /* create= */ true, &bench->io) == 0);
	CHECK(wal_open(bench->io, &wal_options, &bench->wal) == 0);
}

static int remove_one(void *context, const char *name)
{
	struct bench *bench = context;
	char path[600];

	snprintf(path, sizeof(path), "%s/%s", bench->path, name);
	return unlink(path);
}

static void bench_close(struct bench *bench)
{
	wal_close(bench->wal);
	CHECK(io_list(bench->io, remove_one, bench) == 0);
	io_free(bench->io);
	rmdir(bench->path);
}

static void append(struct wal *wal, uint32_t size)
{
	struct record record = {.type = RECORD_KV_SET,
				.timestamp = 1700000000,
				.kv = {.key = {value, 16}, .value = {value, size}}};

	CHECK(wal_append(wal, &record) == 0);
}

/* ---- commits ---- */

/* Returns commits a second of that many writers, each of which commits again when it was told. The
 * owner polls, as a core of the daemon does. */
static double commit(struct wal *wal, unsigned writers, uint32_t size)
{
	uint64_t begin = clock_now_ns();

	for (unsigned i = 0; i < ROUNDS; i++) {
		uint64_t last;

		for (unsigned j = 0; j < writers; j++)
			append(wal, size);
		last = wal_position(wal).next - 1;
		wal_flush(wal, /* sync= */ true);
		while (wal_position(wal).durable < last) {
			(void)wal_poll(wal);
			CHECK(wal_failed(wal) == 0);
		}
	}
	return writers * ROUNDS / ((double)(clock_now_ns() - begin) / NS_PER_S);
}

/* Bytes of a group's frames: a Durable record, and a KvSet each. */
static uint32_t group_size(unsigned writers, uint32_t size)
{
	const struct record durable = {.type = RECORD_DURABLE};
	const struct record set = {.type = RECORD_KV_SET,
				   .kv = {.key = {value, 16}, .value = {value, size}}};

	return (uint32_t)(wal_frame_size(&durable) + writers * wal_frame_size(&set));
}

/* The same bytes: each write begins with the block that the one before ended in. */
static double raw_commit(struct raw_log *log, unsigned writers, uint32_t size)
{
	uint32_t group = group_size(writers, size), tail = 0;
	uint64_t ns = 0;

	for (unsigned i = 0; i < ROUNDS; i++) {
		ns += raw_log_write(log, (uint32_t)align_up(tail + group + 8, IO_ALIGN));
		tail = (tail + group) % IO_ALIGN;
	}
	return writers * ROUNDS / ((double)ns / NS_PER_S);
}

static void compare_commits(const struct options *options, struct bench *bench, unsigned writers)
{
	static const enum raw_log_way ways[] = {RAW_LOG_RING, RAW_LOG_GROWING};

	for (unsigned i = 0; i < ARRAY_COUNT(ways); i++) {
		char text[80];
		struct paired paired = {.name = text, .unit = "commits/s"};
		struct raw_log *log;

		if (raw_log_open(options->bench.folder, ways[i], RAW_SIZE, &log) != 0)
			continue;
		snprintf(text, sizeof(text), "commit, %u writer%s, raw %s", writers,
			 writers > 1 ? "s" : "", raw_log_name(ways[i]));
		for (unsigned j = 0; j < options->bench.repeat; j++) {
			double raw = 0, ours = 0;

			/* In turns, since a device may throttle what comes second. */
			for (unsigned k = 0; k < 2; k++) {
				if ((j + k) % 2 == 0)
					raw = raw_commit(log, writers, (uint32_t)options->value);
				else
					ours = commit(bench->wal, writers,
						      (uint32_t)options->value);
			}
			paired_add(&paired, raw, ours);
			CHECK(wal_release(bench->wal, wal_position(bench->wal).durable) == 0);
		}
		paired_print(&paired, options->bench.json);
		raw_log_close(log);
	}
}

/* ---- reading ---- */

struct raw_read {
	const char *folder;
	uint8_t *piece;
	uint64_t bytes;
	bool forget; /* drops the files from the page cache instead */
};

static void read_file(struct raw_read *read, const char *name)
{
	char path[600];
	ssize_t count;
	int handle;

	snprintf(path, sizeof(path), "%s/%s", read->folder, name);
	handle = open(path, O_RDONLY | O_CLOEXEC);
	CHECK(handle >= 0);
	if (read->forget) {
		CHECK(fdatasync(handle) == 0);
		CHECK(posix_fadvise(handle, 0, 0, POSIX_FADV_DONTNEED) == 0);
	} else {
		while ((count = pread(handle, read->piece, READ_PIECE, (off_t)read->bytes)) > 0)
			read->bytes += (uint64_t)count;
	}
	close(handle);
}

static uint64_t each_file(struct raw_read *read)
{
	DIR *folder = opendir(read->folder);
	const struct dirent *entry;
	uint64_t bytes = 0;

	CHECK(folder);
	while ((entry = readdir(folder))) {
		if (entry->d_name[0] == '.')
			continue;
		read->bytes = 0;
		read_file(read, entry->d_name);
		bytes += read->bytes;
	}
	closedir(folder);
	return bytes;
}

/* MB/s. */
static double raw_read_all(const struct bench *bench, bool cold)
{
	struct raw_read read = {.folder = bench->path, .piece = malloc(READ_PIECE), .forget = cold};
	uint64_t begin, bytes;

	CHECK(read.piece);
	if (cold)
		(void)each_file(&read);
	read.forget = false;
	begin = clock_now_ns();
	bytes = each_file(&read);
	free(read.piece);
	return (double)bytes / 1e6 / ((double)(clock_now_ns() - begin) / NS_PER_S);
}

static double read_all(const struct bench *bench, bool cold)
{
	const struct wal_reader_options options = {0};
	struct raw_read forget = {.folder = bench->path, .forget = true};
	struct wal_reader *reader;
	struct record record;
	char error[256];
	uint64_t begin, bytes;
	int result;

	if (cold)
		(void)each_file(&forget);
	begin = clock_now_ns();
	CHECK(wal_reader_open(bench->io, &options, &reader, error, sizeof(error)) == 0);
	while ((result = wal_reader_next(reader, &record)) == 0)
		;
	CHECK(result == WAL_READER_E_END);
	bytes = wal_reader_stats(reader).bytes;
	wal_reader_close(reader);
	return (double)bytes / 1e6 / ((double)(clock_now_ns() - begin) / NS_PER_S);
}

static void fill(struct bench *bench, uint32_t size)
{
	uint64_t begin = wal_stats(bench->wal).bytes;

	while (wal_stats(bench->wal).bytes - begin < READ_SIZE) {
		while (wal_has_room(bench->wal, size + 100, 1))
			append(bench->wal, size);
		CHECK(wal_sync(bench->wal) == 0);
	}
}

static void compare_reading(const struct options *options, const struct bench *bench, uint32_t size,
			    bool cold)
{
	char text[80];
	struct paired paired = {.name = text, .unit = "MB/s"};
	uint64_t repeat = MAX(options->bench.repeat / READ_REPEATS, (uint64_t)1);

	snprintf(text, sizeof(text), "read, values of %u bytes, %s", size,
		 cold ? "from the device" : "cached");
	for (unsigned i = 0; i < repeat; i++) {
		double raw = raw_read_all(bench, cold);

		paired_add(&paired, raw, read_all(bench, cold));
	}
	paired_print(&paired, options->bench.json);
}

static void bench_commits(const struct options *options)
{
	struct bench bench = {0};

	bench_open(&bench, options);
	compare_commits(options, &bench, 1);
	compare_commits(options, &bench, WRITER_MAX);
	bench_close(&bench);
}

static void bench_reading(const struct options *options, uint32_t size)
{
	struct bench bench = {0};

	bench_open(&bench, options);
	fill(&bench, size);
	compare_reading(options, &bench, size, /* cold= */ true);
	compare_reading(options, &bench, size, /* cold= */ false);
	bench_close(&bench);
}

int main(int argc, char **argv)
{
	struct options options = {.bench = BENCH_OPTIONS_INIT, .value = 100};
	const struct cmd_option known[] = {
		BENCH_OPTIONS(options.bench),
		{"value", "BYTES", "of a record (100)", .number = &options.value, .max = 32 << 10},
	};
	int status;

	if (!cmd_options("bench_wal", "Appends to the log and reads it, beside the bare bytes.\n",
			 known, ARRAY_COUNT(known), argc, argv, &status))
		return status;
	memset(value, 'v', sizeof(value));
	bench_commits(&options);
	bench_reading(&options, (uint32_t)options.value);
	bench_reading(&options, 4000);
	return 0;
}
