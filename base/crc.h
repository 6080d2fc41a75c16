/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Crc - CRC-32C (Castagnoli), as on the wire and in files
 *
 * Reflected polynomial 0x82F63B78, initial value and final xor all ones; the
 * check value of "123456789" is 0xE3069283.
 *
 * Threads: any.
 */

#include <stddef.h>
#include <stdint.h>

/* The CRC of nothing, to start an incremental computation with. */
#define CRC32C_EMPTY UINT32_C(0)

/* The CRC of what 'crc' covers followed by 'size' bytes at 'bytes'. */
uint32_t crc32c_extend(uint32_t crc, const void *bytes, size_t size);

static inline uint32_t crc32c(const void *bytes, size_t size)
{
	return crc32c_extend(CRC32C_EMPTY, bytes, size);
}
