/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Types 56 and 57, regions' names and directories: each input goes to every
 * decoder. What is decoded encodes to bytes that decode and encode to
 * themselves. A directory's checksum is mended first, as an attacker would.
 */

#include "base/byteorder.h"
#include "base/check.h"
#include "base/crc.h"
#include "proto/directory.h"
#include "proto/payload_region.h"
#include "proto/payload_vector.h"

#include <string.h>

#define SEGMENT_MAX 16

/* What is larger can't be a directory of SEGMENT_MAX segments. */
#define BUFFER_SIZE (DIRECTORY_HEAD_SIZE + (SEGMENT_MAX + 1) * DIRECTORY_ENTRY_SIZE)

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static uint8_t once[BUFFER_SIZE], twice[BUFFER_SIZE];

static void check_same(size_t once_size, size_t twice_size)
{
	CHECK(once_size == twice_size);
	CHECK(!memcmp(once, twice, once_size));
}

static void check_name(struct text_view text)
{
	struct region_name name, again;
	char to[REGION_NAME_MAX];

	if (region_name_parse(text, &name))
		return;
	CHECK(region_name_format(&name, to) == text.length);
	CHECK(!memcmp(to, text.text, text.length));
	CHECK(!region_name_parse(text, &again));
	CHECK(again.kind == name.kind && again.segment == name.segment);
}

static void check_request(const uint8_t *bytes, size_t size)
{
	struct region_request request, again;
	size_t once_size;

	if (region_request_decode(bytes, size, &request))
		return;
	check_name(request.region);
	CHECK(request.collection.length <= VECTOR_COLLECTION_MAX);
	CHECK(request.proof.size <= REGION_PROOF_MAX);
	once_size = region_request_encode(&request, once, REGION_PAYLOAD_MAX);
	CHECK(once_size && once_size <= size);
	CHECK(!region_request_decode(once, once_size, &again));
	check_same(once_size, region_request_encode(&again, twice, sizeof(twice)));
}

static void check_answer(const uint8_t *bytes, size_t size)
{
	struct region_answer answer, again;
	size_t once_size;

	if (region_answer_decode(bytes, size, &answer))
		return;
	CHECK(answer.available ? answer.lease_id && answer.length : !answer.rkey);
	once_size = region_answer_encode(&answer, once, REGION_PAYLOAD_MAX);
	CHECK(once_size && once_size <= size);
	CHECK(!region_answer_decode(once, once_size, &again));
	check_same(once_size, region_answer_encode(&again, twice, sizeof(twice)));
}

static void check_directory(const uint8_t *bytes, size_t size)
{
	static struct directory_segment segments[SEGMENT_MAX];
	struct directory directory;

	memcpy(once, bytes, size);
	if (size >= DIRECTORY_HEAD_SIZE)
		store_le32(once + 60, crc32c_extend(crc32c(once, 60), once + DIRECTORY_HEAD_SIZE,
						    size - DIRECTORY_HEAD_SIZE));
	if (directory_decode(once, size, segments, SEGMENT_MAX, &directory))
		return;
	CHECK(directory.count <= SEGMENT_MAX);
	for (uint32_t i = 0; i < directory.count; i++)
		CHECK(segments[i].id && segments[i].upper_offset <= segments[i].image_size);
	check_same(size, directory_encode(&directory, twice, sizeof(twice)));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	if (size > BUFFER_SIZE)
		return 0;
	check_name((struct text_view){.text = (const char *)bytes, .length = (uint32_t)size});
	check_request(bytes, size);
	check_answer(bytes, size);
	check_directory(bytes, size);
	return 0;
}
