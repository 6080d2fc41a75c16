/* SPDX-License-Identifier: Apache-2.0 */
#include "net/ether.h"

#include "base/byteorder.h"
#include "base/check.h"
#include "net/ether_wire.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/*
 * The way of datagrams, in and out. ether_control.c has what answers: ARP,
 * ICMP, neighbour discovery. Lengths are checked where a header is first
 * looked at; behind that border they are relied on.
 */

static const uint8_t mapped_prefix[12] = {[10] = 0xff, [11] = 0xff};
static const uint8_t no_ip[16];

void ether_mapped(const uint8_t *from, uint8_t ret_ip[16])
{
	memcpy(ret_ip, mapped_prefix, sizeof(mapped_prefix));
	memcpy(ret_ip + sizeof(mapped_prefix), from, 4);
}

uint64_t ether_pseudo_sum(const uint8_t *addresses, size_t ip_size, uint8_t protocol, size_t size)
{
	uint8_t rest[8] = {0};

	store_be32(rest, (uint32_t)size);
	rest[7] = protocol;
	return checksum_add(checksum_add(0, addresses, 2 * ip_size), rest, sizeof(rest));
}

static bool same_prefix(const uint8_t a[16], const uint8_t b[16], unsigned bits)
{
	unsigned whole = bits / 8, rest = bits % 8;

	if (memcmp(a, b, whole) != 0)
		return false;
	return rest == 0 || (a[whole] ^ b[whole]) >> (8 - rest) == 0;
}

/* fe80::/10 is on every link. */
static bool is_link_local(const uint8_t ip[16])
{
	return ip[0] == 0xfe && (ip[1] & 0xc0) == 0x80;
}

static enum ether_verdict drop(uint64_t *counter)
{
	ether_count(counter);
	return ETHER_DROP;
}

/* --- set-up --- */

static bool is_mapped(const uint8_t ip[16])
{
	return memcmp(ip, mapped_prefix, sizeof(mapped_prefix)) == 0;
}

bool ether_subnet_is_ipv4(const struct ether_subnet *subnet)
{
	return is_mapped(subnet->ip);
}

/* Reads an address alone in either family's form. */
static int parse_ip(const char *text, size_t length, uint8_t ret_ip[16])
{
	char copy[INET6_ADDRSTRLEN];
	uint8_t ipv4[4];

	if (length >= sizeof(copy))
		return -EINVAL;
	memcpy(copy, text, length);
	copy[length] = 0;
	if (inet_pton(AF_INET, copy, ipv4) == 1) {
		ether_mapped(ipv4, ret_ip);
		return 0;
	}
	return inet_pton(AF_INET6, copy, ret_ip) == 1 ? 0 : -EINVAL;
}

static int parse_prefix(const char *text, unsigned max, uint8_t *ret_prefix)
{
	unsigned long value;
	char *end;

	if (*text < '0' || *text > '9')
		return -EINVAL;
	value = strtoul(text, &end, 10);
	if (*end != 0 || value > max)
		return -EINVAL;
	*ret_prefix = (uint8_t)value;
	return 0;
}

/* The prefix in bits of the mapped form. */
static uint8_t mapped_bits(const struct ether_subnet *subnet)
{
	return (uint8_t)(subnet->prefix + (ether_subnet_is_ipv4(subnet) ? 96 : 0));
}

bool ether_on_link(const struct ether_subnet *subnet, const uint8_t ip[16])
{
	return is_link_local(ip) || same_prefix(subnet->ip, ip, mapped_bits(subnet));
}

int ether_subnet_parse(const char *address, const char *gateway, struct ether_subnet *ret_subnet)
{
	struct ether_subnet subnet = {.present = true};
	const char *slash = strchr(address, '/');

	if (!slash || parse_ip(address, (size_t)(slash - address), subnet.ip) != 0)
		return -EINVAL;
	if (parse_prefix(slash + 1, ether_subnet_is_ipv4(&subnet) ? 32 : 128, &subnet.prefix) != 0)
		return -EINVAL;
	if (gateway) {
		if (parse_ip(gateway, strlen(gateway), subnet.gateway) != 0 ||
		    ether_subnet_is_ipv4(&subnet) != is_mapped(subnet.gateway) ||
		    !ether_on_link(&subnet, subnet.gateway))
			return -EINVAL;
	}
	*ret_subnet = subnet;
	return 0;
}

