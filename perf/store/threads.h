/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Threads - several writers at once: a thread each, or as the peer has it
 *
 * Threads: the caller's, and those it makes and joins.
 */

#include "perf/store/peer.h"

#define THREADS_MAX 64

/* Changes a second that 'writers' writers of the database got done in about 'seconds'. */
double threads_write(const struct peer_ops *peer, void *database, uint32_t writers, double seconds,
		     peer_next_fn next, void *context, size_t value_size);
