/* SPDX-License-Identifier: Apache-2.0 */

#include "client/machine.h"

#include "base/check.h"

#include <dirent.h>
#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Bits of /proc/self/status' CapEff (linux/capability.h). */
#define CAP_NET_ADMIN_BIT 12
#define CAP_NET_RAW_BIT   13

/* Pages of 2 MiB that a small node does with: 512 MiB. */
#define HUGE_PAGES_ADVISED 256

/* Locked memory that one does with: packet buffers and rings. */
#define MEMLOCK_ADVISED (UINT64_C(64) << 20)

struct look {
	const struct machine_options *options;
	struct machine *machine;
	uint64_t capabilities;
};

PRINTF_LIKE(2, 3)
static bool path_of(char path[PATH_MAX], const char *format, ...)
{
	va_list args;
	int length;

	va_start(args, format);
	length = vsnprintf(path, PATH_MAX, format, args);
	va_end(args);
	return length >= 0 && length < PATH_MAX;
}

/* The first line of a file below the root, or "". */
static void read_line(const struct look *look, const char *file, char *to, size_t size)
{
	char path[PATH_MAX];
	FILE *stream = NULL;

	to[0] = 0;
	if (path_of(path, "%s%s", look->options->root, file))
		stream = fopen(path, "re");
	if (!stream)
		return;
	if (!fgets(to, (int)size, stream))
		to[0] = 0;
	to[strcspn(to, "\n")] = 0;
	fclose(stream);
}

static uint64_t read_number(const struct look *look, const char *file)
{
	char line[64];

	read_line(look, file, line, sizeof(line));
	return strtoull(line, NULL, 10);
}

static bool is_there(const struct look *look, const char *file, int mode)
{
	char path[PATH_MAX];

	return path_of(path, "%s%s", look->options->root, file) && access(path, mode) == 0;
}

/* Does a line of the file have 'word' in it? */
static bool mentions(const struct look *look, const char *file, const char *word)
{
	char path[PATH_MAX], line[8192];
	bool found = false;
	FILE *stream = NULL;

	if (path_of(path, "%s%s", look->options->root, file))
		stream = fopen(path, "re");
	while (stream && !found && fgets(line, sizeof(line), stream))
		found = strstr(line, word) != NULL;
	if (stream)
		fclose(stream);
	return found;
}

/* Calls 'fn' for the entries of a folder, in the order of their names. */
static void each_entry(struct look *look, const char *root, const char *folder,
		       void (*fn)(struct look *look, const char *name))
{
	struct dirent **entries;
	char path[PATH_MAX];
	int count;

	if (!path_of(path, "%s%s", root, folder))
		return;
	count = scandir(path, &entries, NULL, alphasort);
	for (int i = 0; i < count; i++) {
		if (entries[i]->d_name[0] != '.')
			fn(look, entries[i]->d_name);
		free(entries[i]);
	}
	if (count >= 0)
		free(entries);
}

/* A new finding; its texts are filled by the caller. */
static struct machine_finding *find(struct look *look, const char *what)
{
	struct machine *machine = look->machine;

	CHECK(machine->finding_count < MACHINE_FINDING_MAX);
	machine->findings[machine->finding_count].what = what;
	return &machine->findings[machine->finding_count++];
}

PRINTF_LIKE(2, 3)
static void say(char to[MACHINE_TEXT_MAX], const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(to, MACHINE_TEXT_MAX, format, args);
	va_end(args);
}

static struct machine_pages read_pages(const struct look *look, const char *size)
{
	char file[128];
	struct machine_pages pages;

	snprintf(file, sizeof(file), "/sys/kernel/mm/hugepages/hugepages-%s/nr_hugepages", size);
	pages.total = read_number(look, file);
	snprintf(file, sizeof(file), "/sys/kernel/mm/hugepages/hugepages-%s/free_hugepages", size);
	pages.free = read_number(look, file);
	return pages;
}

