/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/test.h"

#include "client/machine.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char root[64];
static char drivers[128];

/* Makes the folders that lead to a path below the root. */
static void make_folders(const char *file)
{
	char path[512];

	snprintf(path, sizeof(path), "%s%s", root, file);
	for (char *at = path + strlen(root) + 1; (at = strchr(at, '/')); at++) {
		*at = 0;
		(void)mkdir(path, 0755);
		*at = '/';
	}
}

static void put(const char *file, const char *text)
{
	char path[512];
	FILE *stream;

	make_folders(file);
	snprintf(path, sizeof(path), "%s%s", root, file);
	stream = fopen(path, "w");
	assert_non_null(stream);
	fputs(text, stream);
	fclose(stream);
}

static const char *const root_caps =
	"Name:\ttern\nCapInh:\t0000000000000000\nCapEff:\t000001ffffffffff\n";

/* A machine that lacks nothing: an mlx5 card, huge pages, root. */
static void put_good_machine(void)
{
	char target[256];

	put("/proc/self/status", root_caps);
	put("/proc/cpuinfo", "flags\t\t: fpu sse4_2 avx512f waitpkg\n");
	put("/proc/mounts", "none /dev/hugepages hugetlbfs rw 0 0\n");
	put("/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages", "512\n");
	put("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", "500\n");
	put("/sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never\n");
	put("/sys/class/net/eth7/operstate", "up\n");
	put("/sys/class/net/eth7/device/numa_node", "1\n");
	put("/sys/class/net/lo/operstate", "unknown\n");
	put("/sys/class/infiniband/mlx5_0/ports/1/state", "4: ACTIVE\n");
	put("/dev/net/tun", "");
	put("/dev/vfio/vfio", "");
	put("/pmds/pmds-22.0/librte_net_old.so", "");
	put("/pmds/pmds-23.0/librte_net_memif.so", "");
	put("/pmds/pmds-23.0/librte_net_af_packet.so", "");
	put("/pmds/pmds-23.0/librte_net_af_xdp.so", "");
	put("/pmds/pmds-23.0/librte_net_tap.so", "");
	put("/pmds/pmds-23.0/librte_net_mlx5.so", "");
	put("/pmds/pmds-23.0/librte_net_e1000.so", "");
	snprintf(target, sizeof(target), "%s/sys/class/net/eth7/device/driver", root);
	assert_int_equal(symlink("../../bus/pci/drivers/mlx5_core", target), 0);
	snprintf(drivers, sizeof(drivers), "%s/pmds", root);
}

/* What libibverbs says of the device. */
static const char *verbs_why_not;

static void look(struct machine *machine, uint64_t memlock, uint32_t verbs, uint32_t isolated)
{
	const struct machine_verbs devices[] = {{.name = "mlx5_0", .why_not = verbs_why_not}};
	const struct machine_options options = {
		.root = root,
		.driver_folder = drivers,
		.memlock = memlock,
		.verbs = devices,
		.verbs_count = verbs,
		.isolated_count = isolated,
	};

	machine_look(&options, machine);
}

static bool finds(const struct machine *machine, const char *what, const char *mend)
{
	for (uint32_t i = 0; i < machine->finding_count; i++)
		if (strcmp(machine->findings[i].what, what) == 0) {
			assert_non_null(strstr(machine->findings[i].mend, mend));
			assert_true(strlen(machine->findings[i].why) > 0);
			return true;
		}
	return false;
}

static void a_good_machine_lacks_nothing(void **state)
{
	struct machine machine;

	put_good_machine();
	look(&machine, UINT64_MAX, 1, 2);
	if (machine.finding_count)
		fail_msg("%s: %s", machine.findings[0].what, machine.findings[0].why);
	assert_int_equal(machine.huge_2m.total, 512);
	assert_int_equal(machine.huge_2m.free, 500);
	assert_int_equal(machine.huge_1g.total, 0);
	assert_true(machine.hugetlbfs && machine.transparent_huge && machine.waitpkg);
	for (unsigned i = 0; i < MACHINE_DRIVER_COUNT; i++) {
		assert_true(machine.drivers[i].usable);
		assert_string_equal(machine.drivers[i].why_not, "");
	}
	assert_int_equal(machine.interface_count, 2);
	assert_string_equal(machine.interfaces[0].name, "eth7");
	assert_string_equal(machine.interfaces[0].driver, "mlx5_core");
	assert_int_equal(machine.interfaces[0].numa_node, 1);
	assert_true(machine.interfaces[0].up);
	assert_string_equal(machine.interfaces[1].driver, "");
	assert_int_equal(machine.interfaces[1].numa_node, -1);
	assert_int_equal(machine.rdma_count, 1);
	assert_true(machine.rdma[0].usable);
}

