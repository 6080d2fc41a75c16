/* SPDX-License-Identifier: Apache-2.0 */

/* The port of frames on real verbs. Time is real here, and nothing depends on how much of it
 * passes. */

#include "rdma/port_rdma.h"

#include "base/clock.h"
#include "proto/session.h"
#include "tests/lib/test.h"

#include <dirent.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* A frame that doesn't come fails the test: a machine that is emulated has its time. */
#define PATIENCE_NS (60 * NS_PER_S)

struct end {
	struct device *device;
	struct port *port;
	struct port_queue *queue;
};

static void open_end(struct end *end, uint16_t port)
{
	struct device_options options = {.name = getenv("RXE_DEVICE"), .gid_index = -1};
	struct port_rdma_config config = {.queue_count = 1, .link_max = 4, .window = 8};
	const char *address = getenv("RXE_ADDRESS");
	char error[DEVICE_ERROR_MAX];

	if (device_open(real_verbs_ops(), &options, &end->device, error, sizeof(error)))
		fail_msg("%s", error);
	config.device = end->device;
	config.listen = port != 0;
	assert_int_equal(addr_parse(address ? address : "10.77.0.1", port, &config.local), 0);
	if (port_rdma_open(&config, &end->port, error, sizeof(error)))
		fail_msg("%s", error);
	end->queue = port_queue(end->port, 0);
}

static void close_end(struct end *end)
{
	port_close(end->port);
	device_close(end->device);
}

static struct addr server_addr(uint16_t port)
{
	const char *address = getenv("RXE_ADDRESS");
	struct addr addr;

	assert_int_equal(addr_parse(address ? address : "10.77.0.1", port, &addr), 0);
	return addr;
}

/* Sleeps until something may have come to one of them. */
static void sleep_some(struct end *a, struct end *b)
{
	struct pollfd fds[] = {{.fd = port_wait_fd(a->queue), .events = POLLIN},
			       {.fd = port_wait_fd(b->queue), .events = POLLIN}};

	(void)poll(fds, 2, 1000);
}

/* The next frame at 'to'; 'from' works meanwhile. */
static void receive_one(struct end *to, struct end *from, struct port_frame *ret_frame)
{
	uint64_t until_ns = clock_now_ns() + PATIENCE_NS;

	while (port_receive(to->queue, ret_frame, 1) == 0) {
		struct port_frame frame;

		if (clock_now_ns() > until_ns)
			fail_msg("no frame came; %s; %s", port_rdma_why(to->queue),
				 port_rdma_why(from->queue));
		if (port_receive(from->queue, &frame, 0) == 0)
			sleep_some(to, from);
		port_flush(from->queue);
	}
}

static void send_number(struct end *from, const struct addr *to, unsigned number, uint32_t size)
{
	static uint8_t bytes[SESSION_FRAME_SIZE_MAX];

	memset(bytes, (int)number, size);
	port_send(from->queue, to, bytes, size / 3, bytes + size / 3, size - size / 3);
}

/* Both ports' devices count how often somebody had no receive ready. Returns -1 when they don't. */
static long not_ready_count(void)
{
	static const char *const names[] = {"rcvd_rnr_err", "send_rnr_err"};
	const char *device = getenv("RXE_DEVICE");
	long total = 0;

	for (unsigned i = 0; i < 2; i++) {
		char path[256];
		long count;
		FILE *file;

		snprintf(path, sizeof(path), "/sys/class/infiniband/%s/ports/1/hw_counters/%s",
			 device ? device : "rxe0", names[i]);
		file = fopen(path, "r");
		if (!file)
			return -1;
		assert_int_equal(fscanf(file, "%ld", &count), 1);
		fclose(file);
		total += count;
	}
	return total;
}

static void frames_go_both_ways_in_order_and_nobody_is_told_not_ready(void **state)
{
	static const uint32_t sizes[] = {0, 1, 48, 1232, 4096, 4097, SESSION_FRAME_SIZE_MAX};
	long not_ready = not_ready_count();
	struct end server, client;
	unsigned sent = 0;

	open_end(&server, 7600);
	open_end(&client, 0);
	for (unsigned seen = 0; seen < 600; seen++) {
		struct port_frame frame;

		for (; sent < 600 && sent - seen < 30; sent++)
			send_number(&client, &server.queue->local, sent, sizes[sent % 7]);
		port_flush(client.queue);
		receive_one(&server, &client, &frame);
		assert_int_equal(frame.size, sizes[seen % 7]);
		if (frame.size > 0) {
			assert_int_equal(frame.bytes[0], (uint8_t)seen);
			assert_int_equal(frame.bytes[frame.size - 1], (uint8_t)seen);
		}
		send_number(&server, &frame.from, seen, frame.size);
		port_release(server.queue, &frame, 1);
		port_flush(server.queue);
		receive_one(&client, &server, &frame);
		assert_int_equal(frame.size, sizes[seen % 7]);
		assert_true(addr_equal(&frame.from, &server.queue->local));
		port_release(client.queue, &frame, 1);
	}
	assert_int_equal(client.queue->stats.frames_dropped_send, 0);
	assert_int_equal(port_rdma_stats(client.queue).links_dialled, 1);
	assert_int_equal(port_rdma_stats(server.queue).links_dialled, 0);
	assert_int_equal(not_ready_count(), not_ready);
	close_end(&client);
	close_end(&server);
}

