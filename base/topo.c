/* SPDX-License-Identifier: Apache-2.0 */
#include "base/topo.h"

#include "base/check.h"
#include "base/defs.h"

#include <errno.h>
#include <hwloc.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ISOLATED_PATH "/sys/devices/system/cpu/isolated"

struct topo {
	hwloc_topology_t machine;
	hwloc_bitmap_t affinity;
	hwloc_bitmap_t isolated;
	uint32_t core_count;
	struct topo_core *cores; /* by number, ascending */
};

/* --- reading --- */

/*
 * Cores outside the cpuset are kept, so that a list that names one gets a better
 * answer than "not there".
 */
static int load_machine(struct topo *topo, const char *xml)
{
	if (hwloc_topology_init(&topo->machine))
		return -ENOMEM;
	if (xml && hwloc_topology_set_xml(topo->machine, xml))
		return -EINVAL;
	if (hwloc_topology_set_flags(topo->machine, HWLOC_TOPOLOGY_FLAG_INCLUDE_DISALLOWED) ||
	    hwloc_topology_set_io_types_filter(topo->machine, HWLOC_TYPE_FILTER_KEEP_IMPORTANT) ||
	    hwloc_topology_load(topo->machine))
		return errno ? -errno : -EINVAL;
	return 0;
}

static int load_affinity(struct topo *topo, bool this_machine)
{
	topo->affinity = hwloc_bitmap_alloc();
	if (!topo->affinity)
		return -ENOMEM;
	if (this_machine)
		return hwloc_get_cpubind(topo->machine, topo->affinity, HWLOC_CPUBIND_PROCESS)
			       ? -errno
			       : 0;
	return hwloc_bitmap_copy(topo->affinity, hwloc_topology_get_allowed_cpuset(topo->machine))
		       ? -ENOMEM
		       : 0;
}

/* A machine without the file, or with an empty one, isolates nothing. */
static void read_isolated(char list[static 1024])
{
	FILE *file = fopen(ISOLATED_PATH, "re");

	list[0] = '\0';
	if (!file)
		return;
	if (!fgets(list, 1024, file))
		list[0] = '\0';
	list[strcspn(list, "\n")] = '\0';
	fclose(file);
}

static int load_isolated(struct topo *topo, const struct topo_options *options)
{
	char list[1024] = "";

	topo->isolated = hwloc_bitmap_alloc();
	if (!topo->isolated)
		return -ENOMEM;
	if (!options->xml)
		read_isolated(list);
	else if (options->isolated)
		snprintf(list, sizeof(list), "%s", options->isolated);
	if (list[0] != '\0' && hwloc_bitmap_list_sscanf(topo->isolated, list))
		return -EINVAL;
	return 0;
}

/*
 * The one node that a set of cores is near. Nodes of the same cores (a machine
 * with memory of two kinds) count as the first of them, which is the plain one.
 */
static int node_of(hwloc_topology_t machine, hwloc_const_cpuset_t cpuset)
{
	hwloc_obj_t node = NULL, found = NULL;

	while ((node = hwloc_get_next_obj_by_type(machine, HWLOC_OBJ_NUMANODE, node))) {
		if (!hwloc_bitmap_intersects(node->cpuset, cpuset))
			continue;
		if (found && !hwloc_bitmap_isequal(found->cpuset, node->cpuset))
			return TOPO_NODE_NONE;
		if (!found)
			found = node;
	}
	return found ? (int)found->os_index : TOPO_NODE_NONE;
}

static struct topo_core describe(const struct topo *topo, hwloc_obj_t thread)
{
	hwloc_obj_t core = hwloc_get_ancestor_obj_by_type(topo->machine, HWLOC_OBJ_CORE, thread);

	/* A machine that knows no physical cores has one for each thread. */
	return (struct topo_core){
		.number = thread->os_index,
		.physical = core ? core->logical_index : thread->logical_index,
		.sibling = core ? thread->sibling_rank : 0,
		.numa_node = node_of(topo->machine, thread->cpuset),
		.allowed = hwloc_bitmap_isset(hwloc_topology_get_allowed_cpuset(topo->machine),
					      thread->os_index),
		.affine = hwloc_bitmap_isset(topo->affinity, thread->os_index),
		.isolated = hwloc_bitmap_isset(topo->isolated, thread->os_index),
	};
}

static int compare_numbers(const void *a, const void *b)
{
	const struct topo_core *x = a, *y = b;

	return (x->number > y->number) - (x->number < y->number);
}

