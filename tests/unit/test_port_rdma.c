/* SPDX-License-Identifier: Apache-2.0 */

/* The port on devices in memory: frames, credits, links that go and come, peers that break rules.
 */

#include "base/byteorder.h"
#include "base/rand.h"
#include "proto/session.h"
#include "rdma/port_rdma.h"
#include "tests/lib/fake_verbs.h"
#include "tests/lib/test.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

#define STEP_NS UINT64_C(1000000)

static char error[DEVICE_ERROR_MAX];
static uint64_t now_ns;

static uint64_t made_up_now(void)
{
	return now_ns;
}

struct end {
	struct device *device;
	struct port *port;
	struct port_queue *queue;
};

static struct end server, client;

static struct port_rdma_config node_config(void)
{
	struct port_rdma_config config = {
		.listen = true,
		.queue_count = 1,
		.link_max = 4,
		.window = 8,
		.seed = 1,
		.now_ns = made_up_now,
	};

	assert_int_equal(addr_parse("10.77.0.1:7400", 0, &config.local), 0);
	return config;
}

static struct port_rdma_config client_config(void)
{
	struct port_rdma_config config = node_config();

	config.local = (struct addr){0};
	config.listen = false;
	config.seed = 2;
	return config;
}

static void open_end(struct end *end, const struct verbs_ops *ops, struct port_rdma_config config)
{
	struct device_options options = {.gid_index = -1};

	assert_int_equal(device_open(ops, &options, &end->device, error, sizeof(error)), 0);
	config.device = end->device;
	if (port_rdma_open(&config, &end->port, error, sizeof(error)) != 0)
		fail_msg("%s", error);
	end->queue = port_queue(end->port, 0);
}

static void close_end(struct end *end)
{
	port_close(end->port);
	device_close(end->device);
	*end = (struct end){0};
}

static void open_both(void)
{
	const struct verbs_ops *ops =
		fake_verbs_new(&(struct fake_verbs_config){.seed = 1, .devices = 1});

	now_ns = 1000 * STEP_NS;
	open_end(&server, ops, node_config());
	open_end(&client, ops, client_config());
}

static void close_both(void)
{
	close_end(&client);
	close_end(&server);
	assert_int_equal(fake_verbs_live(), 0);
}

/* Lets both ends work without taking frames. */
static void step(void)
{
	now_ns += STEP_NS;
	if (client.queue)
		(void)port_wait_fd(client.queue);
	if (server.queue)
		(void)port_wait_fd(server.queue);
}

static void send_text(struct end *from, const struct addr *to, const char *text)
{
	port_send(from->queue, to, text, strlen(text), NULL, 0);
	port_flush(from->queue);
}

static unsigned receive_some(struct end *at, struct port_frame *frames, unsigned count)
{
	unsigned received = 0;

	for (unsigned i = 0; i < 500 && received == 0; i++) {
		step();
		received = port_receive(at->queue, frames, count);
	}
	return received;
}

/* The next frame is 'text'; it is released, and '*ret_from' is who sent it. */
static void expect_text(struct end *at, const char *text, struct addr *ret_from)
{
	struct port_frame frame;

	if (receive_some(at, &frame, 1) != 1)
		fail_msg("no frame came, '%s' was expected", text);
	assert_int_equal(frame.size, strlen(text));
	assert_memory_equal(frame.bytes, text, frame.size);
	if (ret_from)
		*ret_from = frame.from;
	port_release(at->queue, &frame, 1);
}

/* --- frames --- */

static void frames_come_out_as_they_went_in(void **state)
{
	struct port_frame frame;

	open_both();
	port_send(client.queue, &server.queue->local, "head", 4, "and body", 8);
	port_send(client.queue, &server.queue->local, "alone", 5, NULL, 0);
	port_send(client.queue, &server.queue->local, "", 0, NULL, 0);
	port_flush(client.queue);
	assert_int_equal(receive_some(&server, &frame, 1), 1);
	assert_int_equal(frame.size, 12);
	assert_memory_equal(frame.bytes, "headand body", 12);
	port_release(server.queue, &frame, 1);
	expect_text(&server, "alone", NULL);
	expect_text(&server, "", NULL);
	assert_int_equal(client.queue->stats.frames_sent, 3);
	assert_int_equal(client.queue->stats.bytes_sent, 17);
	assert_int_equal(server.queue->stats.frames_received, 3);
	assert_int_equal(server.queue->stats.bytes_received, 17);
	assert_int_equal(client.queue->stats.frames_dropped_send, 0);
	close_both();
}

static uint32_t burst_size(unsigned i)
{
	static const uint32_t sizes[] = {
		100, 100, 3, 60, 1232, 1233, 4096, 7, SESSION_FRAME_SIZE_MAX};

	return sizes[i % (sizeof(sizes) / sizeof(sizes[0]))];
}

