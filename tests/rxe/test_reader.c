/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Segments searched over a real device: the answers are the owner's own, bit for
 * bit, and whatever goes wrong ends the reader with the reason.
 */

#include "cluster/reader.h"

#include "base/byteorder.h"
#include "base/clock.h"
#include "base/defs.h"
#include "hnsw/layout.h"
#include "rdma/fetch_verbs.h"
#include "tests/lib/index.h"
#include "tests/lib/kinds.h"
#include "tests/lib/region_rig.h"
#include "tests/lib/test.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
	COUNT = 1200,
	DIM = 24,
	QUERIES = 30,
	IN_FLIGHT = 6,
	K = 10,
	EF = 48,
	MEMORY = 16 << 20,
	LONG_MS = 600000, /* longer than any test takes */
	SHORT_MS = 3000,  /* longer than opening takes */
	PAGE = 4096,
};

/* Longer than a search takes, opening included. */
#define PATIENCE_NS (40 * NS_PER_S)

/* For the owner to see that its reader is gone. */
#define SETTLE_NS (NS_PER_S / 10)

static const struct kind kinds_read[] = {
	{METRIC_L2, VECTOR_F32, BUILD_ROWS_FULL, BUILD_LAYOUT_PLAIN},
	{METRIC_COSINE, VECTOR_F32, BUILD_ROWS_COMPACT, BUILD_LAYOUT_PLAIN},
	{METRIC_COSINE, VECTOR_F32, BUILD_ROWS_COMPACT, BUILD_LAYOUT_EDGES},
	{METRIC_L2, VECTOR_U8, BUILD_ROWS_FULL, BUILD_LAYOUT_EDGES},
};

struct fixture {
	struct rig rig;
	struct segment local;
	struct layout layout;
	struct build_image image; /* the owner's own, which is never damaged */
	uint8_t *granted;         /* a copy in pages of its own, which is what is read */
	float *rows;
	float *queries;
	uint8_t *memory;
	struct link *link;
	struct lease_info lease;
	struct fetch *fetch;
	struct reader *reader;
};

static char error[DEVICE_ERROR_MAX];

/* --- owner and reader --- */

static void make_segment(struct fixture *fixture, const struct kind *kind)
{
	struct kinds_input input = {.count = COUNT, .dim = DIM};

	fixture->rows = kinds_vectors(kind->type, COUNT, DIM, 1);
	fixture->queries = kinds_vectors(kind->type, QUERIES, DIM, 2);
	input.rows = fixture->rows;
	kinds_build(kind, &input, &fixture->image, &fixture->local);
	assert_int_equal(layout_check_header(fixture->image.bytes, fixture->image.size,
					     &fixture->layout, error, sizeof(error)),
			 0);
	fixture->granted = aligned_alloc(PAGE, (fixture->image.size + PAGE - 1) / PAGE * PAGE);
	fixture->memory = aligned_alloc(PAGE, MEMORY);
	assert_true(fixture->granted && fixture->memory);
	memcpy(fixture->granted, fixture->image.bytes, fixture->image.size);
}

/* A reader that is granted the segment for 'lease_ms', and that stops by itself after 'own_ms'. */
static void grant(struct fixture *fixture, uint32_t lease_ms, uint32_t own_ms, uint32_t rkey_flip)
{
	const uint8_t *image = fixture->image.bytes;
	const struct reader_config config = {
		.in_flight = IN_FLIGHT,
		.ef_max = 256,
		.k_max = K,
		.breadth = 4,
		.generation = fixture->local.generation,
		.header_crc = load_le32(image + LAYOUT_AT_HEADER_CRC),
	};
	struct fetch_verbs_options options = {
		.depth = FETCH_VERBS_DEPTH_MIN,
		.memory = fixture->memory,
		.memory_size = MEMORY,
	};
	struct rig *rig = &fixture->rig;

	fixture->link = rig_connect(rig);
	fixture->lease = rig_granted(rig, rig->regions[0], rig_owner_side(rig, fixture->link), 0,
				     fixture->image.size, lease_ms);
	options.link = fixture->link;
	options.remote_addr = fixture->lease.remote_addr;
	options.size = fixture->lease.size;
	options.rkey = fixture->lease.rkey ^ rkey_flip;
	options.expires_ns = rig->now_ns + own_ms * NS_PER_MS;
	assert_int_equal(fetch_verbs_open(&options, &fixture->fetch), 0);
	assert_int_equal(
		reader_new(fixture->fetch, fixture->memory, MEMORY, &config, &fixture->reader), 0);
}

