/* SPDX-License-Identifier: Apache-2.0 */

/* Cmd_info - the machine as Tern sees it; for each thing missing, the line that mends it. */

#include "base/topo.h"
#include "client/cmd.h"
#include "client/cmd_vectors.h"
#include "client/machine.h"
#include "client/adapter.h"
#include "hnsw/dist.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/utsname.h>

struct info {
	struct utsname system;
	struct topo *topo;
	struct topo_summary summary;
	uint32_t affine_count;
	struct machine machine;
	struct adapter adapters[MACHINE_RDMA_MAX];
	unsigned adapter_count;
};

static const char about[] =
	"Shows cores, NUMA nodes, caches, huge pages, the memory that may be locked, the "
	"instruction\n"
	"set chosen, and the DPDK drivers and RDMA devices that are usable. Changes nothing.\n";

/* All instruction sets there are kernels for; the one in use is dist_best()'s. */
static const char *const isas[] = {"scalar", "avx2", "avx512", "amx"};

static uint64_t memlock(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_MEMLOCK, &limit) < 0)
		return 0;
	return limit.rlim_cur == RLIM_INFINITY ? UINT64_MAX : limit.rlim_cur;
}

static uint32_t count_cores(const struct info *info, bool (*has)(const struct topo_core *core))
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < info->summary.core_count; i++)
		count += has(topo_core_at(info->topo, i));
	return count;
}

static bool is_isolated(const struct topo_core *core)
{
	return core->isolated;
}

static bool is_affine(const struct topo_core *core)
{
	return core->allowed && core->affine;
}

/* Looks at the RDMA devices, and then at the rest of the machine. */
static void look(struct info *info)
{
	struct machine_verbs verbs[MACHINE_RDMA_MAX];
	struct machine_options options = {
		.root = "",
		.driver_folder = TERN_DPDK_FOLDER,
		.memlock = memlock(),
		.verbs = verbs,
		.isolated_count = count_cores(info, is_isolated),
	};

	info->adapter_count = adapter_look(real_verbs_ops(), info->adapters, MACHINE_RDMA_MAX);
	options.verbs_count = info->adapter_count;
	for (unsigned i = 0; i < info->adapter_count; i++)
		verbs[i] = (struct machine_verbs){
			.name = info->adapters[i].name,
			.why_not = info->adapters[i].opens ? NULL : info->adapters[i].why_not,
		};
	machine_look(&options, &info->machine);
}

/* What libibverbs has of a device of the machine, or NULL. */
static const struct adapter *adapter_of(const struct info *info, const char *name)
{
	for (unsigned i = 0; i < info->adapter_count; i++)
		if (strcmp(info->adapters[i].name, name) == 0)
			return &info->adapters[i];
	return NULL;
}

static json_t *cores_json(const struct info *info)
{
	const struct topo_summary *summary = &info->summary;

	return json_pack(
		"{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:b}", "packages",
		(json_int_t)summary->package_count, "numa_nodes", (json_int_t)summary->node_count,
		"physical", (json_int_t)summary->physical_count, "logical",
		(json_int_t)summary->core_count, "allowed", (json_int_t)summary->allowed_count,
		"affine", (json_int_t)info->affine_count, "isolated",
		(json_int_t)count_cores(info, is_isolated), "waitpkg", info->machine.waitpkg);
}

static json_t *memory_json(const struct info *info)
{
	const struct machine *machine = &info->machine;

	return json_pack("{s:I, s:I, s:I, s:I, s:b, s:b, s:o}", "huge_2m_pages",
			 (json_int_t)machine->huge_2m.total, "huge_2m_free",
			 (json_int_t)machine->huge_2m.free, "huge_1g_pages",
			 (json_int_t)machine->huge_1g.total, "huge_1g_free",
			 (json_int_t)machine->huge_1g.free, "hugetlbfs", machine->hugetlbfs,
			 "transparent_huge", machine->transparent_huge, "memlock_bytes",
			 machine->memlock == UINT64_MAX
				 ? json_null()
				 : json_integer((json_int_t)machine->memlock));
}

static json_t *isa_json(void)
{
	json_t *list = json_array();

	for (size_t i = 0; i < ARRAY_COUNT(isas); i++)
		if (dist_find(isas[i]))
			json_array_append_new(list, json_string(isas[i]));
	return json_pack("{s:s, s:o}", "chosen", dist_best()->isa, "usable", list);
}

static json_t *drivers_json(const struct machine *machine)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < MACHINE_DRIVER_COUNT; i++) {
		const struct machine_driver *driver = &machine->drivers[i];

		json_array_append_new(list,
				      json_pack("{s:s, s:b, s:s}", "name", driver->name, "usable",
						driver->usable, "why_not", driver->why_not));
	}
	return list;
}

