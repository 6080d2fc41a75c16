/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Simulation of sessions: clients and servers on a network that loses,
 * doubles, reorders, delays and corrupts, and that die and come back.
 *
 *	sim_session                     seeds 1 to 1000
 *	sim_session --seeds N           seeds 1 to N
 *	sim_session --seed N [--trace]  one of them again, with what happens
 *
 * What must hold, whatever the seed:
 *  1. Every call that was accepted completes exactly once, unless its client dies.
 *  2. No request is executed twice, whoever restarts.
 *  3. An answer has the right bytes, and its status is one that can be.
 *  4. What was refused or unreachable was not executed, before or after.
 *  5. Everything ends within SIM_END_NS of virtual time.
 *  6. No credit is lost: those at home and those under way are always as many.
 *  7. In the end no session, buffer or request is left.
 */

#include "base/byteorder.h"
#include "base/clock.h"
#include "base/defs.h"
#include "proto/frame.h"
#include "proto/session.h"
#include "proto/session_internal.h"
#include "proto/status.h"
#include "tests/lib/sim_net.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SIM_SEED_COUNT  1000
#define SIM_CLIENT_MAX  3
#define SIM_SERVER_MAX  2
#define SIM_CALL_MAX    256
#define SIM_HELD_MAX    512
#define SIM_END_NS      (600 * NS_PER_S)
#define SIM_MESSAGE_MIN 24 /* id, size of the answer, time that it takes */

/* What became of a request, over all incarnations of everybody. */
struct ledger {
	unsigned executed;
	unsigned completed;
	bool accepted;
	bool orphaned; /* its client died */
	bool barred;   /* its client was told that it wasn't executed */
	uint64_t deadline_ns;
	uint8_t *request, *answer; /* as large as they need to be: a sanitizer sees strays */
	uint32_t size, answer_size;
};

struct held {
	struct request *request;
	uint64_t due_ns;
};

struct peer {
	struct sim *sim;
	unsigned number;
	bool server;
	struct addr addr;
	struct endpoint *endpoint; /* NULL while it is dead */
	uint64_t incarnation;
	uint64_t change_ns; /* when it dies, or comes back */
	/* client */
	struct session *sessions[SIM_SERVER_MAX];
	uint64_t submit_ns;
	/* server */
	struct held held[SIM_HELD_MAX];
	unsigned held_count;
	bool draining;
};

struct sim {
	uint64_t seed;
	bool trace;
	struct rand rand;
	struct sim_net net;
	struct endpoint_config config; /* what all have in common */
	struct peer peers[SIM_CLIENT_MAX + SIM_SERVER_MAX];
	unsigned peer_count, server_count;
	struct ledger ledger[SIM_CALL_MAX];
	unsigned call_count; /* begun so far */
	unsigned call_target;
	unsigned large; /* chance of a large message, in thousandths */
	uint32_t large_size;
	unsigned mortality; /* chance that a peer dies, in thousandths */
	bool ending;        /* no more deaths and calls */
};

/* Sums over all seeds, to show that the simulation does something. */
static struct {
	uint64_t calls, orphaned, executed, deaths, drains, frames, lost, corrupted, repeated;
	uint64_t statuses[512];
} total;

static void sim_trace(const struct sim *sim, const char *format, ...) PRINTF_LIKE(2, 3);
static void sim_trace(const struct sim *sim, const char *format, ...)
{
	va_list arguments;

	if (!sim->trace)
		return;
	printf("%12" PRIu64 " ", sim->net.now_ns);
	va_start(arguments, format);
	vprintf(format, arguments);
	va_end(arguments);
	putchar('\n');
}

#define SIM_CHECK(sim, condition, ...)                                                             \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			fprintf(stderr, "broken at %" PRIu64 " ns: ", (sim)->net.now_ns);          \
			fprintf(stderr, __VA_ARGS__);                                              \
			fprintf(stderr, "\nreplay: sim_session --seed %" PRIu64 " --trace\n",      \
				(sim)->seed);                                                      \
			exit(1);                                                                   \
		}                                                                                  \
	} while (0)