static void set_up(struct fixture *fixture, const struct kind *kind)
{
	*fixture = (struct fixture){0};
	make_segment(fixture, kind);
	rig_open(&fixture->rig, real_verbs_ops(), /* real= */ true);
	if (region_register(fixture->rig.owner.device, fixture->granted, fixture->image.size,
			    &fixture->rig.regions[0], error, sizeof(error)))
		fail_msg("%s", error);
}

static void tear_down(struct fixture *fixture)
{
	struct rig *rig = &fixture->rig;

	link_close(fixture->link);
	fetch_verbs_link_closed(fixture->fetch);
	fetch_close(fixture->fetch);
	reader_free(fixture->reader);
	rig_pass(rig, SETTLE_NS);
	region_end(rig->regions[0], rig->now_ns);
	rig_pass(rig, REGION_GRACE_NS + SETTLE_NS);
	assert_int_equal(region_state(rig->regions[0]), REGION_ENDED);
	region_free(rig->regions[0]);
	rig->regions[0] = NULL;
	rig_close(rig);
	build_image_free(&fixture->image);
	free(fixture->granted);
	free(fixture->rows);
	free(fixture->queries);
	free(fixture->memory);
}

/* --- searches --- */

static void turn(struct fixture *fixture)
{
	rig_turn(&fixture->rig, 1);
	(void)reader_turn(fixture->reader, clock_now_ns());
}

static enum reader_state open_it(struct fixture *fixture)
{
	uint64_t until_ns = clock_now_ns() + PATIENCE_NS;

	while (reader_state(fixture->reader) == READER_OPENING && clock_now_ns() < until_ns)
		turn(fixture);
	return reader_state(fixture->reader);
}

static void assert_owners_answer(struct fixture *fixture, struct search *search,
				 const struct reader_answer *answer)
{
	const struct search_params params = {.k = K, .ef = EF};
	const float *query = fixture->queries + answer->tag % QUERIES * DIM;
	struct search_hit hits[K];
	unsigned count = kinds_ask(search, &fixture->local, query, &params, hits);

	assert_int_equal(answer->hit_count, count);
	assert_memory_equal(answer->hits, hits, count * sizeof(hits[0]));
}

/*
 * Asks 'count' questions, as many under way as go, and compares what is answered; when 'half' of
 * them have been, calls 'then'. Returns how many were answered before the reader failed, if it did;
 * each of those under way then has the error in '*ret_error'.
 */
static unsigned ask_all(struct fixture *fixture, uint64_t count, unsigned half,
			void (*then)(struct fixture *fixture), int *ret_error)
{
	struct search *search = index_search(&fixture->local);
	uint64_t until_ns = clock_now_ns() + PATIENCE_NS;
	unsigned asked = 0, answered = 0, failed = 0;
	struct reader_answer answers[IN_FLIGHT];

	while (answered + failed < count && !(failed && failed + answered == asked)) {
		unsigned taken;

		assert_true(clock_now_ns() < until_ns);
		while (asked < count && reader_state(fixture->reader) == READER_READY &&
		       reader_ask(fixture->reader,
				  fixture->queries + (size_t)(asked % QUERIES) * DIM, K, EF,
				  asked) == 0)
			asked++;
		turn(fixture);
		taken = reader_take(fixture->reader, answers, IN_FLIGHT);
		for (unsigned i = 0; i < taken; i++) {
			if (answers[i].error) {
				failed++;
				*ret_error = answers[i].error;
				continue;
			}
			assert_owners_answer(fixture, search, &answers[i]);
			if (++answered == half && then)
				then(fixture);
		}
	}
	search_free(search);
	return answered;
}

static void assert_failed(struct fixture *fixture, const char *why)
{
	assert_int_equal(reader_state(fixture->reader), READER_FAILED);
	if (!strstr(reader_error(fixture->reader), why))
		fail_msg("'%s' says nothing of '%s'", reader_error(fixture->reader), why);
}

/* --- tests --- */

static void answers_are_the_owners_own_in_every_layout(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_COUNT(kinds_read); i++) {
		struct fixture fixture;
		int unused = 0;

		set_up(&fixture, &kinds_read[i]);
		grant(&fixture, LONG_MS, LONG_MS, 0);
		assert_int_equal(open_it(&fixture), READER_READY);
		assert_int_equal(ask_all(&fixture, QUERIES, 0, NULL, &unused), QUERIES);
		print_message("%u: %llu READs of %llu bytes\n", i,
			      (unsigned long long)fixture.fetch->stats.reads,
			      (unsigned long long)fixture.fetch->stats.bytes);
		tear_down(&fixture);
	}
}

