/* SPDX-License-Identifier: Apache-2.0 */
#include "perf/lib/bare_echo.h"

#include "base/check.h"
#include "base/defs.h"

#include <string.h>

#include <rte_ethdev.h>
#include <rte_ip.h>
#include <rte_mbuf.h>
#include <rte_udp.h>

#define BURST 32

#define POOL_COUNT 4096
#define POOL_CACHE 256

static void send_all(uint16_t device, struct rte_mbuf **mbufs, uint16_t count)
{
	uint16_t sent = rte_eth_tx_burst(device, 0, mbufs, count);

	if (sent < count)
		rte_pktmbuf_free_bulk(mbufs + sent, count - sent);
}

static void swap_addresses(struct rte_mbuf *mbuf)
{
	struct rte_ether_hdr *header = rte_pktmbuf_mtod(mbuf, struct rte_ether_hdr *);
	struct rte_ether_addr to = header->dst_addr;

	header->dst_addr = header->src_addr;
	header->src_addr = to;
}

uint64_t bare_echo_serve(uint16_t device, const atomic_bool *stop)
{
	struct rte_mbuf *mbufs[BURST];
	uint64_t echoed = 0;

	while (!atomic_load_explicit(stop, memory_order_relaxed)) {
		uint16_t count = rte_eth_rx_burst(device, 0, mbufs, BURST);

		if (count == 0)
			continue;
		for (uint16_t i = 0; i < count; i++)
			swap_addresses(mbufs[i]);
		send_all(device, mbufs, count);
		echoed += count;
	}
	return echoed;
}

/* UDP over IPv4, so that a kernel that sees the frame too has the same work with it as with ours.
 */
static void write_headers(const struct bare_echo *echo, struct rte_mbuf *mbuf)
{
	struct rte_ether_hdr *ether = rte_pktmbuf_mtod(mbuf, struct rte_ether_hdr *);
	struct rte_ipv4_hdr *ip = (struct rte_ipv4_hdr *)(ether + 1);
	struct rte_udp_hdr *udp = (struct rte_udp_hdr *)(ip + 1);
	uint16_t ip_size = (uint16_t)(echo->size - sizeof(*ether));

	memcpy(&ether->dst_addr, echo->to, sizeof(echo->to));
	memcpy(&ether->src_addr, echo->from, sizeof(echo->from));
	ether->ether_type = RTE_BE16(RTE_ETHER_TYPE_IPV4);
	*ip = (struct rte_ipv4_hdr){.version_ihl = RTE_IPV4_VHL_DEF,
				    .total_length = rte_cpu_to_be_16(ip_size),
				    .time_to_live = 64,
				    .next_proto_id = IPPROTO_UDP,
				    .src_addr = RTE_BE32(RTE_IPV4(10, 77, 0, 2)),
				    .dst_addr = RTE_BE32(RTE_IPV4(10, 77, 0, 1))};
	ip->hdr_checksum = rte_ipv4_cksum(ip);
	*udp = (struct rte_udp_hdr){.src_port = RTE_BE16(7400),
				    .dst_port = RTE_BE16(7400),
				    .dgram_len =
					    rte_cpu_to_be_16((uint16_t)(ip_size - sizeof(*ip)))};
	mbuf->data_len = (uint16_t)echo->size;
	mbuf->pkt_len = echo->size;
}

static unsigned bare_send(void *context, unsigned count)
{
	const struct bare_echo *echo = context;
	struct rte_mbuf *mbufs[BURST];
	uint16_t sent;

	count = MIN(count, (unsigned)BURST);
	if (rte_pktmbuf_alloc_bulk(echo->pool, mbufs, count) != 0)
		return 0;
	for (unsigned i = 0; i < count; i++)
		write_headers(echo, mbufs[i]);
	sent = rte_eth_tx_burst(echo->device, 0, mbufs, (uint16_t)count);
	if (sent < count)
		rte_pktmbuf_free_bulk(mbufs + sent, count - sent);
	return sent;
}

/* Frames of others, as a kernel's router solicitations, are not counted. */
static unsigned bare_poll(void *context)
{
	const struct bare_echo *echo = context;
	struct rte_mbuf *mbufs[BURST];
	uint16_t count = rte_eth_rx_burst(echo->device, 0, mbufs, BURST);
	unsigned ours = 0;

	for (uint16_t i = 0; i < count; i++)
		ours += mbufs[i]->pkt_len == echo->size;
	if (count > 0)
		rte_pktmbuf_free_bulk(mbufs, count);
	return ours;
}

const struct echo_load_ops bare_echo_ops = {.send = bare_send, .poll = bare_poll};

uint16_t bare_echo_device(const char *name)
{
	uint16_t device;

	CHECK(rte_eth_dev_get_port_by_name(name, &device) == 0);
	return device;
}

struct rte_mempool *bare_echo_pool(const char *name, uint32_t size)
{
	return rte_pktmbuf_pool_create(name, POOL_COUNT, POOL_CACHE, 0,
				       (uint16_t)(RTE_PKTMBUF_HEADROOM + MAX(size, 2048u)),
				       SOCKET_ID_ANY);
}
