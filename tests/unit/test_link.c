/* SPDX-License-Identifier: Apache-2.0 */
#include "rdma/link.h"
#include "base/defs.h"
#include "rdma/link_handshake.h"
#include "tests/lib/fake_verbs.h"
#include "tests/lib/test.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

#define STEP_NS     UINT64_C(1000000)
#define PATIENCE_NS (1000 * STEP_NS)

static char error[DEVICE_ERROR_MAX];

/* A device, a hub, and the links that it told of. */
struct node {
	struct device *device;
	struct link_hub *hub;
	struct addr bound;
	struct link *last; /* that changed */
	enum link_state last_state;
	unsigned changes;
	bool close_ended;
	bool cut_proving; /* the network, as soon as a link has sent its proof */
};

static struct node server, client;
static uint64_t now_ns;

static void changed(void *context, struct link *link)
{
	struct node *node = context;

	node->last = link;
	node->last_state = link_state(link);
	node->changes++;
	if (node->cut_proving && link_state(link) == LINK_PROVING)
		fake_verbs_cut(true);
	if (node->close_ended && link_state(link) == LINK_ENDED) {
		link_close(link);
		node->last = NULL;
	}
}

static const uint8_t other_secret[LINK_SECRET_SIZE] = "another one";
static const uint8_t secret[LINK_SECRET_SIZE] = "a secret of all the members";

/* The server's shards. */
static bool has_shard(void *context, uint32_t vshard)
{
	const struct node *node = context;

	assert_ptr_equal(node, &server);
	return vshard == 0 || vshard == 41 || vshard == UINT16_MAX - 1;
}

static void open_node(struct node *node, const struct verbs_ops *ops, uint64_t number,
		      const uint8_t *key)
{
	const struct link_hub_config config = {
		.node = number,
		.secret = key,
		.link_max = 8,
		.send_depth = 16,
		.seed = number + 1,
		.changed = changed,
		.has_shard = node == &server ? has_shard : NULL,
		.context = node,
	};

	memset(node, 0, sizeof(*node));
	assert_int_equal(device_open(ops, &(struct device_options){.gid_index = -1}, &node->device,
				     error, sizeof(error)),
			 0);
	assert_int_equal(link_hub_new(node->device, &config, &node->hub, error, sizeof(error)), 0);
}

static void close_node(struct node *node)
{
	link_hub_free(node->hub);
	device_close(node->device);
}

static void listen_at(struct node *node)
{
	struct addr addr;

	assert_int_equal(addr_parse("10.77.0.1:0", 0, &addr), 0);
	assert_int_equal(link_listen(node->hub, &addr, &node->bound, error, sizeof(error)), 0);
	assert_int_not_equal(node->bound.port, 0);
}

static void turn(unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		now_ns += STEP_NS;
		(void)link_hub_turn(server.hub, now_ns);
		(void)link_hub_turn(client.hub, now_ns);
	}
}

static void begin(const struct fake_verbs_config *config, const uint8_t *server_key,
		  const uint8_t *client_key)
{
	const struct verbs_ops *ops = fake_verbs_new(config);

	open_node(&server, ops, 7, server_key);
	open_node(&client, ops, 0, client_key);
	listen_at(&server);
}

static void end(void)
{
	close_node(&client);
	close_node(&server);
	assert_int_equal(fake_verbs_live(), 0);
}

static const struct fake_verbs_config one_device = {.seed = 1, .devices = 1};

static struct link_options options_to(struct addr to)
{
	return (struct link_options){.to = to, .deadline_ns = now_ns + PATIENCE_NS};
}

static struct link *connect_with(const struct link_options *options)
{
	struct link *link;

	assert_int_equal(link_connect(client.hub, options, now_ns, &link, error, sizeof(error)), 0);
	assert_int_equal(link_state(link), LINK_CONNECTING);
	return link;
}

static struct link *connect_to(struct addr to)
{
	struct link_options options = options_to(to);

	return connect_with(&options);
}

static struct link *connect_ready(void)
{
	struct link *link = connect_to(server.bound);

	turn(10);
	assert_int_equal(link_state(link), LINK_READY);
	return link;
}

static void two_sides_with_the_same_secret_become_ready(void **state)
{
	uint8_t proof[LINK_PROOF_SIZE], theirs[LINK_PROOF_SIZE];
	struct link *link;

	(void)state;
	begin(&one_device, secret, secret);
	link = connect_ready();
	assert_int_equal(link_peer_node(link), 7);
	assert_false(link_is_accepted(link));
	assert_int_equal(link_reads_max(link), 16);
	assert_int_equal(server.changes, 1);
	assert_int_equal(link_state(server.last), LINK_READY);
	assert_true(link_is_accepted(server.last));
	link_proof(link, proof);
	link_proof(server.last, theirs);
	assert_memory_equal(proof, theirs, sizeof(proof));
	assert_ptr_equal(link_find(server.hub, proof), server.last);
	assert_null(link_find(client.hub, proof));
	proof[31] ^= 1;
	assert_null(link_find(server.hub, proof));
	assert_int_equal(link_hub_stats(client.hub).connected, 1);
	assert_int_equal(link_hub_stats(server.hub).accepted, 1);
	end();
}

/* Connects; expects an end that says 'words', and no link left at the server. */
static void expect_refusal(struct addr to, const char *words)
{
	struct link *link = connect_to(to);

	turn(10);
	assert_int_equal(link_state(link), LINK_ENDED);
	if (!strstr(link_error(link), words))
		fail_msg("'%s' isn't in '%s'", words, link_error(link));
	link_close(link);
	turn(5);
	assert_int_equal(link_hub_stats(server.hub).links, 0);
	assert_int_equal(link_hub_stats(client.hub).links, 0);
}

