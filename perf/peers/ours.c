/* SPDX-License-Identifier: Apache-2.0 */

#include "perf/peers/ours.h"

#include "base/defs.h"
#include "hnsw/build.h"
#include "hnsw/search.h"
#include "hnsw/segment.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define OURS_K_MAX 1000

/* What x86-64 calls huge. */
#define HUGE_PAGE (UINT64_C(2) << 20)

struct ours {
	struct segment segment;
	uint8_t *image; /* owned: a mapping of image_size bytes */
	uint64_t image_size;
	uint64_t size; /* of the segment in it */
	uint32_t dim;
	struct search **searches; /* owned: in_flight of them */
	uint32_t *numbers;        /* owned: which query each runs */
	uint32_t in_flight;
	struct search_hit hits[OURS_K_MAX];
};

static int fail(const char *what)
{
	fprintf(stderr, "peers: tern: %s\n", what);
	return 1;
}

/* Moves the image to memory that may be of huge pages, as `tern bench ann` does. */
static int take_image(struct ours *ours, const struct build_image *image)
{
	char error[256];
	void *memory;

	ours->image_size = align_up(image->size, HUGE_PAGE);
	memory = mmap(NULL, ours->image_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
		      -1, 0);
	if (memory == MAP_FAILED)
		return fail("no memory for the image");
	ours->image = memory;
	(void)madvise(memory, ours->image_size, MADV_HUGEPAGE);
	memcpy(memory, image->bytes, image->size);
	ours->size = image->size;
	if (segment_attach(memory, image->size, &ours->segment, error, sizeof(error)))
		return fail(error);
	return 0;
}

static int make_searches(struct ours *ours, const struct set *set,
			 const struct ours_options *options)
{
	const struct search_limits limits = {.node_max = set->base_count,
					     .dim_max = set->dim,
					     .ef_max = MAX(options->ef_max, set->k)};

	ours->in_flight = options->in_flight;
	ours->searches = calloc(ours->in_flight, sizeof(*ours->searches));
	ours->numbers = calloc(ours->in_flight, sizeof(*ours->numbers));
	if (!ours->searches || !ours->numbers)
		return fail("out of memory");
	for (uint32_t i = 0; i < ours->in_flight; i++)
		if (search_new(&limits, &ours->searches[i]))
			return fail("no memory for the searches");
	return 0;
}

int ours_build(const struct set *set, const struct ours_options *options, struct ours **ret_ours)
{
	const struct build_options build = {.metric = set->metric,
					    .type = set->base_file.element == FILES_U8 ? VECTOR_U8
										       : VECTOR_F32,
					    .m = options->m,
					    .ef_construction = options->ef_construction,
					    .threads = options->threads,
					    .seed = 1,
					    .generation = 1};
	struct ours *ours = calloc(1, sizeof(*ours));
	struct build_image image;
	uint64_t bad_row = 0;
	int failed;

	if (!ours)
		return fail("out of memory");
	ours->dim = set->dim;
	failed =
		build_segment(set->base, NULL, set->base_count, set->dim, &build, &image, &bad_row);
	if (failed) {
		fprintf(stderr, "peers: tern: no index: %s at row %" PRIu64 "\n",
			failed > 0 ? "a value that is not finite" : strerror(-failed), bad_row);
	} else {
		failed = take_image(ours, &image);
		build_image_free(&image);
	}
	if (!failed)
		failed = make_searches(ours, set, options);
	if (failed)
		ours_free(ours);
	else
		*ret_ours = ours;
	return failed;
}

void ours_free(struct ours *ours)
{
	if (!ours)
		return;
	for (uint32_t i = 0; ours->searches && i < ours->in_flight; i++)
		search_free(ours->searches[i]);
	free(ours->searches);
	free(ours->numbers);
	if (ours->image)
		munmap(ours->image, ours->image_size);
	free(ours);
}

uint64_t ours_size(const struct ours *ours)
{
	return ours->size;
}

static void begin(struct ours *ours, const float *queries, uint32_t lane, uint32_t number,
		  const struct ours_params *params)
{
	const struct search_params search = {.k = params->k, .ef = params->ef};

	ours->numbers[lane] = number;
	search_begin(ours->searches[lane], &ours->segment, queries + (size_t)number * ours->dim,
		     &search);
}

static void end(struct ours *ours, uint32_t lane, uint32_t k, int32_t *labels)
{
	uint32_t found = search_hits(ours->searches[lane], ours->hits, k);
	int32_t *to = labels + (size_t)ours->numbers[lane] * k;

	for (uint32_t i = 0; i < k; i++)
		to[i] = i < found ? (int32_t)ours->hits[i].label : -1;
}

void ours_search(struct ours *ours, const float *queries, const struct ours_params *params,
		 int32_t *labels)
{
	uint32_t running = MIN(MIN(params->in_flight, ours->in_flight), params->count);
	uint32_t next = running;

	for (uint32_t i = 0; i < running; i++)
		begin(ours, queries, i, i, params);
	while (running)
		for (uint32_t i = 0; i < running;) {
			if (!search_step(ours->searches[i])) {
				i++;
				continue;
			}
			end(ours, i, params->k, labels);
			if (next < params->count) {
				begin(ours, queries, i++, next++, params);
				continue;
			}
			/* The last one takes the free lane. */
			running--;
			struct search *idle = ours->searches[i];
			ours->searches[i] = ours->searches[running];
			ours->numbers[i] = ours->numbers[running];
			ours->searches[running] = idle;
		}
}
