/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Export by verbs: an owner's export and a reader's hub on the devices of
 * fake_verbs, turned by hand, time made up. The same on a real device is
 * tests/rxe's matter.
 */

#include "dataplane/export.h"

#include "base/clock.h"
#include "dataplane/catalog.h"
#include "rdma/link.h"
#include "rdma/region.h"
#include "tests/lib/core_pair.h"
#include "tests/lib/fake_verbs.h"
#include "tests/lib/test.h"
#include "tests/lib/link_reader.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	SHARD_COUNT = 2,
	LINK_COUNT = 4,
	LEASE_COUNT = 6,
	LEASE_MS_MAX = 10000,
	TURN_MAX = 5000,
};

struct fixture {
	const struct verbs_ops *ops;
	struct shard_table *shards;
	struct export *export;
	struct addr self;
	uint64_t now_ns;
	struct export_ask ask;
	struct link_reader reader;
};

static const uint8_t secret[LINK_SECRET_SIZE] = "a cluster's secret of 32 bytes..";
static char error[DEVICE_ERROR_MAX];

static void turn(struct fixture *fixture)
{
	fixture->now_ns += NS_PER_MS;
	if (fixture->export)
		export_turn(fixture->export, fixture->now_ns);
	if (fixture->reader.hub)
		(void)link_hub_turn(fixture->reader.hub, fixture->now_ns);
}

static void reader_turn(void *context)
{
	turn(context);
}

static struct export_stats stats(const struct fixture *fixture)
{
	return export_stats(fixture->export);
}

static struct link *connect_ready(struct fixture *fixture)
{
	return link_reader_connect(&fixture->reader, &fixture->self, fixture->now_ns);
}

static enum ibv_wc_status read_granted(struct fixture *fixture, struct link *link,
				       const struct region_answer *answer)
{
	return link_reader_read(&fixture->reader, link, answer);
}

/* --- asking --- */

static struct export_ask ask_of(const struct fixture *fixture, const struct link *link,
				enum region_kind kind)
{
	struct export_ask ask = {
		.shard = &fixture->shards->shards[0],
		.name = {kind, kind == REGION_KIND_DIRECTORY ? 0 : CATALOG_SEGMENT_ID},
		.lease_ms = 1000,
		.transport = REGION_TRANSPORT_VERBS,
		.proof_size = LINK_PROOF_SIZE,
	};

	link_proof(link, ask.proof);
	return ask;
}

static struct region_answer ask(struct fixture *fixture, const struct export_ask *wanted)
{
	struct export_desk *desk = export_desk(fixture->export, 0);
	struct export_ask *taken = NULL;

	fixture->ask = *wanted;
	assert_true(export_ask(desk, &fixture->ask));
	for (unsigned i = 0; i < TURN_MAX && !(taken = export_take(desk)); i++)
		turn(fixture);
	assert_ptr_equal(taken, &fixture->ask);
	assert_null(export_take(desk));
	return fixture->ask.answer;
}

static struct region_answer lease(struct fixture *fixture, const struct link *link,
				  uint32_t lease_ms)
{
	struct export_ask wanted = ask_of(fixture, link, REGION_KIND_SEGMENT);

	wanted.lease_ms = lease_ms;
	return ask(fixture, &wanted);
}

static void assert_refused(struct region_answer answer, const char *reason)
{
	assert_false(answer.available);
	assert_int_equal(answer.rkey, 0);
	assert_int_equal(answer.remote_addr, 0);
	assert_int_equal(answer.reason.length, strlen(reason));
	assert_memory_equal(answer.reason.text, reason, answer.reason.length);
}

/* --- tests --- */

