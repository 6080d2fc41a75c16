/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Grants, revocations, expiries, ends of links and of regions in random orders,
 * on a fake device that delays, repeats and runs out of things. A plain table says which key
 * has to work: a READ with any other is refused, one with it brings the right bytes; and in the end
 * nothing is left.
 *
 * A seed as the argument replays a run.
 */

#include "base/defs.h"
#include "base/rand.h"
#include "rdma/region.h"
#include "tests/lib/fake_verbs.h"
#include "tests/lib/region_rig.h"
#include "tests/lib/test.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define WORLD_COUNT  200
#define STEP_COUNT   150
#define LINK_COUNT   5
#define REGION_COUNT 2
#define KNOWN_COUNT  128
#define SIZE         UINT64_C(32768)
#define MS           UINT64_C(1000000)

/* Turns (of a ms) in which all that was asked for is done, delays included. */
#define SETTLE 60

/* Around the end of a lease it may or may not work. */
#define UNSURE_NS (2 * SETTLE * MS)

/* A lease that was asked for, or a free place. */
struct known {
	bool used;
	bool ended; /* revoked, or its link or its region is gone */
	unsigned link, region;
	struct rig_grant grant;
};

static uint64_t seed = 20261;
static struct rand rand_state;
static struct rig rig;
static bool windows;
static _Alignas(4096) uint8_t memory[REGION_COUNT][SIZE];
static struct link *links[LINK_COUNT];
static struct known table[KNOWN_COUNT];
static char error[DEVICE_ERROR_MAX];
static unsigned read_count, refused_count, granted_count;

static uint32_t below(uint64_t bound)
{
	return (uint32_t)rand_below(&rand_state, bound);
}

static void register_region(unsigned region)
{
	assert_int_equal(region_register(rig.owner.device, memory[region], SIZE,
					 &rig.regions[region], error, sizeof(error)),
			 0);
}

static bool is_alive(const struct known *known)
{
	return known->used && !known->ended && known->grant.lease.expires_ns > rig.now_ns;
}

static bool is_unsure(const struct known *known)
{
	uint64_t end_ns = known->grant.lease.expires_ns;

	return known->used && !known->ended && rig.now_ns + UNSURE_NS > end_ns &&
	       rig.now_ns < end_ns + UNSURE_NS;
}

/* All that was asked for has been answered, and for nothing else are there leases. */
static void settle(void)
{
	uint32_t alive = 0, unsure = 0, found = 0;

	rig_turn(&rig, SETTLE);
	for (unsigned i = 0; i < KNOWN_COUNT; i++) {
		struct known *known = &table[i];

		if (!known->used)
			continue;
		assert_true(known->grant.done);
		/* Only what was ended meanwhile isn't granted. */
		assert_true(known->grant.error == 0 || known->ended);
		known->used = known->grant.error == 0;
		unsure += is_unsure(known);
		alive += is_alive(known) && !is_unsure(known);
	}
	for (unsigned i = 0; i < REGION_COUNT; i++)
		found += region_stats(rig.regions[i]).leases;
	assert_in_range(found, alive, alive + unsure);
}

static void end_all(unsigned link, unsigned region)
{
	for (unsigned i = 0; i < KNOWN_COUNT; i++)
		if (table[i].link == link || table[i].region == region)
			table[i].ended = true;
}

static void connect_one(void)
{
	unsigned at = below(LINK_COUNT);

	if (!links[at])
		links[at] = rig_connect(&rig);
}

static void forget_link(unsigned at)
{
	link_close(links[at]);
	links[at] = NULL;
	end_all(at, REGION_COUNT);
}

static void disconnect_one(void)
{
	unsigned at = below(LINK_COUNT);
	struct link *owner_side;

	if (!links[at])
		return;
	owner_side = rig_owner_side(&rig, links[at]);
	/* By the owner, as in its program, or by the reader. */
	if (below(2)) {
		for (unsigned i = 0; i < REGION_COUNT; i++)
			region_link_closed(rig.regions[i], owner_side);
		link_close(owner_side);
		rig_turn(&rig, SETTLE);
		assert_int_equal(link_state(links[at]), LINK_ENDED);
	}
	forget_link(at);
}

static void grant_one(void)
{
	struct known *known = &table[below(KNOWN_COUNT)];
	unsigned at = below(LINK_COUNT), region = below(REGION_COUNT);
	uint64_t offset = below(SIZE), size = 1 + below(SIZE - offset);
	uint32_t lease_ms = below(3) ? 100 + below(1000) : 60000;
	int result;

	if (!links[at] || (known->used && !known->grant.done) || is_alive(known) ||
	    is_unsure(known))
		return;
	if (below(10) == 0)
		fake_verbs_fail_at(1 + below(2));
	result = rig_grant(&rig, rig.regions[region], rig_owner_side(&rig, links[at]), offset, size,
			   lease_ms, &known->grant);
	fake_verbs_fail_at(0);
	known->used = result == 0;
	known->ended = false;
	known->link = at;
	known->region = region;
	assert_true(result == 0 || result == REGION_E_FULL);
	/* Until it is answered it counts as one that lasts. */
	known->grant.lease.expires_ns = UINT64_MAX / 2;
}

/* One that was granted at some time, or NULL. */
static struct known *any_granted(void)
{
	unsigned first = below(KNOWN_COUNT);

	for (unsigned i = 0; i < KNOWN_COUNT; i++) {
		struct known *known = &table[(first + i) % KNOWN_COUNT];

		if (known->used && known->grant.done && !known->grant.error)
			return known;
	}
	return NULL;
}

