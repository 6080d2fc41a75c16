/* SPDX-License-Identifier: Apache-2.0 */

/* Machines of tests/data/topo, and the one that the test runs on. */

#include "base/defs.h"
#include "base/topo.h"
#include "tests/lib/test.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct topo *load_isolating(const char *name, const char *isolated)
{
	const char *source = getenv("TERN_SOURCE");
	char path[4096];
	struct topo_options options = {.xml = path, .isolated = isolated};
	struct topo *topo;

	snprintf(path, sizeof(path), "%s/tests/data/topo/%s.xml", source ? source : ".", name);
	assert_int_equal(topo_new(&options, &topo), 0);
	return topo;
}

static struct topo *load(const char *name)
{
	return load_isolating(name, NULL);
}

/* The plan as text, "4@1 5@1": core @ node. */
static const char *plan_text(const struct topo *topo, uint32_t count, int nic_node)
{
	struct topo_plan_options options = {.count = count, .nic_node = nic_node};
	static char text[TOPO_PLAN_MAX * 8];
	char error[TOPO_ERROR_MAX];
	struct topo_plan plan;
	size_t length = 0;

	if (topo_plan(topo, &options, &plan, error, sizeof(error)))
		fail_msg("%s", error);
	assert_int_equal(plan.count, count);
	for (uint32_t i = 0; i < plan.count; i++)
		length +=
			(size_t)snprintf(text + length, sizeof(text) - length, "%s%u@%d",
					 i ? " " : "", plan.polls[i].core, plan.polls[i].numa_node);
	return text;
}

static void assert_refused(const struct topo *topo, struct topo_plan_options options,
			   const char *why)
{
	struct topo_plan plan = {.count = 99};
	char error[TOPO_ERROR_MAX];

	assert_int_equal(topo_plan(topo, &options, &plan, error, sizeof(error)), -EINVAL);
	assert_string_equal(error, why);
	assert_int_equal(plan.count, 99);
}

static void a_machine_is_summarised(void **state)
{
	struct topo *topo = load("two-socket");
	struct topo_summary summary;

	topo_summarise(topo, &summary);
	assert_int_equal(summary.package_count, 2);
	assert_int_equal(summary.node_count, 2);
	assert_int_equal(summary.physical_count, 8);
	assert_int_equal(summary.core_count, 8);
	assert_int_equal(summary.allowed_count, 8);
	assert_int_equal(summary.l1d_size, 0);
	assert_int_equal(summary.l2_size, 1 << 20);
	assert_int_equal(summary.l3_size, 16 << 20);
	assert_int_equal(topo_core_find(topo, 6)->numa_node, 1);
	assert_int_equal(topo_core_at(topo, 6)->number, 6);
	assert_null(topo_core_find(topo, 8));
	topo_free(topo);
}

static void siblings_are_known(void **state)
{
	struct topo *topo = load("smt");
	struct topo_summary summary;

	topo_summarise(topo, &summary);
	assert_int_equal(summary.physical_count, 4);
	assert_int_equal(summary.core_count, 8);
	for (uint32_t i = 0; i < 8; i++) {
		assert_int_equal(topo_core_at(topo, i)->physical, i % 4);
		assert_int_equal(topo_core_at(topo, i)->sibling, i / 4);
	}
	topo_free(topo);
}

static void one_socket_leaves_core_0_for_last(void **state)
{
	struct topo *topo = load("one-socket");

	assert_string_equal(plan_text(topo, 1, TOPO_NODE_NONE), "1@0");
	assert_string_equal(plan_text(topo, 4, TOPO_NODE_NONE), "1@0 2@0 3@0 0@0");
	topo_free(topo);
}

static void the_cards_node_polls_first(void **state)
{
	struct topo *topo = load("two-socket");

	assert_string_equal(plan_text(topo, 2, 1), "4@1 5@1");
	assert_string_equal(plan_text(topo, 8, 1), "4@1 5@1 6@1 7@1 1@0 2@0 3@0 0@0");
	assert_string_equal(plan_text(topo, 5, 0), "1@0 2@0 3@0 0@0 4@1");
	topo_free(topo);
}

static void physical_cores_come_before_siblings(void **state)
{
	struct topo *topo = load("smt");

	assert_string_equal(plan_text(topo, 4, TOPO_NODE_NONE), "1@0 2@0 3@0 0@0");
	assert_string_equal(plan_text(topo, 8, 0), "1@0 2@0 3@0 0@0 5@0 6@0 7@0 4@0");
	topo_free(topo);
}

static void isolated_cores_come_before_all(void **state)
{
	struct topo *topo = load_isolating("two-socket", "2-3");

	assert_string_equal(plan_text(topo, 3, 1), "2@0 3@0 4@1");
	topo_free(topo);
}

static void a_cpuset_bounds_the_choice(void **state)
{
	struct topo *topo = load("cpuset");
	struct topo_summary summary;

	topo_summarise(topo, &summary);
	assert_int_equal(summary.core_count, 4);
	assert_int_equal(summary.allowed_count, 2);
	assert_string_equal(plan_text(topo, 2, TOPO_NODE_NONE), "2@0 3@0");
	assert_refused(topo, (struct topo_plan_options){.count = 3, .nic_node = TOPO_NODE_NONE},
		       "3 cores are wanted and 2 can be had; ask for fewer, or start with a wider "
		       "cpuset or affinity");
	topo_free(topo);
}

