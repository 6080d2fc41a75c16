/* SPDX-License-Identifier: Apache-2.0 */
#include "base/addr.h"
#include "base/defs.h"
#include "base/rand.h"
#include "rdma/fetch_verbs.h"
#include "tests/lib/fake_verbs.h"
#include "tests/lib/test.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

#define STEP_NS     UINT64_C(1000000)
#define REGION_SIZE 65536
#define MEMORY_SIZE 65536
#define DEPTH       512

static char error[DEVICE_ERROR_MAX];
static uint8_t region[REGION_SIZE];
static uint8_t memory[MEMORY_SIZE];
static uint64_t now_ns;

/* The provider, with a post_send() that fails when a test says so. */
static struct verbs_ops ops;
static const struct verbs_ops *fake;
static unsigned post_takes; /* requests that the next post takes before it fails; UINT_MAX: all */
static unsigned posts;

static int failing_post(struct ibv_qp *qp, struct ibv_send_wr *wr, struct ibv_send_wr **bad)
{
	struct ibv_send_wr *cut = wr, *rest;
	int failed;

	posts++;
	if (post_takes == UINT_MAX)
		return fake->post_send(qp, wr, bad);
	if (post_takes == 0) {
		*bad = wr;
		return ENOMEM;
	}
	for (unsigned i = 1; i < post_takes; i++)
		cut = cut->next;
	rest = cut->next;
	cut->next = NULL;
	failed = fake->post_send(qp, wr, bad);
	cut->next = rest;
	assert_int_equal(failed, 0);
	*bad = rest;
	return ENOMEM;
}

/* An owner of a region, and a reader of it, on one device. */
static struct device *device;
static struct link_hub *owner, *reader;
static struct link *owner_link, *link;
static struct ibv_mr *region_mr;

static void owner_changed(void *context, struct link *changed)
{
	owner_link = changed;
}

static void reader_changed(void *context, struct link *changed)
{
}

static void turn(void)
{
	now_ns += STEP_NS;
	(void)link_hub_turn(owner, now_ns);
	(void)link_hub_turn(reader, now_ns);
}

static void register_region(void)
{
	region_mr = ops.reg_mr(device_pd(device), region, sizeof(region), IBV_ACCESS_REMOTE_READ);
	assert_non_null(region_mr);
}

static void begin(uint64_t seed)
{
	const struct fake_verbs_config world = {.seed = seed, .devices = 1};
	struct link_hub_config config = {.node = 7,
					 .link_max = 4,
					 .send_depth = DEPTH,
					 .seed = seed,
					 .changed = owner_changed};
	const struct device_options options = {.gid_index = -1};
	struct link_options way = {.deadline_ns = UINT64_MAX};

	fake = fake_verbs_new(&world);
	ops = *fake;
	ops.post_send = failing_post;
	post_takes = UINT_MAX;
	for (unsigned i = 0; i < sizeof(region); i++)
		region[i] = (uint8_t)(i * 13 + i / 256);
	memset(memory, 0, sizeof(memory));
	assert_int_equal(device_open(&ops, &options, &device, error, sizeof(error)), 0);
	assert_int_equal(link_hub_new(device, &config, &owner, error, sizeof(error)), 0);
	config.node = 3;
	config.changed = reader_changed;
	assert_int_equal(link_hub_new(device, &config, &reader, error, sizeof(error)), 0);
	assert_int_equal(addr_parse("10.77.0.1:0", 0, &way.to), 0);
	assert_int_equal(link_listen(owner, &way.to, &way.to, error, sizeof(error)), 0);
	assert_int_equal(link_connect(reader, &way, now_ns, &link, error, sizeof(error)), 0);
	for (unsigned i = 0; i < 20; i++)
		turn();
	assert_int_equal(link_state(link), LINK_READY);
	register_region();
	posts = 0;
}

static void close_link(struct fetch *fetch)
{
	link_close(link);
	link = NULL;
	fetch_verbs_link_closed(fetch);
}

/* Everything that was made is gone. */
static void finish(void)
{
	fake_verbs_set_faults(&(struct fake_verbs_faults){0});
	link_close(link);
	if (region_mr)
		assert_int_equal(ops.dereg_mr(region_mr), 0);
	link_hub_free(reader);
	link_hub_free(owner);
	device_close(device);
	assert_int_equal(fake_verbs_live(), 0);
}

