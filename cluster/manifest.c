/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Manifest - JSON by way of jansson; docs/format/manifest.md is the table.
 *
 * Two passes: the first takes the values out by name and type, unknown and
 * repeated names refused; the second holds them against each other and the
 * limits. So a file that loads is one that manifest_save() could have written.
 */

#include "cluster/manifest.h"

#include "base/check.h"
#include "base/hash.h"
#include "cluster/replace.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FORMAT  "tern-manifest"
#define VERSION 1

static_assert(MANIFEST_SHARD_MAX == HASH_VSHARD_COUNT, "a shard for each vShard");

static const char *const partition_names[] = {
	[MANIFEST_PARTITION_KMEANS] = "kmeans",
	[MANIFEST_PARTITION_HASH] = "hash",
};

/* Where the one line about what is wrong goes. */
struct complaint {
	char *text;
	size_t size;
};

/* Foreign names stand in some of the texts: what could break the line becomes a '?'. */
PRINTF_LIKE(2, 3)
static int invalid(const struct complaint *complaint, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(complaint->text, complaint->size, format, args);
	va_end(args);
	for (char *at = complaint->text; *at; at++)
		if ((unsigned char)*at < ' ')
			*at = '?';
	return MANIFEST_E_INVALID;
}

const char *manifest_partition_name(enum manifest_partition partition)
{
	CHECK(partition < ARRAY_COUNT(partition_names));
	return partition_names[partition];
}

int manifest_partition_parse(const char *name, enum manifest_partition *ret_partition)
{
	for (size_t i = 0; i < ARRAY_COUNT(partition_names); i++)
		if (strcmp(name, partition_names[i]) == 0) {
			*ret_partition = (enum manifest_partition)i;
			return 0;
		}
	return -EINVAL;
}

bool manifest_collection_valid(const char *collection)
{
	size_t length = strlen(collection);
	json_t *string;

	if (length == 0 || length > MANIFEST_COLLECTION_MAX)
		return false;
	string = json_stringn(collection, length);
	json_decref(string);
	return string != NULL;
}

uint32_t manifest_vshard(const char *collection, uint32_t index)
{
	return (hash_collection(0, collection, strlen(collection)) + index) % HASH_VSHARD_COUNT;
}

struct member {
	const char *name;
	json_type type;
};

static const struct member head_members[] = {
	{"format", JSON_STRING}, {"v", JSON_INTEGER},          {"collection", JSON_STRING},
	{"metric", JSON_STRING}, {"partition", JSON_STRING},   {"dim", JSON_INTEGER},
	{"count", JSON_INTEGER}, {"generation", JSON_INTEGER}, {"shards", JSON_ARRAY},
};

static const struct member shard_members[] = {
	{"vshard", JSON_INTEGER},       {"count", JSON_INTEGER},       {"segment", JSON_STRING},
	{"segment_size", JSON_INTEGER}, {"segment_crc", JSON_INTEGER}, {"coarse", JSON_STRING},
	{"coarse_crc", JSON_INTEGER},
};

static const char *type_name(json_type type)
{
	return type == JSON_STRING ? "a string" : type == JSON_ARRAY ? "a list" : "a whole number";
}

static bool is_member(const char *name, const struct member *members, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(name, members[i].name) == 0)
			return true;
	return false;
}

/* Does it have exactly these members, each of its type? 'where' stands in front of errors. */
static int check_members(const struct complaint *complaint, const char *where, json_t *object,
			 const struct member *members, size_t count)
{
	json_t *value;

	if (!json_is_object(object))
		return invalid(complaint, "%sno object", where);
	for (void *at = json_object_iter(object); at; at = json_object_iter_next(object, at))
		if (!is_member(json_object_iter_key(at), members, count))
			return invalid(complaint, "%sunknown member '%s'", where,
				       json_object_iter_key(at));
	for (size_t i = 0; i < count; i++) {
		value = json_object_get(object, members[i].name);
		if (!value || json_typeof(value) != members[i].type)
			return invalid(
				complaint, "%s'%s' %s %s", where, members[i].name,
				value ? "is not" : "is missing:", type_name(members[i].type));
	}
	return 0;
}

