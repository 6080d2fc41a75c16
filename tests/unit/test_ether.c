/* SPDX-License-Identifier: Apache-2.0 */
#include "base/byteorder.h"
#include "net/checksum.h"
#include "net/ether.h"
#include "tests/lib/test.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

/*
 * Two hosts, 'us' and 'peer', joined by the bytes that one writes and the other
 * reads; frames made elsewhere stand as hex.
 */

#define BUFFER_SIZE 2048

static struct ether us, peer;
static uint8_t buffer[BUFFER_SIZE];
static struct ether_frame frame;
static struct addr our_ipv4, our_ipv6, peer_ipv4, peer_ipv6;

static void set_up(struct ether *ether, uint8_t number, const char *gateway)
{
	struct ether_config config = {
		.mac = {2, 0, 0, 0, 0, number},
		.port_base = 7400,
		.port_count = 4,
		.seed = 1,
	};
	char text[64];

	snprintf(text, sizeof(text), "10.0.0.%u/24", number);
	assert_int_equal(ether_subnet_parse(text, gateway, &config.ipv4), 0);
	snprintf(text, sizeof(text), "fd00::%u/64", number);
	assert_int_equal(ether_subnet_parse(text, NULL, &config.ipv6), 0);
	assert_int_equal(ether_init(ether, &config), 0);
}

static int begin(void **state)
{
	set_up(&us, 1, "10.0.0.254");
	set_up(&peer, 2, NULL);
	assert_int_equal(addr_parse("10.0.0.1:7400", 0, &our_ipv4), 0);
	assert_int_equal(addr_parse("[fd00::1]:7400", 0, &our_ipv6), 0);
	assert_int_equal(addr_parse("10.0.0.2:7401", 0, &peer_ipv4), 0);
	assert_int_equal(addr_parse("[fd00::2]:7401", 0, &peer_ipv6), 0);
	memset(&frame, 0, sizeof(frame));
	return 0;
}

static enum ether_verdict input(struct ether *ether, size_t size)
{
	return ether_input(ether, buffer, size, sizeof(buffer), 0, 0, &frame);
}

/* 'from' asks for 'to', which answers; the answer is learnt. */
static void resolve(struct ether *from, const struct addr *to_addr, struct ether *to)
{
	struct ether_route route;
	size_t size;

	assert_int_equal(ether_route(from, to_addr, 0, &route), ETHER_E_UNRESOLVED);
	assert_true(route.ask);
	size = ether_ask(from, &route, buffer);
	assert_int_equal(input(to, size), ETHER_REPLY);
	assert_int_equal(input(from, frame.size), ETHER_TAKEN);
	assert_int_equal(ether_route(from, to_addr, 0, &route), 0);
	assert_memory_equal(route.mac, to->config.mac, sizeof(route.mac));
	assert_false(route.ask);
}

/* A datagram of 'size' bytes from the peer to us lies in the buffer; returns the frame's size. */
static size_t make_datagram(const struct addr *to, size_t size)
{
	size_t overhead = ether_overhead(to);
	struct ether_route route = {0};

	memcpy(route.mac, us.config.mac, sizeof(route.mac));
	for (size_t i = 0; i < size; i++)
		buffer[overhead + i] = (uint8_t)i;
	ether_wrap(&peer, &route, to, 7401, buffer, size, 0);
	return overhead + size;
}

/* --- the way of a datagram --- */

static void datagrams_arrive_over_both_families(void **state)
{
	const struct addr *to[] = {&our_ipv4, &our_ipv6}, *from[] = {&peer_ipv4, &peer_ipv6};

	for (unsigned family = 0; family < 2; family++)
		for (size_t payload = 0; payload < 1400; payload += 7) {
			size_t size = make_datagram(to[family], payload);

			assert_int_equal(input(&us, size), ETHER_UDP);
			assert_int_equal(frame.size, payload);
			assert_int_equal(frame.offset, ether_overhead(to[family]));
			assert_int_equal(frame.queue, 0);
			assert_true(addr_equal(&frame.from, from[family]));
			for (size_t i = 0; i < payload; i++)
				assert_int_equal(buffer[frame.offset + i], (uint8_t)i);
		}
}

