/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/test.h"

#include "base/byteorder.h"
#include "base/defs.h"
#include "base/rand.h"
#include "hnsw/layout.h"
#include "hnsw/remote.h"
#include "hnsw/search.h"
#include "tests/lib/index.h"
#include "tests/lib/kinds.h"
#include "tests/lib/reseal.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define COUNT   1500
#define DIM     20
#define QUERIES 16
#define WINDOW  64 /* wants under way */

#define ANSWER_MAX 1024

/* A fetcher that brings wants late and out of order. */
struct source {
	const uint8_t *image;
	struct remote *remote;
	struct remote_want wants[WINDOW];
	unsigned count;
	uint64_t fetched;
	uint64_t bytes;
	struct rand rand;
};

static void source_fill(struct source *source)
{
	source->count +=
		remote_take(source->remote, source->wants + source->count, WINDOW - source->count);
}

/* Brings one of those under way, any. Returns what remote_arrived() says. */
static int source_bring(struct source *source)
{
	unsigned which = (unsigned)rand_below(&source->rand, source->count);
	struct remote_want want = source->wants[which];

	source->wants[which] = source->wants[--source->count];
	memcpy(want.to, source->image + want.offset, want.size);
	source->fetched++;
	source->bytes += want.size;
	return remote_arrived(source->remote, want.tag);
}

struct fixture {
	struct build_image image;
	struct segment local;
	struct source source;
	void *memory;
	uint64_t memory_size;
};

static int open_remote(struct fixture *fixture, uint32_t slots)
{
	struct source *source = &fixture->source;
	char error[256] = "";
	int result = remote_new(fixture->image.bytes, fixture->image.size, &source->remote, error,
				sizeof(error));

	assert_int_equal(result, 0);
	fixture->memory_size = remote_memory(source->remote, slots);
	fixture->memory = aligned_alloc(64, align_up(fixture->memory_size, 64));
	assert_non_null(fixture->memory);
	assert_int_equal(remote_start(source->remote, slots, fixture->memory), 0);
	source->image = fixture->image.bytes;
	rand_init(&source->rand, 7);
	while ((result = remote_check(source->remote)) == -EAGAIN) {
		source_fill(source);
		assert_true(source->count > 0);
		if (source_bring(source))
			return SEGMENT_E_CORRUPT;
	}
	return result;
}

static void close_remote(struct fixture *fixture)
{
	remote_free(fixture->source.remote);
	free(fixture->memory);
	fixture->source = (struct source){0};
}

static void fixture_init(struct fixture *fixture, const struct kind *kind, const float *rows)
{
	/* Both orders come up. */
	const struct kinds_input input = {
		.rows = rows,
		.count = COUNT,
		.dim = DIM,
		.order = kind->metric == METRIC_COSINE ? BUILD_ORDER_GRAPH : BUILD_ORDER_LABEL,
	};

	*fixture = (struct fixture){0};
	kinds_build(kind, &input, &fixture->image, &fixture->local);
}

static void fixture_deinit(struct fixture *fixture)
{
	build_image_free(&fixture->image);
}

/* Several searches at once, each going on when what it waits for has come. */
static void run_remote(struct source *source, struct search **searches, unsigned count,
		       unsigned breadth)
{
	bool done[8] = {false};
	unsigned left = count;

	while (left > 0) {
		for (unsigned i = 0; i < count; i++) {
			while (!done[i]) {
				done[i] = search_step(searches[i]);
				left -= done[i];
				if (search_waits(searches[i])) {
					search_foresee(searches[i], breadth);
					break;
				}
			}
		}
		source_fill(source);
		if (source->count > 0)
			assert_int_equal(source_bring(source), 0);
	}
}

static void assert_same_answer(const struct search *a, const struct search *b, unsigned k)
{
	struct search_hit left[ANSWER_MAX], right[ANSWER_MAX];
	unsigned count = search_hits(a, left, k);

	assert_int_equal(count, search_hits(b, right, k));
	assert_memory_equal(left, right, count * sizeof(left[0]));
}