static json_t *interfaces_json(const struct machine *machine)
{
	json_t *list = json_array();

	for (uint32_t i = 0; i < machine->interface_count; i++) {
		const struct machine_interface *interface = &machine->interfaces[i];

		json_array_append_new(list,
				      json_pack("{s:s, s:s, s:i, s:b}", "name", interface->name,
						"driver", interface->driver, "numa_node",
						interface->numa_node, "up", interface->up));
	}
	return list;
}

static json_t *gids_json(const struct adapter *adapter)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < adapter->gid_count; i++) {
		const struct device_gid *gid = &adapter->gids[i];
		char text[ADAPTER_GID_TEXT_MAX];

		json_array_append_new(
			list, json_pack("{s:I, s:s, s:s, s:s}", "index", (json_int_t)gid->index,
					"type", device_transport_name(gid->transport), "address",
					adapter_gid_text(gid->gid, text), "netdev", gid->netdev));
	}
	return list;
}

/* What is there of a device that opens. */
static void add_adapter_json(json_t *device, const struct adapter *adapter)
{
	const struct device_info *info = &adapter->info;
	char text[ADAPTER_GID_TEXT_MAX];

	json_object_update_new(
		device,
		json_pack("{s:i, s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:b, s:I, s:o}",
			  "port", info->port, "netdev", info->netdev, "type",
			  device_transport_name(info->transport), "address",
			  adapter_gid_text(info->gid, text), "gid_index",
			  (json_int_t)info->gid_index, "mtu", (json_int_t)info->mtu,
			  "reads_out_max", (json_int_t)info->read_out_max, "reads_in_max",
			  (json_int_t)info->read_in_max, "queue_pairs_max",
			  (json_int_t)info->qp_max, "queue_depth_max", (json_int_t)info->wr_max,
			  "windows", info->has_windows, "region_bytes_max",
			  (json_int_t)MIN(info->mr_size_max, (uint64_t)INT64_MAX), "gids",
			  gids_json(adapter)));
}

static json_t *devices_json(const struct info *info)
{
	const struct machine *machine = &info->machine;
	json_t *list = json_array();

	for (uint32_t i = 0; i < machine->rdma_count; i++) {
		const struct machine_rdma *rdma = &machine->rdma[i];
		const struct adapter *adapter = adapter_of(info, rdma->name);
		json_t *device = json_pack("{s:s, s:s, s:b, s:s}", "name", rdma->name, "state",
					   rdma->state, "usable", rdma->usable, "why_not",
					   adapter ? adapter->why_not : "");

		if (adapter && adapter->opens)
			add_adapter_json(device, adapter);
		json_array_append_new(list, device);
	}
	return list;
}

static json_t *findings_json(const struct machine *machine)
{
	json_t *list = json_array();

	for (uint32_t i = 0; i < machine->finding_count; i++) {
		const struct machine_finding *finding = &machine->findings[i];

		json_array_append_new(list, json_pack("{s:s, s:s, s:s}", "what", finding->what,
						      "why", finding->why, "mend", finding->mend));
	}
	return list;
}

static void print_json(const struct info *info)
{
	const struct topo_summary *summary = &info->summary;

	cmd_json(json_pack("{s:s, s:s, s:s, s:o, s:{s:I, s:I, s:I}, s:o, s:o, s:o, s:o, s:o, s:o}",
			   "event", "info", "version", TERN_VERSION, "kernel", info->system.release,
			   "cores", cores_json(info), "caches", "l1d_bytes",
			   (json_int_t)summary->l1d_size, "l2_bytes", (json_int_t)summary->l2_size,
			   "l3_bytes", (json_int_t)summary->l3_size, "memory", memory_json(info),
			   "isa", isa_json(), "dpdk_drivers", drivers_json(&info->machine),
			   "interfaces", interfaces_json(&info->machine), "rdma",
			   devices_json(info), "missing", findings_json(&info->machine)));
}

static void print_memory(const struct machine *machine)
{
	printf("huge pages   2 MiB: %" PRIu64 " (%" PRIu64 " free), 1 GiB: %" PRIu64 " (%" PRIu64
	       " free); hugetlbfs %s; transparent %s\n",
	       machine->huge_2m.total, machine->huge_2m.free, machine->huge_1g.total,
	       machine->huge_1g.free, machine->hugetlbfs ? "mounted" : "not mounted",
	       machine->transparent_huge ? "on request" : "off");
	if (machine->memlock == UINT64_MAX)
		printf("memlock      no limit\n");
	else
		printf("memlock      %" PRIu64 " KiB\n", machine->memlock >> 10);
}

static void print_isa(void)
{
	printf("isa          %s (", dist_best()->isa);
	for (size_t i = 0, printed = 0; i < ARRAY_COUNT(isas); i++)
		if (dist_find(isas[i]))
			printf("%s%s", printed++ ? " " : "", isas[i]);
	printf(")\n");
}