/* A name that can't leave its folder and isn't hidden in it. */
static bool plain_name(const char *name)
{
	size_t length = strlen(name);

	return length > 0 && length <= MANIFEST_FILE_MAX && name[0] != '.' && !strchr(name, '/');
}

static bool in_u32(json_int_t value)
{
	return value >= 0 && value <= UINT32_MAX;
}

static int read_shard(const struct complaint *complaint, const struct manifest *manifest,
		      uint32_t index, json_t *object, struct manifest_shard *ret_shard)
{
	json_int_t vshard, count, segment_size, segment_crc, coarse_crc;
	uint32_t expected = manifest_vshard(manifest->collection, index);
	const char *segment, *coarse;
	char where[32];
	int result;

	snprintf(where, sizeof(where), "shards[%" PRIu32 "]: ", index);
	result = check_members(complaint, where, object, shard_members, ARRAY_COUNT(shard_members));
	if (result)
		return result;
	result = json_unpack(object, "{s:I, s:I, s:s, s:I, s:I, s:s, s:I}", "vshard", &vshard,
			     "count", &count, "segment", &segment, "segment_size", &segment_size,
			     "segment_crc", &segment_crc, "coarse", &coarse, "coarse_crc",
			     &coarse_crc);
	CHECK(result == 0);
	if (!in_u32(count) || !in_u32(segment_crc) || !in_u32(coarse_crc) || segment_size < 0)
		return invalid(complaint, "%sa number is out of range", where);
	if (vshard != expected)
		return invalid(complaint,
			       "%svshard is %" JSON_INTEGER_FORMAT
			       ", collection '%s' puts this shard on %" PRIu32,
			       where, vshard, manifest->collection, expected);
	if (!plain_name(segment) || !plain_name(coarse))
		return invalid(complaint,
			       "%sa file's name has 1 to %d bytes, no '/' and no '.' in front",
			       where, MANIFEST_FILE_MAX);
	*ret_shard = (struct manifest_shard){
		.vshard = expected,
		.count = (uint32_t)count,
		.segment_size = (uint64_t)segment_size,
		.segment_crc = (uint32_t)segment_crc,
		.coarse_crc = (uint32_t)coarse_crc,
	};
	memcpy(ret_shard->segment, segment, strlen(segment) + 1);
	memcpy(ret_shard->coarse, coarse, strlen(coarse) + 1);
	return 0;
}

static int read_shards(const struct complaint *complaint, json_t *array, struct manifest *manifest)
{
	size_t count = json_array_size(array);
	uint64_t vectors = 0;

	if (count == 0 || count > MANIFEST_SHARD_MAX)
		return invalid(complaint, "shards is a list of 1 to %d", MANIFEST_SHARD_MAX);
	manifest->shard_count = (uint32_t)count;
	manifest->shards = calloc(count, sizeof(*manifest->shards));
	if (!manifest->shards)
		return -ENOMEM;
	for (uint32_t i = 0; i < count; i++) {
		int result = read_shard(complaint, manifest, i, json_array_get(array, i),
					&manifest->shards[i]);

		if (result)
			return result;
		vectors += manifest->shards[i].count;
	}
	if (vectors != manifest->count)
		return invalid(complaint,
			       "count is %" PRIu64 ", the shards have %" PRIu64 " vectors together",
			       manifest->count, vectors);
	return 0;
}

