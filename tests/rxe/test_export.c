/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Export on real verbs: its thread and a reader, on one device. What the
 * owner's protocol is worth is tests/unit/test_export_verbs's matter; here it is
 * whether the device does what is relied on.
 */

#include "dataplane/export.h"

#include "base/clock.h"
#include "dataplane/catalog.h"
#include "tests/lib/core_pair.h"
#include "tests/lib/link_reader.h"
#include "tests/lib/test.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	SHARD_COUNT = 2,
	PORT = 7400,
	TURN_US = 50,
	TURN_MAX = 1000000, /* 50 s at least: it ends tests that hang */
	READ_COUNT = 500,
	WAKEUPS_MAX = 5,
};

struct fixture {
	struct shard_table *shards;
	struct export *export;
	struct addr self;
	struct link_reader reader;
};

static const uint8_t secret[LINK_SECRET_SIZE] = "a cluster's secret of 32 bytes..";

static void turn(void *context)
{
	struct fixture *fixture = context;

	if (!link_hub_turn(fixture->reader.hub, clock_now_ns()))
		usleep(TURN_US);
}

static struct link *connect_ready(struct fixture *fixture)
{
	return link_reader_connect(&fixture->reader, &fixture->self, clock_now_ns());
}

/* The thread decides meanwhile. */
static struct region_answer lease(struct fixture *fixture, const struct link *link,
				  uint32_t lease_ms)
{
	struct export_desk *desk = export_desk(fixture->export, 0);
	struct export_ask ask = {
		.shard = &fixture->shards->shards[0],
		.name = {REGION_KIND_SEGMENT, CATALOG_SEGMENT_ID},
		.lease_ms = lease_ms,
		.transport = REGION_TRANSPORT_VERBS,
		.proof_size = LINK_PROOF_SIZE,
	};
	struct export_ask *taken = NULL;

	link_proof(link, ask.proof);
	assert_true(export_ask(desk, &ask));
	for (unsigned i = 0; i < TURN_MAX && !(taken = export_take(desk)); i++)
		turn(fixture);
	assert_ptr_equal(taken, &ask);
	if (!ask.answer.available)
		fail_msg("%.*s", (int)ask.answer.reason.length, ask.answer.reason.text);
	return ask.answer;
}

/* The thread shows its counts at a turn's end, which is behind its answers. */
static void wait_for_leases(struct fixture *fixture, uint64_t count)
{
	for (unsigned i = 0; i < TURN_MAX && export_stats(fixture->export).leases != count; i++)
		turn(fixture);
	assert_int_equal(export_stats(fixture->export).leases, count);
}

static enum ibv_wc_status read_granted(struct fixture *fixture, struct link *link,
				       const struct region_answer *answer)
{
	return link_reader_read(&fixture->reader, link, answer);
}

/* --- */

static void a_granted_peer_reads_the_image_while_the_thread_sleeps(void **state)
{
	struct fixture *fixture = *state;
	struct link *link = connect_ready(fixture);
	const struct segment *segment = &fixture->shards->shards[0].segment;
	struct region_answer answer = lease(fixture, link, 60000);
	uint64_t wakeups;

	assert_int_equal(answer.length, segment->image_size);
	assert_int_equal(read_granted(fixture, link, &answer), IBV_WC_SUCCESS);
	assert_memory_equal(fixture->reader.bytes, segment->image, segment->image_size);
	usleep(100000); /* it has gone to sleep, or nearly so */
	wakeups = export_stats(fixture->export).wakeups;
	for (unsigned i = 0; i < READ_COUNT; i++)
		assert_int_equal(read_granted(fixture, link, &answer), IBV_WC_SUCCESS);
	/* What is left of the handshake may wake it; READs don't. */
	assert_true(export_stats(fixture->export).wakeups <= wakeups + WAKEUPS_MAX);
}