static bool chance(struct sim *sim, unsigned thousandths)
{
	return rand_below(&sim->rand, 1000) < thousandths;
}

/* A number in [low, high], small ones more likely. */
static uint64_t pick(struct sim *sim, uint64_t low, uint64_t high)
{
	uint64_t span = high - low + 1;

	return low + rand_below(&sim->rand, rand_below(&sim->rand, span) + 1);
}

/* --- messages: everything in them follows from the id --- */

static void message_fill(uint8_t *bytes, uint32_t size, uint64_t seed)
{
	struct rand rand;
	uint64_t word;

	rand_init(&rand, seed);
	for (uint32_t i = 0; i < size; i += (uint32_t)sizeof(word)) {
		word = rand_next(&rand);
		memcpy(bytes + i, &word, MIN(size - i, sizeof(word)));
	}
}

static void request_make(struct ledger *ledger, uint64_t id, uint64_t work_ns)
{
	message_fill(ledger->request, ledger->size, 2 * id);
	store_le64(ledger->request, id);
	store_le64(ledger->request + 8, ledger->answer_size);
	store_le64(ledger->request + 16, work_ns);
}

static bool message_is_right(const uint8_t *bytes, uint32_t size, uint32_t skip, uint64_t seed)
{
	uint8_t *expected = malloc(MAX(size, 1));
	bool right;

	message_fill(expected, size, seed);
	right = size <= skip || !memcmp(bytes + skip, expected + skip, size - skip);
	free(expected);
	return right;
}

/* --- servers --- */

static void server_answer(struct peer *peer, struct request *request)
{
	struct sim *sim = peer->sim;
	struct request_view view = request_view(request);
	uint64_t id = load_le64(view.bytes);
	uint32_t size = (uint32_t)load_le64(view.bytes + 8);
	struct ledger *ledger = &sim->ledger[id];
	uint8_t *answer = request_answer_buffer(request, size);

	if (!answer) {
		sim_trace(sim, "server %u sheds %" PRIu64, peer->number, id);
		request_answer(request, STATUS_OVERLOADED, 1000, 0, sim->net.now_ns);
		return;
	}
	ledger->executed++;
	sim_trace(sim, "server %u executes %" PRIu64, peer->number, id);
	SIM_CHECK(sim, ledger->executed == 1, "request %" PRIu64 " is executed twice", id);
	SIM_CHECK(sim, !ledger->barred, "request %" PRIu64 " was said not to be executed", id);
	SIM_CHECK(sim, message_is_right(view.bytes, view.size, SIM_MESSAGE_MIN, 2 * id),
		  "request %" PRIu64 " has wrong bytes", id);
	message_fill(answer, size, 2 * id + 1);
	request_answer(request, STATUS_OK, (uint32_t)id, size, sim->net.now_ns);
}

static void server_take(struct peer *peer, struct request *request)
{
	struct sim *sim = peer->sim;
	struct request_view view = request_view(request);
	uint64_t work_ns;

	SIM_CHECK(sim, view.size >= SIM_MESSAGE_MIN && load_le64(view.bytes) < sim->call_count,
		  "a request that nobody made");
	SIM_CHECK(sim, view.deadline_ns > sim->net.now_ns, "an expired request is handed out");
	work_ns = load_le64(view.bytes + 16);
	if (!work_ns || peer->held_count == SIM_HELD_MAX || request_keep(request)) {
		server_answer(peer, request);
		return;
	}
	peer->held[peer->held_count++] =
		(struct held){.request = request, .due_ns = sim->net.now_ns + work_ns};
}

static void server_work(struct peer *peer)
{
	for (unsigned i = 0; i < peer->held_count;) {
		if (peer->held[i].due_ns > peer->sim->net.now_ns) {
			i++;
			continue;
		}
		server_answer(peer, peer->held[i].request);
		peer->held[i] = peer->held[--peer->held_count];
	}
}

