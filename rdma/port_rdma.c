/* SPDX-License-Identifier: Apache-2.0 */
#include "rdma/port_rdma.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/rand.h"
#include "proto/session.h"
#include "rdma/port_rdma_internal.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

/* How often the device's events are looked for: each look is a system call. */
#define DEVICE_EVENTS_NS UINT64_C(10000000)

struct rdma_port {
	struct port port;
	struct rdma_queue *queues[PORT_QUEUE_MAX];
};

static struct rdma_queue *of(struct port_queue *queue)
{
	return CONTAINER_OF(queue, struct rdma_queue, queue);
}

static int PRINTF_LIKE(4, 5) fail(char *error, size_t error_size, int code, const char *format, ...)
{
	va_list list;

	va_start(list, format);
	(void)vsnprintf(error, error_size, format, list);
	va_end(list);
	return code;
}

/* --- send slots --- */

void send_slot_free(struct rdma_queue *q, struct send_slot *slot)
{
	slot->posted = false;
	if (slot->control) {
		slot->next = slot->peer->free_controls;
		slot->peer->free_controls = slot;
		return;
	}
	slot->peer = NULL;
	slot->next = q->free_sends;
	q->free_sends = slot;
	q->free_send_count++;
}

void send_list_add(struct send_list *list, struct send_slot *slot)
{
	slot->next = NULL;
	if (list->last)
		list->last->next = slot;
	else
		list->first = slot;
	list->last = slot;
	list->count++;
}

struct send_slot *send_list_take(struct send_list *list)
{
	struct send_slot *slot = list->first;

	CHECK(slot);
	list->first = slot->next;
	if (!list->first)
		list->last = NULL;
	list->count--;
	return slot;
}

/*
 * A signalled message, and with it all before it on its link; or each one that a
 * broken link lost. The hub ends such a link.
 */
void send_done(struct link_work *work, struct link *link, const struct ibv_wc *completion)
{
	struct send_slot *done = CONTAINER_OF(work, struct send_slot, work), *slot;
	struct peer *peer = done->peer;

	/* One that comes twice finds its slot free, or with another link. */
	if (!done->posted || peer->link != link)
		return;
	do {
		slot = send_list_take(&peer->posted);
		send_slot_free(peer->queue, slot);
	} while (slot != done);
	peer_touch(peer);
}

/*
 * A link may take as many slots as are still free: however many peers stall,
 * there is a share left for those that don't.
 */
static struct send_slot *send_slot_take(struct rdma_queue *q, struct peer *peer, size_t size)
{
	struct send_slot *slot = q->free_sends;
	uint32_t taken = peer->waiting.count + peer->posted.count;

	if (!slot || size > peer->frame_size || taken >= PEER_FRAMES_MAX ||
	    taken > q->free_send_count)
		return NULL;
	q->free_sends = slot->next;
	q->free_send_count--;
	slot->peer = peer;
	return slot;
}

/* --- receive slots --- */

static uint64_t wr_id_of(uint32_t index)
{
	return (uint64_t)index << 1 | LINK_WR_SHARED;
}

static struct receive_slot *receive_slot_of(struct rdma_queue *q, uint64_t wr_id)
{
	CHECK(wr_id >> 1 < q->receive_count);
	return &q->receives[wr_id >> 1];
}

/* Gives the slots from 'first' on, linked by their requests, to the device. */
static int receives_post(struct rdma_queue *q, struct ibv_recv_wr *first)
{
	struct ibv_recv_wr *bad;

	return -device_ops(q->config.device)->post_srq_recv(q->srq, first, &bad);
}

static void receive_post(struct rdma_queue *q, struct receive_slot *slot)
{
	slot->peer = NULL;
	slot->posted = true;
	slot->request.next = NULL;
	/* The shared queue has room for all slots there are; only a broken device refuses. */
	if (receives_post(q, &slot->request))
		q->stats.receives_lost++;
}

static const uint8_t *srq_bytes(void *context, uint64_t wr_id)
{
	return (const uint8_t *)(uintptr_t)receive_slot_of(context, wr_id)->piece.addr;
}