static void send_number(struct end *from, const struct addr *to, unsigned number)
{
	static uint8_t bytes[SESSION_FRAME_SIZE_MAX];

	memset(bytes, (int)number, burst_size(number));
	port_send(from->queue, to, bytes, 3, bytes + 3, burst_size(number) - 3);
}

static void expect_number(const struct port_frame *frame, unsigned number)
{
	assert_int_equal(frame->size, burst_size(number));
	assert_int_equal(frame->bytes[0], (uint8_t)number);
	assert_int_equal(frame->bytes[frame->size - 1], (uint8_t)number);
}

/* Far more than a window: what is above waits at the sender, and all go in order. */
static void bursts_wait_for_credits_and_nobody_is_told_not_ready(void **state)
{
	struct port_frame frames[PORT_BURST_MAX];
	unsigned sent = 0, seen = 0;

	open_both();
	while (seen < 1000) {
		while (sent < 1000 && sent - seen < 50)
			send_number(&client, &server.queue->local, sent++);
		unsigned count = receive_some(&server, frames, PORT_BURST_MAX);

		assert_in_range(count, 1, 8); /* a window */
		for (unsigned i = 0; i < count; i++)
			expect_number(&frames[i], seen++);
		port_release(server.queue, frames, count);
	}
	assert_int_equal(client.queue->stats.frames_sent, 1000);
	assert_int_equal(client.queue->stats.frames_dropped_send, 0);
	assert_int_equal(fake_verbs_not_ready(), 0);
	assert_true(port_rdma_stats(client.queue).credit_waits > 0);
	assert_in_range(port_rdma_stats(server.queue).credit_messages, 100, 250);
	assert_int_equal(port_rdma_stats(client.queue).credit_messages, 0);
	close_both();
}

static void a_batch_is_one_doorbell(void **state)
{
	struct port_frame frames[PORT_BURST_MAX];
	uint64_t doorbells;

	open_both();
	send_text(&client, &server.queue->local, "hello");
	expect_text(&server, "hello", NULL);
	doorbells = port_rdma_stats(client.queue).doorbells;
	for (unsigned i = 0; i < 6; i++)
		send_number(&client, &server.queue->local, i);
	port_flush(client.queue);
	assert_int_equal(port_rdma_stats(client.queue).doorbells, doorbells + 1);
	assert_int_equal(receive_some(&server, frames, PORT_BURST_MAX), 6);
	port_release(server.queue, frames, 6);
	close_both();
}

/* Question and answer: each carries the other's credit, so none needs a message of its own. */
static void credits_ride_on_answers(void **state)
{
	struct addr from;

	open_both();
	for (unsigned i = 0; i < 500; i++) {
		send_text(&client, &server.queue->local, "question");
		expect_text(&server, "question", &from);
		send_text(&server, &from, "answer");
		expect_text(&client, "answer", NULL);
	}
	assert_int_equal(port_rdma_stats(client.queue).credit_messages, 0);
	assert_int_equal(port_rdma_stats(server.queue).credit_messages, 0);
	assert_int_equal(fake_verbs_not_ready(), 0);
	close_both();
}

/* Half a window at a time: neither a message a frame, nor a sender that waits for the last one. */
static void credits_come_by_halves_of_the_window_when_nothing_goes_back(void **state)
{
	open_both();
	for (unsigned i = 0; i < 80; i++) {
		send_text(&client, &server.queue->local, "told");
		expect_text(&server, "told", NULL);
	}
	assert_int_equal(port_rdma_stats(server.queue).credit_messages, 80 / 4);
	assert_int_equal(port_rdma_stats(client.queue).credit_messages, 0);
	assert_int_equal(port_rdma_stats(client.queue).credit_waits, 0);
	close_both();
}

static void held_frames_stay_valid_and_hold_back_only_their_sender(void **state)
{
	struct end other = {0};
	struct port_rdma_config config = client_config();
	struct port_frame held[PORT_BURST_MAX], frame;
	unsigned count = 0;

	open_both();
	config.seed = 3;
	open_end(&other, device_ops(client.device), config);
	for (unsigned i = 0; i < 20; i++)
		send_number(&client, &server.queue->local, i);
	while (count < 8)
		count += receive_some(&server, held + count, PORT_BURST_MAX - count);
	assert_int_equal(count, 8); /* the window, and no more before they are released */
	for (unsigned i = 0; i < 100; i++) {
		send_number(&other, &server.queue->local, 100 + i);
		(void)port_wait_fd(other.queue);
		port_flush(other.queue);
		for (unsigned tries = 0; port_receive(server.queue, &frame, 1) == 0; tries++) {
			assert_true(tries < 500);
			now_ns += STEP_NS;
			(void)port_wait_fd(other.queue);
		}
		expect_number(&frame, 100 + i);
		port_release(server.queue, &frame, 1);
	}
	for (unsigned i = 0; i < 8; i++)
		expect_number(&held[i], i);
	port_release(server.queue, held, 8);
	for (unsigned i = 8; i < 20; i++) {
		assert_int_equal(receive_some(&server, &frame, 1), 1);
		expect_number(&frame, i);
		port_release(server.queue, &frame, 1);
	}
	assert_int_equal(fake_verbs_not_ready(), 0);
	close_end(&other);
	close_both();
}

