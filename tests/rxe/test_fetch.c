/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Fetching from a real device: the owner of the region is a process of its own, so that it can be
 * killed.
 */

#include "base/clock.h"
#include "base/crc.h"
#include "base/defs.h"
#include "base/rand.h"
#include "rdma/fetch_verbs.h"
#include "rdma/pull.h"
#include "tests/lib/test.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define REGION_SIZE (8u << 20)
#define DEPTH       512

/* Generous: the processor may be an emulated one. */
#define PATIENCE_NS (60 * NS_PER_S)

static char error[DEVICE_ERROR_MAX];
static const uint8_t secret[LINK_SECRET_SIZE] = "a secret of all the members";

static uint8_t *content; /* what the owner has */
static uint8_t *memory;  /* what we fetch to */

/* --- the owner --- */

/* What it tells once it listens. */
struct grant {
	struct addr addr;
	uint64_t remote_addr;
	uint32_t rkey;
};

struct owner {
	pid_t pid;
	int commands; /* a byte: take the key back; the end: end */
	struct grant grant;
};

static void ignore_change(void *context, struct link *peer)
{
}

static void open_hub(uint64_t node, struct device **ret_device, struct link_hub **ret_hub)
{
	const struct device_options options = {.gid_index = -1};
	const struct link_hub_config config = {.node = node,
					       .secret = secret,
					       .link_max = 4,
					       .send_depth = DEPTH,
					       .changed = ignore_change};

	if (device_open(real_verbs_ops(), &options, ret_device, error, sizeof(error)) ||
	    link_hub_new(*ret_device, &config, ret_hub, error, sizeof(error)))
		fail_msg("%s", error);
}

/* Ends with the process, whatever is open. Its status is 0 unless something failed. */
static void own(int commands, int answers)
{
	struct grant grant = {0};
	struct device *device;
	struct link_hub *hub;
	struct ibv_mr *mr;
	struct addr addr;
	char command;

	open_hub(7, &device, &hub);
	if (!device_addr(device, 0, &addr) ||
	    link_listen(hub, &addr, &grant.addr, error, sizeof(error)))
		_exit(1);
	mr = real_verbs_ops()->reg_mr(device_pd(device), content, REGION_SIZE,
				      IBV_ACCESS_REMOTE_READ);
	if (!mr)
		_exit(1);
	grant.remote_addr = (uintptr_t)content;
	grant.rkey = mr->rkey;
	if (write(answers, &grant, sizeof(grant)) != sizeof(grant))
		_exit(1);
	for (;;) {
		ssize_t size = read(commands, &command, 1);

		if (size == 0)
			_exit(0);
		if (size == 1 && (real_verbs_ops()->dereg_mr(mr) || write(answers, "d", 1) != 1))
			_exit(1);
		(void)link_hub_turn(hub, clock_now_ns());
	}
}

static int owner_answers; /* of the last one */

static struct owner owner_start(void)
{
	int commands[2], answers[2];
	struct owner owner;

	assert_int_equal(pipe2(commands, O_NONBLOCK), 0);
	assert_int_equal(pipe2(answers, 0), 0);
	owner.pid = fork();
	assert_true(owner.pid >= 0);
	if (!owner.pid) {
		(void)close(commands[1]);
		(void)close(answers[0]);
		own(commands[0], answers[1]);
	}
	(void)close(commands[0]);
	(void)close(answers[1]);
	owner.commands = commands[1];
	owner_answers = answers[0];
	assert_int_equal(read(owner_answers, &owner.grant, sizeof(owner.grant)),
			 sizeof(owner.grant));
	return owner;
}

static void owner_kill(struct owner *owner)
{
	assert_int_equal(kill(owner->pid, SIGKILL), 0);
	assert_int_equal(waitpid(owner->pid, NULL, 0), owner->pid);
	(void)close(owner->commands);
	(void)close(owner_answers);
}

/* It was well all the time, whatever its readers did. */
static void owner_end(struct owner *owner)
{
	int status;

	(void)close(owner->commands);
	assert_int_equal(waitpid(owner->pid, &status, 0), owner->pid);
	assert_int_equal(status, 0);
	(void)close(owner_answers);
}

/* --- the reader --- */

static struct device *device;
static struct link_hub *hub;
static struct link *peer;

static void reader_connect(const struct owner *owner)
{
	uint64_t now_ns = clock_now_ns();
	const struct link_options options = {.to = owner->grant.addr,
					     .deadline_ns = now_ns + PATIENCE_NS};

	if (link_connect(hub, &options, now_ns, &peer, error, sizeof(error)))
		fail_msg("%s", error);
	while (link_state(peer) < LINK_READY)
		(void)link_hub_turn(hub, clock_now_ns());
	if (link_state(peer) != LINK_READY)
		fail_msg("%s", link_error(peer));
}

