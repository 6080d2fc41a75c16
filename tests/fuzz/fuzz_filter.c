/* SPDX-License-Identifier: Apache-2.0 */
#include "hnsw/filter.h"

#include <stdlib.h>

/* Not a multiple of 64, and inside the second container. */
#define LABEL_MAX 100001

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	static struct filter *filter;
	uint64_t count = 0;
	int result;

	if (!filter && filter_new(LABEL_MAX, &filter))
		abort();
	result = filter_read(filter, bytes, size);
	for (size_t i = 0; i <= LABEL_MAX / 64; i++)
		count += (uint64_t)__builtin_popcountll(filter_words(filter)[i]);
	if (count != filter_count(filter) || (result && count))
		abort();
	if (filter_words(filter)[LABEL_MAX / 64] >> LABEL_MAX % 64 >> 1)
		abort();
	return 0;
}