static struct fetch_verbs_options options_of(void)
{
	return (struct fetch_verbs_options){
		.link = link,
		.remote_addr = (uintptr_t)region,
		.size = sizeof(region),
		.rkey = region_mr->rkey,
		.depth = FETCH_VERBS_DEPTH_MIN,
		.memory = memory,
		.memory_size = sizeof(memory),
	};
}

static struct fetch *open_fetch(void)
{
	const struct fetch_verbs_options options = options_of();
	struct fetch *fetch;

	assert_int_equal(fetch_verbs_open(&options, &fetch), 0);
	assert_string_equal(fetch->kind, "verbs");
	return fetch;
}

/* Turns until a batch is handed out. */
static struct fetch_done wait_for(struct fetch *fetch)
{
	struct fetch_done done;

	for (unsigned i = 0; i < 1000; i++) {
		turn();
		if (fetch_poll(fetch, now_ns, &done, 1))
			return done;
	}
	fail_msg("no batch came");
	return done;
}

static void wait_for_each(struct fetch *fetch, uint64_t first, uint64_t count, int failed)
{
	for (uint64_t i = 0; i < count; i++) {
		struct fetch_done done = wait_for(fetch);

		assert_int_equal(done.cookie, first + i);
		assert_int_equal(done.error, failed);
	}
}

/* Piece i of a batch brings 'size' bytes from another place to its own. */
static int post_pieces(struct fetch *fetch, unsigned count, uint32_t size, uint64_t cookie)
{
	struct fetch_piece pieces[FETCH_PIECE_MAX];

	for (unsigned i = 0; i < count; i++)
		pieces[i] = (struct fetch_piece){(i * 37) % (REGION_SIZE - size), size,
						 memory + i * size};
	return fetch_post(fetch, pieces, count, cookie);
}

static void check_pieces(unsigned count, uint32_t size)
{
	for (unsigned i = 0; i < count; i++)
		assert_memory_equal(memory + i * size, region + (i * 37) % (REGION_SIZE - size),
				    size);
}

static void a_batch_is_one_doorbell_and_brings_all_pieces(void **state)
{
	static const unsigned counts[] = {1, 2, 17, FETCH_PIECE_MAX};
	struct fetch *fetch;

	begin(1);
	fetch = open_fetch();
	for (unsigned i = 0; i < ARRAY_COUNT(counts); i++) {
		memset(memory, 0, sizeof(memory));
		assert_int_equal(post_pieces(fetch, counts[i], 100, i), 0);
		assert_int_equal(posts, i + 1);
		wait_for_each(fetch, i, 1, 0);
		check_pieces(counts[i], 100);
		assert_int_equal(memory[counts[i] * 100], 0);
	}
	assert_int_equal(fetch->stats.batches, ARRAY_COUNT(counts));
	assert_int_equal(fetch->stats.reads, 1 + 2 + 17 + FETCH_PIECE_MAX);
	assert_int_equal(fetch->stats.bytes, 100 * fetch->stats.reads);
	fetch_close(fetch);
	finish();
}

static void ends_of_region_and_memory_are_reached_and_not_passed(void **state)
{
	const struct fetch_piece good[] = {{REGION_SIZE - 1, 1, memory + MEMORY_SIZE - 1},
					   {0, REGION_SIZE - 8, memory}};
	const struct fetch_piece bad[] = {
		{REGION_SIZE, 1, memory}, {1, REGION_SIZE, memory},         {UINT64_MAX, 1, memory},
		{0, 0, memory},           {0, 2, memory + MEMORY_SIZE - 1}, {0, 1, region}};
	struct fetch *fetch;

	begin(1);
	fetch = open_fetch();
	assert_int_equal(fetch_post(fetch, good, 2, 1), 0);
	wait_for_each(fetch, 1, 1, 0);
	assert_int_equal(memory[MEMORY_SIZE - 1], region[REGION_SIZE - 1]);
	assert_memory_equal(memory, region, REGION_SIZE - 8);
	for (unsigned i = 0; i < ARRAY_COUNT(bad); i++)
		assert_int_equal(fetch_post(fetch, &bad[i], 1, 1), -EINVAL);
	assert_int_equal(fetch->under_way, 0);
	fetch_close(fetch);
	finish();
}

