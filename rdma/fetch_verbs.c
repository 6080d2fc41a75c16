/* SPDX-License-Identifier: Apache-2.0 */
#include "rdma/fetch_verbs.h"

#include "base/check.h"
#include "base/defs.h"
#include "rdma/link_internal.h"

#include <stdbool.h>
#include <stdlib.h>

/*
 * Batches are numbered from 0 on, and number n lies in slot n mod FETCH_BATCH_MAX:
 *
 *      0 .. handed .. completed .. posted
 *           |  told   |  with the  |
 *           |  next   |  device    |
 *
 * Invariants:
 * 1. handed <= completed <= posted <= handed + FETCH_BATCH_MAX
 * 2. Completions of a queue pair come in order, so the next one that ends a batch is
 *    number 'completed'. A device that says otherwise is broken, and so is the fetch then.
 * 3. A slot is given to another batch only after the last completion that can name it: requests
 *    without a signal complete only with an error, before the signalled one.
 */

struct batch {
	struct link_work part; /* of all requests but the last one */
	struct link_work last; /* whose completion ends the batch */
	struct fetch_verbs *verbs;
	uint64_t cookie;
	unsigned count; /* requests */
	int error;
};

struct fetch_verbs {
	struct fetch fetch;
	const struct verbs_ops *ops;
	struct link *link; /* NULL once it is closed */
	struct ibv_qp *qp; /* the link's */
	struct ibv_mr *mr;
	bool owns_mr;
	uint64_t remote_addr;
	uint32_t room; /* entries of the send queue left */
	uint64_t posted, completed, handed;
	struct batch batches[FETCH_BATCH_MAX];
	struct ibv_send_wr requests[FETCH_PIECE_MAX]; /* a list; a post uses its end */
	struct ibv_sge parts[FETCH_PIECE_MAX];        /* of the requests */
};

static struct fetch_verbs *of(struct fetch *fetch)
{
	return CONTAINER_OF(fetch, struct fetch_verbs, fetch);
}

static struct batch *batch_at(struct fetch_verbs *verbs, uint64_t number)
{
	return &verbs->batches[number % FETCH_BATCH_MAX];
}

/* Is it with the device? */
static bool is_under_way(const struct fetch_verbs *verbs, const struct batch *batch)
{
	uint64_t slot = (uint64_t)(batch - verbs->batches);

	return (slot - verbs->completed) % FETCH_BATCH_MAX < verbs->posted - verbs->completed;
}

/* --- errors --- */

static int errno_of(enum ibv_wc_status status)
{
	switch (status) {
	case IBV_WC_REM_ACCESS_ERR:
		return -EACCES;
	case IBV_WC_WR_FLUSH_ERR:
	case IBV_WC_RETRY_EXC_ERR:
	case IBV_WC_RNR_RETRY_EXC_ERR:
	case IBV_WC_RESP_TIMEOUT_ERR:
		return -ENOTCONN;
	default:
		return -EIO;
	}
}

/* The first error stays: those behind it only say that the queue pair has ended. */
static void end(struct fetch_verbs *verbs, int error)
{
	if (!verbs->fetch.error)
		verbs->fetch.error = error;
}

/* Ends the queue pair, so that the device gives back what it has, and the link learns of it. */
static NOINLINE void break_link(struct fetch_verbs *verbs, int error)
{
	end(verbs, error);
	if (verbs->link)
		link_break(verbs->link);
}

/* --- completions --- */

static NOINLINE void batch_fail(struct batch *batch, enum ibv_wc_status status)
{
	end(batch->verbs, errno_of(status));
	if (!batch->error)
		batch->error = batch->verbs->fetch.error;
}

static void part_done(struct link_work *work, struct link *link, const struct ibv_wc *completion)
{
	struct batch *batch = CONTAINER_OF(work, struct batch, part);

	if (completion->status != IBV_WC_SUCCESS && is_under_way(batch->verbs, batch))
		batch_fail(batch, completion->status);
}