static void look_at_memory(struct look *look)
{
	struct machine *machine = look->machine;
	struct machine_finding *finding;
	char line[128];

	machine->huge_2m = read_pages(look, "2048kB");
	machine->huge_1g = read_pages(look, "1048576kB");
	machine->hugetlbfs = mentions(look, "/proc/mounts", " hugetlbfs ");
	read_line(look, "/sys/kernel/mm/transparent_hugepage/enabled", line, sizeof(line));
	machine->transparent_huge = strstr(line, "[madvise]") || strstr(line, "[always]");
	machine->memlock = look->options->memlock;

	if (!machine->huge_2m.total && !machine->huge_1g.total) {
		finding = find(look, "huge pages");
		say(finding->why, "none are reserved: memif copies instead of sharing, and random "
				  "reads of an index take up to twice as long");
		say(finding->mend, "sysctl -w vm.nr_hugepages=%d", HUGE_PAGES_ADVISED);
	} else if (!machine->hugetlbfs) {
		finding = find(look, "hugetlbfs");
		say(finding->why, "is not mounted: two DPDK processes can't share huge pages");
		say(finding->mend,
		    "mkdir -p /dev/hugepages && mount -t hugetlbfs none /dev/hugepages");
	}
	if (!machine->transparent_huge) {
		finding = find(look, "transparent huge pages");
		say(finding->why, "are off: segments that are mapped lie in small pages");
		say(finding->mend, "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled");
	}
	if (machine->memlock < MEMLOCK_ADVISED) {
		finding = find(look, "memlock");
		say(finding->why,
		    "only %" PRIu64 " KiB may be locked: RDMA and AF_XDP need their memory pinned",
		    machine->memlock >> 10);
		say(finding->mend, "ulimit -l unlimited (systemd: LimitMEMLOCK=infinity)");
	}
}

static void look_at_cores(struct look *look)
{
	struct machine_finding *finding;

	look->machine->waitpkg = mentions(look, "/proc/cpuinfo", " waitpkg");
	if (look->options->isolated_count)
		return;
	finding = find(look, "isolated cores");
	say(finding->why, "there are none: other work of the kernel interrupts poll cores");
	say(finding->mend, "boot with isolcpus=CORES nohz_full=CORES rcu_nocbs=CORES");
}

static void read_capabilities(struct look *look)
{
	char path[PATH_MAX], line[256];
	FILE *stream = NULL;

	if (path_of(path, "%s/proc/self/status", look->options->root))
		stream = fopen(path, "re");
	while (stream && fgets(line, sizeof(line), stream))
		if (strncmp(line, "CapEff:", 7) == 0)
			look->capabilities = strtoull(line + 7, NULL, 16);
	if (stream)
		fclose(stream);
}

static bool capable(const struct look *look, unsigned bit)
{
	return look->capabilities >> bit & 1;
}

static void add_interface(struct look *look, const char *name)
{
	struct machine *machine = look->machine;
	struct machine_interface *interface;
	char file[PATH_MAX], target[PATH_MAX], line[64];
	const char *slash;
	ssize_t length;

	if (machine->interface_count == MACHINE_INTERFACE_MAX)
		return;
	interface = &machine->interfaces[machine->interface_count++];
	snprintf(interface->name, sizeof(interface->name), "%s", name);
	snprintf(file, sizeof(file), "/sys/class/net/%s/operstate", interface->name);
	read_line(look, file, line, sizeof(line));
	/* A loopback's state is "unknown", and it works. */
	interface->up = strcmp(line, "down") != 0;
	snprintf(file, sizeof(file), "/sys/class/net/%s/device/numa_node", interface->name);
	read_line(look, file, line, sizeof(line));
	interface->numa_node = *line ? (int)strtol(line, NULL, 10) : -1;
	if (!path_of(file, "%s/sys/class/net/%s/device/driver", look->options->root, name))
		return;
	length = readlink(file, target, sizeof(target) - 1);
	if (length < 0)
		return;
	target[length] = 0;
	slash = strrchr(target, '/');
	snprintf(interface->driver, sizeof(interface->driver), "%.*s", MACHINE_NAME_MAX - 1,
		 slash ? slash + 1 : target);
}

