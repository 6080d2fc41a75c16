/* SPDX-License-Identifier: Apache-2.0 */

/* Port RDMA: links, what their peers are called, and credits. */

#include "base/byteorder.h"
#include "base/check.h"
#include "base/hash.h"
#include "base/log.h"
#include "proto/session.h"
#include "rdma/port_rdma_internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static uint32_t immediate_of(enum message_kind kind, uint32_t credits)
{
	return htobe32((uint32_t)kind << 24 | credits);
}

/* --- names --- */

static struct peer **bucket_of(struct rdma_queue *q, const struct addr *name)
{
	uint64_t hash = load_le64(name->ip) ^ hash_mix64(load_le64(name->ip + 8) + name->port);

	return &q->names[hash_mix64(hash) & q->name_mask];
}

/* The youngest of a name stands first, so that it is found. */
static void name_add(struct peer *peer, const struct addr *name)
{
	struct peer **bucket = bucket_of(peer->queue, name);

	peer->name = *name;
	peer->named = true;
	peer->next_named = *bucket;
	*bucket = peer;
}

static void name_remove(struct peer *peer)
{
	struct peer **at;

	if (!peer->named)
		return;
	for (at = bucket_of(peer->queue, &peer->name); *at != peer; at = &(*at)->next_named)
		CHECK(*at);
	*at = peer->next_named;
	peer->named = false;
}

static struct peer *name_find(struct rdma_queue *q, const struct addr *name)
{
	struct peer *peer = *bucket_of(q, name);

	while (peer && !addr_equal(&peer->name, name))
		peer = peer->next_named;
	return peer;
}

/* Names that peers made up lead nowhere but over their own links. */
static bool is_made_up(const struct addr *addr)
{
	return addr->ip[0] == NAME_FIRST && addr->port == NAME_PORT;
}

/* --- peers --- */

static struct peer *peer_new(struct rdma_queue *q, struct link *link, enum peer_state state)
{
	struct peer *peer = q->free_peers;

	if (!peer)
		return NULL;
	q->free_peers = peer->next_dirty;
	CHECK(peer->state == PEER_FREE && peer->held == 0);
	peer->link = link;
	peer->state = state;
	peer->next_dirty = NULL;
	peer->heard = true;
	peer->frame_size = q->queue.frame_size;
	peer->window = 0;
	peer->credits = 0;
	peer->allowed = 0;
	peer->owed = 0;
	link_set_context(link, peer);
	return peer;
}

static void peer_free(struct peer *peer)
{
	peer->state = PEER_FREE;
	peer->next_dirty = peer->queue->free_peers;
	peer->queue->free_peers = peer;
}

static void untouch(struct peer *peer)
{
	struct peer **at = &peer->queue->dirty;

	if (!peer->dirty)
		return;
	for (; *at != peer; at = &(*at)->next_dirty)
		CHECK(*at);
	*at = peer->next_dirty;
	peer->dirty = false;
}

void peers_init(struct rdma_queue *q)
{
	for (uint32_t i = q->config.link_max; i-- > 0;) {
		struct peer *peer = &q->peers[i];

		peer->queue = q;
		for (uint32_t j = 0; j < PEER_CONTROL_MAX; j++) {
			peer->controls[j].work.done = send_done;
			peer->controls[j].control = true;
			peer->controls[j].peer = peer;
			send_slot_free(q, &peer->controls[j]);
		}
		peer_free(peer);
	}
}

static void drop_all(struct rdma_queue *q, struct send_list *list, uint64_t *count)
{
	*count += list->count;
	while (list->count > 0)
		send_slot_free(q, send_list_take(list));
}

void peer_end(struct peer *peer)
{
	struct rdma_queue *q = peer->queue;
	uint64_t posted = 0; /* they were counted as sent, and perhaps they were */

	untouch(peer);
	name_remove(peer);
	if (peer->broken)
		q->broken_count--;
	peer->broken = false;
	if (peer->state != PEER_DIALLING)
		q->stats.links--;
	q->stats.links_ended++;
	/* After it the device reads no send slot any more, and no completion names one. */
	link_close(peer->link);
	peer->link = NULL;
	drop_all(q, &peer->waiting, &q->queue.stats.frames_dropped_send);
	drop_all(q, &peer->posted, &posted);
	peer->state = PEER_GONE;
	if (peer->held == 0)
		peer_free(peer);
}

/* Only marks: whoever is calling us may still have the link in its hands. */
static void peer_break(struct peer *peer)
{
	if (peer->broken)
		return;
	peer->broken = true;
	peer->queue->broken_count++;
}

void peers_sweep(struct rdma_queue *q)
{
	for (uint32_t i = 0; i < q->config.link_max && q->broken_count > 0; i++)
		if (q->peers[i].broken)
			peer_end(&q->peers[i]);
}

void peers_look(struct rdma_queue *q, uint64_t now_ns)
{
	q->look_next_ns = now_ns + PORT_RDMA_SILENCE_NS;
	for (uint32_t i = 0; i < q->config.link_max; i++) {
		struct peer *peer = &q->peers[i];

		if (peer->state != PEER_GREETING && peer->state != PEER_OPEN)
			continue;
		if (!peer->heard)
			peer_end(peer);
		peer->heard = false;
	}
}

