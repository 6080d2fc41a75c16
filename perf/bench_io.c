/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Bench_io - microseconds to write and sync, by our queues and without them
 *
 * The raw thing is perf/lib/raw_log.h: the same bytes to a file prepared the same way. Each of its
 *ways is compared with the first of them, and our two queues (io_uring, helper thread) with it,
 *too, in turns. How a log is to be written follows from the first; what engine/io costs from the
 *second.
 *
 *	bench_io [--json] [--repeat N] [--folder F] [--size BYTES]
 */

#include "base/check.h"
#include "base/clock.h"
#include "engine/io.h"
#include "perf/lib/bench.h"
#include "perf/lib/raw_log.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FILE_SIZE (UINT64_C(32) << 20)

/* Writes of one measurement. */
#define WRITES 40

struct options {
	struct bench_options bench;
	uint64_t size; /* 0: all */
};

/* Our own queue on a file prepared as a log's segment is. */
struct ours {
	struct io *io;
	struct io_file *file;
	struct io_queue *queue;
	uint8_t *bytes;
	uint64_t offset;
	char path[300];
};

static bool ours_open(struct ours *ours, const char *folder, const char *name,
		      int (*make)(const char *, bool, struct io **))
{
	*ours = (struct ours){0};
	snprintf(ours->path, sizeof(ours->path), "%s/bench_io.%s.%d", folder, name, (int)getpid());
	if (make(ours->path, /* create= */ true, &ours->io) != 0)
		return false;
	ours->bytes = aligned_alloc(IO_ALIGN, RAW_LOG_WRITE_MAX);
	CHECK(ours->bytes);
	memset(ours->bytes, 0, RAW_LOG_WRITE_MAX);
	CHECK(io_open(ours->io, "log", IO_CREATE | IO_DIRECT, &ours->file) == 0);
	for (uint64_t at = 0; at < FILE_SIZE; at += RAW_LOG_WRITE_MAX)
		CHECK(io_write(ours->file, at, ours->bytes, RAW_LOG_WRITE_MAX) == 0);
	CHECK(io_sync(ours->file) == 0);
	CHECK(io_queue_new(ours->io, 4, &ours->queue) == 0);
	(void)io_queue_register(ours->queue, ours->bytes, RAW_LOG_WRITE_MAX);
	return true;
}

static void ours_close(struct ours *ours)
{
	io_queue_free(ours->queue);
	io_close(ours->file);
	CHECK(io_remove(ours->io, "log") == 0);
	io_free(ours->io);
	rmdir(ours->path);
	free(ours->bytes);
}

static uint64_t ours_write(struct ours *ours, uint32_t size)
{
	struct io_op op = {.file = ours->file, .bytes = ours->bytes, .kind = IO_WRITE_SYNC};
	struct io_op *ended;
	uint64_t begin;

	if (ours->offset + size > FILE_SIZE)
		ours->offset = 0;
	for (uint32_t at = 0; at < size; at += IO_ALIGN)
		memcpy(ours->bytes + at, &ours->offset, sizeof(ours->offset));
	op.offset = ours->offset;
	op.size = size;
	begin = clock_now_ns();
	CHECK(io_queue_submit(ours->queue, &op) == 0);
	do
		io_queue_wait(ours->queue);
	while (io_queue_poll(ours->queue, &ended, 1) == 0);
	CHECK(op.result == 0);
	ours->offset += size;
	return clock_now_ns() - begin;
}

/* The median: a shared device stalls now and then. */
static double median_us(uint64_t (*one)(void *context, uint32_t size), void *context, uint32_t size)
{
	double times[WRITES];

	for (unsigned i = 0; i < WRITES; i++)
		times[i] = (double)one(context, size) / NS_PER_US;
	return paired_quantile(times, WRITES, 0.5);
}

static uint64_t one_raw(void *context, uint32_t size)
{
	return raw_log_write(context, size);
}

static uint64_t one_ours(void *context, uint32_t size)
{
	return ours_write(context, size);
}

static void compare(const struct options *options, const char *name, struct raw_log *raw,
		    uint64_t (*one)(void *context, uint32_t size), void *context, uint32_t size)
{
	char text[48];
	struct paired paired = {.name = text, .unit = "us"};

	snprintf(text, sizeof(text), "write+sync %u KiB, %s", size / 1024, name);
	for (unsigned i = 0; i < options->bench.repeat; i++) {
		double us = median_us(one_raw, raw, size);

		paired_add(&paired, us, median_us(one, context, size));
	}
	paired_print(&paired, options->bench.json);
}

/* The other raw ways against the first. */
static void compare_ways(const struct options *options, struct raw_log *raw, uint32_t size)
{
	for (int way = RAW_LOG_RING + 1; way < RAW_LOG_WAY_COUNT; way++) {
		struct raw_log *log;

		if (raw_log_open(options->bench.folder, (enum raw_log_way)way, FILE_SIZE, &log) !=
		    0)
			continue;
		compare(options, raw_log_name((enum raw_log_way)way), raw, one_raw, log, size);
		raw_log_close(log);
	}
}

static void compare_ours(const struct options *options, struct raw_log *raw, uint32_t size)
{
	struct ours ours;

	if (ours_open(&ours, options->bench.folder, "ring", io_ring_new)) {
		compare(options, "our ring", raw, one_ours, &ours, size);
		ours_close(&ours);
	}
	if (ours_open(&ours, options->bench.folder, "plain", io_plain_new)) {
		compare(options, "our helper thread", raw, one_ours, &ours, size);
		ours_close(&ours);
	}
}

int main(int argc, char **argv)
{
	static const uint32_t sizes[] = {4096, 16384, 65536, 262144, 1048576};
	struct options options = {.bench = BENCH_OPTIONS_INIT};
	const struct cmd_option known[] = {
		BENCH_OPTIONS(options.bench),
		{"size", "BYTES", "of a write: 4096, 16384, 65536, 262144 or 1048576 (all of them)",
		 .number = &options.size, .min = IO_ALIGN, .max = RAW_LOG_WRITE_MAX},
	};
	int status;
	struct raw_log *raw;
	int error;

	if (!cmd_options("bench_io",
			 "Writes and syncs through each kind of queue, beside bare calls.\n", known,
			 ARRAY_COUNT(known), argc, argv, &status))
		return status;
	error = raw_log_open(options.bench.folder, RAW_LOG_RING, FILE_SIZE, &raw);
	if (error) {
		fprintf(stderr, "bench_io: %s: %s\n", options.bench.folder, strerror(-error));
		return 1;
	}
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		if (options.size != 0 && options.size != sizes[i])
			continue;
		compare_ways(&options, raw, sizes[i]);
		compare_ours(&options, raw, sizes[i]);
	}
	raw_log_close(raw);
	return 0;
}