static void last_done(struct link_work *work, struct link *link, const struct ibv_wc *completion)
{
	struct batch *batch = CONTAINER_OF(work, struct batch, last);
	struct fetch_verbs *verbs = batch->verbs;

	if (unlikely(verbs->completed == verbs->posted ||
		     batch != batch_at(verbs, verbs->completed))) {
		/* One that was told of before: told twice, it means nothing. */
		if (is_under_way(verbs, batch))
			break_link(verbs, -EIO);
		return;
	}
	if (unlikely(completion->status != IBV_WC_SUCCESS))
		batch_fail(batch, completion->status);
	verbs->room += batch->count;
	verbs->completed++;
}

static unsigned fetch_verbs_poll(struct fetch *fetch, uint64_t now_ns, struct fetch_done *done,
				 unsigned count)
{
	struct fetch_verbs *verbs = of(fetch);
	bool late = now_ns >= fetch->expires_ns;

	fetch_check_expiry(fetch, now_ns);
	count = (unsigned)MIN(count, verbs->completed - verbs->handed);
	for (unsigned i = 0; i < count; i++) {
		struct batch *batch = batch_at(verbs, verbs->handed++);
		int error = batch->error ? batch->error : late ? -ETIMEDOUT : 0;

		fetch_hand_out(fetch, &done[i], batch->cookie, error);
	}
	return count;
}

/* --- posting --- */

/* Fills the end of the list, whose last request is the signalled one. Returns where it begins. */
static struct ibv_send_wr *list_fill(struct fetch_verbs *verbs, const struct fetch_piece *pieces,
				     unsigned count, struct batch *batch)
{
	struct ibv_send_wr *requests = &verbs->requests[FETCH_PIECE_MAX - count];
	struct ibv_sge *parts = &verbs->parts[FETCH_PIECE_MAX - count];

	for (unsigned i = 0; i < count; i++) {
		parts[i].addr = (uintptr_t)pieces[i].to;
		parts[i].length = pieces[i].size;
		requests[i].wr.rdma.remote_addr = verbs->remote_addr + pieces[i].offset;
		requests[i].wr_id = (uintptr_t)&batch->part;
	}
	verbs->requests[FETCH_PIECE_MAX - 1].wr_id = (uintptr_t)&batch->last;
	return requests;
}

/*
 * A list that the device took only the beginning of counts as posted, though its end will not be
 * told of: the requests that it took write to their memory until the queue pair ends.
 */
static NOINLINE int post_failed(struct fetch_verbs *verbs, int error, bool any)
{
	if (any)
		break_link(verbs, error);
	else
		end(verbs, error);
	return any ? 0 : error;
}

static int fetch_verbs_post(struct fetch *fetch, const struct fetch_piece *pieces, unsigned count,
			    uint64_t cookie)
{
	struct fetch_verbs *verbs = of(fetch);
	struct batch *batch = batch_at(verbs, verbs->posted);
	struct ibv_send_wr *requests, *bad = NULL;
	uint64_t bytes;
	int error = fetch_check(fetch, pieces, count, &bytes);

	if (error)
		return error;
	if (verbs->room < count || verbs->posted - verbs->handed == FETCH_BATCH_MAX)
		return FETCH_E_BUSY;
	if (unlikely(verbs->link->state != LINK_READY)) {
		end(verbs, -ENOTCONN);
		return -ENOTCONN;
	}
	requests = list_fill(verbs, pieces, count, batch);
	error = -verbs->ops->post_send(verbs->qp, requests, &bad);
	if (unlikely(error)) {
		error = post_failed(verbs, error, bad != requests);
		if (error)
			return error;
	}
	batch->cookie = cookie;
	batch->count = count;
	batch->error = 0;
	verbs->room -= count;
	verbs->posted++;
	fetch_count_batch(fetch, count, bytes);
	return 0;
}

/* --- making and closing --- */

