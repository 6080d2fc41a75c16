/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Requests of type 56 through a core, with this test as the thread that decides
 * about them. Whether it decides rightly is test_export's matter.
 */

#include "dataplane/handle_region.h"

#include "base/clock.h"
#include "proto/envelope.h"
#include "proto/message.h"
#include "proto/payload_region.h"
#include "proto/payload_vector.h"
#include "proto/status.h"
#include "tests/lib/core_pair.h"
#include "tests/lib/test.h"

#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { SHARD_COUNT = 3, LAST = CORE_PAIR_VSHARD + SHARD_COUNT - 1 };

struct fixture {
	struct core_pair pair;
	struct shard_table *shards;
	struct export_desk desk;
	int export_fd;
	/* What the thread does. */
	bool silent; /* it decides nothing yet */
	bool refuses;
	unsigned decided;
	struct export_ask last; /* as it came */
};

static uint8_t proof[32] = {1, 2, 3, 4};

static struct region_request request_of(const char *region)
{
	return (struct region_request){
		.collection = {CORE_PAIR_COLLECTION, sizeof(CORE_PAIR_COLLECTION) - 1},
		.region = {region, (uint32_t)strlen(region)},
		.lease_ms = 5000,
		.transport = REGION_TRANSPORT_SHM,
		.proof = {proof, sizeof(proof)},
	};
}

static struct core_pair_call *ask(struct fixture *fixture, uint32_t vshard,
				  const struct region_request *request)
{
	uint8_t payload[REGION_PAYLOAD_MAX];
	size_t size = region_request_encode(request, payload, sizeof(payload));

	assert_true(size > 0);
	return core_pair_call(&fixture->pair, MESSAGE_VECTOR_MEM_REGION_REQUEST, vshard, payload,
			      size);
}

/* The thread: answers what has come, the latest first. */
static void decide(void *context, uint64_t now_ns)
{
	struct fixture *fixture = context;
	struct export_ask *asks[EXPORT_ASK_MAX + 1];
	unsigned count = 0;

	while (!fixture->silent && (asks[count] = spsc_get_pointer(&fixture->desk.asks)))
		count++;
	while (count--) {
		fixture->last = *asks[count];
		if (fixture->refuses)
			asks[count]->answer = region_refusal(REGION_NOT_MEMBER);
		else
			asks[count]->answer = (struct region_answer){
				.available = true,
				.remote_addr = asks[count]->name.segment,
				.length = asks[count]->lease_ms,
				.generation = CORE_PAIR_GENERATION,
				.lease_id = ++fixture->decided,
				.lease_ms = asks[count]->lease_ms,
			};
		assert_true(spsc_put_pointer(&fixture->desk.answers, asks[count]));
	}
}

static void finish(struct fixture *fixture)
{
	core_pair_finish(&fixture->pair, decide, fixture);
}

static struct region_answer answer_of(const struct core_pair_call *call)
{
	struct region_answer answer;
	struct envelope envelope;

	assert_int_equal(envelope_decode(call->answer, call->answer_size, &envelope), 0);
	assert_int_equal(envelope.type, MESSAGE_VECTOR_MEM_REGION_RESPONSE);
	assert_int_equal(envelope.source_node, CORE_PAIR_SERVER);
	assert_int_equal(region_answer_decode(envelope.payload, envelope.payload_size, &answer), 0);
	return answer;
}

static void assert_reason(const struct core_pair_call *call, uint16_t status, const char *reason)
{
	struct region_answer answer = answer_of(call);

	assert_int_equal(call->status, status);
	assert_false(answer.available);
	assert_int_equal(answer.reason.length, strlen(reason));
	assert_memory_equal(answer.reason.text, reason, answer.reason.length);
}

static struct handle_region_stats stats_of(struct fixture *fixture)
{
	static struct core_snapshot snapshot;

	core_pair_snapshot(&fixture->pair, &snapshot);
	return snapshot.counts.region;
}

/* --- tests --- */

static void what_is_asked_reaches_the_thread_and_what_it_grants_the_peer(void **state)
{
	struct fixture *fixture = *state;
	struct region_request request = request_of("segment/1/upper");
	struct core_pair_call *call = ask(fixture, CORE_PAIR_VSHARD + 1, &request);
	struct region_answer answer;

	finish(fixture);
	assert_ptr_equal(fixture->last.shard, &fixture->shards->shards[1]);
	assert_int_equal(fixture->last.name.kind, REGION_KIND_UPPER);
	assert_int_equal(fixture->last.name.segment, 1);
	assert_int_equal(fixture->last.lease_ms, 5000);
	assert_int_equal(fixture->last.transport, REGION_TRANSPORT_SHM);
	assert_int_equal(fixture->last.proof_size, sizeof(proof));
	assert_memory_equal(fixture->last.proof, proof, sizeof(proof));
	answer = answer_of(call);
	assert_int_equal(call->status, STATUS_OK);
	assert_true(answer.available);
	assert_int_equal(answer.lease_id, 1);
	assert_int_equal(answer.lease_ms, 5000);
	assert_int_equal(answer.reason.length, 0);
	assert_int_equal(stats_of(fixture).granted, 1);
}