static struct fetch *reader_fetch(const struct owner *owner, uint32_t rkey, uint64_t size)
{
	const struct fetch_verbs_options options = {
		.link = peer,
		.remote_addr = owner->grant.remote_addr,
		.size = size,
		.rkey = rkey,
		.depth = FETCH_VERBS_DEPTH_MIN,
		.memory = memory,
		.memory_size = REGION_SIZE,
	};
	struct fetch *fetch;

	assert_int_equal(fetch_verbs_open(&options, &fetch), 0);
	return fetch;
}

static struct fetch *reader_open(const struct owner *owner)
{
	memset(memory, 0, REGION_SIZE);
	open_hub(3, &device, &hub);
	reader_connect(owner);
	return reader_fetch(owner, owner->grant.rkey, REGION_SIZE);
}

static void reader_close(struct fetch *fetch)
{
	link_close(peer);
	fetch_verbs_link_closed(fetch);
	fetch_close(fetch);
	link_hub_free(hub);
	device_close(device);
}

static unsigned poll_some(struct fetch *fetch, struct fetch_done *done, unsigned count)
{
	(void)link_hub_turn(hub, clock_now_ns());
	return fetch_poll(fetch, clock_now_ns(), done, count);
}

static struct fetch_done wait_for(struct fetch *fetch)
{
	uint64_t until_ns = clock_now_ns() + PATIENCE_NS;
	struct fetch_done done;

	while (!poll_some(fetch, &done, 1)) {
		if (clock_now_ns() > until_ns)
			fail_msg("no batch came");
	}
	return done;
}

/* --- tests --- */

static void pieces_of_1_byte_to_4_mib_come_whole(void **state)
{
	static const uint32_t sizes[] = {
		1,    2,    63,    64,    65,    1023,     1024,           1025,    4095,
		4096, 4097, 65535, 65536, 65537, 1u << 20, (1u << 20) + 1, 4u << 20};
	struct owner owner = owner_start();
	struct fetch *fetch = reader_open(&owner);

	for (unsigned i = 0; i < ARRAY_COUNT(sizes); i++) {
		const struct fetch_piece pieces[] = {
			{0, sizes[i], memory},
			{REGION_SIZE - sizes[i] - i % 2, sizes[i], memory + sizes[i] + 1},
		};
		struct fetch_done done;

		memset(memory, 0, REGION_SIZE);
		assert_int_equal(fetch_post(fetch, pieces, sizes[i] < 4u << 20 ? 2 : 1, i), 0);
		done = wait_for(fetch);
		assert_int_equal(done.cookie, i);
		assert_int_equal(done.error, 0);
		assert_memory_equal(memory, content, sizes[i]);
		assert_int_equal(memory[sizes[i]], 0);
		if (sizes[i] < 4u << 20)
			assert_memory_equal(pieces[1].to, content + pieces[1].offset, sizes[i]);
	}
	reader_close(fetch);
	owner_end(&owner);
}

/* Batches of all shapes, as many as there is room for. */
static void many_batches_come_whole_and_in_turn(void **state)
{
	enum { SLOTS = 64, SLOT_SIZE = REGION_SIZE / SLOTS, BATCHES = 600, PIECES = 64 };
	static struct {
		struct fetch_piece pieces[PIECES];
		unsigned count;
	} slots[SLOTS];
	const uint64_t seed = 4;
	struct owner owner = owner_start();
	struct fetch *fetch = reader_open(&owner);
	uint64_t posted = 0, told = 0, busy = 0, until_ns = clock_now_ns() + PATIENCE_NS;
	struct rand rand;

	print_message("seed %lu\n", (unsigned long)seed);
	rand_init(&rand, seed);
	while (told < BATCHES && clock_now_ns() < until_ns) {
		struct fetch_done done[8];
		unsigned count;

		while (posted < BATCHES && posted - told < SLOTS) {
			struct fetch_piece *pieces = slots[posted % SLOTS].pieces;
			uint8_t *to = memory + posted % SLOTS * SLOT_SIZE;

			count = 1 + (unsigned)rand_below(&rand, PIECES);
			slots[posted % SLOTS].count = count;
			for (unsigned i = 0; i < count; i++) {
				uint32_t size = 1 + (uint32_t)rand_below(&rand, SLOT_SIZE / PIECES);

				pieces[i] = (struct fetch_piece){
					rand_below(&rand, REGION_SIZE - size + 1), size, to};
				to += size;
			}
			if (fetch_post(fetch, pieces, count, posted)) {
				busy++;
				break;
			}
			posted++;
		}
		count = poll_some(fetch, done, ARRAY_COUNT(done));
		for (unsigned i = 0; i < count; i++) {
			const struct fetch_piece *pieces = slots[told % SLOTS].pieces;

			assert_int_equal(done[i].error, 0);
			assert_int_equal(done[i].cookie, told);
			for (unsigned j = 0; j < slots[told % SLOTS].count; j++)
				assert_memory_equal(pieces[j].to, content + pieces[j].offset,
						    pieces[j].size);
			told++;
		}
	}
	assert_int_equal(told, BATCHES);
	assert_true(busy > 0);
	reader_close(fetch);
	owner_end(&owner);
}

