/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Byteorder - loads and stores of foreign bytes
 *
 * The only way in which integers and floats leave or enter a wire or disk
 * buffer: by memcpy, so that alignment and aliasing never matter. Suffix `le`
 * is little endian, `be` big endian.
 *
 * Threads: any.
 */

#include <endian.h>
#include <stdint.h>
#include <string.h>

#define BYTEORDER_DEFINE(bits)                                                                     \
	static inline uint##bits##_t load_le##bits(const void *from)                               \
	{                                                                                          \
		uint##bits##_t value;                                                              \
		memcpy(&value, from, sizeof(value));                                               \
		return le##bits##toh(value);                                                       \
	}                                                                                          \
	static inline uint##bits##_t load_be##bits(const void *from)                               \
	{                                                                                          \
		uint##bits##_t value;                                                              \
		memcpy(&value, from, sizeof(value));                                               \
		return be##bits##toh(value);                                                       \
	}                                                                                          \
	static inline void store_le##bits(void *to, uint##bits##_t value)                          \
	{                                                                                          \
		value = htole##bits(value);                                                        \
		memcpy(to, &value, sizeof(value));                                                 \
	}                                                                                          \
	static inline void store_be##bits(void *to, uint##bits##_t value)                          \
	{                                                                                          \
		value = htobe##bits(value);                                                        \
		memcpy(to, &value, sizeof(value));                                                 \
	}

BYTEORDER_DEFINE(16)
BYTEORDER_DEFINE(32)
BYTEORDER_DEFINE(64)

#undef BYTEORDER_DEFINE

static inline float load_bef32(const void *from)
{
	uint32_t bits = load_be32(from);
	float value;

	memcpy(&value, &bits, sizeof(value));
	return value;
}

static inline void store_bef32(void *to, float value)
{
	uint32_t bits;

	memcpy(&bits, &value, sizeof(bits));
	store_be32(to, bits);
}

static inline float load_lef32(const void *from)
{
	uint32_t bits = load_le32(from);
	float value;

	memcpy(&value, &bits, sizeof(value));
	return value;
}

static inline void store_lef32(void *to, float value)
{
	uint32_t bits;

	memcpy(&bits, &value, sizeof(bits));
	store_le32(to, bits);
}
