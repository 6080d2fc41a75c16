/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Checksum - the Internet's (RFC 1071)
 *
 * One's complement sums of 16-bit words. The sum of words in the machine's own
 * order is the sum in the machine's own order, so nothing is swapped: a result
 * goes to the wire by memcpy.
 *
 * Threads: any.
 */

#include <endian.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Adds bytes to a running sum that begins at 0. Only the last part may be odd in size. */
static inline uint64_t checksum_add(uint64_t sum, const void *bytes, size_t size)
{
	const uint8_t *at = bytes;
	uint8_t tail[4] = {0};
	uint32_t word;

	for (; size >= sizeof(word); size -= sizeof(word), at += sizeof(word)) {
		memcpy(&word, at, sizeof(word));
		sum += word;
	}
	if (size == 0)
		return sum;
	memcpy(tail, at, size);
	memcpy(&word, tail, sizeof(word));
	return sum + word;
}

/* Adds a 16-bit word that stands on the wire in network order. */
static inline uint64_t checksum_add16(uint64_t sum, uint16_t word)
{
	return sum + htobe16(word);
}

/* The sum in 16 bits, not complemented. */
static inline uint16_t checksum_fold(uint64_t sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}
