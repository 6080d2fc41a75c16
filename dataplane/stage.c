/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/stage.h"

/* Long enough for a thousandth: the two clocks are read within 100 ns of each other. */
#define CALIBRATION_NS (2 * NS_PER_MS)

const char *const stage_names[STAGE_COUNT] = {
#define STAGE_NAME(NAME, name, text) #name,
	STAGE_LIST(STAGE_NAME)
#undef STAGE_NAME
};

uint64_t stage_ns_per_tick = UINT64_C(1) << 32;

void stage_clock_init(void)
{
	uint64_t ns = clock_now_ns();
	uint64_t ticks = stage_ticks();
	uint64_t passed;

	do {
		passed = clock_now_ns() - ns;
	} while (passed < CALIBRATION_NS);
	stage_ns_per_tick = (passed << 32) / MAX(stage_ticks() - ticks, UINT64_C(1));
}

void stages_init(struct stages *stages)
{
	stages->mark = stage_ticks();
	for (unsigned i = 0; i < STAGE_COUNT; i++)
		hist_init(&stages->hists[i]);
}