static void print_adapter(const struct adapter *adapter)
{
	const struct device_info *info = &adapter->info;
	char text[ADAPTER_GID_TEXT_MAX];

	printf("%12s %-10s port %u, MTU %" PRIu32 "; READs under way %" PRIu32 " out, %" PRIu32
	       " in; queue pairs %" PRIu32 ", %" PRIu32 " deep; memory windows %s\n",
	       "", "", info->port, info->mtu, info->read_out_max, info->read_in_max, info->qp_max,
	       info->wr_max, info->has_windows ? "yes" : "no: a registration for each lease");
	for (unsigned i = 0; i < adapter->gid_count; i++) {
		const struct device_gid *gid = &adapter->gids[i];

		printf("%12s %-10s GID %" PRIu32 " %s, %s%s%s%s\n", "", "", gid->index,
		       device_transport_name(gid->transport), adapter_gid_text(gid->gid, text),
		       *gid->netdev ? ", " : "", gid->netdev,
		       gid->index == info->gid_index ? " (taken unless told otherwise)" : "");
	}
}

static void print_rdma(const struct info *info)
{
	const struct machine *machine = &info->machine;

	if (!machine->rdma_count)
		printf("rdma         no device\n");
	for (uint32_t i = 0; i < machine->rdma_count; i++) {
		const struct machine_rdma *rdma = &machine->rdma[i];
		const struct adapter *adapter = adapter_of(info, rdma->name);

		printf("%-12s %-10s %s, %s\n", i ? "" : "rdma", rdma->name, rdma->state,
		       rdma->usable ? "usable" : "not usable");
		if (adapter && adapter->opens)
			print_adapter(adapter);
		else if (adapter)
			printf("%12s %-10s %s\n", "", "", adapter->why_not);
	}
}

static void print_devices(const struct machine *machine)
{
	for (unsigned i = 0; i < MACHINE_DRIVER_COUNT; i++)
		printf("%-12s %-10s %s%s\n", i ? "" : "dpdk", machine->drivers[i].name,
		       machine->drivers[i].usable ? "usable" : "no: ", machine->drivers[i].why_not);
	for (uint32_t i = 0; i < machine->interface_count; i++) {
		const struct machine_interface *interface = &machine->interfaces[i];

		printf("%-12s %-10s %s, driver %s, NUMA node %d\n", i ? "" : "interfaces",
		       interface->name, interface->up ? "up" : "down",
		       *interface->driver ? interface->driver : "-", interface->numa_node);
	}
}

static void print_text(const struct info *info)
{
	const struct topo_summary *summary = &info->summary;
	const struct machine *machine = &info->machine;

	printf("tern         %s, Linux %s\n", TERN_VERSION, info->system.release);
	printf("cores        %" PRIu32 " (%" PRIu32 " physical, %" PRIu32 " packages, %" PRIu32
	       " NUMA nodes); %" PRIu32 " allowed, %" PRIu32 " in the affinity, %" PRIu32
	       " isolated; umwait %s\n",
	       summary->core_count, summary->physical_count, summary->package_count,
	       summary->node_count, summary->allowed_count, info->affine_count,
	       count_cores(info, is_isolated), machine->waitpkg ? "yes" : "no");
	printf("caches       L1d %" PRIu64 " KiB, L2 %" PRIu64 " KiB, L3 %" PRIu64 " KiB\n",
	       summary->l1d_size >> 10, summary->l2_size >> 10, summary->l3_size >> 10);
	print_memory(machine);
	print_isa();
	print_devices(machine);
	print_rdma(info);
	if (machine->finding_count)
		printf("\nWhat is missing, and what mends it:\n");
	for (uint32_t i = 0; i < machine->finding_count; i++)
		printf("  %s: %s\n      %s\n", machine->findings[i].what, machine->findings[i].why,
		       machine->findings[i].mend);
}

int cmd_info(int argc, char **argv)
{
	bool json = false;
	const struct cmd_option options[] = {
		{"json", NULL, "print one JSON object", .flag = &json},
	};
	static struct info info;
	int status, result;

	if (!cmd_options("info", about, options, ARRAY_COUNT(options), argc, argv, &status))
		return status;
	result = topo_new(&(struct topo_options){0}, &info.topo);
	if (result)
		return cmd_fail("the machine's topology can't be read: %s; is /sys mounted?",
				strerror(-result));
	(void)uname(&info.system);
	topo_summarise(info.topo, &info.summary);
	info.affine_count = count_cores(&info, is_affine);
	look(&info);
	if (json)
		print_json(&info);
	else
		print_text(&info);
	topo_free(info.topo);
	return CMD_DONE;
}