static void a_list_is_taken_in_its_order(void **state)
{
	static const uint16_t cores[] = {6, 0, 1};
	struct topo_plan_options options = {.cores = cores, .core_count = 3, .nic_node = 1};
	struct topo *topo = load("two-socket");
	char error[TOPO_ERROR_MAX];
	struct topo_plan plan;

	assert_int_equal(topo_plan(topo, &options, &plan, error, sizeof(error)), 0);
	assert_int_equal(plan.count, 3);
	assert_int_equal(plan.polls[0].core, 6);
	assert_int_equal(plan.polls[0].numa_node, 1);
	assert_int_equal(plan.polls[1].core, 0);
	assert_int_equal(plan.polls[1].numa_node, 0);
	topo_free(topo);
}

static void a_list_that_cannot_be_names_the_core(void **state)
{
	static const uint16_t absent[] = {2, 9}, forbidden[] = {3, 1}, twice[] = {2, 3, 2};
	struct topo *topo = load("cpuset");

	assert_refused(topo, (struct topo_plan_options){.cores = absent, .core_count = 2},
		       "core 9 is not on this machine; list cores out of 2-3, each once");
	assert_refused(topo, (struct topo_plan_options){.cores = forbidden, .core_count = 2},
		       "core 1 is outside this process' cpuset; list cores out of 2-3, each once");
	assert_refused(topo, (struct topo_plan_options){.cores = twice, .core_count = 3},
		       "core 2 is listed twice; list cores out of 2-3, each once");
	assert_refused(topo, (struct topo_plan_options){.count = 0},
		       "0 cores are wanted; ask for 1 to 64");
	assert_refused(topo, (struct topo_plan_options){.count = TOPO_PLAN_MAX + 1},
		       "65 cores are wanted; ask for 1 to 64");
	topo_free(topo);
}

static void a_card_is_found_by_address_and_by_name(void **state)
{
	struct topo *topo = load("two-socket");

	assert_int_equal(topo_nic_node(topo, "0000:af:00.0"), 1);
	assert_int_equal(topo_nic_node(topo, "af:00.0,dv_flow_en=1"), 1);
	assert_int_equal(topo_nic_node(topo, "enp175s0"), 1);
	assert_int_equal(topo_nic_node(topo, "net_af_xdp0,iface=enp175s0,force_copy=1"), 1);
	assert_int_equal(topo_nic_node(topo, "0000:03:00.0"), TOPO_NODE_NONE);
	assert_int_equal(topo_nic_node(topo, "net_memif0,role=server"), TOPO_NODE_NONE);
	assert_int_equal(topo_nic_node(topo, ""), TOPO_NODE_NONE);
	topo_free(topo);
}

static void what_is_no_topology_is_refused(void **state)
{
	struct topo_options absent = {.xml = "/nonexistent.xml"};
	struct topo_options other = {.xml = __FILE__};
	struct topo *topo = NULL;

	(void)setenv("HWLOC_HIDE_ERRORS", "2", 1);
	assert_true(topo_new(&absent, &topo) < 0);
	assert_true(topo_new(&other, &topo) < 0);
	assert_null(topo);
	topo_free(NULL);
}

static void this_machine_has_a_core_to_poll_on(void **state)
{
	struct topo_plan_options options = {.count = 1, .nic_node = TOPO_NODE_NONE};
	struct topo_options here = {0};
	char error[TOPO_ERROR_MAX];
	struct topo_plan plan;
	struct topo *topo;
	cpu_set_t before;

	assert_int_equal(sched_getaffinity(0, sizeof(before), &before), 0);
	assert_int_equal(topo_new(&here, &topo), 0);
	assert_int_equal(topo_plan(topo, &options, &plan, error, sizeof(error)), 0);
	assert_true(CPU_ISSET(plan.polls[0].core, &before));
	assert_int_equal(topo_bind(plan.polls[0].core), 0);
	assert_int_equal(sched_getcpu(), plan.polls[0].core);
	assert_int_equal(topo_bind(TOPO_CORE_MAX - 1), -EINVAL);
	assert_int_equal(sched_setaffinity(0, sizeof(before), &before), 0);
	topo_free(topo);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_machine_is_summarised),
		cmocka_unit_test(siblings_are_known),
		cmocka_unit_test(one_socket_leaves_core_0_for_last),
		cmocka_unit_test(the_cards_node_polls_first),
		cmocka_unit_test(physical_cores_come_before_siblings),
		cmocka_unit_test(isolated_cores_come_before_all),
		cmocka_unit_test(a_cpuset_bounds_the_choice),
		cmocka_unit_test(a_list_is_taken_in_its_order),
		cmocka_unit_test(a_list_that_cannot_be_names_the_core),
		cmocka_unit_test(a_card_is_found_by_address_and_by_name),
		cmocka_unit_test(what_is_no_topology_is_refused),
		cmocka_unit_test(this_machine_has_a_core_to_poll_on),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
