/* SPDX-License-Identifier: Apache-2.0 */
#include "base/defs.h"
#include "base/memory.h"
#include "rdma/region.h"
#include "tests/lib/fake_verbs.h"
#include "tests/lib/region_rig.h"
#include "tests/lib/test.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define MS   UINT64_C(1000000)
#define SIZE UINT64_C(65536)

static const struct fake_verbs_config with_windows = {.seed = 1, .devices = 1};
static const struct fake_verbs_config without_windows = {
	.seed = 1, .devices = 1, .no_windows = true};

static _Alignas(4096) uint8_t memory[SIZE];
static char error[DEVICE_ERROR_MAX];
static struct rig rig;

static struct region *begin(const struct fake_verbs_config *config)
{
	rig_open(&rig, fake_verbs_new(config), /* real= */ false);
	assert_int_equal(region_register(rig.owner.device, memory, SIZE, &rig.regions[0], error,
					 sizeof(error)),
			 0);
	return rig.regions[0];
}

/* The region ends as it should, whatever went before, and nothing is left of the world. */
static void end(void)
{
	struct region *region = rig.regions[0];

	region_end(region, rig.now_ns);
	rig_pass(&rig, REGION_GRACE_NS + 3 * REGION_ANSWER_NS);
	assert_int_equal(region_state(region), REGION_ENDED);
	assert_int_equal(region_stats(region).leases, 0);
	region_free(region);
	rig.regions[0] = NULL;
	fake_verbs_set_faults(&(struct fake_verbs_faults){0});
	rig_close(&rig);
	assert_int_equal(fake_verbs_live(), 0);
}

static int read_of(struct link *link, const struct lease_info *lease, uint64_t offset,
		   uint32_t size)
{
	return rig_read(&rig, link, lease->remote_addr + offset, lease->rkey, size);
}

static void check_a_granted_key(const struct fake_verbs_config *config)
{
	struct region *region = begin(config);
	struct link *link = rig_connect(&rig);
	struct lease_info lease =
		rig_granted(&rig, region, rig_owner_side(&rig, link), 4096, 8192, 1000);

	assert_int_equal(lease.size, 8192);
	assert_int_equal(lease.lease_ms, 1000);
	assert_true(lease.remote_addr == (uintptr_t)memory + 4096);
	assert_true(lease.expires_ns > rig.now_ns && lease.expires_ns <= rig.now_ns + 1000 * MS);
	assert_true(lease.id != 0);
	memset(rig.to, 0, 8192);
	assert_int_equal(read_of(link, &lease, 0, 8192), IBV_WC_SUCCESS);
	assert_memory_equal(rig.to, memory + 4096, 8192);
	assert_int_equal(region_stats(region).leases_granted, 1);
	assert_int_equal(region_stats(region).leases, 1);
	end();
}

static void a_granted_key_works(void **state)
{
	check_a_granted_key(&with_windows);
	check_a_granted_key(&without_windows);
}

static void check_the_range(const struct fake_verbs_config *config)
{
	static const struct {
		int64_t offset;
		uint32_t size;
	} beyond[] = {{-1, 1}, {-1, 2}, {8192, 1}, {8191, 2}, {0, 8193}, {-4096, 4096}};
	struct region *region = begin(config);

	for (size_t i = 0; i < ARRAY_COUNT(beyond); i++) {
		struct link *link = rig_connect(&rig);
		struct lease_info lease =
			rig_granted(&rig, region, rig_owner_side(&rig, link), 4096, 8192, 1000);

		assert_int_equal(read_of(link, &lease, 8191, 1), IBV_WC_SUCCESS);
		assert_int_equal(read_of(link, &lease, (uint64_t)beyond[i].offset, beyond[i].size),
				 IBV_WC_REM_ACCESS_ERR);
		rig_disconnect(&rig, link);
	}
	end();
}

static void a_key_is_good_for_its_range_alone(void **state)
{
	check_the_range(&with_windows);
	check_the_range(&without_windows);
}

static const struct verbs_ops *spied_ops;
static struct ibv_mr *spied;

static struct ibv_mr *spy(struct ibv_pd *pd, void *start, size_t size, int access)
{
	spied = spied_ops->reg_mr(pd, start, size, access);
	return spied;
}

