/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/core_pair.h"

#include "base/clock.h"
#include "base/defs.h"
#include "hnsw/build.h"
#include "proto/envelope.h"
#include "tests/lib/index.h"
#include "tests/lib/test.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	DIM = 8,
	ROW_COUNT = 300,
	TURN_MAX = 100000,
	EXTRA_TURNS = 50,
};

/* --- shards --- */

/* By a file, as the daemon does, so that the memory is of the kind that is exported. */
static void open_segment(unsigned seed, struct segment *ret_segment)
{
	struct build_options options = {
		.metric = METRIC_L2, .seed = 1, .generation = CORE_PAIR_GENERATION};
	struct segment_open_options open = {.huge = true, .numa_node = -1};
	char path[] = "/tmp/tern-core-pair-XXXXXX";
	float *rows = index_rows(ROW_COUNT, DIM, seed);
	struct build_image image;
	uint64_t bad_row;
	char error[256];
	FILE *file;
	int fd;

	assert_int_equal(build_segment(rows, NULL, ROW_COUNT, DIM, &options, &image, &bad_row), 0);
	fd = mkstemp(path);
	assert_true(fd >= 0);
	file = fdopen(fd, "wb");
	assert_non_null(file);
	assert_int_equal(fwrite(image.bytes, 1, image.size, file), image.size);
	assert_int_equal(fclose(file), 0);
	assert_int_equal(segment_open(path, &open, ret_segment, error, sizeof(error)), 0);
	unlink(path);
	build_image_free(&image);
	free(rows);
}

struct shard_table *core_pair_shards(unsigned count)
{
	struct shard_table *table;

	assert_int_equal(shard_table_new(&table), 0);
	table->collection_count = 1;
	table->collections[0] = (struct shard_collection){
		.name = CORE_PAIR_COLLECTION,
		.name_length = sizeof(CORE_PAIR_COLLECTION) - 1,
		.shard_count = count,
		.dim = DIM,
	};
	for (unsigned i = 0; i < count; i++) {
		uint32_t core = i + 1 == count && count > 1;
		struct shard shard = {
			.vshard = CORE_PAIR_VSHARD + i,
			.core = core,
			.udp_port = (uint16_t)(7400 + core),
			.name_length = sizeof(CORE_PAIR_COLLECTION) - 1,
			.collection = CORE_PAIR_COLLECTION,
			.label_max = ROW_COUNT - 1,
			.generation = CORE_PAIR_GENERATION,
		};

		open_segment(i + 1, &shard.segment);
		assert_int_equal(shard_table_add(table, &shard), 0);
	}
	return table;
}

/* --- life --- */

static void client_send(void *context, const struct addr *to, const void *head, size_t head_size,
			const void *body, size_t body_size)
{
	port_send(context, to, head, head_size, body, body_size);
}

static const struct session_ops client_ops = {.send = client_send};

void core_pair_init(struct core_pair *pair, const struct shard_table *shards,
		    struct export_desk *desk)
{
	struct core_config config = {
		.cpu = -1,
		.endpoint =
			{
				.node = CORE_PAIR_SERVER,
				.epoch = 1,
				.session_count = 4,
				.frame_size = PORT_MEMORY_FRAME_SIZE,
				.message_size_max = 1 << 16,
				.large_count = CORE_PAIR_CALL_MAX,
				.accept = true,
				.seed = 1,
			},
		.vector = {.burst = 4,
			   .queue_max = 64,
			   .ef = {.max = 64},
			   .message_size_max = 1 << 16},
		.shards = shards,
		.desk = desk,
	};
	struct endpoint_config client = config.endpoint;

	memset(pair, 0, sizeof(*pair));
	pair->now_ns = NS_PER_S;
	port_memory_init(&pair->client_port, &pair->core_port);
	config.queue = &pair->core_port.queue;
	assert_int_equal(core_new(&config, &pair->core), 0);
	assert_int_equal(core_prepare(pair->core, pair->now_ns), 0);
	client.node = CORE_PAIR_CLIENT;
	client.accept = false;
	client.seed = 2;
	assert_int_equal(
		endpoint_new(&client, &client_ops, &pair->client_port.queue, &pair->client), 0);
	for (unsigned i = 0; i < ARRAY_COUNT(pair->sessions); i++)
		assert_int_equal(endpoint_connect(pair->client, &pair->core_port.queue.local,
						  pair->now_ns, &pair->sessions[i]),
				 0);
}

