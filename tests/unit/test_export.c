/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Export by shared memory: a real owner and a real reader in one process, over
 * real sockets and memory. Time is made up, but where the thread runs. Verbs are
 * test_export_verbs's matter.
 */

#include "dataplane/export.h"

#include "base/clock.h"
#include "proto/directory.h"
#include "rdma/fetch_shm.h"
#include "rdma/shm_link.h"
#include "tests/lib/core_pair.h"
#include "tests/lib/test.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* That the node aims at for searches that leave it open. */
#define RECALL 0.99F

enum {
	SHARD_COUNT = 2,
	LINK_COUNT = 3,
	LEASE_COUNT = 4,
	LEASE_MS_MAX = 10000,
	OWNER = 1,
	READER = 77,
	TURN_MAX = 1000,
	CORES = 2,
};

struct fixture {
	struct shard_table *shards;
	struct export *export;
	struct addr self;
	uint64_t now_ns;
	struct export_ask ask;
};

static const uint8_t secret[SHM_WIRE_SECRET_SIZE] = "a cluster's secret of 32 bytes..";

/* A name of this process's own: nothing is bound to the address but a name made of it. */
static struct addr own_address(void)
{
	uint32_t pid = (uint32_t)getpid();
	char text[ADDR_TEXT_MAX];
	struct addr addr;

	snprintf(text, sizeof(text), "127.%u.%u.%u:7400", pid >> 16 & 255, pid >> 8 & 255,
		 pid & 255);
	assert_int_equal(addr_parse(text, 0, &addr), 0);
	return addr;
}

/* --- the reader --- */

static void turn(struct fixture *fixture)
{
	fixture->now_ns += NS_PER_MS;
	export_turn(fixture->export, fixture->now_ns);
}

/* What comes next at 'link', turning the owner. */
static enum shm_link_event next(struct fixture *fixture, struct shm_link *link,
				struct shm_link_news *news)
{
	enum shm_link_event event = SHM_LINK_NO_NEWS;

	for (unsigned i = 0; i < TURN_MAX && event == SHM_LINK_NO_NEWS; i++) {
		turn(fixture);
		event = shm_link_next(link, fixture->now_ns, news);
	}
	return event;
}

static struct shm_link *connect_with(struct fixture *fixture, const uint8_t *own_secret)
{
	struct shm_link_config config = {.node = READER, .secret = own_secret};
	char error[SHM_LINK_ERROR_MAX];
	struct shm_link *link;

	assert_int_equal(shm_link_connect(&fixture->self, &config, fixture->now_ns, &link, error,
					  sizeof(error)),
			 0);
	return link;
}

static struct shm_link *connect_ready(struct fixture *fixture)
{
	struct shm_link *link = connect_with(fixture, secret);
	struct shm_link_news news;

	assert_int_equal(next(fixture, link, &news), SHM_LINK_IS_READY);
	assert_int_equal(shm_link_peer_node(link), OWNER);
	return link;
}

static const struct region_name segment_1 = {REGION_KIND_SEGMENT, 1};

/* Asks as core 'core' would; the answer is of the fixture's ask. */
static const struct region_answer *ask_as(struct fixture *fixture, uint32_t core,
					  const struct export_ask *wanted)
{
	struct export_desk *desk = export_desk(fixture->export, core);

	fixture->ask = *wanted;
	if (!fixture->ask.shard)
		fixture->ask.shard = &fixture->shards->shards[0];
	assert_true(export_ask(desk, &fixture->ask));
	assert_null(export_take(desk));
	turn(fixture);
	assert_ptr_equal(export_take(desk), &fixture->ask);
	assert_null(export_take(desk));
	return &fixture->ask.answer;
}

static struct export_ask ask_of(struct shm_link *link, struct region_name name)
{
	struct export_ask ask = {
		.name = name,
		.lease_ms = 1000,
		.transport = REGION_TRANSPORT_SHM,
		.proof_size = SHM_WIRE_PROOF_SIZE,
	};

	if (link)
		shm_link_proof(link, ask.proof);
	return ask;
}

