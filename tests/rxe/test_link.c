/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Links on a real device: both ends in this program, on the one device that SoftRoCE gives.
 *
 *      test_link [CYCLES]
 *
 * CYCLES: of connecting and disconnecting, 10000 when not given.
 */
#include "base/clock.h"
#include "base/defs.h"
#include "rdma/link.h"
#include "rdma/link_internal.h"
#include "tests/lib/test.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define CYCLES_DEFAULT 10000
#define WARM_CYCLES    (16 * GROUP)

/* Generous: the processor may be an emulated one. */
#define PATIENCE_NS (60 * NS_PER_S)

/* Links that are made at a time, as many as a hub here has. */
#define GROUP 8

/* Pages by which the program may grow over all cycles: the heap's slack. */
#define GROWTH_PAGES_MAX 64

static char error[DEVICE_ERROR_MAX];
static unsigned long cycles = CYCLES_DEFAULT;

struct node {
	struct device *device;
	struct link_hub *hub;
	struct addr bound;
	struct link *accepted; /* the last one */
	bool still;            /* takes no turns */
};

static struct node server, client;

static void changed(void *context, struct link *link)
{
	struct node *node = context;

	if (!link_is_accepted(link))
		return;
	node->accepted = link;
	if (link_state(link) == LINK_ENDED) {
		link_close(link);
		node->accepted = NULL;
	}
}

static const uint8_t secret[LINK_SECRET_SIZE] = "a secret of all the members";
static const uint8_t other_secret[LINK_SECRET_SIZE] = "another one";

/* On the device of that name; NULL: the first. */
static void open_node(struct node *node, const char *name, uint64_t number, const uint8_t *key)
{
	const struct device_options options = {.name = name, .gid_index = -1};
	const struct link_hub_config config = {
		.node = number,
		.secret = key,
		.link_max = GROUP,
		.send_depth = 64,
		.changed = changed,
		.context = node,
	};

	memset(node, 0, sizeof(*node));
	if (device_open(real_verbs_ops(), &options, &node->device, error, sizeof(error)) < 0)
		fail_msg("%s", error);
	if (link_hub_new(node->device, &config, &node->hub, error, sizeof(error)) < 0)
		fail_msg("%s", error);
}

static void begin_at(const char *server_device, const uint8_t *server_key,
		     const uint8_t *client_key)
{
	struct addr addr;

	open_node(&server, server_device, 7, server_key);
	open_node(&client, NULL, 0, client_key);
	assert_true(device_addr(server.device, 0, &addr));
	if (link_listen(server.hub, &addr, &server.bound, error, sizeof(error)) < 0)
		fail_msg("%s", error);
	assert_int_not_equal(server.bound.port, 0);
}

static void begin(const uint8_t *server_key, const uint8_t *client_key)
{
	begin_at(NULL, server_key, client_key);
}

static void end(void)
{
	link_hub_free(client.hub);
	link_hub_free(server.hub);
	device_close(client.device);
	device_close(server.device);
}

static void turn(void)
{
	if (!server.still)
		(void)link_hub_turn(server.hub, clock_now_ns());
	if (!client.still)
		(void)link_hub_turn(client.hub, clock_now_ns());
}

static void turn_until(const struct link *link, enum link_state state)
{
	uint64_t until = clock_now_ns() + PATIENCE_NS;

	while (link_state(link) < state && clock_now_ns() < until)
		turn();
	if (link_state(link) != state)
		fail_msg("state %d%s instead of %d: %s", (int)link_state(link),
			 link->resolved ? ", resolved," : "", (int)state, link_error(link));
}

static struct link *connect_to(const struct addr *to, uint64_t patience_ns)
{
	uint64_t now_ns = clock_now_ns();
	const struct link_options options = {.to = *to, .deadline_ns = now_ns + patience_ns};
	struct link *link;

	if (link_connect(client.hub, &options, now_ns, &link, error, sizeof(error)) < 0)
		fail_msg("%s", error);
	return link;
}