static void what_does_not_fit_is_dropped_and_counted(void **state)
{
	static const uint8_t bytes[SESSION_FRAME_SIZE_MAX + 1];
	struct port_rdma_config config = node_config();
	struct port_frame frame;

	open_both();
	close_end(&server);
	config.frame_size = 1232;
	open_end(&server, device_ops(client.device), config);
	port_send(client.queue, &server.queue->local, bytes, 1, bytes, SESSION_FRAME_SIZE_MAX);
	assert_int_equal(client.queue->stats.frames_dropped_send, 1);
	/* Larger than the peer takes: that is known when it has said so, and then at once. */
	for (unsigned i = 0; i < 2; i++) {
		port_send(client.queue, &server.queue->local, bytes, 1233, NULL, 0);
		port_send(client.queue, &server.queue->local, bytes, 1232, NULL, 0);
		port_flush(client.queue);
		assert_int_equal(receive_some(&server, &frame, 1), 1);
		assert_int_equal(frame.size, 1232);
		port_release(server.queue, &frame, 1);
		assert_int_equal(client.queue->stats.frames_dropped_send, 2 + i);
	}
	close_both();
}

static void frames_that_wait_for_a_peer_are_bounded(void **state)
{
	struct addr nobody;

	open_both();
	assert_int_equal(addr_parse("10.77.0.1:7777", 0, &nobody), 0);
	fake_verbs_cut(true);
	for (unsigned i = 0; i < 1000; i++)
		send_number(&client, &server.queue->local, i);
	assert_int_equal(client.queue->stats.frames_dropped_send, 1000 - 64);
	/* A stalled peer leaves others their share. */
	for (unsigned i = 0; i < 1000; i++)
		send_number(&client, &nobody, i);
	assert_int_equal(client.queue->stats.frames_dropped_send, 2000 - 128);
	fake_verbs_cut(false);
	for (unsigned i = 0; i < 64; i++) {
		struct port_frame frame;

		assert_int_equal(receive_some(&server, &frame, 1), 1);
		expect_number(&frame, i);
		port_release(server.queue, &frame, 1);
	}
	/* Nobody listens there: what waited is dropped. */
	assert_int_equal(client.queue->stats.frames_dropped_send, 2000 - 64);
	assert_true(port_rdma_why(client.queue)[0] != '\0');
	close_both();
}

/* --- addresses and links --- */

static void answers_go_over_the_link_that_the_question_came_by(void **state)
{
	struct addr from;

	open_both();
	send_text(&client, &server.queue->local, "question");
	expect_text(&server, "question", &from);
	send_text(&server, &from, "answer");
	expect_text(&client, "answer", &from);
	assert_true(addr_equal(&from, &server.queue->local));
	assert_int_equal(port_rdma_stats(server.queue).links_dialled, 0);
	assert_int_equal(port_rdma_stats(server.queue).links_accepted, 1);
	assert_int_equal(port_rdma_stats(client.queue).links_dialled, 1);
	assert_int_equal(port_rdma_stats(client.queue).links, 1);
	close_both();
}

static void nodes_know_each_other_by_where_they_listen(void **state)
{
	struct port_rdma_config config = node_config();
	struct addr from;

	open_both();
	close_end(&client);
	config.local.port = 7500;
	open_end(&client, device_ops(server.device), config);
	send_text(&client, &server.queue->local, "one way");
	expect_text(&server, "one way", &from);
	assert_true(addr_equal(&from, &client.queue->local));
	send_text(&server, &client.queue->local, "the other");
	expect_text(&client, "the other", &from);
	assert_true(addr_equal(&from, &server.queue->local));
	assert_int_equal(port_rdma_stats(server.queue).links_dialled, 0);
	close_both();
}

static void both_may_dial_at_once(void **state)
{
	struct port_rdma_config config = node_config();
	struct addr from;

	open_both();
	close_end(&client);
	config.local.port = 7500;
	open_end(&client, device_ops(server.device), config);
	send_text(&client, &server.queue->local, "to the server");
	send_text(&server, &client.queue->local, "to the client");
	expect_text(&server, "to the server", &from);
	assert_true(addr_equal(&from, &client.queue->local));
	expect_text(&client, "to the client", &from);
	assert_true(addr_equal(&from, &server.queue->local));
	for (unsigned i = 0; i < 20; i++) {
		send_text(&client, &server.queue->local, "again");
		expect_text(&server, "again", NULL);
		send_text(&server, &client.queue->local, "and back");
		expect_text(&client, "and back", NULL);
	}
	close_both();
}