static const struct region_answer *lease(struct fixture *fixture, struct shm_link *link,
					 uint32_t lease_ms)
{
	struct export_ask ask = ask_of(link, segment_1);

	ask.lease_ms = lease_ms;
	return ask_as(fixture, 0, &ask);
}

static void assert_refused(const struct region_answer *answer, const char *reason)
{
	assert_false(answer->available);
	assert_int_equal(answer->length, 0);
	assert_int_equal(answer->lease_id, 0);
	assert_int_equal(answer->reason.length, strlen(reason));
	assert_memory_equal(answer->reason.text, reason, answer->reason.length);
}

static struct export_stats stats(const struct fixture *fixture)
{
	return export_stats(fixture->export);
}

/* Reads the region that 'answer' grants, all of it; free(). */
static uint8_t *read_region(struct fixture *fixture, struct shm_link *link,
			    const struct region_answer *answer)
{
	size_t room = (answer->length + 63) / 64 * 64;
	uint8_t *bytes = aligned_alloc(64, room);
	struct shm_link_news news;
	struct fetch_shm_options options;
	struct fetch_piece piece = {.size = (uint32_t)answer->length, .to = bytes};
	struct fetch_done done;
	struct fetch *fetch;

	assert_non_null(bytes);
	assert_int_equal(next(fixture, link, &news), SHM_LINK_LENT);
	assert_int_equal(news.lease, answer->lease_id);
	assert_int_equal(news.offset, answer->remote_addr);
	assert_int_equal(news.size, answer->length);
	options = (struct fetch_shm_options){
		.memory_fd = news.memory_fd,
		.offset = news.offset,
		.size = news.size,
		.memory = bytes,
		.memory_size = room,
	};
	assert_int_equal(fetch_shm_open(&options, &fetch), 0);
	close(news.memory_fd);
	assert_int_equal(fetch_post(fetch, &piece, 1, 5), 0);
	assert_int_equal(fetch_poll(fetch, clock_now_ns(), &done, 1), 1);
	assert_int_equal(done.error, 0);
	fetch_close(fetch);
	return bytes;
}

static struct export_config config_of(const struct fixture *fixture)
{
	return (struct export_config){
		.shards = fixture->shards,
		.listen = fixture->self,
		.core_count = CORES,
		.node = OWNER,
		.secret = secret,
		.link_max = LINK_COUNT,
		.lease_max = LEASE_COUNT,
		.lease_ms_max = LEASE_MS_MAX,
		.ef = {.max = 100, .recall_target = RECALL},
		.gid_index = -1,
	};
}

/* --- what is granted --- */

static void the_ef_that_is_left_open_is_the_nodes(void **state)
{
	struct shard_ef config = {.max = 100, .unasked = 77, .recall_target = RECALL};
	struct fixture *fixture = *state;
	const struct shard *shard = &fixture->shards->shards[0];

	assert_int_equal(shard_ef(shard, &config, 0), 77);
	assert_int_equal(shard_ef(shard, &config, 33), 33);
	assert_int_equal(shard_ef(shard, &config, 101), 100);
	config.unasked = 0;
	assert_int_equal(shard_ef(shard, &config, 0), segment_ef(&shard->segment, RECALL));
	config.recall_target = 0;
	assert_int_equal(shard_ef(shard, &config, 0), shard->segment.ef_default);
	config.max = 1;
	assert_int_equal(shard_ef(shard, &config, 0), 1);
}

static void a_peer_that_proved_itself_reads_the_image_and_its_upper_part(void **state)
{
	struct fixture *fixture = *state;
	struct shm_link *link = connect_ready(fixture);

	for (unsigned i = 0; i < SHARD_COUNT; i++) {
		const struct segment *segment = &fixture->shards->shards[i].segment;
		struct export_ask ask = ask_of(link, segment_1);
		const struct region_answer *answer;
		uint64_t upper;
		uint8_t *bytes;

		ask.shard = &fixture->shards->shards[i];
		answer = ask_as(fixture, i % CORES, &ask);
		assert_true(answer->available);
		assert_int_equal(answer->length, segment->image_size);
		assert_int_equal(answer->generation, CORE_PAIR_GENERATION);
		assert_int_equal(answer->rkey, 0);
		assert_int_equal(answer->lease_ms, 1000);
		bytes = read_region(fixture, link, answer);
		assert_memory_equal(bytes, segment->image, segment->image_size);
		assert_memory_equal(&answer->crc, bytes + 252, sizeof(answer->crc));
		free(bytes);

		ask.name.kind = REGION_KIND_UPPER;
		answer = ask_as(fixture, i % CORES, &ask);
		upper = (uint64_t)((const uint8_t *)segment->labels - segment->image);
		assert_int_equal(answer->remote_addr, upper);
		assert_int_equal(answer->length, segment->image_size - upper);
		bytes = read_region(fixture, link, answer);
		assert_memory_equal(bytes, segment->labels, answer->length);
		free(bytes);
	}
	shm_link_close(link);
}