static void a_granted_peer_reads_the_regions_bytes(void **state)
{
	struct fixture *fixture = *state;
	struct link *link = connect_ready(fixture);

	for (unsigned i = 0; i < SHARD_COUNT; i++) {
		const struct segment *segment = &fixture->shards->shards[i].segment;
		struct export_ask wanted = ask_of(fixture, link, REGION_KIND_SEGMENT);
		struct region_answer answer;

		wanted.shard = &fixture->shards->shards[i];
		answer = ask(fixture, &wanted);
		assert_true(answer.available);
		assert_int_equal(answer.length, segment->image_size);
		assert_int_equal(answer.generation, CORE_PAIR_GENERATION);
		assert_int_equal(answer.lease_ms, 1000);
		assert_int_equal(read_granted(fixture, link, &answer), IBV_WC_SUCCESS);
		assert_memory_equal(fixture->reader.bytes, segment->image, segment->image_size);
		assert_memory_equal(&answer.crc, fixture->reader.bytes + 252, 4);

		wanted.name.kind = REGION_KIND_UPPER;
		answer = ask(fixture, &wanted);
		assert_int_equal(read_granted(fixture, link, &answer), IBV_WC_SUCCESS);
		assert_memory_equal(fixture->reader.bytes, segment->labels, answer.length);

		wanted = ask_of(fixture, link, REGION_KIND_DIRECTORY);
		wanted.shard = &fixture->shards->shards[i];
		answer = ask(fixture, &wanted);
		assert_int_equal(read_granted(fixture, link, &answer), IBV_WC_SUCCESS);
		assert_memory_equal(fixture->reader.bytes, "TERNDIR\n", 8);
		assert_memory_equal(fixture->reader.bytes + 60, &answer.crc, 4);
	}
	assert_int_equal(stats(fixture).leases, 3 * SHARD_COUNT);
	assert_int_equal(stats(fixture).links, 1);
	assert_int_equal(stats(fixture).links_opened, 1);
}

/* The part has a key of its own: it opens nothing beside it. */
static void the_key_of_a_part_opens_no_more_than_the_part(void **state)
{
	struct fixture *fixture = *state;
	struct link *link = connect_ready(fixture);
	struct export_ask wanted = ask_of(fixture, link, REGION_KIND_UPPER);
	struct region_answer answer = ask(fixture, &wanted);

	assert_true(answer.available);
	answer.remote_addr -= 64;
	answer.length = 64;
	assert_int_equal(read_granted(fixture, link, &answer), IBV_WC_REM_ACCESS_ERR);
}

static void a_key_works_on_no_other_link(void **state)
{
	struct fixture *fixture = *state;
	struct link *link = connect_ready(fixture);
	struct link *thief = connect_ready(fixture);
	struct region_answer answer = lease(fixture, link, 5000);

	assert_true(answer.available);
	assert_int_equal(read_granted(fixture, thief, &answer), IBV_WC_REM_ACCESS_ERR);
	for (unsigned i = 0; i < 100; i++)
		turn(fixture);
	/* The thief's link is gone, and nobody else's. */
	assert_int_equal(stats(fixture).links_ended, 1);
	assert_int_equal(read_granted(fixture, link, &answer), IBV_WC_SUCCESS);
}

static void nobody_gets_a_key_without_the_proof_of_a_link(void **state)
{
	struct fixture *fixture = *state;
	struct link *link = connect_ready(fixture);
	struct export_ask wanted = ask_of(fixture, link, REGION_KIND_SEGMENT);

	wanted.proof[31] ^= 0x80;
	assert_refused(ask(fixture, &wanted), REGION_NOT_MEMBER);
	wanted.proof[31] ^= 0x80;
	wanted.proof_size = 0;
	assert_refused(ask(fixture, &wanted), REGION_NOT_MEMBER);
	assert_int_equal(stats(fixture).proofs_refused, 2);
	wanted.proof_size = LINK_PROOF_SIZE;
	/* Shared memory has proofs of its own. */
	wanted.transport = REGION_TRANSPORT_SHM;
	assert_refused(ask(fixture, &wanted), REGION_NOT_MEMBER);
	assert_int_equal(stats(fixture).leases_granted, 0);
}