/* Every query, alone and four at once, must get what the owner's search gives. */
static void compare(struct fixture *fixture, const float *queries,
		    const struct search_params *params, unsigned together, unsigned breadth)
{
	const struct segment *far = remote_segment(fixture->source.remote);
	struct search *local = index_search(&fixture->local), *searches[8];

	for (unsigned i = 0; i < together; i++)
		searches[i] = index_search(&fixture->local);
	for (unsigned first = 0; first < QUERIES; first += together) {
		for (unsigned i = 0; i < together; i++)
			search_begin(searches[i], far, queries + (size_t)(first + i) * DIM, params);
		run_remote(&fixture->source, searches, together, breadth);
		for (unsigned i = 0; i < together; i++) {
			search_begin(local, &fixture->local, queries + (size_t)(first + i) * DIM,
				     params);
			search_burst(&local, 1);
			assert_same_answer(local, searches[i], params->k);
		}
	}
	for (unsigned i = 0; i < together; i++)
		search_free(searches[i]);
	search_free(local);
}

/* Some rows twice, so that there are twins. */
static float *rows_of(const struct kind *kind, uint64_t seed)
{
	float *rows = kinds_vectors(kind->type, COUNT, DIM, seed);

	for (unsigned i = 0; i < COUNT / 10; i++)
		memcpy(rows + (size_t)(COUNT - 1 - i) * DIM, rows + (size_t)(i / 3) * DIM,
		       DIM * sizeof(*rows));
	return rows;
}

static void every_kind_answers_as_its_owner_does(void **state)
{
	(void)state;
	for (unsigned i = 0; i < kinds_count; i++) {
		float *rows = rows_of(&kinds[i], 3);
		float *queries = kinds_vectors(kinds[i].type, QUERIES, DIM, 4);
		struct search_params params = {.k = 10, .ef = 48};
		struct fixture fixture;

		fixture_init(&fixture, &kinds[i], rows);
		assert_int_equal(open_remote(&fixture, REMOTE_SLOT_MIN), 0);
		compare(&fixture, queries, &params, 1, 0);
		compare(&fixture, queries, &params, 4, 8);
		params.patience = 6;
		compare(&fixture, queries, &params, 4, 2);
		close_remote(&fixture);
		fixture_deinit(&fixture);
		free(rows);
		free(queries);
	}
}

/* The label of every third row. */
static struct filter *filter_new_thirds(void)
{
	struct filter *filter;
	uint8_t *bytes = malloc(16 + 2 * COUNT);
	uint32_t count = 0;

	assert_non_null(bytes);
	store_le32(bytes, 12346);
	store_le32(bytes + 4, 1);
	for (uint32_t label = 0; label < COUNT; label += 3)
		store_le16(bytes + 16 + 2 * count++, (uint16_t)label);
	store_le16(bytes + 8, 0);
	store_le16(bytes + 10, (uint16_t)(count - 1));
	store_le32(bytes + 12, 16);
	assert_int_equal(filter_new(COUNT, &filter), 0);
	assert_int_equal(filter_read(filter, bytes, 16 + 2 * (size_t)count), 0);
	free(bytes);
	return filter;
}

static void filters_and_deep_answers_are_the_owners(void **state)
{
	static const struct kind some[] = {
		{METRIC_L2, VECTOR_F32, BUILD_ROWS_COMPACT, BUILD_LAYOUT_EDGES},
		{METRIC_COSINE, VECTOR_F32, BUILD_ROWS_COMPACT, BUILD_LAYOUT_PLAIN},
		{METRIC_L2, VECTOR_U8, BUILD_ROWS_FULL, BUILD_LAYOUT_PLAIN},
	};
	struct filter *filter = filter_new_thirds();

	(void)state;
	for (unsigned i = 0; i < ARRAY_COUNT(some); i++) {
		float *rows = rows_of(&some[i], 5);
		float *queries = kinds_vectors(some[i].type, QUERIES, DIM, 6);
		struct search_params params = {.k = 100, .ef = 200};
		struct fixture fixture;

		fixture_init(&fixture, &some[i], rows);
		assert_int_equal(open_remote(&fixture, 4 * REMOTE_SLOT_MIN), 0);
		compare(&fixture, queries, &params, 2, 4);
		params.filter = filter;
		params.k = 10;
		compare(&fixture, queries, &params, 2, 4);
		close_remote(&fixture);
		fixture_deinit(&fixture);
		free(rows);
		free(queries);
	}
	filter_free(filter);
}

