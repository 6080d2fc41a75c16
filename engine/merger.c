/* SPDX-License-Identifier: Apache-2.0 */

#include "engine/merger.h"

#include "base/check.h"

#include <errno.h>
#include <stdlib.h>

int merger_init(struct source *sources, uint32_t count, struct merger *ret_merger)
{
	uint32_t *heap = malloc(MAX(count, 1U) * sizeof(*heap));

	if (!heap)
		return -ENOMEM;
	*ret_merger = (struct merger){.sources = sources, .heap = heap, .source_count = count};
	return 0;
}

void merger_deinit(struct merger *merger)
{
	free(merger->heap);
	*merger = (struct merger){0};
}

static bool is_before(const struct merger *merger, uint32_t a, uint32_t b)
{
	int order = entry_compare(merger->sources[a].entry, merger->sources[b].entry);

	return merger->backward ? order > 0 : order < 0;
}

static void sink(struct merger *merger, uint32_t at)
{
	uint32_t *heap = merger->heap;
	uint32_t moved = heap[at];

	for (;;) {
		uint32_t child = 2 * at + 1;

		if (child >= merger->heap_count)
			break;
		if (child + 1 < merger->heap_count &&
		    is_before(merger, heap[child + 1], heap[child]))
			child++;
		if (!is_before(merger, heap[child], moved))
			break;
		heap[at] = heap[child];
		at = child;
	}
	heap[at] = moved;
}

static void build(struct merger *merger)
{
	merger->heap_count = 0;
	for (uint32_t i = 0; i < merger->source_count; i++)
		if (merger->sources[i].entry)
			merger->heap[merger->heap_count++] = i;
	for (uint32_t i = merger->heap_count / 2; i-- > 0;)
		sink(merger, i);
}

static int note(struct merger *merger, uint32_t source, int result)
{
	merger->failed = source;
	merger->heap_count = 0;
	return result;
}

/* Where a seek goes: the key's version up to 'seqno' and what follows, or, backward, what comes
 * before the key, or the last of all. */
struct aim {
	struct entry_bytes key;
	uint64_t seqno;
	bool backward;
	bool last;
};

static int seek_source(struct source *source, const struct aim *aim)
{
	if (!aim->backward)
		return source_seek(source, aim->key, aim->seqno);
	return aim->last ? source_seek_last(source) : source_seek_before(source, aim->key);
}

/* With an answer to wait for all sources are asked nevertheless, so that all that is missing is
 * read at once. */
static int seek(struct merger *merger, const struct aim *aim)
{
	int waiting = 0;

	merger->backward = aim->backward;
	for (uint32_t i = 0; i < merger->source_count; i++) {
		int result = seek_source(&merger->sources[i], aim);

		if (result && result != SOURCE_E_WAIT)
			return note(merger, i, result);
		if (result)
			waiting = note(merger, i, result);
	}
	if (!waiting)
		build(merger);
	return waiting;
}

int merger_seek(struct merger *merger, struct entry_bytes key, uint64_t seqno)
{
	return seek(merger, &(struct aim){.key = key, .seqno = seqno});
}

int merger_seek_before(struct merger *merger, struct entry_bytes key, bool last)
{
	return seek(merger, &(struct aim){.key = key, .backward = true, .last = last});
}

const struct entry *merger_entry(const struct merger *merger)
{
	return merger->heap_count > 0 ? merger->sources[merger->heap[0]].entry : NULL;
}

int merger_next(struct merger *merger)
{
	uint32_t top = merger->heap[0];

	DCHECK(!merger->backward && merger->heap_count > 0);
	int result = source_next(&merger->sources[top]);
	if (result)
		return note(merger, top, result);
	if (!merger->sources[top].entry) {
		merger->heap[0] = merger->heap[--merger->heap_count];
		if (merger->heap_count == 0)
			return 0;
	}
	sink(merger, 0);
	return 0;
}

const char *merger_error(const struct merger *merger)
{
	return merger->failed < merger->source_count
		       ? source_error(&merger->sources[merger->failed])
		       : "";
}

const struct table *merger_failed_table(const struct merger *merger)
{
	const struct source *source = &merger->sources[merger->failed];

	return merger->failed < merger->source_count && source->index < source->table_count
		       ? source->tables[source->index]
		       : NULL;
}
