/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Regions on a real device: keys that work, and keys that the device refuses.
 *
 * Each check runs with memory windows and with a registration for each lease.
 */

#include "base/defs.h"
#include "base/memory.h"
#include "rdma/region.h"
#include "tests/lib/region_rig.h"
#include "tests/lib/test.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define MS   UINT64_C(1000000)
#define SIZE (MEMORY_PAGE_SIZE + 65536)

/* Longer than any test takes. */
#define LONG_MS 600000

/* For the device to do what was asked, on an emulated processor. */
#define SETTLE_NS (100 * MS)

static struct memory memory;
static char error[DEVICE_ERROR_MAX];
static struct rig rig;

static struct region *begin(bool windows)
{
	int result;

	rig_open(&rig, real_verbs_ops(), /* real= */ true);
	result = windows ? region_register(rig.owner.device, memory.start, SIZE, &rig.regions[0],
					   error, sizeof(error))
			 : region_register_without_windows(rig.owner.device, memory.start, SIZE,
							   &rig.regions[0], error, sizeof(error));
	if (result)
		fail_msg("%s", error);
	return rig.regions[0];
}

static void end(void)
{
	region_end(rig.regions[0], rig.now_ns);
	rig_pass(&rig, REGION_GRACE_NS + SETTLE_NS);
	assert_int_equal(region_state(rig.regions[0]), REGION_ENDED);
	assert_int_equal(region_stats(rig.regions[0]).links_broken, 0);
	region_free(rig.regions[0]);
	rig.regions[0] = NULL;
	rig_close(&rig);
}

static int read_of(struct link *link, const struct lease_info *lease, uint64_t offset,
		   uint32_t size)
{
	return rig_read(&rig, link, lease->remote_addr + offset, lease->rkey, size);
}

/* The device refuses it, which ends the reader's link and the owner's side of it, and no other. */
static void check_refused(struct link *link, uint64_t remote_addr, uint32_t rkey, uint32_t size)
{
	unsigned ends = rig.owner_ends;

	assert_int_equal(rig_read(&rig, link, remote_addr, rkey, size), IBV_WC_REM_ACCESS_ERR);
	rig_pass(&rig, SETTLE_NS);
	assert_int_equal(link_state(link), LINK_ENDED);
	link_close(link);
	rig_pass(&rig, SETTLE_NS);
	assert_int_equal(rig.owner_ends, ends + 1);
}

static void check_works(struct link *link, const struct lease_info *lease)
{
	memset(rig.to, 0, 4096);
	assert_int_equal(read_of(link, lease, 0, 4096), IBV_WC_SUCCESS);
	assert_memory_equal(rig.to, (const void *)(uintptr_t)lease->remote_addr, 4096);
}

static void check_a_key(bool windows)
{
	struct region *region = begin(windows);
	struct link *link = rig_connect(&rig);
	struct lease_info lease =
		rig_granted(&rig, region, rig_owner_side(&rig, link), 4096, SIZE - 4096, LONG_MS);

	check_works(link, &lease);
	assert_int_equal(read_of(link, &lease, SIZE - 4096 - RIG_READ_MAX, RIG_READ_MAX),
			 IBV_WC_SUCCESS);
	assert_memory_equal(rig.to, memory.start + SIZE - RIG_READ_MAX, RIG_READ_MAX);
	end();
}

static void a_granted_key_reads_sealed_memory(void **state)
{
	check_a_key(true);
	check_a_key(false);
}

static void check_guesses(bool windows)
{
	struct region *region = begin(windows);
	struct link *link = rig_connect(&rig);
	struct lease_info lease =
		rig_granted(&rig, region, rig_owner_side(&rig, link), 0, SIZE, LONG_MS);
	const uint32_t guesses[] = {0, 1, lease.rkey ^ 1, lease.rkey + 256, lease.rkey - 256};

	for (size_t i = 0; i < ARRAY_COUNT(guesses); i++) {
		check_refused(rig_connect(&rig), lease.remote_addr, guesses[i], 64);
		check_works(link, &lease);
	}
	assert_int_equal(region_stats(region).leases, 1);
	end();
}

