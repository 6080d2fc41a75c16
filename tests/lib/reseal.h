/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Reseal - right checksums for an image that was tampered with
 *
 * Where the header is one that no image has, only its own checksum and the body's
 * are put right: where the outline is can't be told then.
 *
 * Threads: any.
 */

#include "base/byteorder.h"
#include "base/crc.h"
#include "hnsw/layout.h"

static inline void reseal(uint8_t *image, size_t size)
{
	struct layout layout;
	char error[256];

	store_le32(image + LAYOUT_AT_BODY_CRC,
		   crc32c(image + LAYOUT_HEADER_SIZE, size - LAYOUT_HEADER_SIZE));
	store_le32(image + LAYOUT_AT_HEADER_CRC, crc32c(image, LAYOUT_AT_HEADER_CRC));
	if (layout_check_header(image, size, &layout, error, sizeof(error)) == 0)
		layout_seal(image);
}
