/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Ether - UDP over IP over Ethernet, as much as a port needs
 *
 * Bytes in, bytes out; no device and no clock. It takes UDP datagrams for its
 * addresses and ports, and answers what keeps a host reachable: ARP, neighbour
 * discovery, ICMP and ICMPv6 echo. It asks the network for the Ethernet address
 * of whom it sends to; while the answer is under way frames are dropped, since
 * sessions repeat them.
 *
 *      received bytes --ether_input()--> a UDP payload for queue n
 *                                    --> a reply, made in the same buffer
 *                                    --> dropped, counted
 *      payload --ether_route()--> known:   ether_wrap() writes the headers
 *                             --> unknown: ether_ask() writes a question
 *
 * Not taken, and counted: VLAN tags, IP fragments, IPv4 options, IPv6
 * extension headers, and datagrams with a wrong checksum. IPv4's "no checksum"
 * is taken, IPv6 has no such thing.
 *
 * Neighbours are learnt from ARP and neighbour discovery alone, never from the
 * sender of a datagram: that could come from outside the link.
 *
 * Threads: an ether belongs to one core. With several queues each has its own;
 * what teaches (ether_teaches()) is shown to all of them, and all but the one
 * that received it use ether_learn().
 */

#include "base/addr.h"
#include "net/neighbour.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Ethernet, IP and UDP headers in front of a payload. */
#define ETHER_OVERHEAD_IPV4 (14 + 20 + 8)
#define ETHER_OVERHEAD_IPV6 (14 + 40 + 8)
#define ETHER_OVERHEAD_MAX  ETHER_OVERHEAD_IPV6

/* Room that a question needs: a neighbour solicitation with its option. */
#define ETHER_QUESTION_SIZE_MAX 86

/* Room behind a received frame that ether_input() may use for a reply. */
#define ETHER_REPLY_ROOM_MAX 8

/* Of one family. Addresses in the form of struct addr: IPv4 as ::ffff:a.b.c.d. */
struct ether_subnet {
	bool present;
	uint8_t prefix; /* bits in common with whom is on the link: to 32 with IPv4, else to 128 */
	uint8_t ip[16];
	uint8_t gateway[16]; /* all zero: none */
};

/*
 * Reads "192.0.2.1/24" or "2001:db8::1/64", and a gateway or NULL.
 *
 * Returns 0, or -EINVAL: it is no address with a prefix, or the gateway is of
 * another family or not on the link.
 */
int ether_subnet_parse(const char *address, const char *gateway, struct ether_subnet *ret_subnet);

/* Is it an IPv4 subnet? */
bool ether_subnet_is_ipv4(const struct ether_subnet *subnet);

struct ether_config {
	uint8_t mac[NEIGHBOUR_MAC_SIZE];
	struct ether_subnet ipv4, ipv6; /* at least one is present */
	uint16_t port_base;             /* UDP port of queue 0 */
	uint16_t port_count;
	/*
	 * Host-local devices hand over datagrams of this host's kernel whose checksum
	 * was left to a card that doesn't exist; the field holds the sum of the pseudo
	 * header alone. True: that is taken.
	 */
	bool accept_partial;
	uint64_t seed; /* of the neighbour cache's hash */
};

#define ETHER_STAT_LIST(ETHER_STAT)                                                                \
	ETHER_STAT(cut_short)  /* a length field says more than there is, or a runt */             \
	ETHER_STAT(not_for_us) /* another Ethernet or IP address, UDP port, or protocol */         \
	ETHER_STAT(bad_checksum)                                                                   \
	ETHER_STAT(fragments)                                                                      \
	ETHER_STAT(options)     /* IPv4 options, IPv6 extension headers, VLAN tags */              \
	ETHER_STAT(malformed)   /* fields that contradict each other */                            \
	ETHER_STAT(echoes)      /* ICMP echo requests answered */                                  \
	ETHER_STAT(resolutions) /* ARP requests and neighbour solicitations answered */            \
	ETHER_STAT(asked)       /* ARP requests and neighbour solicitations sent */                \
	ETHER_STAT(learnt)      /* answers to them, or news of known neighbours */                 \
	ETHER_STAT(unresolved)  /* frames not sent because the neighbour is not known yet */       \
	ETHER_STAT(unroutable)  /* no subnet of that family, no gateway, or our own address */

