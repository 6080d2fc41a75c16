/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Telemetry - looking into a running node
 *
 * Commands of DPDK's telemetry socket, /tern/...; docs/telemetry.md names each
 * of them and what it answers. `dpdk-telemetry.py` and `tern status` ask them.
 *
 * Answers about cores come from copies that the cores make themselves (msg.h);
 * nothing is read while a core writes it.
 *
 * Threads: telemetry_register() by the main thread; the commands run on DPDK's
 * telemetry threads, one at a time.
 */

#include "dataplane/node.h"

/*
 * Registers the commands. Borrows 'node' until telemetry_forget(), after which
 * they answer nothing.
 *
 * Returns 0 or a negative errno.
 */
int telemetry_register(struct node *node);

/* Waits for the command that runs, if one does. */
void telemetry_forget(void);
