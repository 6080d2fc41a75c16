/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/filters.h"

#include "tests/lib/test.h"

#include <stdlib.h>

void filters_read(struct filter *filter, const roaring_bitmap_t *bitmap)
{
	size_t size = roaring_bitmap_portable_size_in_bytes(bitmap);
	char *bytes = malloc(size);

	assert_non_null(bytes);
	roaring_bitmap_portable_serialize(bitmap, bytes);
	assert_int_equal(filter_read(filter, (const uint8_t *)bytes, size), 0);
	free(bytes);
}

void filters_set(struct filter *filter, const uint32_t *labels, uint32_t count)
{
	roaring_bitmap_t *bitmap = roaring_bitmap_of_ptr(count, labels);

	filters_read(filter, bitmap);
	roaring_bitmap_free(bitmap);
}

struct filter *filters_of(const uint32_t *labels, uint32_t count, uint32_t label_max)
{
	struct filter *filter;

	assert_int_equal(filter_new(label_max, &filter), 0);
	filters_set(filter, labels, count);
	return filter;
}
