/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/shard.h"

#include "base/check.h"
#include "base/crc.h"
#include "base/defs.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

_Static_assert(SHARD_TABLE_MAX < UINT16_MAX, "links of the table are 16 bits");

/* A descriptor of VECTOR_CENTROID_MAX rows of the largest dimension. */
#define COARSE_SIZE_MAX                                                                            \
	(CENTROID_BODY_HEAD +                                                                      \
	 (size_t)VECTOR_CENTROID_MAX * (CENTROID_ROW_HEAD + sizeof(float) * VECTOR_DIM_MAX))

static int invalid(char *error, size_t error_size, const char *path, const char *what)
{
	snprintf(error, error_size, "%s: %s; build the collection again", path, what);
	return SHARD_E_INVALID;
}

static int os_error(char *error, size_t error_size, const char *path, int r)
{
	snprintf(error, error_size, "%s: %s", path, strerror(-r));
	return r;
}

/* Reads exactly 'size' bytes. */
static int read_all(int fd, uint8_t *bytes, size_t size)
{
	for (size_t done = 0; done < size;) {
		ssize_t n = read(fd, bytes + done, size - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return -EIO; /* it became shorter while we read */
		done += (size_t)n;
	}
	return 0;
}

/* The whole file in memory of its own. */
static int file_read(const char *path, size_t size_max, uint8_t **ret_bytes, size_t *ret_size)
{
	struct stat status;
	uint8_t *bytes;
	int fd;
	int r;

	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (fstat(fd, &status)) {
		r = -errno;
		goto close_fd;
	}
	if (!S_ISREG(status.st_mode) || (uint64_t)status.st_size > size_max) {
		r = -EFBIG;
		goto close_fd;
	}
	bytes = malloc((size_t)status.st_size + 1);
	if (!bytes) {
		r = -ENOMEM;
		goto close_fd;
	}
	r = read_all(fd, bytes, (size_t)status.st_size);
	if (r) {
		free(bytes);
		goto close_fd;
	}
	*ret_bytes = bytes;
	*ret_size = (size_t)status.st_size;
close_fd:
	close(fd);
	return r;
}

static int coarse_open(const struct manifest *manifest, const struct manifest_shard *entry,
		       const char *path, struct shard *shard, char *error, size_t error_size)
{
	uint8_t *bytes = NULL;
	uint32_t rows;
	size_t size = 0;
	int r;

	r = file_read(path, COARSE_SIZE_MAX, &bytes, &size);
	if (r)
		return os_error(error, error_size, path, r);
	if (crc32c(bytes, size) != entry->coarse_crc)
		r = invalid(error, error_size, path, "its checksum is not the manifest's");
	else if (centroid_body_check(bytes, size, manifest->dim, &rows))
		r = invalid(error, error_size, path, "no centroid summary of this dimension");
	if (r) {
		free(bytes);
		return r;
	}
	shard->coarse = bytes;
	shard->coarse_size = (uint32_t)size;
	return 0;
}

/* What the manifest promises about a segment that is well formed in itself. */
static const char *segment_mismatch(const struct manifest *manifest,
				    const struct manifest_shard *entry,
				    const struct segment *segment)
{
	if (segment->image_size != entry->segment_size)
		return "its size is not the manifest's";
	if (crc32c(segment->image, segment->image_size) != entry->segment_crc)
		return "its checksum is not the manifest's";
	if (segment->dim != manifest->dim || segment->metric != manifest->metric)
		return "its dimension or metric is not the manifest's";
	if (segment->count != entry->count || segment->generation != manifest->generation)
		return "its count or generation is not the manifest's";
	return NULL;
}

static int segment_load(const struct manifest *manifest, const struct manifest_shard *entry,
			const char *path, const struct segment_open_options *memory,
			struct shard *shard, char *error, size_t error_size)
{
	char text[256] = "";
	const char *mismatch;
	int r;

	r = segment_open(path, memory, &shard->segment, text, sizeof(text));
	if (r < 0)
		return os_error(error, error_size, path, r);
	if (r > 0) {
		snprintf(error, error_size, "%s: %s", path, text[0] ? text : "no segment");
		return SHARD_E_INVALID;
	}
	mismatch = segment_mismatch(manifest, entry, &shard->segment);
	if (mismatch) {
		segment_close(&shard->segment);
		return invalid(error, error_size, path, mismatch);
	}
	for (uint32_t i = 0; i < shard->segment.count; i++)
		shard->label_max = MAX(shard->label_max, shard->segment.labels[i]);
	return 0;
}

int shard_open(const struct manifest *manifest, uint32_t index, const char *folder,
	       const struct shard_options *options, struct shard *ret_shard, char *error,
	       size_t error_size)
{
	const struct manifest_shard *entry = &manifest->shards[index];
	char path[PATH_MAX];
	struct shard shard = {
		.vshard = entry->vshard,
		.core = options->core,
		.udp_port = options->udp_port,
		.generation = manifest->generation,
	};
	int r;

	CHECK(index < manifest->shard_count);
	shard.name_length = (uint16_t)snprintf(shard.collection, sizeof(shard.collection), "%s",
					       manifest->collection);
	if (snprintf(path, sizeof(path), "%s/%s", folder, entry->coarse) >= (int)sizeof(path))
		return os_error(error, error_size, folder, -ENAMETOOLONG);
	r = coarse_open(manifest, entry, path, &shard, error, error_size);
	if (r)
		return r;
	if (snprintf(path, sizeof(path), "%s/%s", folder, entry->segment) >= (int)sizeof(path))
		r = os_error(error, error_size, folder, -ENAMETOOLONG);
	else
		r = segment_load(manifest, entry, path, &options->memory, &shard, error,
				 error_size);
	if (r) {
		free((void *)shard.coarse);
		return r;
	}
	*ret_shard = shard;
	return 0;
}

void shard_close(struct shard *shard)
{
	if (!shard)
		return;
	segment_close(&shard->segment);
	free((void *)shard->coarse);
	*shard = (struct shard){0};
}

int shard_table_new(struct shard_table **ret_table)
{
	struct shard_table *table;

	table = calloc(1, sizeof(*table));
	if (!table)
		return -ENOMEM;
	table->shards = calloc(SHARD_TABLE_MAX, sizeof(*table->shards));
	if (!table->shards) {
		free(table);
		return -ENOMEM;
	}
	*ret_table = table;
	return 0;
}

void shard_table_free(struct shard_table *table)
{
	if (!table)
		return;
	for (uint32_t i = 0; i < table->count; i++)
		shard_close(&table->shards[i]);
	free(table->shards);
	free(table);
}

int shard_table_add(struct shard_table *table, const struct shard *shard)
{
	struct text_view name = {shard->collection, shard->name_length};
	uint16_t *first = &table->first[shard->vshard];

	CHECK(shard->vshard < MANIFEST_SHARD_MAX);
	if (shard_table_find(table, shard->vshard, &name))
		return -EEXIST;
	if (table->count == SHARD_TABLE_MAX)
		return -ENOSPC;
	table->shards[table->count] = *shard;
	table->next[table->count] = *first;
	table->count++;
	*first = (uint16_t)table->count;
	return 0;
}

uint32_t shard_ef(const struct shard *shard, const struct shard_ef *config, uint32_t ef)
{
	if (!ef)
		ef = config->unasked;
	if (!ef)
		ef = segment_ef(&shard->segment, config->recall_target);
	return MIN(ef, config->max);
}

bool shard_table_has(const struct shard_table *table, uint32_t vshard)
{
	return vshard < MANIFEST_SHARD_MAX && table->first[vshard];
}

const struct shard *shard_table_find(const struct shard_table *table, uint32_t vshard,
				     const struct text_view *collection)
{
	if (vshard >= MANIFEST_SHARD_MAX)
		return NULL;
	for (uint16_t link = table->first[vshard]; link; link = table->next[link - 1]) {
		const struct shard *shard = &table->shards[link - 1];

		if (shard->name_length == collection->length &&
		    !memcmp(shard->collection, collection->text, collection->length))
			return shard;
	}
	return NULL;
}

int shard_table_note(struct shard_table *table, const struct manifest *manifest)
{
	struct shard_collection *collection = &table->collections[table->collection_count];

	if (table->collection_count == SHARD_COLLECTION_MAX)
		return -ENOSPC;
	collection->name_length = (uint32_t)snprintf(collection->name, sizeof(collection->name),
						     "%s", manifest->collection);
	collection->shard_count = manifest->shard_count;
	collection->dim = manifest->dim;
	table->collection_count++;
	return 0;
}

int shard_table_collection(const struct shard_table *table, const struct text_view *collection)
{
	for (uint32_t i = 0; i < table->collection_count; i++)
		if (table->collections[i].name_length == collection->length &&
		    !memcmp(table->collections[i].name, collection->text, collection->length))
			return (int)i;
	return -1;
}