static void received(void *context, struct link *link, const struct ibv_wc *completion)
{
	struct rdma_queue *q = context;
	struct receive_slot *slot = receive_slot_of(q, completion->wr_id);
	struct peer *peer = link ? link_context(link) : NULL;

	if (!slot->posted) /* told twice */
		return;
	slot->posted = false;
	if (!peer || completion->status != IBV_WC_SUCCESS ||
	    !peer_take(peer, (const uint8_t *)(uintptr_t)slot->piece.addr, completion)) {
		receive_post(q, slot);
		return;
	}
	slot->peer = peer;
	slot->size = completion->byte_len;
	slot->from = peer->name;
	CHECK(q->ready_count <= q->ready_mask);
	q->ready[(q->ready_first + q->ready_count++) & q->ready_mask] =
		(uint32_t)(slot - q->receives);
}

/* --- the port's functions --- */

static void push_all(struct rdma_queue *q)
{
	while (q->dirty) {
		struct peer *peer = q->dirty;

		q->dirty = peer->next_dirty;
		peer->dirty = false;
		peer_push(peer);
	}
}

/* What happens to the device is told to one: queue 0. The others see it by their hubs. */
static NOINLINE void take_device_events(struct rdma_queue *q, uint64_t now_ns)
{
	q->events_next_ns = q->takes_events ? now_ns + DEVICE_EVENTS_NS : UINT64_MAX;
	while (q->takes_events && device_event(q->config.device) != DEVICE_EVENT_NONE)
		;
}

/* Takes in all that happened on the links. Returns whether there was any. */
static bool turn(struct rdma_queue *q)
{
	uint64_t now_ns = q->config.now_ns();
	bool any;

	if (q->config.allocates)
		q->config.allocates(true);
	if (unlikely(now_ns >= q->events_next_ns))
		take_device_events(q, now_ns);
	any = link_hub_turn(q->hub, now_ns);
	if (unlikely(q->broken_count > 0))
		peers_sweep(q);
	if (unlikely(now_ns >= q->look_next_ns))
		peers_look(q, now_ns);
	if (q->config.allocates)
		q->config.allocates(false);
	return any;
}

static void kick(struct rdma_queue *q)
{
	const uint64_t one = 1;

	if (!q->kicked)
		q->kicked = write(q->kick_fd, &one, sizeof(one)) == sizeof(one);
}

static void unkick(struct rdma_queue *q)
{
	uint64_t value;

	q->kicked = false;
	(void)!read(q->kick_fd, &value, sizeof(value)); /* it is readable, or was never written */
}

static unsigned queue_receive(struct port_queue *queue, struct port_frame *frames, unsigned count)
{
	struct rdma_queue *q = of(queue);
	unsigned handed = 0;

	if (unlikely(q->kicked))
		unkick(q);
	if (q->ready_count < count)
		(void)turn(q);
	for (; handed < count && q->ready_count > 0; handed++, q->ready_count--) {
		struct receive_slot *slot =
			&q->receives[q->ready[q->ready_first++ & q->ready_mask]];

		frames[handed] = (struct port_frame){
			.from = slot->from,
			.size = slot->size,
			.bytes = (const uint8_t *)(uintptr_t)slot->piece.addr,
			.cookie = slot,
		};
		queue->stats.frames_received++;
		queue->stats.bytes_received += slot->size;
	}
	return handed;
}

static void queue_release(struct port_queue *queue, struct port_frame *frames, unsigned count)
{
	struct rdma_queue *q = of(queue);

	for (unsigned i = 0; i < count; i++) {
		struct receive_slot *slot = frames[i].cookie;
		struct peer *peer = slot->peer;

		/* Posted first: the credit promises it. */
		receive_post(q, slot);
		peer_credit(peer);
	}
}

static void queue_send(struct port_queue *queue, const struct addr *to, const void *head,
		       size_t head_size, const void *body, size_t body_size)
{
	struct rdma_queue *q = of(queue);
	bool fits = head_size <= queue->frame_size && body_size <= queue->frame_size - head_size;
	struct peer *peer = fits ? peer_for(q, to) : NULL;
	struct send_slot *slot = peer ? send_slot_take(q, peer, head_size + body_size) : NULL;
	uint8_t *bytes;

	if (!slot) {
		queue->stats.frames_dropped_send++;
		return;
	}
	bytes = (uint8_t *)(uintptr_t)slot->piece.addr;
	slot->piece.length = (uint32_t)(head_size + body_size);
	memcpy(bytes, head, head_size);
	if (body_size > 0)
		memcpy(bytes + head_size, body, body_size);
	send_list_add(&peer->waiting, slot);
	peer_touch(peer);
}

static void queue_flush(struct port_queue *queue)
{
	push_all(of(queue));
}