/* Each needs more rows for its last comparisons than there are slots for all. */
static void answers_larger_than_the_memory_are_the_owners(void **state)
{
	static const struct kind kind = {METRIC_L2, VECTOR_F32, BUILD_ROWS_COMPACT,
					 BUILD_LAYOUT_EDGES};
	const struct search_params params = {.k = 500};
	float *rows = rows_of(&kind, 8), *queries = kinds_vectors(kind.type, QUERIES, DIM, 9);
	struct fixture fixture;

	(void)state;
	fixture_init(&fixture, &kind, rows);
	assert_int_equal(open_remote(&fixture, 2 * REMOTE_SLOT_MIN), 0);
	compare(&fixture, queries, &params, 2, 4);
	/* Some rows are asked for again, but not without end. */
	assert_true(fixture.source.fetched < (uint64_t)QUERIES * COUNT * 4);
	close_remote(&fixture);
	fixture_deinit(&fixture);
	free(rows);
	free(queries);
}

/* An owner can claim any count; the reader's memory would be filled before the rest is seen. */
static void an_outline_without_measure_is_refused(void **state)
{
	static const struct kind kind = {METRIC_L2, VECTOR_F32, BUILD_ROWS_COMPACT,
					 BUILD_LAYOUT_PLAIN};
	_Alignas(SEGMENT_ALIGN) uint8_t header[REMOTE_HEADER_SIZE];
	float *rows = rows_of(&kind, 8);
	struct layout_shape shape;
	struct fixture fixture;
	struct remote *remote;
	struct layout layout;
	char error[256] = "";

	(void)state;
	fixture_init(&fixture, &kind, rows);
	memcpy(header, fixture.image.bytes, sizeof(header));
	store_le32(header + LAYOUT_AT_COUNT, SEGMENT_COUNT_MAX - 1);
	shape = layout_shape_of(header);
	layout = layout_of(&shape);
	layout_store(&layout, header);
	store_le32(header + LAYOUT_AT_HEADER_CRC, crc32c(header, LAYOUT_AT_HEADER_CRC));
	assert_int_equal(remote_new(header, layout.size, &remote, error, sizeof(error)),
			 SEGMENT_E_CORRUPT);
	assert_non_null(strstr(error, "outline"));
	fixture_deinit(&fixture);
	free(rows);
}

/* Candidates asked for ahead spare round trips, and codes of edges spare reads. */
static uint64_t rounds(struct fixture *fixture, const float *query, unsigned breadth)
{
	struct search *search = index_search(&fixture->local);
	struct source *source = &fixture->source;
	uint64_t count = 0;

	search_begin(search, remote_segment(source->remote), query,
		     &(struct search_params){.k = 10, .ef = 64});
	while (!search_step(search)) {
		if (!search_waits(search))
			continue;
		search_foresee(search, breadth);
		source_fill(source);
		count += source->count > 0;
		while (source->count > 0)
			assert_int_equal(source_bring(source), 0);
	}
	search_free(search);
	return count;
}

static void foresight_spares_round_trips(void **state)
{
	static const struct kind kind = {METRIC_L2, VECTOR_F32, BUILD_ROWS_COMPACT,
					 BUILD_LAYOUT_EDGES};
	float *rows = rows_of(&kind, 7), *queries = kinds_vectors(kind.type, QUERIES, DIM, 8);
	struct fixture fixture;
	uint64_t without = 0, with = 0;

	(void)state;
	fixture_init(&fixture, &kind, rows);
	for (unsigned breadth = 0; breadth <= 8; breadth += 8) {
		assert_int_equal(open_remote(&fixture, REMOTE_SLOT_MIN), 0);
		for (unsigned i = 0; i < QUERIES; i++)
			*(breadth ? &with : &without) +=
				rounds(&fixture, queries + (size_t)i * DIM, breadth);
		close_remote(&fixture);
	}
	assert_true(with * 2 < without);
	fixture_deinit(&fixture);
	free(rows);
	free(queries);
}

static void an_empty_segment_has_no_answer(void **state)
{
	static const struct kind kind = {METRIC_L2, VECTOR_F32, BUILD_ROWS_COMPACT,
					 BUILD_LAYOUT_PLAIN};
	const struct kinds_input input = {.count = 0, .dim = DIM};
	struct fixture fixture = {0};
	struct search *search;

	(void)state;
	kinds_build(&kind, &input, &fixture.image, &fixture.local);
	assert_int_equal(open_remote(&fixture, REMOTE_SLOT_MIN), 0);
	search = index_search(&fixture.local);
	search_begin(search, remote_segment(fixture.source.remote), (float[DIM]){0},
		     &(struct search_params){.k = 10});
	assert_true(search_step(search));
	assert_int_equal(search_hits(search, NULL, 0), 0);
	search_free(search);
	close_remote(&fixture);
	fixture_deinit(&fixture);
}

