/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Port socket - a port over kernel UDP sockets
 *
 * One socket a queue, bound to base port + i. It needs no privilege and no
 * DPDK. Bursts go through recvmmsg() and sendmmsg(); where the kernel has UDP
 * segmentation offload, a run of equal frames to one peer crosses it as one
 * datagram (GSO), and arrives as one (GRO): that is most of the cost of a
 * large message saved.
 *
 * Threads: as port.h says.
 */

#include "proto/port.h"

/* Receive buffer asked of the kernel a socket; it may grant less (net.core.rmem_max). */
#define PORT_SOCKET_BUFFER_SIZE (4 << 20)

struct port_socket_config {
	/*
	 * Where queue 0 is bound; queue i has port + i. Port 0: each queue gets a
	 * free port of its own, not in a row (queue->local says which); for clients.
	 * The address :: takes IPv4 and IPv6, ::ffff:0.0.0.0 IPv4 alone.
	 */
	struct addr local;
	uint32_t queue_count; /* 1 to PORT_QUEUE_MAX */
	uint32_t frame_size;  /* largest UDP payload; 0: 8952 on loopback, else 1452 */
	bool plain; /* a datagram a frame: without GSO and GRO, to measure or to work around */
};

/*
 * Opens and binds all sockets.
 *
 * Returns 0, or a negative errno and a text in 'error' that says what failed
 * where and what to do: -EADDRINUSE (a port is busy), -EADDRNOTAVAIL (not an
 * address of this host), -EACCES, -EINVAL (a limit), -ENOMEM.
 */
int port_socket_open(const struct port_socket_config *config, struct port **ret_port, char *error,
		     size_t error_size);
