/* SPDX-License-Identifier: Apache-2.0 */

#include "tests/lib/vectors_rig.h"

#include "base/clock.h"
#include "base/hash.h"
#include "hnsw/live_search.h"
#include "tests/lib/test.h"

#include <stdio.h>

void vectors_rig_values(enum vector_type type, uint32_t fill, float values[VECTORS_RIG_DIM])
{
	/* The first four values are the fill's digits, so that different fills differ. */
	for (uint32_t i = 0; i < VECTORS_RIG_DIM; i++) {
		uint64_t digit = i < 4 ? fill >> 8 * i & 127 : hash_mix64(fill * 8 + i) & 127;

		values[i] = (float)digit;
		if (type == VECTOR_I8)
			values[i] -= 64;
		else if (type == VECTOR_F32 && i >= 4)
			values[i] += 0.5f;
	}
}

int vectors_rig_commit(struct store *store, enum store_durability durability)
{
	uint64_t lsn;
	int r;

	while ((r = store_commit(store, durability, &lsn)) == STORE_E_BUSY) {
		r = store_settle(store);
		if (r != 0)
			return r;
	}
	return r == 0 && durability == STORE_SYNC ? store_sync(store) : r;
}

void vectors_rig_catch_up(struct vectors *vectors)
{
	int r = vectors_settle(vectors);

	if (r != 0)
		fail_msg("settling: %d %s", r, vectors_error(vectors));
}

static unsigned ask(struct live_search *search, const float *values, struct search_hit *hits,
		    unsigned count)
{
	struct search_params params = {.k = count, .ef = VECTORS_RIG_LABELS};

	live_search_begin(search, values, &params);
	while (!live_search_step(search)) {
	}
	return live_search_hits(search, hits, count);
}

static void report(void *context, const char *line)
{
	fprintf(stderr, "%s\n", line);
}

void vectors_rig_compare(struct vectors *vectors, const struct vectors_state *state)
{
	enum vector_type type = vectors_schema(vectors)->type;
	struct search_hit hits[VECTORS_RIG_LABELS];
	struct live_search *search;
	float values[VECTORS_RIG_DIM];
	uint64_t faults = UINT64_MAX;
	unsigned live = 0;

	assert_int_equal(vectors_check(vectors, report, NULL, &faults), 0);
	assert_int_equal(faults, 0);
	assert_int_equal(live_search_new(vectors_live(vectors), VECTORS_RIG_LABELS, &search), 0);
	for (uint32_t label = 0; label < VECTORS_RIG_LABELS; label++) {
		if (state->fills[label] == 0)
			continue;
		live++;
		vectors_rig_values(type, state->fills[label], values);
		assert_int_equal(ask(search, values, hits, 1), 1);
		if (hits[0].label != label || hits[0].distance > 0)
			fail_msg("label %u: found %u at %g", label, hits[0].label,
				 (double)hits[0].distance);
	}
	vectors_rig_values(type, 1, values);
	assert_int_equal(ask(search, values, hits, VECTORS_RIG_LABELS), live);
	for (unsigned i = 0; i < live; i++) {
		assert_true(hits[i].label < VECTORS_RIG_LABELS);
		assert_true(state->fills[hits[i].label] != 0);
	}
	live_search_free(search);
}
