/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Bare echo - packet buffers back and forth, and nothing else
 *
 * The floor under every port and transport on a DPDK device: bursts are
 * received, addresses swapped, bursts sent. No header is read, no checksum
 * computed. It works on a device that a port has opened, while that port rests.
 *
 * Threads: each function runs on one thread; one end a thread.
 */

#include "perf/lib/echo_load.h"

#include <stdatomic.h>
#include <stdbool.h>

struct rte_mempool;

/* Echoes on queue 0 of the device until '*stop'. Returns the frames echoed. */
uint64_t bare_echo_serve(uint16_t device, const atomic_bool *stop);

struct bare_echo {
	uint16_t device;
	struct rte_mempool *pool;
	uint32_t size; /* of a frame on the wire, Ethernet header included */
	uint8_t from[6], to[6];
};

/* The asking end; the context is a struct bare_echo. */
extern const struct echo_load_ops bare_echo_ops;

/* DPDK's number of a device; aborts when there is none of that name. */
uint16_t bare_echo_device(const char *name);

/* A pool for frames of up to 'size' bytes. Returns NULL when there is no room. */
struct rte_mempool *bare_echo_pool(const char *name, uint32_t size);
