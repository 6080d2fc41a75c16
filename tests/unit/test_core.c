/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A core against a client's endpoint, joined in memory and turned by hand: all
 * of the loop but its thread. Time is made up, so nothing here waits.
 */

#include "dataplane/core.h"

#include "base/byteorder.h"
#include "base/clock.h"
#include "base/rand.h"
#include "hnsw/build.h"
#include "hnsw/search.h"
#include "proto/envelope.h"
#include "proto/message.h"
#include "proto/status.h"
#include "tests/lib/port_memory.h"
#include "tests/lib/test.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	DIM = 24,
	ROW_COUNT = 3000,
	QUERY_COUNT = 40,
	EF_MAX = 1000,
	EF_MAX_NARROW = 2,
	CALL_MAX = 32, /* what one session takes at a time */
	ANSWER_SIZE = 256 * 1024,
	CLIENT_NODE = 99,
	SERVER_NODE = 1,
	EPOCH = 5,
	STEP_NS = 10000,
};

/* Answers in 'calls' are kept by their tag, the call's index. */
struct call {
	uint8_t request[8192];
	uint32_t request_size;
	uint8_t *answer;
	uint32_t answer_size;
	unsigned answered; /* how often */
	uint16_t status;
	uint32_t hint;
};

struct fixture {
	struct port_memory client_port;
	struct port_memory core_port;
	struct endpoint *client;
	struct session *session;
	struct core *core;
	struct shard_table *shards;
	struct build_image image;
	float *rows;
	float queries[QUERY_COUNT][DIM];
	uint64_t now_ns;
	uint64_t deadline_ns; /* of the calls that follow */
	unsigned call_count;
	struct call calls[CALL_MAX];
};

static const struct text_view collection = {"things", 6};

static void client_send(void *context, const struct addr *to, const void *head, size_t head_size,
			const void *body, size_t body_size)
{
	port_send(context, to, head, head_size, body, body_size);
}

static const struct session_ops client_ops = {.send = client_send};

static void random_rows(float *rows, size_t count, struct rand *rand)
{
	for (size_t i = 0; i < count * DIM; i++)
		rows[i] = (float)rand_unit(rand) * 2 - 1;
}

/* A shard of core 'core' with vShard 'vshard'; all share one image. */
static void add_shard(struct fixture *fixture, uint32_t vshard, uint32_t core)
{
	struct shard shard = {
		.vshard = vshard,
		.core = core,
		.udp_port = (uint16_t)(7400 + core),
		.name_length = (uint16_t)collection.length,
		.label_max = ROW_COUNT - 1,
		.generation = 3,
	};
	uint8_t *coarse = calloc(1, CENTROID_BODY_HEAD + CENTROID_ROW_HEAD + sizeof(float) * DIM);
	char error[256];

	assert_non_null(coarse);
	store_le32(coarse, 1);
	shard.coarse = coarse;
	shard.coarse_size = CENTROID_BODY_HEAD + CENTROID_ROW_HEAD + sizeof(float) * DIM;
	memcpy(shard.collection, collection.text, collection.length);
	assert_int_equal(segment_attach(fixture->image.bytes, fixture->image.size, &shard.segment,
					error, sizeof(error)),
			 0);
	assert_int_equal(shard_table_add(fixture->shards, &shard), 0);
}

static void data_init(struct fixture *fixture)
{
	struct build_options options = {.metric = METRIC_L2, .seed = 1, .generation = 3};
	struct rand rand;
	uint64_t bad_row;

	rand_init(&rand, 1);
	fixture->rows = calloc(ROW_COUNT * DIM, sizeof(float));
	assert_non_null(fixture->rows);
	random_rows(fixture->rows, ROW_COUNT, &rand);
	random_rows(&fixture->queries[0][0], QUERY_COUNT, &rand);
	assert_int_equal(build_segment(fixture->rows, NULL, ROW_COUNT, DIM, &options,
				       &fixture->image, &bad_row),
			 0);
	assert_int_equal(shard_table_new(&fixture->shards), 0);
	add_shard(fixture, 10, 0);
	add_shard(fixture, 11, 1);
}