static void the_udp_port_says_the_queue(void **state)
{
	for (uint16_t port = 7398; port < 7407; port++) {
		bool ours = port >= 7400 && port < 7404;

		our_ipv4.port = port;
		assert_int_equal(input(&us, make_datagram(&our_ipv4, 5)),
				 ours ? ETHER_UDP : ETHER_DROP);
		if (ours)
			assert_int_equal(frame.queue, port - 7400);
	}
	assert_int_equal(us.stats.not_for_us, 5);
}

/* Behind a frame on the wire lies padding up to 60 bytes. */
static void padding_is_passed_over(void **state)
{
	size_t size = make_datagram(&our_ipv4, 3);

	memset(buffer + size, 0xee, 60 - size);
	assert_int_equal(input(&us, 60), ETHER_UDP);
	assert_int_equal(frame.size, 3);
}

/* As Linux sends "hi" from port 1234, in both families. */
static void a_frame_of_the_kernel_is_read(void **state)
{
	static const char *const frames[] = {
		"020000000001 020000000002 0800 4500 001e11a240004011152b 0a000002 0a000001"
		"04d21ce8000a61b4 6869",
		"020000000001 020000000002 86dd 600ee5f3000a1140"
		"fd000000000000000000000000000002 fd000000000000000000000000000001"
		"04d21ce8000a7bb2 6869",
	};

	for (unsigned family = 0; family < 2; family++) {
		size_t size = test_unhex(frames[family], buffer, sizeof(buffer));

		assert_int_equal(input(&us, size), ETHER_UDP);
		assert_int_equal(frame.from.port, 1234);
		assert_int_equal(frame.size, 2);
		assert_memory_equal(buffer + frame.offset, "hi", 2);
	}
}

/* Any one bit: Ethernet's own address and type aside, IP's and UDP's sums see it. */
static void every_single_bit_error_is_seen(void **state)
{
	const struct addr *to[] = {&our_ipv4, &our_ipv6};

	for (unsigned family = 0; family < 2; family++) {
		size_t size = make_datagram(to[family], 33);

		for (size_t bit = 14 * 8; bit < size * 8; bit++) {
			size_t at = bit / 8 - 14;
			enum ether_verdict verdict;

			/* IPv6 has no sum over class, flow and hop limit. */
			if (family == 1 && (at < 4 || at == 7))
				continue;
			buffer[bit / 8] ^= (uint8_t)(1 << bit % 8);
			verdict = input(&us, size);
			assert_true(verdict == ETHER_DROP);
			buffer[bit / 8] ^= (uint8_t)(1 << bit % 8);
		}
		assert_int_equal(input(&us, size), ETHER_UDP);
	}
}

static void no_checksum_is_taken_with_ipv4_only(void **state)
{
	size_t size = make_datagram(&our_ipv4, 10);

	store_be16(buffer + 14 + 20 + 6, 0);
	assert_int_equal(input(&us, size), ETHER_UDP);
	size = make_datagram(&our_ipv6, 10);
	store_be16(buffer + 14 + 40 + 6, 0);
	assert_int_equal(input(&us, size), ETHER_DROP);
	assert_int_equal(us.stats.bad_checksum, 1);
}

/* What veth hands over of a kernel that counts on a card: the pseudo header's sum. */
static void partial_checksums_are_taken_where_configured(void **state)
{
	const struct addr *to[] = {&our_ipv4, &our_ipv6};

	for (unsigned family = 0; family < 2; family++) {
		struct ether_route route = {0};
		size_t size = make_datagram(to[family], 50);

		memcpy(route.mac, us.config.mac, sizeof(route.mac));
		ether_wrap(&peer, &route, to[family], 7401, buffer, 50, ETHER_OFFLOAD_UDP);
		us.config.accept_partial = false;
		assert_int_equal(input(&us, size), ETHER_DROP);
		us.config.accept_partial = true;
		assert_int_equal(input(&us, size), ETHER_UDP);
		buffer[size - 1] ^= 1; /* not covered by it */
		assert_int_equal(input(&us, size), ETHER_UDP);
		buffer[size - 52]++; /* the field itself */
		assert_int_equal(input(&us, size), ETHER_DROP);
	}
}

static void what_the_device_verified_is_not_verified_again(void **state)
{
	size_t size = make_datagram(&our_ipv4, 10);

	buffer[14 + 10] ^= 1;
	buffer[size - 1] ^= 1;
	assert_int_equal(input(&us, size), ETHER_DROP);
	assert_int_equal(ether_input(&us, buffer, size, sizeof(buffer),
				     ETHER_VERIFIED_IP | ETHER_VERIFIED_UDP, 0, &frame),
			 ETHER_UDP);
}