/* --- clients --- */

static bool status_says_not_executed(uint16_t status)
{
	return status == STATUS_UNREACHABLE || status == STATUS_OVERLOADED ||
	       status == STATUS_DRAINING;
}

static void ledger_drop_buffers(struct ledger *ledger)
{
	free(ledger->request);
	free(ledger->answer);
	ledger->request = ledger->answer = NULL;
}

static void client_completed(struct peer *peer, const struct session_answer *answer)
{
	struct sim *sim = peer->sim;
	struct ledger *ledger = &sim->ledger[answer->tag];
	uint16_t status = answer->status;

	SIM_CHECK(sim, answer->tag < sim->call_count && ledger->accepted,
		  "call %" PRIu64 " was never made", answer->tag);
	ledger->completed++;
	sim_trace(sim, "client %u: call %" PRIu64 " completes: %s", peer->number, answer->tag,
		  status_text(status));
	SIM_CHECK(sim, ledger->completed == 1 && !ledger->orphaned,
		  "call %" PRIu64 " completes twice", answer->tag);
	SIM_CHECK(sim,
		  status == STATUS_OK || status == STATUS_DEADLINE ||
			  status == STATUS_SESSION_LOST || status_says_not_executed(status),
		  "call %" PRIu64 " completes with status %u", answer->tag, status);
	if (status == STATUS_OK)
		SIM_CHECK(sim,
			  ledger->executed == 1 && answer->size == ledger->answer_size &&
				  answer->hint == answer->tag &&
				  message_is_right(ledger->answer, answer->size, 0,
						   2 * answer->tag + 1),
			  "call %" PRIu64 " has a wrong answer", answer->tag);
	if (status == STATUS_DEADLINE)
		SIM_CHECK(sim, sim->net.now_ns >= ledger->deadline_ns,
			  "call %" PRIu64 " fails before its deadline", answer->tag);
	if (status_says_not_executed(status)) {
		ledger->barred = true;
		SIM_CHECK(sim, !ledger->executed, "call %" PRIu64 " was executed after all",
			  answer->tag);
	}
	/* From here on a stray write or read of the session's is one of freed memory. */
	ledger_drop_buffers(ledger);
	total.statuses[status]++;
}

static struct session *client_session(struct peer *peer)
{
	struct sim *sim = peer->sim;
	unsigned server = (unsigned)rand_below(&sim->rand, sim->server_count);
	struct session **session = &peer->sessions[server];

	if (*session && (!session_is_open(*session) || chance(sim, 10))) {
		sim_trace(sim, "client %u closes its session with %u", peer->number, server);
		session_close(*session, sim->net.now_ns);
		*session = NULL;
	}
	if (!*session &&
	    endpoint_connect(peer->endpoint, &sim->peers[server].addr, sim->net.now_ns, session))
		return NULL;
	return *session;
}

static void client_call(struct peer *peer)
{
	struct sim *sim = peer->sim;
	struct session *session = client_session(peer);
	struct ledger *ledger = &sim->ledger[sim->call_count];
	uint64_t work_ns = chance(sim, 500) ? 0 : pick(sim, 1, 300 * NS_PER_MS);
	struct session_call call;

	if (!session)
		return;
	*ledger = (struct ledger){.deadline_ns = UINT64_MAX};
	ledger->size = (uint32_t)pick(sim, SIM_MESSAGE_MIN,
				      chance(sim, sim->large) ? sim->large_size : 3000);
	ledger->answer_size =
		(uint32_t)pick(sim, 0, chance(sim, sim->large) ? sim->large_size : 3000);
	if (chance(sim, 300))
		ledger->deadline_ns = sim->net.now_ns + pick(sim, 1, 400 * NS_PER_MS);
	ledger->request = malloc(ledger->size);
	ledger->answer = malloc(MAX(ledger->answer_size, 1));
	request_make(ledger, sim->call_count, work_ns);
	call = (struct session_call){.bytes = ledger->request,
				     .size = ledger->size,
				     .answer = ledger->answer,
				     .answer_capacity = ledger->answer_size,
				     .deadline_ns = ledger->deadline_ns,
				     .tag = sim->call_count};
	if (session_call(session, &call, sim->net.now_ns)) {
		ledger_drop_buffers(ledger);
		return;
	}
	ledger->accepted = true;
	sim_trace(sim, "client %u: call %u of %u bytes, answer of %u", peer->number,
		  sim->call_count, ledger->size, ledger->answer_size);
	sim->call_count++;
}

