/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * DPDK device - an Ethernet device made ready for a port
 *
 * Finds or attaches the device and decides, from what the driver says and from
 * what it is known not to say, how many queues, how large frames, and which
 * offloads there are. The port brings the buffers; the device is started last.
 *
 * Threads: the main thread.
 */

#include "net/port_dpdk.h"

#include <rte_ethdev.h>

struct dpdk_device {
	uint16_t id;   /* DPDK's port number */
	bool attached; /* by us, so it is ours to remove */
	struct rte_eth_dev_info info;
	uint8_t mac[NEIGHBOUR_MAC_SIZE];
	uint32_t receive_queues, send_queues;
	uint32_t frame_size; /* largest UDP payload */
	uint32_t mtu;        /* to configure; 0: leave it */
	uint16_t receive_descriptors, send_descriptors;
	uint64_t receive_offloads, send_offloads; /* DPDK's flags */
	bool accept_partial;                      /* see ether_config */
	bool in_memory;                           /* no wire: frames are copied within this host */
	bool steered;
	bool reconnects; /* a memif client: its server may go and another one come */
};

/* Finds or attaches what config->device names and decides on the rest. Changes no device. */
int dpdk_device_open(const struct port_dpdk_config *config, struct dpdk_device *ret_device,
		     char *error, size_t error_size);

/*
 * Configures and starts it; queue i receives into pools[i]. Frames for UDP port
 * udp_port + i are steered to queue i where the device can and has one a core.
 */
int dpdk_device_start(struct dpdk_device *device, const struct port_dpdk_config *config,
		      struct rte_mempool *const *pools, char *error, size_t error_size);

bool dpdk_device_link_is_up(const struct dpdk_device *device);

/*
 * Stops and starts the device, which makes a memif client look for its server.
 * No core may use the device meanwhile, nor afterwards when this fails.
 */
int dpdk_device_restart(const struct dpdk_device *device);

/* Stops and closes it, and removes it when it was attached. */
void dpdk_device_close(struct dpdk_device *device);