static void a_checksum_for_the_device_is_left_to_it(void **state)
{
	struct ether_route route = {0};

	ether_wrap(&peer, &route, &our_ipv4, 7401, buffer, 10,
		   ETHER_OFFLOAD_IP | ETHER_OFFLOAD_UDP);
	assert_int_equal(load_be16(buffer + 14 + 10), 0);
	/* 10.0.0.2 + 10.0.0.1 + 17 + 18, not complemented */
	assert_int_equal(load_be16(buffer + 14 + 20 + 6), 0x0a00 + 2 + 0x0a00 + 1 + 17 + 18);
}

static void a_checksum_may_be_omitted_with_ipv4_only(void **state)
{
	struct ether_route route = {0};

	memcpy(route.mac, us.config.mac, sizeof(route.mac));
	ether_wrap(&peer, &route, &our_ipv4, 7401, buffer, 10, ETHER_OMIT_UDP);
	assert_int_equal(load_be16(buffer + 14 + 20 + 6), 0);
	assert_int_equal(input(&us, ETHER_OVERHEAD_IPV4 + 10), ETHER_UDP);
	ether_wrap(&peer, &route, &our_ipv6, 7401, buffer, 10, ETHER_OMIT_UDP);
	assert_int_not_equal(load_be16(buffer + 14 + 40 + 6), 0);
	assert_int_equal(input(&us, ETHER_OVERHEAD_IPV6 + 10), ETHER_UDP);
}

/* --- what is refused --- */

static void frames_for_others_are_dropped(void **state)
{
	size_t size = make_datagram(&our_ipv4, 10);

	buffer[5] ^= 1;
	assert_int_equal(input(&us, size), ETHER_DROP);
	assert_int_equal(us.stats.not_for_us, 1);
	peer_ipv4.port = 7400;
	assert_int_equal(input(&us, make_datagram(&peer_ipv4, 10)), ETHER_DROP);
	assert_int_equal(us.stats.not_for_us, 2);
}

static void every_cut_of_a_frame_is_refused(void **state)
{
	const struct addr *to[] = {&our_ipv4, &our_ipv6};
	uint64_t cuts = 0;

	for (unsigned family = 0; family < 2; family++) {
		size_t size = make_datagram(to[family], 100);

		for (size_t cut = 0; cut < size; cut++, cuts++)
			assert_int_equal(input(&us, cut), ETHER_DROP);
	}
	assert_int_equal(us.stats.cut_short, cuts);
}

static void tags_options_and_fragments_are_counted(void **state)
{
	size_t size = make_datagram(&our_ipv4, 20);

	store_be16(buffer + 12, 0x8100);
	assert_int_equal(input(&us, size), ETHER_DROP);
	assert_int_equal(us.stats.options, 1);
	size = make_datagram(&our_ipv4, 20);
	buffer[14] = 0x46;
	assert_int_equal(input(&us, size), ETHER_DROP);
	assert_int_equal(us.stats.options, 2);
	for (unsigned field = 1; field <= 0x2000; field *= 0x2000) {
		uint16_t sum;

		size = make_datagram(&our_ipv4, 20);
		store_be16(buffer + 14 + 6, (uint16_t)field);
		memset(buffer + 14 + 10, 0, 2);
		sum = (uint16_t)~checksum_fold(checksum_add(0, buffer + 14, 20));
		memcpy(buffer + 14 + 10, &sum, 2);
		assert_int_equal(input(&us, size), ETHER_DROP);
	}
	assert_int_equal(us.stats.fragments, 2);
	size = make_datagram(&our_ipv6, 20);
	buffer[14 + 6] = 44;
	assert_int_equal(input(&us, size), ETHER_DROP);
	assert_int_equal(us.stats.fragments, 3);
	buffer[14 + 6] = 60;
	assert_int_equal(input(&us, size), ETHER_DROP);
	assert_int_equal(us.stats.options, 3);
}

/* --- neighbours --- */

static void neighbours_find_each_other_by_arp_and_by_discovery(void **state)
{
	resolve(&peer, &our_ipv4, &us);
	resolve(&peer, &our_ipv6, &us);
	assert_int_equal(us.stats.resolutions, 2);
	assert_int_equal(peer.stats.asked, 2);
	assert_int_equal(peer.stats.learnt, 2);
}

