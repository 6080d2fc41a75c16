/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Cmd_build - from a file of vectors to a folder that ternd serves
 *
 * Each shard's files are put in place whole, under names that have the new
 * generation in them; the manifest, which alone makes them a collection, comes
 * last. So a crash leaves the old collection or the new one, and at worst files
 * that no manifest names, which the next build writes over.
 */

#include "base/check.h"
#include "base/clock.h"
#include "base/crc.h"
#include "client/cmd.h"
#include "client/cmd_vectors.h"
#include "cluster/manifest.h"
#include "cluster/partition.h"
#include "cluster/replace.h"
#include "hnsw/build.h"
#include "hnsw/search.h"
#include "hnsw/segment.h"
#include "proto/payload_vector.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct build_request {
	const char *base, *out, *collection, *metric_name, *partition_name, *type, *rows;
	struct cmd_layout layout;
	uint64_t shards, m, ef_construction, threads, seed, centroids;
	bool force, json;
};

struct build {
	const struct build_request *request;
	struct cmd_vectors vectors;
	struct cmd_storage storage;
	struct manifest manifest; /* of what is built */
	struct manifest old;      /* of what it replaces; generation 0: nothing */
	struct workers *workers;
	struct partition partition;
	struct partition_options partitioning;
	uint64_t start_ns;
	uint64_t size; /* bytes of all segments so far */
	char what[32]; /* is built, for the progress line */
};

static const char about[] =
	"Distributes the vectors over shards, builds an index and a coarse descriptor for each,\n"
	"and writes them with a manifest. A vector's id is its row in the file.\n";

static int out_path(const struct build *build, const char *name, char path[PATH_MAX])
{
	if (snprintf(path, PATH_MAX, "%s/%s", build->request->out, name) >= PATH_MAX)
		return cmd_fail("%s/%s: the path is too long", build->request->out, name);
	return CMD_DONE;
}

static int write_failed(const char *path, int result)
{
	return cmd_fail("%s: can't be written: %s", path, strerror(-result));
}

/* Removes the files of the first 'count' shards of a manifest; one that isn't there is fine. */
static void remove_files(const struct build *build, const struct manifest *manifest, uint32_t count)
{
	char path[PATH_MAX];

	for (uint32_t i = 0; i < count; i++) {
		const char *const names[] = {manifest->shards[i].segment,
					     manifest->shards[i].coarse};

		for (size_t n = 0; n < ARRAY_COUNT(names); n++)
			if (*names[n] && out_path(build, names[n], path) == CMD_DONE &&
			    unlink(path) < 0 && errno != ENOENT)
				(void)cmd_fail("%s: is left over and can't be removed: %s", path,
					       strerror(errno));
	}
}

/* Makes the folder, or looks at the collection that is in it. */
static int prepare_folder(struct build *build)
{
	const char *out = build->request->out;
	char error[512], path[PATH_MAX];
	struct stat stat_;

	if (mkdir(out, 0755) == 0)
		return CMD_DONE;
	if (errno != EEXIST)
		return cmd_fail("%s: can't be made: %s; choose an --out in a folder that is there "
				"and may be written",
				out, strerror(errno));
	if (stat(out, &stat_) < 0 || !S_ISDIR(stat_.st_mode))
		return cmd_fail("%s: is no folder; choose another --out", out);
	if (out_path(build, MANIFEST_NAME, path) != CMD_DONE)
		return CMD_FAILED;
	if (access(path, F_OK) < 0)
		return CMD_DONE;
	if (!build->request->force)
		return cmd_fail("%s: is there already; --force builds over it", path);
	if (manifest_load(out, &build->old, error, sizeof(error)))
		return cmd_fail("%s; remove it to build here", error);
	return CMD_DONE;
}

static int prepare_manifest(struct build *build, enum metric metric,
			    enum manifest_partition partition)
{
	const struct build_request *request = build->request;
	struct manifest *manifest = &build->manifest;

	*manifest = (struct manifest){
		.metric = metric,
		.partition = partition,
		.dim = build->vectors.dim,
		.count = build->vectors.count,
		.generation = build->old.generation + 1,
		.shard_count = (uint32_t)request->shards,
	};
	manifest->shards = calloc(request->shards, sizeof(*manifest->shards));
	if (!manifest->shards)
		return cmd_fail("out of memory");
	memcpy(manifest->collection, request->collection, strlen(request->collection) + 1);
	build->partitioning = (struct partition_options){
		.kind = partition,
		.metric = metric,
		.shard_count = (uint32_t)request->shards,
		.centroid_count = (uint32_t)request->centroids,
		.seed = request->seed,
	};
	return CMD_DONE;
}

