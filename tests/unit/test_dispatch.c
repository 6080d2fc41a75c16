/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/dispatch.h"

#include "base/byteorder.h"
#include "proto/message.h"
#include "proto/status.h"
#include "tests/lib/test.h"

#include <string.h>

#define NODE_EPOCH 7

struct fixture {
	struct dispatch dispatch;
	uint8_t bytes[ENVELOPE_SIZE + 4];
	struct request_view view;
	struct envelope envelope;
	struct dispatch_row *row;
};

static void nothing(void *context, const struct dispatch_item *item, uint64_t now_ns)
{
}

/* A node that handles type 50, and a request of that type as it should be. */
static void fixture_init(struct fixture *fixture)
{
	struct envelope envelope = {
		.type = MESSAGE_VECTOR_SCATTER_REQUEST,
		.source_node = 1,
		.vshard = 9,
		.payload_size = 4,
		.payload = (const uint8_t *)"abcd",
	};

	memset(fixture, 0, sizeof(*fixture));
	dispatch_init(&fixture->dispatch, NODE_EPOCH);
	dispatch_set(&fixture->dispatch, MESSAGE_VECTOR_SCATTER_REQUEST, nothing, fixture);
	assert_int_equal(envelope_encode(&envelope, fixture->bytes, sizeof(fixture->bytes)),
			 sizeof(fixture->bytes));
	fixture->view = (struct request_view){
		.bytes = fixture->bytes,
		.size = sizeof(fixture->bytes),
		.deadline_ns = UINT64_MAX,
		.epoch = NODE_EPOCH,
	};
}

static uint16_t find(struct fixture *fixture)
{
	return dispatch_find(&fixture->dispatch, &fixture->view, &fixture->envelope, &fixture->row);
}

static void a_handled_type_finds_its_row_and_envelope(void **state)
{
	struct fixture fixture;

	fixture_init(&fixture);
	assert_int_equal(find(&fixture), STATUS_OK);
	assert_ptr_equal(fixture.row, &fixture.dispatch.rows[MESSAGE_VECTOR_SCATTER_REQUEST]);
	assert_ptr_equal(fixture.row->context, &fixture);
	assert_int_equal(fixture.envelope.vshard, 9);
	assert_int_equal(fixture.envelope.payload_size, 4);
	assert_ptr_equal(fixture.envelope.payload, fixture.bytes + ENVELOPE_SIZE);
}

static void every_cut_of_the_message_is_malformed(void **state)
{
	struct fixture fixture;

	fixture_init(&fixture);
	for (uint32_t size = 0; size < sizeof(fixture.bytes); size++) {
		fixture.view.size = size;
		assert_int_equal(find(&fixture), STATUS_MALFORMED);
	}
	assert_int_equal(fixture.dispatch.refused_malformed, sizeof(fixture.bytes));
	assert_null(fixture.row);
}

static void another_envelope_version_is_named(void **state)
{
	struct fixture fixture;

	fixture_init(&fixture);
	store_le16(fixture.bytes, ENVELOPE_VERSION + 1);
	assert_int_equal(find(&fixture), STATUS_VERSION);
	assert_int_equal(fixture.dispatch.refused_version, 1);
}

static void a_payload_over_the_limit_is_too_large(void **state)
{
	struct fixture fixture;

	fixture_init(&fixture);
	store_le32(fixture.bytes + 24, ENVELOPE_PAYLOAD_MAX + 1);
	assert_int_equal(find(&fixture), STATUS_TOO_LARGE);
}

static void every_number_gets_the_status_that_it_deserves(void **state)
{
	struct fixture fixture;
	unsigned unsupported = 0;
	unsigned unknown = 0;

	fixture_init(&fixture);
	for (uint32_t type = 0; type <= UINT16_MAX; type++) {
		uint16_t status;

		store_le16(fixture.bytes + 2, (uint16_t)type);
		status = find(&fixture);
		if (type == MESSAGE_VECTOR_SCATTER_REQUEST) {
			assert_int_equal(status, STATUS_OK);
		} else if (message_find((uint16_t)type)) {
			assert_int_equal(status, STATUS_UNSUPPORTED);
			unsupported++;
		} else {
			assert_int_equal(status, STATUS_UNKNOWN_TYPE);
			unknown++;
		}
	}
	assert_int_equal(unsupported, MESSAGE_COUNT - 1);
	assert_int_equal(fixture.dispatch.refused_unsupported, unsupported);
	assert_int_equal(fixture.dispatch.refused_type, unknown);
}

static void an_older_epoch_is_stale_and_none_is_let_through(void **state)
{
	static const struct {
		uint64_t epoch;
		uint16_t status;
	} cases[] = {
		{0, STATUS_OK},
		{1, STATUS_STALE_EPOCH},
		{NODE_EPOCH - 1, STATUS_STALE_EPOCH},
		{NODE_EPOCH, STATUS_OK},
		{NODE_EPOCH + 1, STATUS_OK},
	};
	struct fixture fixture;

	fixture_init(&fixture);
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		fixture.view.epoch = cases[i].epoch;
		assert_int_equal(find(&fixture), cases[i].status);
	}
	assert_int_equal(fixture.dispatch.refused_epoch, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_handled_type_finds_its_row_and_envelope),
		cmocka_unit_test(every_cut_of_the_message_is_malformed),
		cmocka_unit_test(another_envelope_version_is_named),
		cmocka_unit_test(a_payload_over_the_limit_is_too_large),
		cmocka_unit_test(every_number_gets_the_status_that_it_deserves),
		cmocka_unit_test(an_older_epoch_is_stale_and_none_is_let_through),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