/* Whatever an owner shows: an error, or an answer; never a read outside, never no end. */
static void ask_hostile(struct fixture *fixture, const float *query)
{
	struct search *search;
	struct source *source = &fixture->source;
	struct search_hit hits[10];
	unsigned idle = 0;

	if (open_remote(fixture, REMOTE_SLOT_MIN) == 0) {
		search = index_search(&fixture->local);
		search_begin(search, remote_segment(source->remote), query,
			     &(struct search_params){.k = 10, .ef = 32});
		while (idle < 2 && !search_step(search)) {
			source_fill(source);
			idle = source->count > 0 || !search_waits(search) ? 0 : idle + 1;
			if (source->count > 0 && source_bring(source)) {
				search_abandon(search);
				break;
			}
		}
		if (idle == 2)
			search_abandon(search);
		if (remote_check(source->remote) == 0)
			assert_true(search_hits(search, hits, 10) <= 10);
		else
			assert_true(strlen(remote_error(source->remote)) > 0);
		search_free(search);
	}
	close_remote(fixture);
}

static void hostile_bytes_end_in_an_error_or_an_answer(void **state)
{
	static const struct kind kind_list[] = {
		{METRIC_L2, VECTOR_F32, BUILD_ROWS_COMPACT, BUILD_LAYOUT_EDGES},
		{METRIC_COSINE, VECTOR_F32, BUILD_ROWS_COMPACT, BUILD_LAYOUT_PLAIN},
	};
	struct rand rand;

	(void)state;
	rand_init(&rand, 11);
	for (unsigned i = 0; i < ARRAY_COUNT(kind_list); i++) {
		float *rows = rows_of(&kind_list[i], 9);
		struct fixture fixture;
		uint8_t *image, *good;

		fixture_init(&fixture, &kind_list[i], rows);
		image = fixture.image.bytes;
		good = malloc(fixture.image.size);
		assert_non_null(good);
		memcpy(good, image, fixture.image.size);
		for (unsigned round = 0; round < 300; round++) {
			for (unsigned hits = 1 + (unsigned)rand_below(&rand, 64); hits > 0; hits--)
				image[REMOTE_HEADER_SIZE +
				      rand_below(&rand, fixture.image.size - REMOTE_HEADER_SIZE)] =
					(uint8_t)rand_next(&rand);
			if (round % 2)
				reseal(image, fixture.image.size);
			ask_hostile(&fixture, rows);
			memcpy(image, good, fixture.image.size);
		}
		free(good);
		fixture_deinit(&fixture);
		free(rows);
	}
}

static void damage_is_found_where_it_is_read(void **state)
{
	static const struct kind kind = {METRIC_L2, VECTOR_F32, BUILD_ROWS_COMPACT,
					 BUILD_LAYOUT_EDGES};
	float *rows = rows_of(&kind, 9);
	struct fixture fixture;
	uint8_t *image;
	char error[256] = "";
	struct remote *remote;

	(void)state;
	fixture_init(&fixture, &kind, rows);
	image = fixture.image.bytes;
	image[fixture.image.size - 70] ^= 1;
	assert_int_equal(open_remote(&fixture, REMOTE_SLOT_MIN), SEGMENT_E_CORRUPT);
	assert_non_null(strstr(remote_error(fixture.source.remote), "outline"));
	close_remote(&fixture);
	image[fixture.image.size - 70] ^= 1;
	image[100] ^= 1;
	assert_int_equal(remote_new(image, fixture.image.size, &remote, error, sizeof(error)),
			 SEGMENT_E_CORRUPT);
	image[100] ^= 1;
	/* A neighbour beyond the nodes, in every row: the first that arrives ends it. */
	for (uint32_t node = 0; node < COUNT; node++)
		store_le32(image + load_le64(image + LAYOUT_AT_ROWS) +
				   node * fixture.local.row_stride,
			   COUNT);
	assert_int_equal(open_remote(&fixture, REMOTE_SLOT_MIN), 0);
	{
		struct search *search = index_search(&fixture.local);

		search_begin(search, remote_segment(fixture.source.remote), rows,
			     &(struct search_params){.k = 10});
		while (!search_step(search) && !search_waits(search))
			;
		source_fill(&fixture.source);
		assert_int_equal(source_bring(&fixture.source), SEGMENT_E_CORRUPT);
		assert_int_equal(remote_check(fixture.source.remote), SEGMENT_E_CORRUPT);
		assert_non_null(strstr(remote_error(fixture.source.remote), "neighbour 1500"));
		search_abandon(search);
		assert_int_equal(search_hits(search, NULL, 0), 0);
		search_free(search);
	}
	close_remote(&fixture);
	fixture_deinit(&fixture);
	free(rows);
}