static bool subnet_is_valid(const struct ether_subnet *subnet, bool ipv4)
{
	if (!subnet->present)
		return true;
	if (subnet->prefix > (ipv4 ? 32 : 128))
		return false;
	return ether_subnet_is_ipv4(subnet) == ipv4;
}

int ether_init(struct ether *ether, const struct ether_config *config)
{
	if (!config->ipv4.present && !config->ipv6.present)
		return -EINVAL;
	if (!subnet_is_valid(&config->ipv4, true) || !subnet_is_valid(&config->ipv6, false))
		return -EINVAL;
	if (config->port_count < 1 || config->port_base + config->port_count > UINT16_MAX + 1)
		return -EINVAL;
	memset(ether, 0, sizeof(*ether));
	ether->config = *config;
	neighbours_init(&ether->neighbours, config->seed);
	return 0;
}

/* --- receiving --- */

/* A field that holds the complemented sum makes the whole sum all ones. */
static bool sum_is_right(uint64_t sum)
{
	return checksum_fold(sum) == 0xffff;
}

static bool udp_checksum_is_right(const struct ether *ether, const struct ether_packet *packet,
				  size_t ip_size, size_t size)
{
	const uint8_t *addresses = packet->body - 2 * ip_size;
	uint64_t pseudo = ether_pseudo_sum(addresses, ip_size, PROTOCOL_UDP, size);
	uint16_t field;

	memcpy(&field, packet->body + UDP_CHECKSUM, sizeof(field));
	if (field == 0)
		return ip_size == 4;
	if (sum_is_right(checksum_add(pseudo, packet->body, size)))
		return true;
	return ether->config.accept_partial && field == checksum_fold(pseudo);
}

static enum ether_verdict udp_input(struct ether *ether, const struct ether_packet *packet,
				    size_t ip_size, unsigned verified,
				    struct ether_frame *ret_frame)
{
	const uint8_t *udp = packet->body;
	unsigned queue;
	size_t size;

	if (packet->body_size < UDP_HEADER_SIZE)
		return drop(&ether->stats.cut_short);
	size = load_be16(udp + UDP_LENGTH);
	if (size > packet->body_size)
		return drop(&ether->stats.cut_short);
	if (size < UDP_HEADER_SIZE)
		return drop(&ether->stats.malformed);
	if (load_be16(udp + UDP_FROM) == 0)
		return drop(&ether->stats.malformed); /* nobody who can be answered */
	queue = (unsigned)load_be16(udp + UDP_TO) - ether->config.port_base;
	if (queue >= ether->config.port_count)
		return drop(&ether->stats.not_for_us);
	if (!(verified & ETHER_VERIFIED_UDP) &&
	    !udp_checksum_is_right(ether, packet, ip_size, size))
		return drop(&ether->stats.bad_checksum);
	ret_frame->from.port = load_be16(udp + UDP_FROM);
	if (ip_size == 4)
		ether_mapped(packet->ip + IPV4_FROM, ret_frame->from.ip);
	else
		memcpy(ret_frame->from.ip, packet->ip + IPV6_FROM, 16);
	ret_frame->queue = queue;
	ret_frame->offset = (uint32_t)(udp + UDP_HEADER_SIZE - packet->bytes);
	ret_frame->size = (uint32_t)(size - UDP_HEADER_SIZE);
	return ETHER_UDP;
}

/* A sender that can't be answered: multicast, broadcast, loopback, nobody. */
static bool ipv4_is_host(const uint8_t *ip)
{
	return ip[0] != 0 && ip[0] != 127 && ip[0] < 224;
}

