/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/core.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/guard.h"
#include "base/topo.h"
#include "dataplane/dispatch.h"
#include "dataplane/timer.h"
#include "net/dpdk_env.h"

#include <errno.h>
#include <pthread.h>
#include <rte_lcore.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

enum core_state { CORE_RUNNING, CORE_DRAINING, CORE_LINGERING, CORE_ENDED };

struct core {
	struct core_config config;
	enum core_state state;
	struct core_stats stats;
	struct endpoint *endpoint;       /* owned */
	struct handle_vector *vector;    /* owned */
	struct handle_region *region;    /* owned */
	struct coordinator *coordinator; /* owned; NULL when there is no loop */
	struct dispatch dispatch;
	struct timer_wheel wheel;
	struct timer drain_timer;  /* the drain takes too long */
	struct timer linger_timer; /* the linger is over */
	struct idle idle;
	struct stages stages;
	struct port_frame frames[PORT_BURST_MAX];
	struct port_frame looped[PORT_BURST_MAX]; /* from this node's own cores */
	struct request *requests[PORT_BURST_MAX];

	/* Shared with other threads. */
	struct msg_box box;
	struct msg drain_msg;
	struct msg stop_msg;
	_Atomic bool ended;

	/* The main thread's. */
	pthread_t thread;
	sem_t started;
	int start_result; /* valid when 'started' was posted */
	bool idle_ready;
};

/* --- receiving --- */

static void frame_send(void *context, const struct addr *to, const void *head, size_t head_size,
		       const void *body, size_t body_size)
{
	struct core *core = context;

	if (unlikely(core->config.loop) &&
	    loop_send(core->config.loop, core->config.index, to, head, head_size, body, body_size))
		return;
	port_send(core->config.queue, to, head, head_size, body, body_size);
}

static const struct session_ops session_ops = {.send = frame_send};

/* All requests that are whole are taken, since those not taken can't be kept. */
static void take_requests(struct core *core, uint64_t now_ns)
{
	unsigned count;

	do {
		count = endpoint_take_requests(core->endpoint, core->requests, PORT_BURST_MAX);
		for (unsigned i = 0; i < count; i++)
			dispatch_request(&core->dispatch, core->requests[i], now_ns);
		core->stats.requests += count;
	} while (count == PORT_BURST_MAX);
}

/* Frames that the core now holds, up to the handlers' queues. */
static void input(struct core *core, const struct port_frame *frames, unsigned count,
		  uint64_t now_ns)
{
	if (!count)
		return;
	core->stats.receive_bursts++;
	for (unsigned i = 0; i < count; i++)
		endpoint_input(core->endpoint, &frames[i].from, frames[i].bytes, frames[i].size,
			       now_ns);
	take_requests(core, now_ns);
}

static unsigned receive(struct core *core, uint64_t now_ns)
{
	unsigned count = port_receive(core->config.queue, core->frames, PORT_BURST_MAX);

	input(core, core->frames, count, now_ns);
	return count;
}

static unsigned receive_looped(struct core *core, uint64_t now_ns)
{
	unsigned count;

	if (!core->config.loop)
		return 0;
	count = loop_receive(core->config.loop, core->config.index, core->looped, PORT_BURST_MAX);
	input(core, core->looped, count, now_ns);
	return count;
}

/* Frames go back; requests that still wait no longer borrow from them. */
static void give_back(struct core *core, unsigned count, unsigned looped, uint64_t now_ns)
{
	if (!count && !looped)
		return;
	if (handle_vector_waiting(core->vector))
		handle_vector_keep(core->vector, now_ns);
	if (count)
		port_release(core->config.queue, core->frames, count);
	if (looped)
		loop_release(core->config.loop, core->looped, looped);
}

/* --- ending --- */

static void linger_over(struct timer *timer, uint64_t now_ns)
{
	CONTAINER_OF(timer, struct core, linger_timer)->state = CORE_ENDED;
}

static void linger_begin(struct core *core, uint64_t now_ns)
{
	timer_stop(&core->wheel, &core->drain_timer);
	core->state = CORE_LINGERING;
	timer_start(&core->wheel, &core->linger_timer, now_ns + CORE_LINGER_NS, linger_over);
}

static void drain_over(struct timer *timer, uint64_t now_ns)
{
	linger_begin(CONTAINER_OF(timer, struct core, drain_timer), now_ns);
}

static void drain_begin(struct core *core, uint64_t now_ns)
{
	if (core->state != CORE_RUNNING)
		return;
	core->state = CORE_DRAINING;
	endpoint_drain(core->endpoint);
	timer_start(&core->wheel, &core->drain_timer, now_ns + CORE_DRAIN_NS, drain_over);
}

static void drain_check(struct core *core, uint64_t now_ns)
{
	if (core->state == CORE_DRAINING && !handle_vector_waiting(core->vector) &&
	    !endpoint_busy_count(core->endpoint))
		linger_begin(core, now_ns);
}

