/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/sim_net.h"

#include "base/check.h"

#include <stdlib.h>
#include <string.h>

void sim_net_init(struct sim_net *net, uint64_t seed, const struct sim_link *link)
{
	*net = (struct sim_net){.link = *link, .now_ns = 1};
	rand_init(&net->rand, seed);
}

void sim_net_deinit(struct sim_net *net)
{
	for (size_t i = 0; i < net->frame_count; i++)
		free(net->frames[i].bytes);
	free(net->frames);
	*net = (struct sim_net){0};
}

unsigned sim_net_attach(struct sim_net *net, const struct addr *addr, sim_net_deliver_fn *deliver,
			void *context)
{
	CHECK(net->host_count < SIM_NET_HOST_MAX);
	net->hosts[net->host_count] =
		(struct sim_host){.addr = *addr, .deliver = deliver, .context = context};
	return net->host_count++;
}

static bool chance(struct sim_net *net, unsigned thousandths)
{
	return thousandths && rand_below(&net->rand, 1000) < thousandths;
}

static bool frame_is_before(const struct sim_frame *a, const struct sim_frame *b)
{
	return a->due_ns != b->due_ns ? a->due_ns < b->due_ns : a->order < b->order;
}

static void heap_push(struct sim_net *net, struct sim_frame frame)
{
	size_t at = net->frame_count++;

	if (at == net->frame_capacity) {
		net->frame_capacity = MAX(64, 2 * net->frame_capacity);
		net->frames = realloc(net->frames, net->frame_capacity * sizeof(*net->frames));
		CHECK(net->frames);
	}
	for (; at && frame_is_before(&frame, &net->frames[(at - 1) / 2]); at = (at - 1) / 2)
		net->frames[at] = net->frames[(at - 1) / 2];
	net->frames[at] = frame;
}

static struct sim_frame heap_pop(struct sim_net *net)
{
	struct sim_frame first = net->frames[0], last = net->frames[--net->frame_count];
	size_t at = 0;

	for (;;) {
		size_t child = 2 * at + 1;

		if (child >= net->frame_count)
			break;
		if (child + 1 < net->frame_count &&
		    frame_is_before(&net->frames[child + 1], &net->frames[child]))
			child++;
		if (frame_is_before(&last, &net->frames[child]))
			break;
		net->frames[at] = net->frames[child];
		at = child;
	}
	net->frames[at] = last;
	return first;
}

static void send_copy(struct sim_net *net, const struct addr *from, const struct addr *to,
		      const uint8_t *bytes, size_t size)
{
	struct sim_frame frame = {.due_ns = net->now_ns + net->link.delay_ns,
				  .order = net->order++,
				  .from = *from,
				  .to = *to,
				  .size = size};

	if (net->link.jitter_ns)
		frame.due_ns += rand_below(&net->rand, net->link.jitter_ns + 1);
	if (chance(net, net->link.late))
		frame.due_ns += rand_below(&net->rand, net->link.late_ns + 1);
	if (size && chance(net, net->link.cut))
		frame.size = rand_below(&net->rand, size);
	frame.bytes = malloc(MAX(frame.size, 1));
	CHECK(frame.bytes);
	memcpy(frame.bytes, bytes, frame.size);
	if (frame.size && chance(net, net->link.corrupt)) {
		/* A burst of up to 32 bits, which CRC-32C finds for certain. */
		size_t at = rand_below(&net->rand, frame.size);

		frame.bytes[at] ^= (uint8_t)(1 + rand_below(&net->rand, 255));
		net->corrupted++;
	}
	heap_push(net, frame);
}

void sim_net_send(struct sim_net *net, const struct addr *from, const struct addr *to,
		  const void *head, size_t head_size, const void *body, size_t body_size)
{
	uint8_t bytes[65536];

	CHECK(head_size + body_size <= sizeof(bytes));
	memcpy(bytes, head, head_size);
	if (body_size)
		memcpy(bytes + head_size, body, body_size);
	net->sent++;
	if (net->filter && !net->filter(net->filter_context, to, bytes, head_size + body_size)) {
		net->lost++;
		return;
	}
	if (chance(net, net->link.duplicate)) {
		net->duplicated++;
		send_copy(net, from, to, bytes, head_size + body_size);
	}
	if (chance(net, net->link.loss))
		net->lost++;
	else
		send_copy(net, from, to, bytes, head_size + body_size);
}

uint64_t sim_net_due_ns(const struct sim_net *net)
{
	return net->frame_count ? net->frames[0].due_ns : UINT64_MAX;
}

static bool same_addr(const struct addr *a, const struct addr *b)
{
	return a->port == b->port && !memcmp(a->ip, b->ip, sizeof(a->ip));
}

bool sim_net_step(struct sim_net *net)
{
	struct sim_frame frame;

	if (!net->frame_count)
		return false;
	frame = heap_pop(net);
	net->now_ns = MAX(net->now_ns, frame.due_ns);
	for (unsigned i = 0; i < net->host_count; i++) {
		const struct sim_host *host = &net->hosts[i];

		if (host->deliver && same_addr(&host->addr, &frame.to)) {
			host->deliver(host->context, &frame.from, frame.bytes, frame.size);
			break;
		}
	}
	free(frame.bytes);
	return true;
}