static void a_link_for_a_shard_gets_regions_of_no_other(void **state)
{
	struct fixture *fixture = *state;
	struct export_ask wanted;
	struct link *link;

	for (unsigned i = 0; i < 2; i++) {
		fixture->reader.shard = link_shard_name(CORE_PAIR_VSHARD + i);
		link = connect_ready(fixture);
		wanted = ask_of(fixture, link, REGION_KIND_SEGMENT);
		wanted.shard = &fixture->shards->shards[!i];
		assert_refused(ask(fixture, &wanted), REGION_NOT_MEMBER);
		assert_int_equal(stats(fixture).proofs_refused, i + 1);
		wanted.shard = &fixture->shards->shards[i];
		assert_true(ask(fixture, &wanted).available);
	}
}

static void a_link_for_a_shard_that_is_not_here_is_refused(void **state)
{
	struct fixture *fixture = *state;
	const uint32_t others[] = {0, CORE_PAIR_VSHARD - 1, CORE_PAIR_VSHARD + SHARD_COUNT,
				   UINT16_MAX - 1};

	for (unsigned i = 0; i < ARRAY_COUNT(others); i++) {
		const struct link_options options = {
			.to = fixture->self,
			.shard = link_shard_name(others[i]),
			.deadline_ns = fixture->now_ns + NS_PER_S,
		};
		struct link *link;

		assert_int_equal(link_connect(fixture->reader.hub, &options, fixture->now_ns, &link,
					      error, sizeof(error)),
				 0);
		for (unsigned turns = 0; turns < TURN_MAX && link_state(link) < LINK_READY; turns++)
			turn(fixture);
		assert_int_equal(link_state(link), LINK_ENDED);
		assert_non_null(strstr(link_error(link), "doesn't have that shard"));
		link_close(link);
	}
	assert_int_equal(stats(fixture).links_opened, 0);
}

static void a_lease_ends_with_its_time_and_its_key_is_refused(void **state)
{
	struct fixture *fixture = *state;
	struct link *link = connect_ready(fixture);
	struct region_answer answer = lease(fixture, link, 500);

	assert_int_equal(read_granted(fixture, link, &answer), IBV_WC_SUCCESS);
	fixture->now_ns += 500 * NS_PER_MS;
	for (unsigned i = 0; i < 20; i++)
		turn(fixture);
	assert_int_equal(stats(fixture).leases_expired, 1);
	assert_int_equal(stats(fixture).leases, 0);
	assert_int_equal(read_granted(fixture, link, &answer), IBV_WC_REM_ACCESS_ERR);
}

static void leases_end_with_their_link(void **state)
{
	struct fixture *fixture = *state;
	struct link *link = connect_ready(fixture);
	struct link *other = connect_ready(fixture);
	struct region_answer kept;

	assert_true(lease(fixture, link, 5000).available);
	kept = lease(fixture, other, 5000);
	link_close(link);
	for (unsigned i = 0; i < 100; i++)
		turn(fixture);
	assert_int_equal(stats(fixture).leases, 1);
	assert_int_equal(stats(fixture).leases_revoked, 1);
	assert_int_equal(stats(fixture).links, 1);
	assert_int_equal(read_granted(fixture, other, &kept), IBV_WC_SUCCESS);
}

static void leases_beyond_the_limit_are_refused_until_one_ends(void **state)
{
	struct fixture *fixture = *state;
	struct link *link = connect_ready(fixture);

	assert_true(lease(fixture, link, 200).available);
	for (unsigned i = 1; i < LEASE_COUNT; i++)
		assert_true(lease(fixture, link, 5000).available);
	assert_refused(lease(fixture, link, 5000), REGION_MANY_LEASES);
	fixture->now_ns += 200 * NS_PER_MS;
	for (unsigned i = 0; i < 20; i++)
		turn(fixture);
	assert_true(lease(fixture, link, 5000).available);
}

static void the_end_takes_every_key_back_before_memory_goes(void **state)
{
	struct fixture *fixture = *state;
	struct link *link = connect_ready(fixture);
	struct region_answer answer = lease(fixture, link, 5000);

	assert_true(answer.available);
	export_close(fixture->export);
	fixture->export = NULL;
	assert_int_not_equal(read_granted(fixture, link, &answer), IBV_WC_SUCCESS);
}

