/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Port error - a number for the program and a line for its operator
 *
 * Ports open rarely and fail for reasons of the machine, so whoever opens one
 * lends room for a sentence: what failed, where, and what to do.
 *
 * Threads: any.
 */

#include "base/defs.h"

#include <stddef.h>

/* Writes the text, cut to 'error_size', and returns 'code': return port_error(...). */
int port_error(char *error, size_t error_size, int code, const char *format, ...) PRINTF_LIKE(4, 5);
