/* SPDX-License-Identifier: Apache-2.0 */
#include "net/ether_wire.h"

#include "base/byteorder.h"

#include <string.h>

/*
 * What keeps a host reachable. Replies are made in the buffer of the question,
 * so they cost no memory and are never larger than what came in, but for the 8
 * bytes of an option that an advertisement carries and its question need not.
 */

static const uint8_t no_mac[NEIGHBOUR_MAC_SIZE];
static const uint8_t no_ip[16];

static enum ether_verdict drop(uint64_t *counter)
{
	ether_count(counter);
	return ETHER_DROP;
}

static bool mac_is_host(const uint8_t *mac)
{
	return !(mac[0] & 1) && memcmp(mac, no_mac, sizeof(no_mac)) != 0;
}

static void learn(struct ether *ether, const uint8_t ip[16], const uint8_t *mac, bool create,
		  uint64_t now_ns)
{
	if (mac_is_host(mac) && neighbour_learn(&ether->neighbours, ip, mac, create, now_ns))
		ether_count(&ether->stats.learnt);
}

/* Sends the frame back to the Ethernet address 'to'. */
static void turn_round(const struct ether *ether, uint8_t *bytes, const uint8_t *to)
{
	memmove(bytes + MAC_TO, to, NEIGHBOUR_MAC_SIZE);
	memcpy(bytes + MAC_FROM, ether->config.mac, NEIGHBOUR_MAC_SIZE);
}

/* --- ARP --- */

static bool arp_is_valid(const uint8_t *arp, size_t size)
{
	return size >= ARP_SIZE && load_be16(arp + ARP_HARDWARE) == 1 &&
	       load_be16(arp + ARP_PROTOCOL) == TYPE_IPV4 && load_be16(arp + ARP_SIZES) == 0x0604;
}

static bool arp_asks_us(const struct ether *ether, const uint8_t *arp)
{
	return load_be16(arp + ARP_OPERATION) == ARP_REQUEST &&
	       memcmp(arp + ARP_TO_IP, ether->config.ipv4.ip + 12, 4) == 0;
}

/* Who asks for us will be answered soon, so it is worth a place of its own. */
static void arp_learn(struct ether *ether, const uint8_t *arp, uint64_t now_ns)
{
	uint8_t ip[16];

	ether_mapped(arp + ARP_FROM_IP, ip);
	if (ether_on_link(&ether->config.ipv4, ip) &&
	    memcmp(ip, ether->config.ipv4.ip, sizeof(ip)) != 0 && load_be32(ip + 12) != 0)
		learn(ether, ip, arp + ARP_FROM_MAC, arp_asks_us(ether, arp), now_ns);
}

enum ether_verdict ether_arp_input(struct ether *ether, uint8_t *bytes, size_t size,
				   uint64_t now_ns, struct ether_frame *ret_frame)
{
	uint8_t *arp = bytes + MAC_HEADER_SIZE;

	if (!ether->config.ipv4.present)
		return drop(&ether->stats.not_for_us);
	if (!arp_is_valid(arp, size - MAC_HEADER_SIZE) || !mac_is_host(arp + ARP_FROM_MAC))
		return drop(&ether->stats.malformed);
	arp_learn(ether, arp, now_ns);
	if (!arp_asks_us(ether, arp))
		return ETHER_TAKEN;
	turn_round(ether, bytes, arp + ARP_FROM_MAC);
	store_be16(arp + ARP_OPERATION, ARP_REPLY);
	memcpy(arp + ARP_TO_MAC, arp + ARP_FROM_MAC, NEIGHBOUR_MAC_SIZE + 4);
	memcpy(arp + ARP_FROM_MAC, ether->config.mac, NEIGHBOUR_MAC_SIZE);
	memcpy(arp + ARP_FROM_IP, ether->config.ipv4.ip + 12, 4);
	ether_count(&ether->stats.resolutions);
	ret_frame->size = MAC_HEADER_SIZE + ARP_SIZE;
	return ETHER_REPLY;
}