static void a_guessed_key_ends_the_guessers_link_and_nothing_else(void **state)
{
	check_guesses(true);
	check_guesses(false);
}

static void a_window_is_of_no_use_on_another_link(void **state)
{
	struct region *region = begin(true);
	struct link *link = rig_connect(&rig);
	struct lease_info lease =
		rig_granted(&rig, region, rig_owner_side(&rig, link), 0, SIZE, LONG_MS);

	check_refused(rig_connect(&rig), lease.remote_addr, lease.rkey, 64);
	check_works(link, &lease);
	end();
}

static void check_revocation(bool windows)
{
	struct region *region = begin(windows);
	struct link *link = rig_connect(&rig), *other = rig_connect(&rig);
	struct link *owner_side = rig_owner_side(&rig, link);
	struct lease_info first = rig_granted(&rig, region, owner_side, 0, SIZE, LONG_MS);
	struct lease_info second = rig_granted(&rig, region, owner_side, 0, SIZE, LONG_MS);
	struct lease_info others =
		rig_granted(&rig, region, rig_owner_side(&rig, other), 0, SIZE, LONG_MS);

	check_works(link, &first);
	assert_true(region_revoke(region, first.id));
	rig_pass(&rig, SETTLE_NS);
	assert_int_equal(region_stats(region).leases, 2);
	check_works(link, &second);
	check_refused(link, first.remote_addr, first.rkey, 64);
	check_works(other, &others);
	/* The refusal has ended the link, and with it its other key. */
	assert_int_equal(region_stats(region).leases, 1);
	assert_int_equal(region_stats(region).leases_cut, 1);
	end();
}

static void a_revoked_key_is_refused(void **state)
{
	check_revocation(true);
	check_revocation(false);
}

/* READs one after the other from before the end of the lease to the refusal. */
static void check_expiry(bool windows)
{
	struct region *region = begin(windows);
	struct link *link = rig_connect(&rig), *other = rig_connect(&rig);
	struct lease_info others =
		rig_granted(&rig, region, rig_owner_side(&rig, other), 0, SIZE, LONG_MS);
	struct lease_info lease =
		rig_granted(&rig, region, rig_owner_side(&rig, link), 0, SIZE, 500);
	uint64_t last_good_ns = 0;
	unsigned reads = 0;
	int status;

	while ((status = read_of(link, &lease, 64 * (reads % 1024), 4096)) == IBV_WC_SUCCESS) {
		assert_memory_equal(rig.to, memory.start + 64 * (reads % 1024), 4096);
		last_good_ns = rig.now_ns;
		reads++;
		assert_true(rig.now_ns < lease.expires_ns + 10 * SETTLE_NS);
	}
	assert_int_equal(status, IBV_WC_REM_ACCESS_ERR);
	assert_true(reads > 0);
	/* It didn't end early, up to the time that a READ takes. */
	assert_true(last_good_ns + SETTLE_NS > lease.expires_ns);
	assert_int_equal(region_stats(region).leases_expired, 1);
	check_works(other, &others);
	print_message("%u reads before the lease ended\n", reads);
	end();
}

static void a_lease_that_ends_while_reads_run_ends_them(void **state)
{
	check_expiry(true);
	check_expiry(false);
}

static void check_link_end(bool windows)
{
	struct region *region = begin(windows);
	struct link *link = rig_connect(&rig);
	struct lease_info lease =
		rig_granted(&rig, region, rig_owner_side(&rig, link), 0, SIZE, LONG_MS);

	check_works(link, &lease);
	link_close(link);
	rig_pass(&rig, 2 * SETTLE_NS);
	assert_int_equal(region_stats(region).leases, 0);
	check_refused(rig_connect(&rig), lease.remote_addr, lease.rkey, 64);
	end();
}

static void a_key_ends_with_its_link(void **state)
{
	check_link_end(true);
	check_link_end(false);
}