/* Fills all but the shards. */
static int read_head(const struct complaint *complaint, json_t *root, struct manifest *manifest,
		     json_t **ret_shards)
{
	const char *format, *collection, *metric, *partition;
	json_int_t version, dim, count, generation;
	size_t collection_length;
	int result;

	/* First what tells whether the rest means what it says. */
	if (json_unpack(root, "{s:s, s:I}", "format", &format, "v", &version) ||
	    strcmp(format, FORMAT) != 0)
		return invalid(complaint, "no 'format' \"%s\" with a 'v': is it a manifest?",
			       FORMAT);
	if (version != VERSION)
		return invalid(complaint, "v is %" JSON_INTEGER_FORMAT ", %d is read", version,
			       VERSION);
	result = check_members(complaint, "", root, head_members, ARRAY_COUNT(head_members));
	if (result)
		return result;
	result =
		json_unpack(root, "{s:s%, s:s, s:s, s:I, s:I, s:I, s:o}", "collection", &collection,
			    &collection_length, "metric", &metric, "partition", &partition, "dim",
			    &dim, "count", &count, "generation", &generation, "shards", ret_shards);
	CHECK(result == 0);
	if (collection_length == 0 || collection_length > MANIFEST_COLLECTION_MAX)
		return invalid(complaint, "collection has %zu bytes, 1 to %d are read",
			       collection_length, MANIFEST_COLLECTION_MAX);
	if (metric_parse(metric, &manifest->metric))
		return invalid(complaint, "metric '%s' is none of l2, ip, cosine", metric);
	if (manifest_partition_parse(partition, &manifest->partition))
		return invalid(complaint, "partition '%s' is neither kmeans nor hash", partition);
	if (dim < 1 || dim > MANIFEST_DIM_MAX)
		return invalid(complaint, "dim is %" JSON_INTEGER_FORMAT ", 1 to %d are read", dim,
			       MANIFEST_DIM_MAX);
	if (!in_u32(count) || generation < 1)
		return invalid(complaint, "count or generation is out of range");
	memcpy(manifest->collection, collection, collection_length);
	manifest->dim = (uint32_t)dim;
	manifest->count = (uint64_t)count;
	manifest->generation = (uint64_t)generation;
	return 0;
}

int manifest_decode(const void *bytes, size_t size, struct manifest *ret_manifest, char *error,
		    size_t error_size)
{
	const struct complaint complaint = {error, error_size};
	struct manifest manifest = {0};
	json_t *root, *shards = NULL;
	json_error_t where;
	int result;

	if (size > MANIFEST_SIZE_MAX)
		return invalid(&complaint, "%zu bytes are more than the %u that are read", size,
			       MANIFEST_SIZE_MAX);
	root = json_loadb(bytes, size, JSON_REJECT_DUPLICATES, &where);
	if (!root)
		return invalid(&complaint, "line %d, column %d: %s", where.line, where.column,
			       where.text);
	result = read_head(&complaint, root, &manifest, &shards);
	if (!result)
		result = read_shards(&complaint, shards, &manifest);
	json_decref(root);
	if (result)
		manifest_deinit(&manifest);
	else
		*ret_manifest = manifest;
	return result;
}

/* Reads the file whole; its size is checked by the caller's limit before memory is taken. */
static int read_file(int fd, size_t size, char **ret_bytes)
{
	char *bytes = malloc(size + 1);
	size_t done = 0;

	if (!bytes)
		return -ENOMEM;
	while (done < size) {
		ssize_t got = read(fd, bytes + done, size - done);

		if (got <= 0) {
			int code = got < 0 ? errno : EIO;

			free(bytes);
			return -code;
		}
		done += (size_t)got;
	}
	*ret_bytes = bytes;
	return 0;
}