static void fixture_init(struct fixture *fixture, uint32_t burst, uint32_t queue_max,
			 uint32_t ef_max)
{
	struct core_config config = {
		.cpu = -1,
		.endpoint =
			{
				.node = SERVER_NODE,
				.epoch = EPOCH,
				.session_count = 4,
				.frame_size = PORT_MEMORY_FRAME_SIZE,
				.message_size_max = 1 << 20,
				.large_count = 16,
				.accept = true,
				.seed = 1,
			},
		.vector =
			{
				.burst = burst,
				.queue_max = queue_max,
				.ef = {.max = ef_max},
				.message_size_max = 1 << 20,
			},
	};
	struct endpoint_config client = config.endpoint;

	memset(fixture, 0, sizeof(*fixture));
	data_init(fixture);
	fixture->now_ns = NS_PER_S;
	fixture->deadline_ns = UINT64_MAX;
	port_memory_init(&fixture->client_port, &fixture->core_port);
	config.queue = &fixture->core_port.queue;
	config.shards = fixture->shards;
	assert_int_equal(core_new(&config, &fixture->core), 0);
	assert_int_equal(core_prepare(fixture->core, fixture->now_ns), 0);
	client.node = CLIENT_NODE;
	client.accept = false;
	client.epoch = EPOCH;
	client.seed = 2;
	assert_int_equal(
		endpoint_new(&client, &client_ops, &fixture->client_port.queue, &fixture->client),
		0);
	assert_int_equal(endpoint_connect(fixture->client, &fixture->core_port.queue.local,
					  fixture->now_ns, &fixture->session),
			 0);
	for (unsigned i = 0; i < CALL_MAX; i++) {
		fixture->calls[i].answer = malloc(ANSWER_SIZE);
		assert_non_null(fixture->calls[i].answer);
	}
}

static void fixture_deinit(struct fixture *fixture)
{
	for (unsigned i = 0; i < CALL_MAX; i++)
		free(fixture->calls[i].answer);
	endpoint_free(fixture->client);
	core_free(fixture->core);
	shard_table_free(fixture->shards);
	port_memory_deinit(&fixture->client_port);
	port_memory_deinit(&fixture->core_port);
	build_image_free(&fixture->image);
	free(fixture->rows);
}

/* --- the client --- */

static struct call *call_bytes(struct fixture *fixture, uint32_t size, uint64_t deadline_ns)
{
	unsigned index = fixture->call_count++;
	struct call *call = &fixture->calls[index];
	struct session_call session_call_ = {
		.bytes = call->request,
		.size = size,
		.answer = call->answer,
		.answer_capacity = ANSWER_SIZE,
		.deadline_ns = deadline_ns,
		.tag = index,
	};

	call->answered = 0;
	call->request_size = size;
	assert_int_equal(session_call(fixture->session, &session_call_, fixture->now_ns), 0);
	return call;
}

static struct call *next_call(struct fixture *fixture)
{
	assert_true(fixture->call_count < CALL_MAX);
	return &fixture->calls[fixture->call_count];
}

static struct call *call_envelope(struct fixture *fixture, uint16_t type, uint32_t vshard,
				  const uint8_t *payload, size_t payload_size)
{
	struct call *call = next_call(fixture);
	struct envelope envelope = {
		.type = type,
		.source_node = CLIENT_NODE,
		.target_node = SERVER_NODE,
		.vshard = vshard,
		.payload = payload,
		.payload_size = (uint32_t)payload_size,
	};
	size_t size = envelope_encode(&envelope, call->request, sizeof(call->request));

	assert_true(size > 0);
	return call_bytes(fixture, (uint32_t)size, fixture->deadline_ns);
}

static struct call *call_scatter(struct fixture *fixture, uint32_t vshard,
				 const struct vector_scatter *scatter)
{
	uint8_t payload[8192];
	size_t size = vector_scatter_encode(scatter, payload, sizeof(payload));

	assert_true(size > 0);
	return call_envelope(fixture, MESSAGE_VECTOR_SCATTER_REQUEST, vshard, payload, size);
}

static struct vector_scatter scatter_of(const struct fixture *fixture, unsigned query, uint32_t k)
{
	return (struct vector_scatter){
		.collection = collection,
		.vector = fixture->queries[query],
		.dim = DIM,
		.top_k = k,
		.ef_search = 100,
	};
}

