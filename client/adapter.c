/* SPDX-License-Identifier: Apache-2.0 */
#include "client/adapter.h"

#include "base/defs.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

static void look_at(const struct verbs_ops *ops, struct adapter *adapter)
{
	const struct device_options options = {.name = adapter->name, .gid_index = -1};
	struct device *device;

	adapter->opens = device_open(ops, &options, &device, adapter->why_not,
				     sizeof(adapter->why_not)) == 0;
	if (!adapter->opens)
		return;
	adapter->why_not[0] = 0;
	adapter->info = *device_info(device);
	adapter->gid_count = device_gids(device, adapter->gids, ADAPTER_GID_MAX);
	device_close(device);
}

unsigned adapter_look(const struct verbs_ops *ops, struct adapter *devices, unsigned count)
{
	int found = 0;
	/* NULL when the kernel has no RDMA at all. */
	struct ibv_device **list = ops->get_device_list(&found);
	unsigned taken = list ? MIN((unsigned)MAX(found, 0), count) : 0;

	for (unsigned i = 0; i < taken; i++) {
		devices[i] = (struct adapter){0};
		snprintf(devices[i].name, sizeof(devices[i].name), "%s",
			 ops->get_device_name(list[i]));
	}
	if (list)
		ops->free_device_list(list);
	for (unsigned i = 0; i < taken; i++)
		look_at(ops, &devices[i]);
	return taken;
}

const char *adapter_gid_text(const uint8_t gid[16], char to[ADAPTER_GID_TEXT_MAX])
{
	struct addr addr = {0};

	memcpy(addr.ip, gid, sizeof(addr.ip));
	if (addr_is_ipv4(&addr))
		(void)inet_ntop(AF_INET, gid + 12, to, ADAPTER_GID_TEXT_MAX);
	else
		(void)inet_ntop(AF_INET6, gid, to, ADAPTER_GID_TEXT_MAX);
	return to;
}