void core_pair_deinit(struct core_pair *pair)
{
	endpoint_free(pair->client);
	core_free(pair->core);
	port_memory_deinit(&pair->client_port);
	port_memory_deinit(&pair->core_port);
}

/* --- calls --- */

struct core_pair_call *core_pair_call(struct core_pair *pair, uint16_t type, uint32_t vshard,
				      const void *payload, size_t size)
{
	unsigned index = pair->call_count++;
	struct core_pair_call *call = &pair->calls[index];
	struct envelope envelope = {
		.type = type,
		.source_node = CORE_PAIR_CLIENT,
		.target_node = CORE_PAIR_SERVER,
		.vshard = vshard,
		.payload = payload,
		.payload_size = (uint32_t)size,
	};
	struct session_call request = {
		.bytes = call->request,
		.answer = call->answer,
		.answer_capacity = sizeof(call->answer),
		.deadline_ns = UINT64_MAX,
		.tag = index,
	};

	assert_true(index < CORE_PAIR_CALL_MAX);
	call->answered = 0;
	request.size = (uint32_t)envelope_encode(&envelope, call->request, sizeof(call->request));
	assert_true(request.size > 0);
	assert_int_equal(
		session_call(pair->sessions[index / SESSION_SLOT_COUNT], &request, pair->now_ns),
		0);
	return call;
}

static void client_turn(struct core_pair *pair)
{
	struct port_queue *queue = &pair->client_port.queue;
	struct port_frame frames[PORT_BURST_MAX];
	struct session_answer answers[CORE_PAIR_CALL_MAX];
	unsigned count;

	while ((count = port_receive(queue, frames, PORT_BURST_MAX))) {
		for (unsigned i = 0; i < count; i++)
			endpoint_input(pair->client, &frames[i].from, frames[i].bytes,
				       frames[i].size, pair->now_ns);
		port_release(queue, frames, count);
	}
	endpoint_tick(pair->client, pair->now_ns);
	count = endpoint_take_answers(pair->client, answers, CORE_PAIR_CALL_MAX);
	for (unsigned i = 0; i < count; i++) {
		struct core_pair_call *call = &pair->calls[answers[i].tag];

		call->answered++;
		call->status = answers[i].status;
		call->hint = answers[i].hint;
		call->answer_size = answers[i].size;
	}
}

void core_pair_turn(struct core_pair *pair)
{
	pair->now_ns += CORE_PAIR_STEP_NS;
	client_turn(pair);
	core_turn(pair->core, pair->now_ns);
}

struct asking {
	struct core *core;
	struct core_snapshot *snapshot;
	_Atomic bool done;
};

static void *ask_snapshot(void *argument)
{
	struct asking *asking = argument;

	if (!core_snapshot(asking->core, asking->snapshot))
		memset(asking->snapshot, 0xff, sizeof(*asking->snapshot));
	atomic_store(&asking->done, true);
	return NULL;
}

void core_pair_snapshot(struct core_pair *pair, struct core_snapshot *ret_snapshot)
{
	struct asking asking = {.core = pair->core, .snapshot = ret_snapshot};
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, ask_snapshot, &asking), 0);
	while (!atomic_load(&asking.done))
		core_pair_turn(pair);
	assert_int_equal(pthread_join(thread, NULL), 0);
}

bool core_pair_done(const struct core_pair *pair)
{
	for (unsigned i = 0; i < pair->call_count; i++)
		if (!pair->calls[i].answered)
			return false;
	return true;
}

void core_pair_finish(struct core_pair *pair, void (*between)(void *context, uint64_t now_ns),
		      void *context)
{
	unsigned extra = 0;

	for (unsigned turn = 0; turn < TURN_MAX && extra < EXTRA_TURNS; turn++) {
		core_pair_turn(pair);
		if (between)
			between(context, pair->now_ns);
		extra += core_pair_done(pair);
	}
	assert_int_equal(extra, EXTRA_TURNS);
	for (unsigned i = 0; i < pair->call_count; i++)
		assert_int_equal(pair->calls[i].answered, 1);
	pair->call_count = 0;
}
