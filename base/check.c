/* SPDX-License-Identifier: Apache-2.0 */
#include "base/check.h"

#include <execinfo.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

_Noreturn NOINLINE void check_failed(const char *file, int line, const char *condition)
{
	void *frames[32];

	fprintf(stderr, "BUG: %s:%d: broken invariant: %s\n", file, line, condition);
	backtrace_symbols_fd(frames, backtrace(frames, ARRAY_COUNT(frames)), STDERR_FILENO);
	abort();
}