static void a_full_send_queue_is_busy_until_a_batch_completes(void **state)
{
	struct fetch *fetch;

	begin(1);
	fetch = open_fetch();
	assert_int_equal(post_pieces(fetch, FETCH_VERBS_DEPTH_MIN - 3, 8, 1), 0);
	assert_int_equal(post_pieces(fetch, 4, 8, 2), FETCH_E_BUSY);
	assert_int_equal(post_pieces(fetch, 3, 8, 2), 0);
	assert_int_equal(post_pieces(fetch, 1, 8, 3), FETCH_E_BUSY);
	wait_for_each(fetch, 1, 2, 0);
	assert_int_equal(post_pieces(fetch, FETCH_PIECE_MAX, 8, 3), 0);
	wait_for_each(fetch, 3, 1, 0);
	/* There is no more room than at first. */
	assert_int_equal(post_pieces(fetch, FETCH_VERBS_DEPTH_MIN, 8, 4), 0);
	assert_int_equal(post_pieces(fetch, 1, 8, 5), FETCH_E_BUSY);
	wait_for_each(fetch, 4, 1, 0);
	fetch_close(fetch);
	finish();
}

static void batches_that_are_not_taken_make_it_busy(void **state)
{
	struct fetch *fetch;

	begin(1);
	fetch = open_fetch();
	for (unsigned i = 0; i < FETCH_BATCH_MAX; i++) {
		assert_int_equal(post_pieces(fetch, 1, 8, i), 0);
		if (i % 16 == 15)
			for (unsigned j = 0; j < 10; j++)
				turn();
	}
	assert_int_equal(post_pieces(fetch, 1, 8, 0), FETCH_E_BUSY);
	wait_for_each(fetch, 0, FETCH_BATCH_MAX, 0);
	fetch_close(fetch);
	finish();
}

/*
 * Random batches on a device that delays and tells twice. Each batch fills a part of the memory
 * of its own, which is looked at when it is handed out.
 */
static void run_random(uint64_t seed)
{
	enum { SLOTS = 32, SLOT_SIZE = MEMORY_SIZE / SLOTS, ROUNDS = 2000 };
	const struct fake_verbs_faults faults = {.delay = 100, .duplicate = 100, .delay_polls = 5};
	struct slot {
		struct fetch_piece pieces[8];
		unsigned count;
	} slots[SLOTS] = {0};
	struct rand rand;
	struct fetch *fetch;
	uint64_t posted = 0, told = 0;

	begin(seed);
	rand_init(&rand, seed);
	fake_verbs_set_faults(&faults);
	fetch = open_fetch();
	for (unsigned round = 0; round < ROUNDS || told < posted; round++) {
		struct slot *slot = &slots[posted % SLOTS];
		struct fetch_done done[4];
		unsigned count;

		assert_true(round < 100 * ROUNDS);
		if (round < ROUNDS && posted - told < SLOTS && rand_below(&rand, 2)) {
			uint8_t *to = memory + posted % SLOTS * SLOT_SIZE;

			slot->count = 1 + (unsigned)rand_below(&rand, 8);
			for (unsigned i = 0; i < slot->count; i++) {
				uint32_t size = 1 + (uint32_t)rand_below(&rand, SLOT_SIZE / 8);

				slot->pieces[i] = (struct fetch_piece){
					rand_below(&rand, REGION_SIZE - size + 1), size, to};
				to += size;
			}
			if (!fetch_post(fetch, slot->pieces, slot->count, posted))
				posted++;
		}
		if (rand_below(&rand, 2))
			turn();
		count = fetch_poll(fetch, now_ns, done, 4);
		for (unsigned i = 0; i < count; i++) {
			slot = &slots[told % SLOTS];
			assert_int_equal(done[i].cookie, told++);
			assert_int_equal(done[i].error, 0);
			for (unsigned j = 0; j < slot->count; j++) {
				assert_memory_equal(slot->pieces[j].to,
						    region + slot->pieces[j].offset,
						    slot->pieces[j].size);
				memset(slot->pieces[j].to, 0, slot->pieces[j].size);
			}
		}
	}
	assert_true(posted > ROUNDS / 4);
	fetch_close(fetch);
	finish();
}

static void random_batches_come_once_and_whole(void **state)
{
	for (uint64_t seed = 1; seed <= 20; seed++) {
		print_message("seed %lu\n", (unsigned long)seed);
		run_random(seed);
	}
}