static void an_empty_machine_lacks_everything_and_says_what_mends_it(void **state)
{
	struct machine machine;

	snprintf(drivers, sizeof(drivers), "%s/pmds", root);
	look(&machine, 8 << 20, 0, 0);
	assert_true(finds(&machine, "huge pages", "vm.nr_hugepages"));
	assert_true(finds(&machine, "transparent huge pages", "madvise"));
	assert_true(finds(&machine, "memlock", "ulimit -l"));
	assert_true(finds(&machine, "isolated cores", "isolcpus"));
	assert_true(finds(&machine, "RDMA", "rdma_rxe"));
	assert_true(finds(&machine, "DPDK drivers", "libdpdk-dev"));
	assert_true(finds(&machine, "network privileges", "CAP_NET_RAW"));
	assert_true(finds(&machine, "network card", "vfio-pci"));
	for (unsigned i = 0; i < MACHINE_DRIVER_COUNT; i++) {
		assert_false(machine.drivers[i].usable);
		assert_string_equal(machine.drivers[i].why_not, "not installed");
	}
}

static void each_thing_missing_is_found_alone(void **state)
{
	struct machine machine;

	put_good_machine();
	look(&machine, UINT64_MAX, 1, 0);
	assert_int_equal(machine.finding_count, 1);
	assert_true(finds(&machine, "isolated cores", "isolcpus"));

	look(&machine, (64 << 20) - 1, 1, 1);
	assert_int_equal(machine.finding_count, 1);
	assert_true(finds(&machine, "memlock", "ulimit"));

	put("/proc/mounts", "none /tmp tmpfs rw 0 0\n");
	look(&machine, UINT64_MAX, 1, 1);
	assert_int_equal(machine.finding_count, 1);
	assert_true(finds(&machine, "hugetlbfs", "mount -t hugetlbfs"));
	assert_false(machine.hugetlbfs);

	put("/proc/mounts", "none /dev/hugepages hugetlbfs rw 0 0\n");
	put("/sys/kernel/mm/transparent_hugepage/enabled", "always madvise [never]\n");
	look(&machine, UINT64_MAX, 1, 1);
	assert_int_equal(machine.finding_count, 1);
	assert_true(finds(&machine, "transparent huge pages", "madvise"));
}

static void without_privileges_only_memif_and_cards_are_left(void **state)
{
	struct machine machine;

	put_good_machine();
	put("/proc/self/status", "CapEff:\t0000000000000000\n");
	look(&machine, UINT64_MAX, 1, 1);
	assert_int_equal(machine.finding_count, 1);
	assert_true(finds(&machine, "network privileges", "root"));
	assert_true(machine.drivers[MACHINE_MEMIF].usable);
	assert_false(machine.drivers[MACHINE_AF_PACKET].usable);
	assert_false(machine.drivers[MACHINE_AF_XDP].usable);
	assert_false(machine.drivers[MACHINE_TAP].usable);
	assert_non_null(strstr(machine.drivers[MACHINE_TAP].why_not, "CAP_NET_ADMIN"));
}

static void an_rdma_device_that_is_down_or_unknown_to_verbs_is_not_usable(void **state)
{
	struct machine machine;

	put_good_machine();
	look(&machine, UINT64_MAX, 0, 1);
	assert_false(machine.rdma[0].usable);
	assert_true(finds(&machine, "RDMA", "ibverbs-providers"));
	assert_false(machine.drivers[MACHINE_MLX5].usable);

	put("/sys/class/infiniband/mlx5_0/ports/1/state", "1: DOWN\n");
	look(&machine, UINT64_MAX, 1, 1);
	assert_false(machine.rdma[0].usable);
	assert_string_equal(machine.rdma[0].state, "DOWN");
	assert_true(finds(&machine, "RDMA", "ip link set"));

	put("/sys/class/infiniband/mlx5_0/ports/1/state", "4: ACTIVE\n");
	verbs_why_not = "device mlx5_0 port 1 has no GID: give its network interface an address";
	look(&machine, UINT64_MAX, 1, 1);
	verbs_why_not = NULL;
	assert_false(machine.rdma[0].usable);
	assert_true(finds(&machine, "RDMA", "an address"));
}

static int make_root(void **state)
{
	snprintf(root, sizeof(root), "/tmp/test_machine.XXXXXX");
	return mkdtemp(root) ? 0 : -1;
}

static int remove_root(void **state)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -r %s", root);
	return system(command);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_good_machine_lacks_nothing, make_root,
						remove_root),
		cmocka_unit_test_setup_teardown(
			an_empty_machine_lacks_everything_and_says_what_mends_it, make_root,
			remove_root),
		cmocka_unit_test_setup_teardown(each_thing_missing_is_found_alone, make_root,
						remove_root),
		cmocka_unit_test_setup_teardown(without_privileges_only_memif_and_cards_are_left,
						make_root, remove_root),
		cmocka_unit_test_setup_teardown(
			an_rdma_device_that_is_down_or_unknown_to_verbs_is_not_usable, make_root,
			remove_root),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