/* A request that fails breaks the queue pair; the next frame goes over a new one. */
static void a_link_that_broke_is_dialled_again_and_the_client_keeps_its_name(void **state)
{
	struct addr before, after;

	open_both();
	send_text(&client, &server.queue->local, "before");
	expect_text(&server, "before", &before);
	fake_verbs_set_faults(&(struct fake_verbs_faults){.error = 1000});
	send_text(&client, &server.queue->local, "lost");
	for (unsigned i = 0; i < 10; i++)
		step();
	fake_verbs_set_faults(&(struct fake_verbs_faults){0});
	assert_int_equal(port_rdma_stats(client.queue).links, 0);
	assert_int_equal(port_rdma_stats(client.queue).links_ended, 1);
	send_text(&client, &server.queue->local, "after");
	expect_text(&server, "after", &after);
	assert_true(addr_equal(&before, &after));
	send_text(&server, &before, "answer");
	expect_text(&client, "answer", NULL);
	assert_int_equal(port_rdma_stats(client.queue).links_dialled, 2);
	assert_int_equal(port_rdma_stats(server.queue).links_dialled, 0);
	close_both();
}

static void a_node_that_comes_back_is_dialled_again(void **state)
{
	struct addr to;

	open_both();
	to = server.queue->local;
	send_text(&client, &to, "before");
	expect_text(&server, "before", NULL);
	close_end(&server);
	for (unsigned i = 0; i < 10; i++) { /* each dials, and is refused */
		send_text(&client, &to, "nobody hears this");
		for (unsigned j = 0; j < 10; j++)
			step();
	}
	assert_int_equal(port_rdma_stats(client.queue).links, 0);
	open_end(&server, device_ops(client.device), node_config());
	send_text(&client, &to, "after");
	expect_text(&server, "after", NULL);
	close_both();
}

/* The receives of frames that are lent when their link ends come back all the same. */
static void frames_of_an_ended_link_stay_lent(void **state)
{
	struct port_frame held[8];
	unsigned count = 0;

	open_both();
	for (unsigned i = 0; i < 8; i++)
		send_number(&client, &server.queue->local, i);
	while (count < 8)
		count += receive_some(&server, held + count, 8 - count);
	close_end(&client);
	for (unsigned i = 0; i < 100; i++, now_ns += STEP_NS) {
		struct port_frame none;

		assert_int_equal(port_receive(server.queue, &none, 1), 0);
	}
	assert_int_equal(port_rdma_stats(server.queue).links, 0);
	for (unsigned i = 0; i < 8; i++)
		expect_number(&held[i], i);
	/* Four links can be; one place is kept until its frames are back. */
	open_end(&client, device_ops(server.device), client_config());
	send_text(&client, &server.queue->local, "from another link");
	expect_text(&server, "from another link", NULL);
	port_release(server.queue, held, 8);
	for (unsigned i = 0; i < 100; i++) {
		send_number(&client, &server.queue->local, i);
		assert_int_equal(receive_some(&server, held, 1), 1);
		expect_number(&held[0], i);
		port_release(server.queue, held, 1);
	}
	assert_int_equal(fake_verbs_not_ready(), 0);
	close_both();
}

static void what_was_sent_before_closing_arrives(void **state)
{
	open_both();
	send_text(&client, &server.queue->local, "hello");
	expect_text(&server, "hello", NULL);
	send_text(&client, &server.queue->local, "my last word");
	close_end(&client);
	open_end(&client, device_ops(server.device), client_config());
	expect_text(&server, "my last word", NULL);
	close_both();
}

static void silent_links_are_ended(void **state)
{
	struct end other = {0};
	struct port_rdma_config config = client_config();

	open_both();
	config.seed = 3;
	open_end(&other, device_ops(client.device), config);
	send_text(&client, &server.queue->local, "hello");
	expect_text(&server, "hello", NULL);
	send_text(&other, &server.queue->local, "from another");
	for (unsigned i = 0; i < 50; i++) {
		step();
		(void)port_wait_fd(other.queue);
		port_flush(other.queue);
	}
	expect_text(&server, "from another", NULL);
	assert_int_equal(port_rdma_stats(server.queue).links, 2);
	now_ns += PORT_RDMA_SILENCE_NS;
	step();
	now_ns += PORT_RDMA_SILENCE_NS;
	step();
	step();
	assert_int_equal(port_rdma_stats(server.queue).links, 0);
	assert_int_equal(port_rdma_stats(client.queue).links, 0);
	send_text(&client, &server.queue->local, "again");
	expect_text(&server, "again", NULL);
	close_end(&other);
	close_both();
}