static void client_turn(struct fixture *fixture)
{
	struct port_queue *queue = &fixture->client_port.queue;
	struct port_frame frames[PORT_BURST_MAX];
	struct session_answer answers[CALL_MAX];
	unsigned count;

	while ((count = port_receive(queue, frames, PORT_BURST_MAX))) {
		for (unsigned i = 0; i < count; i++)
			endpoint_input(fixture->client, &frames[i].from, frames[i].bytes,
				       frames[i].size, fixture->now_ns);
		port_release(queue, frames, count);
	}
	endpoint_tick(fixture->client, fixture->now_ns);
	count = endpoint_take_answers(fixture->client, answers, CALL_MAX);
	for (unsigned i = 0; i < count; i++) {
		struct call *call = &fixture->calls[answers[i].tag];

		call->answered++;
		call->status = answers[i].status;
		call->hint = answers[i].hint;
		call->answer_size = answers[i].size;
	}
}

/* Turns both until every call is answered; and a little longer, to see none answered twice. */
static void finish(struct fixture *fixture)
{
	unsigned answered = 0;
	unsigned extra = 0;

	for (unsigned turn = 0; turn < 100000 && extra < 50; turn++) {
		fixture->now_ns += STEP_NS;
		client_turn(fixture);
		core_turn(fixture->core, fixture->now_ns);
		answered = 0;
		for (unsigned i = 0; i < fixture->call_count; i++)
			answered += fixture->calls[i].answered > 0;
		extra += answered == fixture->call_count;
	}
	assert_int_equal(answered, fixture->call_count);
	for (unsigned i = 0; i < fixture->call_count; i++)
		assert_int_equal(fixture->calls[i].answered, 1);
	fixture->call_count = 0;
}

/* Brings the session up, so that what follows is counted in turns of the core alone. */
static void connect(struct fixture *fixture)
{
	struct vector_scatter scatter = scatter_of(fixture, 0, 1);

	call_scatter(fixture, 10, &scatter);
	finish(fixture);
}

/* --- what is right --- */

static struct search *model;

static unsigned model_search(const struct fixture *fixture, const float *query, uint32_t k,
			     uint32_t ef, const struct filter *filter, struct search_hit *hits)
{
	struct search_params params = {.k = k, .ef = ef, .filter = filter};

	search_begin(model, &fixture->shards->shards[0].segment, query, &params);
	search_burst(&model, 1);
	return search_hits(model, hits, k);
}

static void assert_answer(const struct call *call, const struct search_hit *hits, unsigned count)
{
	static struct vector_hit decoded[VECTOR_TOP_K_MAX];
	struct vector_answer answer;
	struct envelope envelope;

	assert_int_equal(call->status, STATUS_OK);
	assert_int_equal(envelope_decode(call->answer, call->answer_size, &envelope), 0);
	assert_int_equal(envelope.type, MESSAGE_VECTOR_SCATTER_RESPONSE);
	assert_int_equal(envelope.target_node, CLIENT_NODE);
	assert_int_equal(envelope.source_node, SERVER_NODE);
	assert_int_equal(envelope.payload_size, call->answer_size - ENVELOPE_SIZE);
	assert_int_equal(vector_answer_decode(envelope.payload, envelope.payload_size, decoded,
					      VECTOR_TOP_K_MAX, &answer),
			 0);
	assert_true(answer.success);
	assert_int_equal(answer.shard_id, envelope.vshard);
	assert_int_equal(answer.hit_count, count);
	for (unsigned i = 0; i < count; i++) {
		assert_int_equal(answer.hits[i].vector_id, hits[i].label);
		assert_memory_equal(&answer.hits[i].distance, &hits[i].distance, sizeof(float));
		assert_int_equal(answer.hits[i].shard_id, envelope.vshard);
	}
}

/* A refusal with a type 51 that says why. */
static void assert_refused(const struct call *call, uint16_t status, const char *words)
{
	struct vector_answer answer;
	struct envelope envelope;
	struct vector_hit hit;
	char text[VECTOR_ERROR_MAX + 1];

	assert_int_equal(call->status, status);
	assert_int_equal(envelope_decode(call->answer, call->answer_size, &envelope), 0);
	assert_int_equal(
		vector_answer_decode(envelope.payload, envelope.payload_size, &hit, 1, &answer), 0);
	assert_false(answer.success);
	assert_true(answer.has_error);
	snprintf(text, sizeof(text), "%.*s", (int)answer.error.length, answer.error.text);
	assert_non_null(strstr(text, words));
}

