/* SPDX-License-Identifier: Apache-2.0 */
#include "base/byteorder.h"
#include "net/port_socket.h"
#include "proto/session.h"
#include "tests/lib/test.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static const char *const loopbacks[] = {"127.0.0.1:0", "[::1]:0"};

static struct port *open_port(const char *where, uint32_t queue_count, bool plain)
{
	struct port_socket_config config = {.queue_count = queue_count, .plain = plain};
	char error[PORT_ERROR_TEXT_MAX] = "";
	struct port *port = NULL;

	assert_int_equal(addr_parse(where, 0, &config.local), 0);
	if (port_socket_open(&config, &port, error, sizeof(error)) != 0)
		fail_msg("%s", error);
	return port;
}

/* Waits until a frame is there; an answer that never comes fails the test. */
static unsigned receive_some(struct port_queue *queue, struct port_frame *frames, unsigned count)
{
	struct pollfd fd = {.fd = port_wait_fd(queue), .events = POLLIN};
	unsigned received;

	while ((received = port_receive(queue, frames, count)) == 0)
		if (poll(&fd, 1, 5000) != 1)
			fail_msg("no frame came within 5 s");
	return received;
}

/* A UDP datagram of 4 bytes from port 0; false when we aren't allowed to make one. */
static bool send_from_port_0(const struct addr *to)
{
	struct sockaddr_in name = {.sin_family = AF_INET};
	uint8_t datagram[8 + 4] = {[5] = 8 + 4};
	int fd = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_UDP);

	if (fd < 0)
		return false;
	memcpy(&name.sin_addr, to->ip + 12, 4);
	store_be16(datagram + 2, to->port);
	assert_int_equal(
		sendto(fd, datagram, sizeof(datagram), 0, (struct sockaddr *)&name, sizeof(name)),
		sizeof(datagram));
	close(fd);
	return true;
}

/* Sends two equal frames to 'fd'; returns whether they went as one datagram that the kernel cuts.
 */
static bool goes_in_one(struct port_queue *queue, int fd)
{
	struct addr to = {.ip = {[10] = 0xff, [11] = 0xff, [12] = 127, [15] = 1}};
	struct sockaddr_in name;
	socklen_t size = sizeof(name);
	uint8_t bytes[100];
	ssize_t first;

	assert_int_equal(getsockname(fd, (struct sockaddr *)&name, &size), 0);
	to.port = ntohs(name.sin_port);
	for (unsigned i = 0; i < 2; i++)
		port_send(queue, &to, "frame", 5, NULL, 0);
	port_flush(queue);
	first = recv(fd, bytes, sizeof(bytes), 0);
	assert_true(first == 5 || first == 10);
	if (first == 5)
		assert_int_equal(recv(fd, bytes, sizeof(bytes), 0), 5);
	return first == 10;
}

/* Nothing can be sent to port 0, segmented or not: that is the one peer's affair. */
static void a_way_that_cannot_segment_is_not_everybodys(void **state)
{
	struct port *port = open_port(loopbacks[0], 1, false);
	struct port_queue *queue = port_queue(port, 0);
	struct addr nowhere = queue->local;
	struct sockaddr_in any = {.sin_family = AF_INET};
	const int on = 1;
	unsigned flushes = 0;
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	any.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(bind(fd, (struct sockaddr *)&any, sizeof(any)), 0);
	if (setsockopt(fd, SOL_UDP, UDP_GRO, &on, sizeof(on)) || !goes_in_one(queue, fd)) {
		close(fd);
		port_close(port);
		skip(); /* the kernel can't segment */
	}
	nowhere.port = 0;
	for (unsigned i = 0; i < 2; i++)
		port_send(queue, &nowhere, "frame", 5, NULL, 0);
	port_flush(queue);
	assert_int_equal(queue->stats.frames_dropped_send, 2);
	assert_false(goes_in_one(queue, fd));
	while (!goes_in_one(queue, fd))
		assert_true(flushes++ < 2000);
	close(fd);
	port_close(port);
}