/* What libibverbs has of a device, or NULL. */
static const struct machine_verbs *find_verbs(const struct machine_options *options,
					      const char *name)
{
	for (uint32_t i = 0; i < options->verbs_count; i++)
		if (strcmp(options->verbs[i].name, name) == 0)
			return &options->verbs[i];
	return NULL;
}

static void add_rdma(struct look *look, const char *name)
{
	struct machine *machine = look->machine;
	struct machine_rdma *rdma;
	const struct machine_verbs *verbs = find_verbs(look->options, name);
	char file[128], line[64];
	const char *state;

	if (machine->rdma_count == MACHINE_RDMA_MAX)
		return;
	rdma = &machine->rdma[machine->rdma_count++];
	snprintf(rdma->name, sizeof(rdma->name), "%s", name);
	/* "4: ACTIVE" */
	snprintf(file, sizeof(file), "/sys/class/infiniband/%s/ports/1/state", rdma->name);
	read_line(look, file, line, sizeof(line));
	state = strchr(line, ' ');
	snprintf(rdma->state, sizeof(rdma->state), "%s", state ? state + 1 : "unknown");
	rdma->usable = strcmp(rdma->state, "ACTIVE") == 0 && verbs && !verbs->why_not;
}

static void look_at_rdma(struct look *look)
{
	struct machine *machine = look->machine;
	const struct machine_verbs *verbs;
	struct machine_finding *finding;

	each_entry(look, look->options->root, "/sys/class/infiniband", add_rdma);
	for (uint32_t i = 0; i < machine->rdma_count; i++)
		if (machine->rdma[i].usable)
			return;
	finding = find(look, "RDMA");
	if (!machine->rdma_count) {
		say(finding->why, "there is no device: no one-sided reads between hosts");
		say(finding->mend, "modprobe rdma_rxe && rdma link add rxe0 type rxe netdev IFACE "
				   "(Debian: linux-image-amd64, not the cloud kernel)");
		return;
	}
	verbs = find_verbs(look->options, machine->rdma[0].name);
	if (!verbs) {
		say(finding->why, "%s has no user-space side here", machine->rdma[0].name);
		say(finding->mend, "apt-get install ibverbs-providers && modprobe ib_uverbs");
	} else if (strcmp(machine->rdma[0].state, "ACTIVE") == 0) {
		/* "device mlx5_0 can't be opened: ...", as a whole: it says what to do. */
		say(finding->why, "%s can't be used", machine->rdma[0].name);
		say(finding->mend, "%.180s", verbs->why_not);
	} else {
		say(finding->why, "%s is %s", machine->rdma[0].name, machine->rdma[0].state);
		say(finding->mend, "ip link set IFACE up (rdma link show names its interface)");
	}
}

/* Finds the driver folder's pmds-VERSION; driver_is_there() looks into it. */
struct pmds {
	char folder[MACHINE_NAME_MAX];
};

static bool driver_is_there(const struct look *look, const struct pmds *pmds, const char *driver)
{
	char path[PATH_MAX];

	return *pmds->folder &&
	       path_of(path, "%s/%s/librte_net_%s.so", look->options->driver_folder, pmds->folder,
		       driver) &&
	       access(path, R_OK) == 0;
}

static void find_pmds(const struct look *look, struct pmds *pmds)
{
	DIR *folder = opendir(look->options->driver_folder);
	struct dirent *entry;

	pmds->folder[0] = 0;
	while (folder && (entry = readdir(folder)))
		/* The newest, by name. */
		if (strncmp(entry->d_name, "pmds-", 5) == 0 &&
		    strcmp(entry->d_name, pmds->folder) > 0)
			snprintf(pmds->folder, sizeof(pmds->folder), "%.*s", MACHINE_NAME_MAX - 1,
				 entry->d_name);
	if (folder)
		closedir(folder);
}

static bool has_mlx5(const struct machine *machine)
{
	for (uint32_t i = 0; i < machine->rdma_count; i++)
		if (machine->rdma[i].usable && strncmp(machine->rdma[i].name, "mlx5", 4) == 0)
			return true;
	return false;
}