static void a_refusal_has_its_reason_and_no_number(void **state)
{
	struct fixture *fixture = *state;
	struct region_request request = request_of("directory");
	struct core_pair_call *call;

	fixture->refuses = true;
	call = ask(fixture, CORE_PAIR_VSHARD, &request);
	finish(fixture);
	assert_reason(call, STATUS_OK, REGION_NOT_MEMBER);
	assert_int_equal(stats_of(fixture).refused_reason, 1);
	assert_int_equal(stats_of(fixture).granted, 0);
}

static void the_asking_wakes_the_thread_and_its_answer_the_core(void **state)
{
	struct fixture *fixture = *state;
	struct region_request request = request_of("segment/1");
	uint64_t count = 0;

	ask(fixture, CORE_PAIR_VSHARD, &request);
	finish(fixture);
	assert_int_equal(read(fixture->export_fd, &count, sizeof(count)), sizeof(count));
	assert_int_equal(count, 1);
	assert_true(fixture->desk.core_fd >= 0);
}

static void a_core_goes_on_while_the_thread_decides(void **state)
{
	struct fixture *fixture = *state;
	struct region_request request = request_of("segment/1");
	struct coarse_request coarse = {.collection = request.collection};
	struct core_pair_call *waiting;
	struct core_pair_call *other;
	uint8_t payload[REGION_PAYLOAD_MAX];
	size_t size = coarse_request_encode(&coarse, payload, sizeof(payload));

	fixture->silent = true;
	waiting = ask(fixture, CORE_PAIR_VSHARD, &request);
	other = core_pair_call(&fixture->pair, MESSAGE_VECTOR_COARSE_ROUTE_REQUEST,
			       CORE_PAIR_VSHARD, payload, size);
	for (unsigned i = 0; i < 100; i++)
		core_pair_turn(&fixture->pair);
	assert_int_equal(other->answered, 1);
	assert_int_equal(waiting->answered, 0);
	fixture->silent = false;
	finish(fixture);
	assert_true(answer_of(waiting).available);
}

static void a_shard_of_another_core_or_of_no_one_says_so(void **state)
{
	struct fixture *fixture = *state;
	struct region_request request = request_of("segment/1");
	struct core_pair_call *elsewhere = ask(fixture, LAST, &request);
	struct core_pair_call *nowhere = ask(fixture, LAST + 1, &request);
	struct core_pair_call *unknown;

	request.collection = (struct text_view){"nothings", 8};
	unknown = ask(fixture, CORE_PAIR_VSHARD, &request);
	finish(fixture);
	assert_reason(elsewhere, STATUS_SHARD_ELSEWHERE, REGION_MOVED);
	assert_int_equal(elsewhere->hint, 7401);
	assert_reason(nowhere, STATUS_SHARD_NOT_HERE, REGION_MOVED);
	assert_reason(unknown, STATUS_SHARD_NOT_HERE, REGION_UNKNOWN);
	assert_int_equal(fixture->decided, 0);
}

static void names_of_no_region_are_unknown(void **state)
{
	static const char *const names[] = {"",           "segment",     "segment/",  "segment/0",
					    "segment/01", "segment/1/",  "segment/x", "Directory",
					    "directory/", "segment/1/u", " directory"};
	struct fixture *fixture = *state;
	struct core_pair_call *calls[ARRAY_COUNT(names)];

	for (unsigned i = 0; i < ARRAY_COUNT(names); i++) {
		struct region_request request = request_of(names[i]);

		calls[i] = ask(fixture, CORE_PAIR_VSHARD, &request);
	}
	finish(fixture);
	for (unsigned i = 0; i < ARRAY_COUNT(names); i++)
		assert_reason(calls[i], STATUS_OK, REGION_UNKNOWN);
	assert_int_equal(fixture->decided, 0);
}

/* Every cut of a good request, and every bit of it flipped, is answered once; with what, decides
 * the decoder. */