/* --- tests --- */

static void answers_over_the_wire_are_those_of_a_search_in_process(void **state)
{
	struct fixture *fixture = *state;
	struct call *calls[CALL_MAX];
	struct search_hit hits[10];
	unsigned count;

	for (unsigned i = 0; i < CALL_MAX; i++) {
		struct vector_scatter scatter = scatter_of(fixture, i, 10);

		calls[i] = call_scatter(fixture, 10, &scatter);
	}
	finish(fixture);
	for (unsigned i = 0; i < CALL_MAX; i++) {
		count = model_search(fixture, fixture->queries[i], 10, 100, NULL, hits);
		assert_int_equal(count, 10);
		assert_answer(calls[i], hits, count);
	}
}

static void ef_zero_is_the_segments_own_and_too_much_is_cut(void **state)
{
	struct fixture *fixture = *state;
	struct vector_scatter scatter = scatter_of(fixture, 1, 5);
	struct search_hit hits[5];
	struct call *own;
	struct call *most;

	scatter.ef_search = 0;
	own = call_scatter(fixture, 10, &scatter);
	scatter.ef_search = VECTOR_EF_MAX;
	most = call_scatter(fixture, 10, &scatter);
	finish(fixture);
	assert_answer(own, hits, model_search(fixture, scatter.vector, 5, 0, NULL, hits));
	assert_answer(most, hits, model_search(fixture, scatter.vector, 5, EF_MAX, NULL, hits));
}

/* What the segment takes for a recall is no way around the node's limit. */
static void an_ef_that_the_segment_chooses_is_cut_too(void **state)
{
	struct fixture *fixture = *state;
	struct call *calls[CALL_MAX];
	struct search_hit hit;

	for (unsigned i = 0; i < CALL_MAX; i++) {
		struct vector_scatter scatter = scatter_of(fixture, i, 1);

		scatter.ef_search = 0;
		calls[i] = call_scatter(fixture, 10, &scatter);
	}
	finish(fixture);
	for (unsigned i = 0; i < CALL_MAX; i++)
		assert_answer(
			calls[i], &hit,
			model_search(fixture, fixture->queries[i], 1, EF_MAX_NARROW, NULL, &hit));
}

static void an_answer_of_many_frames_arrives_whole(void **state)
{
	static struct search_hit hits[ROW_COUNT];
	struct fixture *fixture = *state;
	struct vector_scatter scatter = scatter_of(fixture, 2, VECTOR_TOP_K_MAX);
	struct call *call = call_scatter(fixture, 10, &scatter);
	struct search_params params = {.k = VECTOR_TOP_K_MAX, .ef = 100};
	unsigned count;

	finish(fixture);
	search_begin(model, &fixture->shards->shards[0].segment, scatter.vector, &params);
	search_burst(&model, 1);
	count = search_hits(model, hits, ROW_COUNT);
	assert_true(count > 1000);
	assert_answer(call, hits, count);
}

/* A Roaring bitmap of the labels below 'end', all in one array container. */
static size_t bitmap_encode(uint8_t *to, uint16_t end)
{
	store_le32(to, 12346);
	store_le32(to + 4, 1);
	store_le16(to + 8, 0);
	store_le16(to + 10, (uint16_t)(end - 1));
	store_le32(to + 12, 16);
	for (uint16_t i = 0; i < end; i++)
		store_le16(to + 16 + 2 * i, i);
	return 16 + 2 * (size_t)end;
}

static void a_filter_lets_through_only_what_it_names(void **state)
{
	struct fixture *fixture = *state;
	struct vector_scatter scatter = scatter_of(fixture, 3, 10);
	struct search_hit hits[10];
	struct filter *filter;
	uint8_t bitmap[1024];
	struct call *call;
	unsigned count;

	scatter.has_filter = true;
	scatter.filter = bitmap;
	scatter.filter_size = (uint32_t)bitmap_encode(bitmap, 300);
	call = call_scatter(fixture, 10, &scatter);
	finish(fixture);
	assert_int_equal(filter_new(ROW_COUNT - 1, &filter), 0);
	assert_int_equal(filter_read(filter, bitmap, scatter.filter_size), 0);
	count = model_search(fixture, scatter.vector, 10, 100, filter, hits);
	assert_true(count > 0);
	for (unsigned i = 0; i < count; i++)
		assert_true(hits[i].label < 300);
	assert_answer(call, hits, count);
	filter_free(filter);
}

