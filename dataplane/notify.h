/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Notify - telling the service manager how we are
 *
 * sd_notify(3)'s protocol: one datagram of "NAME=value" lines to the Unix socket
 * that $NOTIFY_SOCKET names. It is documented, stable and a few lines; libsystemd
 * would bring three compression libraries for it. Without the variable nothing
 * happens.
 *
 * Threads: the main thread.
 */

#include <stdint.h>

/*
 * Sends 'lines', such as "READY=1\nSTATUS=serving".
 *
 * Returns 0, also when nobody asked to be told, or a negative errno.
 */
int notify_send(const char *lines);

/* How often the service manager wants to hear "WATCHDOG=1"; 0: not at all. */
uint64_t notify_watchdog_ns(void);
