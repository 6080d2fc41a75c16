/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Varint - unsigned integers in as few bytes as they need
 *
 * Seven bits a byte, the lowest first; every byte but the last has its top bit set. A number has
 * exactly one form: a last byte of zero behind others is refused, as is what 64 bits don't hold.
 *
 * Threads: any.
 */

#include <stddef.h>
#include <stdint.h>

/* Bytes of the largest number. */
#define VARINT_SIZE_MAX 10

/* Returns where it ends. 'to' has room for VARINT_SIZE_MAX bytes. */
static inline uint8_t *varint_put(uint8_t *to, uint64_t value)
{
	for (; value >= 0x80; value >>= 7)
		*to++ = (uint8_t)(value | 0x80);
	*to++ = (uint8_t)value;
	return to;
}

static inline unsigned varint_size(uint64_t value)
{
	unsigned size = 1;

	for (; value >= 0x80; value >>= 7)
		size++;
	return size;
}

/* varint_get() for numbers of two bytes and more. */
static inline const uint8_t *varint_get_long(const uint8_t *from, const uint8_t *end,
					     uint64_t *ret_value)
{
	uint64_t value = 0;

	for (unsigned shift = 0; from < end && shift < 64; shift += 7) {
		uint64_t byte = *from++;

		value |= (byte & 0x7F) << shift;
		if (byte & 0x80)
			continue;
		if ((byte == 0 && shift > 0) || (shift == 63 && byte > 1))
			return NULL;
		*ret_value = value;
		return from;
	}
	return NULL;
}

/* Returns where it ends, or NULL: no number ends before 'end'. */
static inline const uint8_t *varint_get(const uint8_t *from, const uint8_t *end,
					uint64_t *ret_value)
{
	if (from < end && *from < 0x80) {
		*ret_value = *from;
		return from + 1;
	}
	return varint_get_long(from, end, ret_value);
}