static void who_cannot_be_answered_is_not_heard(void **state)
{
	struct port *a = open_port(loopbacks[0], 1, false);
	struct port *b = open_port(loopbacks[0], 1, false);
	struct port_queue *from = port_queue(a, 0), *to = port_queue(b, 0);
	struct port_frame frame;

	if (!send_from_port_0(&to->local)) {
		port_close(a);
		port_close(b);
		skip(); /* raw sockets need CAP_NET_RAW */
	}
	port_send(from, &to->local, "after", 5, NULL, 0);
	port_flush(from);
	assert_int_equal(receive_some(to, &frame, 1), 1);
	assert_int_equal(frame.size, 5);
	assert_int_equal(to->stats.frames_dropped_receive, 1);
	port_release(to, &frame, 1);
	port_close(a);
	port_close(b);
}

static void frames_come_out_as_they_went_in(void **state)
{
	for (unsigned i = 0; i < 2; i++) {
		struct port *a = open_port(loopbacks[i], 1, false);
		struct port *b = open_port(loopbacks[i], 1, false);
		struct port_queue *from = port_queue(a, 0), *to = port_queue(b, 0);
		struct port_frame frame;

		port_send(from, &to->local, "head", 4, "and body", 8);
		port_send(from, &to->local, "alone", 5, NULL, 0);
		port_flush(from);
		assert_int_equal(receive_some(to, &frame, 1), 1);
		assert_int_equal(frame.size, 12);
		assert_memory_equal(frame.bytes, "headand body", 12);
		assert_true(addr_equal(&frame.from, &from->local));
		port_release(to, &frame, 1);
		assert_int_equal(receive_some(to, &frame, 1), 1);
		assert_int_equal(frame.size, 5);
		port_release(to, &frame, 1);
		assert_int_equal(from->stats.frames_sent, 2);
		assert_int_equal(from->stats.bytes_sent, 17);
		assert_int_equal(to->stats.frames_received, 2);
		assert_int_equal(to->stats.bytes_received, 17);
		port_close(a);
		port_close(b);
	}
}

/* Frame i of a burst: the size runs so that there are runs, a shorter tail and single frames. */
static uint32_t burst_size(unsigned i)
{
	static const uint32_t sizes[] = {100, 100, 100, 60, 1232, 1232, 1232, 1232, 1232, 7, 8952};

	return sizes[i % (sizeof(sizes) / sizeof(sizes[0]))];
}

static void send_burst(struct port_queue *from, const struct addr *to, unsigned count)
{
	static uint8_t bytes[SESSION_FRAME_SIZE_MAX];

	for (unsigned i = 0; i < count; i++) {
		memset(bytes, (int)i, burst_size(i));
		port_send(from, to, bytes, 3, bytes + 3, burst_size(i) - 3);
	}
	port_flush(from);
}

static void bursts_keep_order_and_borders_with_and_without_segmentation(void **state)
{
	for (unsigned way = 0; way < 4; way++) {
		struct port *a = open_port(loopbacks[0], 1, way & 1);
		struct port *b = open_port(loopbacks[0], 1, way & 2);
		struct port_queue *to = port_queue(b, 0);
		struct port_frame frames[PORT_BURST_MAX];
		unsigned seen = 0;

		send_burst(port_queue(a, 0), &to->local, 100);
		while (seen < 100) {
			unsigned count = receive_some(to, frames, PORT_BURST_MAX);

			for (unsigned i = 0; i < count; i++, seen++) {
				assert_int_equal(frames[i].size, burst_size(seen));
				assert_int_equal(frames[i].bytes[0], (uint8_t)seen);
				assert_int_equal(frames[i].bytes[frames[i].size - 1],
						 (uint8_t)seen);
			}
			port_release(to, frames, count);
		}
		assert_int_equal(port_queue(a, 0)->stats.frames_sent, 100);
		port_close(a);
		port_close(b);
	}
}