/* --- messages --- */

static NOINLINE void snapshot_fill(struct core *core, struct core_snapshot *snapshot)
{
	snapshot->counts = (struct core_counts){
		.core = core->stats,
		.idle = core->idle.stats,
		.session = *endpoint_stats(core->endpoint),
		.port = core->config.queue->stats,
		.vector = *handle_vector_stats(core->vector),
		.region = *handle_region_stats(core->region),
		.refused_malformed = core->dispatch.refused_malformed,
		.refused_version = core->dispatch.refused_version,
		.refused_type = core->dispatch.refused_type,
		.refused_unsupported = core->dispatch.refused_unsupported,
		.refused_epoch = core->dispatch.refused_epoch,
		.waiting = handle_vector_waiting(core->vector),
		.busy = endpoint_busy_count(core->endpoint),
		.heap_breaches = guard_breaches(),
		.draining = core->state != CORE_RUNNING,
	};
	if (core->coordinator)
		snapshot->counts.coordinator = *coordinator_stats(core->coordinator);
	snapshot->stages = core->stages;
}

static NOINLINE void message_handle(struct core *core, struct msg *msg, uint64_t now_ns)
{
	core->stats.messages++;
	switch (msg->kind) {
	case MSG_SNAPSHOT:
		snapshot_fill(core, msg->argument);
		break;
	case MSG_DRAIN:
		drain_begin(core, now_ns);
		break;
	case MSG_STOP:
		core->state = CORE_ENDED;
		break;
	}
	msg_done(msg, /* handled= */ true);
}

/* --- the loop --- */

bool core_turn(struct core *core, uint64_t now_ns)
{
	uint64_t ticks = stage_ticks();
	uint64_t requests = core->stats.requests;
	uint64_t handed_over = core->config.queue->stats.frames_handed_over;
	struct msg *msg;
	unsigned rounds = 0;
	unsigned frames;
	unsigned looped;
	unsigned answered;
	bool coordinated;

	core->stats.turns++;
	while ((frames = receive(core, now_ns)) == PORT_BURST_MAX && ++rounds < CORE_ROUND_MAX)
		give_back(core, frames, 0, now_ns);
	looped = receive_looped(core, now_ns);
	stages_begin(&core->stages, ticks);
	if (core->stats.requests != requests)
		stages_lap(&core->stages, STAGE_RECEIVE);

	answered =
		handle_vector_run(core->vector, now_ns) + handle_region_run(core->region, now_ns);
	give_back(core, frames, looped, now_ns);
	coordinated = core->coordinator && coordinator_turn(core->coordinator, now_ns);

	if (now_ns >= endpoint_due_ns(core->endpoint))
		endpoint_tick(core->endpoint, now_ns);
	/* Also after an empty turn: what the wire didn't take before is still there. */
	port_flush(core->config.queue);
	if (answered)
		stages_lap(&core->stages, STAGE_SEND);

	while (unlikely((msg = msg_take(&core->box))))
		message_handle(core, msg, now_ns);
	timer_wheel_run(&core->wheel, now_ns);
	if (unlikely(core->state == CORE_DRAINING))
		drain_check(core, now_ns);
	/* A core that feeds others goes on polling as long as there is something to feed them. */
	return frames || looped || answered || rounds || coordinated ||
	       (core->config.loop && loop_waits(core->config.loop, core->config.index)) ||
	       core->config.queue->stats.frames_handed_over != handed_over;
}

bool core_running(const struct core *core)
{
	return core->state != CORE_ENDED;
}

static void rest(struct core *core, uint64_t now_ns)
{
	uint64_t due_ns = MIN(endpoint_due_ns(core->endpoint), timer_wheel_due_ns(&core->wheel));

	if (core->coordinator)
		due_ns = MIN(due_ns, coordinator_due_ns(core->coordinator));
	if (idle_will_sleep(&core->idle, now_ns, due_ns))
		(void)port_wait_fd(core->config.queue);
	if (idle_wait(&core->idle, now_ns, due_ns))
		msg_box_rest(&core->box);
}

static void core_loop(struct core *core)
{
	while (core_running(core)) {
		uint64_t now_ns = clock_now_ns();

		if (core_turn(core, now_ns))
			idle_reset(&core->idle, now_ns);
		else
			rest(core, now_ns);
	}
}

/* --- life --- */

int core_new(const struct core_config *config, struct core **ret_core)
{
	struct core *core;
	int r;

	core = aligned_alloc(CACHE_LINE, align_up(sizeof(*core), CACHE_LINE));
	if (!core)
		return -ENOMEM;
	memset(core, 0, sizeof(*core));
	core->config = *config;
	r = msg_box_init(&core->box);
	if (r) {
		free(core);
		return r;
	}
	sem_init(&core->started, /* pshared= */ 0, 0);
	*ret_core = core;
	return 0;
}