static void the_directory_names_the_segment_and_what_is_in_it(void **state)
{
	struct fixture *fixture = *state;
	struct shm_link *link = connect_ready(fixture);

	for (unsigned i = 0; i < SHARD_COUNT; i++) {
		const struct segment *segment = &fixture->shards->shards[i].segment;
		struct export_ask ask =
			ask_of(link, (struct region_name){REGION_KIND_DIRECTORY, 0});
		struct directory_segment entry;
		struct directory directory;
		const struct region_answer *answer;
		uint8_t *bytes;

		ask.shard = &fixture->shards->shards[i];
		answer = ask_as(fixture, 0, &ask);
		assert_true(answer->available);
		bytes = read_region(fixture, link, answer);
		assert_int_equal(directory_decode(bytes, answer->length, &entry, 1, &directory), 0);
		assert_int_equal(directory_crc(bytes), answer->crc);
		assert_int_equal(directory.shard, CORE_PAIR_VSHARD + i);
		assert_int_equal(directory.generation, answer->generation);
		assert_int_equal(directory.count, 1);
		assert_int_equal(entry.id, 1);
		assert_int_equal(entry.generation, segment->generation);
		assert_int_equal(entry.image_size, segment->image_size);
		assert_int_equal(entry.count, segment->count);
		assert_int_equal(entry.ef, segment_ef(segment, RECALL));
		assert_int_equal(entry.upper_offset,
				 (const uint8_t *)segment->labels - segment->image);
		assert_memory_equal(&entry.body_crc, segment->image + 248, 4);
		assert_memory_equal(&entry.header_crc, segment->image + 252, 4);
		free(bytes);
	}
	shm_link_close(link);
}

static void a_lease_gets_no_more_and_no_less_time_than_the_limits(void **state)
{
	struct fixture *fixture = *state;
	struct shm_link *link = connect_ready(fixture);

	assert_int_equal(lease(fixture, link, 0)->lease_ms, EXPORT_LEASE_MS_MIN);
	assert_int_equal(lease(fixture, link, 4321)->lease_ms, 4321);
	assert_int_equal(lease(fixture, link, UINT32_MAX)->lease_ms, LEASE_MS_MAX);
	shm_link_close(link);
}

/* --- what is refused --- */

static void nobody_gets_a_region_without_the_proof_of_a_link(void **state)
{
	struct fixture *fixture = *state;
	struct shm_link *link = connect_ready(fixture);
	struct export_ask ask = ask_of(link, segment_1);

	ask.proof[0] ^= 1;
	assert_refused(ask_as(fixture, 0, &ask), REGION_NOT_MEMBER);
	ask = ask_of(link, segment_1);
	ask.proof_size--;
	assert_refused(ask_as(fixture, 0, &ask), REGION_NOT_MEMBER);
	ask.proof_size = 0;
	assert_refused(ask_as(fixture, 0, &ask), REGION_NOT_MEMBER);
	assert_int_equal(stats(fixture).proofs_refused, 3);
	/* The proof of a link that has ended is nobody's. */
	ask = ask_of(link, segment_1);
	shm_link_close(link);
	turn(fixture);
	assert_refused(ask_as(fixture, 0, &ask), REGION_NOT_MEMBER);
	assert_int_equal(stats(fixture).leases_granted, 0);
	assert_int_equal(stats(fixture).refusals, 4);
}