/* Asks for rows one after the other, so that the slots are taken once more and a bit. */
static void cycle_slots(struct source *source, uint32_t first)
{
	for (uint32_t node = first; node < first + 3 * REMOTE_SLOT_MIN / 2; node++) {
		remote_ask(source->remote, REMOTE_ROWS, node);
		source_fill(source);
		while (source->count > 0)
			assert_int_equal(source_bring(source), 0);
	}
}

static const struct kind plain_kind = {METRIC_L2, VECTOR_F32, BUILD_ROWS_FULL, BUILD_LAYOUT_PLAIN};
static const struct kind edges_kind = {METRIC_L2, VECTOR_F32, BUILD_ROWS_COMPACT,
				       BUILD_LAYOUT_EDGES};

static void what_is_pinned_is_neither_lost_nor_forgotten(void **state)
{
	float *rows = rows_of(&edges_kind, 13);
	struct fixture fixture;
	struct remote *remote;
	uint32_t slot;

	(void)state;
	fixture_init(&fixture, &edges_kind, rows);
	assert_int_equal(open_remote(&fixture, REMOTE_SLOT_MIN), 0);
	remote = fixture.source.remote;
	assert_int_equal(remote_pin(remote, REMOTE_ROWS, 5), UINT32_MAX);
	remote_ask(remote, REMOTE_ROWS, 5);
	slot = remote_pin(remote, REMOTE_ROWS, 5);
	assert_int_not_equal(slot, UINT32_MAX);
	assert_int_equal(remote_slot(remote, REMOTE_ROWS, 5), UINT32_MAX);
	cycle_slots(&fixture.source, 6);
	remote_forget(remote);
	assert_int_equal(remote_slot(remote, REMOTE_ROWS, 5), slot);
	assert_memory_equal(remote_row(remote, slot), layout_row(&fixture.local, 5),
			    fixture.local.row_stride);
	remote_unpin(remote, REMOTE_ROWS, slot);
	cycle_slots(&fixture.source, 600);
	assert_int_equal(remote_slot(remote, REMOTE_ROWS, 5), UINT32_MAX);
	cycle_slots(&fixture.source, 5);
	remote_forget(remote);
	assert_int_equal(remote_slot(remote, REMOTE_ROWS, 300), UINT32_MAX);
	close_remote(&fixture);
	fixture_deinit(&fixture);
	free(rows);
}

static void a_record_is_pinned_as_often_as_can_be_counted(void **state)
{
	float *rows = rows_of(&edges_kind, 13);
	struct fixture fixture;
	struct remote *remote;
	uint32_t slot;

	(void)state;
	fixture_init(&fixture, &edges_kind, rows);
	assert_int_equal(open_remote(&fixture, REMOTE_SLOT_MIN), 0);
	remote = fixture.source.remote;
	remote_ask(remote, REMOTE_ROWS, 5);
	slot = remote_pin(remote, REMOTE_ROWS, 5);
	for (unsigned i = 1; i < UINT16_MAX; i++)
		assert_int_equal(remote_pin(remote, REMOTE_ROWS, 5), slot);
	assert_int_equal(remote_pin(remote, REMOTE_ROWS, 5), UINT32_MAX);
	for (unsigned i = 0; i < UINT16_MAX; i++)
		remote_unpin(remote, REMOTE_ROWS, slot);
	close_remote(&fixture);
	fixture_deinit(&fixture);
	free(rows);
}

static uint32_t kept_rows(const struct remote *remote)
{
	uint32_t count = 0;

	for (uint32_t node = 0; node < COUNT; node++)
		count += remote_slot(remote, REMOTE_ROWS, node) != UINT32_MAX;
	return count;
}