/* Who asks is going to be answered: no second question is needed. */
static void who_asks_is_learnt_at_once(void **state)
{
	struct ether_route route;

	resolve(&peer, &our_ipv4, &us);
	resolve(&peer, &our_ipv6, &us);
	assert_int_equal(ether_route(&us, &peer_ipv4, 0, &route), 0);
	assert_memory_equal(route.mac, peer.config.mac, sizeof(route.mac));
	assert_int_equal(ether_route(&us, &peer_ipv6, 0, &route), 0);
}

static void a_datagram_teaches_nothing(void **state)
{
	struct ether_route route;

	assert_int_equal(input(&us, make_datagram(&our_ipv4, 5)), ETHER_UDP);
	assert_int_equal(ether_route(&us, &peer_ipv4, 0, &route), ETHER_E_UNRESOLVED);
}

static void an_answer_nobody_asked_for_teaches_nothing(void **state)
{
	struct ether_route route = {.ask = true};
	size_t size;

	memcpy(route.next_hop, our_ipv4.ip, 16);
	size = ether_ask(&peer, &route, buffer);
	store_be16(buffer + 14 + 6, 2);
	assert_int_equal(input(&us, size), ETHER_TAKEN);
	assert_int_equal(ether_route(&us, &peer_ipv4, 0, &route), ETHER_E_UNRESOLVED);
}

/* The hop limit of 255 proves that no router has passed the message on. */
static void discovery_from_beyond_the_link_is_refused(void **state)
{
	struct ether_route route = {.ask = true};
	size_t size;

	memcpy(route.next_hop, our_ipv6.ip, 16);
	size = ether_ask(&peer, &route, buffer);
	buffer[14 + 7] = 254;
	assert_int_equal(input(&us, size), ETHER_DROP);
	assert_int_equal(us.stats.malformed, 1);
}

/* As Linux asks whether our address is free before it takes it. */
static void a_claim_of_our_address_is_answered_to_all(void **state)
{
	size_t size =
		test_unhex("3333ff000001 020000000002 86dd 6000000000203aff"
			   "00000000000000000000000000000000 ff0200000000000000000001ff000001"
			   "87006ab700000000 fd000000000000000000000000000001 0e010596e32a1c24",
			   buffer, sizeof(buffer));

	assert_int_equal(input(&us, size), ETHER_REPLY);
	assert_int_equal(frame.size, 86);
	assert_memory_equal(buffer, "\x33\x33\0\0\0\1", 6);
	assert_int_equal(buffer[14 + 40 + 4], 0x20);             /* override, not solicited */
	assert_int_equal(input(&peer, frame.size), ETHER_TAKEN); /* its sum is right */
}

static void an_option_without_end_is_refused(void **state)
{
	struct ether_route route = {.ask = true};
	uint64_t before = us.stats.learnt;
	size_t size;
	uint16_t folded, old;

	memcpy(route.next_hop, our_ipv6.ip, 16);
	size = ether_ask(&peer, &route, buffer);
	/* An option of type 9 and length 0 in the place of type 1 and length 1; the sum follows. */
	old = load_be16(buffer + size - 8);
	store_be16(buffer + size - 8, 0x0900);
	folded = (uint16_t)~load_be16(buffer + 14 + 40 + 2);
	store_be16(buffer + 14 + 40 + 2, (uint16_t) ~(folded - old + 0x0900));
	(void)input(&us, size);
	assert_int_equal(us.stats.learnt, before);
}

static void far_peers_go_by_the_gateway_or_not_at_all(void **state)
{
	struct ether_route route;
	struct addr far, gateway;

	assert_int_equal(addr_parse("192.0.2.9:7400", 0, &far), 0);
	assert_int_equal(addr_parse("10.0.0.254:0", 0, &gateway), 0);
	assert_int_equal(ether_route(&us, &far, 0, &route), ETHER_E_UNRESOLVED);
	assert_memory_equal(route.next_hop, gateway.ip, 16);
	assert_int_equal(ether_route(&peer, &far, 0, &route), ETHER_E_UNROUTABLE);
	assert_int_equal(addr_parse("[2001:db8::1]:7400", 0, &far), 0);
	assert_int_equal(ether_route(&us, &far, 0, &route), ETHER_E_UNROUTABLE);
	assert_int_equal(ether_route(&us, &our_ipv4, 0, &route), ETHER_E_UNROUTABLE);
	assert_int_equal(addr_parse("224.0.0.1:7400", 0, &far), 0);
	assert_int_equal(ether_route(&us, &far, 0, &route), ETHER_E_UNROUTABLE);
}