/* Ends a link of the client, and waits until the server knows. */
static void close_both(struct link *link)
{
	uint64_t until = clock_now_ns() + PATIENCE_NS;

	link_close(link);
	while (server.accepted && clock_now_ns() < until)
		turn();
	assert_null(server.accepted);
}

static void two_sides_become_ready_and_part(void **state)
{
	uint8_t proof[LINK_PROOF_SIZE];
	struct link *link;

	(void)state;
	begin(secret, secret);
	link = connect_to(&server.bound, PATIENCE_NS);
	turn_until(link, LINK_READY);
	assert_non_null(server.accepted);
	assert_int_equal(link_peer_node(link), 7);
	assert_true(link_reads_max(link) > 0);
	link_proof(link, proof);
	assert_ptr_equal(link_find(server.hub, proof), server.accepted);
	print_message("device %s gid %u reads in flight %u\n", device_info(server.device)->name,
		      device_info(server.device)->gid_index, link_reads_max(link));
	close_both(link);
	end();
}

static void the_end_of_the_listening_side_is_told(void **state)
{
	struct link *link;

	(void)state;
	begin(secret, secret);
	link = connect_to(&server.bound, PATIENCE_NS);
	turn_until(link, LINK_READY);
	link_close(server.accepted);
	turn_until(link, LINK_ENDED);
	print_message("%s\n", link_error(link));
	link_close(link);
	end();
}

static void another_secret_is_found_out(void **state)
{
	struct link *link;

	(void)state;
	begin(secret, other_secret);
	link = connect_to(&server.bound, PATIENCE_NS);
	turn_until(link, LINK_ENDED);
	assert_non_null(strstr(link_error(link), "secret"));
	link_close(link);
	for (uint64_t until = clock_now_ns() + PATIENCE_NS;
	     link_hub_stats(server.hub).links > 0 && clock_now_ns() < until;)
		turn();
	assert_int_equal(link_hub_stats(server.hub).refused_secret, 1);
	assert_int_equal(link_hub_stats(server.hub).links, 0);
	end();
}

static void a_port_without_a_listener_is_told_from_one_that_doesnt_answer(void **state)
{
	struct addr nobody;
	struct link *link;

	(void)state;
	begin(secret, secret);
	nobody = server.bound;
	nobody.port ^= 1;
	link = connect_to(&nobody, PATIENCE_NS);
	turn_until(link, LINK_ENDED);
	assert_non_null(strstr(link_error(link), "nobody listens"));
	link_close(link);

	server.still = true;
	link = connect_to(&server.bound, NS_PER_S / 2);
	turn_until(link, LINK_ENDED);
	assert_non_null(strstr(link_error(link), "in time"));
	link_close(link);
	end();
}

static void an_address_that_isnt_there_is_refused(void **state)
{
	uint64_t now_ns = clock_now_ns();
	struct link_options options;
	struct addr addr;
	struct link *link;
	int status;

	(void)state;
	begin(secret, secret);
	addr = server.bound;
	addr.ip[15] ^= 0x40;
	link = connect_to(&addr, NS_PER_S / 2);
	turn_until(link, LINK_ENDED);
	print_message("%s\n", link_error(link));
	link_close(link);

	assert_int_equal(addr_parse("192.0.2.1:7", 0, &addr), 0);
	options = (struct link_options){.to = addr, .deadline_ns = now_ns + NS_PER_S};
	status = link_connect(client.hub, &options, now_ns, &link, error, sizeof(error));
	if (status == 0) {
		turn_until(link, LINK_ENDED);
		snprintf(error, sizeof(error), "%s", link_error(link));
		link_close(link);
	}
	print_message("%s\n", error);
	assert_non_null(strstr(error, "192.0.2.1"));
	end();
}

static void an_address_that_isnt_ours_cant_be_listened_at(void **state)
{
	struct addr addr, bound;

	(void)state;
	open_node(&server, NULL, 7, secret);
	assert_int_equal(addr_parse("192.0.2.1:7", 0, &addr), 0);
	assert_true(link_listen(server.hub, &addr, &bound, error, sizeof(error)) < 0);
	print_message("%s\n", error);
	link_hub_free(server.hub);
	device_close(server.device);
}

