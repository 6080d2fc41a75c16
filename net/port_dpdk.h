/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Port DPDK - a port over any DPDK Ethernet device
 *
 * Received frames point into the device's buffers until they are released;
 * what is sent is copied once into such a buffer.
 *
 *      device queue --> core 0 --own--> frames
 *                          |
 *                          +--for core 2--> ring --> core 2's frames
 *
 * A core whose UDP port's frames come in by another core's device queue, or
 * that has no device queue at all, is fed through rings with one producer and
 * one consumer. Where the device takes flow rules that isn't needed: a rule a
 * UDP port brings each frame to its core. Cores beyond the device's transmit
 * queues send through the core that owns one, in the same way.
 *
 * A device port can only be polled: port_wait_fd() is -1, and a core that feeds
 * others has to go on polling for them to get anything.
 *
 * Threads: as port.h says. The first receive on a queue makes its thread known
 * to DPDK (dpdk_env_enter()).
 */

#include "net/ether.h"
#include "proto/port.h"

/* Letters of a device text, the final zero included. */
#define PORT_DPDK_DEVICE_MAX 256

/* Descriptors of a device queue. */
#define PORT_DPDK_DESCRIPTORS_MAX 4096

/* Packet buffers a core. */
#define PORT_DPDK_BUFFERS_MAX (1 << 20)

struct port_dpdk_config {
	/*
	 * A device that is there (PCI address, or its name), or one to attach by
	 * DPDK's device arguments: "net_memif0,role=server,socket=/run/x,socket-abstract=no",
	 * "net_af_packet0,iface=veth0".
	 */
	const char *device;
	uint32_t queue_count;           /* cores; 1 to PORT_QUEUE_MAX */
	uint32_t device_queue_count;    /* device queues to use at most; 0: one a core, memif: 1 */
	struct ether_subnet ipv4, ipv6; /* at least one is present */
	uint16_t udp_port;              /* of queue 0; queue i has udp_port + i */
	uint32_t frame_size;            /* largest UDP payload; 0: what the device carries */
	uint32_t descriptor_count;      /* of each device queue; 0: 512 */
	uint32_t buffer_count;          /* packet buffers a core; 0: 4096 */
};

/*
 * Attaches and starts the device, and takes all memory. dpdk_env_open() comes
 * before. queue->local is the IPv4 address when there is one, else the IPv6 one;
 * both are served.
 *
 * Returns 0, or a negative errno and a text in 'error' that says what failed and
 * what to do: -ENODEV (not there), -EINVAL (a limit, addresses), -ENOMEM
 * (dpdk_env's memory is used up), or what the driver said.
 */
int port_dpdk_open(const struct port_dpdk_config *config, struct port **ret_port, char *error,
		   size_t error_size);

/* What happened below UDP on one queue; the port is one of port_dpdk_open(). */
const struct ether_stats *port_dpdk_ether_stats(struct port *port, uint32_t index);

struct port_dpdk_info {
	char device[64];
	const char *driver; /* borrows from DPDK */
	uint8_t mac[6];
	uint32_t receive_queues, send_queues; /* of the device */
	bool link_up;
	bool steered;        /* flow rules bring frames to their cores */
	bool checks_offload; /* the device computes or verifies checksums */
	uint64_t missed;     /* frames the device dropped for want of a descriptor or buffer */
};

struct port_dpdk_info port_dpdk_info(struct port *port);