static void rows_above_level_0_are_there_at_once_and_for_good(void **state)
{
	float *rows = rows_of(&plain_kind, 15);
	struct fixture fixture;
	struct remote *remote;
	uint32_t kept;
	bool was_kept[COUNT];

	(void)state;
	fixture_init(&fixture, &plain_kind, rows);
	assert_int_equal(open_remote(&fixture, REMOTE_SLOT_MIN), 0);
	remote = fixture.source.remote;
	kept = kept_rows(remote);
	assert_true(kept > 0);
	assert_int_equal(remote_stats(remote).rows, kept);
	for (uint32_t node = 0; node < COUNT; node++)
		was_kept[node] = remote_slot(remote, REMOTE_ROWS, node) != UINT32_MAX;
	cycle_slots(&fixture.source, 0);
	cycle_slots(&fixture.source, COUNT / 2);
	assert_true(kept_rows(remote) > kept);
	remote_forget(remote);
	for (uint32_t node = 0; node < COUNT; node++)
		assert_int_equal(remote_slot(remote, REMOTE_ROWS, node) != UINT32_MAX,
				 was_kept[node]);
	close_remote(&fixture);
	fixture_deinit(&fixture);
	free(rows);
}

static void opening_fetches_what_it_says(void **state)
{
	static const struct kind *const both[] = {&plain_kind, &edges_kind};

	(void)state;
	for (unsigned i = 0; i < ARRAY_COUNT(both); i++) {
		float *rows = rows_of(both[i], 17);
		struct fixture fixture;

		fixture_init(&fixture, both[i], rows);
		assert_int_equal(open_remote(&fixture, REMOTE_SLOT_MIN), 0);
		assert_int_equal(remote_outline_size(fixture.source.remote), fixture.source.bytes);
		close_remote(&fixture);
		fixture_deinit(&fixture);
		free(rows);
	}
}

/* In as many slots as there are, the last one included. */
static void wants_lie_in_the_memory_that_was_given(void **state)
{
	float *rows = rows_of(&plain_kind, 19);
	struct fixture fixture;
	struct remote *remote;
	const uint8_t *memory, *end;

	(void)state;
	fixture_init(&fixture, &plain_kind, rows);
	assert_int_equal(open_remote(&fixture, REMOTE_SLOT_MIN), 0);
	remote = fixture.source.remote;
	memory = fixture.memory;
	end = memory + fixture.memory_size;
	for (uint32_t node = 0; node < COUNT; node++) {
		struct remote_want want;

		remote_ask(remote, REMOTE_ROWS, node);
		while (remote_take(remote, &want, 1) == 1) {
			const uint8_t *to = want.to;

			assert_true(to >= memory && to + want.size <= end);
			memcpy(want.to, fixture.source.image + want.offset, want.size);
			assert_int_equal(remote_arrived(remote, want.tag), 0);
		}
	}
	close_remote(&fixture);
	fixture_deinit(&fixture);
	free(rows);
}

static void foresight_takes_a_quarter_of_the_slots_at_most(void **state)
{
	float *rows = rows_of(&edges_kind, 13);
	struct fixture fixture;
	struct remote *remote;

	(void)state;
	fixture_init(&fixture, &edges_kind, rows);
	assert_int_equal(open_remote(&fixture, REMOTE_SLOT_MIN), 0);
	remote = fixture.source.remote;
	for (uint32_t node = 0; node < REMOTE_SLOT_MIN / 4; node++) {
		assert_true(remote_has_room(remote));
		remote_ask(remote, REMOTE_ROWS, node);
		if (node == 10)
			source_fill(&fixture.source); /* what is under way counts too */
	}
	assert_false(remote_has_room(remote));
	source_fill(&fixture.source);
	while (fixture.source.count > 0)
		assert_int_equal(source_bring(&fixture.source), 0);
	assert_true(remote_has_room(remote));
	close_remote(&fixture);
	fixture_deinit(&fixture);
	free(rows);
}

