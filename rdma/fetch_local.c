/* SPDX-License-Identifier: Apache-2.0 */
#include "rdma/fetch_local.h"

#include "base/defs.h"

#include <stdlib.h>
#include <string.h>

static struct fetch_local *of(struct fetch *fetch)
{
	return CONTAINER_OF(fetch, struct fetch_local, fetch);
}

static struct fetch_local_batch *batch_at(struct fetch_local *local, unsigned index)
{
	return &local->batches[(local->first + index) % FETCH_BATCH_MAX];
}

static void copy(const struct fetch_local *local, const struct fetch_piece *pieces, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		memcpy(pieces[i].to, local->start + pieces[i].offset, pieces[i].size);
}

static int local_post(struct fetch *fetch, const struct fetch_piece *pieces, unsigned count,
		      uint64_t cookie)
{
	struct fetch_local *local = of(fetch);
	struct fetch_local_batch *batch;
	uint64_t bytes;
	int error = fetch_check(fetch, pieces, count, &bytes);

	if (error)
		return error;
	if (local->count == FETCH_BATCH_MAX)
		return FETCH_E_BUSY;
	batch = batch_at(local, local->count++);
	batch->cookie = cookie;
	batch->count = count;
	if (batch->pieces) {
		memcpy(batch->pieces, pieces, count * sizeof(*pieces));
		for (unsigned i = 0; i < count; i++)
			memset(pieces[i].to, FETCH_LOCAL_POISON, pieces[i].size);
	} else {
		copy(local, pieces, count);
	}
	fetch_count_batch(fetch, count, bytes);
	if (fetch->stats.batches == local->fail_batch)
		fetch->error = -EIO;
	return 0;
}

/* Puts a batch of all that are under way to the ring's front. */
static void draw(struct fetch_local *local)
{
	struct fetch_local_batch *front = batch_at(local, 0);
	struct fetch_local_batch *drawn =
		batch_at(local, (unsigned)rand_below(&local->rand, local->count));
	struct fetch_local_batch swap = *front;

	*front = *drawn;
	*drawn = swap;
}

static unsigned local_poll(struct fetch *fetch, uint64_t now_ns, struct fetch_done *done,
			   unsigned count)
{
	struct fetch_local *local = of(fetch);

	fetch_check_expiry(fetch, now_ns);
	count = MIN(count, local->count);
	if (local->pieces && !fetch->error)
		count = (unsigned)rand_below(&local->rand, count + 1);
	for (unsigned i = 0; i < count; i++) {
		struct fetch_local_batch *batch;

		if (local->pieces)
			draw(local);
		batch = batch_at(local, 0);
		if (local->pieces && !fetch->error)
			copy(local, batch->pieces, batch->count);
		fetch_hand_out(fetch, &done[i], batch->cookie, fetch->error);
		local->first++;
		local->count--;
	}
	return count;
}

static void local_close(struct fetch *fetch)
{
	struct fetch_local *local = of(fetch);

	fetch_local_deinit(local);
	free(local);
}

static const struct fetch_ops local_ops = {
	.post = local_post,
	.poll = local_poll,
	.close = local_close,
};

int fetch_local_init(struct fetch_local *local, const struct fetch_local_options *options)
{
	*local = (struct fetch_local){
		.fetch = {.ops = &local_ops,
			  .kind = "local",
			  .size = options->size,
			  .memory = options->memory,
			  .memory_size = options->memory_size,
			  .expires_ns = options->expires_ns ? options->expires_ns : UINT64_MAX},
		.start = options->start,
		.fail_batch = options->fail_batch,
	};
	if (!options->seed)
		return 0;
	rand_init(&local->rand, options->seed);
	local->pieces =
		calloc((size_t)FETCH_BATCH_MAX * FETCH_PIECE_MAX, sizeof(struct fetch_piece));
	if (!local->pieces)
		return -ENOMEM;
	for (unsigned i = 0; i < FETCH_BATCH_MAX; i++)
		local->batches[i].pieces = local->pieces + (size_t)i * FETCH_PIECE_MAX;
	return 0;
}

void fetch_local_deinit(struct fetch_local *local)
{
	free(local->pieces);
	local->pieces = NULL;
}

int fetch_local_open(const struct fetch_local_options *options, struct fetch **ret_fetch)
{
	struct fetch_local *local = malloc(sizeof(*local));
	int error;

	if (!local)
		return -ENOMEM;
	error = fetch_local_init(local, options);
	if (error) {
		free(local);
		return error;
	}
	*ret_fetch = &local->fetch;
	return 0;
}