static void revoke_one(void)
{
	struct known *known = any_granted();

	if (!known)
		return;
	if (region_revoke(rig.regions[known->region], known->grant.lease.id))
		known->ended = true;
	else
		assert_false(is_alive(known) && !is_unsure(known));
}

static void end_region(void)
{
	unsigned region = below(REGION_COUNT);

	region_end(rig.regions[region], rig.now_ns);
	end_all(LINK_COUNT, region);
	settle();
	assert_int_equal(region_stats(rig.regions[region]).leases, 0);
	assert_int_equal(region_state(rig.regions[region]), REGION_ENDING);
	rig_pass(&rig, REGION_GRACE_NS);
	assert_int_equal(region_state(rig.regions[region]), REGION_ENDED);
	region_free(rig.regions[region]);
	register_region(region);
}

static bool is_right(const struct known *known, uint64_t offset, uint32_t size)
{
	const uint8_t *from = (const uint8_t *)(uintptr_t)known->grant.lease.remote_addr;

	return !memcmp(rig.to, from + offset, size);
}

/* With any key that was ever granted, on its link or another, within its range or not. */
static void read_one(void)
{
	const struct known *known = any_granted();
	unsigned at, ends = rig.owner_ends;
	const struct lease_info *lease;
	uint64_t offset;
	uint32_t size = 1 + below(64);
	bool expected;
	int status;

	if (!known || is_unsure(known))
		return;
	lease = &known->grant.lease;
	offset = below(10) ? below(lease->size) : below(lease->size + 2);
	at = below(4) ? known->link : below(LINK_COUNT);
	/* Without windows a key works wherever it is used. */
	if (!windows)
		at = known->link;
	if (!links[at])
		return;
	expected = is_alive(known) && at == known->link && offset + size <= lease->size;
	status = rig_read(&rig, links[at], lease->remote_addr + offset, lease->rkey, size);
	assert_int_equal(status, expected ? IBV_WC_SUCCESS : IBV_WC_REM_ACCESS_ERR);
	if (expected) {
		read_count++;
		assert_true(is_right(known, offset, size));
		return;
	}
	refused_count++;
	rig_turn(&rig, SETTLE);
	assert_int_equal(link_state(links[at]), LINK_ENDED);
	forget_link(at);
	rig_turn(&rig, SETTLE);
	assert_int_equal(rig.owner_ends, ends + 1);
}

static void step(void)
{
	static const struct fake_verbs_faults faults[] = {
		{0},
		{.delay = 500, .delay_polls = 4},
		{.duplicate = 500},
	};

	switch (below(16)) {
	case 0:
		return disconnect_one();
	case 1:
	case 2:
	case 3:
		return connect_one();
	case 4:
	case 5:
	case 6:
	case 7:
		/* Several without a turn in between. */
		for (unsigned count = 1 + below(6); count > 0; count--)
			grant_one();
		return;
	case 8:
		return revoke_one();
	case 9:
		return rig_pass(&rig, below(400) * MS);
	case 10:
		return fake_verbs_set_faults(&faults[below(ARRAY_COUNT(faults))]);
	case 11:
		if (below(8) == 0)
			end_region();
		return;
	default:
		settle();
		return read_one();
	}
}

static void close_world(void)
{
	for (unsigned i = 0; i < REGION_COUNT; i++)
		region_end(rig.regions[i], rig.now_ns);
	end_all(LINK_COUNT, 0);
	end_all(LINK_COUNT, 1);
	rig_pass(&rig, REGION_GRACE_NS + SETTLE * MS);
	for (unsigned i = 0; i < REGION_COUNT; i++) {
		assert_int_equal(region_state(rig.regions[i]), REGION_ENDED);
		assert_int_equal(region_stats(rig.regions[i]).links_broken, 0);
		region_free(rig.regions[i]);
		rig.regions[i] = NULL;
	}
	fake_verbs_set_faults(&(struct fake_verbs_faults){0});
	rig_close(&rig);
	assert_int_equal(fake_verbs_live(), 0);
	memset(links, 0, sizeof(links));
	memset(table, 0, sizeof(table));
}

static void open_world(unsigned world)
{
	struct fake_verbs_config config = {.seed = rand_next(&rand_state), .devices = 1};

	windows = world % 4 != 3;
	config.no_windows = !windows;
	rig_open(&rig, fake_verbs_new(&config), /* real= */ false);
	for (unsigned i = 0; i < REGION_COUNT; i++)
		register_region(i);
}

static void no_key_outlives_its_lease_and_nothing_leaks(void **state)
{
	for (unsigned world = 0; world < WORLD_COUNT; world++) {
		open_world(world);
		for (unsigned i = 0; i < STEP_COUNT; i++)
			step();
		for (unsigned i = 0; i < REGION_COUNT; i++)
			granted_count += (unsigned)region_stats(rig.regions[i]).leases_granted;
		close_world();
	}
	print_message("%u granted, %u read, %u refused\n", granted_count, read_count,
		      refused_count);
	/* There was something to see. */
	assert_true(granted_count > WORLD_COUNT && read_count > WORLD_COUNT &&
		    refused_count > WORLD_COUNT);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_key_outlives_its_lease_and_nothing_leaks),
	};

	if (argc > 1)
		seed = strtoull(argv[1], NULL, 0);
	print_message("seed %" PRIu64 "\n", seed);
	rand_init(&rand_state, seed);
	for (unsigned i = 0; i < REGION_COUNT; i++)
		for (size_t at = 0; at < SIZE; at++)
			memory[i][at] = (uint8_t)rand_next(&rand_state);
	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