static void queues_stand_in_a_row_and_own_their_ports(void **state)
{
	struct port *single = open_port(loopbacks[0], 1, false);
	struct addr base = port_queue(single, 0)->local;
	struct port_socket_config config = {.queue_count = 3};
	char error[PORT_ERROR_TEXT_MAX];
	struct port *port = NULL;
	int r = -EADDRINUSE;

	/* Whatever else this machine runs: look for three free ports in a row. */
	for (unsigned tries = 0; tries < 1000 && r == -EADDRINUSE; tries++) {
		base.port = (uint16_t)(20000 + tries * 3);
		config.local = base;
		r = port_socket_open(&config, &port, error, sizeof(error));
	}
	assert_int_equal(r, 0);
	for (uint32_t i = 0; i < 3; i++) {
		struct port_frame frame;

		assert_int_equal(port_queue(port, i)->local.port, base.port + i);
		port_send(port_queue(single, 0), &port_queue(port, i)->local, &i, sizeof(i), NULL,
			  0);
		port_flush(port_queue(single, 0));
		assert_int_equal(receive_some(port_queue(port, i), &frame, 1), 1);
		assert_memory_equal(frame.bytes, &i, sizeof(i));
		port_release(port_queue(port, i), &frame, 1);
	}
	port_close(port);
	port_close(single);
}

static void a_busy_port_is_named_with_what_to_do(void **state)
{
	struct port *first = open_port(loopbacks[0], 1, false);
	struct port_socket_config config = {.local = port_queue(first, 0)->local, .queue_count = 1};
	char error[PORT_ERROR_TEXT_MAX] = "", number[8];
	struct port *second = NULL;

	assert_int_equal(port_socket_open(&config, &second, error, sizeof(error)), -EADDRINUSE);
	assert_null(second);
	snprintf(number, sizeof(number), ":%u", config.local.port);
	assert_non_null(strstr(error, number));
	assert_non_null(strstr(error, "choose another port"));
	port_close(first);
}

static void limits_are_refused(void **state)
{
	struct port_socket_config config = {.queue_count = 0};
	char error[PORT_ERROR_TEXT_MAX];
	struct port *port = NULL;

	assert_int_equal(port_socket_open(&config, &port, error, sizeof(error)), -EINVAL);
	config.queue_count = PORT_QUEUE_MAX + 1;
	assert_int_equal(port_socket_open(&config, &port, error, sizeof(error)), -EINVAL);
	config.queue_count = 2;
	config.local.port = 65535;
	assert_int_equal(port_socket_open(&config, &port, error, sizeof(error)), -EINVAL);
	config.local.port = 0;
	config.frame_size = 100;
	assert_int_equal(port_socket_open(&config, &port, error, sizeof(error)), -EINVAL);
	config.frame_size = 0;
	assert_int_equal(addr_parse("192.0.2.1:0", 0, &config.local), 0);
	assert_int_equal(port_socket_open(&config, &port, error, sizeof(error)), -EADDRNOTAVAIL);
	assert_non_null(strstr(error, "192.0.2.1"));
	assert_null(port);
}

static void frames_that_cannot_go_are_dropped_and_counted(void **state)
{
	struct port *port = open_port("127.0.0.1:0", 1, false);
	struct port_queue *queue = port_queue(port, 0);
	static const uint8_t bytes[SESSION_FRAME_SIZE_MAX + 1];
	struct addr to;

	assert_int_equal(addr_parse("[::1]:9", 0, &to), 0);
	port_send(queue, &to, bytes, 10, NULL, 0); /* an IPv4 socket has no way there */
	assert_int_equal(queue->stats.frames_dropped_send, 1);
	port_send(queue, &queue->local, bytes, 1, bytes, sizeof(bytes) - 1);
	assert_int_equal(queue->stats.frames_dropped_send, 2);
	port_flush(queue);
	assert_int_equal(queue->stats.frames_sent, 0);
	port_close(port);
}

static void larger_datagrams_than_a_frame_are_dropped_and_counted(void **state)
{
	for (unsigned merged = 0; merged < 2; merged++) {
		struct port_socket_config config = {
			.queue_count = 1, .frame_size = 1232, .plain = !merged};
		struct port *from = open_port("127.0.0.1:0", 1, true), *to = NULL;
		char error[PORT_ERROR_TEXT_MAX];
		struct port_frame frame;
		uint8_t bytes[4000] = {0};

		assert_int_equal(addr_parse("127.0.0.1:0", 0, &config.local), 0);
		assert_int_equal(port_socket_open(&config, &to, error, sizeof(error)), 0);
		port_send(port_queue(from, 0), &port_queue(to, 0)->local, bytes, 1233, NULL, 0);
		port_send(port_queue(from, 0), &port_queue(to, 0)->local, bytes, 4000, NULL, 0);
		port_send(port_queue(from, 0), &port_queue(to, 0)->local, bytes, 1232, NULL, 0);
		port_send(port_queue(from, 0), &port_queue(to, 0)->local, bytes, 0, NULL, 0);
		port_flush(port_queue(from, 0));
		assert_int_equal(receive_some(port_queue(to, 0), &frame, 1), 1);
		assert_int_equal(frame.size, 1232);
		port_release(port_queue(to, 0), &frame, 1);
		assert_int_equal(receive_some(port_queue(to, 0), &frame, 1), 1);
		assert_int_equal(frame.size, 0);
		port_release(port_queue(to, 0), &frame, 1);
		assert_int_equal(port_queue(to, 0)->stats.frames_dropped_receive, 2);
		port_close(from);
		port_close(to);
	}
}