static struct peer *dial(struct rdma_queue *q, const struct addr *to)
{
	uint64_t now_ns = q->config.now_ns();
	struct link_options options = {
		.to = *to, .use = LINK_FRAMES, .deadline_ns = now_ns + PORT_RDMA_DIAL_NS};
	struct link *link;
	struct peer *peer;
	int r;

	if (is_made_up(to) || to->port > UINT16_MAX - PORT_RDMA_OFFSET || !q->free_peers)
		return NULL;
	options.to.port += PORT_RDMA_OFFSET;
	if (q->config.allocates)
		q->config.allocates(true);
	r = link_connect(q->hub, &options, now_ns, &link, q->why, sizeof(q->why));
	if (q->config.allocates)
		q->config.allocates(false);
	if (r < 0)
		return NULL;
	q->stats.links_dialled++;
	peer = peer_new(q, link, PEER_DIALLING);
	name_add(peer, to);
	return peer;
}

struct peer *peer_for(struct rdma_queue *q, const struct addr *to)
{
	struct peer *peer = name_find(q, to);

	return likely(peer != NULL) ? peer : dial(q, to);
}

void peer_touch(struct peer *peer)
{
	if (peer->dirty)
		return;
	peer->dirty = true;
	peer->next_dirty = peer->queue->dirty;
	peer->queue->dirty = peer;
}

/* --- messages that go out --- */

/* Credits that ride on the next message. */
static uint32_t grant(struct peer *peer)
{
	uint32_t credits = peer->owed;

	peer->owed = 0;
	peer->allowed += credits;
	DCHECK(peer->allowed + peer->held <= peer->queue->config.window);
	return credits;
}

static void post(struct peer *peer, struct ibv_send_wr *first)
{
	const struct verbs_ops *ops = device_ops(peer->queue->config.device);
	struct ibv_send_wr *bad;

	/* What wasn't taken goes with the link, as if it had been lost on it. */
	if (ops->post_send(link_qp(peer->link), first, &bad))
		peer_break(peer);
	peer->queue->stats.doorbells++;
}

/* HELLO and CREDIT. They are few, so each is signalled. */
static void control_post(struct peer *peer, uint32_t immediate, uint32_t size)
{
	struct send_slot *slot = peer->free_controls;

	CHECK(slot);
	peer->free_controls = slot->next;
	slot->piece = (struct ibv_sge){
		.addr = (uintptr_t)peer->hello,
		.length = size,
		.lkey = peer->queue->registered->lkey,
	};
	slot->request = (struct ibv_send_wr){
		.wr_id = (uintptr_t)&slot->work,
		.sg_list = &slot->piece,
		.num_sge = size > 0 ? 1 : 0,
		.opcode = IBV_WR_SEND_WITH_IMM,
		.send_flags = IBV_SEND_SIGNALED,
		.imm_data = immediate,
	};
	slot->posted = true;
	send_list_add(&peer->posted, slot);
	post(peer, &slot->request);
}

static void hello_post(struct peer *peer)
{
	struct rdma_queue *q = peer->queue;

	memset(peer->hello, 0, HELLO_SIZE);
	store_le16(peer->hello, HELLO_VERSION);
	store_le32(peer->hello + 4, q->queue.frame_size);
	if (q->config.listen)
		store_le16(peer->hello + 2, q->queue.local.port);
	else
		memcpy(peer->hello + HELLO_NAME, q->name, sizeof(q->name));
	peer->allowed = q->config.window;
	control_post(peer, immediate_of(MESSAGE_HELLO, q->config.window), HELLO_SIZE);
}

/* Frames as far as credits go: one doorbell, the last one signalled. */
static void frames_post(struct peer *peer)
{
	struct send_slot *first = peer->waiting.first, *slot = NULL;
	struct port_stats *stats = &peer->queue->queue.stats;

	while (peer->waiting.count > 0 && peer->credits > 0) {
		slot = send_list_take(&peer->waiting);
		slot->request.next = peer->waiting.first ? &peer->waiting.first->request : NULL;
		slot->request.send_flags = 0;
		slot->request.imm_data = immediate_of(MESSAGE_FRAME, grant(peer));
		peer->credits--;
		stats->frames_sent++;
		stats->bytes_sent += slot->piece.length;
		slot->posted = true;
		send_list_add(&peer->posted, slot);
	}
	if (peer->waiting.count > 0)
		peer->queue->stats.credit_waits++;
	if (!slot)
		return;
	slot->request.next = NULL;
	slot->request.send_flags = IBV_SEND_SIGNALED;
	post(peer, &first->request);
}

static bool credit_is_due(const struct peer *peer)
{
	return peer->owed >= (peer->queue->config.window + 1) / 2 && peer->free_controls != NULL;
}