static void damaged_requests_are_refused_or_understood(void **state)
{
	struct fixture *fixture = *state;
	struct region_request request = request_of("segment/1");
	uint8_t payload[REGION_PAYLOAD_MAX];
	size_t size = region_request_encode(&request, payload, sizeof(payload));

	for (size_t cut = 0; cut < size; cut++) {
		struct core_pair_call *call =
			core_pair_call(&fixture->pair, MESSAGE_VECTOR_MEM_REGION_REQUEST,
				       CORE_PAIR_VSHARD, payload, cut);

		finish(fixture);
		assert_int_equal(call->status, STATUS_MALFORMED);
		assert_int_equal(call->answer_size, 0);
	}
	for (size_t bit = 0; bit < size * 8; bit++) {
		struct core_pair_call *call;
		struct region_request decoded;

		payload[bit / 8] ^= (uint8_t)(1 << bit % 8);
		call = core_pair_call(&fixture->pair, MESSAGE_VECTOR_MEM_REGION_REQUEST,
				      CORE_PAIR_VSHARD, payload, size);
		finish(fixture);
		if (region_request_decode(payload, size, &decoded))
			assert_int_equal(call->answer_size, 0);
		else
			(void)answer_of(call);
		payload[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	assert_int_equal(stats_of(fixture).requests, size + size * 8);
}

static void another_version_and_another_transport_are_told_apart(void **state)
{
	struct fixture *fixture = *state;
	struct region_request request = request_of("segment/1");
	struct core_pair_call *version;
	struct core_pair_call *transport;
	uint8_t payload[REGION_PAYLOAD_MAX];
	size_t size = region_request_encode(&request, payload, sizeof(payload));

	payload[1] = 2;
	version = core_pair_call(&fixture->pair, MESSAGE_VECTOR_MEM_REGION_REQUEST,
				 CORE_PAIR_VSHARD, payload, size);
	payload[1] = REGION_PAYLOAD_V;
	/* Behind it stand the proof's head of two bytes, and the proof. */
	assert_int_equal(payload[size - sizeof(proof) - 3], REGION_TRANSPORT_SHM);
	payload[size - sizeof(proof) - 3] = 3;
	transport = core_pair_call(&fixture->pair, MESSAGE_VECTOR_MEM_REGION_REQUEST,
				   CORE_PAIR_VSHARD, payload, size);
	finish(fixture);
	assert_int_equal(version->status, STATUS_VERSION);
	assert_int_equal(transport->status, STATUS_INVALID);
	assert_int_equal(stats_of(fixture).refused_malformed, 1);
	assert_int_equal(stats_of(fixture).refused_invalid, 1);
}

static void more_than_the_places_are_overloaded_and_the_rest_is_answered(void **state)
{
	struct fixture *fixture = *state;
	struct region_request request = request_of("segment/1");
	struct core_pair_call *calls[EXPORT_ASK_MAX + 2];
	unsigned answered = 0;

	fixture->silent = true;
	for (unsigned i = 0; i < ARRAY_COUNT(calls); i++)
		calls[i] = ask(fixture, CORE_PAIR_VSHARD, &request);
	for (unsigned i = 0; i < 1000; i++)
		core_pair_turn(&fixture->pair);
	for (unsigned i = 0; i < ARRAY_COUNT(calls); i++)
		if (calls[i]->answered) {
			assert_int_equal(calls[i]->status, STATUS_OVERLOADED);
			assert_true(calls[i]->hint > 0);
			answered++;
		}
	assert_int_equal(answered, 2);
	fixture->silent = false;
	finish(fixture);
	assert_int_equal(fixture->decided, EXPORT_ASK_MAX);
	assert_int_equal(stats_of(fixture).granted, EXPORT_ASK_MAX);
	assert_int_equal(stats_of(fixture).refused_overloaded, 2);
}

static void a_node_that_exports_nothing_says_unsupported(void **state)
{
	static struct core_pair pair;
	struct shard_table *shards = core_pair_shards(1);
	struct region_request request = request_of("segment/1");
	uint8_t payload[REGION_PAYLOAD_MAX];
	size_t size = region_request_encode(&request, payload, sizeof(payload));
	struct core_pair_call *call;

	core_pair_init(&pair, shards, NULL);
	call = core_pair_call(&pair, MESSAGE_VECTOR_MEM_REGION_REQUEST, CORE_PAIR_VSHARD, payload,
			      size);
	core_pair_finish(&pair, NULL, NULL);
	assert_reason(call, STATUS_OK, REGION_UNSUPPORTED);
	core_pair_deinit(&pair);
	shard_table_free(shards);
}

static int set_up(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));

	assert_non_null(fixture);
	fixture->export_fd = eventfd(0, EFD_NONBLOCK);
	assert_true(fixture->export_fd >= 0);
	export_desk_init(&fixture->desk, fixture->export_fd);
	fixture->shards = core_pair_shards(SHARD_COUNT);
	core_pair_init(&fixture->pair, fixture->shards, &fixture->desk);
	*state = fixture;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *fixture = *state;

	core_pair_deinit(&fixture->pair);
	shard_table_free(fixture->shards);
	close(fixture->export_fd);
	free(fixture);
	return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(what_is_asked_reaches_the_thread_and_what_it_grants_the_peer),
		TEST(a_refusal_has_its_reason_and_no_number),
		TEST(the_asking_wakes_the_thread_and_its_answer_the_core),
		TEST(a_core_goes_on_while_the_thread_decides),
		TEST(a_shard_of_another_core_or_of_no_one_says_so),
		TEST(names_of_no_region_are_unknown),
		TEST(damaged_requests_are_refused_or_understood),
		TEST(another_version_and_another_transport_are_told_apart),
		TEST(more_than_the_places_are_overloaded_and_the_rest_is_answered),
		cmocka_unit_test(a_node_that_exports_nothing_says_unsupported),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