static void one_link_too_many_is_refused_and_room_is_found_again(void **state)
{
	struct end others[4] = {{0}};

	open_both();
	for (unsigned i = 0; i < 4; i++) {
		struct port_rdma_config config = client_config();

		config.seed = 10 + i;
		open_end(&others[i], device_ops(client.device), config);
		send_text(&others[i], &server.queue->local, "one of four");
		for (unsigned j = 0; j < 50; j++) {
			struct port_frame frame;

			(void)port_wait_fd(others[i].queue);
			port_flush(others[i].queue);
			if (port_receive(server.queue, &frame, 1))
				port_release(server.queue, &frame, 1);
			now_ns += STEP_NS;
		}
		assert_int_equal(port_rdma_stats(server.queue).links, i + 1);
	}
	send_text(&client, &server.queue->local, "the fifth");
	for (unsigned i = 0; i < 50; i++)
		step();
	assert_int_equal(port_rdma_stats(client.queue).links, 0);
	assert_int_equal(client.queue->stats.frames_dropped_send, 1);
	close_end(&others[0]);
	for (unsigned i = 0; i < 10; i++)
		step();
	send_text(&client, &server.queue->local, "the fifth, again");
	expect_text(&server, "the fifth, again", NULL);
	for (unsigned i = 1; i < 4; i++)
		close_end(&others[i]);
	close_both();
}

/* --- sleeping --- */

static bool readable(const struct end *end)
{
	struct pollfd fd = {.fd = port_wait_fd(end->queue), .events = POLLIN};

	return poll(&fd, 1, 0) == 1;
}

static void who_sleeps_is_woken_by_frames_and_by_those_that_are_there_already(void **state)
{
	struct port_frame frames[3];

	open_both();
	send_text(&client, &server.queue->local, "hello");
	expect_text(&server, "hello", NULL);
	for (unsigned i = 0; i < 10; i++)
		step();
	for (unsigned i = 0; i < 3; i++)
		(void)readable(&server), (void)readable(&client);
	assert_int_equal(port_receive(server.queue, frames, 3), 0);
	assert_false(readable(&server));
	send_text(&client, &server.queue->local, "one");
	send_text(&client, &server.queue->local, "two");
	for (unsigned i = 0; i < 5; i++) /* the fake carries frames while somebody polls */
		(void)port_wait_fd(client.queue);
	assert_true(readable(&server));
	assert_int_equal(port_receive(server.queue, frames, 1), 1);
	assert_true(readable(&server)); /* the second one */
	assert_int_equal(port_receive(server.queue, frames + 1, 2), 1);
	port_release(server.queue, frames, 2);
	assert_int_equal(port_receive(server.queue, frames, 3), 0);
	(void)readable(&server); /* the release's credit may have completed */
	assert_int_equal(port_receive(server.queue, frames, 3), 0);
	assert_false(readable(&server));
	close_both();
}

/* --- peers that break rules --- */

/* A member who speaks as it likes: a link with its own receives, and messages by hand. */
struct rogue {
	struct device *device;
	struct link_hub *hub;
	struct link *link;
	struct ibv_srq *srq;
	struct ibv_mr *mr;
	uint8_t memory[64][64];
	bool ended;
	struct link_work work;
};

static void rogue_changed(void *context, struct link *link)
{
	struct rogue *rogue = context;

	if (link_state(link) == LINK_ENDED)
		rogue->ended = true;
}

static void rogue_received(void *context, struct link *link, const struct ibv_wc *completion)
{
	struct rogue *rogue = context;
	uint64_t index = completion->wr_id >> 1;
	struct ibv_sge sge = {(uintptr_t)rogue->memory[index], sizeof(rogue->memory[0]),
			      rogue->mr->lkey};
	struct ibv_recv_wr wr = {.wr_id = completion->wr_id, .sg_list = &sge, .num_sge = 1}, *bad;

	assert_int_equal(device_ops(rogue->device)->post_srq_recv(rogue->srq, &wr, &bad), 0);
}

static const uint8_t *rogue_bytes(void *context, uint64_t wr_id)
{
	return ((struct rogue *)context)->memory[wr_id >> 1];
}

static void rogue_done(struct link_work *work, struct link *link, const struct ibv_wc *completion)
{
}

static void rogue_turn(struct rogue *rogue)
{
	for (unsigned i = 0; i < 30; i++) {
		step();
		(void)link_hub_turn(rogue->hub, now_ns);
	}
}