struct ether_stats {
#define ETHER_STAT_FIELD(name) uint64_t name;
	ETHER_STAT_LIST(ETHER_STAT_FIELD)
#undef ETHER_STAT_FIELD
};

struct ether {
	struct ether_config config;
	struct ether_stats stats;
	struct neighbours neighbours;
};

/* Returns 0, or -EINVAL: no subnet, a prefix out of range, or ports past 65535. */
int ether_init(struct ether *ether, const struct ether_config *config);

/* What the device has verified of a received frame. */
#define ETHER_VERIFIED_IP  1u
#define ETHER_VERIFIED_UDP 2u

enum ether_verdict {
	ETHER_DROP,  /* counted */
	ETHER_TAKEN, /* counted, nothing more to do */
	ETHER_REPLY, /* send the first ret_frame->size bytes of the buffer back */
	ETHER_UDP,
};

struct ether_frame {
	struct addr from;
	uint32_t queue;  /* whose UDP port it came to */
	uint32_t offset; /* of the payload */
	uint32_t size;   /* of the payload; of the reply with ETHER_REPLY */
};

/*
 * One received frame of 'size' bytes in a buffer of 'capacity'. The buffer is
 * changed only for ETHER_REPLY, '*ret_frame' written only for that and
 * ETHER_UDP.
 */
enum ether_verdict ether_input(struct ether *ether, uint8_t *bytes, size_t size, size_t capacity,
			       unsigned verified, uint64_t now_ns, struct ether_frame *ret_frame);

/* Does every queue want to see it: is it ARP or neighbour discovery? */
bool ether_teaches(const uint8_t *bytes, size_t size);

/* Learns from a frame that another queue has received and answered. */
void ether_learn(struct ether *ether, const uint8_t *bytes, size_t size, uint64_t now_ns);

struct ether_route {
	bool ask;             /* send what ether_ask() writes, whatever the result */
	uint8_t next_hop[16]; /* written when 'ask' */
	uint8_t mac[NEIGHBOUR_MAC_SIZE];
};

enum {
	ETHER_E_UNRESOLVED = 1, /* counted; the neighbour was asked for */
	ETHER_E_UNROUTABLE,     /* counted */
};

/* The way to a peer. Writes '*ret_route' also with ETHER_E_UNRESOLVED. */
int ether_route(struct ether *ether, const struct addr *to, uint64_t now_ns,
		struct ether_route *ret_route);

/* Writes the question for a route's next hop. Returns its size. */
size_t ether_ask(struct ether *ether, const struct ether_route *route,
		 uint8_t to[ETHER_QUESTION_SIZE_MAX]);

/* Bytes in front of a payload to this peer. */
static inline size_t ether_overhead(const struct addr *to)
{
	return addr_is_ipv4(to) ? ETHER_OVERHEAD_IPV4 : ETHER_OVERHEAD_IPV6;
}

/* What the device computes for a frame that is sent. */
#define ETHER_OFFLOAD_IP  1u
#define ETHER_OFFLOAD_UDP 2u

/* Over IPv4 say "no checksum" (RFC 768): for links that are memory of this host. */
#define ETHER_OMIT_UDP 4u

/*
 * Writes the headers of a datagram from UDP port 'from_port'. 'bytes' has
 * ether_overhead() bytes for them and the payload of 'size' bytes behind. A
 * checksum that the device computes is left as devices want it: 0 for IPv4's,
 * the pseudo header's sum for UDP's.
 */
void ether_wrap(const struct ether *ether, const struct ether_route *route, const struct addr *to,
		uint16_t from_port, uint8_t *bytes, size_t size, unsigned offload);
