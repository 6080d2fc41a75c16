/* SPDX-License-Identifier: Apache-2.0 */

#include "cluster/vectors_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Counts the collection's labels in the key space, and reports those that the index lacks. */
static int check_labels(struct vectors *vectors, struct kv_cursor *cursor, kv_report_fn report,
			void *context, uint64_t *faults, uint64_t *ret_count)
{
	uint8_t prefix[KEYS_VECTOR_MAX];
	struct entry_bytes first = {prefix, keys_collection(vectors_name(vectors), prefix)};
	uint64_t count = 0;
	int r;

	for (r = kv_cursor_seek(cursor, first); r == 0; r = kv_cursor_next(cursor)) {
		const struct entry *entry = kv_cursor_entry(cursor);
		struct vector_key key;
		char line[96];
		if (entry->key.size < first.size ||
		    memcmp(entry->key.bytes, prefix, first.size) != 0)
			break;
		count++;
		if (keys_vector_read(entry->key, &key) && key.label <= UINT32_MAX &&
		    live_has(vectors->live, (uint32_t)key.label))
			continue;
		snprintf(line, sizeof(line), "vector %" PRIu64 " isn't in the index", key.label);
		report(context, line);
		++*faults;
	}
	*ret_count = count;
	return r == KV_E_ABSENT ? 0 : r;
}

int vectors_check(struct vectors *vectors, kv_report_fn report, void *context, uint64_t *ret_faults)
{
	struct kv *kv = store_kv(vectors->store);
	struct kv_cursor *cursor;
	uint64_t faults = 0;
	uint64_t count;
	int r = kv_cursor_new(kv, 0, 0, &cursor);
	if (r < 0)
		return r;

	r = check_labels(vectors, cursor, report, context, &faults, &count);
	kv_cursor_free(cursor);
	if (r > 0)
		return vectors_refuse(vectors, VECTORS_E_CORRUPT, "%s", kv_error(kv));
	if (r < 0)
		return r;

	uint64_t indexed = live_stats(vectors->live).vectors;
	if (indexed != count - faults) {
		char line[128];
		snprintf(line, sizeof(line),
			 "the index has %" PRIu64 " vectors, the key space %" PRIu64, indexed,
			 count);
		report(context, line);
		faults++;
	}
	*ret_faults = faults;
	return 0;
}