static void what_only_the_shard_can_judge_is_refused_in_words(void **state)
{
	struct fixture *fixture = *state;
	struct vector_scatter short_one = scatter_of(fixture, 0, 10);
	struct vector_scatter infinite = scatter_of(fixture, 0, 10);
	struct vector_scatter filtered = scatter_of(fixture, 0, 10);
	float vector[DIM] = {[DIM - 1] = INFINITY};
	struct call *calls[4];

	short_one.dim = DIM - 1;
	calls[0] = call_scatter(fixture, 10, &short_one);
	infinite.vector = vector;
	calls[1] = call_scatter(fixture, 10, &infinite);
	filtered.has_filter = true;
	filtered.filter = (const uint8_t *)"no bitmap";
	filtered.filter_size = 9;
	calls[2] = call_scatter(fixture, 10, &filtered);
	vector[0] = -NAN;
	vector[DIM - 1] = 0;
	calls[3] = call_scatter(fixture, 10, &infinite);
	finish(fixture);
	assert_refused(calls[0], STATUS_INVALID, "dimensions");
	assert_refused(calls[1], STATUS_INVALID, "not finite");
	assert_refused(calls[2], STATUS_INVALID, "Roaring");
	assert_refused(calls[3], STATUS_INVALID, "not finite");
}

static void shards_that_are_not_this_cores_are_pointed_to_or_denied(void **state)
{
	struct fixture *fixture = *state;
	struct vector_scatter scatter = scatter_of(fixture, 0, 10);
	struct vector_scatter other = scatter;
	struct call *elsewhere = call_scatter(fixture, 11, &scatter);
	struct call *nowhere = call_scatter(fixture, 12, &scatter);
	struct call *beyond = call_scatter(fixture, UINT32_MAX - 1, &scatter);
	struct call *unknown;

	other.collection = (struct text_view){"thing", 5};
	unknown = call_scatter(fixture, 10, &other);
	finish(fixture);
	assert_int_equal(elsewhere->status, STATUS_SHARD_ELSEWHERE);
	assert_int_equal(elsewhere->hint, 7401);
	assert_int_equal(nowhere->status, STATUS_SHARD_NOT_HERE);
	assert_int_equal(beyond->status, STATUS_SHARD_NOT_HERE);
	assert_int_equal(unknown->status, STATUS_SHARD_NOT_HERE);
}

static void what_is_no_request_gets_the_status_that_says_so(void **state)
{
	struct fixture *fixture = *state;
	struct call *malformed = call_envelope(fixture, MESSAGE_VECTOR_SCATTER_REQUEST, 10,
					       (const uint8_t *)"\x95garbage", 8);
	struct call *empty = call_envelope(fixture, MESSAGE_VECTOR_SCATTER_REQUEST, 10, NULL, 0);
	struct call *coarse = call_envelope(fixture, MESSAGE_VECTOR_COARSE_ROUTE_REQUEST, 10,
					    (const uint8_t *)"\xc0", 1);
	struct call *unsupported = call_envelope(fixture, MESSAGE_WAL_TAIL, 10, NULL, 0);
	struct call *cut;
	struct call *version;
	struct call *type;

	memset(next_call(fixture)->request, 0, ENVELOPE_SIZE);
	cut = call_bytes(fixture, ENVELOPE_SIZE - 1, UINT64_MAX);
	memcpy(next_call(fixture)->request, malformed->request, malformed->request_size);
	store_le16(next_call(fixture)->request, 3);
	version = call_bytes(fixture, 36, UINT64_MAX);
	memcpy(next_call(fixture)->request, malformed->request, 36);
	store_le16(next_call(fixture)->request + 2, 21);
	type = call_bytes(fixture, 36, UINT64_MAX);
	finish(fixture);
	assert_int_equal(malformed->status, STATUS_MALFORMED);
	assert_int_equal(empty->status, STATUS_MALFORMED);
	assert_int_equal(coarse->status, STATUS_MALFORMED);
	assert_int_equal(unsupported->status, STATUS_UNSUPPORTED);
	assert_int_equal(cut->status, STATUS_MALFORMED);
	assert_int_equal(version->status, STATUS_VERSION);
	assert_int_equal(type->status, STATUS_UNKNOWN_TYPE);
}

