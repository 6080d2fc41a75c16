/* SPDX-License-Identifier: Apache-2.0 */

#include "engine/entry.h"

int key_compare(struct entry_bytes a, struct entry_bytes b)
{
	uint32_t size = a.size < b.size ? a.size : b.size;
	int order = size > 0 ? memcmp(a.bytes, b.bytes, size) : 0;
	if (order != 0)
		return order;
	return (a.size > b.size) - (a.size < b.size);
}

int entry_compare(const struct entry *a, const struct entry *b)
{
	int order = key_compare(a->key, b->key);
	if (order != 0)
		return order;
	return (a->seqno < b->seqno) - (a->seqno > b->seqno);
}