static void client_submit(struct peer *peer)
{
	struct sim *sim = peer->sim;
	unsigned burst = (unsigned)pick(sim, 1, 40);

	for (unsigned i = 0; i < burst && sim->call_count < sim->call_target; i++)
		client_call(peer);
	peer->submit_ns = sim->call_count < sim->call_target
				  ? sim->net.now_ns + pick(sim, 1, 200 * NS_PER_MS)
				  : UINT64_MAX;
}

static void client_check_credits(struct peer *peer)
{
	for (unsigned i = 0; i < SIM_SERVER_MAX; i++) {
		const struct session *session = peer->sessions[i];
		unsigned credits;

		if (!session)
			continue;
		credits = session->credits;
		for (unsigned slot = 0; slot < SESSION_SLOT_COUNT; slot++)
			credits += session_window_missing(&session->calls[slot].window);
		SIM_CHECK(peer->sim, credits == SESSION_CREDIT_COUNT, "%u credits", credits);
	}
}

/* The calls of a client that dies complete no more. */
static void client_orphan(struct peer *peer)
{
	struct sim *sim = peer->sim;

	for (unsigned i = 0; i < SIM_SERVER_MAX * SESSION_SLOT_COUNT; i++) {
		const struct session *session = peer->sessions[i / SESSION_SLOT_COUNT];
		const struct call *call;

		if (!session)
			continue;
		call = &session->calls[i % SESSION_SLOT_COUNT];
		if (call->state == CALL_IDLE || call->state == CALL_RELEASING)
			continue;
		sim->ledger[call->tag].orphaned = true;
		ledger_drop_buffers(&sim->ledger[call->tag]);
	}
}

/* --- peers --- */

static void peer_collect(struct peer *peer)
{
	struct session_answer answers[5];
	struct request *requests[5];
	unsigned count;

	while ((count = endpoint_take_requests(peer->endpoint, requests, ARRAY_COUNT(requests))))
		for (unsigned i = 0; i < count; i++)
			server_take(peer, requests[i]);
	while ((count = endpoint_take_answers(peer->endpoint, answers, ARRAY_COUNT(answers))))
		for (unsigned i = 0; i < count; i++)
			client_completed(peer, &answers[i]);
}

static void peer_deliver(void *context, const struct addr *from, const uint8_t *bytes, size_t size)
{
	struct peer *peer = context;

	if (!peer->endpoint)
		return;
	endpoint_input(peer->endpoint, from, bytes, size, peer->sim->net.now_ns);
	peer_collect(peer);
}

static void peer_send(void *context, const struct addr *to, const void *head, size_t head_size,
		      const void *body, size_t body_size)
{
	struct peer *peer = context;
	const uint8_t *bytes = head;

	sim_trace(peer->sim, "%s %u -> %u: %s %" PRIu64 " frame %u hint %u, %zu bytes",
		  peer->server ? "server" : "client", peer->number, to->port,
		  frame_kind_name(bytes[7]), load_le64(bytes + 16), load_le16(bytes + 36),
		  load_le32(bytes + 32), head_size + body_size);
	sim_net_send(&peer->sim->net, &peer->addr, to, head, head_size, body, body_size);
}

static const struct session_ops peer_ops = {.send = peer_send};