static void a_reader_with_another_secret_gets_no_link(void **state)
{
	static const uint8_t wrong[SHM_WIRE_SECRET_SIZE] = "another secret";
	struct fixture *fixture = *state;
	struct shm_link *link = connect_with(fixture, wrong);
	struct shm_link_news news;

	assert_int_equal(next(fixture, link, &news), SHM_LINK_IS_OVER);
	shm_link_close(link);
	turn(fixture);
	assert_int_equal(stats(fixture).links, 0);
	assert_int_equal(stats(fixture).links_opened, 0);
	assert_int_equal(stats(fixture).proofs_refused, 1);
}

static void what_there_is_not_is_unknown_and_what_cannot_be_is_unsupported(void **state)
{
	struct fixture *fixture = *state;
	struct shm_link *link = connect_ready(fixture);
	struct export_ask ask = ask_of(link, (struct region_name){REGION_KIND_SEGMENT, 2});

	assert_refused(ask_as(fixture, 0, &ask), REGION_UNKNOWN);
	ask.name = (struct region_name){REGION_KIND_UPPER, UINT64_MAX};
	assert_refused(ask_as(fixture, 0, &ask), REGION_UNKNOWN);
	ask = ask_of(link, segment_1);
	ask.transport = REGION_TRANSPORT_VERBS;
	assert_refused(ask_as(fixture, 0, &ask), REGION_UNSUPPORTED);
	shm_link_close(link);
}

static void leases_beyond_the_limit_are_refused_until_one_ends(void **state)
{
	struct fixture *fixture = *state;
	struct shm_link *link = connect_ready(fixture);

	assert_true(lease(fixture, link, 200)->available);
	for (unsigned i = 1; i < LEASE_COUNT; i++)
		assert_true(lease(fixture, link, 5000)->available);
	assert_refused(lease(fixture, link, 5000), REGION_MANY_LEASES);
	assert_int_equal(stats(fixture).leases, LEASE_COUNT);
	fixture->now_ns += 200 * NS_PER_MS;
	turn(fixture);
	assert_true(lease(fixture, link, 5000)->available);
	shm_link_close(link);
}

/* --- how leases end --- */

static void a_lease_ends_with_its_time(void **state)
{
	struct fixture *fixture = *state;
	struct shm_link *link = connect_ready(fixture);
	uint64_t granted_ns;

	assert_true(lease(fixture, link, 1000)->available);
	granted_ns = fixture->now_ns;
	export_turn(fixture->export, granted_ns + 1000 * NS_PER_MS - 1);
	assert_int_equal(stats(fixture).leases, 1);
	export_turn(fixture->export, granted_ns + 1000 * NS_PER_MS);
	assert_int_equal(stats(fixture).leases, 0);
	assert_int_equal(stats(fixture).leases_expired, 1);
	assert_int_equal(stats(fixture).leases_revoked, 0);
	shm_link_close(link);
}

static void a_lease_that_is_returned_ends_and_nobody_elses(void **state)
{
	struct fixture *fixture = *state;
	struct shm_link *link = connect_ready(fixture);
	struct shm_link *other = connect_ready(fixture);
	uint64_t id = lease(fixture, link, 5000)->lease_id;

	assert_true(id >> 63); /* no lease by verbs has that bit */
	assert_int_equal(shm_link_return(other, id), 0);
	turn(fixture);
	assert_int_equal(stats(fixture).leases, 1);
	assert_int_equal(shm_link_return(link, id), 0);
	turn(fixture);
	assert_int_equal(stats(fixture).leases, 0);
	assert_int_equal(stats(fixture).leases_returned, 1);
	/* Once more is of no effect. */
	assert_int_equal(shm_link_return(link, id), 0);
	turn(fixture);
	assert_int_equal(stats(fixture).leases_returned, 1);
	shm_link_close(link);
	shm_link_close(other);
}

