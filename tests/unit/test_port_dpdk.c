/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "net/dpdk_env.h"
#include "net/port_dpdk.h"
#include "tests/lib/test.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/*
 * Two ports joined by memif in one process: no privilege, no huge pages. The
 * server has three cores on one device queue, all polled by this thread.
 */

#define SERVER_QUEUES 3

static struct port *server, *client;
static char memif[2][128];

static struct port_dpdk_config make_config(unsigned end)
{
	struct port_dpdk_config config = {
		.device = memif[end],
		.queue_count = end == 0 ? SERVER_QUEUES : 1,
		.udp_port = 7400,
		.buffer_count = 2048,
	};
	char text[32];

	snprintf(text, sizeof(text), "10.77.0.%u/24", end + 1);
	assert_int_equal(ether_subnet_parse(text, NULL, &config.ipv4), 0);
	snprintf(text, sizeof(text), "fd77::%u/64", end + 1);
	assert_int_equal(ether_subnet_parse(text, NULL, &config.ipv6), 0);
	return config;
}

static struct port *open_end(unsigned end)
{
	struct port_dpdk_config config = make_config(end);
	char error[PORT_ERROR_TEXT_MAX];
	struct port *port = NULL;

	if (port_dpdk_open(&config, &port, error, sizeof(error)) != 0)
		fail_msg("%s", error);
	return port;
}

static int open_both(void **state)
{
	server = open_end(0);
	client = open_end(1);
	return 0;
}

static int close_both(void **state)
{
	port_close(client);
	port_close(server);
	return 0;
}

/* Polls all cores of both ends until 'queue' has a frame; the others' frames are given back. */
static bool wait_for_frame(struct port_queue *queue, struct port_frame *frame, uint64_t patience_ns)
{
	uint64_t end_ns = clock_now_ns() + patience_ns;

	while (clock_now_ns() < end_ns) {
		for (uint32_t i = 0; i < SERVER_QUEUES + 1; i++) {
			struct port_queue *at =
				i < SERVER_QUEUES ? port_queue(server, i) : port_queue(client, 0);
			struct port_frame other;

			if (at == queue) {
				if (port_receive(queue, frame, 1) == 1)
					return true;
			} else {
				port_release(at, &other, port_receive(at, &other, 1));
			}
			port_flush(at);
		}
	}
	return false;
}

/* Sends until the frame arrives: the first ones are dropped while neighbours are asked for. */
static void deliver(struct port_queue *from, struct port_queue *to, const struct addr *where,
		    const void *bytes, size_t size, struct port_frame *frame)
{
	for (unsigned tries = 0; tries < 200; tries++) {
		port_send(from, where, bytes, size / 2, (const uint8_t *)bytes + size / 2,
			  size - size / 2);
		port_flush(from);
		if (wait_for_frame(to, frame, 50 * NS_PER_MS))
			return;
	}
	fail_msg("no frame arrived");
}

static struct addr address_of(const char *ip, uint32_t queue)
{
	struct addr addr;

	assert_int_equal(addr_parse(ip, (uint16_t)(7400 + queue), &addr), 0);
	addr.port = (uint16_t)(7400 + queue);
	return addr;
}

static void frames_reach_the_core_of_their_port_and_come_back(void **state)
{
	static const char *const ips[] = {"10.77.0.1", "[fd77::1]"};
	struct port_frame there, back;

	for (uint32_t queue = 0; queue < SERVER_QUEUES; queue++)
		for (unsigned family = 0; family < 2; family++) {
			struct addr to = address_of(ips[family], queue);
			char text[32];

			snprintf(text, sizeof(text), "queue %u family %u", queue, family);
			deliver(port_queue(client, 0), port_queue(server, queue), &to, text,
				strlen(text), &there);
			assert_int_equal(there.size, strlen(text));
			assert_memory_equal(there.bytes, text, strlen(text));
			deliver(port_queue(server, queue), port_queue(client, 0), &there.from,
				there.bytes, there.size, &back);
			assert_memory_equal(back.bytes, text, strlen(text));
			assert_true(addr_equal(&back.from, &to));
			port_release(port_queue(client, 0), &back, 1);
			port_release(port_queue(server, queue), &there, 1);
		}
	assert_true(port_queue(server, 0)->stats.frames_handed_over >= 4);
}

static void the_largest_frame_passes_and_one_byte_more_is_dropped(void **state)
{
	static uint8_t bytes[16384];
	struct port_queue *from = port_queue(client, 0), *to = port_queue(server, 0);
	struct port_frame frame;
	uint64_t dropped;

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * 7 + (i >> 8));
	assert_int_equal(from->frame_size, 8952);
	deliver(from, to, &to->local, bytes, from->frame_size, &frame);
	assert_int_equal(frame.size, from->frame_size);
	assert_memory_equal(frame.bytes, bytes, frame.size);
	port_release(to, &frame, 1);
	dropped = from->stats.frames_dropped_send;
	port_send(from, &to->local, bytes, 1, bytes, from->frame_size);
	assert_int_equal(from->stats.frames_dropped_send, dropped + 1);
}