static void check_range(bool windows)
{
	enum { OFFSET = 8192, LENGTH = 12288 };
	static const int64_t beyond[][2] = {{-1, 2}, {LENGTH, 1}, {LENGTH - 1, 2}, {-OFFSET, 64}};
	struct region *region = begin(windows);

	for (size_t i = 0; i < ARRAY_COUNT(beyond); i++) {
		struct link *link = rig_connect(&rig);
		struct lease_info lease = rig_granted(&rig, region, rig_owner_side(&rig, link),
						      OFFSET, LENGTH, LONG_MS);

		check_works(link, &lease);
		assert_int_equal(read_of(link, &lease, LENGTH - 1, 1), IBV_WC_SUCCESS);
		check_refused(link, lease.remote_addr + (uint64_t)beyond[i][0], lease.rkey,
			      (uint32_t)beyond[i][1]);
	}
	end();
}

/* rxe looks at the range of the registration under the window (seen in Linux 6.1); its name starts
 * so. */
static bool is_lax(void)
{
	struct region *region = begin(true);
	struct link *link = rig_connect(&rig);
	struct lease_info lease =
		rig_granted(&rig, region, rig_owner_side(&rig, link), 8192, 4096, LONG_MS);
	bool lax = read_of(link, &lease, 4096, 1) == IBV_WC_SUCCESS;

	if (lax)
		assert_int_equal(strncmp(device_info(rig.owner.device)->name, "rxe", 3), 0);
	end();
	return lax;
}

static void the_range_of_a_window_is_enforced(void **state)
{
	if (is_lax()) {
		print_message("this device holds a window to its region's range only\n");
		skip();
	}
	check_range(true);
}

static void the_range_of_a_registration_is_enforced(void **state)
{
	check_range(false);
}

static void nothing_is_read_beyond_the_region(void **state)
{
	struct region *region = begin(true);
	struct link *link = rig_connect(&rig);
	struct lease_info lease =
		rig_granted(&rig, region, rig_owner_side(&rig, link), 0, SIZE, LONG_MS);

	check_refused(link, lease.remote_addr + SIZE - 32, lease.rkey, 64);
	end();
}

/* More leases than a device has room for, if any were left behind. */
static void check_many(bool windows, unsigned count)
{
	struct region *region = begin(windows);
	struct link *link = rig_connect(&rig);
	struct link *owner_side = rig_owner_side(&rig, link);
	struct lease_info lease = {0};

	for (unsigned i = 0; i < count; i++) {
		uint32_t rkey = lease.rkey;

		lease = rig_granted(&rig, region, owner_side, 0, 65536, LONG_MS);
		assert_true(lease.rkey != rkey);
		assert_true(region_revoke(region, lease.id));
		while (region_stats(region).leases)
			rig_turn(&rig, 1);
	}
	lease = rig_granted(&rig, region, owner_side, 0, SIZE, LONG_MS);
	check_works(link, &lease);
	end();
}

static void leases_come_and_go(void **state)
{
	check_many(true, 2000);
	check_many(false, 500);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_granted_key_reads_sealed_memory),
		cmocka_unit_test(a_guessed_key_ends_the_guessers_link_and_nothing_else),
		cmocka_unit_test(a_window_is_of_no_use_on_another_link),
		cmocka_unit_test(a_revoked_key_is_refused),
		cmocka_unit_test(a_lease_that_ends_while_reads_run_ends_them),
		cmocka_unit_test(a_key_ends_with_its_link),
		cmocka_unit_test(the_range_of_a_window_is_enforced),
		cmocka_unit_test(the_range_of_a_registration_is_enforced),
		cmocka_unit_test(nothing_is_read_beyond_the_region),
		cmocka_unit_test(leases_come_and_go),
	};
	const struct memory_options options = {
		.name = "test-region", .size = SIZE, .huge = true, .numa_node = -1};

	if (memory_init(&options, &memory))
		return 1;
	print_message("memory: huge %d %s\n", memory.huge, memory.note);
	for (size_t i = 0; i < memory.size; i++)
		memory.start[i] = (uint8_t)(i % 251);
	if (memory_seal(&memory))
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