/*
 * Arming tells of the first completion from then on, so that one more look at
 * what is there comes after it. When that finds any, the notice may be spent on it: then
 * the descriptor is made readable, and whoever sleeps comes round once more.
 */
static int queue_wait_fd(struct port_queue *queue)
{
	struct rdma_queue *q = of(queue);
	bool more = q->ready_count > 0 || link_hub_arm(q->hub) != 0 || turn(q);

	push_all(q);
	if (more)
		kick(q);
	return q->epoll_fd;
}

static const struct port_ops queue_ops = {
	.receive = queue_receive,
	.release = queue_release,
	.send = queue_send,
	.flush = queue_flush,
	.wait_fd = queue_wait_fd,
};

/* --- opening --- */

static uint32_t power_of_two_from(uint32_t count)
{
	uint32_t power = 1;

	while (power < count)
		power <<= 1;
	return power;
}

static uint32_t receive_count_of(const struct port_rdma_config *config)
{
	return config->link_max * (config->window + PEER_RECEIVE_SPARE) + RECEIVE_SPARE;
}

/* One registration for all that the device reads and writes. */
static int take_memory(struct rdma_queue *q, char *error, size_t error_size)
{
	size_t slot_size = align_up(q->queue.frame_size, CACHE_LINE);
	size_t size = slot_size * (q->receive_count + SEND_SLOT_COUNT) +
		      (size_t)q->config.link_max * CACHE_LINE;

	_Static_assert(HELLO_SIZE <= CACHE_LINE, "a line for each peer's HELLO");
	q->memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (q->memory == MAP_FAILED) {
		q->memory = NULL;
		return fail(error, error_size, -ENOMEM, "no memory for %zu bytes of frames", size);
	}
	q->memory_size = size;
	return device_register(q->config.device, q->memory, size, IBV_ACCESS_LOCAL_WRITE,
			       &q->registered, error, error_size);
}

static void lay_out(struct rdma_queue *q)
{
	size_t slot_size = align_up(q->queue.frame_size, CACHE_LINE);
	uint8_t *at = q->memory;

	for (uint32_t i = 0; i < q->receive_count; i++, at += slot_size) {
		struct receive_slot *slot = &q->receives[i];

		slot->piece = (struct ibv_sge){
			.addr = (uintptr_t)at,
			.length = (uint32_t)slot_size,
			.lkey = q->registered->lkey,
		};
		slot->request = (struct ibv_recv_wr){
			.wr_id = wr_id_of(i), .sg_list = &slot->piece, .num_sge = 1};
	}
	for (uint32_t i = 0; i < SEND_SLOT_COUNT; i++, at += slot_size) {
		struct send_slot *slot = &q->sends[i];

		slot->work.done = send_done;
		slot->piece = (struct ibv_sge){.addr = (uintptr_t)at, .lkey = q->registered->lkey};
		slot->request = (struct ibv_send_wr){
			.wr_id = (uintptr_t)&slot->work,
			.sg_list = &slot->piece,
			.num_sge = 1,
			.opcode = IBV_WR_SEND_WITH_IMM,
		};
		send_slot_free(q, slot);
	}
	for (uint32_t i = 0; i < q->config.link_max; i++, at += CACHE_LINE)
		q->peers[i].hello = at;
}

static int take_tables(struct rdma_queue *q)
{
	uint32_t ready_size = power_of_two_from(q->receive_count);
	uint32_t name_count = power_of_two_from(2 * q->config.link_max);

	q->receives = calloc(q->receive_count, sizeof(*q->receives));
	q->ready = calloc(ready_size, sizeof(*q->ready));
	q->sends = calloc(SEND_SLOT_COUNT, sizeof(*q->sends));
	q->peers = calloc(q->config.link_max, sizeof(*q->peers));
	q->names = calloc(name_count, sizeof(struct peer *));
	q->ready_mask = ready_size - 1;
	q->name_mask = name_count - 1;
	return q->receives && q->ready && q->sends && q->peers && q->names ? 0 : -ENOMEM;
}