static void assert_coarse(const struct fixture *fixture, const struct call *call,
			  enum coarse_kind kind)
{
	const struct shard *shard = &fixture->shards->shards[0];
	struct coarse_answer answer;
	struct envelope envelope;

	assert_int_equal(call->status, STATUS_OK);
	assert_int_equal(envelope_decode(call->answer, call->answer_size, &envelope), 0);
	assert_int_equal(envelope.type, MESSAGE_VECTOR_COARSE_ROUTE_RESPONSE);
	assert_int_equal(envelope.payload_size, call->answer_size - ENVELOPE_SIZE);
	assert_int_equal(coarse_answer_decode(envelope.payload, envelope.payload_size, &answer), 0);
	assert_int_equal(answer.kind, kind);
	assert_int_equal(answer.shard_id, 10);
	assert_int_equal(answer.generation, 3);
	assert_int_equal(answer.dim, DIM);
	assert_int_equal(answer.vector_count, ROW_COUNT);
	if (kind == COARSE_UNCHANGED) {
		assert_int_equal(answer.body_size, 0);
		return;
	}
	assert_int_equal(answer.body_size, shard->coarse_size);
	assert_memory_equal(answer.body, shard->coarse, shard->coarse_size);
}

static struct call *call_coarse(struct fixture *fixture, uint64_t known_generation)
{
	struct coarse_request request = {collection, known_generation};
	uint8_t payload[512];
	size_t size = coarse_request_encode(&request, payload, sizeof(payload));

	return call_envelope(fixture, MESSAGE_VECTOR_COARSE_ROUTE_REQUEST, 10, payload, size);
}

static void a_coarse_descriptor_is_sent_unless_its_generation_is_known(void **state)
{
	struct fixture *fixture = *state;
	struct call *unknown = call_coarse(fixture, 0);
	struct call *known = call_coarse(fixture, 3);
	struct call *older = call_coarse(fixture, 2);

	finish(fixture);
	assert_coarse(fixture, unknown, COARSE_CENTROIDS);
	assert_coarse(fixture, known, COARSE_UNCHANGED);
	assert_coarse(fixture, older, COARSE_CENTROIDS);
}

/* One search a turn: the others wait with bytes of their own while their frames are overwritten. */
static void requests_that_wait_outlive_their_frames(void **state)
{
	struct fixture *fixture = *state;
	struct call *calls[CALL_MAX];
	struct search_hit hits[10];

	for (unsigned i = 0; i < CALL_MAX; i++) {
		struct vector_scatter scatter = scatter_of(fixture, i, 10);

		calls[i] = call_scatter(fixture, 10, &scatter);
	}
	finish(fixture);
	for (unsigned i = 0; i < CALL_MAX; i++)
		assert_answer(calls[i], hits,
			      model_search(fixture, fixture->queries[i], 10, 100, NULL, hits));
}

/* The core's clock goes on, the client's doesn't: what comes back is the core's word. */
static void a_request_whose_time_passes_while_it_waits_is_not_searched(void **state)
{
	struct fixture *fixture = *state;
	struct vector_scatter scatter = scatter_of(fixture, 0, 10);
	struct search_hit hits[10];
	struct call *calls[2];

	connect(fixture);
	fixture->deadline_ns = fixture->now_ns + NS_PER_MS;
	for (unsigned i = 0; i < 2; i++)
		calls[i] = call_scatter(fixture, 10, &scatter);
	core_turn(fixture->core, fixture->now_ns);
	core_turn(fixture->core, fixture->now_ns + 2 * NS_PER_MS);
	client_turn(fixture);
	assert_answer(calls[0], hits, model_search(fixture, scatter.vector, 10, 100, NULL, hits));
	assert_int_equal(calls[1]->answered, 1);
	assert_int_equal(calls[1]->status, STATUS_DEADLINE);
}

