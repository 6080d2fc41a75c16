/* SPDX-License-Identifier: Apache-2.0 */
#include "hnsw/filter.h"

#include "base/byteorder.h"
#include "base/defs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/*
 * The portable form, all little endian:
 *
 *   cookie   u32 12346, u32 number of containers; or
 *            u16 12347, u16 that number - 1, then one bit a container: is it a
 *            list of runs?
 *   headers  a container: u16 key (the upper half of its members), u16
 *            cardinality - 1
 *   offsets  a container: u32 offset of its bytes from the start; left out when
 *            the cookie is 12347 and there are fewer than 4
 *   bodies   a list of runs: u16 count, then u16 first, u16 length - 1 each
 *            at most 4096 members: u16 each, ascending
 *            else: 8192 bytes, one bit a member
 *
 * What is refused: keys, members or runs out of order or overlapping, a
 * cardinality or an offset that doesn't agree with the bodies, bytes missing or
 * left over. There is one reading of what is accepted.
 */

#define COOKIE_PLAIN      12346
#define COOKIE_RUNS       12347
#define OFFSETS_FROM      4
#define ARRAY_MAX         4096
#define BITSET_SIZE       8192
#define CONTAINER_MAX     65536
#define HEADER_SIZE       4
#define CONTAINER_MEMBERS 65536

struct filter {
	uint32_t label_max;
	uint64_t count;
	size_t word_count;
	uint64_t words[]; /* bits above label_max are zero */
};

struct reader {
	struct filter *filter;
	const uint8_t *bytes;
	size_t size;
	size_t at; /* at most size */
	uint32_t container_count;
	const uint8_t *run_flags; /* NULL: no container is a list of runs */
	const uint8_t *headers;
	const uint8_t *offsets; /* NULL: left out */
};

int filter_new(uint32_t label_max, struct filter **ret_filter)
{
	size_t word_count = (size_t)label_max / 64 + 1;
	struct filter *filter = calloc(1, sizeof(*filter) + word_count * sizeof(filter->words[0]));

	if (!filter)
		return -ENOMEM;
	filter->label_max = label_max;
	filter->word_count = word_count;
	*ret_filter = filter;
	return 0;
}

void filter_free(struct filter *filter)
{
	free(filter);
}

static void filter_clear(struct filter *filter)
{
	memset(filter->words, 0, filter->word_count * sizeof(filter->words[0]));
	filter->count = 0;
}

/* The next 'size' bytes, or NULL when there aren't so many. */
static const uint8_t *take(struct reader *reader, size_t size)
{
	const uint8_t *taken = reader->bytes + reader->at;

	if (size > reader->size - reader->at)
		return NULL;
	reader->at += size;
	return taken;
}

static bool read_cookie(struct reader *reader)
{
	const uint8_t *from = take(reader, 4);
	uint32_t cookie;

	if (!from)
		return false;
	cookie = load_le32(from);
	if ((cookie & 0xFFFF) == COOKIE_RUNS) {
		reader->container_count = (cookie >> 16) + 1;
		reader->run_flags = take(reader, (reader->container_count + 7) / 8);
		return reader->run_flags != NULL;
	}
	from = take(reader, 4);
	if (cookie != COOKIE_PLAIN || !from)
		return false;
	reader->container_count = load_le32(from);
	return reader->container_count <= CONTAINER_MAX;
}

static bool read_headers(struct reader *reader)
{
	uint32_t count = reader->container_count;

	reader->headers = take(reader, (size_t)count * HEADER_SIZE);
	if (!reader->headers)
		return false;
	for (uint32_t i = 1; i < count; i++)
		if (load_le16(reader->headers + (size_t)i * HEADER_SIZE) <=
		    load_le16(reader->headers + (size_t)(i - 1) * HEADER_SIZE))
			return false;
	if (reader->run_flags && count < OFFSETS_FROM)
		return true;
	reader->offsets = take(reader, (size_t)count * sizeof(uint32_t));
	return reader->offsets != NULL;
}

