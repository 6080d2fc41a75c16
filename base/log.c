/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"

#include "base/clock.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static const struct {
	const char *name;
	int priority; /* as syslog(3) numbers them */
} levels[LOG_LEVEL_COUNT] = {
	[LOG_LEVEL_ERROR] = {"error", 3},
	[LOG_LEVEL_WARNING] = {"warning", 4},
	[LOG_LEVEL_INFO] = {"info", 6},
	[LOG_LEVEL_DEBUG] = {"debug", 7},
};

/* Relaxed everywhere: a change may be seen some lines late, and orders nothing. */
static _Atomic int current_level = LOG_LEVEL_WARNING;
static _Atomic int current_fd = STDERR_FILENO;
static _Atomic bool to_journal;

const char *log_level_name(enum log_level level)
{
	return levels[level].name;
}

int log_level_parse(const char *name, enum log_level *ret_level)
{
	for (unsigned i = 0; i < LOG_LEVEL_COUNT; i++) {
		if (strcmp(name, levels[i].name) == 0) {
			*ret_level = (enum log_level)i;
			return 0;
		}
	}
	return -EINVAL;
}

/* $JOURNAL_STREAM is "device:inode"; a child that redirected its output inherits it too. */
static bool is_journal(int fd)
{
	const char *stream = getenv("JOURNAL_STREAM");
	char actual[48];
	struct stat status;

	if (!stream || fstat(fd, &status))
		return false;
	snprintf(actual, sizeof(actual), "%" PRIuMAX ":%" PRIuMAX, (uintmax_t)status.st_dev,
		 (uintmax_t)status.st_ino);
	return strcmp(stream, actual) == 0;
}

void log_init(enum log_level level, int fd)
{
	atomic_store_explicit(&to_journal, is_journal(fd), memory_order_relaxed);
	atomic_store_explicit(&current_fd, fd, memory_order_relaxed);
	log_set_level(level);
}

void log_set_level(enum log_level level)
{
	atomic_store_explicit(&current_level, (int)level, memory_order_relaxed);
}

bool log_enabled(enum log_level level)
{
	return (int)level <= atomic_load_explicit(&current_level, memory_order_relaxed);
}

static size_t write_head(char line[LOG_LINE_MAX], enum log_level level)
{
	struct timespec wall;
	struct tm date;
	uint64_t now_ns = clock_now_ns();
	char text[32];

	if (atomic_load_explicit(&to_journal, memory_order_relaxed))
		return (size_t)snprintf(line, LOG_LINE_MAX, "<%d>", levels[level].priority);
	clock_gettime(CLOCK_REALTIME, &wall);
	gmtime_r(&wall.tv_sec, &date);
	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &date);
	return (size_t)snprintf(line, LOG_LINE_MAX, "%s.%06ldZ %" PRIu64 ".%06" PRIu64 " %s ", text,
				wall.tv_nsec / 1000, now_ns / NS_PER_S,
				now_ns % NS_PER_S / NS_PER_US, levels[level].name);
}

/* Makes one line of the bytes in [from, length) and returns its size with the line's end. */
static size_t seal_line(char line[LOG_LINE_MAX], size_t from, size_t length)
{
	for (size_t i = from; i < length; i++) {
		if ((unsigned char)line[i] < ' ' || line[i] == 0x7f)
			line[i] = ' ';
	}
	line[length] = '\n';
	return length + 1;
}

PRINTF_LIKE(2, 0)
static void write_line(enum log_level level, const char *format, va_list arguments,
		       uint32_t suppressed)
{
	char line[LOG_LINE_MAX];
	size_t head = write_head(line, level);
	size_t length = head;
	int added = vsnprintf(line + length, sizeof(line) - length, format, arguments);

	length = MIN(length + (size_t)MAX(added, 0), sizeof(line) - 1);
	if (suppressed) {
		added = snprintf(line + length, sizeof(line) - length,
				 " (%" PRIu32 " like this were left out)", suppressed);
		length = MIN(length + (size_t)MAX(added, 0), sizeof(line) - 1);
	}
	/* Nobody is left to be told that the log can't be written. */
	(void)!write(atomic_load_explicit(&current_fd, memory_order_relaxed), line,
		     seal_line(line, head, length));
}

void log_write(enum log_level level, const char *format, ...)
{
	va_list arguments;

	if (!log_enabled(level))
		return;
	va_start(arguments, format);
	write_line(level, format, arguments, 0);
	va_end(arguments);
}

bool log_limit_pass(struct log_limit *limit, uint64_t now_ns, uint32_t *ret_suppressed)
{
	uint64_t window_ns = atomic_load_explicit(&limit->window_ns, memory_order_relaxed);
	uint32_t count;

	*ret_suppressed = 0;
	if (window_ns == 0 || now_ns - window_ns >= LOG_LIMIT_WINDOW_NS) {
		atomic_store_explicit(&limit->window_ns, now_ns, memory_order_relaxed);
		count = atomic_exchange_explicit(&limit->count, 0, memory_order_relaxed);
		if (count > LOG_LIMIT_BURST_MAX)
			*ret_suppressed = count - LOG_LIMIT_BURST_MAX;
	}
	count = atomic_fetch_add_explicit(&limit->count, 1, memory_order_relaxed);
	return count < LOG_LIMIT_BURST_MAX;
}

void log_write_limited(struct log_limit *limit, enum log_level level, const char *format, ...)
{
	uint32_t suppressed;
	va_list arguments;

	if (!log_enabled(level) || !log_limit_pass(limit, clock_now_ns(), &suppressed))
		return;
	va_start(arguments, format);
	write_line(level, format, arguments, suppressed);
	va_end(arguments);
}
