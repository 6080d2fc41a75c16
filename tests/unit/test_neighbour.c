/* SPDX-License-Identifier: Apache-2.0 */
#include "base/byteorder.h"
#include "net/neighbour.h"
#include "tests/lib/test.h"

#include <string.h>

static struct neighbours cache;
static const uint8_t mac[NEIGHBOUR_MAC_SIZE] = {2, 0, 0, 0, 0, 1};

static void make_ip(uint32_t number, uint8_t ip[16])
{
	memset(ip, 0, 16);
	memset(ip + 10, 0xff, 2);
	store_be32(ip + 12, UINT32_C(0x0a000000) + number);
}

static int find(uint32_t number, uint64_t now_ns, bool *ask)
{
	uint8_t ip[16], found[NEIGHBOUR_MAC_SIZE];
	int r;

	make_ip(number, ip);
	r = neighbour_find(&cache, ip, now_ns, ask, found);
	if (r == 0)
		assert_memory_equal(found, mac, sizeof(mac));
	return r;
}

static bool learn(uint32_t number, bool create, uint64_t now_ns)
{
	uint8_t ip[16];

	make_ip(number, ip);
	return neighbour_learn(&cache, ip, mac, create, now_ns);
}

static void an_unknown_address_is_asked_for_at_a_distance(void **state)
{
	bool ask;

	neighbours_init(&cache, 1);
	assert_int_equal(find(1, 0, &ask), NEIGHBOUR_E_UNKNOWN);
	assert_true(ask);
	assert_int_equal(find(1, 0, &ask), NEIGHBOUR_E_UNKNOWN);
	assert_false(ask);
	assert_int_equal(find(1, NEIGHBOUR_ASK_NS - 1, &ask), NEIGHBOUR_E_UNKNOWN);
	assert_false(ask);
	assert_int_equal(find(1, NEIGHBOUR_ASK_NS, &ask), NEIGHBOUR_E_UNKNOWN);
	assert_true(ask);
}

static void an_answer_is_used_until_it_is_forgotten(void **state)
{
	bool ask;

	neighbours_init(&cache, 1);
	(void)find(1, 0, &ask);
	assert_true(learn(1, false, 0));
	assert_int_equal(find(1, NEIGHBOUR_STALE_NS - 1, &ask), 0);
	assert_false(ask);
	assert_int_equal(find(1, NEIGHBOUR_STALE_NS, &ask), 0);
	assert_true(ask);
	assert_int_equal(find(1, NEIGHBOUR_FORGET_NS, &ask), NEIGHBOUR_E_UNKNOWN);
	assert_true(ask);
	assert_true(learn(1, false, NEIGHBOUR_FORGET_NS));
	assert_int_equal(find(1, NEIGHBOUR_FORGET_NS + 1, &ask), 0);
	assert_false(ask);
}

static void nobody_is_learnt_unasked(void **state)
{
	bool ask;

	neighbours_init(&cache, 1);
	assert_false(learn(1, false, 0));
	assert_int_equal(find(1, 0, &ask), NEIGHBOUR_E_UNKNOWN);
	assert_true(learn(2, true, 0));
	assert_int_equal(find(2, 0, &ask), 0);
}

/* Somebody claims many more addresses than there is room for. */
static void a_flood_pushes_nobody_out(void **state)
{
	unsigned kept = 0;
	bool ask;

	neighbours_init(&cache, 1);
	(void)find(1, 0, &ask);
	assert_true(learn(1, false, 0));
	for (uint32_t i = 2; i < 20 * NEIGHBOUR_COUNT_MAX; i++)
		kept += learn(i, true, 1);
	assert_in_range(kept, NEIGHBOUR_COUNT_MAX / 2, NEIGHBOUR_COUNT_MAX);
	assert_int_equal(find(1, 2, &ask), 0);
	/* The places of the flood are free again for whoever is asked for. */
	for (uint32_t i = 1000000; i < 1000010; i++) {
		(void)find(i, 3, &ask);
		assert_true(ask);
		assert_true(learn(i, false, 3));
		assert_int_equal(find(i, 4, &ask), 0);
	}
}

/* Forged senders are looked up so that they can be answered, and nobody answers for them. */
static void forged_senders_push_no_known_one_out(void **state)
{
	unsigned questions = 0;
	bool ask;

	neighbours_init(&cache, 1);
	(void)find(1, 0, &ask);
	assert_true(learn(1, false, 0));
	for (uint32_t i = 2; i < 20 * NEIGHBOUR_COUNT_MAX; i++) {
		assert_int_equal(find(i, 1, &ask), NEIGHBOUR_E_UNKNOWN);
		questions += ask;
	}
	assert_int_equal(find(1, 2, &ask), 0);
	assert_int_equal(questions, NEIGHBOUR_ASK_MAX - 1);
	/* Whoever comes later finds a place, and is asked for in time. */
	assert_int_equal(find(1000000, NEIGHBOUR_ASK_NS + 1, &ask), NEIGHBOUR_E_UNKNOWN);
	assert_true(ask);
	assert_true(learn(1000000, false, NEIGHBOUR_ASK_NS + 1));
	assert_int_equal(find(1000000, NEIGHBOUR_ASK_NS + 2, &ask), 0);
}

static void places_not_used_for_long_are_given_to_others(void **state)
{
	neighbours_init(&cache, 1);
	for (uint32_t i = 0; i < 20 * NEIGHBOUR_COUNT_MAX; i++)
		(void)learn(i, true, 0);
	assert_false(learn(UINT32_C(0x800000), true, NEIGHBOUR_FORGET_NS - 1));
	assert_true(learn(UINT32_C(0x800000), true, NEIGHBOUR_FORGET_NS + 1));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_unknown_address_is_asked_for_at_a_distance),
		cmocka_unit_test(an_answer_is_used_until_it_is_forgotten),
		cmocka_unit_test(nobody_is_learnt_unasked),
		cmocka_unit_test(a_flood_pushes_nobody_out),
		cmocka_unit_test(forged_senders_push_no_known_one_out),
		cmocka_unit_test(places_not_used_for_long_are_given_to_others),
	};
	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