/* Allows labels 'first' to 'last'; those above label_max are ignored. */
static void allow_range(struct filter *filter, uint32_t first, uint32_t last)
{
	uint32_t index, last_index;

	if (first > filter->label_max)
		return;
	last = MIN(last, filter->label_max);
	index = first / 64;
	last_index = last / 64;
	for (; index <= last_index; index++) {
		uint64_t mask = UINT64_MAX;

		if (index == first / 64)
			mask &= UINT64_MAX << first % 64;
		if (index == last_index)
			mask &= UINT64_MAX >> (63 - last % 64);
		filter->words[index] |= mask;
	}
	filter->count += (uint64_t)last - first + 1;
}

static bool read_runs(struct reader *reader, uint32_t base, uint32_t cardinality)
{
	const uint8_t *from = take(reader, 2);
	uint32_t count, members = 0, next = 0; /* next: the first member a run may begin with */

	if (!from)
		return false;
	count = load_le16(from);
	from = take(reader, (size_t)count * 4);
	if (!from)
		return false;
	for (uint32_t i = 0; i < count; i++, from += 4) {
		uint32_t first = load_le16(from);
		uint32_t last = first + load_le16(from + 2);

		if (first < next || last >= CONTAINER_MEMBERS)
			return false;
		allow_range(reader->filter, base + first, base + last);
		members += last - first + 1;
		next = last + 1;
	}
	return members == cardinality;
}

static bool read_array(struct reader *reader, uint32_t base, uint32_t cardinality)
{
	const uint8_t *from = take(reader, (size_t)cardinality * 2);
	uint32_t next = 0;

	if (!from)
		return false;
	for (uint32_t i = 0; i < cardinality; i++, from += 2) {
		uint32_t member = load_le16(from);

		if (member < next)
			return false;
		next = member + 1;
		allow_range(reader->filter, base + member, base + member);
	}
	return true;
}

static bool read_bitset(struct reader *reader, uint32_t base, uint32_t cardinality)
{
	const uint8_t *from = take(reader, BITSET_SIZE);
	struct filter *filter = reader->filter;
	uint32_t members = 0;

	if (!from)
		return false;
	for (uint32_t i = 0; i < BITSET_SIZE / 8; i++, from += 8) {
		size_t index = base / 64 + i;
		uint64_t word = load_le64(from);

		members += (uint32_t)__builtin_popcountll(word);
		if (index >= filter->word_count)
			continue;
		if (index == filter->word_count - 1)
			word &= UINT64_MAX >> (63 - filter->label_max % 64);
		filter->words[index] = word;
		filter->count += (uint32_t)__builtin_popcountll(word);
	}
	return members == cardinality;
}

static bool read_container(struct reader *reader, uint32_t index)
{
	const uint8_t *header = reader->headers + (size_t)index * HEADER_SIZE;
	uint32_t base = (uint32_t)load_le16(header) << 16;
	uint32_t cardinality = (uint32_t)load_le16(header + 2) + 1;

	if (reader->offsets &&
	    load_le32(reader->offsets + (size_t)index * sizeof(uint32_t)) != reader->at)
		return false;
	if (reader->run_flags && reader->run_flags[index / 8] >> index % 8 & 1)
		return read_runs(reader, base, cardinality);
	if (cardinality <= ARRAY_MAX)
		return read_array(reader, base, cardinality);
	return read_bitset(reader, base, cardinality);
}

static bool read_all(struct reader *reader)
{
	if (!read_cookie(reader) || !read_headers(reader))
		return false;
	for (uint32_t i = 0; i < reader->container_count; i++)
		if (!read_container(reader, i))
			return false;
	return reader->at == reader->size;
}

int filter_read(struct filter *filter, const uint8_t *bytes, size_t size)
{
	struct reader reader = {.filter = filter, .bytes = bytes, .size = size};

	filter_clear(filter);
	if (read_all(&reader))
		return 0;
	filter_clear(filter);
	return FILTER_E_MALFORMED;
}

uint64_t filter_count(const struct filter *filter)
{
	return filter->count;
}

uint32_t filter_label_max(const struct filter *filter)
{
	return filter->label_max;
}

const uint64_t *filter_words(const struct filter *filter)
{
	return filter->words;
}