static void another_secret_is_refused_by_the_connecting_side(void **state)
{
	(void)state;
	begin(&one_device, secret, other_secret);
	expect_refusal(server.bound, "secret");
	assert_int_equal(link_hub_stats(server.hub).refused_secret, 1);
	assert_int_equal(link_hub_stats(client.hub).failed, 1);
	assert_int_equal(server.changes, 0);
	end();
	begin(&one_device, secret, NULL);
	expect_refusal(server.bound, "secret");
	end();
}

static void without_a_secret_anybody_becomes_ready(void **state)
{
	(void)state;
	begin(&one_device, NULL, NULL);
	(void)connect_ready();
	end();
}

/*
 * Peers that aren't Tern
 */

/* Replaces one byte, then the size when that is less than 255. */
struct change {
	unsigned offset;
	uint8_t value;
	unsigned size;
};

static uint8_t mangle(void *context, uint8_t bytes[255], uint8_t size)
{
	const struct change *change = context;

	bytes[change->offset] = change->value;
	return change->size < 255 ? (uint8_t)change->size : size;
}

static void a_wrong_proof_is_refused_by_the_listening_side(void **state)
{
	struct change changes[] = {{8, 0x5A, 255}, {39, 0x5A, 255}, {4, LINK_FIRST_WELCOME, 255},
				   {0, 0, 255},    {0, 'T', 39},    {0, 'T', 41}};

	(void)state;
	begin(&one_device, secret, secret);
	for (size_t i = 0; i < ARRAY_COUNT(changes); i++) {
		fake_verbs_mangle_send(mangle, &changes[i]);
		expect_refusal(server.bound, "ended the connection");
		assert_int_equal(link_hub_stats(server.hub).refused_secret, i + 1);
	}
	assert_int_equal(link_hub_stats(server.hub).ended, 0); /* they were never ready */
	assert_int_equal(server.changes, 0);
	fake_verbs_mangle_send(NULL, NULL);
	(void)connect_ready();
	end();
}

static void requests_that_are_no_hello_are_refused_with_the_reason(void **state)
{
	static const struct {
		struct change change;
		const char *words;
	} cases[] = {
		{{0, 'X', 255}, "another program"},   {{4, 2, 255}, "another version"},
		{{5, LINK_FRAMES, 255}, "no frames"}, {{5, 2, 255}, "another program"},
		{{0, 'T', 47}, "another program"},    {{0, 'T', 0}, "another program"},
	};

	(void)state;
	begin(&one_device, secret, secret);
	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		struct change change = cases[i].change;

		fake_verbs_mangle(mangle, &change);
		expect_refusal(server.bound, cases[i].words);
	}
	assert_int_equal(link_hub_stats(server.hub).refused_malformed, 5);
	assert_int_equal(link_hub_stats(server.hub).refused_other, 1);
	(void)connect_ready();
	end();
}

static struct link_options options_for(uint16_t shard)
{
	struct link_options options = options_to(server.bound);

	options.shard = shard;
	return options;
}

static void a_link_names_its_shard_which_both_sides_know(void **state)
{
	static const uint32_t vshards[] = {0, 41, UINT16_MAX - 1};

	(void)state;
	begin(&one_device, secret, secret);
	for (size_t i = 0; i < ARRAY_COUNT(vshards); i++) {
		struct link_options options = options_for(link_shard_name(vshards[i]));
		struct link *link = connect_with(&options);

		turn(10);
		assert_int_equal(link_state(link), LINK_READY);
		assert_int_equal(link_shard(link), vshards[i] + 1);
		assert_int_equal(link_shard(server.last), vshards[i] + 1);
		link_close(link);
		turn(10);
	}
	assert_int_equal(link_shard(connect_ready()), LINK_NO_SHARD);
	assert_int_equal(link_shard(server.last), LINK_NO_SHARD);
	assert_int_equal(link_shard_name(UINT16_MAX), LINK_NO_SHARD);
	assert_int_equal(link_shard_name(UINT32_MAX), LINK_NO_SHARD);
	end();
}

static void a_shard_that_isnt_there_is_refused_with_the_reason(void **state)
{
	static const uint32_t vshards[] = {1, 40, 42, UINT16_MAX - 2};

	(void)state;
	begin(&one_device, secret, secret);
	for (size_t i = 0; i < ARRAY_COUNT(vshards); i++) {
		struct link_options options = options_for(link_shard_name(vshards[i]));
		struct link *link = connect_with(&options);

		turn(10);
		assert_int_equal(link_state(link), LINK_ENDED);
		assert_non_null(strstr(link_error(link), "doesn't have that shard"));
		assert_int_equal(link_hub_stats(server.hub).refused_other, i + 1);
		assert_int_equal(link_hub_stats(server.hub).links, 0);
		link_close(link);
	}
	end();
}

/* Mangles what comes second: the answer. */
static uint8_t mangle_answer(void *context, uint8_t bytes[255], uint8_t size)
{
	(void)bytes, (void)size;
	fake_verbs_mangle(mangle, context);
	return LINK_REQUEST_DATA_MAX;
}

