/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Bench - what a benchmark that writes files takes from its command line, beside its own
 *
 *	struct bench_options bench = BENCH_OPTIONS_INIT;
 *	const struct cmd_option options[] = {BENCH_OPTIONS(bench), ...};
 *
 * Threads: one.
 */

#include "client/cmd.h"
#include "perf/lib/paired.h"

struct bench_options {
	const char *folder; /* borrowed */
	uint64_t repeat;
	bool json;
};

#define BENCH_OPTIONS_INIT                                                                         \
	{                                                                                          \
		.folder = "/var/tmp", .repeat = PAIRED_REPEAT                                      \
	}

#define BENCH_OPTIONS(bench)                                                                       \
	{"folder", "DIR", "where to write (/var/tmp)", .text = &(bench).folder},                   \
		{"repeat",                                                                         \
		 "N",                                                                              \
		 "repetitions, each side once",                                                    \
		 .number = &(bench).repeat,                                                        \
		 .min = 1,                                                                         \
		 .max = PAIRED_REPEAT_MAX},                                                        \
	{                                                                                          \
		"json", NULL, "print one JSON object a line", .flag = &(bench).json                \
	}