static void leases_end_with_their_link_and_others_last(void **state)
{
	struct fixture *fixture = *state;
	struct shm_link *link = connect_ready(fixture);
	struct shm_link *other = connect_ready(fixture);

	assert_true(lease(fixture, link, 5000)->available);
	assert_true(lease(fixture, other, 5000)->available);
	assert_true(lease(fixture, link, 5000)->available);
	shm_link_close(link);
	turn(fixture);
	assert_int_equal(stats(fixture).leases, 1);
	assert_int_equal(stats(fixture).leases_revoked, 2);
	assert_int_equal(stats(fixture).links, 1);
	assert_int_equal(stats(fixture).links_ended, 1);
	assert_true(lease(fixture, other, 5000)->available);
	shm_link_close(other);
}

static void no_two_leases_have_one_number(void **state)
{
	struct fixture *fixture = *state;
	struct shm_link *link = connect_ready(fixture);
	uint64_t last = 0;

	for (unsigned i = 0; i < 100; i++) {
		const struct region_answer *answer = lease(fixture, link, 100);

		assert_true(answer->available);
		assert_true(answer->lease_id > last);
		last = answer->lease_id;
		assert_int_equal(shm_link_return(link, last), 0);
		turn(fixture);
	}
	shm_link_close(link);
}

static void the_end_withdraws_what_is_lent_and_what_was_read_stays(void **state)
{
	struct fixture *fixture = *state;
	struct shm_link *link = connect_ready(fixture);
	const struct region_answer *answer = lease(fixture, link, 5000);
	uint64_t id = answer->lease_id;
	struct shm_link_news news;
	void *mapped;

	assert_int_equal(next(fixture, link, &news), SHM_LINK_LENT);
	mapped = aligned_alloc(64, 256);
	export_close(fixture->export);
	fixture->export = NULL;
	{
		struct fetch_shm_options options = {.memory_fd = news.memory_fd,
						    .offset = news.offset,
						    .size = news.size,
						    .memory = mapped,
						    .memory_size = 256};
		struct fetch_piece piece = {.size = 256, .to = mapped};
		struct fetch_done done;
		struct fetch *fetch;

		assert_int_equal(fetch_shm_open(&options, &fetch), 0);
		assert_int_equal(fetch_post(fetch, &piece, 1, 0), 0);
		assert_int_equal(fetch_poll(fetch, clock_now_ns(), &done, 1), 1);
		fetch_close(fetch);
	}
	close(news.memory_fd);
	assert_memory_equal(mapped, fixture->shards->shards[0].segment.image, 256);
	free(mapped);
	assert_int_equal(shm_link_next(link, fixture->now_ns, &news), SHM_LINK_WITHDRAWN);
	assert_int_equal(news.lease, id);
	assert_int_equal(shm_link_next(link, fixture->now_ns, &news), SHM_LINK_IS_OVER);
	shm_link_close(link);
}

static void a_withdrawn_shards_leases_end_and_the_others_last(void **state)
{
	struct fixture *fixture = *state;
	const struct shard *shards = fixture->shards->shards;
	struct shm_link *link = connect_ready(fixture);
	uint64_t id = lease(fixture, link, 5000)->lease_id;
	struct export_ask ask = ask_of(link, segment_1);
	struct shm_link_news news;

	assert_int_equal(next(fixture, link, &news), SHM_LINK_LENT);
	close(news.memory_fd);
	ask.shard = &shards[1];
	assert_true(ask_as(fixture, 0, &ask)->available);
	assert_int_equal(next(fixture, link, &news), SHM_LINK_LENT);
	close(news.memory_fd);
	assert_false(export_withdrawn(fixture->export, &shards[0]));
	export_withdraw(fixture->export, &shards[0]);
	assert_int_equal(next(fixture, link, &news), SHM_LINK_WITHDRAWN);
	assert_int_equal(news.lease, id);
	assert_true(export_withdrawn(fixture->export, &shards[0]));
	assert_false(export_withdrawn(fixture->export, &shards[1]));
	assert_int_equal(stats(fixture).leases, 1);
	assert_int_equal(stats(fixture).leases_revoked, 1);
	assert_refused(lease(fixture, link, 5000), REGION_MOVED);
	ask.name.kind = REGION_KIND_DIRECTORY;
	ask.shard = &shards[0];
	assert_refused(ask_as(fixture, 0, &ask), REGION_MOVED);
	ask.shard = &shards[1];
	assert_true(ask_as(fixture, 0, &ask)->available);
	/* Twice is once. */
	export_withdraw(fixture->export, &shards[0]);
	turn(fixture);
	assert_true(export_withdrawn(fixture->export, &shards[0]));
	shm_link_close(link);
}