static void answers_that_arent_terns_are_told(void **state)
{
	static const struct {
		struct change change;
		const char *words;
	} cases[] = {
		{{0, 'X', 255}, "isn't Tern"},   {{4, 9, 255}, "version"},
		{{5, LINK_FRAMES, 255}, "Tern"}, {{8, 8, 255}, "secret"},
		{{79, 0xA5, 255}, "secret"},     {{0, 'T', 79}, "isn't Tern"},
		{{0, 'T', 0}, "isn't Tern"},
	};

	(void)state;
	begin(&one_device, secret, secret);
	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		struct change change = cases[i].change;

		fake_verbs_mangle(mangle_answer, &change);
		expect_refusal(server.bound, cases[i].words);
	}
	(void)connect_ready();
	end();
}

static void who_doesnt_prove_itself_in_time_is_cut_off(void **state)
{
	struct link *link;

	(void)state;
	begin(&one_device, secret, secret);
	client.cut_proving = true;
	link = connect_to(server.bound);
	turn(10);
	assert_int_equal(link_state(link), LINK_PROVING);
	assert_int_equal(link_hub_stats(server.hub).links, 1);
	turn((unsigned)(LINK_PROVE_NS / STEP_NS) + 2);
	assert_int_equal(link_hub_stats(server.hub).links, 0);
	assert_int_equal(link_hub_stats(server.hub).refused_late, 1);
	assert_int_equal(server.changes, 0);
	assert_int_equal(link_state(link), LINK_ENDED);
	end();
}

/*
 * Ways not to get there
 */

static void addresses_that_lead_nowhere_are_told_apart(void **state)
{
	struct link_options options;
	struct addr addr;
	struct link *link;

	(void)state;
	begin(&(struct fake_verbs_config){.devices = 2}, secret, secret);
	addr = server.bound;
	addr.port ^= 1;
	expect_refusal(addr, "nobody listens");
	assert_int_equal(addr_parse("10.77.0.99:7", 0, &addr), 0);
	expect_refusal(addr, "can't be reached");
	assert_int_equal(addr_parse("192.0.2.1:7", 0, &addr), 0);
	options = options_to(addr);
	assert_int_equal(link_connect(client.hub, &options, now_ns, &link, error, sizeof(error)),
			 -ENETUNREACH);
	assert_non_null(strstr(error, "192.0.2.1:7"));
	end();
}

static void an_address_that_is_slow_to_answer_is_asked_again_until_the_deadline(void **state)
{
	struct link *link;

	(void)state;
	begin(&one_device, secret, secret);
	fake_verbs_slow_addresses(3);
	(void)connect_ready();
	fake_verbs_slow_addresses(UINT32_MAX);
	link = connect_to(server.bound);
	turn((unsigned)(PATIENCE_NS / STEP_NS) - 2);
	assert_int_equal(link_state(link), LINK_CONNECTING);
	turn(3);
	assert_int_equal(link_state(link), LINK_ENDED);
	assert_non_null(strstr(link_error(link), "can't be reached from device fake0"));
	end();
}

/* A listener at all addresses gets what comes to other devices, too. */
static void peers_that_come_over_another_device_are_refused(void **state)
{
	const struct verbs_ops *ops = fake_verbs_new(&(struct fake_verbs_config){.devices = 2});
	struct addr addr;

	(void)state;
	open_node(&server, ops, 7, secret);
	open_node(&client, ops, 0, secret);
	assert_int_equal(addr_parse("0.0.0.0:7", 0, &addr), 0);
	assert_int_equal(link_listen(server.hub, &addr, &server.bound, error, sizeof(error)), 0);
	assert_int_equal(addr_parse("10.77.0.2:7", 0, &addr), 0);
	expect_refusal(addr, "another of its devices");
	assert_int_equal(link_hub_stats(server.hub).refused_other, 1);
	assert_int_equal(addr_parse("10.77.0.1:7", 0, &server.bound), 0);
	(void)connect_ready();
	end();
}

static void who_doesnt_answer_is_given_up_at_the_deadline(void **state)
{
	struct link *link;

	(void)state;
	begin(&one_device, secret, secret);
	fake_verbs_cut(true);
	link = connect_to(server.bound);
	turn((unsigned)(PATIENCE_NS / STEP_NS) - 2);
	assert_int_equal(link_state(link), LINK_CONNECTING);
	turn(3);
	assert_int_equal(link_state(link), LINK_ENDED);
	assert_non_null(strstr(link_error(link), "4791"));
	end();
}

static void links_have_a_limit_on_both_sides(void **state)
{
	struct link_options options;
	struct link *links[8];
	struct link *link;

	(void)state;
	begin(&one_device, secret, secret);
	for (size_t i = 0; i < ARRAY_COUNT(links); i++)
		links[i] = connect_ready();
	options = options_to(server.bound);
	assert_int_equal(link_connect(client.hub, &options, now_ns, &link, error, sizeof(error)),
			 -ENOSPC);
	/* Only this side's end goes: the listener still has eight when the next request comes. */
	fake_verbs_cut(true);
	link_close(links[0]);
	fake_verbs_cut(false);
	link = connect_to(server.bound);
	turn(10);
	assert_int_equal(link_state(link), LINK_ENDED);
	assert_non_null(strstr(link_error(link), "all the links"));
	assert_int_equal(link_hub_stats(server.hub).refused_full, 1);
	end();
}

static void a_small_completion_queue_holds_fewer_links(void **state)
{
	struct link *link;

	(void)state;
	/* A link has 16 + 2 completions here. */
	begin(&(struct fake_verbs_config){.devices = 1, .cqe_max = 40}, secret, secret);
	(void)connect_ready();
	(void)connect_ready();
	link = connect_to(server.bound);
	turn(10);
	assert_int_equal(link_state(link), LINK_ENDED);
	assert_non_null(strstr(link_error(link), "RLIMIT_MEMLOCK"));
	end();
}