static void the_memory_has_no_key_of_its_own(void **state)
{
	struct verbs_ops ops;
	struct link *link;

	spied_ops = fake_verbs_new(&with_windows);
	ops = *spied_ops;
	ops.reg_mr = spy;
	rig_open(&rig, &ops, /* real= */ false);
	assert_int_equal(region_register(rig.owner.device, memory, SIZE, &rig.regions[0], error,
					 sizeof(error)),
			 0);
	link = rig_connect(&rig);
	assert_ptr_equal(spied->addr, memory);
	assert_int_equal(rig_read(&rig, link, (uintptr_t)memory, spied->rkey, 8),
			 IBV_WC_REM_ACCESS_ERR);
	end();
}

static void a_window_is_of_no_use_on_another_link(void **state)
{
	struct region *region = begin(&with_windows);
	struct link *link = rig_connect(&rig), *thief = rig_connect(&rig);
	struct lease_info lease =
		rig_granted(&rig, region, rig_owner_side(&rig, link), 0, SIZE, 60000);

	assert_int_equal(read_of(thief, &lease, 0, 8), IBV_WC_REM_ACCESS_ERR);
	assert_int_equal(read_of(link, &lease, 0, 8), IBV_WC_SUCCESS);
	rig_turn(&rig, 20);
	assert_int_equal(link_state(thief), LINK_ENDED);
	assert_int_equal(link_state(link), LINK_READY);
	end();
}

static void check_expiry(const struct fake_verbs_config *config)
{
	struct region *region = begin(config);
	struct link *link = rig_connect(&rig), *other = rig_connect(&rig);
	struct lease_info lease =
		rig_granted(&rig, region, rig_owner_side(&rig, link), 0, SIZE, 100);
	struct lease_info longer =
		rig_granted(&rig, region, rig_owner_side(&rig, other), 0, SIZE, 5000);

	rig_pass(&rig, lease.expires_ns - rig.now_ns - 2 * MS);
	assert_int_equal(read_of(link, &lease, 0, 8), IBV_WC_SUCCESS);
	rig_pass(&rig, 10 * MS);
	assert_int_equal(region_stats(region).leases_expired, 1);
	assert_int_equal(region_stats(region).leases, 1);
	assert_int_equal(read_of(link, &lease, 0, 8), IBV_WC_REM_ACCESS_ERR);
	assert_int_equal(read_of(other, &longer, 0, 8), IBV_WC_SUCCESS);
	end();
}

static void a_key_ends_with_its_time(void **state)
{
	check_expiry(&with_windows);
	check_expiry(&without_windows);
}

static void check_revocation(const struct fake_verbs_config *config)
{
	struct region *region = begin(config);
	struct link *link = rig_connect(&rig);
	struct link *owner_side = rig_owner_side(&rig, link);
	struct lease_info first = rig_granted(&rig, region, owner_side, 0, SIZE, 5000);
	struct lease_info second = rig_granted(&rig, region, owner_side, 0, SIZE, 5000);

	assert_true(first.id != second.id && first.rkey != second.rkey);
	assert_true(region_revoke(region, first.id));
	rig_turn(&rig, 5);
	assert_false(region_revoke(region, first.id));
	assert_false(region_revoke(region, 0));
	assert_int_equal(region_stats(region).leases_revoked, 1);
	assert_int_equal(region_stats(region).leases, 1);
	assert_int_equal(read_of(link, &second, 0, 8), IBV_WC_SUCCESS);
	assert_int_equal(read_of(link, &first, 0, 8), IBV_WC_REM_ACCESS_ERR);
	end();
}

static void a_revoked_key_is_refused(void **state)
{
	check_revocation(&with_windows);
	check_revocation(&without_windows);
}

static void check_link_end(const struct fake_verbs_config *config)
{
	struct region *region = begin(config);
	struct link *link = rig_connect(&rig), *other = rig_connect(&rig);
	struct lease_info lease =
		rig_granted(&rig, region, rig_owner_side(&rig, link), 0, SIZE, 5000);

	rig_disconnect(&rig, link);
	assert_int_equal(rig.owner_ends, 1);
	assert_int_equal(region_stats(region).leases, 0);
	assert_int_equal(region_stats(region).leases_cut, 1);
	assert_int_equal(read_of(other, &lease, 0, 8), IBV_WC_REM_ACCESS_ERR);
	end();
}

static void a_key_ends_with_its_link(void **state)
{
	check_link_end(&with_windows);
	check_link_end(&without_windows);
}