static void the_number_of_slots_has_limits(void **state)
{
	float *rows = rows_of(&edges_kind, 13);
	_Alignas(64) static uint8_t memory[64];
	struct fixture fixture;
	struct remote *remote;
	char error[256];

	(void)state;
	fixture_init(&fixture, &edges_kind, rows);
	assert_int_equal(
		remote_new(fixture.image.bytes, fixture.image.size, &remote, error, sizeof(error)),
		0);
	assert_int_equal(remote_start(remote, REMOTE_SLOT_MIN - 1, memory), -EINVAL);
	assert_int_equal(remote_start(remote, REMOTE_SLOT_MAX + 1, memory), -EINVAL);
	remote_free(remote);
	fixture_deinit(&fixture);
	free(rows);
}

static void an_ended_remote_wants_nothing(void **state)
{
	float *rows = rows_of(&edges_kind, 13);
	struct fixture fixture;
	struct remote *remote;
	struct remote_want wants[4];
	uint64_t asked;

	(void)state;
	fixture_init(&fixture, &edges_kind, rows);
	assert_int_equal(open_remote(&fixture, REMOTE_SLOT_MIN), 0);
	remote = fixture.source.remote;
	for (uint32_t node = 0; node < 4; node++)
		remote_ask(remote, REMOTE_ROWS, node);
	assert_int_equal(remote_take(remote, wants, 1), 1);
	memset(wants[0].to, 0x77, wants[0].size);
	assert_int_equal(remote_arrived(remote, wants[0].tag), SEGMENT_E_CORRUPT);
	asked = remote_stats(remote).rows;
	assert_int_equal(remote_take(remote, wants, 4), 0);
	remote_ask(remote, REMOTE_ROWS, 9);
	assert_int_equal(remote_stats(remote).rows, asked);
	close_remote(&fixture);
	fixture_deinit(&fixture);
	free(rows);
}

/* Goes on until it has to wait with at least that many candidates before it, and nothing asked. */
static void walk_into(struct fixture *fixture, struct search *search, unsigned hops)
{
	struct source *source = &fixture->source;

	while (search_stats(search).hops < hops || !search_waits(search)) {
		assert_false(search_step(search));
		if (!search_waits(search) || search_stats(search).hops >= hops)
			continue;
		source_fill(source);
		while (source->count > 0)
			assert_int_equal(source_bring(source), 0);
	}
}

static void foresight_asks_as_broadly_as_it_is_told_and_leaves_room(void **state)
{
	float *rows = rows_of(&edges_kind, 21);
	const unsigned breadths[] = {1, 3, 1000};
	struct fixture fixture;

	(void)state;
	fixture_init(&fixture, &edges_kind, rows);
	for (unsigned i = 0; i < ARRAY_COUNT(breadths); i++) {
		struct search *search = index_search(&fixture.local);
		struct remote *remote;
		uint64_t before, asked;

		assert_int_equal(open_remote(&fixture, REMOTE_SLOT_MIN), 0);
		remote = fixture.source.remote;
		search_begin(search, remote_segment(remote), rows,
			     &(struct search_params){.k = 10, .ef = 200});
		walk_into(&fixture, search, 8);
		before = remote_stats(remote).rows;
		search_foresee(search, breadths[i]);
		asked = remote_stats(remote).rows - before;
		assert_true(asked > 0 && asked <= breadths[i]);
		assert_true(asked <= REMOTE_SLOT_MIN / 4);
		search_abandon(search);
		search_free(search);
		close_remote(&fixture);
	}
	fixture_deinit(&fixture);
	free(rows);
}

/* The vectors that the best are compared by at last cost no more rows. */
static void comparing_exactly_asks_for_vectors_alone(void **state)
{
	static const struct kind compact = {METRIC_L2, VECTOR_F32, BUILD_ROWS_COMPACT,
					    BUILD_LAYOUT_PLAIN};
	float *rows = rows_of(&compact, 23);
	struct fixture fixture;
	struct source *source = &fixture.source;
	struct search *search;
	uint64_t walked = 0;

	(void)state;
	fixture_init(&fixture, &compact, rows);
	assert_int_equal(open_remote(&fixture, REMOTE_SLOT_MIN), 0);
	search = index_search(&fixture.local);
	search_begin(search, remote_segment(source->remote), rows,
		     &(struct search_params){.k = 100, .ef = 200});
	while (!search_step(search)) {
		if (remote_stats(source->remote).vectors == 0)
			walked = remote_stats(source->remote).rows;
		if (!search_waits(search))
			continue;
		remote_forget(source->remote);
		source_fill(source);
		while (source->count > 0)
			assert_int_equal(source_bring(source), 0);
	}
	assert_true(remote_stats(source->remote).vectors >= 100);
	assert_int_equal(remote_stats(source->remote).rows, walked);
	search_free(search);
	close_remote(&fixture);
	fixture_deinit(&fixture);
	free(rows);
}

