/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Until it is full the window is a row in the order of arrival, which for a memtable is the right
 * one. When it has to turn something away it becomes a heap with the largest entry foremost.
 */

#include "engine/feed_window.h"

#include "base/check.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int feed_window_init(struct feed_window *window, uint32_t count_max, uint32_t size_max)
{
	*window = (struct feed_window){
		.entries = malloc(count_max * sizeof(window->entries[0])),
		.bytes = malloc((size_t)size_max * 2),
		.count_max = count_max,
		.size_max = size_max,
		.ascending = true,
	};
	if (window->entries && window->bytes)
		return 0;
	feed_window_deinit(window);
	return -ENOMEM;
}

void feed_window_deinit(struct feed_window *window)
{
	free(window->entries);
	free(window->bytes);
	window->entries = NULL;
	window->bytes = NULL;
}

void feed_window_clear(struct feed_window *window)
{
	window->count = 0;
	window->size = 0;
	window->used = 0;
	window->ascending = true;
	window->heap = false;
	window->has_blobs = false;
	window->extended = false;
	window->limit.set = false;
	window->last.set = false;
}

static bool is_point(const struct entry *entry)
{
	return entry->kind != ENTRY_RANGE_TOMBSTONE;
}

int feed_window_compare(const struct entry *a, const struct entry *b)
{
	if (a->seqno != b->seqno)
		return a->seqno < b->seqno ? -1 : 1;
	if (is_point(a) != is_point(b))
		return is_point(a) ? 1 : -1;
	return entry_compare(a, b);
}

static int by_order(const void *a, const void *b)
{
	return feed_window_compare(a, b);
}

static int by_address(const void *a, const void *b)
{
	const uint8_t *left = ((const struct entry *)a)->key.bytes;
	const uint8_t *right = ((const struct entry *)b)->key.bytes;

	return (left > right) - (left < right);
}

void feed_mark_set(struct feed_mark *mark, const struct entry *entry)
{
	CHECK(entry->key.size <= sizeof(mark->key));
	mark->set = true;
	mark->entry = *entry;
	if (entry->key.size > 0)
		memcpy(mark->key, entry->key.bytes, entry->key.size);
	mark->entry.key.bytes = mark->key;
	mark->entry.value = (struct entry_bytes){0};
}

static uint32_t size_of(const struct entry *entry)
{
	return entry->key.size + entry->value.size;
}

static void sift_down(struct feed_window *window, uint32_t index)
{
	struct entry *entries = window->entries, moved = entries[index];

	for (;;) {
		uint32_t child = 2 * index + 1;

		if (child >= window->count)
			break;
		if (child + 1 < window->count &&
		    feed_window_compare(&entries[child], &entries[child + 1]) < 0)
			child++;
		if (feed_window_compare(&entries[child], &moved) <= 0)
			break;
		entries[index] = entries[child];
		index = child;
	}
	entries[index] = moved;
}

static void sift_up(struct feed_window *window, uint32_t index)
{
	struct entry *entries = window->entries, moved = entries[index];

	while (index > 0 && feed_window_compare(&entries[(index - 1) / 2], &moved) < 0) {
		entries[index] = entries[(index - 1) / 2];
		index = (index - 1) / 2;
	}
	entries[index] = moved;
}

static void make_heap(struct feed_window *window)
{
	for (uint32_t i = window->count / 2; i-- > 0;)
		sift_down(window, i);
	window->heap = true;
}

/* What left the heap has left holes among the bytes. */
static void pack(struct feed_window *window)
{
	uint32_t used = 0;

	qsort(window->entries, window->count, sizeof(window->entries[0]), by_address);
	for (uint32_t i = 0; i < window->count; i++) {
		struct entry *entry = &window->entries[i];
		uint8_t *to = window->bytes + used;

		memmove(to, entry->key.bytes, size_of(entry));
		entry->key.bytes = to;
		entry->value.bytes = to + entry->key.size;
		used += size_of(entry);
	}
	window->used = used;
	make_heap(window);
}

static void copy(struct feed_window *window, const struct entry *entry)
{
	struct entry *copied = &window->entries[window->count++];
	uint8_t *bytes = window->bytes + window->used;

	*copied = *entry;
	copied->key.bytes = bytes;
	copied->value.bytes = bytes + entry->key.size;
	if (entry->key.size > 0)
		memcpy(bytes, entry->key.bytes, entry->key.size);
	if (entry->value.size > 0)
		memcpy(bytes + entry->key.size, entry->value.bytes, entry->value.size);
	window->used += size_of(entry);
	window->size += size_of(entry);
	window->has_blobs |= entry->kind == ENTRY_BLOB;
}

bool feed_window_is_beyond(const struct feed_window *window, const struct entry *entry)
{
	return window->limit.set && feed_window_compare(entry, &window->limit.entry) >= 0;
}