static void check_end(const struct fake_verbs_config *config)
{
	struct region *region = begin(config);
	struct link *link = rig_connect(&rig);
	struct link *owner_side = rig_owner_side(&rig, link);
	struct lease_info lease = rig_granted(&rig, region, owner_side, 0, SIZE, 5000);
	struct rig_grant late;

	region_end(region, rig.now_ns);
	assert_int_equal(rig_grant(&rig, region, owner_side, 0, SIZE, 1000, &late),
			 REGION_E_ENDING);
	rig_turn(&rig, 5);
	assert_int_equal(region_stats(region).leases, 0);
	assert_int_equal(region_state(region), REGION_ENDING);
	assert_int_equal(read_of(link, &lease, 0, 8), IBV_WC_REM_ACCESS_ERR);
	rig_pass(&rig, REGION_GRACE_NS - 1000 * MS);
	assert_int_equal(region_state(region), REGION_ENDING);
	rig_pass(&rig, 1000 * MS);
	assert_int_equal(region_state(region), REGION_ENDED);
	/* Ending twice changes nothing. */
	region_end(region, rig.now_ns);
	assert_int_equal(region_state(region), REGION_ENDED);
	end();
}

static void the_memory_is_free_after_the_last_lease_and_the_grace(void **state)
{
	check_end(&with_windows);
	check_end(&without_windows);
}

static void ranges_beyond_the_region_are_not_granted(void **state)
{
	static const struct {
		uint64_t offset, size;
	} bad[] = {{0, 0},          {0, SIZE + 1},   {1, SIZE},    {SIZE, 1},
		   {UINT64_MAX, 1}, {1, UINT64_MAX}, {SIZE + 1, 0}};
	struct region *region = begin(&with_windows);
	struct link *owner_side = rig_owner_side(&rig, rig_connect(&rig));
	struct rig_grant grant;

	for (size_t i = 0; i < ARRAY_COUNT(bad); i++)
		assert_int_equal(rig_grant(&rig, region, owner_side, bad[i].offset, bad[i].size,
					   1000, &grant),
				 REGION_E_RANGE);
	assert_int_equal(region_stats(region).leases, 0);
	end();
}

static void times_are_kept_within_their_limits(void **state)
{
	struct region *region = begin(&with_windows);
	struct link *owner_side = rig_owner_side(&rig, rig_connect(&rig));

	assert_int_equal(rig_granted(&rig, region, owner_side, 0, 8, 0).lease_ms,
			 REGION_LEASE_MS_MIN);
	assert_int_equal(rig_granted(&rig, region, owner_side, 0, 8, UINT32_MAX).lease_ms,
			 REGION_LEASE_MS_MAX);
	end();
}

static void a_full_send_queue_or_a_poor_device_is_said_so(void **state)
{
	struct region *region = begin(&with_windows);
	struct link *owner_side = rig_owner_side(&rig, rig_connect(&rig));
	static struct rig_grant grants[REGION_LEASE_MAX];
	unsigned count = 0;
	int result;

	/* No turn in between: the requests stay in the queue. */
	do
		result = rig_grant(&rig, region, owner_side, 0, SIZE, 5000, &grants[count++]);
	while (result == 0 && count < REGION_LEASE_MAX);
	assert_int_equal(result, REGION_E_FULL);
	assert_int_equal(region_stats(region).leases, count - 1);
	rig_turn(&rig, 10);
	for (unsigned i = 0; i < count - 1; i++)
		assert_true(grants[i].done && grants[i].error == 0);
	/* Nor for want of windows. */
	fake_verbs_fail_at(1);
	assert_int_equal(rig_grant(&rig, region, owner_side, 0, SIZE, 5000, &grants[0]),
			 REGION_E_FULL);
	assert_int_equal(region_stats(region).leases, count - 1);
	end();
}

static void the_number_of_leases_is_limited(void **state)
{
	struct region *region = begin(&without_windows);
	struct link *owner_side = rig_owner_side(&rig, rig_connect(&rig));
	struct lease_info lease = {0};
	struct rig_grant grant;

	for (unsigned i = 0; i < REGION_LEASE_MAX; i++) {
		assert_int_equal(rig_grant(&rig, region, owner_side, 0, 64, 60000, &grant), 0);
		region_tick(region, rig.now_ns);
		assert_true(grant.done);
		assert_true(grant.lease.id > lease.id);
		lease = grant.lease;
	}
	assert_int_equal(rig_grant(&rig, region, owner_side, 0, 64, 60000, &grant), REGION_E_FULL);
	assert_true(region_revoke(region, lease.id));
	rig_granted(&rig, region, owner_side, 0, 64, 60000);
	end();
}