/* --- ICMP --- */

static bool sum_is_right(uint64_t sum)
{
	return checksum_fold(sum) == 0xffff;
}

static void put_icmp_checksum(uint8_t *icmp, uint64_t sum, size_t size)
{
	uint16_t folded;

	memset(icmp + ICMP_CHECKSUM, 0, 2);
	folded = (uint16_t)~checksum_fold(checksum_add(sum, icmp, size));
	memcpy(icmp + ICMP_CHECKSUM, &folded, sizeof(folded));
}

static void swap_bytes(uint8_t *a, uint8_t *b, size_t size)
{
	uint8_t kept[16];

	memcpy(kept, a, size);
	memcpy(a, b, size);
	memcpy(b, kept, size);
}

/* The rest of an echo's answer: everything goes back where it came from. */
static enum ether_verdict echo(struct ether *ether, const struct ether_packet *packet,
			       struct ether_frame *ret_frame)
{
	turn_round(ether, packet->bytes, packet->bytes + MAC_FROM);
	ether_count(&ether->stats.echoes);
	ret_frame->size = (uint32_t)(packet->body + packet->body_size - packet->bytes);
	return ETHER_REPLY;
}

enum ether_verdict ether_icmp_input(struct ether *ether, const struct ether_packet *packet,
				    struct ether_frame *ret_frame)
{
	uint8_t *icmp = packet->body, *ip = packet->ip;
	uint16_t folded;

	if (packet->body_size < ICMP_HEADER_SIZE)
		return drop(&ether->stats.cut_short);
	if (icmp[ICMP_TYPE] != ICMP_ECHO_REQUEST || icmp[ICMP_CODE] != 0)
		return drop(&ether->stats.not_for_us);
	if (!sum_is_right(checksum_add(0, icmp, packet->body_size)))
		return drop(&ether->stats.bad_checksum);
	icmp[ICMP_TYPE] = ICMP_ECHO_REPLY;
	put_icmp_checksum(icmp, 0, packet->body_size);
	swap_bytes(ip + IPV4_FROM, ip + IPV4_TO, 4);
	ip[IPV4_TTL] = HOP_LIMIT;
	memset(ip + IPV4_CHECKSUM, 0, 2);
	folded = (uint16_t)~checksum_fold(checksum_add(0, ip, IPV4_HEADER_SIZE));
	memcpy(ip + IPV4_CHECKSUM, &folded, sizeof(folded));
	return echo(ether, packet, ret_frame);
}

/* --- ICMPv6 --- */

static uint64_t icmpv6_pseudo_sum(const struct ether_packet *packet, size_t size)
{
	return ether_pseudo_sum(packet->ip + IPV6_FROM, 16, PROTOCOL_ICMPV6, size);
}

static enum ether_verdict icmpv6_echo(struct ether *ether, const struct ether_packet *packet,
				      struct ether_frame *ret_frame)
{
	uint8_t *icmp = packet->body, *ip = packet->ip;

	if (memcmp(ip + IPV6_TO, ether->config.ipv6.ip, 16) != 0)
		return drop(&ether->stats.not_for_us);
	if (memcmp(ip + IPV6_FROM, no_ip, 16) == 0)
		return drop(&ether->stats.malformed);
	icmp[ICMP_TYPE] = ICMPV6_ECHO_REPLY;
	swap_bytes(ip + IPV6_FROM, ip + IPV6_TO, 16);
	ip[IPV6_HOP_LIMIT] = HOP_LIMIT;
	put_icmp_checksum(icmp, icmpv6_pseudo_sum(packet, packet->body_size), packet->body_size);
	return echo(ether, packet, ret_frame);
}

/* --- neighbour discovery --- */

/*
 * The Ethernet address in an option of this type, or NULL. Options are units of
 * 8 bytes; one of length 0 would never end and voids the message.
 */