/* What isn't told of isn't known to have come, though later batches have. */
static void a_completion_that_never_comes_ends_the_fetch(void **state)
{
	struct fetch_done done;
	struct fetch *fetch;

	begin(1);
	fetch = open_fetch();
	assert_int_equal(post_pieces(fetch, 2, 8, 1), 0);
	wait_for_each(fetch, 1, 1, 0);
	fake_verbs_set_faults(&(struct fake_verbs_faults){.drop = 1000});
	assert_int_equal(post_pieces(fetch, 2, 8, 2), 0);
	for (unsigned i = 0; i < 20; i++)
		turn();
	assert_int_equal(fetch_poll(fetch, now_ns, &done, 1), 0);
	fake_verbs_set_faults(&(struct fake_verbs_faults){0});
	assert_int_equal(post_pieces(fetch, 2, 8, 3), 0);
	for (unsigned i = 0; i < 20; i++)
		turn();
	assert_int_equal(fetch->error, -EIO);
	assert_int_equal(post_pieces(fetch, 2, 8, 4), -EIO);
	assert_int_equal(link_state(link), LINK_ENDED);
	close_link(fetch);
	wait_for_each(fetch, 2, 2, -EIO);
	assert_int_equal(fetch->under_way, 0);
	assert_int_equal(fetch->stats.failures, 2);
	fetch_close(fetch);
	finish();
}

static void every_error_has_its_errno_and_ends_all(void **state)
{
	static const struct {
		enum ibv_wc_status status;
		int error;
	} cases[] = {
		{IBV_WC_REM_ACCESS_ERR, -EACCES}, {IBV_WC_RETRY_EXC_ERR, -ENOTCONN},
		{IBV_WC_REM_OP_ERR, -EIO},        {IBV_WC_LOC_PROT_ERR, -EIO},
		{IBV_WC_REM_INV_REQ_ERR, -EIO},   {IBV_WC_RNR_RETRY_EXC_ERR, -ENOTCONN},
	};

	for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
		struct fetch *fetch;

		begin(i + 1);
		fetch = open_fetch();
		fake_verbs_set_faults(
			&(struct fake_verbs_faults){.error = 1000, .status = cases[i].status});
		for (uint64_t j = 0; j < 4; j++)
			assert_int_equal(post_pieces(fetch, 3, 8, j), 0);
		wait_for_each(fetch, 0, 4, cases[i].error);
		assert_int_equal(post_pieces(fetch, 1, 8, 4), cases[i].error);
		assert_int_equal(fetch->stats.failures, 4);
		fetch_close(fetch);
		finish();
	}
}

/* One request in a hundred fails: what was told to be whole is whole. */
static void random_errors_leave_good_batches_good(void **state)
{
	for (uint64_t seed = 1; seed <= 30; seed++) {
		uint64_t posted = 0, told = 0;
		bool failed = false;
		struct fetch *fetch;

		print_message("seed %lu\n", (unsigned long)seed);
		begin(seed);
		fetch = open_fetch();
		fake_verbs_set_faults(
			&(struct fake_verbs_faults){.error = 10, .delay = 200, .delay_polls = 3});
		while (!failed && posted < 10000) {
			struct fetch_done done;

			memset(memory, 0, sizeof(memory));
			if (!post_pieces(fetch, 5, 64, posted))
				posted++;
			turn();
			while (fetch_poll(fetch, now_ns, &done, 1)) {
				assert_int_equal(done.cookie, told++);
				failed |= done.error != 0;
				if (!failed && told == posted)
					check_pieces(5, 64);
				assert_true(!failed || done.error == -ENOTCONN);
			}
		}
		assert_true(failed);
		wait_for_each(fetch, told, posted - told, -ENOTCONN);
		fetch_close(fetch);
		finish();
	}
}

static void a_wrong_key_is_refused_and_ends_the_links_other_fetches(void **state)
{
	struct fetch_verbs_options options;
	struct fetch *good, *bad;

	begin(1);
	good = open_fetch();
	options = options_of();
	options.rkey ^= 0x5555;
	assert_int_equal(fetch_verbs_open(&options, &bad), 0);
	assert_int_equal(post_pieces(bad, 2, 8, 1), 0);
	assert_int_equal(post_pieces(good, 2, 8, 2), 0);
	wait_for_each(bad, 1, 1, -EACCES);
	wait_for_each(good, 2, 1, -ENOTCONN);
	assert_int_equal(post_pieces(bad, 1, 8, 1), -EACCES);
	assert_int_equal(post_pieces(good, 1, 8, 1), -ENOTCONN);
	assert_int_equal(memory[0], 0);
	fetch_close(good);
	fetch_close(bad);
	finish();
}