static void a_full_send_queue_does_not_keep_a_key_alive(void **state)
{
	struct region *region = begin(&with_windows);
	struct link *link = rig_connect(&rig);
	struct link *owner_side = rig_owner_side(&rig, link);
	struct lease_info lease = rig_granted(&rig, region, owner_side, 0, SIZE, 5000);
	static struct rig_grant grants[REGION_LEASE_MAX];
	unsigned count = 0;

	while (!rig_grant(&rig, region, owner_side, 0, SIZE, 5000, &grants[count]))
		count++;
	assert_true(region_revoke(region, lease.id));
	/* At once, without a turn. */
	assert_int_equal(region_stats(region).leases, count);
	assert_int_equal(read_of(link, &lease, 0, 8), IBV_WC_REM_ACCESS_ERR);
	end();
}

static void a_lease_that_is_revoked_before_it_works_is_not_granted(void **state)
{
	static const struct fake_verbs_config *const configs[] = {&with_windows, &without_windows};

	for (size_t i = 0; i < ARRAY_COUNT(configs); i++) {
		struct region *region = begin(configs[i]);
		struct link *link = rig_connect(&rig);
		struct rig_grant grant;

		assert_int_equal(
			rig_grant(&rig, region, rig_owner_side(&rig, link), 0, SIZE, 5000, &grant),
			0);
		region_end(region, rig.now_ns);
		rig_turn(&rig, 5);
		assert_true(grant.done);
		assert_int_equal(grant.error, -ECANCELED);
		assert_int_equal(region_stats(region).leases, 0);
		assert_int_equal(region_stats(region).leases_granted, 0);
		assert_int_equal(region_stats(region).leases_failed, 1);
		end();
	}
}

static void a_link_that_ends_before_the_key_works_gets_an_error(void **state)
{
	static const struct fake_verbs_config *const configs[] = {&with_windows, &without_windows};

	for (size_t i = 0; i < ARRAY_COUNT(configs); i++) {
		struct region *region = begin(configs[i]);
		struct link *owner_side = rig_owner_side(&rig, rig_connect(&rig));
		struct rig_grant grant;

		assert_int_equal(rig_grant(&rig, region, owner_side, 0, SIZE, 5000, &grant), 0);
		region_link_closed(region, owner_side);
		assert_true(grant.done);
		assert_int_equal(grant.error, -ENOTCONN);
		assert_int_equal(region_stats(region).leases_cut, 0);
		link_close(owner_side);
		rig_turn(&rig, 20);
		assert_int_equal(region_stats(region).leases, 0);
		end();
	}
}

static void a_link_that_is_not_ready_gets_nothing(void **state)
{
	struct region *region = begin(&with_windows);
	struct link *link = rig_connect(&rig);
	struct rig_grant grant;

	fake_verbs_set_faults(&(struct fake_verbs_faults){.error = 1000});
	(void)rig_read(&rig, link, 0, 0, 8);
	rig_turn(&rig, 5);
	assert_int_equal(link_state(link), LINK_ENDED);
	assert_int_equal(rig_grant(&rig, region, link, 0, SIZE, 5000, &grant), -ENOTCONN);
	end();
}