static enum ether_verdict ipv4_input(struct ether *ether, struct ether_packet *packet, size_t size,
				     unsigned verified, struct ether_frame *ret_frame)
{
	const struct ether_subnet *subnet = &ether->config.ipv4;
	const uint8_t *ip = packet->ip;
	size_t length;

	if (size < IPV4_HEADER_SIZE)
		return drop(&ether->stats.cut_short);
	if (ip[IPV4_VERSION] != 0x45)
		return drop(ip[IPV4_VERSION] >> 4 == 4 ? &ether->stats.options
						       : &ether->stats.malformed);
	length = load_be16(ip + IPV4_LENGTH);
	if (length > size)
		return drop(&ether->stats.cut_short);
	if (length < IPV4_HEADER_SIZE || !ipv4_is_host(ip + IPV4_FROM))
		return drop(&ether->stats.malformed);
	if (!subnet->present || memcmp(ip + IPV4_TO, subnet->ip + 12, 4) != 0)
		return drop(&ether->stats.not_for_us);
	if (!(verified & ETHER_VERIFIED_IP) && !sum_is_right(checksum_add(0, ip, IPV4_HEADER_SIZE)))
		return drop(&ether->stats.bad_checksum);
	if (load_be16(ip + IPV4_FRAGMENT) & IPV4_FRAGMENT_MASK)
		return drop(&ether->stats.fragments);
	packet->body = packet->ip + IPV4_HEADER_SIZE;
	packet->body_size = length - IPV4_HEADER_SIZE;
	if (ip[IPV4_PROTOCOL] == PROTOCOL_UDP)
		return udp_input(ether, packet, 4, verified, ret_frame);
	if (ip[IPV4_PROTOCOL] == PROTOCOL_ICMP)
		return ether_icmp_input(ether, packet, ret_frame);
	return drop(&ether->stats.not_for_us);
}

/* Headers between IPv6 and what it carries: hop-by-hop, routing, fragment, AH, destination. */
static bool is_extension(uint8_t next)
{
	return next == 0 || next == 43 || next == 51 || next == 60;
}

/*
 * The same for IPv6. A mapped address is not one of the wire's (RFC 6890): what
 * is answered to it would go to an IPv4 host that has nothing to do with it.
 */
static bool ipv6_is_host(const uint8_t *ip)
{
	static const uint8_t loopback[16] = {[15] = 1};

	return ip[0] != 0xff && memcmp(ip, no_ip, 16) != 0 && memcmp(ip, loopback, 16) != 0 &&
	       !is_mapped(ip);
}

static enum ether_verdict ipv6_input(struct ether *ether, struct ether_packet *packet, size_t size,
				     unsigned verified, struct ether_frame *ret_frame)
{
	const struct ether_subnet *subnet = &ether->config.ipv6;
	const uint8_t *ip = packet->ip;

	if (size < IPV6_HEADER_SIZE)
		return drop(&ether->stats.cut_short);
	/* Nobody asks too, whether an address is free: neighbour discovery knows what to do. */
	if (ip[IPV6_VERSION] >> 4 != 6 ||
	    (!ipv6_is_host(ip + IPV6_FROM) &&
	     (ip[IPV6_NEXT] != PROTOCOL_ICMPV6 || memcmp(ip + IPV6_FROM, no_ip, 16) != 0)))
		return drop(&ether->stats.malformed);
	if (load_be16(ip + IPV6_LENGTH) > size - IPV6_HEADER_SIZE)
		return drop(&ether->stats.cut_short);
	if (!subnet->present)
		return drop(&ether->stats.not_for_us);
	packet->body = packet->ip + IPV6_HEADER_SIZE;
	packet->body_size = load_be16(ip + IPV6_LENGTH);
	if (ip[IPV6_NEXT] == PROTOCOL_ICMPV6)
		return ether_icmpv6_input(ether, packet, ret_frame);
	if (memcmp(ip + IPV6_TO, subnet->ip, 16) != 0)
		return drop(&ether->stats.not_for_us);
	if (ip[IPV6_NEXT] == PROTOCOL_UDP)
		return udp_input(ether, packet, 16, verified, ret_frame);
	if (ip[IPV6_NEXT] == 44)
		return drop(&ether->stats.fragments);
	return drop(is_extension(ip[IPV6_NEXT]) ? &ether->stats.options : &ether->stats.not_for_us);
}

