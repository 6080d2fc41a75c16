/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Eal - DPDK's environment layer as the configuration wants it
 *
 * It brings the memory and drivers of a DPDK port, and the telemetry socket,
 * which is why it runs beside the socket port too. net/dpdk_env.h starts it; what
 * is decided here is whether, with what, and where its threads and the main one
 * run: on the processors that no poll core takes.
 *
 * Threads: the main thread, before any other.
 */

#include "base/topo.h"
#include "config/config.h"

#include <stdbool.h>
#include <stddef.h>

/* Is it wanted? For a DPDK port, and for telemetry. */
bool eal_wanted(const struct config *config);

/*
 * The calling thread's affinity becomes what 'plan' leaves over, if that is anything; threads
 * started later inherit it, those of eal_start() too.
 */
void eal_leave_poll_cores(const struct topo_plan *plan);

/*
 * Starts it.
 *
 * Returns 0, or a negative errno and a line in 'error' that says what to do.
 */
int eal_start(const struct config *config, const struct topo_plan *plan, char *error,
	      size_t error_size);