static void a_key_that_is_taken_back_before_the_read_is_refused(void **state)
{
	struct fetch *fetch;

	begin(1);
	fetch = open_fetch();
	assert_int_equal(post_pieces(fetch, 2, 8, 1), 0);
	wait_for_each(fetch, 1, 1, 0);
	assert_int_equal(post_pieces(fetch, 2, 8, 2), 0);
	assert_int_equal(ops.dereg_mr(region_mr), 0);
	region_mr = NULL;
	wait_for_each(fetch, 2, 1, -EACCES);
	fetch_close(fetch);
	finish();
}

static void what_completes_after_the_lease_is_not_used(void **state)
{
	struct fetch_verbs_options options;
	struct fetch_done done;
	struct fetch *fetch;

	begin(1);
	options = options_of();
	options.expires_ns = now_ns + 1000 * STEP_NS;
	assert_int_equal(fetch_verbs_open(&options, &fetch), 0);
	assert_int_equal(post_pieces(fetch, 2, 8, 1), 0);
	assert_int_equal(post_pieces(fetch, 2, 8, 2), 0);
	for (unsigned i = 0; i < 20; i++)
		turn();
	assert_int_equal(fetch_poll(fetch, options.expires_ns - 1, &done, 1), 1);
	assert_int_equal(done.error, 0);
	/* It came in time, but its reader didn't wake up in time. */
	assert_int_equal(fetch_poll(fetch, options.expires_ns, &done, 1), 1);
	assert_int_equal(done.cookie, 2);
	assert_int_equal(done.error, -ETIMEDOUT);
	assert_int_equal(post_pieces(fetch, 2, 8, 3), -ETIMEDOUT);
	fetch_close(fetch);
	finish();
}

static void a_link_that_is_closed_hands_out_what_was_under_way(void **state)
{
	struct fetch *fetch;

	begin(1);
	fetch = open_fetch();
	fake_verbs_cut(true);
	for (uint64_t i = 0; i < 5; i++)
		assert_int_equal(post_pieces(fetch, 2, 8, i), 0);
	for (unsigned i = 0; i < 20; i++)
		turn();
	close_link(fetch);
	fake_verbs_cut(false);
	wait_for_each(fetch, 0, 5, -ENOTCONN);
	assert_int_equal(post_pieces(fetch, 2, 8, 9), -ENOTCONN);
	fetch_close(fetch);
	finish();
}

static void an_owner_that_goes_ends_the_fetch(void **state)
{
	struct fetch *fetch;
	struct fetch_done done;

	begin(1);
	fetch = open_fetch();
	assert_int_equal(post_pieces(fetch, 2, 8, 1), 0);
	link_close(owner_link);
	done = wait_for(fetch);
	assert_int_equal(done.cookie, 1);
	assert_true(done.error < 0);
	for (unsigned i = 0; i < 20; i++)
		turn();
	assert_int_equal(link_state(link), LINK_ENDED);
	assert_true(post_pieces(fetch, 2, 8, 2) < 0);
	fetch_close(fetch);
	finish();
}

static void a_post_that_the_device_refuses_ends_the_fetch(void **state)
{
	struct fetch *fetch;

	begin(1);
	fetch = open_fetch();
	assert_int_equal(post_pieces(fetch, 2, 8, 1), 0);
	post_takes = 0;
	assert_int_equal(post_pieces(fetch, 5, 8, 2), -ENOMEM);
	post_takes = UINT_MAX;
	assert_int_equal(post_pieces(fetch, 5, 8, 3), -ENOMEM);
	wait_for_each(fetch, 1, 1, 0);
	assert_int_equal(fetch->under_way, 0);
	fetch_close(fetch);
	finish();
}

/* Its first requests are with the device, which won't say when they are done. */
static void a_post_that_is_taken_in_part_is_under_way_until_the_link_is_closed(void **state)
{
	struct fetch_done done;
	struct fetch *fetch;

	begin(1);
	fetch = open_fetch();
	post_takes = 2;
	assert_int_equal(post_pieces(fetch, 5, 8, 2), 0);
	post_takes = UINT_MAX;
	assert_int_equal(fetch->error, -ENOMEM);
	for (unsigned i = 0; i < 20; i++)
		turn();
	assert_int_equal(fetch_poll(fetch, now_ns, &done, 1), 0);
	assert_int_equal(fetch->under_way, 1);
	assert_int_equal(link_state(link), LINK_ENDED);
	close_link(fetch);
	assert_int_equal(fetch_poll(fetch, now_ns, &done, 1), 1);
	assert_true(done.error < 0);
	fetch_close(fetch);
	finish();
}