static void rogue_open(struct rogue *rogue)
{
	struct device_options options = {.gid_index = -1};
	struct ibv_srq_init_attr attr = {.attr = {.max_wr = 64, .max_sge = 1}};
	struct link_hub_config config = {
		.link_max = 2,
		.send_depth = 64,
		.changed = rogue_changed,
		.context = rogue,
		.srq_depth = 64,
		.srq_bytes = rogue_bytes,
		.received = rogue_received,
	};
	struct link_options way = {.to = server.queue->local,
				   .use = LINK_FRAMES,
				   .deadline_ns = now_ns + 1000 * STEP_NS};
	const struct verbs_ops *ops = device_ops(server.device);

	memset(rogue, 0, sizeof(*rogue));
	rogue->work.done = rogue_done;
	assert_int_equal(device_open(ops, &options, &rogue->device, error, sizeof(error)), 0);
	rogue->srq = ops->create_srq(device_pd(rogue->device), &attr);
	rogue->mr = ops->reg_mr(device_pd(rogue->device), rogue->memory, sizeof(rogue->memory),
				IBV_ACCESS_LOCAL_WRITE);
	for (uint64_t i = 0; i < 32; i++)
		rogue_received(rogue, NULL, &(struct ibv_wc){.wr_id = i << 1 | LINK_WR_SHARED});
	config.srq = rogue->srq;
	assert_int_equal(link_hub_new(rogue->device, &config, &rogue->hub, error, sizeof(error)),
			 0);
	way.to.port += PORT_RDMA_OFFSET;
	assert_int_equal(link_connect(rogue->hub, &way, now_ns, &rogue->link, error, sizeof(error)),
			 0);
	rogue_turn(rogue);
	assert_int_equal(link_state(rogue->link), LINK_READY);
}

static void rogue_close(struct rogue *rogue)
{
	const struct verbs_ops *ops = device_ops(rogue->device);

	link_hub_free(rogue->hub);
	assert_int_equal(ops->destroy_srq(rogue->srq), 0);
	assert_int_equal(ops->dereg_mr(rogue->mr), 0);
	device_close(rogue->device);
}

struct message {
	bool no_immediate;
	uint32_t immediate; /* kind, reserved, credits */
	uint32_t size;
	uint8_t body[40];
};

static void rogue_send(struct rogue *rogue, const struct message *message)
{
	struct ibv_sge sge = {(uintptr_t)rogue->memory[63], message->size, rogue->mr->lkey};
	struct ibv_send_wr wr = {
		.wr_id = (uintptr_t)&rogue->work,
		.sg_list = &sge,
		.num_sge = message->size > 0,
		.opcode = message->no_immediate ? IBV_WR_SEND : IBV_WR_SEND_WITH_IMM,
		.send_flags = IBV_SEND_SIGNALED,
		.imm_data = htobe32(message->immediate),
	};
	struct ibv_send_wr *bad;

	if (rogue->ended)
		return;
	memcpy(rogue->memory[63], message->body, sizeof(message->body));
	assert_int_equal(device_ops(rogue->device)->post_send(link_qp(rogue->link), &wr, &bad), 0);
	rogue_turn(rogue);
}

#define HELLO_OF(credits) .immediate = 1u << 24 | (credits), .size = 32
#define BODY(version, size_low, size_high, first)                                                  \
	.body = {[0] = version, [4] = size_low, [5] = size_high, [16] = first, [17] = 7}
#define NAMED BODY(1, 0xf8, 0x22, 0xfd)

static const struct message good_hello = {HELLO_OF(8), NAMED};

static const struct {
	const char *what;
	bool greeted; /* after a HELLO as it should be */
	struct message message;
} breaches[] = {
	{"no immediate data", false, {.no_immediate = true, .size = 32, NAMED}},
	{"no kind", false, {.immediate = 8, .size = 32, NAMED}},
	{"a kind that isn't", true, {.immediate = 4u << 24}},
	{"reserved bits", true, {.immediate = 2u << 24 | 1u << 16, .size = 5}},
	{"a frame before HELLO", false, {.immediate = 2u << 24, .size = 5}},
	{"a CREDIT before HELLO", false, {.immediate = 3u << 24 | 1}},
	{"a second HELLO", true, {HELLO_OF(8), NAMED}},
	{"a short HELLO", false, {.immediate = 1u << 24 | 8, .size = 31, NAMED}},
	{"a long HELLO", false, {.immediate = 1u << 24 | 8, .size = 33, NAMED}},
	{"an empty HELLO", false, {.immediate = 1u << 24 | 8}},
	{"no window", false, {HELLO_OF(0), NAMED}},
	{"a window too large", false, {HELLO_OF(1025), NAMED}},
	{"another version", false, {HELLO_OF(8), BODY(2, 0xf8, 0x22, 0xfd)}},
	{"a frame size too small", false, {HELLO_OF(8), BODY(1, 0xcf, 4, 0xfd)}},
	{"a frame size too large", false, {HELLO_OF(8), BODY(1, 0xf9, 0x22, 0xfd)}},
	{"bytes that are reserved",
	 false,
	 {HELLO_OF(8), .body = {1, [4] = 0xf8, 0x22, [15] = 1, 0xfd, 7}}},
	{"no name", false, {HELLO_OF(8), BODY(1, 0xf8, 0x22, 0)}},
	{"a name that could be an address", false, {HELLO_OF(8), BODY(1, 0xf8, 0x22, 0x20)}},
	{"credits above the window", true, {.immediate = 2u << 24 | 1, .size = 5}},
	{"a CREDIT of nothing", true, {.immediate = 3u << 24}},
	{"a CREDIT with a body", true, {.immediate = 3u << 24, .size = 5}},
};