static void hubs_that_cant_be_say_why(void **state)
{
	const struct verbs_ops *ops =
		fake_verbs_new(&(struct fake_verbs_config){.devices = 1, .cqe_max = 10});
	struct link_hub_config config = {.link_max = 1, .send_depth = 16, .changed = changed};
	struct link_hub *hub;

	(void)state;
	assert_int_equal(device_open(ops, &(struct device_options){.gid_index = -1}, &server.device,
				     error, sizeof(error)),
			 0);
	assert_int_equal(link_hub_new(server.device, &config, &hub, error, sizeof(error)), -EINVAL);
	assert_non_null(strstr(error, "no room for 1 links of 16"));
	config.send_depth = 100000;
	assert_int_equal(link_hub_new(server.device, &config, &hub, error, sizeof(error)), -EINVAL);
	assert_non_null(strstr(error, "requests, not 100000"));
	config.send_depth = 1;
	config.link_max = 0;
	assert_int_equal(link_hub_new(server.device, &config, &hub, error, sizeof(error)), -EINVAL);
	assert_non_null(strstr(error, "1 to 4096"));
	device_close(server.device);
	assert_int_equal(fake_verbs_live(), 0);
}

/*
 * Life
 */

static void the_end_of_one_side_ends_the_other(void **state)
{
	struct link *link;

	(void)state;
	begin(&one_device, secret, secret);
	link = connect_ready();
	link_close(link);
	turn(2);
	assert_int_equal(server.changes, 2);
	assert_int_equal(server.last_state, LINK_ENDED);
	assert_int_equal(link_hub_stats(server.hub).ended, 1);
	link_close(server.last);
	link = connect_ready();
	link_close(server.last);
	turn(2);
	assert_int_equal(link_state(link), LINK_ENDED);
	end();
}

static void a_link_may_be_closed_while_it_is_told_of(void **state)
{
	struct link *link;

	(void)state;
	begin(&one_device, secret, secret);
	server.close_ended = true;
	client.close_ended = true;
	link = connect_ready();
	link_close(link);
	turn(2);
	assert_int_equal(link_hub_stats(server.hub).links, 0);
	fake_verbs_cut(true);
	(void)connect_to(server.bound);
	turn((unsigned)(PATIENCE_NS / STEP_NS) + 1);
	assert_int_equal(link_hub_stats(client.hub).links, 0);
	end();
}

static void removal_of_the_device_ends_all_links(void **state)
{
	struct link *links[3];

	(void)state;
	begin(&one_device, secret, secret);
	links[0] = connect_ready();
	links[1] = connect_ready();
	links[2] = connect_to(server.bound);
	fake_verbs_remove("fake0");
	turn(2);
	for (size_t i = 0; i < ARRAY_COUNT(links); i++) {
		assert_int_equal(link_state(links[i]), LINK_ENDED);
		if (!strstr(link_error(links[i]), "removed"))
			fail_msg("link %zu: %s", i, link_error(links[i]));
	}
	assert_int_equal(link_hub_stats(server.hub).ended, 2);
	end();
}

static void the_event_of_removal_alone_ends_all_links(void **state)
{
	struct link *link;

	(void)state;
	begin(&one_device, secret, secret);
	link = connect_ready();
	fake_verbs_event("fake0", IBV_EVENT_DEVICE_FATAL);
	assert_int_equal(device_event(client.device), DEVICE_EVENT_REMOVED);
	turn(1);
	assert_int_equal(link_state(link), LINK_ENDED);
	end();
}

/* Every call that can fail does so once, while a link is made. */
static void a_failure_of_any_call_leaves_nothing_behind(void **state)
{
	unsigned n = 0;
	bool failed;

	(void)state;
	do {
		struct link_options options;
		struct link *link;
		unsigned calls;
		int status;

		begin(&one_device, secret, secret);
		server.close_ended = true;
		calls = fake_verbs_calls();
		fake_verbs_fail_at(++n);
		options = options_to(server.bound);
		status = link_connect(client.hub, &options, now_ns, &link, error, sizeof(error));
		failed = status < 0;
		if (failed) {
			assert_true(error[0] != '\0');
		} else {
			turn((unsigned)(LINK_PROVE_NS / STEP_NS) + 10);
			failed = link_state(link) == LINK_ENDED;
			assert_true(failed || link_state(link) == LINK_READY);
			assert_true(!failed || link_error(link)[0] != '\0');
			link_close(link);
		}
		fake_verbs_fail_at(0);
		turn(2);
		assert_int_equal(link_hub_stats(server.hub).links, 0);
		assert_true(fake_verbs_calls() > calls);
		(void)connect_ready();
		end();
	} while (n < 30);
	/* The last ones fall behind the handshake's end, so nothing failed. */
	assert_false(failed);
}

static void a_failure_of_any_call_of_a_new_hub_leaves_nothing_behind(void **state)
{
	const struct link_hub_config config = {.link_max = 4, .send_depth = 4, .changed = changed};
	unsigned n = 0;
	int status;

	(void)state;
	do {
		const struct verbs_ops *ops = fake_verbs_new(&one_device);
		struct link_hub *hub;
		struct addr addr, bound;

		assert_int_equal(device_open(ops, &(struct device_options){.gid_index = -1},
					     &server.device, error, sizeof(error)),
				 0);
		fake_verbs_fail_at(++n);
		status = link_hub_new(server.device, &config, &hub, error, sizeof(error));
		if (status == 0) {
			assert_int_equal(addr_parse("10.77.0.1:7", 0, &addr), 0);
			status = link_listen(hub, &addr, &bound, error, sizeof(error));
			link_hub_free(hub);
		}
		assert_true(status == 0 || (status == -ENOMEM && error[0] != '\0'));
		device_close(server.device);
		assert_int_equal(fake_verbs_live(), 0);
	} while (status < 0 && n < 20);
	assert_in_range(n, 5, 19);
}