static void peer_start(struct peer *peer)
{
	struct sim *sim = peer->sim;
	struct endpoint_config config = sim->config;

	peer->incarnation++;
	config.node = peer->server ? peer->number + 1 : 0;
	config.accept = peer->server;
	config.seed = sim->seed << 16 | peer->number << 12 | peer->incarnation << 1 | 1;
	config.large_count = peer->server ? config.large_count : 0;
	SIM_CHECK(sim, endpoint_new(&config, &peer_ops, peer, &peer->endpoint) == 0, "no memory");
	peer->draining = false;
	peer->submit_ns = peer->server ? UINT64_MAX : sim->net.now_ns + 1;
	peer->change_ns = UINT64_MAX;
	if (!sim->ending && chance(sim, sim->mortality))
		peer->change_ns = sim->net.now_ns + pick(sim, 1, NS_PER_S);
	sim_trace(sim, "%s %u starts", peer->server ? "server" : "client", peer->number);
}

/* As by kill -9: nobody is told. */
static void peer_die(struct peer *peer)
{
	struct sim *sim = peer->sim;

	sim_trace(sim, "%s %u dies", peer->server ? "server" : "client", peer->number);
	client_orphan(peer);
	endpoint_free(peer->endpoint);
	peer->endpoint = NULL;
	peer->held_count = 0;
	memset(peer->sessions, 0, sizeof(peer->sessions));
	peer->submit_ns = UINT64_MAX;
	peer->change_ns = sim->net.now_ns + pick(sim, 1, 3 * NS_PER_S);
	total.deaths++;
}

static void peer_change(struct peer *peer)
{
	struct sim *sim = peer->sim;

	if (!peer->endpoint) {
		peer_start(peer);
	} else if (peer->server && !peer->draining && chance(sim, 300)) {
		sim_trace(sim, "server %u drains", peer->number);
		endpoint_drain(peer->endpoint);
		peer->draining = true;
		peer->change_ns = sim->net.now_ns + NS_PER_S;
		total.drains++;
	} else {
		peer_die(peer);
	}
}

static uint64_t peer_due_ns(const struct peer *peer)
{
	uint64_t due_ns = MIN(peer->change_ns, peer->submit_ns);

	if (peer->endpoint)
		due_ns = MIN(due_ns, endpoint_due_ns(peer->endpoint));
	for (unsigned i = 0; i < peer->held_count; i++)
		due_ns = MIN(due_ns, peer->held[i].due_ns);
	return due_ns;
}

static void peer_run(struct peer *peer)
{
	uint64_t now_ns = peer->sim->net.now_ns;

	if (peer->change_ns <= now_ns)
		peer_change(peer);
	if (!peer->endpoint)
		return;
	endpoint_tick(peer->endpoint, now_ns);
	server_work(peer);
	if (peer->submit_ns <= now_ns)
		client_submit(peer);
	peer_collect(peer);
	client_check_credits(peer);
}

/* --- the whole --- */

static void sim_dress_link(struct sim *sim)
{
	uint64_t delay_ns = pick(sim, 2 * NS_PER_US, 2 * NS_PER_MS);
	struct sim_link link = {
		.loss = chance(sim, 200) ? 0 : (unsigned)rand_below(&sim->rand, 301),
		.duplicate = chance(sim, 300) ? 0 : (unsigned)rand_below(&sim->rand, 200),
		.corrupt = chance(sim, 300) ? 0 : (unsigned)rand_below(&sim->rand, 50),
		.cut = chance(sim, 500) ? 0 : (unsigned)rand_below(&sim->rand, 20),
		.late = chance(sim, 300) ? 0 : (unsigned)rand_below(&sim->rand, 50),
		.late_ns = 3 * NS_PER_S,
		.delay_ns = delay_ns,
		.jitter_ns = chance(sim, 300) ? 0 : pick(sim, 1, 10 * delay_ns),
	};

	sim_net_init(&sim->net, sim->seed ^ 0x5EED, &link);
	sim_trace(sim,
		  "loss %u duplicate %u corrupt %u cut %u late %u delay %" PRIu64
		  " jitter %" PRIu64,
		  link.loss, link.duplicate, link.corrupt, link.cut, link.late, link.delay_ns,
		  link.jitter_ns);
}

