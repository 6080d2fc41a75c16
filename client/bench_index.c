/* SPDX-License-Identifier: Apache-2.0 */

#include "client/bench_index.h"

#include "base/defs.h"
#include "client/cmd.h"
#include "cluster/manifest.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* What x86-64 and most of aarch64 call huge. */
#define HUGE_PAGE (UINT64_C(2) << 20)

struct bench_lane {
	const struct bench_index *index;
	struct search *search;   /* owned */
	struct search_hit *hits; /* owned: k_max of them, merged so far */
	struct search_hit *more; /* owned: those of one segment, and then the merged ones */
	uint32_t hit_count;
	uint32_t segment; /* which one is searched */
	const float *query;
	struct search_params params;
	struct search_stats stats; /* of all segments that were searched */
};

/*
 * Moves the image to memory that may be of huge pages: random reads are what a search is made of,
 * and a page walk each would be measured along with it. Returns CMD_DONE or CMD_FAILED.
 */
static int take_image(struct bench_index *index, const struct build_image *image)
{
	char error[256];
	void *memory;

	index->image_size = align_up(image->size, HUGE_PAGE);
	memory = mmap(NULL, index->image_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
		      -1, 0);
	if (memory == MAP_FAILED)
		return cmd_fail("no memory for an index of %zu bytes; give fewer vectors",
				image->size);
	index->image = memory;
	/* Only a wish: without huge pages it is slower, not wrong. */
	(void)madvise(memory, index->image_size, MADV_HUGEPAGE);
	memcpy(memory, image->bytes, image->size);
	if (segment_attach(memory, image->size, index->segments, error, sizeof(error)))
		return cmd_fail("the index just built is refused: %s", error);
	index->segment_count = 1;
	index->vector_count = index->segments[0].count;
	index->size = image->size;
	return CMD_DONE;
}

int bench_index_build(const float *rows, uint32_t count, uint32_t dim,
		      const struct build_options *options, struct bench_index *ret_index)
{
	struct bench_index index = {.segments = calloc(1, sizeof(*index.segments))};
	struct build_image image;
	uint64_t bad_row = 0;
	int result, status;

	if (!index.segments)
		return cmd_fail("out of memory");
	result = build_segment(rows, NULL, count, dim, options, &image, &bad_row);
	if (result) {
		bench_index_close(&index);
		return result == BUILD_E_VALUE
			       ? cmd_fail("row %" PRIu64 " has a value that is not finite", bad_row)
			       : cmd_fail("no index: %s; give fewer vectors", strerror(-result));
	}
	status = take_image(&index, &image);
	build_image_free(&image);
	if (status != CMD_DONE)
		bench_index_close(&index);
	else
		*ret_index = index;
	return status;
}

static int open_segments(const char *folder, const struct manifest *manifest,
			 struct bench_index *index)
{
	const struct segment_open_options options = {.huge = true, .numa_node = -1};
	char path[PATH_MAX], error[256];

	for (uint32_t i = 0; i < manifest->shard_count; i++) {
		struct segment *segment = &index->segments[i];

		if (snprintf(path, sizeof(path), "%s/%s", folder, manifest->shards[i].segment) >=
		    (int)sizeof(path))
			return cmd_fail("%s: the path is too long", folder);
		error[0] = 0;
		if (segment_open(path, &options, segment, error, sizeof(error)))
			return cmd_fail("%s: %s; build the folder again", path, error);
		index->segment_count++;
		index->vector_count += segment->count;
		index->size += segment->image_size;
		if (segment->dim != manifest->dim || segment->metric != manifest->metric ||
		    segment->count != manifest->shards[i].count)
			return cmd_fail("%s: isn't what the manifest says; build the folder again",
					path);
	}
	return CMD_DONE;
}

int bench_index_open(const char *folder, uint32_t count, uint32_t dim, enum metric metric,
		     struct bench_index *ret_index)
{
	struct bench_index index = {0};
	struct manifest manifest;
	char error[512];
	int status;

	if (manifest_load(folder, &manifest, error, sizeof(error)))
		return cmd_fail("%s", error);
	if (manifest.dim != dim || manifest.count != count || manifest.metric != metric) {
		status = cmd_fail("%s: has %" PRIu64 " vectors of %" PRIu32
				  " values under %s, the base has %" PRIu32 " of %" PRIu32
				  " under %s; give the base it was built from",
				  folder, manifest.count, manifest.dim,
				  metric_name(manifest.metric), count, dim, metric_name(metric));
		manifest_deinit(&manifest);
		return status;
	}
	index.segments = calloc(manifest.shard_count, sizeof(*index.segments));
	status = index.segments ? open_segments(folder, &manifest, &index)
				: cmd_fail("out of memory");
	manifest_deinit(&manifest);
	if (status != CMD_DONE)
		bench_index_close(&index);
	else
		*ret_index = index;
	return status;
}