/*
 * Reading
 */

struct reading {
	struct link_work work;
	unsigned done;
	enum ibv_wc_status status;
	struct link *link;
};

static void read_done(struct link_work *work, struct link *link, const struct ibv_wc *completion)
{
	struct reading *reading = CONTAINER_OF(work, struct reading, work);

	reading->done++;
	reading->status = completion->status;
	reading->link = link;
}

static struct reading reading = {.work = {.done = read_done}};
static uint8_t from[256], to[256];
static struct ibv_mr *from_mr, *to_mr;

static void register_both(void)
{
	memset(from, 0x77, sizeof(from));
	memset(to, 0, sizeof(to));
	assert_int_equal(device_register(server.device, from, sizeof(from), IBV_ACCESS_REMOTE_READ,
					 &from_mr, error, sizeof(error)),
			 0);
	assert_int_equal(device_register(client.device, to, sizeof(to), IBV_ACCESS_LOCAL_WRITE,
					 &to_mr, error, sizeof(error)),
			 0);
}

static void unregister_both(void)
{
	assert_int_equal(device_ops(server.device)->dereg_mr(from_mr), 0);
	assert_int_equal(device_ops(client.device)->dereg_mr(to_mr), 0);
}

static void post_read(struct link *link, uint32_t rkey)
{
	struct ibv_sge sge = {.addr = (uintptr_t)to, .length = sizeof(to), .lkey = to_mr->lkey};
	struct ibv_send_wr wr = {
		.wr_id = (uintptr_t)&reading.work,
		.sg_list = &sge,
		.num_sge = 1,
		.opcode = IBV_WR_RDMA_READ,
		.send_flags = IBV_SEND_SIGNALED,
		.wr.rdma = {.remote_addr = (uintptr_t)from, .rkey = rkey},
	};
	struct ibv_send_wr *bad;

	reading.done = 0;
	assert_int_equal(device_ops(link_device(link))->post_send(link_qp(link), &wr, &bad), 0);
}

static void a_ready_peer_reads_what_its_key_allows(void **state)
{
	struct link *link;

	(void)state;
	begin(&one_device, secret, secret);
	register_both();
	link = connect_ready();
	post_read(link, from_mr->rkey);
	turn(1);
	assert_int_equal(reading.done, 1);
	assert_int_equal(reading.status, IBV_WC_SUCCESS);
	assert_ptr_equal(reading.link, link);
	assert_memory_equal(from, to, sizeof(to));
	unregister_both();
	end();
}

static void who_hasnt_proved_itself_reads_nothing(void **state)
{
	struct link *link;

	(void)state;
	begin(&one_device, secret, secret);
	register_both();
	link = connect_to(server.bound);
	while (link_state(link) == LINK_CONNECTING)
		turn(1);
	/* The proof is on its way, the server takes no turn to look at it. */
	post_read(link, from_mr->rkey);
	(void)link_hub_turn(client.hub, now_ns);
	assert_int_equal(reading.done, 1);
	assert_int_equal(reading.status, IBV_WC_REM_INV_REQ_ERR);
	assert_int_equal(to[0], 0);
	turn(2);
	assert_int_equal(link_hub_stats(server.hub).links, 0);
	unregister_both();
	end();
}

static void a_bad_guess_of_a_key_ends_the_guessers_link_alone(void **state)
{
	struct link *guesser, *good;

	(void)state;
	begin(&one_device, secret, secret);
	register_both();
	good = connect_ready();
	guesser = connect_ready();
	post_read(guesser, from_mr->rkey + 1);
	turn(2);
	assert_int_equal(reading.status, IBV_WC_REM_ACCESS_ERR);
	assert_int_equal(link_state(guesser), LINK_ENDED);
	assert_non_null(strstr(link_error(guesser), "refused the key"));
	/* The server knows by itself: the guesser hasn't disconnected. */
	assert_int_equal(server.last_state, LINK_ENDED);
	assert_int_equal(link_hub_stats(server.hub).ended, 1);
	post_read(good, from_mr->rkey);
	turn(1);
	assert_int_equal(reading.status, IBV_WC_SUCCESS);
	unregister_both();
	end();
}

static void a_send_on_a_link_for_reads_ends_it(void **state)
{
	struct ibv_sge sge = {.addr = (uintptr_t)to, .length = 4};
	struct ibv_send_wr wr = {.wr_id = (uintptr_t)&reading.work,
				 .sg_list = &sge,
				 .num_sge = 1,
				 .opcode = IBV_WR_SEND};
	struct ibv_send_wr *bad;
	struct link *link;

	(void)state;
	begin(&one_device, secret, secret);
	register_both();
	link = connect_ready();
	sge.lkey = to_mr->lkey;
	assert_int_equal(device_ops(client.device)->post_send(link_qp(link), &wr, &bad), 0);
	turn(2);
	assert_int_equal(server.last_state, LINK_ENDED);
	assert_non_null(strstr(link_error(server.last), "isn't for"));
	unregister_both();
	end();
}

