/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Eal - DPDK's environment layer, started the way Tern wants it
 *
 * It brings the memory and drivers of a DPDK port, and the telemetry socket,
 * which is why it runs beside the socket port too. The main thread becomes its
 * only lcore, on the processors that no poll core takes; poll cores are threads
 * of ours that make themselves known to it.
 *
 * It can be started once in a process.
 *
 * Threads: the main thread, before any other.
 */

#include "base/topo.h"
#include "config/config.h"

#include <stddef.h>

/* Is it wanted? For a DPDK port, and for telemetry. */
bool eal_wanted(const struct config *config);

/*
 * Starts it. The calling thread's affinity becomes what 'plan' leaves over.
 *
 * Returns 0, or a negative errno and a line in 'error' that says what to do.
 */
int eal_start(const struct config *config, const struct topo_plan *plan, char *error,
	      size_t error_size);

/* Gives back its memory and removes its files. */
void eal_stop(void);