static const uint8_t *nd_option(const uint8_t *icmp, size_t size, uint8_t type)
{
	for (size_t at = ND_OPTIONS; at + ND_OPTION_SIZE <= size; at += 8u * icmp[at + 1]) {
		if (icmp[at + 1] == 0)
			return NULL;
		if (icmp[at] == type && icmp[at + 1] == 1)
			return icmp + at + 2;
	}
	return NULL;
}

/* Unicast to us, or the group that our address belongs to: ff02::1:ffXX:XXXX. */
static bool nd_came_to_us(const struct ether *ether, const uint8_t *to)
{
	static const uint8_t solicited[13] = {0xff, 2, [11] = 1, [12] = 0xff};
	const uint8_t *ours = ether->config.ipv6.ip;

	return memcmp(to, ours, 16) == 0 || (memcmp(to, solicited, sizeof(solicited)) == 0 &&
					     memcmp(to + 13, ours + 13, 3) == 0);
}

/* Solicitations from :: ask whether an address is free; there is nobody to learn. */
static void nd_learn_sender(struct ether *ether, const struct ether_packet *packet)
{
	const uint8_t *from = packet->ip + IPV6_FROM;
	const uint8_t *mac = nd_option(packet->body, packet->body_size, ND_OPTION_FROM_MAC);

	if (mac && memcmp(from, no_ip, 16) != 0 && ether_on_link(&ether->config.ipv6, from))
		learn(ether, from, mac, true, packet->now_ns);
}

static bool nd_asks_us(const struct ether *ether, const struct ether_packet *packet)
{
	return nd_came_to_us(ether, packet->ip + IPV6_TO) &&
	       memcmp(packet->body + ND_TARGET, ether->config.ipv6.ip, 16) == 0;
}

static enum ether_verdict nd_solicitation(struct ether *ether, const struct ether_packet *packet,
					  struct ether_frame *ret_frame)
{
	static const uint8_t all_nodes[16] = {0xff, 2, [15] = 1};
	static const uint8_t all_nodes_mac[NEIGHBOUR_MAC_SIZE] = {0x33, 0x33, 0, 0, 0, 1};
	const size_t size = ND_OPTIONS + ND_OPTION_SIZE;
	uint8_t *icmp = packet->body, *ip = packet->ip;
	bool anonymous = memcmp(ip + IPV6_FROM, no_ip, 16) == 0;

	if (!nd_asks_us(ether, packet))
		return drop(&ether->stats.not_for_us);
	if (packet->capacity < (size_t)(icmp - packet->bytes) + size)
		return drop(&ether->stats.malformed);
	nd_learn_sender(ether, packet);
	turn_round(ether, packet->bytes, anonymous ? all_nodes_mac : packet->bytes + MAC_FROM);
	memmove(ip + IPV6_TO, anonymous ? all_nodes : ip + IPV6_FROM, 16);
	memcpy(ip + IPV6_FROM, ether->config.ipv6.ip, 16);
	ip[IPV6_HOP_LIMIT] = HOP_LIMIT_LINK;
	store_be16(ip + IPV6_LENGTH, (uint16_t)size);
	icmp[ICMP_TYPE] = ND_ADVERTISEMENT;
	store_be32(icmp + ND_FLAGS, 0);
	icmp[ND_FLAGS] = ND_FLAG_OVERRIDE | (anonymous ? 0 : ND_FLAG_SOLICITED);
	icmp[ND_OPTIONS] = ND_OPTION_TARGET_MAC;
	icmp[ND_OPTIONS + 1] = 1;
	memcpy(icmp + ND_OPTIONS + 2, ether->config.mac, NEIGHBOUR_MAC_SIZE);
	put_icmp_checksum(icmp, icmpv6_pseudo_sum(packet, size), size);
	ether_count(&ether->stats.resolutions);
	ret_frame->size = (uint32_t)((size_t)(icmp - packet->bytes) + size);
	return ETHER_REPLY;
}