static void completions_of_a_closed_link_reach_nobody(void **state)
{
	struct link *link;

	(void)state;
	begin(&one_device, secret, secret);
	register_both();
	server.close_ended = true;
	/* The fake device gives the next queue pair the same number, and keeps the completion. */
	for (unsigned i = 0; i < 20; i++) {
		link = connect_ready();
		post_read(link, from_mr->rkey);
		(void)link_hub_turn(server.hub, now_ns); /* carries it out */
		link_close(link);
		turn(1);
		assert_int_equal(reading.done, 0);
	}
	(void)connect_ready();
	assert_int_equal(reading.done, 0);
	unregister_both();
	end();
}

/*
 * In one turn: a link ends, its request is flushed, it is closed, and the next event makes a queue
 * pair, to which the device gives the same number.
 */
static void a_queue_pair_is_never_taken_for_an_older_one(void **state)
{
	struct link *link;

	(void)state;
	begin(&one_device, secret, secret);
	register_both();
	server.close_ended = true;
	client.close_ended = true;
	link = connect_ready();
	fake_verbs_set_faults(&(struct fake_verbs_faults){.delay = 1000, .delay_polls = 1000000});
	post_read(link, from_mr->rkey);
	link = connect_to(server.bound);
	link_close(server.last);
	(void)link_hub_turn(client.hub, now_ns);
	fake_verbs_set_faults(&(struct fake_verbs_faults){0});
	turn(10);
	assert_int_equal(reading.done, 0);
	assert_int_equal(link_state(link), LINK_READY);
	unregister_both();
	end();
}

static void an_armed_hub_wakes_its_sleeper(void **state)
{
	struct pollfd fd = {.events = POLLIN};
	struct link *link;

	(void)state;
	begin(&one_device, secret, secret);
	register_both();
	link = connect_ready();
	fd.fd = link_hub_fd(client.hub);
	assert_int_equal(link_hub_arm(client.hub), 0);
	assert_int_equal(poll(&fd, 1, 0), 0);
	post_read(link, from_mr->rkey);
	(void)link_hub_turn(server.hub, now_ns);
	assert_int_equal(poll(&fd, 1, 0), 1);
	turn(1);
	assert_int_equal(reading.done, 1);
	assert_int_equal(poll(&fd, 1, 0), 0);
	unregister_both();
	end();
}

static void faults_of_completions_end_in_an_ended_link_or_none(void **state)
{
	(void)state;
	begin(&one_device, secret, secret);
	register_both();
	for (unsigned i = 0; i < 4; i++) {
		struct link *link = connect_ready();

		fake_verbs_set_faults(&(struct fake_verbs_faults){
			.error = 1000,
			.status = i % 2 ? IBV_WC_RETRY_EXC_ERR : IBV_WC_LOC_QP_OP_ERR});
		post_read(link, from_mr->rkey);
		turn(1);
		fake_verbs_set_faults(&(struct fake_verbs_faults){0});
		assert_int_equal(reading.done, 1);
		assert_int_equal(link_state(link), LINK_ENDED);
		assert_non_null(strstr(link_error(link), i % 2 ? "stopped to answer" : "failed"));
		link_close(link);
		turn(2);
		assert_int_equal(server.last_state, LINK_ENDED);
		link_close(server.last);
	}
	unregister_both();
	end();
}

/*
 * Frames
 */

#define FRAME_SIZE  128
#define FRAME_COUNT 32

/* Receive buffers of one side; the wr_id is a buffer's index, shifted beside the mark. */
struct frames {
	struct ibv_srq *srq;
	struct ibv_mr *mr;
	uint8_t bytes[FRAME_COUNT][FRAME_SIZE];
	unsigned received, nobodys;
	struct link *link;
	uint8_t last[FRAME_SIZE];
};

static struct frames server_frames, client_frames;

static struct frames *frames_of(void *context)
{
	return context == &server ? &server_frames : &client_frames;
}

static void post_frame(struct node *node, uint64_t index)
{
	struct frames *frames = frames_of(node);
	struct ibv_sge sge = {.addr = (uintptr_t)frames->bytes[index],
			      .length = FRAME_SIZE,
			      .lkey = frames->mr->lkey};
	struct ibv_recv_wr wr = {
		.wr_id = index << 1 | LINK_WR_SHARED, .sg_list = &sge, .num_sge = 1};
	struct ibv_recv_wr *bad;

	assert_int_equal(device_ops(node->device)->post_srq_recv(frames->srq, &wr, &bad), 0);
}

static const uint8_t *frame_bytes(void *context, uint64_t wr_id)
{
	return frames_of(context)->bytes[wr_id >> 1];
}

static void frame_received(void *context, struct link *link, const struct ibv_wc *completion)
{
	struct frames *frames = frames_of(context);

	if (link) {
		frames->received++;
		frames->link = link;
		memcpy(frames->last, frames->bytes[completion->wr_id >> 1], FRAME_SIZE);
	} else {
		frames->nobodys++;
	}
	post_frame(context, completion->wr_id >> 1);
}

static void open_frames_node(struct node *node, const struct verbs_ops *ops)
{
	struct frames *frames = frames_of(node);
	struct ibv_srq_init_attr attr = {.attr = {.max_wr = FRAME_COUNT, .max_sge = 1}};
	struct link_hub_config config = {
		.secret = secret,
		.link_max = 4,
		.send_depth = 16,
		.changed = changed,
		.context = node,
		.srq_depth = FRAME_COUNT,
		.srq_bytes = frame_bytes,
		.received = frame_received,
	};

	memset(node, 0, sizeof(*node));
	memset(frames, 0, sizeof(*frames));
	assert_int_equal(device_open(ops, &(struct device_options){.gid_index = -1}, &node->device,
				     error, sizeof(error)),
			 0);
	frames->srq = ops->create_srq(device_pd(node->device), &attr);
	assert_non_null(frames->srq);
	assert_int_equal(device_register(node->device, frames->bytes, sizeof(frames->bytes),
					 IBV_ACCESS_LOCAL_WRITE, &frames->mr, error, sizeof(error)),
			 0);
	config.srq = frames->srq;
	assert_int_equal(link_hub_new(node->device, &config, &node->hub, error, sizeof(error)), 0);
	for (uint64_t i = 0; i < FRAME_COUNT; i++)
		post_frame(node, i);
}

