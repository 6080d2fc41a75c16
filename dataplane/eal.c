/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/eal.h"

#include "base/check.h"

#include <errno.h>
#include <rte_eal.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Arguments, each of at most a device string. */
#define ARGUMENT_MAX      24
#define ARGUMENT_SIZE_MAX (CONFIG_TEXT_MAX + 16)

struct arguments {
	int count;
	char *pointers[ARGUMENT_MAX + 1];
	char texts[ARGUMENT_MAX][ARGUMENT_SIZE_MAX];
};

/* EAL keeps pointers to its arguments and may reorder them. */
static struct arguments arguments;

static void PRINTF_LIKE(1, 2) argument_add(const char *format, ...)
{
	va_list list;

	CHECK(arguments.count < ARGUMENT_MAX);
	va_start(list, format);
	vsnprintf(arguments.texts[arguments.count], ARGUMENT_SIZE_MAX, format, list);
	va_end(list);
	arguments.pointers[arguments.count] = arguments.texts[arguments.count];
	arguments.count++;
}

/* The processors for main and telemetry: all that we may use and no poll core takes, if any. */
static void housekeeping_set(const struct topo_plan *plan, cpu_set_t *ret_set)
{
	cpu_set_t allowed;
	cpu_set_t left;

	CPU_ZERO(&allowed);
	(void)sched_getaffinity(0, sizeof(allowed), &allowed);
	left = allowed;
	for (uint32_t i = 0; i < plan->count; i++)
		CPU_CLR(plan->polls[i].core, &left);
	*ret_set = CPU_COUNT(&left) ? left : allowed;
}

/* "0@(2,3,7)": lcore 0 may run on these. */
static void lcores_format(const cpu_set_t *set, char *to, size_t size)
{
	size_t used = (size_t)snprintf(to, size, "0@(");
	const char *separator = "";

	for (int cpu = 0; cpu < CPU_SETSIZE && used + 8 < size; cpu++) {
		if (!CPU_ISSET(cpu, set))
			continue;
		used += (size_t)snprintf(to + used, size - used, "%s%d", separator, cpu);
		separator = ",";
	}
	snprintf(to + used, size - used, ")");
}

bool eal_wanted(const struct config *config)
{
	return config->telemetry || config->port.kind == CONFIG_PORT_DPDK;
}

/* A PCI device is allowed by its address; a virtual one is made by its port. */
static bool device_is_pci(const char *device)
{
	return device[0] && strncmp(device, "net_", 4) != 0;
}

static void arguments_fill(const struct config *config, const struct topo_plan *plan)
{
	char lcores[ARGUMENT_SIZE_MAX];
	cpu_set_t set;

	housekeeping_set(plan, &set);
	lcores_format(&set, lcores, sizeof(lcores));
	argument_add("ternd");
	argument_add("--lcores=%s", lcores);
	argument_add("--file-prefix=%s", config->dpdk.file_prefix);
	/* Its errors go to standard error; what it merely notes is for debugging. */
	argument_add("--log-level=%s",
		     config->log_level == LOG_LEVEL_DEBUG ? "*:debug" : "*:error");
	argument_add("-m");
	argument_add("%llu", (unsigned long long)(config->dpdk.memory >> 20));
	if (!config->dpdk.huge)
		argument_add("--no-huge");
	else
		argument_add("--single-file-segments"); /* memif without copies asks for it */
	if (device_is_pci(config->port.device))
		argument_add("--allow=%s", config->port.device);
	else
		argument_add("--no-pci");
	if (!config->telemetry)
		argument_add("--no-telemetry");
}

/* What mends the usual reasons; EAL itself says on standard error what it ran into. */
static const char *advice(const struct config *config)
{
	if (config->dpdk.huge)
		return "are there free huge pages, a mounted hugetlbfs, and no other process with "
		       "this dpdk.file_prefix? reserve pages with 'sysctl vm.nr_hugepages=512', or "
		       "set dpdk.huge to false";
	return "does another process use this dpdk.file_prefix? give each its own; its files lie "
	       "in $RUNTIME_DIRECTORY or /var/run/dpdk, which has to be writable";
}

int eal_start(const struct config *config, const struct topo_plan *plan, char *error,
	      size_t error_size)
{
	arguments_fill(config, plan);
	if (rte_eal_init(arguments.count, arguments.pointers) >= 0)
		return 0;
	/* rte_errno is as often 0 or stale as it is right. */
	snprintf(error, error_size, "dpdk: its environment doesn't start (see its lines above); %s",
		 advice(config));
	return -EIO;
}

void eal_stop(void)
{
	/* Fails only when it doesn't run. */
	(void)rte_eal_cleanup();
}