static void frames_without_a_way_are_dropped_and_counted(void **state)
{
	struct port_queue *queue = port_queue(client, 0);
	struct addr far = address_of("192.0.2.1", 0), near = address_of("10.77.0.99", 0);

	port_send(queue, &far, "x", 1, NULL, 0);
	assert_int_equal(port_dpdk_ether_stats(client, 0)->unroutable, 1);
	port_send(queue, &near, "x", 1, NULL, 0);
	port_send(queue, &near, "x", 1, NULL, 0);
	assert_int_equal(port_dpdk_ether_stats(client, 0)->unresolved, 2);
	assert_int_equal(port_dpdk_ether_stats(client, 0)->asked, 1);
	assert_int_equal(queue->stats.frames_dropped_send, 3);
	assert_int_equal(queue->stats.frames_sent, 0);
}

/* More than there are buffers: drops, never a crash, and all come back in the end. */
static void a_user_that_keeps_frames_runs_the_port_dry_and_revives_it(void **state)
{
	static struct port_frame kept[4096];
	struct port_queue *from = port_queue(client, 0), *to = port_queue(server, 0);
	unsigned count = 0;

	deliver(from, to, &to->local, "first", 5, &kept[count++]);
	for (unsigned i = 0; i < 20000 && count + PORT_BURST_MAX < 4096; i++) {
		port_send(from, &to->local, "more", 4, NULL, 0);
		port_flush(from);
		count += port_receive(to, &kept[count], PORT_BURST_MAX);
	}
	assert_in_range(count, 1000, 2048);
	port_release(to, kept, count);
	while (port_receive(to, kept, PORT_BURST_MAX) == PORT_BURST_MAX)
		port_release(to, kept, PORT_BURST_MAX);
	deliver(from, to, &to->local, "last", 4, &kept[0]);
	port_release(to, kept, 1);
}

static void a_port_says_what_it_stands_on(void **state)
{
	struct port_dpdk_info info = port_dpdk_info(server);

	assert_string_equal(info.driver, "net_memif");
	assert_string_equal(info.device, "net_memif0");
	assert_int_equal(info.receive_queues, 1);
	assert_int_equal(info.send_queues, 1);
	assert_false(info.steered);
	assert_int_equal(port_wait_fd(port_queue(server, 0)), -1);
}

/* --- what is refused --- */

static void refuse(const struct port_dpdk_config *config, int code, const char *word)
{
	char error[PORT_ERROR_TEXT_MAX] = "";
	struct port *port = NULL;

	assert_int_equal(port_dpdk_open(config, &port, error, sizeof(error)), code);
	assert_null(port);
	if (!strstr(error, word))
		fail_msg("'%s' doesn't say '%s'", error, word);
}

static void wrong_configurations_are_refused_with_a_reason(void **state)
{
	struct port_dpdk_config config = make_config(0);

	config.queue_count = 0;
	refuse(&config, -EINVAL, "queues");
	config = make_config(0);
	config.ipv4.present = config.ipv6.present = false;
	refuse(&config, -EINVAL, "address");
	config = make_config(0);
	config.udp_port = 0;
	refuse(&config, -EINVAL, "UDP port 0");
	config = make_config(0);
	config.udp_port = 65535;
	refuse(&config, -EINVAL, "65535");
	config = make_config(0);
	config.frame_size = 100;
	refuse(&config, -EINVAL, "frame size 100");
	config = make_config(0);
	config.buffer_count = PORT_DPDK_BUFFERS_MAX;
	refuse(&config, -ENOMEM, "MiB more");
	config = make_config(0);
	config.device = "net_nothing0";
	refuse(&config, -ENODEV, "net_nothing0");
}

static void a_memif_client_without_a_server_says_so(void **state)
{
	struct port_dpdk_config config = make_config(1);

	refuse(&config, -ECONNREFUSED, "start the server's end first");
}

static void the_environment_comes_up_once(void **state)
{
	struct dpdk_env_config env = {0};
	char error[PORT_ERROR_TEXT_MAX];

	assert_int_equal(dpdk_env_open(&env, error, sizeof(error)), 0);
	assert_true(dpdk_env_is_open());
}

static void after_its_end_the_environment_stays_down(void **state)
{
	struct dpdk_env_config env = {0};
	char error[PORT_ERROR_TEXT_MAX];

	dpdk_env_close();
	dpdk_env_close();
	assert_false(dpdk_env_is_open());
	assert_int_equal(dpdk_env_open(&env, error, sizeof(error)), -EALREADY);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_both, close_both)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_environment_comes_up_once),
		TEST(frames_reach_the_core_of_their_port_and_come_back),
		TEST(the_largest_frame_passes_and_one_byte_more_is_dropped),
		TEST(frames_without_a_way_are_dropped_and_counted),
		TEST(a_user_that_keeps_frames_runs_the_port_dry_and_revives_it),
		TEST(a_port_says_what_it_stands_on),
		cmocka_unit_test(wrong_configurations_are_refused_with_a_reason),
		cmocka_unit_test(a_memif_client_without_a_server_says_so),
		cmocka_unit_test(after_its_end_the_environment_stays_down),
	};
	struct dpdk_env_config env = {.memory_mib = 256, .log_level = "critical"};
	char error[PORT_ERROR_TEXT_MAX], prefix[32];

	snprintf(prefix, sizeof(prefix), "test%d", getpid());
	env.file_prefix = prefix;
	for (unsigned end = 0; end < 2; end++)
		snprintf(memif[end], sizeof(memif[end]),
			 "net_memif%u,role=%s,socket=/tmp/tern-test-%d,socket-abstract=no", end,
			 end == 0 ? "server" : "client", getpid());
	if (dpdk_env_open(&env, error, sizeof(error)) != 0) {
		fprintf(stderr, "skipped: %s\n", error);
		return TEST_SKIP;
	}
	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