static void who_breaks_a_rule_loses_its_link_and_nobody_else(void **state)
{
	for (size_t i = 0; i < sizeof(breaches) / sizeof(breaches[0]); i++) {
		struct rogue rogue;

		open_both();
		send_text(&client, &server.queue->local, "an honest client");
		expect_text(&server, "an honest client", NULL);
		rogue_open(&rogue);
		if (breaches[i].greeted)
			rogue_send(&rogue, &good_hello);
		assert_int_equal(port_rdma_stats(server.queue).links_broken, 0);
		assert_false(rogue.ended);
		rogue_send(&rogue, &breaches[i].message);
		if (port_rdma_stats(server.queue).links_broken != 1 || !rogue.ended)
			fail_msg("%s was let through", breaches[i].what);
		for (unsigned j = 0; j < 40; j++) {
			send_text(&client, &server.queue->local, "goes on");
			expect_text(&server, "goes on", NULL);
		}
		assert_int_equal(port_rdma_stats(client.queue).links_dialled, 1);
		rogue_close(&rogue);
		close_both();
	}
}

static void who_sends_without_credit_loses_its_link(void **state)
{
	static const struct message frame = {.immediate = 2u << 24, .size = 5};
	struct port_frame frames[PORT_BURST_MAX];
	struct rogue rogue;

	open_both();
	rogue_open(&rogue);
	rogue_send(&rogue, &good_hello);
	for (unsigned i = 0; i < 8; i++) {
		rogue_send(&rogue, &frame);
		assert_int_equal(port_receive(server.queue, &frames[i], 1), 1);
	}
	assert_int_equal(port_rdma_stats(server.queue).links_broken, 0);
	rogue_send(&rogue, &frame); /* nobody has released any */
	assert_int_equal(port_rdma_stats(server.queue).links_broken, 1);
	assert_true(rogue.ended);
	assert_int_equal(port_receive(server.queue, &frames[8], 1), 0);
	port_release(server.queue, frames, 8);
	assert_int_equal(fake_verbs_not_ready(), 0);
	rogue_close(&rogue);
	close_both();
}

/* --- a bad device --- */

static void take_all(struct end *end)
{
	struct port_frame frame;

	while (port_receive(end->queue, &frame, 1) == 1)
		port_release(end->queue, &frame, 1);
}

/*
 * Completions that are late, twice, lost or in error: frames may be lost, and links, but
 * what arrives is whole, nothing hangs for good, and nothing leaks.
 */
static void whatever_completions_do_frames_are_whole_and_links_come_back(void **state)
{
	static const struct fake_verbs_faults kinds[] = {
		{.delay = 300, .delay_polls = 5},
		{.duplicate = 50},
		{.drop = 50},
		{.error = 20},
		{.delay = 100, .delay_polls = 3, .duplicate = 10, .drop = 10, .error = 10},
	};
	struct rand rand;

	for (size_t kind = 0; kind < sizeof(kinds) / sizeof(kinds[0]); kind++) {
		struct port_frame frames[PORT_BURST_MAX];

		open_both();
		rand_init(&rand, 77 + kind);
		fake_verbs_set_faults(&kinds[kind]);
		for (unsigned i = 0; i < 3000; i++) {
			unsigned count;

			for (unsigned j = 0; j < rand_below(&rand, 4); j++)
				send_number(&client, &server.queue->local, i);
			step();
			count = port_receive(server.queue, frames, PORT_BURST_MAX);
			for (unsigned j = 0; j < count; j++) {
				uint8_t byte = frames[j].size ? frames[j].bytes[0] : 0;

				for (uint32_t k = 0; k < frames[j].size; k++)
					assert_int_equal(frames[j].bytes[k], byte);
				send_number(&server, &frames[j].from, byte);
			}
			port_release(server.queue, frames, count);
			port_flush(server.queue);
			count = port_receive(client.queue, frames, PORT_BURST_MAX);
			port_release(client.queue, frames, count);
		}
		fake_verbs_set_faults(&(struct fake_verbs_faults){0});
		for (unsigned i = 0; i < 3; i++) { /* what is stuck is found by its silence */
			now_ns += PORT_RDMA_SILENCE_NS;
			for (unsigned j = 0; j < 10; j++) {
				step();
				take_all(&client);
				take_all(&server);
			}
		}
		send_text(&client, &server.queue->local, "alive");
		expect_text(&server, "alive", NULL);
		assert_true(server.queue->stats.frames_received > 500);
		close_both();
	}
}