void peer_push(struct peer *peer)
{
	if (peer->state != PEER_OPEN || peer->broken)
		return;
	if (peer->waiting.count > 0)
		frames_post(peer);
	if (credit_is_due(peer)) {
		control_post(peer, immediate_of(MESSAGE_CREDIT, grant(peer)), 0);
		peer->queue->stats.credit_messages++;
	}
}

void peer_credit(struct peer *peer)
{
	DCHECK(peer->held > 0);
	peer->held--;
	if (peer->state == PEER_GONE) {
		if (peer->held == 0)
			peer_free(peer);
		return;
	}
	peer->owed++;
	/* Frames that wait for a flush, and may go then, take it along. */
	if (credit_is_due(peer) && (peer->waiting.count == 0 || peer->credits == 0))
		peer_push(peer);
}

/* --- messages that come in --- */

/* Frames that were queued before the peer said how large they may be. */
static void drop_larger(struct peer *peer)
{
	struct send_list kept = {0};

	while (peer->waiting.count > 0) {
		struct send_slot *slot = send_list_take(&peer->waiting);

		if (slot->piece.length <= peer->frame_size) {
			send_list_add(&kept, slot);
			continue;
		}
		send_slot_free(peer->queue, slot);
		peer->queue->queue.stats.frames_dropped_send++;
	}
	peer->waiting = kept;
}

static bool hello_take(struct peer *peer, const uint8_t *hello, const struct ibv_wc *completion,
		       uint32_t credits)
{
	struct addr name = {.port = NAME_PORT};
	uint32_t frame_size;
	uint16_t port;

	if (completion->byte_len != HELLO_SIZE || peer->state != PEER_GREETING ||
	    load_le16(hello) != HELLO_VERSION || load_le64(hello + 8) != 0)
		return false;
	port = load_le16(hello + 2);
	frame_size = load_le32(hello + 4);
	if (frame_size < SESSION_FRAME_SIZE_MIN || frame_size > SESSION_FRAME_SIZE_MAX ||
	    credits < 1 || credits > PORT_RDMA_WINDOW_MAX)
		return false;
	memcpy(name.ip, hello + HELLO_NAME, sizeof(name.ip));
	if (port != 0) {
		name = link_peer(peer->link);
		name.port = port;
	} else if (name.ip[0] != NAME_FIRST) {
		return false;
	}
	if (!peer->named)
		name_add(peer, &name);
	peer->frame_size = frame_size;
	peer->window = credits;
	peer->credits = credits;
	peer->state = PEER_OPEN;
	drop_larger(peer);
	return true;
}

static bool message_take(struct peer *peer, const uint8_t *bytes, const struct ibv_wc *completion)
{
	uint32_t immediate = be32toh(completion->imm_data);
	uint32_t credits = immediate & UINT16_MAX;
	uint32_t kind = immediate >> 24;

	if (!(completion->wc_flags & IBV_WC_WITH_IMM) || (immediate >> 16 & UINT8_MAX) != 0)
		return false;
	if (kind == MESSAGE_HELLO)
		return hello_take(peer, bytes, completion, credits);
	if (peer->state != PEER_OPEN || peer->credits + credits > peer->window)
		return false;
	peer->credits += credits;
	if (kind == MESSAGE_CREDIT)
		return completion->byte_len == 0 && credits > 0;
	if (kind != MESSAGE_FRAME || peer->allowed == 0)
		return false;
	peer->allowed--;
	peer->held++;
	return true;
}

bool peer_take(struct peer *peer, const uint8_t *bytes, const struct ibv_wc *completion)
{
	uint32_t held = peer->held;

	if (peer->broken)
		return false;
	peer->heard = true;
	if (!message_take(peer, bytes, completion)) {
		LOG_LIMITED(LOG_LEVEL_DEBUG, "rdma frames: a breach of the format, link ended");
		peer->queue->queue.stats.frames_dropped_receive++;
		peer->queue->stats.links_broken++;
		peer_break(peer);
		return false;
	}
	if (peer->waiting.count > 0 && peer->credits > 0)
		peer_touch(peer);
	return peer->held > held;
}

/* --- links that come and go --- */

static void link_ready(struct rdma_queue *q, struct link *link)
{
	struct peer *peer = link_context(link);

	if (link_is_accepted(link)) {
		peer = peer_new(q, link, PEER_GREETING);
		if (!peer) {
			q->stats.links_refused++;
			link_close(link);
			return;
		}
		q->stats.links_accepted++;
	}
	peer->state = PEER_GREETING;
	q->stats.links++;
	hello_post(peer);
}

void peers_link_changed(void *context, struct link *link)
{
	struct rdma_queue *q = context;
	struct peer *peer = link_context(link);

	if (link_state(link) == LINK_READY) {
		link_ready(q, link);
	} else if (link_state(link) == LINK_ENDED) {
		snprintf(q->why, sizeof(q->why), "%s", link_error(link));
		LOG_LIMITED(LOG_LEVEL_DEBUG, "rdma frames: link ended, %s", q->why);
		if (peer)
			peer_end(peer);
		else
			link_close(link);
	}
}
