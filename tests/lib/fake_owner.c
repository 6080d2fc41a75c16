/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/fake_owner.h"

#include "base/byteorder.h"
#include "base/check.h"
#include "hnsw/layout.h"
#include "proto/directory.h"
#include "proto/message.h"
#include "proto/payload_region.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LEASE_MS 10000

/* --- the door --- */

void fake_door_open(struct fake_door *door, const struct addr *at, const uint8_t *secret)
{
	char error[256] = "";

	*door = (struct fake_door){.secret = secret};
	if (shm_link_listen(at, &door->listen_fd, error, sizeof(error))) {
		fprintf(stderr, "%s\n", error);
		abort();
	}
}

void fake_door_turn(struct fake_door *door, uint64_t now_ns)
{
	const struct shm_link_config config = {.node = 1, .secret = door->secret};

	while (door->link_count < FAKE_OWNER_LINK_MAX &&
	       shm_link_accept(door->listen_fd, &config, now_ns, &door->links[door->link_count]) ==
		       0)
		door->link_count++;
	for (unsigned i = 0; i < door->link_count; i++) {
		struct shm_link_news news;

		if (shm_link_next(door->links[i], now_ns, &news) != SHM_LINK_IS_OVER)
			continue;
		shm_link_close(door->links[i]);
		door->links[i--] = door->links[--door->link_count];
	}
}

void fake_door_slam(struct fake_door *door)
{
	while (door->link_count > 0)
		shm_link_close(door->links[--door->link_count]);
}

void fake_door_close(struct fake_door *door)
{
	fake_door_slam(door);
	close(door->listen_fd);
}

static struct shm_link *find_link(struct fake_door *door, struct bytes_view proof)
{
	CHECK(proof.size == SHM_WIRE_PROOF_SIZE);
	for (unsigned i = 0; i < door->link_count; i++)
		if (shm_link_has_proof(door->links[i], proof.bytes))
			return door->links[i];
	return NULL;
}

/* --- the owner --- */

static void fill(struct memory *memory, const char *name, const void *bytes, size_t size)
{
	const struct memory_options options = {.name = name, .size = size, .numa_node = -1};

	CHECK(memory_init(&options, memory) == 0);
	memcpy(memory->start, bytes, size);
	CHECK(memory_seal(memory) == 0);
}

void fake_owner_list(struct fake_owner *owner, const struct segment *segment, uint32_t vshard,
		     uint32_t count)
{
	const struct directory_segment entry = {
		.id = 1,
		.generation = segment->generation,
		.image_size = segment->image_size,
		.upper_offset = load_le64(segment->image + LAYOUT_AT_LABELS),
		.count = segment->count,
		.header_crc = load_le32(segment->image + LAYOUT_AT_HEADER_CRC),
		.body_crc = load_le32(segment->image + LAYOUT_AT_BODY_CRC),
		.ef = FAKE_OWNER_EF,
	};
	const struct directory directory = {
		.generation = 1, .shard = vshard, .count = count, .segments = &entry};
	uint8_t bytes[DIRECTORY_HEAD_SIZE + DIRECTORY_ENTRY_SIZE];

	owner->directory_size = directory_encode(&directory, bytes, sizeof(bytes));
	CHECK(owner->directory_size > 0);
	memory_deinit(&owner->directory);
	fill(&owner->directory, "test-directory", bytes, owner->directory_size);
	owner->generation = entry.generation;
	owner->header_crc = entry.header_crc;
	owner->image_size = entry.image_size;
}

void fake_owner_init(struct fake_owner *owner, const struct segment *segment, uint32_t vshard)
{
	*owner = (struct fake_owner){.lease_ms = LEASE_MS};
	fill(&owner->segment, "test-segment", segment->image, segment->image_size);
	fake_owner_list(owner, segment, vshard, 1);
}

void fake_owner_deinit(struct fake_owner *owner)
{
	memory_deinit(&owner->segment);
	memory_deinit(&owner->directory);
}

/* Lends what is no segment, under a number that is no grant's. */
static void lend_strays(struct fake_owner *owner, struct shm_link *link)
{
	for (unsigned i = 0; i < owner->strays; i++)
		CHECK(shm_link_pass(link, UINT64_MAX - i, owner->directory.fd, 0,
				    owner->directory_size) == 0);
}

static struct region_answer grant(struct fake_owner *owner, struct fake_door *door,
				  const struct region_request *request)
{
	struct region_answer answer = {.available = true, .lease_ms = owner->lease_ms};
	struct shm_link *link = find_link(door, request->proof);
	struct region_name name;
	const struct memory *memory;

	CHECK(region_name_parse(request->region, &name) == 0);
	CHECK(request->transport == REGION_TRANSPORT_SHM);
	if (!link || owner->refusal)
		return region_refusal(owner->refusal ? owner->refusal : REGION_NOT_MEMBER);
	memory = name.kind == REGION_KIND_DIRECTORY ? &owner->directory : &owner->segment;
	answer.length = name.kind == REGION_KIND_DIRECTORY ? owner->directory_size
							   : owner->image_size - owner->short_grant;
	answer.generation = owner->generation;
	answer.crc = owner->header_crc;
	answer.lease_id = ++owner->lease;
	lend_strays(owner, link);
	CHECK(shm_link_pass(link, answer.lease_id, memory->fd, 0,
			    answer.length - owner->short_lent) == 0);
	return answer;
}

size_t fake_owner_answer(struct fake_owner *owner, struct fake_door *door,
			 const struct envelope *request, uint8_t *to, size_t capacity)
{
	struct envelope envelope = envelope_answer(request, MESSAGE_VECTOR_MEM_REGION_RESPONSE);
	struct region_request wanted;
	struct region_answer answer;
	size_t size;

	owner->asked++;
	CHECK(request->type == MESSAGE_VECTOR_MEM_REGION_REQUEST);
	CHECK(region_request_decode(request->payload, request->payload_size, &wanted) == 0);
	answer = grant(owner, door, &wanted);
	size = region_answer_encode(&answer, to + ENVELOPE_SIZE, capacity - ENVELOPE_SIZE);
	CHECK(size > 0);
	if (owner->answer_type)
		envelope.type = owner->answer_type;
	envelope.vshard += owner->answer_shard;
	envelope.payload_size = (uint32_t)size;
	envelope_encode_header(&envelope, to);
	return ENVELOPE_SIZE + size;
}
