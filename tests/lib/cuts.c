/* SPDX-License-Identifier: Apache-2.0 */

#include "tests/lib/cuts.h"

#include "base/defs.h"

#include <stdio.h>
#include <stdlib.h>

/* The step of the life under way; 0: none. */
static uint64_t replay_step;

void cuts_sweep(cuts_life_fn life)
{
	const char *one = getenv("TERN_STEP");
	const char *sample = getenv("TERN_SAMPLE");
	uint64_t stride = sample ? strtoull(sample, NULL, 10) : 1;
	uint64_t steps = life(0);
	uint64_t first = one ? strtoull(one, NULL, 10) : 1;

	printf("%llu steps\n", (unsigned long long)steps);
	for (uint64_t cut = first; cut <= (one ? first : steps); cut += MAX(stride, 1)) {
		replay_step = cut;
		(void)life(cut);
	}
	replay_step = 0;
}

int cuts_say_replay(void **state)
{
	if (replay_step > 0)
		fprintf(stderr, "replay: TERN_STEP=%llu\n", (unsigned long long)replay_step);
	return 0;
}
