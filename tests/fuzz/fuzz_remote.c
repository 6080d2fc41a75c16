/* SPDX-License-Identifier: Apache-2.0 */
#include "base/defs.h"
#include "cluster/reader.h"
#include "hnsw/layout.h"
#include "rdma/fetch_local.h"
#include "tests/lib/reseal.h"

#include <stdlib.h>
#include <string.h>

/*
 * A segment in the memory of an owner that may be hostile: whatever it holds, reading it ends with
 * an answer or with an error, in time. The corpus is fuzz_segment's. Checksums are put right on a
 * second try, as the owner would, and on a third bytes change behind the reader's back.
 */

#define COUNT_MAX   4096
#define MEMORY_SIZE ((size_t)8 << 20)
#define TURN_MAX    200000
#define QUESTIONS   3

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void ask(struct reader *reader, uint8_t *image, size_t size, bool is_changing)
{
	uint32_t dim = reader_segment(reader)->dim;
	float *query = calloc(dim, sizeof(*query));
	unsigned answered = 0;

	if (!query)
		abort();
	for (unsigned i = 0; i < QUESTIONS; i++) {
		query[0] = (float)i;
		if (reader_ask(reader, query, 5, 20, i))
			abort();
	}
	for (unsigned turn = 0; answered < QUESTIONS; turn++) {
		struct reader_answer answers[QUESTIONS];
		unsigned count;

		if (turn == TURN_MAX)
			abort();
		if (is_changing)
			image[(turn * 7919u + 13) % size] ^= (uint8_t)(turn + 1);
		(void)reader_turn(reader, 0);
		count = reader_take(reader, answers, QUESTIONS);
		for (unsigned i = 0; i < count; i++)
			if (answers[i].hit_count > 5 || (answers[i].error && answers[i].hit_count))
				abort();
		answered += count;
	}
	free(query);
}

static void read_image(uint8_t *image, size_t size, uint8_t *memory, bool is_changing)
{
	const struct fetch_local_options options = {
		.start = image, .size = size, .memory = memory, .memory_size = MEMORY_SIZE};
	const struct reader_config config = {
		.in_flight = QUESTIONS,
		.ef_max = 32,
		.k_max = 5,
		.breadth = 4,
		.generation = load_le64(image + LAYOUT_AT_GENERATION),
		.header_crc = load_le32(image + LAYOUT_AT_HEADER_CRC),
	};
	struct fetch *fetch;
	struct reader *reader;

	if (fetch_local_open(&options, &fetch) ||
	    reader_new(fetch, memory, MEMORY_SIZE, &config, &reader))
		abort();
	for (unsigned turn = 0; reader_state(reader) == READER_OPENING; turn++) {
		if (turn == TURN_MAX)
			abort();
		(void)reader_turn(reader, 0);
	}
	if (reader_state(reader) == READER_READY)
		ask(reader, image, size, is_changing);
	else if (reader_error(reader)[0] == 0)
		abort();
	fetch_close(fetch);
	reader_free(reader);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	static uint8_t *memory;
	uint8_t *image = aligned_alloc(SEGMENT_ALIGN, align_up(size + 1, SEGMENT_ALIGN));

	if (!memory)
		memory = aligned_alloc(SEGMENT_ALIGN, MEMORY_SIZE);
	if (!memory || !image)
		abort();
	memcpy(image, bytes, size);
	if (size >= LAYOUT_HEADER_SIZE && load_le32(image + LAYOUT_AT_COUNT) <= COUNT_MAX) {
		read_image(image, size, memory, false);
		reseal(image, size);
		read_image(image, size, memory, false);
		read_image(image, size, memory, true);
	}
	free(image);
	return 0;
}