static void a_damaged_outline_is_told(void **state)
{
	struct fixture fixture;

	(void)state;
	set_up(&fixture, &kinds_read[2]);
	fixture.granted[fixture.layout.labels + 5] ^= 0x10;
	grant(&fixture, LONG_MS, LONG_MS, 0);
	assert_int_equal(open_it(&fixture), READER_FAILED);
	assert_failed(&fixture, "checksum");
	tear_down(&fixture);
}

/* Neighbours beyond the segment's end in every row. */
static void spoil_rows(struct fixture *fixture)
{
	memset(fixture->granted + fixture->layout.rows, 0xfe,
	       (size_t)COUNT * fixture->layout.row_stride);
}

static void damaged_rows_end_the_search_with_an_error(void **state)
{
	struct fixture fixture;
	int why = 0;

	(void)state;
	set_up(&fixture, &kinds_read[2]);
	grant(&fixture, LONG_MS, LONG_MS, 0);
	assert_int_equal(open_it(&fixture), READER_READY);
	spoil_rows(&fixture);
	assert_int_equal(ask_all(&fixture, QUERIES, 0, NULL, &why), 0);
	assert_true(why < 0);
	assert_failed(&fixture, "neighbour");
	tear_down(&fixture);
}

static void a_reader_stops_by_its_own_clock_when_its_lease_is_over(void **state)
{
	struct fixture fixture;
	int why = 0;

	(void)state;
	set_up(&fixture, &kinds_read[1]);
	grant(&fixture, LONG_MS, SHORT_MS, 0);
	assert_int_equal(open_it(&fixture), READER_READY);
	rig_pass(&fixture.rig, SHORT_MS * NS_PER_MS);
	assert_int_equal(ask_all(&fixture, QUERIES, 0, NULL, &why), 0);
	assert_int_equal(why, -ETIMEDOUT);
	assert_failed(&fixture, "the lease is over");
	tear_down(&fixture);
}

static void a_reader_without_a_clock_is_refused_by_the_device_when_its_lease_is_over(void **state)
{
	struct fixture fixture;
	int why = 0;

	(void)state;
	set_up(&fixture, &kinds_read[1]);
	grant(&fixture, SHORT_MS, LONG_MS, 0);
	assert_int_equal(open_it(&fixture), READER_READY);
	rig_pass(&fixture.rig, SHORT_MS * NS_PER_MS + SETTLE_NS);
	assert_int_equal(ask_all(&fixture, QUERIES, 0, NULL, &why), 0);
	assert_int_equal(why, -EACCES);
	assert_failed(&fixture, "refused the key");
	tear_down(&fixture);
}

static void a_wrong_key_opens_nothing(void **state)
{
	struct fixture fixture;

	(void)state;
	set_up(&fixture, &kinds_read[1]);
	grant(&fixture, LONG_MS, LONG_MS, /* rkey_flip= */ 0x5500);
	assert_int_equal(open_it(&fixture), READER_FAILED);
	assert_failed(&fixture, "refused the key");
	tear_down(&fixture);
}

/* The owner takes the lease back while questions are under way. */
static void revoke(struct fixture *fixture)
{
	assert_true(region_revoke(fixture->rig.regions[0], fixture->lease.id));
}

static void hang_up(struct fixture *fixture)
{
	struct link *side = rig_owner_side(&fixture->rig, fixture->link);

	assert_non_null(side);
	region_link_closed(fixture->rig.regions[0], side);
	link_close(side);
}

static void what_the_owner_ends_in_the_middle_ends_the_reader(void **state)
{
	static const struct {
		void (*then)(struct fixture *fixture);
		const char *why;
	} ends[] = {
		{revoke, "refused the key"},
		{hang_up, "connection to the owner has ended"},
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_COUNT(ends); i++) {
		struct fixture fixture;
		int why = 0;

		set_up(&fixture, &kinds_read[0]);
		grant(&fixture, LONG_MS, LONG_MS, 0);
		assert_int_equal(open_it(&fixture), READER_READY);
		assert_in_range(ask_all(&fixture, QUERIES, IN_FLIGHT, ends[i].then, &why),
				IN_FLIGHT, QUERIES - 1);
		assert_true(why < 0);
		assert_failed(&fixture, ends[i].why);
		tear_down(&fixture);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(answers_are_the_owners_own_in_every_layout),
		cmocka_unit_test(a_damaged_outline_is_told),
		cmocka_unit_test(damaged_rows_end_the_search_with_an_error),
		cmocka_unit_test(a_reader_stops_by_its_own_clock_when_its_lease_is_over),
		cmocka_unit_test(
			a_reader_without_a_clock_is_refused_by_the_device_when_its_lease_is_over),
		cmocka_unit_test(a_wrong_key_opens_nothing),
		cmocka_unit_test(what_the_owner_ends_in_the_middle_ends_the_reader),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