static void fetch_verbs_close(struct fetch *fetch)
{
	struct fetch_verbs *verbs = of(fetch);

	CHECK(!verbs->link || verbs->posted == verbs->completed);
	if (verbs->owns_mr)
		(void)verbs->ops->dereg_mr(verbs->mr);
	free(verbs);
}

static const struct fetch_ops fetch_verbs_ops = {
	.post = fetch_verbs_post,
	.poll = fetch_verbs_poll,
	.close = fetch_verbs_close,
};

static bool is_sane(const struct fetch_verbs_options *options)
{
	if (options->depth < FETCH_VERBS_DEPTH_MIN || !options->size ||
	    options->remote_addr > UINT64_MAX - options->size)
		return false;
	return !options->mr || fetch_is_within((uintptr_t)options->memory, options->memory_size,
					       (uintptr_t)options->mr->addr, options->mr->length);
}

/* What stays the same from post to post. */
static void make_lists(struct fetch_verbs *verbs, uint32_t rkey)
{
	for (unsigned i = 0; i < FETCH_BATCH_MAX; i++) {
		verbs->batches[i].part.done = part_done;
		verbs->batches[i].last.done = last_done;
		verbs->batches[i].verbs = verbs;
	}
	for (unsigned i = 0; i < FETCH_PIECE_MAX; i++) {
		verbs->parts[i].lkey = verbs->mr->lkey;
		verbs->requests[i].opcode = IBV_WR_RDMA_READ;
		verbs->requests[i].sg_list = &verbs->parts[i];
		verbs->requests[i].num_sge = 1;
		verbs->requests[i].wr.rdma.rkey = rkey;
		verbs->requests[i].next = &verbs->requests[i] + 1;
	}
	verbs->requests[FETCH_PIECE_MAX - 1].next = NULL;
	verbs->requests[FETCH_PIECE_MAX - 1].send_flags = IBV_SEND_SIGNALED;
}

static int register_memory(struct fetch_verbs *verbs, const struct fetch_verbs_options *options)
{
	char error[DEVICE_ERROR_MAX];
	int result;

	verbs->mr = options->mr;
	if (verbs->mr)
		return 0;
	result = device_register(link_device(options->link), options->memory, options->memory_size,
				 IBV_ACCESS_LOCAL_WRITE, &verbs->mr, error, sizeof(error));
	verbs->owns_mr = result == 0;
	return result;
}

int fetch_verbs_open(const struct fetch_verbs_options *options, struct fetch **ret_fetch)
{
	struct fetch_verbs *verbs;
	int error;

	if (!is_sane(options))
		return -EINVAL;
	if (link_state(options->link) != LINK_READY)
		return -ENOTCONN;
	verbs = calloc(1, sizeof(*verbs));
	if (!verbs)
		return -ENOMEM;
	verbs->fetch = (struct fetch){
		.ops = &fetch_verbs_ops,
		.kind = "verbs",
		.size = options->size,
		.memory = options->memory,
		.memory_size = options->memory_size,
		.expires_ns = options->expires_ns ? options->expires_ns : UINT64_MAX,
	};
	verbs->ops = device_ops(link_device(options->link));
	verbs->link = options->link;
	verbs->qp = link_qp(options->link);
	verbs->remote_addr = options->remote_addr;
	verbs->room = options->depth;
	error = register_memory(verbs, options);
	if (error) {
		free(verbs);
		return error;
	}
	make_lists(verbs, options->rkey);
	*ret_fetch = &verbs->fetch;
	return 0;
}

void fetch_verbs_link_closed(struct fetch *fetch)
{
	struct fetch_verbs *verbs = of(fetch);

	CHECK(fetch->ops == &fetch_verbs_ops);
	end(verbs, -ENOTCONN);
	verbs->link = NULL;
	for (; verbs->completed < verbs->posted; verbs->completed++) {
		struct batch *batch = batch_at(verbs, verbs->completed);

		if (!batch->error)
			batch->error = fetch->error;
	}
}