static void a_withdrawn_shards_keys_are_gone_and_then_the_grace_is_waited_for(void **state)
{
	struct fixture *fixture = *state;
	const struct shard *shards = fixture->shards->shards;
	struct link *link = connect_ready(fixture);
	struct link *reader = connect_ready(fixture);
	struct export_ask wanted = ask_of(fixture, reader, REGION_KIND_SEGMENT);
	struct region_answer answer = lease(fixture, link, 5000);
	struct region_answer kept;
	uint64_t begun_ns;

	wanted.shard = &shards[1];
	wanted.lease_ms = LEASE_MS_MAX;
	kept = ask(fixture, &wanted);
	export_withdraw(fixture->export, &shards[0]);
	begun_ns = fixture->now_ns;
	for (unsigned i = 0; i < 100; i++)
		turn(fixture);
	assert_int_equal(stats(fixture).leases, 1);
	assert_int_equal(read_granted(fixture, link, &answer), IBV_WC_REM_ACCESS_ERR);
	assert_int_equal(read_granted(fixture, reader, &kept), IBV_WC_SUCCESS);
	assert_false(export_withdrawn(fixture->export, &shards[0]));
	wanted.shard = &shards[0];
	assert_refused(ask(fixture, &wanted), REGION_MOVED);
	while (!export_withdrawn(fixture->export, &shards[0]) &&
	       fixture->now_ns < begun_ns + 2 * REGION_GRACE_NS)
		turn(fixture);
	assert_true(export_withdrawn(fixture->export, &shards[0]));
	assert_true(fixture->now_ns >= begun_ns + REGION_GRACE_NS);
	assert_int_equal(stats(fixture).regions, SHARD_COUNT);
	assert_int_equal(stats(fixture).leases_revoked, 1);
	assert_int_equal(stats(fixture).leases_granted, 2);
	assert_int_equal(read_granted(fixture, reader, &kept), IBV_WC_SUCCESS);
}

/* The bind's completion is lost: the region gives up, and so is the peer told. */
static void an_ask_is_answered_though_the_device_does_not(void **state)
{
	struct fixture *fixture = *state;
	struct link *link = connect_ready(fixture);

	fake_verbs_set_faults(&(struct fake_verbs_faults){.drop = 1000});
	assert_refused(lease(fixture, link, 5000), REGION_UNSUPPORTED);
	fake_verbs_set_faults(&(struct fake_verbs_faults){0});
	assert_int_equal(stats(fixture).leases_failed, 1);
	assert_int_equal(stats(fixture).refusals, 1);
}

static void leave_shared_memory(struct fixture *fixture, void (*remove)(const char *name))
{
	struct link *link = connect_ready(fixture);
	struct export_ask wanted = ask_of(fixture, link, REGION_KIND_SEGMENT);

	assert_true(ask(fixture, &wanted).available);
	remove("fake0");
	for (unsigned i = 0; i < 10; i++)
		turn(fixture);
	assert_int_equal(stats(fixture).regions, 0);
	assert_int_equal(stats(fixture).links, 0);
	assert_int_equal(stats(fixture).leases, 0);
	assert_int_equal(stats(fixture).links_opened, 1);
	assert_int_equal(stats(fixture).leases_granted, 1);
	assert_int_equal(stats(fixture).regions_shared, SHARD_COUNT + 1);
	fixture->ask = wanted;
	assert_true(export_ask(export_desk(fixture->export, 0), &fixture->ask));
	turn(fixture);
	assert_non_null(export_take(export_desk(fixture->export, 0)));
	assert_refused(fixture->ask.answer, REGION_UNSUPPORTED);
}

static void a_device_that_goes_leaves_shared_memory(void **state)
{
	leave_shared_memory(*state, fake_verbs_remove);
}

/* The kernel tells listeners and links, and waits until they are gone. */
static void a_device_that_is_to_go_is_let_go_of(void **state)
{
	leave_shared_memory(*state, fake_verbs_remove_waiting);
}