/* Binding, and taking back, with a device that fails: the key is gone, whoever waits is told. */
static void check_fault(const struct fake_verbs_faults *faults, bool bind, int expected)
{
	struct region *region = begin(&with_windows);
	struct link *link = rig_connect(&rig);
	struct link *owner_side = rig_owner_side(&rig, link), *again;
	struct lease_info lease = {0};
	struct rig_grant grant;

	if (!bind)
		lease = rig_granted(&rig, region, owner_side, 0, SIZE, 5000);
	fake_verbs_set_faults(faults);
	if (bind)
		assert_int_equal(rig_grant(&rig, region, owner_side, 0, SIZE, 5000, &grant), 0);
	else
		assert_true(region_revoke(region, lease.id));
	rig_pass(&rig, REGION_ANSWER_NS + 20 * MS);
	fake_verbs_set_faults(&(struct fake_verbs_faults){0});
	rig_turn(&rig, 20);
	if (bind) {
		assert_true(grant.done);
		assert_int_equal(grant.error, expected);
	}
	assert_int_equal(region_stats(region).leases, 0);
	assert_int_equal(rig.owner_ends, 1);
	/* The region goes on with other links. */
	again = rig_connect(&rig);
	if (!bind)
		assert_int_equal(read_of(again, &lease, 0, 8), IBV_WC_REM_ACCESS_ERR);
	rig_disconnect(&rig, again);
	again = rig_connect(&rig);
	lease = rig_granted(&rig, region, rig_owner_side(&rig, again), 0, SIZE, 5000);
	assert_int_equal(read_of(again, &lease, 0, 8), IBV_WC_SUCCESS);
	end();
}

static void a_window_that_cannot_be_bound_is_an_error(void **state)
{
	check_fault(&(struct fake_verbs_faults){.error = 1000, .status = IBV_WC_MW_BIND_ERR}, true,
		    -EIO);
}

static void a_bind_that_is_not_answered_breaks_the_link(void **state)
{
	check_fault(&(struct fake_verbs_faults){.drop = 1000}, true, -ETIMEDOUT);
}

static void a_window_that_cannot_be_taken_back_is_destroyed(void **state)
{
	check_fault(&(struct fake_verbs_faults){.error = 1000}, false, 0);
	check_fault(&(struct fake_verbs_faults){.drop = 1000}, false, 0);
}

static void completions_that_come_twice_or_late_do_no_harm(void **state)
{
	static const struct fake_verbs_faults faults[] = {
		{.duplicate = 1000},
		{.delay = 1000, .delay_polls = 30},
	};

	for (size_t i = 0; i < ARRAY_COUNT(faults); i++) {
		struct region *region = begin(&with_windows);
		struct link *link = rig_connect(&rig);
		struct link *owner_side = rig_owner_side(&rig, link);

		fake_verbs_set_faults(&faults[i]);
		for (unsigned round = 0; round < 20; round++) {
			struct lease_info lease =
				rig_granted(&rig, region, owner_side, 0, SIZE, 5000);

			assert_int_equal(read_of(link, &lease, 0, 8), IBV_WC_SUCCESS);
			assert_true(region_revoke(region, lease.id));
			rig_pass(&rig, 100 * MS);
			assert_int_equal(region_stats(region).leases, 0);
		}
		assert_int_equal(region_stats(region).links_broken, 0);
		assert_int_equal(link_state(link), LINK_READY);
		end();
	}
}

static void the_program_may_end_with_leases_out(void **state)
{
	struct region *region = begin(&with_windows);
	struct link *owner_side = rig_owner_side(&rig, rig_connect(&rig));

	rig_granted(&rig, region, owner_side, 0, SIZE, 5000);
	region_link_closed(region, owner_side);
	link_close(owner_side);
	region_free(region);
	rig.regions[0] = NULL;
	rig_close(&rig);
	assert_int_equal(fake_verbs_live(), 0);
	region_free(NULL);
}

static void what_fails_at_registration_leaves_nothing_behind(void **state)
{
	const struct fake_verbs_config *const configs[] = {&with_windows, &without_windows};

	for (size_t i = 0; i < ARRAY_COUNT(configs); i++) {
		struct region *region;
		unsigned live;

		rig_open(&rig, fake_verbs_new(configs[i]), /* real= */ false);
		live = fake_verbs_live();
		fake_verbs_fail_at(1);
		assert_true(region_register(rig.owner.device, memory, SIZE, &region, error,
					    sizeof(error)) < 0);
		assert_true(error[0] != '\0');
		assert_int_equal(fake_verbs_live(), live);
		rig_close(&rig);
	}
}

