/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Log - what happened, one line an event
 *
 * A line on a terminal or in a file carries the wall clock, the monotonic clock
 * (to lay beside measurements) and the level:
 *
 *      2026-01-31T12:00:00.123456Z 5021.345678 warning port busy, address 127.0.0.1:7400
 *
 * Under systemd, which has clocks of its own, it is "<4>port busy, ..." with the
 * level as the journal reads it. Control characters in a text become spaces, so
 * that foreign bytes can't forge a line.
 *
 * Texts are lower case, values follow their noun, no "=". The layer that decides
 * logs, once; poll cores log only through LOG_LIMITED, in slow branches.
 *
 * Threads: any. A line is one write(2). Nothing here allocates.
 */

#include "base/defs.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum log_level {
	LOG_LEVEL_ERROR,
	LOG_LEVEL_WARNING,
	LOG_LEVEL_INFO,
	LOG_LEVEL_DEBUG,
	LOG_LEVEL_COUNT
};

/* Bytes of a line; longer texts are cut. */
#define LOG_LINE_MAX 1024

/* Lines that one place of the code may write in LOG_LIMIT_WINDOW_NS. */
#define LOG_LIMIT_BURST_MAX 10
#define LOG_LIMIT_WINDOW_NS UINT64_C(5000000000)

/* "error", "warning", "info" or "debug". */
const char *log_level_name(enum log_level level);

/* Returns 0, or -EINVAL when 'name' is none of them. */
int log_level_parse(const char *name, enum log_level *ret_level);

/*
 * Writes events up to 'level' to descriptor 'fd', which is borrowed for good.
 * Before the first call: warnings and errors, to standard error. The journal's
 * form is taken when $JOURNAL_STREAM names what 'fd' is (systemd.exec(5)).
 */
void log_init(enum log_level level, int fd);

void log_set_level(enum log_level level);
bool log_enabled(enum log_level level);

void log_write(enum log_level level, const char *format, ...) PRINTF_LIKE(2, 3);

#define log_error(...)   log_write(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_write(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_info(...)    log_write(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...)   log_write(LOG_LEVEL_DEBUG, __VA_ARGS__)

/* How much one place has written; all zero at first. */
struct log_limit {
	_Atomic uint64_t window_ns; /* when the window began */
	_Atomic uint32_t count;     /* lines wanted in it */
};

/*
 * May one more line go out? '*ret_suppressed' is how many of the window before
 * did not; 0 except at the begin of a window. Threads that race may let a line
 * too many through.
 */
bool log_limit_pass(struct log_limit *limit, uint64_t now_ns, uint32_t *ret_suppressed);

void log_write_limited(struct log_limit *limit, enum log_level level, const char *format, ...)
	PRINTF_LIKE(3, 4);

/* For what peers can provoke: at most LOG_LIMIT_BURST_MAX lines of this place a window. */
#define LOG_LIMITED(level, ...)                                                                    \
	do {                                                                                       \
		static struct log_limit log_limit_here;                                            \
		log_write_limited(&log_limit_here, level, __VA_ARGS__);                            \
	} while (0)
