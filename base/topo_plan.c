/* SPDX-License-Identifier: Apache-2.0 */
#include "base/topo.h"

#include "base/defs.h"

#include <errno.h>
#include <stdio.h>

static void add(struct topo_plan *plan, const struct topo_core *core)
{
	plan->polls[plan->count].core = (uint16_t)core->number;
	plan->polls[plan->count].numa_node = core->numa_node;
	plan->count++;
}

static bool is_planned(const struct topo_plan *plan, uint16_t number)
{
	for (uint32_t i = 0; i < plan->count; i++) {
		if (plan->polls[i].core == number)
			return true;
	}
	return false;
}

static int plan_listed(const struct topo *topo, const struct topo_plan_options *options,
		       struct topo_plan *plan, char *error, size_t error_size)
{
	char allowed[128];

	topo_allowed(topo, allowed, sizeof(allowed));
	for (uint32_t i = 0; i < options->core_count; i++) {
		uint16_t number = options->cores[i];
		const struct topo_core *core = topo_core_find(topo, number);
		const char *what = !core                      ? "is not on this machine"
				   : !core->allowed           ? "is outside this process' cpuset"
				   : is_planned(plan, number) ? "is listed twice"
							      : NULL;

		if (what) {
			snprintf(error, error_size, "core %u %s; list cores out of %s, each once",
				 number, what, allowed);
			return -EINVAL;
		}
		add(plan, core);
	}
	return 0;
}

/* Smaller is better; the digits' order is what topo.h promises. */
static uint32_t rank_of(const struct topo *topo, const struct topo_core *core, int nic_node)
{
	uint32_t rank = !core->isolated;

	rank = rank << 8 | MIN(core->sibling, 255u);
	rank = rank << 1 | (nic_node != TOPO_NODE_NONE && core->numa_node != nic_node);
	return rank << 1 | (core->physical == topo_core_at(topo, 0)->physical);
}

static bool is_choosable(const struct topo_core *core)
{
	return core->allowed && (core->affine || core->isolated);
}

/* Selection by rank; equal ranks keep the order of their numbers. */
static const struct topo_core *next_best(const struct topo *topo, const struct topo_plan *plan,
					 int nic_node)
{
	const struct topo_core *best = NULL;

	for (uint32_t i = 0; i < topo_core_count(topo); i++) {
		const struct topo_core *core = topo_core_at(topo, i);

		if (!is_choosable(core) || is_planned(plan, (uint16_t)core->number))
			continue;
		if (!best || rank_of(topo, core, nic_node) < rank_of(topo, best, nic_node))
			best = core;
	}
	return best;
}

static int plan_chosen(const struct topo *topo, const struct topo_plan_options *options,
		       struct topo_plan *plan, char *error, size_t error_size)
{
	while (plan->count < options->count) {
		const struct topo_core *core = next_best(topo, plan, options->nic_node);

		if (!core) {
			snprintf(error, error_size,
				 "%u cores are wanted and %u can be had; ask for fewer, or start "
				 "with a wider cpuset or affinity",
				 options->count, plan->count);
			return -EINVAL;
		}
		add(plan, core);
	}
	return 0;
}

int topo_plan(const struct topo *topo, const struct topo_plan_options *options,
	      struct topo_plan *ret_plan, char *error_text, size_t error_size)
{
	uint32_t count = options->core_count ? options->core_count : options->count;
	struct topo_plan plan = {0};
	int error;

	if (count < 1 || count > TOPO_PLAN_MAX) {
		snprintf(error_text, error_size, "%u cores are wanted; ask for 1 to %d", count,
			 TOPO_PLAN_MAX);
		return -EINVAL;
	}
	error = options->core_count ? plan_listed(topo, options, &plan, error_text, error_size)
				    : plan_chosen(topo, options, &plan, error_text, error_size);
	if (!error)
		*ret_plan = plan;
	return error;
}