static void nd_learn_target(struct ether *ether, const struct ether_packet *packet)
{
	const uint8_t *mac = nd_option(packet->body, packet->body_size, ND_OPTION_TARGET_MAC);

	if (mac)
		learn(ether, packet->body + ND_TARGET, mac, false, packet->now_ns);
}

/* What RFC 4861 asks of either message before anything in it counts (7.1.1, 7.1.2). */
static bool nd_is_valid(const struct ether_packet *packet)
{
	return packet->ip[IPV6_HOP_LIMIT] == HOP_LIMIT_LINK && packet->body[ICMP_CODE] == 0 &&
	       packet->body_size >= ND_OPTIONS && packet->body[ND_TARGET] != 0xff;
}

enum ether_verdict ether_icmpv6_input(struct ether *ether, const struct ether_packet *packet,
				      struct ether_frame *ret_frame)
{
	uint8_t *icmp = packet->body;
	uint64_t sum;

	if (packet->body_size < ICMP_HEADER_SIZE)
		return drop(&ether->stats.cut_short);
	sum = icmpv6_pseudo_sum(packet, packet->body_size);
	if (!sum_is_right(checksum_add(sum, icmp, packet->body_size)))
		return drop(&ether->stats.bad_checksum);
	if (icmp[ICMP_TYPE] == ICMPV6_ECHO_REQUEST && icmp[ICMP_CODE] == 0)
		return icmpv6_echo(ether, packet, ret_frame);
	if (icmp[ICMP_TYPE] != ND_SOLICITATION && icmp[ICMP_TYPE] != ND_ADVERTISEMENT)
		return drop(&ether->stats.not_for_us);
	if (!nd_is_valid(packet))
		return drop(&ether->stats.malformed);
	if (icmp[ICMP_TYPE] == ND_SOLICITATION)
		return nd_solicitation(ether, packet, ret_frame);
	nd_learn_target(ether, packet);
	return ETHER_TAKEN;
}

/* --- several queues --- */

bool ether_teaches(const uint8_t *bytes, size_t size)
{
	const uint8_t *ip = bytes + MAC_HEADER_SIZE;
	uint16_t type;

	if (size < MAC_HEADER_SIZE)
		return false;
	type = load_be16(bytes + MAC_TYPE);
	if (type == TYPE_ARP)
		return arp_is_valid(ip, size - MAC_HEADER_SIZE);
	if (type != TYPE_IPV6 || size < MAC_HEADER_SIZE + IPV6_HEADER_SIZE + ND_OPTIONS ||
	    ip[IPV6_NEXT] != PROTOCOL_ICMPV6)
		return false;
	return ip[IPV6_HEADER_SIZE] == ND_SOLICITATION || ip[IPV6_HEADER_SIZE] == ND_ADVERTISEMENT;
}

static void nd_learn(struct ether *ether, const uint8_t *bytes, size_t size, uint64_t now_ns)
{
	struct ether_packet packet = {
		.bytes = (uint8_t *)bytes, /* only read here */
		.ip = (uint8_t *)bytes + MAC_HEADER_SIZE,
		.body = (uint8_t *)bytes + MAC_HEADER_SIZE + IPV6_HEADER_SIZE,
		.body_size = load_be16(bytes + MAC_HEADER_SIZE + IPV6_LENGTH),
		.now_ns = now_ns,
	};

	if (packet.body_size > size - MAC_HEADER_SIZE - IPV6_HEADER_SIZE ||
	    packet.body_size < ND_OPTIONS || !nd_is_valid(&packet) ||
	    !sum_is_right(checksum_add(icmpv6_pseudo_sum(&packet, packet.body_size), packet.body,
				       packet.body_size)))
		return;
	if (packet.body[ICMP_TYPE] == ND_ADVERTISEMENT)
		nd_learn_target(ether, &packet);
	else if (nd_asks_us(ether, &packet))
		nd_learn_sender(ether, &packet);
}