void bench_index_close(struct bench_index *index)
{
	for (uint32_t i = 0; i < index->segment_count; i++)
		segment_close(&index->segments[i]);
	free(index->segments);
	if (index->image)
		munmap(index->image, index->image_size);
	*index = (struct bench_index){0};
}

static struct search_limits limits_of(const struct bench_index *index, uint32_t k_max,
				      uint32_t ef_max)
{
	struct search_limits limits = {.ef_max = MAX(k_max, ef_max)};

	for (uint32_t i = 0; i < index->segment_count; i++) {
		limits.node_max = MAX(limits.node_max, index->segments[i].count);
		limits.dim_max = MAX(limits.dim_max, index->segments[i].dim);
	}
	return limits;
}

int bench_lane_new(const struct bench_index *index, uint32_t k_max, uint32_t ef_max,
		   struct bench_lane **ret_lane)
{
	const struct search_limits limits = limits_of(index, k_max, ef_max);
	struct bench_lane *lane = calloc(1, sizeof(*lane));
	int result;

	if (!lane)
		return -ENOMEM;
	lane->index = index;
	lane->hits = calloc(k_max, sizeof(*lane->hits));
	lane->more = calloc(2 * (size_t)k_max, sizeof(*lane->more));
	result = lane->hits && lane->more ? search_new(&limits, &lane->search) : -ENOMEM;
	if (result)
		bench_lane_free(lane);
	else
		*ret_lane = lane;
	return result;
}

void bench_lane_free(struct bench_lane *lane)
{
	if (!lane)
		return;
	search_free(lane->search);
	free(lane->hits);
	free(lane->more);
	free(lane);
}

/* Goes to the next segment that has vectors; false when there is none. */
static bool begin_segment(struct bench_lane *lane)
{
	while (lane->segment < lane->index->segment_count) {
		const struct segment *segment = &lane->index->segments[lane->segment];

		if (segment->count) {
			search_begin(lane->search, segment, lane->query, &lane->params);
			return true;
		}
		lane->segment++;
	}
	return false;
}

void bench_lane_begin(struct bench_lane *lane, const float *query,
		      const struct search_params *params)
{
	lane->query = query;
	lane->params = *params;
	lane->segment = 0;
	lane->hit_count = 0;
	(void)begin_segment(lane);
}

static bool before(const struct search_hit *a, const struct search_hit *b)
{
	return a->distance < b->distance || (a->distance == b->distance && a->label < b->label);
}

/* Merges what one segment found into the hits so far; both are in order. */
static void merge(struct bench_lane *lane)
{
	uint32_t k = lane->params.k, found, a = 0, b = 0;

	if (lane->index->segment_count == 1) {
		lane->hit_count = search_hits(lane->search, lane->hits, k);
		return;
	}
	found = search_hits(lane->search, lane->more + k, k);
	memcpy(lane->more, lane->hits, lane->hit_count * sizeof(*lane->hits));
	for (uint32_t i = 0; i < k && (a < lane->hit_count || b < found); i++) {
		bool old = b == found ||
			   (a < lane->hit_count && before(&lane->more[a], &lane->more[k + b]));

		lane->hits[i] = old ? lane->more[a++] : lane->more[k + b++];
	}
	lane->hit_count = MIN(k, lane->hit_count + found);
}

bool bench_lane_step(struct bench_lane *lane)
{
	struct search_stats stats;

	if (lane->segment == lane->index->segment_count)
		return true;
	if (!search_step(lane->search))
		return false;
	stats = search_stats(lane->search);
	lane->stats.hops += stats.hops;
	lane->stats.distances += stats.distances;
	merge(lane);
	lane->segment++;
	return !begin_segment(lane);
}

struct search_stats bench_lane_stats(const struct bench_lane *lane)
{
	return lane->stats;
}

uint32_t bench_lane_hits(const struct bench_lane *lane, struct search_hit *hits)
{
	memcpy(hits, lane->hits, lane->hit_count * sizeof(*hits));
	return lane->hit_count;
}
