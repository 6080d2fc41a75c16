/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * DPDK env - DPDK's environment layer, brought up once a process
 *
 * EAL is one global thing that can't come up twice in the life of a process;
 * this is the one place that knows. It takes EAL's main thread for nothing:
 * cores of ours are threads of ours, and the calling thread keeps its affinity.
 *
 * Devices without a bus (memif, AF_PACKET, ...) are attached by
 * port_dpdk_open(); PCI devices are probed here, and only those asked for.
 *
 * Threads: the main thread, before and after the cores run.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Arguments that one start of EAL is given at most. */
#define DPDK_ENV_ARGUMENT_MAX 32

struct dpdk_env_config {
	const char *file_prefix; /* tells processes on one host apart; NULL: "tern" */
	bool huge_pages;         /* else ordinary pages, which need no set-up and no privilege */
	uint32_t memory_mib;     /* 0: 512 */
	const char *lcores;      /* EAL's --lcores; NULL: the calling thread's cores */
	const char *pci_device;  /* PCI address to probe; NULL: none */
	bool telemetry;          /* the socket of dpdk-telemetry.py; else EAL makes no files */
	const char *log_level;   /* EAL's --log-level; NULL: "error" */
};

/*
 * Brings EAL up. Does nothing when it is up.
 *
 * Returns 0, or a negative errno and a text in 'error' that says what to do:
 * -ENOMEM (huge pages), -EALREADY (was closed in this process), -EINVAL,
 * -ENOTSUP.
 */
int dpdk_env_open(const struct dpdk_env_config *config, char *error, size_t error_size);

/*
 * The end of EAL in this process: its files are removed; its memory and threads
 * stay until the process ends. Does nothing when it isn't up.
 */
void dpdk_env_close(void);

bool dpdk_env_is_open(void);

/*
 * Makes the calling thread known to DPDK, which gives it caches of its own in
 * the buffer pools. Without it everything works, slower.
 *
 * Returns 0, or -ENOMEM when there are too many threads.
 */
int dpdk_env_enter(void);

/* Undoes dpdk_env_enter(); for threads that end before the process. */
void dpdk_env_leave(void);

/*
 * Runs 'function' on DPDK's control thread and waits for it. What drivers do by
 * themselves, they do there, most of them without a lock: what must not meet
 * that runs there too.
 */
void dpdk_env_control(void (*function)(void *context), void *context);