static void sim_dress(struct sim *sim)
{
	static const uint8_t secret[SESSION_SECRET_SIZE] = "of the simulation";

	rand_init(&sim->rand, sim->seed);
	sim_dress_link(sim);
	sim->config = (struct endpoint_config){
		.session_count = (uint32_t)pick(sim, 3, 12),
		.frame_size = (uint32_t)pick(sim, SESSION_FRAME_SIZE_MIN, SESSION_FRAME_SIZE_MAX),
		.message_size_max = 1 << 20,
		.large_count = (uint32_t)pick(sim, 1, 8),
		.secret = chance(sim, 500) ? secret : NULL,
	};
	sim->server_count = (unsigned)pick(sim, 1, SIM_SERVER_MAX);
	sim->peer_count = sim->server_count + (unsigned)pick(sim, 1, SIM_CLIENT_MAX);
	sim->call_target = (unsigned)pick(sim, 50, SIM_CALL_MAX);
	sim->large = chance(sim, 300) ? 0 : (unsigned)rand_below(&sim->rand, 400);
	sim->large_size = chance(sim, 100) ? 1 << 20 : 100000;
	sim->mortality = chance(sim, 300) ? 0 : (unsigned)rand_below(&sim->rand, 1000);
	sim_trace(sim, "frame %u buffers %u servers %u peers %u", sim->config.frame_size,
		  sim->config.large_count, sim->server_count, sim->peer_count);
	for (unsigned i = 0; i < sim->peer_count; i++) {
		struct peer *peer = &sim->peers[i];

		peer->sim = sim;
		peer->number = i;
		peer->server = i < sim->server_count;
		peer->addr = (struct addr){.ip = {[15] = 1}, .port = (uint16_t)i};
		sim_net_attach(&sim->net, &peer->addr, peer_deliver, peer);
		peer_start(peer);
	}
}

/* Runs the next thing that happens; false when it lies behind 'until_ns'. */
static bool sim_step(struct sim *sim, uint64_t until_ns)
{
	uint64_t next_ns = sim_net_due_ns(&sim->net);
	struct peer *next = NULL;

	for (unsigned i = 0; i < sim->peer_count; i++) {
		uint64_t due_ns = peer_due_ns(&sim->peers[i]);

		if (due_ns < next_ns) {
			next_ns = due_ns;
			next = &sim->peers[i];
		}
	}
	if (next_ns > until_ns)
		return false;
	if (!next)
		return sim_net_step(&sim->net);
	sim->net.now_ns = MAX(sim->net.now_ns, next_ns);
	peer_run(next);
	return true;
}

static bool sim_is_done(const struct sim *sim)
{
	if (sim->call_count < sim->call_target)
		return false;
	for (unsigned i = 0; i < sim->call_count; i++)
		if (!sim->ledger[i].completed && !sim->ledger[i].orphaned)
			return false;
	return true;
}

static void sim_close(struct sim *sim)
{
	sim->ending = true;
	for (unsigned i = 0; i < sim->peer_count; i++) {
		struct peer *peer = &sim->peers[i];

		peer->change_ns = UINT64_MAX;
		for (unsigned j = 0; peer->endpoint && j < SIM_SERVER_MAX; j++)
			if (peer->sessions[j])
				session_close(peer->sessions[j], sim->net.now_ns);
		memset(peer->sessions, 0, sizeof(peer->sessions));
	}
}