/*
 * Reading
 */

static enum ibv_wc_status read_status;
static bool read_over;

static void read_done(struct link_work *work, struct link *link, const struct ibv_wc *completion)
{
	(void)work, (void)link;
	read_status = completion->status;
	read_over = true;
}

/* READs 'size' bytes and says how that ended. */
static enum ibv_wc_status read_by(struct link *link, void *to, const struct ibv_mr *to_mr,
				  const void *from, uint32_t rkey, uint32_t size)
{
	static struct link_work work = {.done = read_done};
	struct ibv_sge sge = {.addr = (uintptr_t)to, .length = size, .lkey = to_mr->lkey};
	struct ibv_send_wr wr = {
		.wr_id = (uintptr_t)&work,
		.sg_list = &sge,
		.num_sge = 1,
		.opcode = IBV_WR_RDMA_READ,
		.send_flags = IBV_SEND_SIGNALED,
		.wr.rdma = {.remote_addr = (uintptr_t)from, .rkey = rkey},
	};
	struct ibv_send_wr *bad;
	uint64_t until = clock_now_ns() + PATIENCE_NS;

	read_over = false;
	assert_int_equal(ibv_post_send(link_qp(link), &wr, &bad), 0);
	while (!read_over && clock_now_ns() < until)
		turn();
	assert_true(read_over);
	return read_status;
}

static struct ibv_mr *register_memory(struct node *node, void *start, size_t size, int access)
{
	struct ibv_mr *mr;

	if (device_register(node->device, start, size, access, &mr, error, sizeof(error)) < 0)
		fail_msg("%s", error);
	return mr;
}

static void who_has_proved_itself_reads_and_others_dont(void **state)
{
	static uint8_t from[4096], to[4096];
	struct ibv_mr *from_mr, *to_mr;
	struct link *link;

	(void)state;
	begin(secret, secret);
	for (size_t i = 0; i < sizeof(from); i++)
		from[i] = (uint8_t)(i * 7);
	from_mr = register_memory(&server, from, sizeof(from), IBV_ACCESS_REMOTE_READ);
	to_mr = register_memory(&client, to, sizeof(to), IBV_ACCESS_LOCAL_WRITE);

	/* The server sees no proof, though one was sent, until it takes a turn again. */
	link = connect_to(&server.bound, PATIENCE_NS);
	while (link_hub_stats(server.hub).links == 0 || server.hub->links[0].state < LINK_PROVING)
		turn();
	server.still = true;
	turn_until(link, LINK_PROVING);
	assert_int_not_equal(read_by(link, to, to_mr, from, from_mr->rkey, sizeof(to)),
			     IBV_WC_SUCCESS);
	print_message("unproved: %s\n", ibv_wc_status_str(read_status));
	assert_int_equal(to[1], 0);
	server.still = false;
	link_close(link);
	while (link_hub_stats(server.hub).links > 0)
		turn();
	server.accepted = NULL;

	link = connect_to(&server.bound, PATIENCE_NS);
	turn_until(link, LINK_READY);
	assert_int_equal(read_by(link, to, to_mr, from, from_mr->rkey, sizeof(to)), IBV_WC_SUCCESS);
	assert_memory_equal(from, to, sizeof(to));
	close_both(link);

	/* A bad guess of a key ends the guesser's link, on both sides, and another's goes on. */
	link = connect_to(&server.bound, PATIENCE_NS);
	turn_until(link, LINK_READY);
	struct link *good = connect_to(&server.bound, PATIENCE_NS);

	turn_until(good, LINK_READY);
	assert_int_equal(read_by(link, to, to_mr, from, from_mr->rkey ^ 0x1111, sizeof(to)),
			 IBV_WC_REM_ACCESS_ERR);
	turn_until(link, LINK_ENDED);
	print_message("%s\n", link_error(link));
	for (uint64_t until = clock_now_ns() + NS_PER_S;
	     link_hub_stats(server.hub).links > 1 && clock_now_ns() < until;)
		turn();
	print_message("links at the server after a bad guess, the guesser still there: %u\n",
		      link_hub_stats(server.hub).links);
	assert_int_equal(read_by(good, to, to_mr, from, from_mr->rkey, sizeof(to)), IBV_WC_SUCCESS);
	link_close(link);
	link_close(good);
	while (link_hub_stats(server.hub).links > 0)
		turn();
	assert_int_equal(ibv_dereg_mr(from_mr), 0);
	assert_int_equal(ibv_dereg_mr(to_mr), 0);
	end();
}