static void sealed_memory_can_be_registered(void **state)
{
	const struct memory_options options = {.name = "test", .size = SIZE, .numa_node = -1};
	struct memory sealed;
	struct link *link;
	struct lease_info lease;

	assert_int_equal(memory_init(&options, &sealed), 0);
	memset(sealed.start, 7, SIZE);
	assert_int_equal(memory_seal(&sealed), 0);
	begin(&with_windows);
	assert_int_equal(region_register_without_windows(rig.owner.device, sealed.start, SIZE,
							 &rig.regions[1], error, sizeof(error)),
			 0);
	link = rig_connect(&rig);
	lease = rig_granted(&rig, rig.regions[1], rig_owner_side(&rig, link), 0, SIZE, 1000);
	assert_int_equal(read_of(link, &lease, 0, SIZE), IBV_WC_SUCCESS);
	assert_int_equal(rig.to[SIZE - 1], 7);
	region_end(rig.regions[1], rig.now_ns);
	rig_pass(&rig, REGION_GRACE_NS + 10 * MS);
	assert_int_equal(region_state(rig.regions[1]), REGION_ENDED);
	memory_deinit(&sealed);
	region_free(rig.regions[1]);
	rig.regions[1] = NULL;
	end();
}

static int rights;

static struct ibv_mr *watch_reg(struct ibv_pd *pd, void *start, size_t size, int access)
{
	if ((uint8_t *)start >= memory && (uint8_t *)start < memory + SIZE)
		rights |= access;
	return spied_ops->reg_mr(pd, start, size, access);
}

static int watch_post(struct ibv_qp *qp, struct ibv_send_wr *wr, struct ibv_send_wr **bad)
{
	for (const struct ibv_send_wr *each = wr; each; each = each->next)
		if (each->opcode == IBV_WR_BIND_MW)
			rights |= (int)each->bind_mw.bind_info.mw_access_flags;
	return spied_ops->post_send(qp, wr, bad);
}

static void no_key_gives_the_right_to_write(void **state)
{
	static const struct fake_verbs_config *const configs[] = {&with_windows, &without_windows};

	for (size_t i = 0; i < ARRAY_COUNT(configs); i++) {
		struct verbs_ops ops;

		spied_ops = fake_verbs_new(configs[i]);
		ops = *spied_ops;
		ops.reg_mr = watch_reg;
		ops.post_send = watch_post;
		rights = 0;
		rig_open(&rig, &ops, /* real= */ false);
		assert_int_equal(region_register(rig.owner.device, memory, SIZE, &rig.regions[0],
						 error, sizeof(error)),
				 0);
		rig_granted(&rig, rig.regions[0], rig_owner_side(&rig, rig_connect(&rig)), 0, SIZE,
			    1000);
		assert_true(rights & IBV_ACCESS_REMOTE_READ);
		assert_int_equal(rights & ~(IBV_ACCESS_REMOTE_READ | IBV_ACCESS_MW_BIND), 0);
		end();
	}
}

static void a_lease_is_over_at_its_very_end(void **state)
{
	struct region *region = begin(&with_windows);
	struct lease_info lease =
		rig_granted(&rig, region, rig_owner_side(&rig, rig_connect(&rig)), 0, SIZE, 5000);

	region_tick(region, lease.expires_ns - 1);
	assert_int_equal(region_stats(region).leases_expired, 0);
	assert_true(region_due_ns(region) == lease.expires_ns);
	region_tick(region, lease.expires_ns);
	assert_int_equal(region_stats(region).leases_expired, 1);
	rig.now_ns = lease.expires_ns;
	end();
}

static void a_lease_that_is_revoked_twice_counts_once(void **state)
{
	struct region *region = begin(&with_windows);
	struct link *owner_side = rig_owner_side(&rig, rig_connect(&rig));
	struct lease_info lease = rig_granted(&rig, region, owner_side, 0, SIZE, 5000);
	struct rig_grant grant;

	/* Numbers go up: the next one is known before its key works. */
	assert_int_equal(rig_grant(&rig, region, owner_side, 0, SIZE, 5000, &grant), 0);
	assert_true(region_revoke(region, lease.id + 1));
	(void)region_revoke(region, lease.id + 1);
	assert_int_equal(region_stats(region).leases_revoked, 1);
	rig_turn(&rig, 5);
	assert_true(grant.done);
	assert_int_equal(grant.error, -ECANCELED);
	assert_int_equal(region_stats(region).leases, 1);
	end();
}

static void a_bind_that_is_flushed_says_that_the_link_has_ended(void **state)
{
	check_fault(&(struct fake_verbs_faults){.error = 1000, .status = IBV_WC_WR_FLUSH_ERR}, true,
		    -ENOTCONN);
}