/* --- links --- */

static void who_does_not_prove_itself_is_cut_off(void **state)
{
	struct fixture *fixture = *state;
	struct sockaddr_un name = {.sun_family = AF_UNIX};
	char text[ADDR_TEXT_MAX];
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	int length = snprintf(name.sun_path + 1, sizeof(name.sun_path) - 1, "tern/%s",
			      addr_format(&fixture->self, text));
	char byte;

	assert_true(fd >= 0);
	assert_int_equal(
		connect(fd, (struct sockaddr *)&name,
			(socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)length)),
		0);
	turn(fixture);
	assert_int_equal(stats(fixture).links, 1);
	fixture->now_ns += SHM_LINK_PROVE_NS;
	turn(fixture);
	assert_int_equal(stats(fixture).links, 0);
	assert_int_equal(stats(fixture).links_ended, 0); /* it was none yet */
	assert_int_equal(stats(fixture).proofs_refused, 1);
	assert_int_equal(recv(fd, &byte, 1, 0), 0);
	close(fd);
}

static void readers_beyond_the_limit_wait_for_a_place(void **state)
{
	struct fixture *fixture = *state;
	struct shm_link *links[LINK_COUNT];
	struct shm_link *late;
	struct shm_link_news news;

	for (unsigned i = 0; i < LINK_COUNT; i++)
		links[i] = connect_ready(fixture);
	late = connect_with(fixture, secret);
	assert_int_equal(next(fixture, late, &news), SHM_LINK_NO_NEWS);
	assert_int_equal(stats(fixture).links, LINK_COUNT);
	shm_link_close(links[1]);
	assert_int_equal(next(fixture, late, &news), SHM_LINK_IS_READY);
	assert_true(lease(fixture, late, 1000)->available);
	shm_link_close(late);
	for (unsigned i = 0; i < LINK_COUNT; i++)
		if (i != 1)
			shm_link_close(links[i]);
}

/* Who listens everywhere is known by every address of the host, the loopback's among them. */
static void a_node_that_listens_everywhere_is_found_at_the_hosts_addresses(void **state)
{
	static const char *const everywhere[] = {"0.0.0.0", "[::]"};
	struct fixture *fixture = *state;
	char text[ADDR_TEXT_MAX];

	for (unsigned i = 0; i < ARRAY_COUNT(everywhere); i++) {
		struct export_config config = config_of(fixture);
		unsigned port = 1024 + (unsigned)getpid() % 60000;
		char error[EXPORT_ERROR_MAX];
		struct shm_link *link;

		export_close(fixture->export);
		snprintf(text, sizeof(text), "%s:%u", everywhere[i], port);
		assert_int_equal(addr_parse(text, 0, &config.listen), 0);
		assert_int_equal(export_open(&config, &fixture->export, error, sizeof(error)), 0);
		snprintf(text, sizeof(text), "127.0.0.1:%u", port);
		assert_int_equal(addr_parse(text, 0, &fixture->self), 0);
		link = connect_ready(fixture);
		assert_true(lease(fixture, link, 1000)->available);
		shm_link_close(link);
	}
}

static void a_thousand_readers_come_and_go_and_nothing_is_left(void **state)
{
	struct fixture *fixture = *state;
	int before = dup(STDIN_FILENO);
	int after;

	for (unsigned i = 0; i < 1000; i++) {
		struct shm_link *link = connect_ready(fixture);

		assert_true(lease(fixture, link, 60000)->available);
		shm_link_close(link);
		turn(fixture);
	}
	after = dup(STDIN_FILENO);
	assert_int_equal(stats(fixture).links_opened, 1000);
	assert_int_equal(stats(fixture).links_ended, 1000);
	assert_int_equal(stats(fixture).leases, 0);
	assert_int_equal(after, before + 1);
	close(before);
	close(after);
}

/* --- the thread --- */

