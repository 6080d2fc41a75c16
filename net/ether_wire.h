/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Ether wire - where the fields of foreign headers stand
 *
 * Offsets from the begin of the header named first. RFC 826 (ARP), 791 (IPv4),
 * 8200 (IPv6), 768 (UDP), 792 (ICMP), 4443 (ICMPv6), 4861 (neighbour
 * discovery). Also what ether.c and ether_control.c share.
 *
 * Threads: any.
 */

#include "net/checksum.h"
#include "net/ether.h"

enum {
	MAC_TO = 0,
	MAC_FROM = 6,
	MAC_TYPE = 12,
	MAC_HEADER_SIZE = 14,

	TYPE_IPV4 = 0x0800,
	TYPE_ARP = 0x0806,
	TYPE_VLAN = 0x8100,
	TYPE_QINQ = 0x88a8,
	TYPE_IPV6 = 0x86dd,

	ARP_HARDWARE = 0, /* 1: Ethernet */
	ARP_PROTOCOL = 2,
	ARP_SIZES = 4, /* 6 and 4, one byte each */
	ARP_OPERATION = 6,
	ARP_FROM_MAC = 8,
	ARP_FROM_IP = 14,
	ARP_TO_MAC = 18,
	ARP_TO_IP = 24,
	ARP_SIZE = 28,
	ARP_REQUEST = 1,
	ARP_REPLY = 2,

	IPV4_VERSION = 0, /* and header length in words */
	IPV4_LENGTH = 2,
	IPV4_FRAGMENT = 6,
	IPV4_TTL = 8,
	IPV4_PROTOCOL = 9,
	IPV4_CHECKSUM = 10,
	IPV4_FROM = 12,
	IPV4_TO = 16,
	IPV4_HEADER_SIZE = 20,
	IPV4_DONT_FRAGMENT = 0x4000,
	IPV4_FRAGMENT_MASK = 0x3fff, /* more fragments, and the offset */

	IPV6_VERSION = 0,
	IPV6_LENGTH = 4,
	IPV6_NEXT = 6,
	IPV6_HOP_LIMIT = 7,
	IPV6_FROM = 8,
	IPV6_TO = 24,
	IPV6_HEADER_SIZE = 40,

	PROTOCOL_ICMP = 1,
	PROTOCOL_UDP = 17,
	PROTOCOL_ICMPV6 = 58,
	HOP_LIMIT = 64,
	HOP_LIMIT_LINK = 255, /* proves that no router has forwarded it */

	UDP_FROM = 0,
	UDP_TO = 2,
	UDP_LENGTH = 4,
	UDP_CHECKSUM = 6,
	UDP_HEADER_SIZE = 8,

	ICMP_TYPE = 0,
	ICMP_CODE = 1,
	ICMP_CHECKSUM = 2,
	ICMP_HEADER_SIZE = 8,
	ICMP_ECHO_REPLY = 0,
	ICMP_ECHO_REQUEST = 8,

	ICMPV6_ECHO_REQUEST = 128,
	ICMPV6_ECHO_REPLY = 129,
	ND_SOLICITATION = 135,
	ND_ADVERTISEMENT = 136,
	ND_FLAGS = 4,
	ND_TARGET = 8,
	ND_OPTIONS = 24,
	ND_OPTION_SIZE = 8, /* of both that follow, with an Ethernet address */
	ND_OPTION_FROM_MAC = 1,
	ND_OPTION_TARGET_MAC = 2,
	ND_FLAG_SOLICITED = 0x40,
	ND_FLAG_OVERRIDE = 0x20,
};

/* A packet whose IP header was checked: where its parts lie, all within the buffer. */
struct ether_packet {
	uint8_t *bytes;  /* the Ethernet header */
	size_t capacity; /* of the buffer */
	uint8_t *ip;
	uint8_t *body;    /* behind the IP header */
	size_t body_size; /* as the IP header says */
	uint64_t now_ns;
};

static inline void ether_count(uint64_t *counter)
{
	(*counter)++;
}

/* The IPv4 address at 'from' in the form of struct addr. */
void ether_mapped(const uint8_t *from, uint8_t ret_ip[16]);

/* The pseudo header's sum: addresses of 'ip_size' bytes each, one behind the other, and so on. */
uint64_t ether_pseudo_sum(const uint8_t *addresses, size_t ip_size, uint8_t protocol, size_t size);

/* Is an address of the mapped form one that is reached without a gateway? */
bool ether_on_link(const struct ether_subnet *subnet, const uint8_t ip[16]);

/* What control protocols do with a packet that came for us. */
enum ether_verdict ether_arp_input(struct ether *ether, uint8_t *bytes, size_t size,
				   uint64_t now_ns, struct ether_frame *ret_frame);
enum ether_verdict ether_icmp_input(struct ether *ether, const struct ether_packet *packet,
				    struct ether_frame *ret_frame);
enum ether_verdict ether_icmpv6_input(struct ether *ether, const struct ether_packet *packet,
				      struct ether_frame *ret_frame);