/* Another core has received and answered; this one only listens. */
static void other_cores_learn_from_what_one_received(void **state)
{
	const struct addr *ours[] = {&our_ipv4, &our_ipv6}, *theirs[] = {&peer_ipv4, &peer_ipv6};

	for (unsigned family = 0; family < 2; family++) {
		struct ether_route route = {.ask = true};
		size_t size;

		memcpy(route.next_hop, ours[family]->ip, 16);
		size = ether_ask(&peer, &route, buffer);
		assert_true(ether_teaches(buffer, size));
		ether_learn(&us, buffer, size, 0);
		assert_int_equal(ether_route(&us, theirs[family], 0, &route), 0);
	}
	assert_int_equal(us.stats.resolutions, 0);
	assert_false(ether_teaches(buffer, make_datagram(&our_ipv4, 20)));
	assert_false(ether_teaches(buffer, 3));
}

/* --- echo --- */

/* As Linux sends them: ping -s 8 in both families. */
static const char *const pings[] = {
	"020000000001 020000000002 0800 45000024480f40004001dec7 0a000002 0a000001"
	"0800a7ba44340001 0001020304050607",
	"020000000001 020000000002 86dd 6003d82d00103a40"
	"fd000000000000000000000000000002 fd000000000000000000000000000001"
	"8000355a44450001 0001020304050607",
};

/* The sum of an ICMP message with the pseudo header, where the family has one. */
static uint16_t icmp_sum(unsigned family)
{
	static const uint8_t rest[8] = {0, 0, 0, 16, 0, 0, 0, 58};
	const uint8_t *icmp = buffer + 14 + (family ? 40 : 20);
	uint64_t sum = checksum_add(0, icmp, 16);

	if (family)
		sum = checksum_add(checksum_add(sum, icmp - 32, 32), rest, sizeof(rest));
	return checksum_fold(sum);
}

static void echoes_are_answered_in_both_families(void **state)
{
	for (unsigned family = 0; family < 2; family++) {
		size_t header = family ? 40 : 20, size;

		size = test_unhex(pings[family], buffer, sizeof(buffer));
		assert_int_equal(input(&us, size), ETHER_REPLY);
		assert_int_equal(frame.size, size);
		assert_memory_equal(buffer, peer.config.mac, 6);
		assert_memory_equal(buffer + 6, us.config.mac, 6);
		assert_int_equal(buffer[14 + header], family ? 129 : 0);
		assert_memory_equal(buffer + 14 + header + 6, "\0\1\0\1\2\3\4\5\6\7", 10);
		assert_int_equal(icmp_sum(family), 0xffff);
		if (family == 0)
			assert_int_equal(checksum_fold(checksum_add(0, buffer + 14, 20)), 0xffff);
	}
	assert_int_equal(us.stats.echoes, 2);
}

static void an_echo_with_a_wrong_sum_is_refused(void **state)
{
	for (unsigned family = 0; family < 2; family++) {
		size_t size = test_unhex(pings[family], buffer, sizeof(buffer));

		buffer[size - 1] ^= 0x10;
		assert_int_equal(input(&us, size), ETHER_DROP);
	}
	assert_int_equal(us.stats.bad_checksum, 2);
	assert_int_equal(us.stats.echoes, 0);
}

/* An IPv6 header may hold a mapped address: an answer to it would leave as IPv4. */
static void senders_that_cannot_be_answered_are_refused(void **state)
{
	static const char *const nobody[] = {"::", "::1", "::ffff:10.0.0.2", "ff02::1"};
	struct ether_route route = {0};
	uint16_t sum;
	size_t size;

	for (unsigned i = 0; i < sizeof(nobody) / sizeof(nobody[0]); i++) {
		assert_int_equal(inet_pton(AF_INET6, nobody[i], peer.config.ipv6.ip), 1);
		assert_int_equal(input(&us, make_datagram(&our_ipv6, 10)), ETHER_DROP);
		assert_int_equal(us.stats.malformed, i + 1);
		size = test_unhex(pings[1], buffer, sizeof(buffer));
		memcpy(buffer + 14 + 8, peer.config.ipv6.ip, 16);
		memset(buffer + 14 + 40 + 2, 0, 2);
		sum = (uint16_t)~icmp_sum(1);
		memcpy(buffer + 14 + 40 + 2, &sum, sizeof(sum));
		assert_int_equal(input(&us, size), ETHER_DROP);
		us.stats.malformed = i + 1;
	}
	assert_int_equal(us.stats.echoes, 0);
	assert_int_equal(us.stats.bad_checksum, 0);
	us.stats.malformed = 0;
	memcpy(route.mac, us.config.mac, sizeof(route.mac));
	ether_wrap(&peer, &route, &our_ipv4, /* from_port= */ 0, buffer, 10, 0);
	assert_int_equal(input(&us, ETHER_OVERHEAD_IPV4 + 10), ETHER_DROP);
	assert_int_equal(us.stats.malformed, 1);
}

