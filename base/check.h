/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Check - assertions for broken invariants
 *
 * A failed check is a bug of ours: it prints where and what, and aborts.
 * Bytes from disk or wire are never asserted; they are checked and refused
 * with an error.
 *
 * CHECK stays in every build: for the control plane and for whatever could
 * write garbage. DCHECK is for hot paths and vanishes unless TERN_DEBUG is set.
 *
 * Threads: any.
 */

#include "base/defs.h"

_Noreturn void check_failed(const char *file, int line, const char *condition);

#define CHECK(condition)                                                                           \
	do {                                                                                       \
		if (unlikely(!(condition)))                                                        \
			check_failed(__FILE__, __LINE__, #condition);                              \
	} while (0)

#ifdef TERN_DEBUG
#define DCHECK(condition) CHECK(condition)
#else
#define DCHECK(condition) ((void)sizeof(!(condition)))
#endif