static void a_lease_that_ran_out_is_refused_by_the_device(void **state)
{
	struct fixture *fixture = *state;
	struct link *link = connect_ready(fixture);
	struct region_answer answer = lease(fixture, link, 2000);

	assert_int_equal(read_granted(fixture, link, &answer), IBV_WC_SUCCESS);
	wait_for_leases(fixture, 0);
	assert_int_equal(export_stats(fixture->export).leases_expired, 1);
	assert_int_equal(read_granted(fixture, link, &answer), IBV_WC_REM_ACCESS_ERR);
}

static void a_guessed_key_ends_the_guessers_link_alone(void **state)
{
	struct fixture *fixture = *state;
	struct link *link = connect_ready(fixture);
	struct link *guesser = connect_ready(fixture);
	struct region_answer answer = lease(fixture, link, 60000);

	assert_int_equal(read_granted(fixture, guesser, &answer), IBV_WC_REM_ACCESS_ERR);
	assert_int_equal(read_granted(fixture, link, &answer), IBV_WC_SUCCESS);
	assert_true(lease(fixture, link, 1000).available);
}

static void a_reader_that_goes_leaves_no_lease(void **state)
{
	struct fixture *fixture = *state;
	struct link *link = connect_ready(fixture);

	for (unsigned i = 0; i < 3; i++)
		(void)lease(fixture, link, 60000);
	wait_for_leases(fixture, 3);
	link_close(link);
	wait_for_leases(fixture, 0);
	assert_int_equal(export_stats(fixture->export).leases_revoked, 3);
}

static void the_end_of_the_owner_takes_every_key_back(void **state)
{
	struct fixture *fixture = *state;
	struct link *link = connect_ready(fixture);
	struct region_answer answer = lease(fixture, link, 60000);

	assert_int_equal(read_granted(fixture, link, &answer), IBV_WC_SUCCESS);
	export_close(fixture->export);
	fixture->export = NULL;
	assert_int_not_equal(read_granted(fixture, link, &answer), IBV_WC_SUCCESS);
}

/* --- */

static const char *variable(const char *name)
{
	const char *value = getenv(name);

	if (!value)
		fail_msg("%s is not set", name);
	return value;
}

static int set_up(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));
	struct export_config config = {
		.core_count = 1,
		.node = 1,
		.secret = secret,
		.link_max = 16,
		.lease_max = 64,
		.lease_ms_max = 60000,
		.device = variable("RXE_DEVICE"),
		.gid_index = -1,
		.ops = real_verbs_ops(),
	};
	char error[EXPORT_ERROR_MAX];

	assert_non_null(fixture);
	fixture->shards = core_pair_shards(SHARD_COUNT);
	assert_int_equal(addr_parse(variable("RXE_ADDRESS"), PORT, &fixture->self), 0);
	config.shards = fixture->shards;
	config.listen = fixture->self;
	assert_int_equal(export_open(&config, &fixture->export, error, sizeof(error)), 0);
	if (!export_info(fixture->export)->verbs)
		fail_msg("%s", export_info(fixture->export)->why_not);
	assert_int_equal(export_stats(fixture->export).regions, SHARD_COUNT + 1);
	assert_int_equal(export_start(fixture->export), 0);
	fixture->reader =
		(struct link_reader){.turn = turn, .context = fixture, .turn_max = TURN_MAX};
	link_reader_open(&fixture->reader, config.ops, variable("RXE_DEVICE"), secret);
	*state = fixture;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *fixture = *state;

	link_reader_close(&fixture->reader);
	export_close(fixture->export);
	shard_table_free(fixture->shards);
	free(fixture);
	return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_granted_peer_reads_the_image_while_the_thread_sleeps),
		TEST(a_lease_that_ran_out_is_refused_by_the_device),
		TEST(a_guessed_key_ends_the_guessers_link_alone),
		TEST(a_reader_that_goes_leaves_no_lease),
		TEST(the_end_of_the_owner_takes_every_key_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