static int load_cores(struct topo *topo)
{
	int count = hwloc_get_nbobjs_by_type(topo->machine, HWLOC_OBJ_PU);
	hwloc_obj_t thread = NULL;

	if (count < 1 || count > TOPO_CORE_MAX)
		return -EINVAL;
	topo->cores = calloc((size_t)count, sizeof(*topo->cores));
	if (!topo->cores)
		return -ENOMEM;
	while ((thread = hwloc_get_next_obj_by_type(topo->machine, HWLOC_OBJ_PU, thread))) {
		if (thread->os_index >= TOPO_CORE_MAX)
			return -EINVAL;
		topo->cores[topo->core_count++] = describe(topo, thread);
	}
	CHECK(topo->core_count == (uint32_t)count);
	qsort(topo->cores, topo->core_count, sizeof(*topo->cores), compare_numbers);
	return 0;
}

int topo_new(const struct topo_options *options, struct topo **ret_topo)
{
	struct topo *topo = calloc(1, sizeof(*topo));
	int error = topo ? load_machine(topo, options->xml) : -ENOMEM;

	if (!error)
		error = load_affinity(topo, !options->xml);
	if (!error)
		error = load_isolated(topo, options);
	if (!error)
		error = load_cores(topo);
	if (error) {
		topo_free(topo);
		return error;
	}
	*ret_topo = topo;
	return 0;
}

void topo_free(struct topo *topo)
{
	if (!topo)
		return;
	free(topo->cores);
	hwloc_bitmap_free(topo->isolated);
	hwloc_bitmap_free(topo->affinity);
	if (topo->machine)
		hwloc_topology_destroy(topo->machine);
	free(topo);
}

/* --- looking --- */

static uint32_t count_of(const struct topo *topo, hwloc_obj_type_t type)
{
	return (uint32_t)MAX(hwloc_get_nbobjs_by_type(topo->machine, type), 0);
}

static uint64_t cache_size(const struct topo *topo, hwloc_obj_type_t type)
{
	hwloc_obj_t cache = hwloc_get_next_obj_by_type(topo->machine, type, NULL);

	return cache ? cache->attr->cache.size : 0;
}

void topo_summarise(const struct topo *topo, struct topo_summary *ret_summary)
{
	struct topo_summary summary = {
		.package_count = count_of(topo, HWLOC_OBJ_PACKAGE),
		.node_count = count_of(topo, HWLOC_OBJ_NUMANODE),
		.physical_count = count_of(topo, HWLOC_OBJ_CORE),
		.core_count = topo->core_count,
		.l1d_size = cache_size(topo, HWLOC_OBJ_L1CACHE),
		.l2_size = cache_size(topo, HWLOC_OBJ_L2CACHE),
		.l3_size = cache_size(topo, HWLOC_OBJ_L3CACHE),
	};

	for (uint32_t i = 0; i < topo->core_count; i++)
		summary.allowed_count += topo->cores[i].allowed;
	*ret_summary = summary;
}

uint32_t topo_core_count(const struct topo *topo)
{
	return topo->core_count;
}

const struct topo_core *topo_core_at(const struct topo *topo, uint32_t index)
{
	CHECK(index < topo->core_count);
	return &topo->cores[index];
}

const struct topo_core *topo_core_find(const struct topo *topo, uint32_t number)
{
	struct topo_core key = {.number = number};

	return bsearch(&key, topo->cores, topo->core_count, sizeof(key), compare_numbers);
}

void topo_allowed(const struct topo *topo, char *to, size_t size)
{
	hwloc_bitmap_list_snprintf(to, size, hwloc_topology_get_allowed_cpuset(topo->machine));
}

static hwloc_obj_t find_interface(const struct topo *topo, const char *name)
{
	hwloc_obj_t device = NULL;

	while ((device = hwloc_get_next_osdev(topo->machine, device))) {
		if (device->name && strcmp(device->name, name) == 0)
			return device;
	}
	return NULL;
}

int topo_nic_node(const struct topo *topo, const char *device)
{
	const char *option = strstr(device, "iface=");
	const char *from = option ? option + strlen("iface=") : device;
	size_t length = strcspn(from, ",");
	hwloc_obj_t object;
	char name[64];

	if (length >= sizeof(name))
		return TOPO_NODE_NONE;
	memcpy(name, from, length);
	name[length] = '\0';
	object = hwloc_get_pcidev_by_busidstring(topo->machine, name);
	if (!object)
		object = find_interface(topo, name);
	if (!object)
		return TOPO_NODE_NONE;
	object = hwloc_get_non_io_ancestor_obj(topo->machine, object);
	return node_of(topo->machine, object->cpuset);
}

int topo_bind(uint32_t core)
{
	cpu_set_t *set = CPU_ALLOC(TOPO_CORE_MAX);
	size_t size = CPU_ALLOC_SIZE(TOPO_CORE_MAX);
	int error;

	if (!set)
		return -ENOMEM;
	CPU_ZERO_S(size, set);
	CPU_SET_S(core, size, set);
	error = pthread_setaffinity_np(pthread_self(), size, set);
	CPU_FREE(set);
	return -error;
}