/* Opens the manifest that 'path' means: the file, or the one inside the folder. */
static int open_manifest(const char *path, char file[PATH_MAX], struct stat *ret_stat)
{
	struct stat stat_;
	int fd, length;

	if (stat(path, &stat_) < 0)
		return -errno;
	length =
		snprintf(file, PATH_MAX, S_ISDIR(stat_.st_mode) ? "%s/" MANIFEST_NAME : "%s", path);
	if (length >= PATH_MAX)
		return -ENAMETOOLONG;
	fd = open(file, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (fstat(fd, ret_stat) < 0 || !S_ISREG(ret_stat->st_mode)) {
		close(fd);
		return -EINVAL;
	}
	return fd;
}

int manifest_load(const char *path, struct manifest *ret_manifest, char *error, size_t error_size)
{
	char file[PATH_MAX], reason[256] = "";
	char *bytes = NULL;
	struct stat stat = {0};
	int fd, result;

	snprintf(file, sizeof(file), "%s", path);
	fd = open_manifest(path, file, &stat);
	if (fd < 0) {
		snprintf(error, error_size, "%s: can't be opened: %s; 'tern build' makes it", file,
			 strerror(-fd));
		return fd;
	}
	if (stat.st_size > MANIFEST_SIZE_MAX) {
		snprintf(error, error_size, "%s: more than %u bytes: no manifest of ours", file,
			 MANIFEST_SIZE_MAX);
		close(fd);
		return MANIFEST_E_INVALID;
	}
	result = read_file(fd, (size_t)stat.st_size, &bytes);
	close(fd);
	if (result) {
		snprintf(error, error_size, "%s: can't be read: %s", file, strerror(-result));
		return result;
	}
	result = manifest_decode(bytes, (size_t)stat.st_size, ret_manifest, reason, sizeof(reason));
	free(bytes);
	if (result)
		snprintf(error, error_size, "%s: %s", file,
			 result == -ENOMEM ? "out of memory" : reason);
	return result;
}

static json_t *shard_json(const struct manifest_shard *shard)
{
	return json_pack("{s:I, s:I, s:s, s:I, s:I, s:s, s:I}", "vshard", (json_int_t)shard->vshard,
			 "count", (json_int_t)shard->count, "segment", shard->segment,
			 "segment_size", (json_int_t)shard->segment_size, "segment_crc",
			 (json_int_t)shard->segment_crc, "coarse", shard->coarse, "coarse_crc",
			 (json_int_t)shard->coarse_crc);
}

/* NULL when memory is short, or when the collection's name is no UTF-8. */
static json_t *manifest_json(const struct manifest *manifest)
{
	json_t *shards = json_array(), *root;

	for (uint32_t i = 0; i < manifest->shard_count; i++)
		/* Takes the object; a NULL one is an error too. */
		if (json_array_append_new(shards, shard_json(&manifest->shards[i]))) {
			json_decref(shards);
			return NULL;
		}
	root = json_pack("{s:s, s:i, s:s, s:s, s:s, s:I, s:I, s:I, s:o}", "format", FORMAT, "v",
			 VERSION, "collection", manifest->collection, "metric",
			 metric_name(manifest->metric), "partition",
			 manifest_partition_name(manifest->partition), "dim",
			 (json_int_t)manifest->dim, "count", (json_int_t)manifest->count,
			 "generation", (json_int_t)manifest->generation, "shards", shards);
	return root;
}

int manifest_save(const struct manifest *manifest, const char *folder)
{
	json_t *root = manifest_json(manifest);
	struct replace replace = {0};
	char path[PATH_MAX];
	int result;

	if (!root)
		return -EINVAL;
	if (snprintf(path, sizeof(path), "%s/" MANIFEST_NAME, folder) >= PATH_MAX)
		result = -ENAMETOOLONG;
	else
		result = replace_begin(&replace, path);
	if (!result) {
		if (json_dumpf(root, replace.file, JSON_INDENT(2)) == 0 &&
		    fputc('\n', replace.file) != EOF) {
			result = replace_commit(&replace);
		} else {
			replace_abort(&replace);
			result = -EIO;
		}
	}
	json_decref(root);
	return result;
}

void manifest_deinit(struct manifest *manifest)
{
	free(manifest->shards);
	manifest->shards = NULL;
	manifest->shard_count = 0;
}
