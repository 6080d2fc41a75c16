/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/catalog.h"

#include "base/byteorder.h"
#include "base/check.h"
#include "base/memory.h"
#include "hnsw/layout.h"
#include "proto/directory.h"

#include <errno.h>
#include <stdlib.h>

/* A shard's directory: one segment, so that all of them have one size. */
#define DIRECTORY_SIZE (DIRECTORY_HEAD_SIZE + DIRECTORY_ENTRY_SIZE)

struct catalog {
	const struct shard_table *shards;
	struct memory directories;
	uint32_t place_count; /* one a shard, then the directories' */
	struct catalog_place places[];
};

static uint64_t upper_offset(const struct segment *segment)
{
	return load_le64(segment->image + LAYOUT_AT_LABELS);
}

static uint32_t header_crc(const struct segment *segment)
{
	return load_le32(segment->image + LAYOUT_AT_HEADER_CRC);
}

static void write_directory(const struct shard *shard, const struct shard_ef *ef, uint8_t *to)
{
	const struct segment *segment = &shard->segment;
	struct directory_segment entry = {
		.id = CATALOG_SEGMENT_ID,
		.generation = segment->generation,
		.image_size = segment->image_size,
		.upper_offset = upper_offset(segment),
		.count = segment->count,
		.header_crc = header_crc(segment),
		.body_crc = load_le32(segment->image + LAYOUT_AT_BODY_CRC),
		.ef = shard_ef(shard, ef, 0),
	};
	struct directory directory = {
		.generation = shard->generation,
		.shard = shard->vshard,
		.count = 1,
		.segments = &entry,
	};

	CHECK(directory_encode(&directory, to, DIRECTORY_SIZE) == DIRECTORY_SIZE);
}

uint32_t catalog_shard_place(const struct catalog *catalog, const struct shard *shard)
{
	size_t index = (size_t)(shard - catalog->shards->shards);

	CHECK(index < catalog->shards->count);
	return (uint32_t)index;
}

static int add_directories(struct catalog *catalog, const struct shard_ef *ef)
{
	uint32_t count = catalog->shards->count;
	struct memory_options options = {
		.name = "tern-directories",
		.size = (size_t)count * DIRECTORY_SIZE,
		.numa_node = -1,
	};
	int r;

	r = memory_init(&options, &catalog->directories);
	if (r)
		return r;
	for (uint32_t i = 0; i < count; i++)
		write_directory(&catalog->shards->shards[i], ef,
				catalog->directories.start + (size_t)i * DIRECTORY_SIZE);
	r = memory_seal(&catalog->directories);
	if (r)
		return r;
	catalog->places[catalog->place_count++] = (struct catalog_place){
		.start = catalog->directories.start,
		.size = options.size,
		.fd = catalog->directories.fd,
	};
	return 0;
}

int catalog_new(const struct shard_table *shards, const struct shard_ef *ef,
		struct catalog **ret_catalog)
{
	struct catalog *catalog =
		calloc(1, sizeof(*catalog) + (shards->count + 1) * sizeof(catalog->places[0]));
	int r = 0;

	if (!catalog)
		return -ENOMEM;
	catalog->shards = shards;
	for (uint32_t i = 0; i < shards->count; i++) {
		const struct segment *segment = &shards->shards[i].segment;

		catalog->places[catalog->place_count++] = (struct catalog_place){
			.start = segment->image,
			.size = segment->image_size,
			.fd = segment->memory_fd,
		};
	}
	if (shards->count)
		r = add_directories(catalog, ef);
	if (r) {
		catalog_free(catalog);
		return r;
	}
	*ret_catalog = catalog;
	return 0;
}

void catalog_free(struct catalog *catalog)
{
	if (!catalog)
		return;
	memory_deinit(&catalog->directories);
	free(catalog);
}

uint32_t catalog_place_count(const struct catalog *catalog)
{
	return catalog->place_count;
}

const struct catalog_place *catalog_place(const struct catalog *catalog, uint32_t index)
{
	CHECK(index < catalog->place_count);
	return &catalog->places[index];
}

int catalog_find(const struct catalog *catalog, const struct shard *shard,
		 const struct region_name *name, struct catalog_region *ret_region)
{
	const struct segment *segment = &shard->segment;
	uint32_t index = catalog_shard_place(catalog, shard);
	struct catalog_region region = {
		.place = index,
		.size = segment->image_size,
		.generation = segment->generation,
		.crc = header_crc(segment),
	};

	if (name->kind == REGION_KIND_DIRECTORY) {
		const struct catalog_place *place = catalog_place(catalog, catalog->shards->count);

		region.place = catalog->shards->count;
		region.offset = (uint64_t)index * DIRECTORY_SIZE;
		region.size = DIRECTORY_SIZE;
		region.generation = shard->generation;
		region.crc = directory_crc(place->start + region.offset);
	} else if (name->segment != CATALOG_SEGMENT_ID) {
		return CATALOG_E_UNKNOWN;
	} else if (name->kind == REGION_KIND_UPPER) {
		region.offset = upper_offset(segment);
		region.size -= region.offset;
		if (!region.size)
			return CATALOG_E_UNKNOWN;
	}
	*ret_region = region;
	return 0;
}