/* A process that answers each frame with itself until it is killed. Returns when it listens. */
static pid_t start_echo(uint16_t port)
{
	int pipe_fds[2];
	pid_t pid;
	char byte;

	assert_int_equal(pipe(pipe_fds), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		struct port_frame frames[PORT_BURST_MAX];
		struct end end;

		open_end(&end, port);
		(void)!write(pipe_fds[1], "", 1);
		for (;;) {
			unsigned count = port_receive(end.queue, frames, PORT_BURST_MAX);

			for (unsigned i = 0; i < count; i++)
				port_send(end.queue, &frames[i].from, frames[i].bytes,
					  frames[i].size, NULL, 0);
			port_release(end.queue, frames, count);
			port_flush(end.queue);
			if (count == 0)
				sleep_some(&end, &end);
			if (getppid() == 1)
				_exit(1);
		}
	}
	close(pipe_fds[1]);
	assert_int_equal(read(pipe_fds[0], &byte, 1), 1);
	close(pipe_fds[0]);
	return pid;
}

static void kill_echo(pid_t pid)
{
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

/* Says something again and again, as sessions do, until it is answered. */
static void ask_until_answered(struct end *client, const struct addr *to, unsigned number)
{
	uint64_t until_ns = clock_now_ns() + PATIENCE_NS;

	for (;;) {
		struct pollfd fd = {.events = POLLIN};
		struct port_frame frame;

		if (clock_now_ns() > until_ns)
			fail_msg("no answer: %s", port_rdma_why(client->queue));
		send_number(client, to, number, 100);
		port_flush(client->queue);
		for (unsigned i = 0; i < 10; i++) {
			if (port_receive(client->queue, &frame, 1) == 1) {
				bool right = frame.bytes[0] == (uint8_t)number;

				port_release(client->queue, &frame, 1);
				if (right)
					return;
			}
			fd.fd = port_wait_fd(client->queue);
			port_flush(client->queue);
			(void)poll(&fd, 1, 50);
		}
	}
}

static void a_process_that_is_killed_and_comes_back_is_dialled_again(void **state)
{
	struct addr to = server_addr(7700);
	struct end client;

	open_end(&client, 0);
	for (unsigned i = 0; i < 3; i++) {
		pid_t pid = start_echo(to.port);

		ask_until_answered(&client, &to, i);
		kill_echo(pid);
	}
	assert_true(port_rdma_stats(client.queue).links_dialled >= 3);
	close_end(&client);
}

static unsigned open_fds(void)
{
	DIR *folder = opendir("/proc/self/fd");
	unsigned count = 0;

	assert_non_null(folder);
	while (readdir(folder))
		count++;
	closedir(folder);
	return count;
}

static void clients_come_and_go_and_nothing_is_left(void **state)
{
	unsigned before = open_fds();
	struct end server;

	open_end(&server, 7800);
	for (unsigned i = 0; i < 20; i++) { /* five times as many as it has links */
		struct port_frame frame;
		struct end client;

		open_end(&client, 0);
		send_number(&client, &server.queue->local, i, 10);
		port_flush(client.queue);
		receive_one(&server, &client, &frame);
		assert_int_equal(frame.bytes[0], i);
		port_release(server.queue, &frame, 1);
		close_end(&client);
	}
	assert_int_equal(port_rdma_stats(server.queue).links_accepted, 20);
	assert_int_equal(port_rdma_stats(server.queue).receives_lost, 0);
	close_end(&server);
	assert_int_equal(open_fds(), before);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_process_that_is_killed_and_comes_back_is_dialled_again),
		cmocka_unit_test(frames_go_both_ways_in_order_and_nobody_is_told_not_ready),
		cmocka_unit_test(clients_come_and_go_and_nothing_is_left),
	};
	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