void ether_learn(struct ether *ether, const uint8_t *bytes, size_t size, uint64_t now_ns)
{
	if (!ether_teaches(bytes, size))
		return;
	if (load_be16(bytes + MAC_TYPE) == TYPE_ARP) {
		if (ether->config.ipv4.present)
			arp_learn(ether, bytes + MAC_HEADER_SIZE, now_ns);
	} else if (ether->config.ipv6.present) {
		nd_learn(ether, bytes, size, now_ns);
	}
}

/* --- asking --- */

static size_t ask_ipv4(const struct ether *ether, const uint8_t ip[16], uint8_t *to)
{
	uint8_t *arp = to + MAC_HEADER_SIZE;

	memset(to + MAC_TO, 0xff, NEIGHBOUR_MAC_SIZE);
	store_be16(to + MAC_TYPE, TYPE_ARP);
	store_be16(arp + ARP_HARDWARE, 1);
	store_be16(arp + ARP_PROTOCOL, TYPE_IPV4);
	store_be16(arp + ARP_SIZES, 0x0604);
	store_be16(arp + ARP_OPERATION, ARP_REQUEST);
	memcpy(arp + ARP_FROM_MAC, ether->config.mac, NEIGHBOUR_MAC_SIZE);
	memcpy(arp + ARP_FROM_IP, ether->config.ipv4.ip + 12, 4);
	memcpy(arp + ARP_TO_IP, ip + 12, 4);
	return MAC_HEADER_SIZE + ARP_SIZE;
}

static size_t ask_ipv6(const struct ether *ether, const uint8_t target[16], uint8_t *to)
{
	static const uint8_t group[16] = {0xff, 2, [11] = 1, [12] = 0xff};
	const size_t size = ND_OPTIONS + ND_OPTION_SIZE;
	uint8_t *ip = to + MAC_HEADER_SIZE, *icmp = ip + IPV6_HEADER_SIZE;
	struct ether_packet packet = {.ip = ip};

	store_be16(to + MAC_TO, 0x3333);
	to[MAC_TO + 2] = 0xff;
	memcpy(to + MAC_TO + 3, target + 13, 3);
	store_be16(to + MAC_TYPE, TYPE_IPV6);
	store_be32(ip + IPV6_VERSION, UINT32_C(6) << 28);
	store_be16(ip + IPV6_LENGTH, (uint16_t)size);
	ip[IPV6_NEXT] = PROTOCOL_ICMPV6;
	ip[IPV6_HOP_LIMIT] = HOP_LIMIT_LINK;
	memcpy(ip + IPV6_FROM, ether->config.ipv6.ip, 16);
	memcpy(ip + IPV6_TO, group, 13);
	memcpy(ip + IPV6_TO + 13, target + 13, 3);
	icmp[ICMP_TYPE] = ND_SOLICITATION;
	memcpy(icmp + ND_TARGET, target, 16);
	icmp[ND_OPTIONS] = ND_OPTION_FROM_MAC;
	icmp[ND_OPTIONS + 1] = 1;
	memcpy(icmp + ND_OPTIONS + 2, ether->config.mac, NEIGHBOUR_MAC_SIZE);
	put_icmp_checksum(icmp, icmpv6_pseudo_sum(&packet, size), size);
	return MAC_HEADER_SIZE + IPV6_HEADER_SIZE + size;
}

size_t ether_ask(struct ether *ether, const struct ether_route *route,
		 uint8_t to[ETHER_QUESTION_SIZE_MAX])
{
	struct addr hop = {0};

	memcpy(hop.ip, route->next_hop, sizeof(hop.ip));
	memset(to, 0, ETHER_QUESTION_SIZE_MAX);
	memcpy(to + MAC_FROM, ether->config.mac, NEIGHBOUR_MAC_SIZE);
	ether_count(&ether->stats.asked);
	return addr_is_ipv4(&hop) ? ask_ipv4(ether, hop.ip, to) : ask_ipv6(ether, hop.ip, to);
}