static void opening_fails_at_every_step_and_leaves_nothing(void **state)
{
	unsigned failed = 0;

	for (unsigned n = 1;; n++) {
		const struct verbs_ops *ops =
			fake_verbs_new(&(struct fake_verbs_config){.seed = 1, .devices = 1});
		struct port_rdma_config config = node_config();
		struct device_options options = {.gid_index = -1};
		struct port *port = NULL;
		int r;

		assert_int_equal(device_open(ops, &options, &config.device, error, sizeof(error)),
				 0);
		fake_verbs_fail_at(n);
		error[0] = '\0';
		r = port_rdma_open(&config, &port, error, sizeof(error));
		fake_verbs_fail_at(0);
		if (r < 0) {
			failed++;
			assert_null(port);
			assert_true(error[0] != '\0');
		}
		port_close(port);
		device_close(config.device);
		assert_int_equal(fake_verbs_live(), 0);
		if (r == 0)
			break;
	}
	assert_true(failed >= 5);
}

static void limits_are_refused(void **state)
{
	struct port_rdma_config good = node_config(), config;
	struct port *port = NULL;

	open_both();
	close_end(&client);
	good.device = server.device;
	good.local.port = 8000;
#define REFUSED(member, value)                                                                     \
	config = good;                                                                             \
	config.member = value;                                                                     \
	assert_int_equal(port_rdma_open(&config, &port, error, sizeof(error)), -EINVAL)
	REFUSED(queue_count, 0);
	REFUSED(queue_count, PORT_QUEUE_MAX + 1);
	REFUSED(local.port, 65535 - PORT_RDMA_OFFSET + 1);
	REFUSED(frame_size, 100);
	REFUSED(frame_size, SESSION_FRAME_SIZE_MAX + 1);
	REFUSED(link_max, 0);
	REFUSED(link_max, PORT_RDMA_LINK_MAX + 1);
	REFUSED(window, PORT_RDMA_WINDOW_MAX + 1);
#undef REFUSED
	config = good;
	config.link_max = PORT_RDMA_LINK_MAX; /* more receives than the device has */
	config.window = 32;
	assert_int_equal(port_rdma_open(&config, &port, error, sizeof(error)), -EINVAL);
	assert_non_null(strstr(error, "take fewer links"));
	config = good;
	config.local = server.queue->local;
	assert_true(port_rdma_open(&config, &port, error, sizeof(error)) < 0);
	assert_null(port);
	open_end(&client, device_ops(server.device), client_config());
	close_both();
}

static void queues_stand_in_a_row_and_own_their_ports(void **state)
{
	struct port_rdma_config config = node_config();

	open_both();
	close_end(&server);
	config.queue_count = 3;
	open_end(&server, device_ops(client.device), config);
	for (uint32_t i = 0; i < 3; i++) {
		struct port_queue *queue = port_queue(server.port, i);
		struct port_frame frame;

		assert_int_equal(queue->local.port, 7400 + i);
		port_send(client.queue, &queue->local, &i, sizeof(i), NULL, 0);
		for (unsigned tries = 0; port_receive(queue, &frame, 1) == 0; tries++) {
			assert_true(tries < 500);
			now_ns += STEP_NS;
			(void)port_wait_fd(client.queue);
		}
		assert_memory_equal(frame.bytes, &i, sizeof(i));
		port_release(queue, &frame, 1);
	}
	close_both();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(frames_come_out_as_they_went_in),
		cmocka_unit_test(bursts_wait_for_credits_and_nobody_is_told_not_ready),
		cmocka_unit_test(a_batch_is_one_doorbell),
		cmocka_unit_test(credits_ride_on_answers),
		cmocka_unit_test(credits_come_by_halves_of_the_window_when_nothing_goes_back),
		cmocka_unit_test(held_frames_stay_valid_and_hold_back_only_their_sender),
		cmocka_unit_test(what_does_not_fit_is_dropped_and_counted),
		cmocka_unit_test(frames_that_wait_for_a_peer_are_bounded),
		cmocka_unit_test(answers_go_over_the_link_that_the_question_came_by),
		cmocka_unit_test(nodes_know_each_other_by_where_they_listen),
		cmocka_unit_test(both_may_dial_at_once),
		cmocka_unit_test(a_link_that_broke_is_dialled_again_and_the_client_keeps_its_name),
		cmocka_unit_test(a_node_that_comes_back_is_dialled_again),
		cmocka_unit_test(frames_of_an_ended_link_stay_lent),
		cmocka_unit_test(what_was_sent_before_closing_arrives),
		cmocka_unit_test(silent_links_are_ended),
		cmocka_unit_test(one_link_too_many_is_refused_and_room_is_found_again),
		cmocka_unit_test(who_sleeps_is_woken_by_frames_and_by_those_that_are_there_already),
		cmocka_unit_test(who_breaks_a_rule_loses_its_link_and_nobody_else),
		cmocka_unit_test(who_sends_without_credit_loses_its_link),
		cmocka_unit_test(whatever_completions_do_frames_are_whole_and_links_come_back),
		cmocka_unit_test(opening_fails_at_every_step_and_leaves_nothing),
		cmocka_unit_test(limits_are_refused),
		cmocka_unit_test(queues_stand_in_a_row_and_own_their_ports),
	};
	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