void core_free(struct core *core)
{
	if (!core)
		return;
	msg_box_close(&core->box);
	handle_vector_free(core->vector);
	handle_region_free(core->region);
	coordinator_free(core->coordinator);
	endpoint_free(core->endpoint);
	if (core->idle_ready)
		idle_deinit(&core->idle);
	msg_box_deinit(&core->box);
	sem_destroy(&core->started);
	free(core);
}

static int prepare_coordinator(struct core *core)
{
	struct coordinator_config config = {
		.shards = core->config.shards,
		.cores = core->config.cores,
		.core = core->config.index,
		.peers = core->config.peers,
		.peer_count = core->config.peer_count,
		.node = core->config.endpoint.node,
		.epoch = core->config.endpoint.epoch,
		.message_size_max = core->config.endpoint.message_size_max,
	};

	return coordinator_new(&config, core->endpoint, &core->coordinator);
}

/* Where answers of export's thread go, which also wakes this core. */
static int prepare_region(struct core *core)
{
	struct handle_region_config config = {
		.shards = core->config.shards,
		.desk = core->config.desk,
		.core = core->config.index,
	};

	if (config.desk)
		config.desk->core_fd = core->box.wake_fd;
	return handle_region_new(&config, &core->region);
}

int core_prepare(struct core *core, uint64_t now_ns)
{
	struct handle_vector_config vector = core->config.vector;
	int r;

	vector.shards = core->config.shards;
	vector.core = core->config.index;
	vector.stages = &core->stages;
	r = endpoint_new(&core->config.endpoint, &session_ops, core, &core->endpoint);
	if (r)
		return r;
	if (core->config.loop) {
		r = prepare_coordinator(core);
		if (r)
			return r;
	}
	vector.coordinator = core->coordinator;
	r = handle_vector_new(&vector, &core->vector);
	if (r)
		return r;
	r = prepare_region(core);
	if (r)
		return r;
	r = idle_init(&core->idle,
		      &(struct idle_config){
			      .busy_ns = core->config.idle_busy_ns,
			      .relax_ns = core->config.idle_relax_ns,
			      .port_fd = port_wait_fd(core->config.queue),
			      .wake_fd = core->box.wake_fd,
		      },
		      now_ns);
	if (r)
		return r;
	core->idle_ready = true;
	stages_init(&core->stages);
	timer_wheel_init(&core->wheel, now_ns);
	dispatch_init(&core->dispatch, core->config.endpoint.epoch);
	handle_vector_register(core->vector, &core->dispatch);
	handle_region_register(core->region, &core->dispatch);
	return 0;
}

/* What only the core's own thread can do for itself. */
static int thread_begin(struct core *core)
{
	char name[16];
	int r;

	snprintf(name, sizeof(name), "tern-core-%u", core->config.index);
	pthread_setname_np(pthread_self(), name);
	/* A sleep of 50 us is meant to last 50 us; the default slack is as much again. */
	prctl(PR_SET_TIMERSLACK, 1000, 0, 0, 0);
	r = core->config.cpu < 0 ? 0 : topo_bind((uint32_t)core->config.cpu);
	if (r)
		return r;
	/* With an id of its own the thread gets the packet pools' caches. */
	r = core->config.eal ? dpdk_env_enter() : 0;
	if (r)
		return r;
	return core_prepare(core, clock_now_ns());
}

static void *thread_main(void *argument)
{
	struct core *core = argument;

	core->start_result = thread_begin(core);
	sem_post(&core->started);
	if (!core->start_result) {
		guard_freeze();
		core_loop(core);
		guard_thaw();
	}
	/* Release: whoever sees the end sees all that the core wrote. Pairs with core_ended(). */
	atomic_store_explicit(&core->ended, true, memory_order_release);
	msg_box_close(&core->box);
	if (core->config.eal)
		rte_thread_unregister();
	return NULL;
}

int core_start(struct core *core)
{
	int r;

	r = -pthread_create(&core->thread, NULL, thread_main, core);
	if (r)
		return r;
	while (sem_wait(&core->started))
		; /* interrupted by a signal */
	if (core->start_result)
		pthread_join(core->thread, NULL);
	return core->start_result;
}

void core_drain(struct core *core)
{
	core->drain_msg.kind = MSG_DRAIN;
	(void)msg_post(&core->box, &core->drain_msg); /* refused only when it has ended */
}

void core_stop(struct core *core)
{
	core->stop_msg.kind = MSG_STOP;
	(void)msg_post(&core->box, &core->stop_msg);
}

bool core_ended(const struct core *core)
{
	/* Pairs with thread_main(). */
	return atomic_load_explicit(&core->ended, memory_order_acquire);
}

void core_join(struct core *core)
{
	pthread_join(core->thread, NULL);
}

bool core_snapshot(struct core *core, struct core_snapshot *ret_snapshot)
{
	struct msg msg = {.kind = MSG_SNAPSHOT, .argument = ret_snapshot};

	return msg_post(&core->box, &msg) == 0 && msg_wait(&msg);
}