/* --- set-up --- */

static void subnets_are_read_or_refused(void **state)
{
	static const char *const bad[] = {"10.0.0.1", "10.0.0.1/33", "fd00::1/129", "/24",
					  "x/24",     "10.0.0.1/",   "10.0.0.1/+8", "10.0.0.1/8x",
					  "",         "10.0.0/24"};
	struct ether_subnet subnet = {.prefix = 99};

	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(ether_subnet_parse(bad[i], NULL, &subnet), -EINVAL);
	assert_int_equal(subnet.prefix, 99);
	assert_int_equal(ether_subnet_parse("10.0.0.1/24", "10.0.1.1", &subnet), -EINVAL);
	assert_int_equal(ether_subnet_parse("10.0.0.1/24", "fd00::2", &subnet), -EINVAL);
	assert_int_equal(ether_subnet_parse("fd00::1/64", "fe80::1", &subnet), 0);
	assert_false(ether_subnet_is_ipv4(&subnet));
	assert_int_equal(ether_subnet_parse("10.0.0.1/24", "10.0.0.9", &subnet), 0);
	assert_true(ether_subnet_is_ipv4(&subnet));
	assert_int_equal(subnet.prefix, 24);
}

static void a_host_without_address_or_ports_is_refused(void **state)
{
	struct ether_config config = {.port_base = 1, .port_count = 1};

	assert_int_equal(ether_init(&us, &config), -EINVAL);
	assert_int_equal(ether_subnet_parse("10.0.0.1/24", NULL, &config.ipv4), 0);
	config.port_count = 0;
	assert_int_equal(ether_init(&us, &config), -EINVAL);
	config.port_base = 65535;
	config.port_count = 2;
	assert_int_equal(ether_init(&us, &config), -EINVAL);
	config.port_count = 1;
	assert_int_equal(ether_init(&us, &config), 0);
	config.ipv6 = config.ipv4;
	assert_int_equal(ether_init(&us, &config), -EINVAL);
}

#define TEST(name) cmocka_unit_test_setup(name, begin)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(datagrams_arrive_over_both_families),
		TEST(the_udp_port_says_the_queue),
		TEST(padding_is_passed_over),
		TEST(a_frame_of_the_kernel_is_read),
		TEST(every_single_bit_error_is_seen),
		TEST(no_checksum_is_taken_with_ipv4_only),
		TEST(partial_checksums_are_taken_where_configured),
		TEST(what_the_device_verified_is_not_verified_again),
		TEST(a_checksum_for_the_device_is_left_to_it),
		TEST(a_checksum_may_be_omitted_with_ipv4_only),
		TEST(frames_for_others_are_dropped),
		TEST(every_cut_of_a_frame_is_refused),
		TEST(tags_options_and_fragments_are_counted),
		TEST(neighbours_find_each_other_by_arp_and_by_discovery),
		TEST(who_asks_is_learnt_at_once),
		TEST(a_datagram_teaches_nothing),
		TEST(an_answer_nobody_asked_for_teaches_nothing),
		TEST(discovery_from_beyond_the_link_is_refused),
		TEST(a_claim_of_our_address_is_answered_to_all),
		TEST(an_option_without_end_is_refused),
		TEST(far_peers_go_by_the_gateway_or_not_at_all),
		TEST(other_cores_learn_from_what_one_received),
		TEST(echoes_are_answered_in_both_families),
		TEST(an_echo_with_a_wrong_sum_is_refused),
		TEST(senders_that_cannot_be_answered_are_refused),
		TEST(subnets_are_read_or_refused),
		TEST(a_host_without_address_or_ports_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
