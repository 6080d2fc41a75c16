/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Echo load - a closed loop of small questions
 *
 * Keeps a number of frames under way and counts what comes back. The way they
 * go is the caller's: a bare device, a port, a session. What is lost is replaced
 * after a while, so that a loss costs time and not the run.
 *
 * Threads: one a load.
 */

#include <stddef.h>
#include <stdint.h>

/* Round trips whose times one run keeps. */
#define ECHO_LOAD_SAMPLE_MAX 4096

struct echo_load_ops {
	/* Sends up to 'count' frames. Returns how many were sent. */
	unsigned (*send)(void *context, unsigned count);
	/* Takes what has come. Returns the number of frames. */
	unsigned (*poll)(void *context);
};

#define ECHO_LOAD_SLICE_NS UINT64_C(200000)

/* Slices of one run whose rates are kept. */
#define ECHO_LOAD_SLICE_MAX 4096

struct echo_load_result {
	double rate;           /* frames a second, there and back */
	double p50_us, p99_us; /* round trip; only with a window of 1 */
	uint64_t lost;
};

/*
 * Runs for about 'duration_ns' with 'window' frames under way. Waits in the end
 * for what is still out, so that the next run begins with none.
 */
struct echo_load_result echo_load_run(const struct echo_load_ops *ops, void *context,
				      unsigned window, uint64_t duration_ns);