/* One word that breaks it, in each part that all searches follow, behind right checksums. */
static void outlines_that_lead_astray_are_refused(void **state)
{
	float *rows = rows_of(&edges_kind, 25);
	struct fixture fixture;
	uint8_t *image, *good;

	(void)state;
	fixture_init(&fixture, &edges_kind, rows);
	image = fixture.image.bytes;
	good = malloc(fixture.image.size);
	assert_non_null(good);
	{
		const uint64_t owners = load_le64(image + LAYOUT_AT_OWNERS);
		const uint64_t upper = load_le64(image + LAYOUT_AT_UPPER);
		const uint64_t twins = load_le64(image + LAYOUT_AT_TWINS);
		const uint64_t landmarks = load_le64(image + LAYOUT_AT_LANDMARKS);
		/* A record that the entry isn't. */
		const uint64_t other = owners + (fixture.local.entry_record == 0 ? 8 : 0);
		const struct {
			uint64_t at;
			uint32_t value;
			bool unlinked; /* without any link above level 0, which would tell too */
		} words[] = {
			{LAYOUT_AT_ENTRY, COUNT, false},
			{LAYOUT_AT_ENTRY, UINT32_MAX, false},
			{LAYOUT_AT_ENTRY_RECORD, UINT32_MAX, false},
			{other, COUNT, true},
			{other, UINT32_MAX, true},
			{other + 4, SEGMENT_LEVEL_MAX + 1, true},
			{upper + 4, UINT32_MAX - 1, false},
			{upper + 4, fixture.local.upper_count, false},
			{twins + 4 * (COUNT - 1), COUNT, false},
			{landmarks, COUNT, false},
			{load_le64(image + LAYOUT_AT_LABELS), UINT32_MAX, false},
		};

		assert_int_not_equal(load_le32(image + upper), LAYOUT_NONE);
		memcpy(good, image, fixture.image.size);
		for (unsigned i = 0; i < ARRAY_COUNT(words); i++) {
			for (uint32_t j = 0; words[i].unlinked && j < fixture.local.upper_count;
			     j++)
				store_le32(image + upper + j * fixture.local.upper_stride,
					   LAYOUT_NONE);
			store_le32(image + words[i].at, words[i].value);
			reseal(image, fixture.image.size);
			if (open_remote(&fixture, REMOTE_SLOT_MIN) != SEGMENT_E_CORRUPT)
				fail_msg("word %u was accepted", i);
			close_remote(&fixture);
			memcpy(image, good, fixture.image.size);
		}
	}
	free(good);
	fixture_deinit(&fixture);
	free(rows);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_kind_answers_as_its_owner_does),
		cmocka_unit_test(filters_and_deep_answers_are_the_owners),
		cmocka_unit_test(answers_larger_than_the_memory_are_the_owners),
		cmocka_unit_test(an_outline_without_measure_is_refused),
		cmocka_unit_test(foresight_spares_round_trips),
		cmocka_unit_test(an_empty_segment_has_no_answer),
		cmocka_unit_test(hostile_bytes_end_in_an_error_or_an_answer),
		cmocka_unit_test(damage_is_found_where_it_is_read),
		cmocka_unit_test(what_is_pinned_is_neither_lost_nor_forgotten),
		cmocka_unit_test(a_record_is_pinned_as_often_as_can_be_counted),
		cmocka_unit_test(rows_above_level_0_are_there_at_once_and_for_good),
		cmocka_unit_test(opening_fetches_what_it_says),
		cmocka_unit_test(wants_lie_in_the_memory_that_was_given),
		cmocka_unit_test(foresight_takes_a_quarter_of_the_slots_at_most),
		cmocka_unit_test(the_number_of_slots_has_limits),
		cmocka_unit_test(an_ended_remote_wants_nothing),
		cmocka_unit_test(foresight_asks_as_broadly_as_it_is_told_and_leaves_room),
		cmocka_unit_test(comparing_exactly_asks_for_vectors_alone),
		cmocka_unit_test(outlines_that_lead_astray_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
