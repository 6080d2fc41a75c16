/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Fake_verbs - a network of verbs devices in memory
 *
 * One world a program. Its devices are fake0, fake1, ... at 10.77.0.1, 10.77.0.2, ..., and each
 * reaches the others and itself. What is posted is carried out while completion queues are polled,
 * so a key can be taken back between post and READ. Checked as a device would: keys,
 * ranges, rights of registrations, windows and queue pairs, states, queue depths, receives.
 *
 * Meaner than most devices, within what they may do: numbers of queue pairs are used again at
 * once, completions of a destroyed one stay in the queue, private data is padded, and a queue pair
 * with windows bound to it can't be destroyed.
 *
 * A breach that would corrupt memory or hang on a real device (an overrun completion queue,
 * a destroyed parent with children, a connection destroyed with events not
 * acknowledged) ends the program.
 *
 * Threads: one.
 */

#include "rdma/verbs_ops.h"

#include <stdbool.h>
#include <stdint.h>

#define FAKE_VERBS_DEVICE_MAX 4

struct fake_verbs_config {
	uint64_t seed;
	unsigned devices; /* 0: there are none */
	bool no_windows;  /* no memory windows */
	bool port_down;   /* of the first device */
	uint8_t read_max; /* READs in flight; 0: 16 */
	int cqe_max;      /* 0: 32767 */
};

/* Begins the world anew; everything of an earlier one must be gone. Borrow until the next one. */
const struct verbs_ops *fake_verbs_new(const struct fake_verbs_config *config);

/* Objects that were made and not destroyed yet, of all kinds. */
unsigned fake_verbs_live(void);

/* How often a SEND found no receive and had to wait ("receiver not ready"). */
uint64_t fake_verbs_not_ready(void);

/*
 * The n-th call from here on that makes or changes something fails, as it does for want of
 * memory; n = 0: none. fake_verbs_calls() counts them since the world began.
 */
void fake_verbs_fail_at(unsigned n);
unsigned fake_verbs_calls(void);

/* What happens to requests, in thousandths of them. */
struct fake_verbs_faults {
	unsigned drop;      /* done, but a completion that was asked for never comes */
	unsigned delay;     /* stays where it is for up to delay_polls looks, and all behind it */
	unsigned duplicate; /* completes twice */
	unsigned error;     /* completes in error; the queue pair is then broken */
	unsigned delay_polls;
	enum ibv_wc_status status; /* of 'error'; 0: IBV_WC_RETRY_EXC_ERR */
};
void fake_verbs_set_faults(const struct fake_verbs_faults *faults);

/* Nothing gets through: neither connection messages nor requests, which are tried for ever. */
void fake_verbs_cut(bool cut);

/* The next 'count' addresses that are looked for aren't found in time. */
void fake_verbs_slow_addresses(unsigned count);

/* An asynchronous event of all opened devices that have this name. */
void fake_verbs_event(const char *name, enum ibv_event_type type);

/* The device goes: events for it and for all its connections; its queue pairs are in error. */
void fake_verbs_remove(const char *name);

/* As a kernel that waits for its users before the device goes: only their connections are told. */
void fake_verbs_remove_waiting(const char *name);

/*
 * What a peer that isn't Tern could do: changes the private data of the next connection request or
 * answer. Called with what was sent; returns the new size, at most 255.
 */
typedef uint8_t (*fake_verbs_mangle_fn)(void *context, uint8_t bytes[255], uint8_t size);
void fake_verbs_mangle(fake_verbs_mangle_fn mangle, void *context);

/* The same for the next SEND of up to 255 bytes. */
void fake_verbs_mangle_send(fake_verbs_mangle_fn mangle, void *context);