/* To us alone, to all, or to the IPv6 groups that neighbour discovery uses. */
static bool mac_is_ours(const struct ether *ether, const uint8_t *mac)
{
	static const uint8_t broadcast[NEIGHBOUR_MAC_SIZE] = {255, 255, 255, 255, 255, 255};

	return memcmp(mac, ether->config.mac, NEIGHBOUR_MAC_SIZE) == 0 ||
	       (mac[0] == 0x33 && mac[1] == 0x33) ||
	       memcmp(mac, broadcast, NEIGHBOUR_MAC_SIZE) == 0;
}

enum ether_verdict ether_input(struct ether *ether, uint8_t *bytes, size_t size, size_t capacity,
			       unsigned verified, uint64_t now_ns, struct ether_frame *ret_frame)
{
	struct ether_packet packet = {
		.bytes = bytes,
		.capacity = capacity,
		.ip = bytes + MAC_HEADER_SIZE,
		.now_ns = now_ns,
	};

	if (size < MAC_HEADER_SIZE)
		return drop(&ether->stats.cut_short);
	if (!mac_is_ours(ether, bytes + MAC_TO))
		return drop(&ether->stats.not_for_us);
	switch (load_be16(bytes + MAC_TYPE)) {
	case TYPE_IPV4:
		return ipv4_input(ether, &packet, size - MAC_HEADER_SIZE, verified, ret_frame);
	case TYPE_IPV6:
		return ipv6_input(ether, &packet, size - MAC_HEADER_SIZE, verified, ret_frame);
	case TYPE_ARP:
		return ether_arp_input(ether, bytes, size, now_ns, ret_frame);
	case TYPE_VLAN:
	case TYPE_QINQ:
		return drop(&ether->stats.options);
	default:
		return drop(&ether->stats.not_for_us);
	}
}

/* --- sending --- */

static bool is_group(const struct addr *to)
{
	return addr_is_ipv4(to) ? !ipv4_is_host(to->ip + 12) : to->ip[0] == 0xff;
}

/* Whom to hand a frame for 'to'; NULL when there is no way. */
static const uint8_t *next_hop(const struct ether *ether, const struct addr *to)
{
	const struct ether_subnet *subnet =
		addr_is_ipv4(to) ? &ether->config.ipv4 : &ether->config.ipv6;

	if (!subnet->present || is_group(to) || memcmp(to->ip, subnet->ip, 16) == 0)
		return NULL;
	if (ether_on_link(subnet, to->ip))
		return to->ip;
	return memcmp(subnet->gateway, no_ip, 16) != 0 ? subnet->gateway : NULL;
}

int ether_route(struct ether *ether, const struct addr *to, uint64_t now_ns,
		struct ether_route *ret_route)
{
	const uint8_t *hop = next_hop(ether, to);

	if (!hop) {
		ether_count(&ether->stats.unroutable);
		return ETHER_E_UNROUTABLE;
	}
	if (neighbour_find(&ether->neighbours, hop, now_ns, &ret_route->ask, ret_route->mac) != 0) {
		memcpy(ret_route->next_hop, hop, 16);
		ether_count(&ether->stats.unresolved);
		return ETHER_E_UNRESOLVED;
	}
	if (unlikely(ret_route->ask))
		memcpy(ret_route->next_hop, hop, 16);
	return 0;
}

static void put_checksum(uint8_t *to, uint16_t value)
{
	memcpy(to, &value, sizeof(value));
}