static void progress(void *context, uint64_t done, uint64_t total)
{
	const struct build *build = context;

	cmd_progress(build->what, done, total);
}

static int write_coarse(struct build *build, uint32_t index)
{
	struct manifest_shard *shard = &build->manifest.shards[index];
	char path[PATH_MAX];
	uint8_t *body;
	size_t size;
	int result = partition_summary(&build->vectors.source, &build->partition, index,
				       &build->partitioning, build->workers, &body, &size);

	if (result)
		return cmd_fail("shard %" PRIu32 ": no summary: %s", index, strerror(-result));
	shard->coarse_crc = crc32c(body, size);
	if (out_path(build, shard->coarse, path) != CMD_DONE)
		result = -ENAMETOOLONG;
	else if ((result = replace_file(path, body, size)))
		(void)write_failed(path, result);
	free(body);
	return result ? CMD_FAILED : CMD_DONE;
}

static int save_segment(struct build *build, uint32_t index, const struct build_image *image)
{
	struct manifest_shard *shard = &build->manifest.shards[index];
	char path[PATH_MAX];
	int result;

	shard->segment_size = image->size;
	shard->segment_crc = crc32c(image->bytes, image->size);
	build->size += image->size;
	if (out_path(build, shard->segment, path) != CMD_DONE)
		return CMD_FAILED;
	result = build_image_save(image, path);
	return result ? write_failed(path, result) : CMD_DONE;
}

static struct build_options build_options(struct build *build)
{
	const struct build_request *request = build->request;

	return (struct build_options){
		.metric = build->manifest.metric,
		.type = build->storage.type,
		.rows = build->storage.rows,
		.layout = build->storage.layout,
		.order = build->storage.order,
		.edge_bits = build->storage.edge_bits,
		.m = (uint32_t)request->m,
		.ef_construction = (uint32_t)request->ef_construction,
		.threads = (uint32_t)request->threads,
		.seed = request->seed,
		.generation = build->manifest.generation,
		.progress = progress,
		.context = build,
	};
}

static int write_segment(struct build *build, uint32_t index)
{
	const struct build_options options = build_options(build);
	const uint32_t *rows = build->partition.rows + build->partition.starts[index];
	const struct build_input input = {
		.vectors = build->vectors.source,
		.picks = rows,
		.labels = rows,
		.count = build->manifest.shards[index].count,
	};
	struct build_image image;
	uint64_t bad_row = 0;
	int result = build_index(&input, &options, &image, &bad_row), status;

	/* cmd_storage() has refused what the type can't hold. */
	CHECK(result != BUILD_E_VALUE && result != BUILD_E_TYPE);
	if (result)
		return cmd_fail("shard %" PRIu32 ": no index: %s; try more --shards", index,
				strerror(-result));
	status = save_segment(build, index, &image);
	build_image_free(&image);
	return status;
}

static void report_shard(const struct build *build, uint32_t index, double seconds)
{
	const struct manifest_shard *shard = &build->manifest.shards[index];

	if (build->request->json)
		cmd_json(json_pack("{s:s, s:I, s:I, s:I, s:I, s:f}", "event", "shard", "shard",
				   (json_int_t)index, "vshard", (json_int_t)shard->vshard,
				   "vectors", (json_int_t)shard->count, "bytes",
				   (json_int_t)shard->segment_size, "seconds", seconds));
	else
		printf("shard %" PRIu32 ": vshard %" PRIu32 ", %" PRIu32 " vectors, %" PRIu64
		       " bytes, %.1f s\n",
		       index, shard->vshard, shard->count, shard->segment_size, seconds);
}

static int build_shard(struct build *build, uint32_t index)
{
	struct manifest_shard *shard = &build->manifest.shards[index];
	uint64_t start = clock_now_ns();
	int status;

	shard->vshard = manifest_vshard(build->manifest.collection, index);
	shard->count = build->partition.starts[index + 1] - build->partition.starts[index];
	snprintf(shard->segment, sizeof(shard->segment), "shard-%04" PRIu32 ".g%" PRIu64 ".segment",
		 index, build->manifest.generation);
	snprintf(shard->coarse, sizeof(shard->coarse), "shard-%04" PRIu32 ".g%" PRIu64 ".coarse",
		 index, build->manifest.generation);
	snprintf(build->what, sizeof(build->what), "shard %" PRIu32 " of %" PRIu32, index + 1,
		 build->manifest.shard_count);
	status = write_coarse(build, index);
	if (status == CMD_DONE)
		status = write_segment(build, index);
	if (status == CMD_DONE)
		report_shard(build, index, (double)(clock_now_ns() - start) * 1e-9);
	return status;
}