static void an_ask_under_way_is_refused_when_the_device_goes(void **state)
{
	struct fixture *fixture = *state;
	struct link *link = connect_ready(fixture);

	fixture->ask = ask_of(fixture, link, REGION_KIND_SEGMENT);
	fake_verbs_set_faults(&(struct fake_verbs_faults){.drop = 1000});
	assert_true(export_ask(export_desk(fixture->export, 0), &fixture->ask));
	turn(fixture);
	assert_null(export_take(export_desk(fixture->export, 0)));
	fake_verbs_remove("fake0");
	turn(fixture);
	assert_non_null(export_take(export_desk(fixture->export, 0)));
	assert_refused(fixture->ask.answer, REGION_UNSUPPORTED);
	fake_verbs_set_faults(&(struct fake_verbs_faults){0});
}

/* --- opening --- */

static struct export_config config_of(const struct fixture *fixture)
{
	return (struct export_config){
		.shards = fixture->shards,
		.core_count = 1,
		.node = 1,
		.secret = secret,
		.listen = fixture->self,
		.link_max = LINK_COUNT,
		.lease_max = LEASE_COUNT,
		.lease_ms_max = LEASE_MS_MAX,
		.gid_index = -1,
		.seed = 1,
		.ops = fixture->ops,
	};
}

static void without_a_device_the_reason_is_told_and_memory_shared(void **state)
{
	static const struct fake_verbs_config worlds[] = {{.seed = 1},
							  {.devices = 1, .port_down = true}};
	struct fixture *fixture = *state;

	export_close(fixture->export);
	for (unsigned i = 0; i < ARRAY_COUNT(worlds); i++) {
		struct export_config config;

		fixture->ops = fake_verbs_new(&worlds[i]);
		config = config_of(fixture);
		assert_int_equal(export_open(&config, &fixture->export, error, sizeof(error)), 0);
		assert_false(export_info(fixture->export)->verbs);
		assert_true(export_info(fixture->export)->shm);
		assert_true(strlen(export_info(fixture->export)->why_not) > 10);
		export_close(fixture->export);
		assert_int_equal(fake_verbs_live(), 0);
	}
	fixture->export = NULL;
}

/* Whatever the device can't do at start: what is exported then works, and nothing is left behind.
 */
static void any_call_that_fails_at_start_is_done_without(void **state)
{
	struct fixture *fixture = *state;
	struct export_config config = config_of(fixture);
	unsigned calls;
	unsigned without = 0;

	export_close(fixture->export);
	calls = fake_verbs_calls();
	assert_int_equal(export_open(&config, &fixture->export, error, sizeof(error)), 0);
	export_close(fixture->export);
	calls = fake_verbs_calls() - calls;
	assert_true(calls > 5);
	for (unsigned n = 1; n <= calls; n++) {
		fake_verbs_fail_at(n);
		assert_int_equal(export_open(&config, &fixture->export, error, sizeof(error)), 0);
		fake_verbs_fail_at(0);
		assert_true(export_info(fixture->export)->shm);
		turn(fixture);
		without += stats(fixture).regions < SHARD_COUNT + 1;
		export_close(fixture->export);
		assert_int_equal(fake_verbs_live(), 0);
	}
	assert_true(without > 5);
	fixture->export = NULL;
}

static int set_up_with(void **state, const struct fake_verbs_config *world, bool reader)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));
	struct export_config config;
	char text[ADDR_TEXT_MAX];

	assert_non_null(fixture);
	fixture->ops = fake_verbs_new(world);
	fixture->now_ns = NS_PER_S;
	/* Shared memory's name has to be this process's own. */
	snprintf(text, sizeof(text), "10.77.0.1:%u", 1024 + (unsigned)getpid() % 60000);
	assert_int_equal(addr_parse(text, 0, &fixture->self), 0);
	fixture->shards = core_pair_shards(SHARD_COUNT);
	config = config_of(fixture);
	assert_int_equal(export_open(&config, &fixture->export, error, sizeof(error)), 0);
	if (!export_info(fixture->export)->verbs)
		fail_msg("%s", export_info(fixture->export)->why_not);
	assert_int_equal(stats(fixture).regions, SHARD_COUNT + 1);
	fixture->reader =
		(struct link_reader){.turn = reader_turn, .context = fixture, .turn_max = TURN_MAX};
	if (reader)
		link_reader_open(&fixture->reader, fixture->ops, NULL, secret);
	*state = fixture;
	return 0;
}

