/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Blob format - the fixed parts of a blob file (docs/format/blob.md)
 *
 *      header | frame ... frame | footer
 *
 * Header and footer contradict each other, or the file's size, when any of it is missing.
 *
 * Threads: any.
 */

#include "engine/blob.h"
#include "engine/piece.h"

#define BLOB_FORMAT_VERSION 1

#define BLOB_HEADER_SIZE 64
#define BLOB_FOOTER_SIZE 48

/* Bytes of a frame before its key. */
#define BLOB_FRAME_HEAD_SIZE 20

/* Bytes of the longest frame. */
#define BLOB_FRAME_LIMIT (BLOB_FRAME_HEAD_SIZE + ENTRY_KEY_MAX + BLOB_VALUE_MAX + PIECE_CRC_SIZE)

struct blob_footer {
	struct blob_summary summary;
	uint32_t frames_crc; /* of the CRCs of all frames, in order */
};

/* What stands before a frame's key. */
struct blob_head {
	uint64_t seqno;
	uint32_t raw_size; /* of the value */
	uint32_t size;     /* of the value as it lies there; less: compressed by zstd */
	uint32_t key_size;
};

void blob_header_encode(const uint8_t store[16], uint64_t number, uint8_t bytes[BLOB_HEADER_SIZE]);

/* NULL, or what is wrong. */
const char *blob_header_fault(const uint8_t bytes[BLOB_HEADER_SIZE], const uint8_t store[16],
			      uint64_t number);

/* Whose file it says it is. Returns false: no header. */
bool blob_header_identify(const uint8_t bytes[BLOB_HEADER_SIZE], uint8_t ret_store[16],
			  uint64_t *ret_number);

void blob_footer_encode(const struct blob_footer *footer, uint32_t seed,
			uint8_t bytes[BLOB_FOOTER_SIZE]);

/* NULL, or what is wrong. */
const char *blob_footer_decode(const uint8_t bytes[BLOB_FOOTER_SIZE], uint32_t seed,
			       uint64_t file_size, struct blob_footer *ret_footer);

void blob_head_encode(const struct blob_head *head, uint8_t bytes[BLOB_FRAME_HEAD_SIZE]);

/* Whether the bytes are a head; then its frame has blob_frame_size() bytes. */
bool blob_head_decode(const uint8_t bytes[BLOB_FRAME_HEAD_SIZE], struct blob_head *ret_head);

static inline uint32_t blob_frame_size(const struct blob_head *head)
{
	return BLOB_FRAME_HEAD_SIZE + head->key_size + head->size + PIECE_CRC_SIZE;
}
