/* SPDX-License-Identifier: Apache-2.0 */
#include "base/byteorder.h"
#include "base/crc.h"
#include "base/defs.h"
#include "hnsw/filter.h"
#include "hnsw/layout.h"
#include "hnsw/search.h"
#include "tests/lib/reseal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/*
 * A segment that is accepted must be one that can be searched: no read outside
 * of it, an end, and as many hits as are asked for and there. Checksums are put
 * right on a second try, since nearly every input would end at them.
 */

#define COUNT_MAX 4096
#define K         5
#define EF        20

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

/* All labels from 0 to 2047, as one run. */
static const uint8_t half[] = {0x3B, 0x30, 0, 0, 1, 0, 0, 0xFF, 7, 1, 0, 0, 0, 0xFF, 7};

/* Within, at both ends of, and beyond what rows can hold. */
static const float values[] = {1, 0, -3e38F, 1e-42F};

/* Equal keys are told apart by their nodes, so that hits are never twice the same. */
static void check_hits(const struct search_hit *hits, unsigned count, const struct filter *filter)
{
	for (unsigned i = 0; i < count; i++)
		if (isnan(hits[i].distance) ||
		    (i > 0 && !search_hit_before(&hits[i - 1], &hits[i])) ||
		    (filter && hits[i].label > filter_label_max(filter)))
			abort();
}

static void ask(struct search *search, const struct segment *segment, const float *query,
		const struct filter *filter)
{
	const struct search_params params = {.k = K, .ef = EF, .filter = filter};
	struct search_hit hits[K];
	unsigned count;

	search_begin(search, segment, query, &params);
	search_burst(&search, 1);
	count = search_hits(search, hits, K);
	if (!filter && count < MIN(K, segment->count))
		abort();
	check_hits(hits, count, filter);
}

static void search_in(const struct segment *segment, const struct filter *filter)
{
	const struct search_limits limits = {
		.node_max = segment->count, .dim_max = segment->dim, .ef_max = EF};
	float *query = calloc(segment->dim, sizeof(*query));
	struct search *search;

	if (!query || search_new(&limits, &search))
		abort();
	for (size_t i = 0; i < ARRAY_COUNT(values); i++) {
		query[0] = values[i];
		query[segment->dim - 1] = -values[i];
		ask(search, segment, query, filter);
	}
	search_free(search);
	free(query);
}

static void try_image(const uint8_t *image, size_t size)
{
	static struct filter *filter;
	struct segment segment;
	char error[200];

	if (!filter && (filter_new(2047, &filter) || filter_read(filter, half, sizeof(half))))
		abort();
	if (segment_attach(image, size, &segment, error, sizeof(error)))
		return;
	if (segment.count > COUNT_MAX)
		return;
	search_in(&segment, NULL);
	search_in(&segment, filter);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	/* The end of the memory is the end of the input, up to alignment. */
	uint8_t *image = aligned_alloc(SEGMENT_ALIGN, align_up(size + 1, SEGMENT_ALIGN));

	if (!image)
		abort();
	memcpy(image, bytes, size);
	try_image(image, size);
	if (size >= LAYOUT_HEADER_SIZE) {
		reseal(image, size);
		try_image(image, size);
	}
	free(image);
	return 0;
}