static void an_armed_hub_wakes_its_sleeper(void **state)
{
	static uint8_t from[64], to[64];
	struct ibv_mr *from_mr, *to_mr;
	struct ibv_send_wr *bad;
	struct link *link;

	(void)state;
	begin(secret, secret);
	from_mr = register_memory(&server, from, sizeof(from), IBV_ACCESS_REMOTE_READ);
	to_mr = register_memory(&client, to, sizeof(to), IBV_ACCESS_LOCAL_WRITE);
	link = connect_to(&server.bound, PATIENCE_NS);
	turn_until(link, LINK_READY);

	struct link_work work = {.done = read_done};
	struct ibv_sge sge = {.addr = (uintptr_t)to, .length = sizeof(to), .lkey = to_mr->lkey};
	struct ibv_send_wr wr = {
		.wr_id = (uintptr_t)&work,
		.sg_list = &sge,
		.num_sge = 1,
		.opcode = IBV_WR_RDMA_READ,
		.send_flags = IBV_SEND_SIGNALED,
		.wr.rdma = {.remote_addr = (uintptr_t)from, .rkey = from_mr->rkey},
	};
	struct pollfd fd = {.fd = link_hub_fd(client.hub), .events = POLLIN};

	assert_int_equal(link_hub_arm(client.hub), 0);
	read_over = false;
	assert_int_equal(ibv_post_send(link_qp(link), &wr, &bad), 0);
	assert_int_equal(poll(&fd, 1, (int)(PATIENCE_NS / NS_PER_MS)), 1);
	(void)link_hub_turn(client.hub, clock_now_ns());
	assert_true(read_over);
	assert_int_equal(read_status, IBV_WC_SUCCESS);
	close_both(link);
	assert_int_equal(ibv_dereg_mr(from_mr), 0);
	assert_int_equal(ibv_dereg_mr(to_mr), 0);
	end();
}

/*
 * Leaks
 */

static unsigned count_fds(void)
{
	DIR *folder = opendir("/proc/self/fd");
	unsigned count = 0;

	assert_non_null(folder);
	while (readdir(folder))
		count++;
	closedir(folder);
	return count;
}

static long resident_pages(void)
{
	FILE *file = fopen("/proc/self/statm", "r");
	long size, resident;

	assert_non_null(file);
	assert_int_equal(fscanf(file, "%ld %ld", &size, &resident), 2);
	fclose(file);
	return resident;
}

/* Lines of 'rdma resource show KIND': objects that the kernel has. */
static unsigned count_resource(const char *kind)
{
	char command[64];
	unsigned lines = 0;
	FILE *pipe;

	snprintf(command, sizeof(command), "rdma resource show %s", kind);
	pipe = popen(command, "r");
	assert_non_null(pipe);
	for (int c = getc(pipe); c != EOF; c = getc(pipe))
		lines += c == '\n';
	assert_int_equal(pclose(pipe), 0);
	return lines;
}

static void turn_until_links(const struct node *node, unsigned count)
{
	uint64_t until = clock_now_ns() + PATIENCE_NS;

	while (link_hub_stats(node->hub).links != count && clock_now_ns() < until)
		turn();
	assert_int_equal(link_hub_stats(node->hub).links, count);
}