static void close_frames_node(struct node *node)
{
	struct frames *frames = frames_of(node);

	link_hub_free(node->hub);
	assert_int_equal(device_ops(node->device)->destroy_srq(frames->srq), 0);
	assert_int_equal(device_ops(node->device)->dereg_mr(frames->mr), 0);
	device_close(node->device);
}

static void begin_frames(void)
{
	const struct verbs_ops *ops = fake_verbs_new(&one_device);

	open_frames_node(&server, ops);
	open_frames_node(&client, ops);
	listen_at(&server);
}

static void end_frames(void)
{
	close_frames_node(&client);
	close_frames_node(&server);
	assert_int_equal(fake_verbs_live(), 0);
}

static struct link *connect_frames(void)
{
	struct link_options options = options_to(server.bound);
	struct link *link;

	options.use = LINK_FRAMES;
	link = connect_with(&options);
	turn(10);
	assert_int_equal(link_state(link), LINK_READY);
	return link;
}

static void send_frame(struct link *link, struct ibv_mr *mr, uint8_t *bytes, uint8_t value)
{
	struct ibv_sge sge = {.addr = (uintptr_t)bytes, .length = FRAME_SIZE, .lkey = mr->lkey};
	struct ibv_send_wr wr = {.wr_id = (uintptr_t)&reading.work,
				 .sg_list = &sge,
				 .num_sge = 1,
				 .opcode = IBV_WR_SEND,
				 .send_flags = IBV_SEND_SIGNALED};
	struct ibv_send_wr *bad;

	memset(bytes, value, FRAME_SIZE);
	assert_int_equal(device_ops(link_device(link))->post_send(link_qp(link), &wr, &bad), 0);
}

static void frames_come_out_of_the_shared_queue_after_the_handshake(void **state)
{
	static uint8_t bytes[FRAME_SIZE];
	struct ibv_mr *mr;
	struct link *link;

	(void)state;
	begin_frames();
	assert_int_equal(
		device_register(client.device, bytes, sizeof(bytes), 0, &mr, error, sizeof(error)),
		0);
	link = connect_frames();
	assert_int_equal(server_frames.nobodys, 1);
	assert_int_equal(client_frames.nobodys, 1);
	assert_int_equal(server_frames.received, 0);
	/* More than the shared queue holds, since what was received is posted again. */
	for (unsigned i = 0; i < 3 * FRAME_COUNT; i++) {
		send_frame(link, mr, bytes, (uint8_t)i);
		turn(1);
		assert_int_equal(server_frames.received, i + 1);
		assert_int_equal(server_frames.last[FRAME_SIZE - 1], (uint8_t)i);
		assert_ptr_equal(server_frames.link, server.last);
	}
	link_close(link);
	turn(2);
	assert_int_equal(server.last_state, LINK_ENDED);
	assert_int_equal(device_ops(client.device)->dereg_mr(mr), 0);
	end_frames();
}

static void a_broken_queue_pair_without_a_guard_is_found_by_its_event(void **state)
{
	struct link *link;

	(void)state;
	begin_frames();
	register_both();
	link = connect_frames();
	post_read(link, from_mr->rkey + 1);
	turn(2);
	assert_int_equal(link_state(link), LINK_ENDED);
	assert_int_equal(server.last_state, LINK_READY);
	while (device_event(server.device) != DEVICE_EVENT_NONE)
		;
	turn(1);
	assert_int_equal(server.last_state, LINK_ENDED);
	unregister_both();
	end_frames();
}

static const struct verbs_ops *plain_ops;
static unsigned rights_given, disconnects;

/* A peer that offers more READs than any device of ours has. */
static int offer_much(struct rdma_cm_id *id, struct ibv_qp_attr *attr, int *mask)
{
	int status = plain_ops->init_qp_attr(id, attr, mask);

	attr->max_dest_rd_atomic = 200;
	attr->max_rd_atomic = 200;
	return status;
}

static int watch_modify(struct ibv_qp *qp, struct ibv_qp_attr *attr, int mask)
{
	if (mask & IBV_QP_ACCESS_FLAGS)
		rights_given |= attr->qp_access_flags;
	if ((mask & IBV_QP_STATE) && attr->qp_state == IBV_QPS_RTS)
		assert_true((mask & IBV_QP_TIMEOUT) && attr->timeout > 0);
	if (mask & IBV_QP_MAX_DEST_RD_ATOMIC)
		assert_int_equal(attr->max_dest_rd_atomic, 16);
	if (mask & IBV_QP_MAX_QP_RD_ATOMIC)
		assert_int_equal(attr->max_rd_atomic, 16);
	return plain_ops->modify_qp(qp, attr, mask);
}

static int count_disconnect(struct rdma_cm_id *id)
{
	disconnects++;
	return plain_ops->disconnect(id);
}

/* One that asks for few, and a listener that may not answer with more. */
static int ask_for_few(struct rdma_cm_id *id, struct rdma_conn_param *param)
{
	param->responder_resources = 3;
	param->initiator_depth = 2;
	return plain_ops->connect(id, param);
}