static void a_full_queue_is_answered_overloaded_with_a_hint(void **state)
{
	struct fixture *fixture = *state;
	struct call *calls[CALL_MAX];
	struct search_hit hits[10];
	unsigned overloaded = 0;

	connect(fixture);
	for (unsigned i = 0; i < CALL_MAX; i++) {
		struct vector_scatter scatter = scatter_of(fixture, i, 10);

		calls[i] = call_scatter(fixture, 10, &scatter);
	}
	finish(fixture);
	for (unsigned i = 0; i < CALL_MAX; i++) {
		if (calls[i]->status == STATUS_OVERLOADED) {
			assert_true(calls[i]->hint >= 100);
			overloaded++;
			continue;
		}
		assert_answer(calls[i], hits,
			      model_search(fixture, fixture->queries[i], 10, 100, NULL, hits));
	}
	assert_in_range(overloaded, 1, CALL_MAX - 4);
}

static void a_drained_core_answers_what_waits_refuses_the_rest_and_ends(void **state)
{
	struct fixture *fixture = *state;
	struct vector_scatter scatter = scatter_of(fixture, 0, 10);
	struct call *before[8];
	struct search_hit hits[10];
	struct call *after;

	connect(fixture);
	for (unsigned i = 0; i < 8; i++)
		before[i] = call_scatter(fixture, 10, &scatter);
	client_turn(fixture);
	core_turn(fixture->core, fixture->now_ns);
	core_drain(fixture->core);
	core_turn(fixture->core, fixture->now_ns);
	after = call_scatter(fixture, 10, &scatter);
	finish(fixture);
	for (unsigned i = 0; i < 8; i++)
		assert_answer(before[i], hits,
			      model_search(fixture, scatter.vector, 10, 100, NULL, hits));
	assert_int_equal(after->status, STATUS_DRAINING);
	for (unsigned turn = 0; core_running(fixture->core); turn++) {
		assert_true(turn < 2 * CORE_LINGER_NS / STEP_NS);
		fixture->now_ns += STEP_NS;
		core_turn(fixture->core, fixture->now_ns);
	}
}

static int one_burst(void **state)
{
	struct fixture *fixture = malloc(sizeof(*fixture));

	fixture_init(fixture, 16, 512, EF_MAX);
	*state = fixture;
	return 0;
}

static int narrow(void **state)
{
	struct fixture *fixture = malloc(sizeof(*fixture));

	fixture_init(fixture, 16, 512, EF_MAX_NARROW);
	*state = fixture;
	return 0;
}

static int one_search(void **state)
{
	struct fixture *fixture = malloc(sizeof(*fixture));

	fixture_init(fixture, 1, 512, EF_MAX);
	*state = fixture;
	return 0;
}

static int short_queue(void **state)
{
	struct fixture *fixture = malloc(sizeof(*fixture));

	fixture_init(fixture, 1, 4, EF_MAX);
	*state = fixture;
	return 0;
}

static int teardown(void **state)
{
	fixture_deinit(*state);
	free(*state);
	return 0;
}

static int model_init(void **state)
{
	struct search_limits limits = {ROW_COUNT, DIM, VECTOR_TOP_K_MAX};

	stage_clock_init();
	return search_new(&limits, &model);
}

static int model_deinit(void **state)
{
	search_free(model);
	return 0;
}

int main(void)
{
#define TEST(name, setup) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(answers_over_the_wire_are_those_of_a_search_in_process, one_burst),
		TEST(ef_zero_is_the_segments_own_and_too_much_is_cut, one_burst),
		TEST(an_ef_that_the_segment_chooses_is_cut_too, narrow),
		TEST(an_answer_of_many_frames_arrives_whole, one_burst),
		TEST(a_filter_lets_through_only_what_it_names, one_burst),
		TEST(what_only_the_shard_can_judge_is_refused_in_words, one_burst),
		TEST(shards_that_are_not_this_cores_are_pointed_to_or_denied, one_burst),
		TEST(what_is_no_request_gets_the_status_that_says_so, one_burst),
		TEST(a_coarse_descriptor_is_sent_unless_its_generation_is_known, one_burst),
		TEST(requests_that_wait_outlive_their_frames, one_search),
		TEST(a_request_whose_time_passes_while_it_waits_is_not_searched, one_search),
		TEST(a_full_queue_is_answered_overloaded_with_a_hint, short_queue),
		TEST(a_drained_core_answers_what_waits_refuses_the_rest_and_ends, one_search),
	};

	return cmocka_run_group_tests(tests, model_init, model_deinit) != 0;
}