/* Posts a READ that is to fail, and returns with what. */
static int error_of_read(struct fetch *fetch, uint64_t offset, uint32_t size)
{
	const struct fetch_piece piece = {offset, size, memory};
	int failed = fetch_post(fetch, &piece, 1, 1);

	return failed ? failed : wait_for(fetch).error;
}

static void a_wrong_key_ends_this_connection_and_no_other(void **state)
{
	struct owner owner = owner_start();
	struct fetch *good = reader_open(&owner), *bad;
	struct link *good_link = peer;

	reader_connect(&owner);
	bad = reader_fetch(&owner, owner.grant.rkey ^ 0x100, REGION_SIZE);
	assert_int_equal(error_of_read(bad, 0, 64), -EACCES);
	assert_int_equal(error_of_read(bad, 0, 64), -EACCES);
	assert_int_equal(memory[0], 0);
	assert_int_equal(error_of_read(good, 0, 64), 0);
	assert_memory_equal(memory, content, 64);
	link_close(peer);
	fetch_verbs_link_closed(bad);
	fetch_close(bad);
	peer = good_link;
	reader_close(good);
	owner_end(&owner);
}

static void nothing_beyond_what_was_granted_is_read(void **state)
{
	struct owner owner = owner_start();
	struct fetch *fetch = reader_open(&owner);
	struct fetch *beyond = reader_fetch(&owner, owner.grant.rkey, REGION_SIZE + 4096);

	assert_int_equal(error_of_read(fetch, REGION_SIZE - 64, 65), -EINVAL);
	assert_int_equal(error_of_read(beyond, REGION_SIZE - 64, 65), -EACCES);
	assert_int_equal(error_of_read(fetch, 0, 64), -ENOTCONN);
	assert_int_equal(memory[0], 0);
	fetch_close(beyond);
	reader_close(fetch);
	owner_end(&owner);
}

static void a_key_that_was_taken_back_is_refused(void **state)
{
	struct owner owner = owner_start();
	struct fetch *fetch = reader_open(&owner);
	char answer;

	assert_int_equal(error_of_read(fetch, 0, 64), 0);
	assert_int_equal(write(owner.commands, "d", 1), 1);
	assert_int_equal(read(owner_answers, &answer, 1), 1);
	memset(memory, 0, 64);
	assert_int_equal(error_of_read(fetch, 0, 64), -EACCES);
	assert_int_equal(memory[0], 0);
	reader_close(fetch);
	owner_end(&owner);
}

/* READs are kept under way until one fails, and those behind it. */
static void an_owner_that_is_killed_ends_all_that_is_under_way(void **state)
{
	const struct fetch_piece piece = {0, 1u << 20, memory};
	struct owner owner = owner_start();
	struct fetch *fetch = reader_open(&owner);
	uint64_t posted = 0, told = 0;

	while (!fetch->error || told < posted) {
		struct fetch_done done;

		while (posted - told < 8 && !fetch_post(fetch, &piece, 1, posted))
			posted++;
		if (told == posted)
			break;
		done = wait_for(fetch);
		assert_int_equal(done.cookie, told);
		assert_true(done.error == 0 || done.error == -ENOTCONN);
		if (told++ == 0)
			owner_kill(&owner);
		assert_true(told < 10000);
	}
	assert_int_equal(fetch->error, -ENOTCONN);
	assert_int_equal(fetch->under_way, 0);
	reader_close(fetch);
}

static int run_pull(struct pull *pull)
{
	uint64_t until_ns = clock_now_ns() + PATIENCE_NS;
	int outcome;

	do {
		(void)link_hub_turn(hub, clock_now_ns());
		outcome = pull_turn(pull, clock_now_ns());
	} while (outcome == PULL_E_MORE && clock_now_ns() < until_ns);
	return outcome;
}