static int watch_accept(struct rdma_cm_id *id, struct rdma_conn_param *param)
{
	assert_int_equal(param->responder_resources, 2);
	assert_int_equal(param->initiator_depth, 3);
	return plain_ops->accept(id, param);
}

static void a_peer_gets_the_right_to_read_and_no_more_reads_than_the_device_has(void **state)
{
	struct verbs_ops ops;

	(void)state;
	plain_ops = fake_verbs_new(&one_device);
	ops = *plain_ops;
	ops.init_qp_attr = offer_much;
	ops.modify_qp = watch_modify;
	rights_given = 0;
	open_node(&server, &ops, 7, secret);
	open_node(&client, &ops, 0, secret);
	listen_at(&server);
	assert_int_equal(link_reads_max(connect_ready()), 16);
	assert_int_equal(rights_given, IBV_ACCESS_REMOTE_READ);
	end();
}

static void a_listener_offers_no_more_reads_than_it_is_asked_for(void **state)
{
	struct verbs_ops ops;
	struct link *link;

	(void)state;
	plain_ops = fake_verbs_new(&one_device);
	ops = *plain_ops;
	ops.connect = ask_for_few;
	ops.accept = watch_accept;
	ops.disconnect = count_disconnect;
	disconnects = 0;
	open_node(&server, &ops, 7, secret);
	open_node(&client, &ops, 0, secret);
	listen_at(&server);
	link = connect_ready();
	/* The peer is told of the end, and doesn't have to find out. */
	link_close(link);
	assert_int_equal(disconnects, 1);
	end();
}

static void the_deadline_itself_is_too_late(void **state)
{
	struct link *link;

	(void)state;
	begin(&one_device, secret, secret);
	fake_verbs_cut(true);
	link = connect_to(server.bound);
	turn(999);
	assert_int_equal(link_state(link), LINK_CONNECTING);
	assert_int_equal(link_hub_due_ns(client.hub), now_ns + STEP_NS);
	turn(1);
	assert_int_equal(link_state(link), LINK_ENDED);
	end();
}

static void an_ended_link_is_not_found_by_its_proof(void **state)
{
	uint8_t proof[LINK_PROOF_SIZE];
	struct link *link;

	(void)state;
	begin(&one_device, secret, secret);
	link = connect_ready();
	link_proof(link, proof);
	assert_ptr_equal(link_find(server.hub, proof), server.last);
	link_close(link);
	turn(2);
	assert_int_equal(server.last_state, LINK_ENDED);
	assert_null(link_find(server.hub, proof));
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(two_sides_with_the_same_secret_become_ready),
		cmocka_unit_test(another_secret_is_refused_by_the_connecting_side),
		cmocka_unit_test(without_a_secret_anybody_becomes_ready),
		cmocka_unit_test(a_wrong_proof_is_refused_by_the_listening_side),
		cmocka_unit_test(requests_that_are_no_hello_are_refused_with_the_reason),
		cmocka_unit_test(a_link_names_its_shard_which_both_sides_know),
		cmocka_unit_test(a_shard_that_isnt_there_is_refused_with_the_reason),
		cmocka_unit_test(answers_that_arent_terns_are_told),
		cmocka_unit_test(who_doesnt_prove_itself_in_time_is_cut_off),
		cmocka_unit_test(addresses_that_lead_nowhere_are_told_apart),
		cmocka_unit_test(
			an_address_that_is_slow_to_answer_is_asked_again_until_the_deadline),
		cmocka_unit_test(peers_that_come_over_another_device_are_refused),
		cmocka_unit_test(who_doesnt_answer_is_given_up_at_the_deadline),
		cmocka_unit_test(links_have_a_limit_on_both_sides),
		cmocka_unit_test(a_small_completion_queue_holds_fewer_links),
		cmocka_unit_test(hubs_that_cant_be_say_why),
		cmocka_unit_test(the_end_of_one_side_ends_the_other),
		cmocka_unit_test(a_link_may_be_closed_while_it_is_told_of),
		cmocka_unit_test(removal_of_the_device_ends_all_links),
		cmocka_unit_test(the_event_of_removal_alone_ends_all_links),
		cmocka_unit_test(a_failure_of_any_call_leaves_nothing_behind),
		cmocka_unit_test(a_failure_of_any_call_of_a_new_hub_leaves_nothing_behind),
		cmocka_unit_test(a_ready_peer_reads_what_its_key_allows),
		cmocka_unit_test(who_hasnt_proved_itself_reads_nothing),
		cmocka_unit_test(a_bad_guess_of_a_key_ends_the_guessers_link_alone),
		cmocka_unit_test(a_send_on_a_link_for_reads_ends_it),
		cmocka_unit_test(completions_of_a_closed_link_reach_nobody),
		cmocka_unit_test(a_queue_pair_is_never_taken_for_an_older_one),
		cmocka_unit_test(an_armed_hub_wakes_its_sleeper),
		cmocka_unit_test(faults_of_completions_end_in_an_ended_link_or_none),
		cmocka_unit_test(frames_come_out_of_the_shared_queue_after_the_handshake),
		cmocka_unit_test(a_broken_queue_pair_without_a_guard_is_found_by_its_event),
		cmocka_unit_test(
			a_peer_gets_the_right_to_read_and_no_more_reads_than_the_device_has),
		cmocka_unit_test(a_listener_offers_no_more_reads_than_it_is_asked_for),
		cmocka_unit_test(the_deadline_itself_is_too_late),
		cmocka_unit_test(an_ended_link_is_not_found_by_its_proof),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