static void fetches_share_a_registration_and_a_link(void **state)
{
	struct fetch_verbs_options options;
	struct fetch *fetches[2];
	struct ibv_mr *mr;

	begin(1);
	mr = ops.reg_mr(device_pd(device), memory, sizeof(memory), IBV_ACCESS_LOCAL_WRITE);
	options = options_of();
	options.mr = mr;
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(fetch_verbs_open(&options, &fetches[i]), 0);
	assert_int_equal(post_pieces(fetches[0], FETCH_PIECE_MAX, 8, 10), 0);
	assert_int_equal(post_pieces(fetches[1], FETCH_PIECE_MAX, 8, 11), 0);
	wait_for_each(fetches[1], 11, 1, 0);
	wait_for_each(fetches[0], 10, 1, 0);
	for (unsigned i = 0; i < 2; i++)
		fetch_close(fetches[i]);
	assert_int_equal(ops.dereg_mr(mr), 0);
	finish();
}

static void what_cannot_be_fetched_is_refused_at_once(void **state)
{
	struct fetch_verbs_options options;
	struct fetch *fetch = NULL;
	struct ibv_mr *mr;

	begin(1);
	options = options_of();
	options.depth = FETCH_VERBS_DEPTH_MIN - 1;
	assert_int_equal(fetch_verbs_open(&options, &fetch), -EINVAL);
	options = options_of();
	options.size = 0;
	assert_int_equal(fetch_verbs_open(&options, &fetch), -EINVAL);
	options = options_of();
	options.remote_addr = UINT64_MAX - 10;
	assert_int_equal(fetch_verbs_open(&options, &fetch), -EINVAL);
	mr = ops.reg_mr(device_pd(device), memory + 1, sizeof(memory) - 2, IBV_ACCESS_LOCAL_WRITE);
	options = options_of();
	options.mr = mr;
	assert_int_equal(fetch_verbs_open(&options, &fetch), -EINVAL);
	options.memory = memory + 1;
	assert_int_equal(fetch_verbs_open(&options, &fetch), -EINVAL);
	options.memory = memory + 2;
	options.memory_size = sizeof(memory) - 2; /* ends behind it, and is as large */
	assert_int_equal(fetch_verbs_open(&options, &fetch), -EINVAL);
	options.memory = memory + 1;
	assert_int_equal(fetch_verbs_open(&options, &fetch), 0);
	fetch_close(fetch);
	assert_int_equal(ops.dereg_mr(mr), 0);
	fetch = NULL;
	options = options_of();
	fake_verbs_fail_at(1);
	assert_true(fetch_verbs_open(&options, &fetch) < 0);
	link_close(owner_link);
	for (unsigned i = 0; i < 20; i++)
		turn();
	assert_int_equal(fetch_verbs_open(&options, &fetch), -ENOTCONN);
	assert_null(fetch);
	finish();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_batch_is_one_doorbell_and_brings_all_pieces),
		cmocka_unit_test(ends_of_region_and_memory_are_reached_and_not_passed),
		cmocka_unit_test(a_full_send_queue_is_busy_until_a_batch_completes),
		cmocka_unit_test(batches_that_are_not_taken_make_it_busy),
		cmocka_unit_test(random_batches_come_once_and_whole),
		cmocka_unit_test(a_completion_that_never_comes_ends_the_fetch),
		cmocka_unit_test(every_error_has_its_errno_and_ends_all),
		cmocka_unit_test(random_errors_leave_good_batches_good),
		cmocka_unit_test(a_wrong_key_is_refused_and_ends_the_links_other_fetches),
		cmocka_unit_test(a_key_that_is_taken_back_before_the_read_is_refused),
		cmocka_unit_test(what_completes_after_the_lease_is_not_used),
		cmocka_unit_test(a_link_that_is_closed_hands_out_what_was_under_way),
		cmocka_unit_test(an_owner_that_goes_ends_the_fetch),
		cmocka_unit_test(a_post_that_the_device_refuses_ends_the_fetch),
		cmocka_unit_test(
			a_post_that_is_taken_in_part_is_under_way_until_the_link_is_closed),
		cmocka_unit_test(fetches_share_a_registration_and_a_link),
		cmocka_unit_test(what_cannot_be_fetched_is_refused_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