static void report(const struct build *build)
{
	const struct build_request *request = build->request;
	double seconds = (double)(clock_now_ns() - build->start_ns) * 1e-9;

	if (request->json)
		cmd_json(json_pack(
			"{s:s, s:f, s:I, s:I, s:I, s:s, s:I, s:s, s:I, s:s}", "event", "build",
			"seconds", seconds, "vectors", (json_int_t)build->vectors.count, "dim",
			(json_int_t)build->vectors.dim, "bytes", (json_int_t)build->size, "type",
			vector_type_name(build->storage.type), "shards",
			(json_int_t)request->shards, "collection", request->collection,
			"generation", (json_int_t)build->manifest.generation, "out", request->out));
	else
		printf("%s: collection %s, %" PRIu32 " vectors of %" PRIu32
		       " values (%s) in %" PRIu64 " shards, %" PRIu64 " bytes, %.1f s\n",
		       request->out, request->collection, build->vectors.count, build->vectors.dim,
		       vector_type_name(build->storage.type), request->shards, build->size,
		       seconds);
}

/* Vectors of the largest shard. */
static uint32_t shard_max(const struct build *build)
{
	uint64_t count = build->vectors.count;
	uint64_t share = (count + build->request->shards - 1) / build->request->shards;
	double deviation = sqrt((double)share);

	if (build->manifest.partition == MANIFEST_PARTITION_KMEANS)
		share += share / PARTITION_SLACK;
	else /* a hash's shares are binomial: six deviations more don't happen */
		share += (uint64_t)(6 * deviation);
	return (uint32_t)MIN(share, count);
}

/* What the whole build takes beside a file that is read where it lies: one shard after the other.
 */
static int state_memory(struct build *build)
{
	const struct cmd_vectors *vectors = &build->vectors;
	const struct build_options options = build_options(build);
	uint64_t copied = files_memory(&vectors->file), scratch;
	struct build_memory memory;

	if (build_memory(shard_max(build), vectors->dim, &options, &memory))
		return cmd_fail("%s: shards of %" PRIu32
				" vectors are too large; choose more --shards",
				build->request->base, shard_max(build));
	scratch = partition_memory(&vectors->source, vectors->count, &build->partitioning,
				   options.threads) +
		  memory.scratch;
	if (build->request->json)
		cmd_json(json_pack("{s:s, s:I, s:I, s:I, s:I}", "event", "memory", "vectors",
				   (json_int_t)copied, "image", (json_int_t)memory.image, "scratch",
				   (json_int_t)scratch, "bytes",
				   (json_int_t)copied + (json_int_t)memory.image +
					   (json_int_t)scratch));
	else
		printf("takes at most %.1f MB of memory: %.1f for vectors, %.1f for a shard's "
		       "index, %.1f while it is built\n",
		       1e-6 * (double)(copied + memory.image + scratch), 1e-6 * (double)copied,
		       1e-6 * (double)memory.image, 1e-6 * (double)scratch);
	fflush(stdout);
	return CMD_DONE;
}

static int build_shards(struct build *build)
{
	int status = CMD_DONE, result;

	result = partition_rows(&build->vectors.source, build->vectors.count, &build->partitioning,
				build->workers, &build->partition);
	if (result)
		return cmd_fail("%s: can't be partitioned: %s", build->request->base,
				strerror(-result));
	for (uint32_t i = 0; i < build->manifest.shard_count && status == CMD_DONE; i++)
		status = build_shard(build, i);
	partition_deinit(&build->partition);
	if (status != CMD_DONE) {
		remove_files(build, &build->manifest, build->manifest.shard_count);
		return status;
	}
	/* From here on a manifest may name the files, even if saving it fails at its last step. */
	result = manifest_save(&build->manifest, build->request->out);
	return result ? write_failed(build->request->out, result) : CMD_DONE;
}

static int build_collection(struct build *build, enum metric metric,
			    enum manifest_partition partition)
{
	int status = prepare_folder(build);

	if (status == CMD_DONE)
		status = prepare_manifest(build, metric, partition);
	if (status == CMD_DONE)
		status = state_memory(build);
	if (status != CMD_DONE)
		return status;
	status = build_shards(build);
	if (status == CMD_DONE) {
		/* Nothing names the old files any more. */
		remove_files(build, &build->old, build->old.shard_count);
		report(build);
	}
	return status;
}