static void wrap_udp(uint8_t *udp, size_t ip_size, uint16_t from_port, uint16_t to_port,
		     size_t size, unsigned offload)
{
	uint64_t sum;
	uint16_t folded;

	size += UDP_HEADER_SIZE;
	store_be16(udp + UDP_FROM, from_port);
	store_be16(udp + UDP_TO, to_port);
	store_be16(udp + UDP_LENGTH, (uint16_t)size);
	put_checksum(udp + UDP_CHECKSUM, 0);
	if ((offload & ETHER_OMIT_UDP) && ip_size == 4)
		return;
	sum = ether_pseudo_sum(udp - 2 * ip_size, ip_size, PROTOCOL_UDP, size);
	if (offload & ETHER_OFFLOAD_UDP) {
		put_checksum(udp + UDP_CHECKSUM, checksum_fold(sum));
		return;
	}
	/* The header from registers: its bytes are hardly stored, and a load would wait for them.
	 */
	sum = checksum_add16(checksum_add16(sum, from_port), to_port);
	sum = checksum_add16(sum, (uint16_t)size);
	sum = checksum_add(sum, udp + UDP_HEADER_SIZE, size - UDP_HEADER_SIZE);
	folded = (uint16_t)~checksum_fold(sum);
	put_checksum(udp + UDP_CHECKSUM, folded ? folded : 0xffff); /* 0 would say "none" */
}

/* Of the header that wrap_ipv4() writes, from its values: see wrap_udp(). */
static uint16_t ipv4_checksum(const struct ether *ether, const struct addr *to, size_t size)
{
	uint64_t sum = 0;

	sum = checksum_add16(sum, 0x4500);
	sum = checksum_add16(sum, (uint16_t)size);
	sum = checksum_add16(sum, IPV4_DONT_FRAGMENT);
	sum = checksum_add16(sum, HOP_LIMIT << 8 | PROTOCOL_UDP);
	sum = checksum_add(sum, ether->config.ipv4.ip + 12, 4);
	sum = checksum_add(sum, to->ip + 12, 4);
	return (uint16_t)~checksum_fold(sum);
}

static void wrap_ipv4(const struct ether *ether, uint8_t *ip, const struct addr *to, size_t size,
		      unsigned offload)
{
	memset(ip, 0, IPV4_HEADER_SIZE);
	ip[IPV4_VERSION] = 0x45;
	store_be16(ip + IPV4_LENGTH, (uint16_t)size);
	store_be16(ip + IPV4_FRAGMENT, IPV4_DONT_FRAGMENT);
	ip[IPV4_TTL] = HOP_LIMIT;
	ip[IPV4_PROTOCOL] = PROTOCOL_UDP;
	memcpy(ip + IPV4_FROM, ether->config.ipv4.ip + 12, 4);
	memcpy(ip + IPV4_TO, to->ip + 12, 4);
	if (!(offload & ETHER_OFFLOAD_IP))
		put_checksum(ip + IPV4_CHECKSUM, ipv4_checksum(ether, to, size));
}

static void wrap_ipv6(const struct ether *ether, uint8_t *ip, const struct addr *to, size_t size)
{
	store_be32(ip + IPV6_VERSION, UINT32_C(6) << 28);
	store_be16(ip + IPV6_LENGTH, (uint16_t)size);
	ip[IPV6_NEXT] = PROTOCOL_UDP;
	ip[IPV6_HOP_LIMIT] = HOP_LIMIT;
	memcpy(ip + IPV6_FROM, ether->config.ipv6.ip, 16);
	memcpy(ip + IPV6_TO, to->ip, 16);
}

void ether_wrap(const struct ether *ether, const struct ether_route *route, const struct addr *to,
		uint16_t from_port, uint8_t *bytes, size_t size, unsigned offload)
{
	uint8_t *ip = bytes + MAC_HEADER_SIZE;

	memcpy(bytes + MAC_TO, route->mac, NEIGHBOUR_MAC_SIZE);
	memcpy(bytes + MAC_FROM, ether->config.mac, NEIGHBOUR_MAC_SIZE);
	if (addr_is_ipv4(to)) {
		store_be16(bytes + MAC_TYPE, TYPE_IPV4);
		wrap_ipv4(ether, ip, to, IPV4_HEADER_SIZE + UDP_HEADER_SIZE + size, offload);
		wrap_udp(ip + IPV4_HEADER_SIZE, 4, from_port, to->port, size, offload);
	} else {
		store_be16(bytes + MAC_TYPE, TYPE_IPV6);
		wrap_ipv6(ether, ip, to, UDP_HEADER_SIZE + size);
		wrap_udp(ip + IPV6_HEADER_SIZE, 16, from_port, to->port, size, offload);
	}
}