static int make_srq(struct rdma_queue *q, char *error, size_t error_size)
{
	struct ibv_srq_init_attr attr = {.attr = {.max_wr = q->receive_count, .max_sge = 1}};
	const struct device_info *info = device_info(q->config.device);

	if (q->receive_count > info->srq_wr_max)
		return fail(error, error_size, -EINVAL,
			    "%u links of %u frames need %u receives, and device %s has %u; take "
			    "fewer links",
			    q->config.link_max, q->config.window, q->receive_count, info->name,
			    info->srq_wr_max);
	q->srq = device_ops(q->config.device)->create_srq(device_pd(q->config.device), &attr);
	if (!q->srq)
		return fail(error, error_size, -errno,
			    "device %s makes no shared receive queue: %s", info->name,
			    strerror(errno));
	for (uint32_t i = 0; i < q->receive_count; i++) {
		q->receives[i].posted = true;
		q->receives[i].request.next =
			i + 1 < q->receive_count ? &q->receives[i + 1].request : NULL;
	}
	if (receives_post(q, &q->receives[0].request))
		return fail(error, error_size, -EIO, "device %s takes no receives", info->name);
	return 0;
}

static int start_listening(struct rdma_queue *q, char *error, size_t error_size)
{
	struct addr local = q->config.local;
	int r;

	if (local.port != 0)
		local.port += PORT_RDMA_OFFSET;
	r = link_listen(q->hub, &local, &q->queue.local, error, error_size);
	if (r)
		return r;
	if (q->queue.local.port <= PORT_RDMA_OFFSET)
		return fail(error, error_size, -EADDRINUSE, "no port above %d is free",
			    PORT_RDMA_OFFSET);
	q->queue.local.port -= PORT_RDMA_OFFSET;
	return 0;
}

static int make_hub(struct rdma_queue *q, char *error, size_t error_size)
{
	struct link_hub_config config = {
		.node = q->config.node,
		.secret = q->config.secret,
		.link_max = q->config.link_max,
		.send_depth = PEER_FRAMES_MAX + PEER_CONTROL_MAX,
		.seed = q->config.seed,
		.changed = peers_link_changed,
		.context = q,
		.srq = q->srq,
		.srq_depth = q->receive_count,
		.srq_bytes = srq_bytes,
		.received = received,
	};
	int r = link_hub_new(q->config.device, &config, &q->hub, error, error_size);

	return r == 0 && q->config.listen ? start_listening(q, error, error_size) : r;
}

static int watch(struct rdma_queue *q, int fd)
{
	struct epoll_event event = {.events = EPOLLIN};

	return epoll_ctl(q->epoll_fd, EPOLL_CTL_ADD, fd, &event) ? -errno : 0;
}

static int make_fds(struct rdma_queue *q, char *error, size_t error_size)
{
	int r;

	q->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	q->kick_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (q->epoll_fd < 0 || q->kick_fd < 0)
		return fail(error, error_size, -errno, "no epoll: %s", strerror(errno));
	r = watch(q, q->kick_fd);
	if (r == 0)
		r = watch(q, link_hub_fd(q->hub));
	if (r == 0 && q->takes_events)
		r = watch(q, device_event_fd(q->config.device));
	return r == 0 ? 0 : fail(error, error_size, r, "no epoll: %s", strerror(-r));
}

static int make_name(struct rdma_queue *q)
{
	struct rand rand;
	int r = 0;

	if (q->config.seed) {
		rand_init(&rand, q->config.seed);
		for (unsigned i = 0; i < sizeof(q->name); i++)
			q->name[i] = (uint8_t)rand_next(&rand);
	} else {
		r = rand_secret(q->name, sizeof(q->name));
	}
	q->name[0] = NAME_FIRST;
	return r;
}

/* What was sent arrives, or its time is up: a session's last word is worth it. */
static void linger(struct rdma_queue *q)
{
	uint64_t until_ns = clock_now_ns() + PORT_RDMA_LINGER_NS;

	push_all(q);
	for (uint32_t i = 0; i < q->config.link_max;)
		if (q->peers[i].posted.count == 0 || clock_now_ns() > until_ns)
			i++;
		else
			(void)turn(q);
}

static void queue_free(struct rdma_queue *q)
{
	const struct verbs_ops *ops;

	if (!q)
		return;
	ops = device_ops(q->config.device);
	if (q->hub && q->epoll_fd >= 0)
		linger(q);
	link_hub_free(q->hub);
	if (q->srq)
		(void)ops->destroy_srq(q->srq);
	if (q->registered)
		(void)ops->dereg_mr(q->registered);
	if (q->memory)
		(void)munmap(q->memory, q->memory_size);
	if (q->epoll_fd >= 0)
		(void)close(q->epoll_fd);
	if (q->kick_fd >= 0)
		(void)close(q->kick_fd);
	free(q->receives);
	free(q->ready);
	free(q->sends);
	free(q->peers);
	free(q->names);
	free(q);
}

