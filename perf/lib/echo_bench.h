/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Echo bench - a way of echoing against a bare one on the same devices
 *
 * Two devices joined to each other in one process, a thread with a processor of
 * its own at each end. Bare (perf/lib/bare_echo.h) and the way in question run in
 * turns, with frames of the same size on the wire: memif, and AF_PACKET over a
 * veth pair in a network namespace that ends with the process (needs root).
 *
 * Rate is with 32 under way, round trip with one.
 *
 * Threads: the main thread.
 */

#include "proto/port.h"
#include "perf/lib/echo_load.h"

#include <stdatomic.h>
#include <stdint.h>

#define ECHO_BENCH_WINDOW 32

struct echo_way {
	const char *name;      /* of what goes back and forth: "echo" */
	const char *unit;      /* of its rate: "frames/s" */
	const uint32_t *sizes; /* to measure, 0 at the end; UINT32_MAX: as large as a frame holds */
	uint32_t overhead;     /* bytes of a UDP payload beside 'size' */
	/* The server's thread: echoes until '*stop'. */
	void (*serve)(struct port_queue *queue, const atomic_bool *stop);
	/* The asking end: makes the context of 'ops', which asks 'to' with 'size' bytes. */
	void *(*open)(struct port_queue *queue, const struct addr *to, uint32_t size);
	const struct echo_load_ops *ops;
	void (*close)(void *context);
};

/* The whole program: [--json] [--repeat N] [--huge]. Returns its exit status. */
int echo_bench_main(int argc, char **argv, const struct echo_way *way);