static void a_clock_that_goes_back_does_not_spare_the_grace(void **state)
{
	struct region *region = begin(&with_windows);

	region_end(region, rig.now_ns);
	region_tick(region, rig.now_ns);
	region_tick(region, rig.now_ns - 1);
	assert_int_equal(region_state(region), REGION_ENDING);
	end();
}

static bool is_writable(uint8_t *at)
{
	int ends[2];
	ssize_t got;

	assert_int_equal(pipe(ends), 0);
	assert_int_equal(write(ends[1], at, 1), 1);
	got = read(ends[0], at, 1);
	close(ends[0]);
	close(ends[1]);
	return got == 1;
}

/* A kernel that pins for writing alone. */
static struct ibv_mr *picky_reg(struct ibv_pd *pd, void *start, size_t size, int access)
{
	if (is_writable(start))
		return spied_ops->reg_mr(pd, start, size, access);
	errno = EFAULT;
	return NULL;
}

static void memory_that_was_made_writable_to_be_pinned_is_read_only_again(void **state)
{
	const struct memory_options options = {.name = "test", .size = SIZE, .numa_node = -1};
	struct memory sealed;
	struct verbs_ops ops;

	assert_int_equal(memory_init(&options, &sealed), 0);
	memset(sealed.start, 7, SIZE);
	assert_true(is_writable(sealed.start));
	assert_int_equal(memory_seal(&sealed), 0);
	assert_false(is_writable(sealed.start));
	spied_ops = fake_verbs_new(&without_windows);
	ops = *spied_ops;
	ops.reg_mr = picky_reg;
	rig_open(&rig, &ops, /* real= */ false);
	assert_int_equal(region_register(rig.owner.device, sealed.start, SIZE, &rig.regions[0],
					 error, sizeof(error)),
			 0);
	assert_false(is_writable(sealed.start));
	rig_granted(&rig, rig.regions[0], rig_owner_side(&rig, rig_connect(&rig)), 0, SIZE, 1000);
	assert_false(is_writable(sealed.start));
	end();
	memory_deinit(&sealed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_granted_key_works),
		cmocka_unit_test(a_key_is_good_for_its_range_alone),
		cmocka_unit_test(the_memory_has_no_key_of_its_own),
		cmocka_unit_test(a_window_is_of_no_use_on_another_link),
		cmocka_unit_test(a_key_ends_with_its_time),
		cmocka_unit_test(a_revoked_key_is_refused),
		cmocka_unit_test(a_key_ends_with_its_link),
		cmocka_unit_test(the_memory_is_free_after_the_last_lease_and_the_grace),
		cmocka_unit_test(ranges_beyond_the_region_are_not_granted),
		cmocka_unit_test(times_are_kept_within_their_limits),
		cmocka_unit_test(a_full_send_queue_or_a_poor_device_is_said_so),
		cmocka_unit_test(the_number_of_leases_is_limited),
		cmocka_unit_test(a_full_send_queue_does_not_keep_a_key_alive),
		cmocka_unit_test(a_lease_that_is_revoked_before_it_works_is_not_granted),
		cmocka_unit_test(a_link_that_ends_before_the_key_works_gets_an_error),
		cmocka_unit_test(a_link_that_is_not_ready_gets_nothing),
		cmocka_unit_test(a_window_that_cannot_be_bound_is_an_error),
		cmocka_unit_test(a_bind_that_is_not_answered_breaks_the_link),
		cmocka_unit_test(a_window_that_cannot_be_taken_back_is_destroyed),
		cmocka_unit_test(completions_that_come_twice_or_late_do_no_harm),
		cmocka_unit_test(the_program_may_end_with_leases_out),
		cmocka_unit_test(what_fails_at_registration_leaves_nothing_behind),
		cmocka_unit_test(sealed_memory_can_be_registered),
		cmocka_unit_test(no_key_gives_the_right_to_write),
		cmocka_unit_test(a_lease_is_over_at_its_very_end),
		cmocka_unit_test(a_lease_that_is_revoked_twice_counts_once),
		cmocka_unit_test(a_bind_that_is_flushed_says_that_the_link_has_ended),
		cmocka_unit_test(a_clock_that_goes_back_does_not_spare_the_grace),
		cmocka_unit_test(memory_that_was_made_writable_to_be_pinned_is_read_only_again),
	};

	for (size_t i = 0; i < SIZE; i++)
		memory[i] = (uint8_t)(i % 251);
	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