/* Frames held back block only their own slots; all of them come back. */
static void held_frames_stay_valid_while_others_pass(void **state)
{
	struct port *a = open_port("127.0.0.1:0", 1, true), *b = open_port("127.0.0.1:0", 1, true);
	struct port_queue *from = port_queue(a, 0), *to = port_queue(b, 0);
	struct port_frame held[PORT_BURST_MAX], frame;
	unsigned count = 0;

	for (unsigned i = 0; i < PORT_BURST_MAX; i++)
		port_send(from, &to->local, &i, sizeof(i), NULL, 0);
	port_flush(from);
	while (count < PORT_BURST_MAX)
		count += receive_some(to, held + count, PORT_BURST_MAX - count);
	for (unsigned i = 100; i < 300; i++) {
		port_send(from, &to->local, &i, sizeof(i), NULL, 0);
		port_flush(from);
		assert_int_equal(receive_some(to, &frame, 1), 1);
		assert_memory_equal(frame.bytes, &i, sizeof(i));
		port_release(to, &frame, 1);
	}
	for (unsigned i = 0; i < PORT_BURST_MAX; i++)
		assert_memory_equal(held[i].bytes, &i, sizeof(i));
	port_release(to, held, PORT_BURST_MAX);
	port_close(a);
	port_close(b);
}

/* A socket of :: serves both families; peers of IPv4 are seen as mapped. */
static void an_unspecified_address_serves_both_families(void **state)
{
	struct port *server = open_port("[::]:0", 1, false);

	for (unsigned i = 0; i < 2; i++) {
		struct port *client = open_port(loopbacks[i], 1, false);
		struct port_queue *queue = port_queue(client, 0);
		struct port_frame frame;
		struct addr to;

		assert_int_equal(addr_parse(loopbacks[i], port_queue(server, 0)->local.port, &to),
				 0);
		to.port = port_queue(server, 0)->local.port;
		port_send(queue, &to, "ask", 3, NULL, 0);
		port_flush(queue);
		assert_int_equal(receive_some(port_queue(server, 0), &frame, 1), 1);
		assert_true(addr_equal(&frame.from, &queue->local));
		port_send(port_queue(server, 0), &frame.from, "answer", 6, NULL, 0);
		port_flush(port_queue(server, 0));
		port_release(port_queue(server, 0), &frame, 1);
		assert_int_equal(receive_some(queue, &frame, 1), 1);
		assert_true(addr_equal(&frame.from, &to));
		port_release(queue, &frame, 1);
		port_close(client);
	}
	port_close(server);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(frames_come_out_as_they_went_in),
		cmocka_unit_test(who_cannot_be_answered_is_not_heard),
		cmocka_unit_test(a_way_that_cannot_segment_is_not_everybodys),
		cmocka_unit_test(bursts_keep_order_and_borders_with_and_without_segmentation),
		cmocka_unit_test(queues_stand_in_a_row_and_own_their_ports),
		cmocka_unit_test(a_busy_port_is_named_with_what_to_do),
		cmocka_unit_test(limits_are_refused),
		cmocka_unit_test(frames_that_cannot_go_are_dropped_and_counted),
		cmocka_unit_test(larger_datagrams_than_a_frame_are_dropped_and_counted),
		cmocka_unit_test(held_frames_stay_valid_while_others_pass),
		cmocka_unit_test(an_unspecified_address_serves_both_families),
	};
	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