static int set_up(void **state)
{
	return set_up_with(state, &(struct fake_verbs_config){.seed = 1, .devices = 1}, true);
}

static int set_up_without_windows(void **state)
{
	return set_up_with(state,
			   &(struct fake_verbs_config){.seed = 1, .devices = 1, .no_windows = true},
			   true);
}

static int set_up_owner(void **state)
{
	return set_up_with(state, &(struct fake_verbs_config){.seed = 1, .devices = 1}, false);
}

static int tear_down(void **state)
{
	struct fixture *fixture = *state;

	export_close(fixture->export);
	link_reader_close(&fixture->reader);
	shard_table_free(fixture->shards);
	free(fixture);
	assert_int_equal(fake_verbs_live(), 0);
	return 0;
}

#define TEST(name)       cmocka_unit_test_setup_teardown(name, set_up, tear_down)
#define TEST_OWNER(name) cmocka_unit_test_setup_teardown(name, set_up_owner, tear_down)
#define TEST_WITHOUT_WINDOWS(name)                                                                 \
	cmocka_unit_test_setup_teardown(name, set_up_without_windows, tear_down)

/* The limit is of leases: one that is being made is one already, and is not two. */
static void asks_under_way_count_once(void **state)
{
	struct fixture *fixture = *state;
	struct link *link = connect_ready(fixture);
	struct export_desk *desk = export_desk(fixture->export, 0);
	struct export_ask asks[LEASE_COUNT + 1], *taken;
	unsigned granted = 0, answered = 0;

	for (unsigned i = 0; i < ARRAY_COUNT(asks); i++) {
		asks[i] = ask_of(fixture, link, REGION_KIND_SEGMENT);
		assert_true(export_ask(desk, &asks[i]));
	}
	for (unsigned i = 0; i < TURN_MAX && answered < ARRAY_COUNT(asks); i++) {
		turn(fixture);
		while ((taken = export_take(desk))) {
			granted += taken->answer.available;
			answered++;
		}
	}
	assert_int_equal(answered, LEASE_COUNT + 1);
	assert_int_equal(granted, LEASE_COUNT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_granted_peer_reads_the_regions_bytes),
		TEST_WITHOUT_WINDOWS(a_granted_peer_reads_the_regions_bytes),
		TEST(the_key_of_a_part_opens_no_more_than_the_part),
		TEST_WITHOUT_WINDOWS(the_key_of_a_part_opens_no_more_than_the_part),
		TEST(a_key_works_on_no_other_link),
		TEST(nobody_gets_a_key_without_the_proof_of_a_link),
		TEST(a_link_for_a_shard_gets_regions_of_no_other),
		TEST(a_link_for_a_shard_that_is_not_here_is_refused),
		TEST(a_lease_ends_with_its_time_and_its_key_is_refused),
		TEST_WITHOUT_WINDOWS(a_lease_ends_with_its_time_and_its_key_is_refused),
		TEST(leases_end_with_their_link),
		TEST(leases_beyond_the_limit_are_refused_until_one_ends),
		TEST(a_withdrawn_shards_keys_are_gone_and_then_the_grace_is_waited_for),
		TEST_WITHOUT_WINDOWS(
			a_withdrawn_shards_keys_are_gone_and_then_the_grace_is_waited_for),
		TEST(the_end_takes_every_key_back_before_memory_goes),
		TEST_WITHOUT_WINDOWS(the_end_takes_every_key_back_before_memory_goes),
		TEST(an_ask_is_answered_though_the_device_does_not),
		TEST(a_device_that_goes_leaves_shared_memory),
		TEST(a_device_that_is_to_go_is_let_go_of),
		TEST(an_ask_under_way_is_refused_when_the_device_goes),
		TEST_OWNER(without_a_device_the_reason_is_told_and_memory_shared),
		TEST_OWNER(any_call_that_fails_at_start_is_done_without),
		TEST(asks_under_way_count_once),
		TEST_WITHOUT_WINDOWS(asks_under_way_count_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