static int queue_fill(struct rdma_queue *q, char *error, size_t error_size)
{
	int r;

	if (take_tables(q) || make_name(q))
		return fail(error, error_size, -ENOMEM, "no memory for a queue");
	r = take_memory(q, error, error_size);
	if (r)
		return r;
	lay_out(q);
	peers_init(q);
	r = make_srq(q, error, error_size);
	if (r == 0)
		r = make_hub(q, error, error_size);
	return r ? r : make_fds(q, error, error_size);
}

static int queue_new(const struct port_rdma_config *config, uint32_t index,
		     struct rdma_queue **ret_queue, char *error, size_t error_size)
{
	struct rdma_queue *q = calloc(1, sizeof(*q));
	int r;

	if (!q)
		return fail(error, error_size, -ENOMEM, "no memory for a queue");
	q->config = *config;
	if (config->local.port != 0)
		q->config.local.port = (uint16_t)(config->local.port + index);
	q->queue.local = q->config.local;
	q->epoll_fd = -1;
	q->kick_fd = -1;
	q->queue.ops = &queue_ops;
	q->queue.frame_size = config->frame_size;
	q->receive_count = receive_count_of(config);
	q->takes_events = index == 0;
	r = queue_fill(q, error, error_size);
	if (r) {
		queue_free(q);
		return r;
	}
	*ret_queue = q;
	return 0;
}

static void close_all(struct port *port)
{
	struct rdma_port *p = CONTAINER_OF(port, struct rdma_port, port);

	for (uint32_t i = 0; i < port->queue_count; i++)
		queue_free(p->queues[i]);
	free(p);
}

static int check_config(const struct port_rdma_config *config, char *error, size_t error_size)
{
	if (config->queue_count < 1 || config->queue_count > PORT_QUEUE_MAX)
		return fail(error, error_size, -EINVAL, "%u queues: 1 to %d can be",
			    config->queue_count, PORT_QUEUE_MAX);
	if (config->local.port + config->queue_count > UINT16_MAX + 1u - PORT_RDMA_OFFSET)
		return fail(error, error_size, -EINVAL,
			    "%u queues from port %u on, and %d above, go past 65535",
			    config->queue_count, config->local.port, PORT_RDMA_OFFSET);
	if (config->frame_size < SESSION_FRAME_SIZE_MIN ||
	    config->frame_size > SESSION_FRAME_SIZE_MAX)
		return fail(error, error_size, -EINVAL, "frame size %u: %d to %d can be",
			    config->frame_size, SESSION_FRAME_SIZE_MIN, SESSION_FRAME_SIZE_MAX);
	if (config->link_max < 1 || config->link_max > PORT_RDMA_LINK_MAX)
		return fail(error, error_size, -EINVAL, "%u links: 1 to %d can be",
			    config->link_max, PORT_RDMA_LINK_MAX);
	if (config->window > PORT_RDMA_WINDOW_MAX)
		return fail(error, error_size, -EINVAL, "a window of %u frames: 1 to %d can be",
			    config->window, PORT_RDMA_WINDOW_MAX);
	return 0;
}

int port_rdma_open(const struct port_rdma_config *from, struct port **ret_port, char *error,
		   size_t error_size)
{
	struct port_rdma_config config = *from;
	struct rdma_port *p;
	int r;

	if (config.frame_size == 0)
		config.frame_size = SESSION_FRAME_SIZE_MAX;
	if (config.window == 0)
		config.window = PORT_RDMA_WINDOW_DEFAULT;
	if (!config.now_ns)
		config.now_ns = clock_now_ns;
	r = check_config(&config, error, error_size);
	if (r != 0)
		return r;
	p = calloc(1, sizeof(*p));
	if (!p)
		return fail(error, error_size, -ENOMEM, "no memory for a port");
	p->port.close = close_all;
	for (uint32_t i = 0; i < config.queue_count; i++) {
		r = queue_new(&config, i, &p->queues[i], error, error_size);
		if (r != 0) {
			close_all(&p->port);
			return r;
		}
		p->port.queues[i] = &p->queues[i]->queue;
		p->port.queue_count = i + 1;
	}
	*ret_port = &p->port;
	return 0;
}

struct port_rdma_stats port_rdma_stats(const struct port_queue *queue)
{
	return of((struct port_queue *)queue)->stats;
}

const char *port_rdma_why(const struct port_queue *queue)
{
	return of((struct port_queue *)queue)->why;
}