/* Connects and disconnects GROUP links at a time, since most of the way is waiting. */
static void cycle(unsigned long count)
{
	struct link *links[GROUP];

	for (unsigned long i = 0; i < count; i += GROUP) {
		for (unsigned j = 0; j < GROUP; j++)
			links[j] = connect_to(&server.bound, PATIENCE_NS);
		for (unsigned j = 0; j < GROUP; j++)
			turn_until(links[j], LINK_READY);
		/* Either side may be the one that ends them. */
		if (i / GROUP % 2 == 0) {
			for (unsigned j = 0; j < GROUP; j++)
				link_close(links[j]);
			turn_until_links(&server, 0);
			continue;
		}
		for (unsigned j = 0; j < GROUP; j++)
			if (server.hub->links[j].used)
				link_close(&server.hub->links[j]);
		for (unsigned j = 0; j < GROUP; j++) {
			turn_until(links[j], LINK_ENDED);
			link_close(links[j]);
		}
	}
}

static void cycles_of_connecting_leak_nothing(void **state)
{
	static const char *const kinds[] = {"qp", "cq", "pd", "mr", "cm_id"};
	unsigned before[ARRAY_COUNT(kinds)];
	unsigned after, fds;
	uint64_t start_ns;
	long pages;

	(void)state;
	begin(secret, secret);
	/* The heap, and the kernel's tables, take their size. */
	cycle(WARM_CYCLES);
	fds = count_fds();
	pages = resident_pages();
	for (size_t i = 0; i < ARRAY_COUNT(kinds); i++)
		before[i] = count_resource(kinds[i]);
	start_ns = clock_now_ns();
	cycle(cycles);
	print_message("%lu cycles in %.1f s, resident pages %ld -> %ld, fds %u -> %u\n", cycles,
		      (double)(clock_now_ns() - start_ns) / (double)NS_PER_S, pages,
		      resident_pages(), fds, count_fds());
	assert_int_equal(count_fds(), fds);
	assert_true(resident_pages() - pages < GROWTH_PAGES_MAX);
	for (size_t i = 0; i < ARRAY_COUNT(kinds); i++) {
		after = count_resource(kinds[i]);
		print_message("%s %u -> %u\n", kinds[i], before[i], after);
		assert_int_equal(after, before[i]);
	}
	assert_int_equal(link_hub_stats(server.hub).links, 0);
	assert_int_equal(link_hub_stats(client.hub).links, 0);
	assert_int_equal(link_hub_stats(server.hub).accepted, cycles + WARM_CYCLES);
	end();
}

/*
 * Two devices, and the loss of one
 */

static void a_way_leads_over_the_device_that_was_chosen(void **state)
{
	const char *peer = getenv("RXE_PEER_DEVICE");
	struct link *link;

	(void)state;
	if (!peer)
		skip();
	begin_at(peer, secret, secret);
	assert_string_not_equal(device_info(server.device)->name, device_info(client.device)->name);
	link = connect_to(&server.bound, PATIENCE_NS);
	turn_until(link, LINK_READY);
	close_both(link);
	end();
}

/* Runs a command without waiting for it. */
static pid_t begin_command(const char *const arguments[])
{
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		execvp(arguments[0], (char *const *)arguments);
		_exit(127);
	}
	return pid;
}