static bool has_room(const struct feed_window *window, const struct entry *entry)
{
	return window->count < window->count_max &&
	       window->size + size_of(entry) <= window->size_max;
}

/* The largest leaves; false if that is the one that wants to come in. */
static bool make_room(struct feed_window *window, const struct entry *entry)
{
	const struct entry *largest;

	if (!window->heap && window->ascending) {
		largest = &window->entries[window->count - 1];
		if (feed_window_compare(entry, largest) > 0) {
			feed_mark_set(&window->limit, entry);
			return false;
		}
	}
	if (!window->heap)
		make_heap(window);
	largest = &window->entries[0];
	if (feed_window_compare(entry, largest) > 0) {
		feed_mark_set(&window->limit, entry);
		return false;
	}
	feed_mark_set(&window->limit, largest);
	window->size -= size_of(largest);
	window->entries[0] = window->entries[--window->count];
	if (window->count > 0)
		sift_down(window, 0);
	return true;
}

static void append(struct feed_window *window, const struct entry *entry)
{
	if (window->ascending && window->count > 0)
		window->ascending =
			feed_window_compare(&window->entries[window->count - 1], entry) < 0;
	copy(window, entry);
}

void feed_window_add(struct feed_window *window, const struct entry *entry)
{
	CHECK(size_of(entry) <= window->size_max);
	if (feed_window_is_beyond(window, entry))
		return;
	while (!has_room(window, entry))
		if (!make_room(window, entry))
			return;
	if (window->used + size_of(entry) > 2 * window->size_max)
		pack(window);
	append(window, entry);
	if (window->heap)
		sift_up(window, window->count - 1);
}

/*
 * When the limit is a range tombstone, pieces of its number may be behind it: they are left to the
 * next window, which has all of them. Only a number with more of them than a window holds (of an
 * ingested table) is given out in parts.
 */
static void leave_pieces(struct feed_window *window)
{
	uint32_t count = window->count;

	if (window->extended || !window->limit.set || is_point(&window->limit.entry))
		return;
	while (count > 0 && window->entries[count - 1].seqno == window->limit.entry.seqno)
		count--;
	if (count > 0)
		window->count = count;
}

static bool touches(const struct entry *left, const struct entry *right)
{
	return !is_point(left) && !is_point(right) && left->seqno == right->seqno &&
	       key_compare(right->key, left->value) <= 0;
}

static void join_pieces(struct feed_window *window)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < window->count; i++) {
		struct entry *last = count > 0 ? &window->entries[count - 1] : NULL;
		struct entry *entry = &window->entries[i];

		if (!last || !touches(last, entry))
			window->entries[count++] = *entry;
		else if (key_compare(last->value, entry->value) < 0)
			last->value = entry->value;
	}
	window->count = count;
}

void feed_window_sort(struct feed_window *window)
{
	if (window->heap || !window->ascending)
		qsort(window->entries, window->count, sizeof(window->entries[0]), by_order);
}

void feed_window_seal(struct feed_window *window)
{
	feed_window_sort(window);
	leave_pieces(window);
	if (window->count > 0 && !window->last.set)
		feed_mark_set(&window->last, &window->entries[window->count - 1]);
	if (!window->extended)
		join_pieces(window);
}

/* Without holes all of 'bytes' can be used, but for the end of a range tombstone that grows. */
static bool fits(const struct feed_window *window, const struct entry *entry)
{
	uint64_t size = (uint64_t)window->used + size_of(entry) + ENTRY_KEY_MAX;

	return window->count < window->count_max && size <= 2 * (uint64_t)window->size_max;
}

bool feed_window_append(struct feed_window *window, const struct entry *entry)
{
	if (window->count > 0 && !fits(window, entry))
		return false;
	CHECK(size_of(entry) <= window->size_max);
	append(window, entry);
	return true;
}

/* The last entry goes on up to where the piece ends. Its value is the last of 'bytes'. */
static void lengthen(struct feed_window *window, const struct entry *piece)
{
	struct entry *last = &window->entries[window->count - 1];

	feed_mark_set(&window->last, piece);
	if (key_compare(last->value, piece->value) >= 0)
		return;
	window->used -= last->value.size;
	CHECK(window->used + piece->value.size <= 2 * window->size_max);
	memcpy(window->bytes + window->used, piece->value.bytes, piece->value.size);
	last->value.size = piece->value.size;
	window->used += piece->value.size;
}

bool feed_window_extend(struct feed_window *window, const struct entry *entry)
{
	window->extended = true;
	if (window->count > 0 && touches(&window->entries[window->count - 1], entry)) {
		lengthen(window, entry);
		return true;
	}
	if (!feed_window_append(window, entry)) {
		feed_mark_set(&window->limit, entry);
		return false;
	}
	window->last.set = false;
	return true;
}
