/* SPDX-License-Identifier: Apache-2.0 */
#include "perf/lib/raw_log.h"

#include "base/check.h"
#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ALIGN 4096

struct raw_log {
	enum raw_log_way way;
	int fd;
	uint8_t *bytes;
	uint64_t size;
	uint64_t offset;
	struct io_uring ring; /* RAW_LOG_RING, RAW_LOG_DSYNC */
	char path[256];
};

const char *raw_log_name(enum raw_log_way way)
{
	static const char *const names[RAW_LOG_WAY_COUNT] = {
		[RAW_LOG_RING] = "ring",       [RAW_LOG_DSYNC] = "dsync",
		[RAW_LOG_DIRECT] = "direct",   [RAW_LOG_BUFFERED] = "buffered",
		[RAW_LOG_GROWING] = "growing",
	};

	return names[way];
}

static bool has_ring(enum raw_log_way way)
{
	return way == RAW_LOG_RING || way == RAW_LOG_DSYNC;
}

static int fill(struct raw_log *log)
{
	for (uint64_t at = 0; at < log->size; at += RAW_LOG_WRITE_MAX) {
		size_t size = MIN(log->size - at, RAW_LOG_WRITE_MAX);

		if (pwrite(log->fd, log->bytes, size, (off_t)at) != (ssize_t)size)
			return errno ? -errno : -EIO;
	}
	return fsync(log->fd) < 0 ? -errno : 0;
}

static int open_ring(struct raw_log *log)
{
	struct iovec bytes = {.iov_base = log->bytes, .iov_len = RAW_LOG_WRITE_MAX};
	int error = io_uring_queue_init(4, &log->ring,
					IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN);

	if (error)
		return error;
	error = io_uring_register_buffers(&log->ring, &bytes, 1);
	if (error)
		io_uring_queue_exit(&log->ring);
	return error;
}

static int open_file(struct raw_log *log)
{
	bool direct = has_ring(log->way) || log->way == RAW_LOG_DIRECT;
	int error;

	log->fd = open(log->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | (direct ? O_DIRECT : 0),
		       0600);
	if (log->fd < 0)
		return -errno;
	error = log->way == RAW_LOG_GROWING ? 0 : fill(log);
	if (!error && has_ring(log->way))
		error = open_ring(log);
	if (error) {
		close(log->fd);
		unlink(log->path);
	}
	return error;
}

int raw_log_open(const char *folder, enum raw_log_way way, uint64_t size, struct raw_log **ret_log)
{
	struct raw_log *log = calloc(1, sizeof(*log));
	int error;

	CHECK(log && size >= RAW_LOG_WRITE_MAX);
	*log = (struct raw_log){.way = way, .size = size};
	snprintf(log->path, sizeof(log->path), "%s/raw_log.%s.%d", folder, raw_log_name(way),
		 (int)getpid());
	log->bytes = aligned_alloc(ALIGN, RAW_LOG_WRITE_MAX);
	CHECK(log->bytes);
	memset(log->bytes, 0, RAW_LOG_WRITE_MAX);
	error = open_file(log);
	if (error) {
		free(log->bytes);
		free(log);
		return error;
	}
	*ret_log = log;
	return 0;
}

static void write_by_ring(struct raw_log *log, uint32_t size)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&log->ring);
	struct io_uring_cqe *ended[2];
	unsigned count = log->way == RAW_LOG_RING ? 2 : 1;

	io_uring_prep_write_fixed(sqe, log->fd, log->bytes, size, log->offset, 0);
	if (log->way == RAW_LOG_RING) {
		sqe->flags |= IOSQE_IO_LINK;
		sqe = io_uring_get_sqe(&log->ring);
		io_uring_prep_fsync(sqe, log->fd, IORING_FSYNC_DATASYNC);
	} else {
		sqe->rw_flags = RWF_DSYNC;
	}
	CHECK(io_uring_submit_and_wait(&log->ring, count) == (int)count);
	CHECK(io_uring_peek_batch_cqe(&log->ring, ended, count) == count);
	CHECK(ended[0]->res == (int)size && (count == 1 || ended[1]->res == 0));
	io_uring_cq_advance(&log->ring, count);
}

uint64_t raw_log_write(struct raw_log *log, uint32_t size)
{
	uint64_t begin;

	CHECK(size % ALIGN == 0 && size <= RAW_LOG_WRITE_MAX);
	if (log->offset + size > log->size && log->way != RAW_LOG_GROWING)
		log->offset = 0;
	/* Other bytes than those on the disk, at little cost. */
	for (uint32_t at = 0; at < size; at += ALIGN)
		memcpy(log->bytes + at, &log->offset, sizeof(log->offset));
	begin = clock_now_ns();
	if (has_ring(log->way)) {
		write_by_ring(log, size);
	} else {
		CHECK(pwrite(log->fd, log->bytes, size, (off_t)log->offset) == (ssize_t)size);
		CHECK(fdatasync(log->fd) == 0);
	}
	log->offset += size;
	return clock_now_ns() - begin;
}

void raw_log_close(struct raw_log *log)
{
	if (has_ring(log->way))
		io_uring_queue_exit(&log->ring);
	close(log->fd);
	unlink(log->path);
	free(log->bytes);
	free(log);
}