static struct pull *open_pull(uint32_t crc)
{
	const struct pull_range ranges[] = {{0, 256, crc32c(content, 256)},
					    {256, REGION_SIZE - 256, crc}};
	const struct pull_options options = {.memory = memory,
					     .size = REGION_SIZE,
					     .ranges = ranges,
					     .range_count = ARRAY_COUNT(ranges),
					     .piece_size = 256 * 1024,
					     .piece_count = 4};
	struct pull *pull;

	assert_int_equal(pull_new(&options, &pull), 0);
	return pull;
}

static void a_whole_region_is_pulled(void **state)
{
	struct owner owner = owner_start();
	struct fetch *fetch = reader_open(&owner);
	struct pull *pull = open_pull(crc32c(content + 256, REGION_SIZE - 256));

	assert_int_equal(pull_attach(pull, fetch), 0);
	assert_int_equal(run_pull(pull), 0);
	assert_memory_equal(memory, content, REGION_SIZE);
	pull_free(pull);
	reader_close(fetch);
	owner_end(&owner);
}

static void a_pull_whose_owner_is_killed_goes_on_with_another(void **state)
{
	struct owner owner = owner_start();
	struct fetch *fetch = reader_open(&owner);
	struct pull *pull = open_pull(crc32c(content + 256, REGION_SIZE - 256));
	uint64_t arrived;

	assert_int_equal(pull_attach(pull, fetch), 0);
	while (pull_arrived(pull) < REGION_SIZE / 4) {
		(void)link_hub_turn(hub, clock_now_ns());
		assert_int_equal(pull_turn(pull, clock_now_ns()), PULL_E_MORE);
	}
	owner_kill(&owner);
	assert_int_equal(run_pull(pull), PULL_E_LOST);
	arrived = pull_arrived(pull);
	assert_in_range(arrived, REGION_SIZE / 4, REGION_SIZE - 1);
	link_close(peer);
	fetch_verbs_link_closed(fetch);
	fetch_close(fetch);

	owner = owner_start();
	reader_connect(&owner);
	fetch = reader_fetch(&owner, owner.grant.rkey, REGION_SIZE);
	assert_int_equal(pull_attach(pull, fetch), 0);
	assert_int_equal(run_pull(pull), 0);
	assert_int_equal(fetch->stats.bytes, REGION_SIZE - arrived);
	assert_memory_equal(memory, content, REGION_SIZE);
	pull_free(pull);
	reader_close(fetch);
	owner_end(&owner);
}

static void a_region_with_a_wrong_checksum_is_found_corrupt(void **state)
{
	struct owner owner = owner_start();
	struct fetch *fetch = reader_open(&owner);
	struct pull *pull = open_pull(crc32c(content + 256, REGION_SIZE - 256) ^ 1);

	assert_int_equal(pull_attach(pull, fetch), 0);
	assert_int_equal(run_pull(pull), PULL_E_CORRUPT);
	pull_free(pull);
	reader_close(fetch);
	owner_end(&owner);
}

static uint8_t *map(void)
{
	uint8_t *bytes =
		mmap(NULL, REGION_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_true(bytes != MAP_FAILED);
	return bytes;
}

static int set_up(void **state)
{
	struct rand rand;

	content = map();
	memory = map();
	rand_init(&rand, 1);
	for (size_t i = 0; i < REGION_SIZE; i++)
		content[i] = (uint8_t)(rand_next(&rand) | 1); /* never 0, as memory is at first */
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pieces_of_1_byte_to_4_mib_come_whole),
		cmocka_unit_test(many_batches_come_whole_and_in_turn),
		cmocka_unit_test(a_wrong_key_ends_this_connection_and_no_other),
		cmocka_unit_test(nothing_beyond_what_was_granted_is_read),
		cmocka_unit_test(a_key_that_was_taken_back_is_refused),
		cmocka_unit_test(an_owner_that_is_killed_ends_all_that_is_under_way),
		cmocka_unit_test(a_whole_region_is_pulled),
		cmocka_unit_test(a_pull_whose_owner_is_killed_goes_on_with_another),
		cmocka_unit_test(a_region_with_a_wrong_checksum_is_found_corrupt),
	};
	struct device_info info;

	if (!device_list(real_verbs_ops(), &info, 1)) {
		print_message("no verbs device\n");
		return TEST_SKIP;
	}
	return cmocka_run_group_tests(tests, set_up, NULL) != 0;
}