/* All that was lent has come home. */
static void sim_check_home(struct sim *sim, struct peer *peer)
{
	const struct session_stats *stats;

	if (!peer->endpoint)
		return;
	stats = endpoint_stats(peer->endpoint);
	total.repeated += stats->frames_repeated;
	SIM_CHECK(sim, stats->sessions == 0, "peer %u keeps %" PRIu64 " sessions", peer->number,
		  stats->sessions);
	SIM_CHECK(sim, session_pool_used(&peer->endpoint->pool) == 0, "peer %u keeps a buffer",
		  peer->number);
	SIM_CHECK(sim, endpoint_busy_count(peer->endpoint) == 0, "peer %u stays busy",
		  peer->number);
	SIM_CHECK(sim, endpoint_due_ns(peer->endpoint) == UINT64_MAX, "peer %u keeps a timer",
		  peer->number);
	endpoint_free(peer->endpoint);
}

static void sim_sum(const struct sim *sim)
{
	total.calls += sim->call_count;
	total.frames += sim->net.sent;
	total.lost += sim->net.lost;
	total.corrupted += sim->net.corrupted;
	for (unsigned i = 0; i < sim->call_count; i++) {
		total.executed += sim->ledger[i].executed;
		total.orphaned += sim->ledger[i].orphaned;
	}
}

static void sim_run(uint64_t seed, bool trace)
{
	struct sim *sim = calloc(1, sizeof(*sim));
	uint64_t end_ns;

	sim->seed = seed;
	sim->trace = trace;
	sim_dress(sim);
	while (!sim_is_done(sim))
		SIM_CHECK(sim, sim_step(sim, SIM_END_NS), "%u of %u calls begun, and no end",
			  sim->call_count, sim->call_target);
	sim_close(sim);
	/* What executors still hold of requesters that vanished goes with the silence. */
	end_ns = sim->net.now_ns + 20 * NS_PER_S;
	while (sim_step(sim, end_ns))
		;
	for (unsigned i = 0; i < sim->peer_count; i++)
		sim_check_home(sim, &sim->peers[i]);
	sim_sum(sim);
	sim_net_deinit(&sim->net);
	free(sim);
}

static int sim_report(uint64_t seeds)
{
	uint64_t ok = total.statuses[STATUS_OK];

	printf("%" PRIu64 " seeds: %" PRIu64 " calls, %" PRIu64 " ok, %" PRIu64
	       " past their deadline, %" PRIu64 " lost, %" PRIu64 " unreachable, %" PRIu64
	       " shed, %" PRIu64 " refused by drains, %" PRIu64 " of the dead; %" PRIu64
	       " executed\n",
	       seeds, total.calls, ok, total.statuses[STATUS_DEADLINE],
	       total.statuses[STATUS_SESSION_LOST], total.statuses[STATUS_UNREACHABLE],
	       total.statuses[STATUS_OVERLOADED], total.statuses[STATUS_DRAINING], total.orphaned,
	       total.executed);
	printf("%" PRIu64 " frames, %" PRIu64 " lost, %" PRIu64 " corrupted, %" PRIu64
	       " repeated; %" PRIu64 " deaths, %" PRIu64 " drains\n",
	       total.frames, total.lost, total.corrupted, total.repeated, total.deaths,
	       total.drains);
	/* Whoever fails everything breaks no rule: of many seeds, most calls have to succeed. */
	return seeds > 100 && 2 * ok < total.calls;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {{"seed", required_argument, NULL, 's'},
						{"seeds", required_argument, NULL, 'n'},
						{"trace", no_argument, NULL, 't'},
						{0}};
	uint64_t first = 1, last = SIM_SEED_COUNT;
	bool trace = false;
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (option) {
		case 's':
			first = last = strtoull(optarg, NULL, 0);
			break;
		case 'n':
			last = strtoull(optarg, NULL, 0);
			break;
		case 't':
			trace = true;
			break;
		default:
			fprintf(stderr, "usage: sim_session [--seeds N | --seed N] [--trace]\n");
			return 2;
		}
	}
	for (uint64_t seed = first; seed <= last; seed++)
		sim_run(seed, trace);
	return sim_report(last - first + 1);
}