/* NULL when nothing stands in the way of a driver that is installed. */
static const char *obstacle(const struct look *look, enum machine_driver_id driver)
{
	switch (driver) {
	case MACHINE_AF_PACKET:
		return capable(look, CAP_NET_RAW_BIT) ? NULL : "needs CAP_NET_RAW";
	case MACHINE_AF_XDP:
		return capable(look, CAP_NET_RAW_BIT) && capable(look, CAP_NET_ADMIN_BIT)
			       ? NULL
			       : "needs CAP_NET_RAW, CAP_NET_ADMIN and CAP_BPF";
	case MACHINE_TAP:
		if (!is_there(look, "/dev/net/tun", R_OK | W_OK))
			return "/dev/net/tun can't be opened";
		return capable(look, CAP_NET_ADMIN_BIT) ? NULL : "needs CAP_NET_ADMIN";
	case MACHINE_MLX5:
		return has_mlx5(look->machine) ? NULL : "no active mlx5 device";
	case MACHINE_VFIO:
		return is_there(look, "/dev/vfio/vfio", R_OK | W_OK)
			       ? NULL
			       : "/dev/vfio/vfio can't be opened";
	default:
		return NULL;
	}
}

static void look_at_drivers(struct look *look)
{
	/* The name, and the library; vfio stands for all drivers of cards, e1000 is always among
	 * them. */
	static const char *const names[][2] = {
		[MACHINE_MEMIF] = {"memif", "memif"},
		[MACHINE_AF_PACKET] = {"af_packet", "af_packet"},
		[MACHINE_AF_XDP] = {"af_xdp", "af_xdp"},
		[MACHINE_TAP] = {"tap", "tap"},
		[MACHINE_MLX5] = {"mlx5", "mlx5"},
		[MACHINE_VFIO] = {"vfio", "e1000"},
	};
	struct machine_finding *finding;
	struct pmds pmds;

	find_pmds(look, &pmds);
	if (!*pmds.folder) {
		finding = find(look, "DPDK drivers");
		say(finding->why, "there are none in %.100s", look->options->driver_folder);
		say(finding->mend, "apt-get install libdpdk-dev");
	}
	for (unsigned i = 0; i < MACHINE_DRIVER_COUNT; i++) {
		struct machine_driver *driver = &look->machine->drivers[i];
		const char *why = driver_is_there(look, &pmds, names[i][1])
					  ? obstacle(look, (enum machine_driver_id)i)
					  : "not installed";

		driver->name = names[i][0];
		driver->usable = !why;
		say(driver->why_not, "%s", why ? why : "");
	}
}

/* What stands in the way of whole groups of drivers. */
static void judge_drivers(struct look *look)
{
	const struct machine_driver *drivers = look->machine->drivers;
	struct machine_finding *finding;

	if (!capable(look, CAP_NET_RAW_BIT) || !capable(look, CAP_NET_ADMIN_BIT)) {
		finding = find(look, "network privileges");
		say(finding->why, "without them af_packet, af_xdp and tap can't be used");
		say(finding->mend, "run as root, or in systemd "
				   "AmbientCapabilities=CAP_NET_RAW CAP_NET_ADMIN CAP_BPF");
	}
	if (!drivers[MACHINE_VFIO].usable && !drivers[MACHINE_MLX5].usable) {
		finding = find(look, "network card");
		say(finding->why, "none can be driven directly: frames pass through the kernel");
		say(finding->mend,
		    "modprobe vfio-pci && dpdk-devbind.py --bind=vfio-pci PCI-ADDRESS");
	}
}

void machine_look(const struct machine_options *options, struct machine *ret_machine)
{
	struct look look = {.options = options, .machine = ret_machine};

	memset(ret_machine, 0, sizeof(*ret_machine));
	read_capabilities(&look);
	look_at_cores(&look);
	look_at_memory(&look);
	each_entry(&look, options->root, "/sys/class/net", add_interface);
	look_at_rdma(&look);
	look_at_drivers(&look);
	judge_drivers(&look);
}