/* While a reader reads, and nothing else happens, the thread isn't woken. */
static void the_thread_answers_and_then_sleeps_while_a_peer_reads(void **state)
{
	struct fixture *fixture = *state;
	struct shm_link *link = connect_ready(fixture);
	struct export_ask ask = ask_of(link, segment_1);
	struct export_desk *desk = export_desk(fixture->export, 1);
	struct fetch_shm_options options = {0};
	static _Alignas(64) uint8_t bytes[256];
	struct fetch_piece piece = {.size = sizeof(bytes), .to = bytes};
	struct shm_link_news news;
	struct fetch_done done;
	struct fetch *fetch;
	struct pollfd wait = {.fd = shm_link_fd(link), .events = POLLIN};
	uint64_t wakeups;

	ask.shard = &fixture->shards->shards[0];
	ask.lease_ms = LEASE_MS_MAX;
	assert_int_equal(export_start(fixture->export), 0);
	assert_true(export_ask(desk, &ask));
	while (!export_take(desk))
		usleep(100);
	assert_true(ask.answer.available);
	while (shm_link_next(link, clock_now_ns(), &news) != SHM_LINK_LENT)
		assert_int_equal(poll(&wait, 1, 10000), 1);
	options.memory_fd = news.memory_fd;
	options.offset = news.offset;
	options.size = news.size;
	options.memory = bytes;
	options.memory_size = sizeof(bytes);
	assert_int_equal(fetch_shm_open(&options, &fetch), 0);
	close(news.memory_fd);
	usleep(20000); /* it has gone to sleep, or does so while we read */
	wakeups = stats(fixture).wakeups;
	for (unsigned i = 0; i < 10000; i++) {
		assert_int_equal(fetch_post(fetch, &piece, 1, i), 0);
		assert_int_equal(fetch_poll(fetch, clock_now_ns(), &done, 1), 1);
		assert_int_equal(done.error, 0);
	}
	assert_int_equal(stats(fixture).wakeups, wakeups);
	fetch_close(fetch);
	shm_link_close(link);
}

/* --- */

static int set_up(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));
	struct export_config config;
	char error[EXPORT_ERROR_MAX];

	assert_non_null(fixture);
	fixture->now_ns = clock_now_ns();
	fixture->self = own_address();
	fixture->shards = core_pair_shards(SHARD_COUNT);
	config = config_of(fixture);
	assert_int_equal(export_open(&config, &fixture->export, error, sizeof(error)), 0);
	assert_true(export_info(fixture->export)->shm);
	assert_false(export_info(fixture->export)->verbs);
	assert_int_equal(stats(fixture).regions_shared, SHARD_COUNT + 1);
	*state = fixture;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *fixture = *state;

	export_close(fixture->export);
	shard_table_free(fixture->shards);
	free(fixture);
	return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_peer_that_proved_itself_reads_the_image_and_its_upper_part),
		TEST(the_directory_names_the_segment_and_what_is_in_it),
		TEST(the_ef_that_is_left_open_is_the_nodes),
		TEST(a_lease_gets_no_more_and_no_less_time_than_the_limits),
		TEST(nobody_gets_a_region_without_the_proof_of_a_link),
		TEST(a_reader_with_another_secret_gets_no_link),
		TEST(what_there_is_not_is_unknown_and_what_cannot_be_is_unsupported),
		TEST(leases_beyond_the_limit_are_refused_until_one_ends),
		TEST(a_lease_ends_with_its_time),
		TEST(a_lease_that_is_returned_ends_and_nobody_elses),
		TEST(leases_end_with_their_link_and_others_last),
		TEST(no_two_leases_have_one_number),
		TEST(a_withdrawn_shards_leases_end_and_the_others_last),
		TEST(the_end_withdraws_what_is_lent_and_what_was_read_stays),
		TEST(who_does_not_prove_itself_is_cut_off),
		TEST(readers_beyond_the_limit_wait_for_a_place),
		TEST(a_node_that_listens_everywhere_is_found_at_the_hosts_addresses),
		TEST(a_thousand_readers_come_and_go_and_nothing_is_left),
		TEST(the_thread_answers_and_then_sleeps_while_a_peer_reads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