static void expect_success(pid_t pid)
{
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

/* A device for this alone: others are in use. */
#define GONE_DEVICE  "rxe9"
#define GONE_NETDEV  "tern-gone"
#define GONE_PEER    "tern-gone1"
#define GONE_ADDRESS "10.78.0.1/24"

/*
 * In a process of its own: a link, the command that removes its device, and the link's end.
 * SoftRoCE can't take a device away from a process, so the command waits until the process ends:
 * librdmacm keeps the device open.
 */
static _Noreturn void lose_the_device(void)
{
	const char *const remove[] = {"rdma", "link", "delete", GONE_DEVICE, NULL};
	uint64_t until = clock_now_ns() + PATIENCE_NS;
	struct addr addr;
	struct link *link;

	open_node(&server, GONE_DEVICE, 7, secret);
	open_node(&client, GONE_DEVICE, 0, secret);
	if (!device_addr(server.device, 0, &addr) ||
	    link_listen(server.hub, &addr, &server.bound, error, sizeof(error)) < 0)
		_exit(2);
	link = connect_to(&server.bound, PATIENCE_NS);
	turn_until(link, LINK_READY);
	(void)begin_command(remove);
	while (link_state(link) != LINK_ENDED && clock_now_ns() < until) {
		(void)device_event(client.device);
		(void)device_event(server.device);
		turn();
	}
	print_message("%s\n", link_error(link));
	if (link_state(link) != LINK_ENDED || !strstr(link_error(link), "removed"))
		_exit(1);
	end();
	_exit(0);
}

/* A device learns its interface's addresses some time after it was made. */
static void wait_for_address(const struct device_options *options)
{
	uint64_t until = clock_now_ns() + PATIENCE_NS;
	bool has_address = false;

	while (!has_address && clock_now_ns() < until) {
		struct device *device;
		struct addr addr;

		if (device_open(real_verbs_ops(), options, &device, error, sizeof(error)) == 0) {
			has_address = device_addr(device, 0, &addr) && addr_is_ipv4(&addr);
			device_close(device);
		}
		usleep(10000);
	}
	assert_true(has_address);
}

static void the_removal_of_a_device_ends_its_links(void **state)
{
	const struct device_options options = {.name = GONE_DEVICE, .gid_index = -1};
	const char *const add_netdev[] = {"ip",   "link", "add",  GONE_NETDEV, "type",
					  "veth", "peer", "name", GONE_PEER,   NULL};
	const char *const peer_up[] = {"ip", "link", "set", GONE_PEER, "up", NULL};
	const char *const add_addr[] = {"ip",  "address",   "add", GONE_ADDRESS,
					"dev", GONE_NETDEV, NULL};
	const char *const up[] = {"ip", "link", "set", GONE_NETDEV, "up", NULL};
	const char *const add[] = {"rdma", "link",   "add",       GONE_DEVICE, "type",
				   "rxe",  "netdev", GONE_NETDEV, NULL};
	const char *const remove_netdev[] = {"ip", "link", "delete", GONE_NETDEV, NULL};
	uint64_t until = clock_now_ns() + PATIENCE_NS;
	struct device *device;
	pid_t pid;

	(void)state;
	expect_success(begin_command(add_netdev));
	expect_success(begin_command(add_addr));
	expect_success(begin_command(up));
	expect_success(begin_command(peer_up));
	expect_success(begin_command(add));
	wait_for_address(&options);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		lose_the_device();
	expect_success(pid);
	while (device_open(real_verbs_ops(), &options, &device, error, sizeof(error)) == 0) {
		device_close(device);
		assert_true(clock_now_ns() < until);
		usleep(10000);
	}
	expect_success(begin_command(remove_netdev));
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_removal_of_a_device_ends_its_links),
		cmocka_unit_test(two_sides_become_ready_and_part),
		cmocka_unit_test(the_end_of_the_listening_side_is_told),
		cmocka_unit_test(another_secret_is_found_out),
		cmocka_unit_test(a_port_without_a_listener_is_told_from_one_that_doesnt_answer),
		cmocka_unit_test(an_address_that_isnt_there_is_refused),
		cmocka_unit_test(an_address_that_isnt_ours_cant_be_listened_at),
		cmocka_unit_test(who_has_proved_itself_reads_and_others_dont),
		cmocka_unit_test(an_armed_hub_wakes_its_sleeper),
		cmocka_unit_test(a_way_leads_over_the_device_that_was_chosen),
		cmocka_unit_test(cycles_of_connecting_leak_nothing),
	};
	struct device_info info;

	if (argc > 1)
		cycles = align_up(strtoul(argv[1], NULL, 10), GROUP);
	if (device_list(real_verbs_ops(), &info, 1) == 0) {
		printf("skipped: there is no RDMA device\n");
		return TEST_SKIP;
	}
	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