/* Opens what is needed, builds, and lets go of it. */
static int run(const struct build_request *request, enum metric metric,
	       enum manifest_partition partition)
{
	struct build build = {.request = request, .start_ns = clock_now_ns()};
	int status = cmd_vectors_open_raw(request->base, "train", &build.vectors);
	int result;

	if (status != CMD_DONE)
		return status;
	status = cmd_storage(request->type, request->rows, metric, &build.vectors, &build.storage);
	if (status == CMD_DONE)
		status = cmd_layout(&request->layout, build.vectors.dim, &build.storage);
	if (status != CMD_DONE) {
		cmd_vectors_close(&build.vectors);
		return status;
	}
	result = workers_new((uint32_t)request->threads, &build.workers);
	if (result)
		status = cmd_fail("%" PRIu64 " threads can't be started: %s; try fewer --threads",
				  request->threads, strerror(-result));
	else if (request->shards > build.vectors.count)
		status = cmd_fail("%s: has %" PRIu32 " vectors, fewer than --shards %" PRIu64
				  "; choose fewer",
				  request->base, build.vectors.count, request->shards);
	else
		status = build_collection(&build, metric, partition);
	manifest_deinit(&build.manifest);
	manifest_deinit(&build.old);
	if (!result)
		workers_free(build.workers);
	cmd_vectors_close(&build.vectors);
	return status;
}

int cmd_build(int argc, char **argv)
{
	struct build_request request = {
		.metric_name = "l2",
		.partition_name = "kmeans",
		.rows = "auto",
		.layout = {.name = "auto", .order = "label"},
		.threads = cmd_cores(),
		.seed = 1,
	};
	const struct cmd_option options[] = {
		{"base", "FILE", "the vectors", .text = &request.base, .required = true},
		{"out", "FOLDER", "where to", .text = &request.out, .required = true},
		{"collection", "NAME", "what clients call it", .text = &request.collection,
		 .required = true},
		{"shards", "N", "how many shards, 1 to 1024", .number = &request.shards, .min = 1,
		 .max = MANIFEST_SHARD_MAX, .required = true},
		{"partition", "NAME", "kmeans (near vectors together) or hash (kmeans)",
		 .text = &request.partition_name},
		{"metric", "NAME", "l2, ip or cosine (l2)", .text = &request.metric_name},
		{"type", "NAME", "store f32, f16, bf16, i8, u8 or b1 (as the file has them)",
		 .text = &request.type},
		{"rows", "NAME", "what the index keeps of f32: auto, compact or full (auto)",
		 .text = &request.rows},
		{"layout", "NAME",
		 "rows alone, or with codes of edges: auto, plain or edges (auto)",
		 .text = &request.layout.name},
		{"edge-bits", "N", "bits of an edge's code, a multiple of 64 (by dimension)",
		 .number = &request.layout.edge_bits, .min = 0, .max = SEGMENT_DIM_MAX},
		{"order", "NAME", "number the index's rows by label or by its graph (label)",
		 .text = &request.layout.order},
		{"m", "N", "neighbours a node (16)", .number = &request.m, .min = 2,
		 .max = SEGMENT_M_MAX},
		{"ef-construction", "N", "width of the search for them (200)",
		 .number = &request.ef_construction, .min = 1, .max = SEARCH_EF_MAX},
		{"centroids", "N", "rows of a shard's coarse descriptor (16)",
		 .number = &request.centroids, .min = 1, .max = VECTOR_CENTROID_MAX},
		{"threads", "N", "threads (one a core); the result doesn't depend on them",
		 .number = &request.threads, .min = 1, .max = WORKERS_MAX},
		{"seed", "N", "of everything random (1)", .number = &request.seed, .min = 0,
		 .max = UINT64_MAX},
		{"force", NULL, "build over a collection that is there", .flag = &request.force},
		{"json", NULL, "print one JSON object a line", .flag = &request.json},
	};
	enum manifest_partition partition;
	enum metric metric;
	int status;

	if (!cmd_options("build", about, options, ARRAY_COUNT(options), argc, argv, &status))
		return status;
	if (!cmd_metric(request.metric_name, &metric))
		return CMD_USAGE;
	if (manifest_partition_parse(request.partition_name, &partition))
		return cmd_usage("--partition takes kmeans or hash, not '%s'",
				 request.partition_name);
	if (!manifest_collection_valid(request.collection))
		return cmd_usage("--collection takes 1 to %d bytes of UTF-8",
				 MANIFEST_COLLECTION_MAX);
	return run(&request, metric, partition);
}
