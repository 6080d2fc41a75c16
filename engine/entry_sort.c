/* SPDX-License-Identifier: Apache-2.0 */

/*
 * From the first byte on (MSD radix sort), in steps of up to DIGITS bytes; within a step from the
 * last byte on (LSD), so that a step is few passes over all. Each step leaves groups that are equal
 * so far. Those that are small, or equal in DEPTH_MAX bytes, are merged by comparing.
 *
 *      depth        key's bytes that all of a group have in common stand before it
 *      chunk        the eight from there on; those of depth 0 again when the sort is done
 *      top, low     bytes of the chunk that a step sorts by: the first in which the group
 *                   differs, and the last
 */

#include "engine/entry_sort.h"

#include <string.h>

/* Bytes of a step. Three tell a million random keys from each other nearly always. */
#define DIGITS 3

/* Counting 256 values costs more than comparing fewer refs than these. */
#define RADIX_MIN 256

/* A group of so many is put in order by insertion. */
#define INSERT_MAX 8

/* Bounds the recursion: keys that have more in common are compared. */
#define DEPTH_MAX 256

/* ---- by comparing ---- */

/* Equal chunks say nothing: keys that end in them are padded. */
static bool is_before(const struct entry_ref *a, const struct entry_ref *b)
{
	if (a->chunk != b->chunk)
		return a->chunk < b->chunk;
	return key_compare(a->entry->key, b->entry->key) < 0;
}

static void insert_sort(struct entry_ref *refs, size_t count)
{
	for (size_t i = 1; i < count; i++) {
		struct entry_ref ref = refs[i];
		size_t at = i;

		for (; at > 0 && is_before(&ref, &refs[at - 1]); at--)
			refs[at] = refs[at - 1];
		refs[at] = ref;
	}
}

static void merge_sort(struct entry_ref *refs, struct entry_ref *spare, size_t count)
{
	size_t half = count / 2, left = 0, right = half, at = 0;

	if (count <= INSERT_MAX) {
		insert_sort(refs, count);
		return;
	}
	merge_sort(refs, spare, half);
	merge_sort(refs + half, spare, count - half);
	memcpy(spare, refs, half * sizeof(*refs));
	while (left < half) {
		bool from_right = right < count && is_before(&refs[right], &spare[left]);

		refs[at++] = from_right ? refs[right++] : spare[left++];
	}
}

/* ---- by bytes ---- */

static unsigned byte_of(uint64_t chunk, unsigned index)
{
	return (unsigned)(chunk >> (8 * index)) & 0xff;
}

/* The bytes of the chunks in which they differ, as bits. */
static uint64_t differing(const struct entry_ref *refs, size_t count)
{
	uint64_t bits = 0;

	for (size_t i = 1; i < count; i++)
		bits |= refs[i].chunk ^ refs[0].chunk;
	return bits;
}

/* Moves all to 'to' by one byte of their chunks, in the order in which they are. */
static void pass(const struct entry_ref *from, struct entry_ref *to, size_t count, unsigned index)
{
	size_t starts[256] = {0}, sum = 0;

	for (size_t i = 0; i < count; i++)
		starts[byte_of(from[i].chunk, index)]++;
	for (unsigned value = 0; value < 256; value++) {
		size_t start = sum;

		sum += starts[value];
		starts[value] = start;
	}
	for (size_t i = 0; i < count; i++)
		to[starts[byte_of(from[i].chunk, index)]++] = from[i];
}

/* Orders them by the first bytes in which they differ. Returns how many bits of the chunks stand
 * behind what they are ordered by. */
static unsigned step(struct entry_ref *refs, struct entry_ref *spare, size_t count)
{
	struct entry_ref *from = refs, *to = spare, *swap;
	uint64_t bits = differing(refs, count);
	unsigned top, low;

	if (bits == 0)
		return 0;
	top = (63 - (unsigned)__builtin_clzll(bits)) / 8;
	low = top >= DIGITS ? top - DIGITS + 1 : 0;
	for (unsigned index = low; index <= top; index++) {
		if (byte_of(bits, index) == 0)
			continue;
		pass(from, to, count, index);
		swap = from;
		from = to;
		to = swap;
	}
	if (from != refs)
		memcpy(refs, from, count * sizeof(*refs));
	return 8 * low;
}

static void sort(struct entry_ref *refs, struct entry_ref *spare, size_t count, uint32_t depth);

/* Bytes of the key in the chunk. */
static unsigned part_of(const struct entry_ref *ref, uint32_t depth)
{
	uint32_t rest = ref->entry->key.size - depth;

	return rest < ENTRY_CHUNK_SIZE ? rest : ENTRY_CHUNK_SIZE;
}

/*
 * A group of equal chunks: first the keys that end in it, the shorter the sooner, and those that
 * are as long are equal; then those that go on.
 */
static void sort_tied(struct entry_ref *refs, struct entry_ref *spare, size_t count, uint32_t depth)
{
	size_t starts[ENTRY_CHUNK_SIZE + 2] = {0}, ended;
	uint64_t chunk = refs[0].chunk;

	for (size_t i = 0; i < count; i++)
		starts[part_of(&refs[i], depth) + 1]++;
	ended = count - starts[ENTRY_CHUNK_SIZE + 1];
	for (unsigned part = 0; part < ENTRY_CHUNK_SIZE; part++)
		starts[part + 1] += starts[part];
	if (ended > 0) {
		memcpy(spare, refs, count * sizeof(*refs));
		for (size_t i = 0; i < count; i++)
			refs[starts[part_of(&spare[i], depth)]++] = spare[i];
	}

	depth += ENTRY_CHUNK_SIZE;
	for (size_t i = ended; i < count; i++)
		refs[i].chunk = entry_chunk(refs[i].entry->key, depth);
	sort(refs + ended, spare, count - ended, depth);
	for (size_t i = ended; i < count; i++)
		refs[i].chunk = chunk;
}

static void sort(struct entry_ref *refs, struct entry_ref *spare, size_t count, uint32_t depth)
{
	unsigned shift;

	if (count < RADIX_MIN || depth >= DEPTH_MAX) {
		merge_sort(refs, spare, count);
		return;
	}
	shift = step(refs, spare, count);
	for (size_t begin = 0, end; begin < count; begin = end) {
		uint64_t group = refs[begin].chunk >> shift;

		for (end = begin + 1; end < count && refs[end].chunk >> shift == group;)
			end++;
		if (end - begin == 1)
			continue;
		if (shift > 0)
			sort(refs + begin, spare, end - begin, depth);
		else
			sort_tied(refs + begin, spare, end - begin, depth);
	}
}

void entry_sort(struct entry_ref *refs, struct entry_ref *spare, size_t count)
{
	sort(refs, spare, count, 0);
}
