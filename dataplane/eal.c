/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/eal.h"

#include "net/dpdk_env.h"

#include <sched.h>
#include <string.h>

bool eal_wanted(const struct config *config)
{
	return config->telemetry || config->port.kind == CONFIG_PORT_DPDK;
}

void eal_leave_poll_cores(const struct topo_plan *plan)
{
	cpu_set_t left;

	if (sched_getaffinity(0, sizeof(left), &left))
		return;
	for (uint32_t i = 0; i < plan->count; i++)
		CPU_CLR(plan->polls[i].core, &left);
	/* With a poll core on every processor they share them; they have little to do. */
	if (CPU_COUNT(&left))
		(void)sched_setaffinity(0, sizeof(left), &left);
}

/* A virtual device is attached by its port, a PCI one found here. */
static const char *pci_device(const struct config *config)
{
	const char *device = config->port.device;

	return device[0] && strncmp(device, "net_", 4) != 0 ? device : NULL;
}

int eal_start(const struct config *config, const struct topo_plan *plan, char *error,
	      size_t error_size)
{
	struct dpdk_env_config env = {
		.file_prefix = config->dpdk.file_prefix,
		.huge_pages = config->dpdk.huge,
		.memory_mib = (uint32_t)(config->dpdk.memory >> 20),
		.pci_device = pci_device(config),
		.telemetry = config->telemetry,
		.log_level = config->log_level == LOG_LEVEL_DEBUG ? "debug" : NULL,
	};

	return dpdk_env_open(&env, error, error_size);
}
