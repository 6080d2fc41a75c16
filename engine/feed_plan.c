/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/feed_plan.h"

#include "base/defs.h"

static const struct table_summary *summary_of(const struct kv_view *view, uint32_t index)
{
	struct kv_source source = kv_view_source(view, index);

	return source.table ? table_summary(source.table) : NULL;
}

/* The smallest number from 'from' on that lies within a table's; false: none does. */
static bool find_begin(const struct kv_view *view, uint64_t from, uint64_t *ret_begin)
{
	uint64_t begin = UINT64_MAX;

	for (uint32_t i = 0; i < kv_view_count(view); i++) {
		const struct table_summary *summary = summary_of(view, i);

		if (summary && summary->entries > 0 && summary->seqno_max >= from)
			begin = MIN(begin, MAX(summary->seqno_min, from));
	}
	*ret_begin = begin;
	return begin != UINT64_MAX;
}

/* The smallest number from 'begin' on behind which no table that has begun goes on. */
static uint64_t find_end(const struct kv_view *view, uint64_t begin)
{
	uint64_t end = begin;
	bool grew;

	do {
		grew = false;
		for (uint32_t i = 0; i < kv_view_count(view); i++) {
			const struct table_summary *summary = summary_of(view, i);

			if (!summary || summary->entries == 0 || summary->seqno_min > end ||
			    summary->seqno_max <= end)
				continue;
			end = summary->seqno_max;
			grew = true;
		}
	} while (grew);
	return end;
}

/* Bytes of tables with numbers in [from, end]. */
static uint64_t size_of(const struct kv_view *view, uint64_t from, uint64_t end,
			uint64_t entry_size)
{
	uint64_t size = 0;

	for (uint32_t i = 0; i < kv_view_count(view); i++) {
		const struct table_summary *summary = summary_of(view, i);

		if (summary && summary->seqno_max >= from && summary->seqno_min <= end)
			size += summary->size + summary->entries * entry_size;
	}
	return size;
}

bool feed_plan_end(const struct kv_view *view, uint64_t from, uint64_t size_max,
		   uint64_t entry_size, uint64_t *ret_end)
{
	uint64_t begin, end;

	if (!find_begin(view, from, &begin))
		return false;
	end = find_end(view, begin);
	while (find_begin(view, end + 1, &begin)) {
		uint64_t next = find_end(view, begin);

		if (size_of(view, from, next, entry_size) > size_max)
			break;
		end = next;
	}
	*ret_end = end;
	return true;
}
