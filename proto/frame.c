/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/frame.h"

#include "base/byteorder.h"
#include "base/check.h"
#include "base/crc.h"

/* Magic and version as the one 24-bit number in which they are compared. */
#define FRAME_MARK (FRAME_MAGIC | FRAME_VERSION << 16)

static const uint32_t body_sizes[FRAME_KIND_COUNT] = {
#define FRAME_KIND_BODY(number, name, body_size) [number] = (body_size),
	FRAME_KIND_LIST(FRAME_KIND_BODY)
#undef FRAME_KIND_BODY
};

void frame_encode(const struct frame *frame, uint8_t head[FRAME_SIZE_HEAD])
{
	uint32_t crc;

	DCHECK(frame->kind > 0 && frame->kind < FRAME_KIND_COUNT);
	store_le32(head + 4, FRAME_MARK | (uint32_t)frame->kind << 24);
	store_le64(head + 8, frame->token);
	store_le64(head + 16, frame->number);
	store_le32(head + 24, frame->message_size);
	store_le32(head + 28, frame->deadline_us);
	store_le32(head + 32, frame->hint);
	store_le16(head + 36, frame->index);
	store_le16(head + 38, frame->status);
	store_le64(head + 40, frame->epoch);
	crc = crc32c(head + 4, FRAME_SIZE_HEAD - 4);
	if (frame->body_size)
		crc = crc32c_extend(crc, frame->body, frame->body_size);
	store_le32(head, crc);
}

/* Which part of the mark is wrong: a frame of another version is still one of ours. */
static NOINLINE int mark_error(uint32_t mark)
{
	return (mark & 0xFFFF) == FRAME_MAGIC ? FRAME_E_VERSION : FRAME_E_MAGIC;
}

int frame_decode(const uint8_t *bytes, size_t size, struct frame *ret_frame)
{
	uint32_t mark, body_size;
	uint8_t kind;

	/* No port carries more than 64 KiB; the bound keeps sizes within 32 bits. */
	if (size < FRAME_SIZE_HEAD || size > UINT16_MAX)
		return FRAME_E_SHORT;
	mark = load_le32(bytes + 4);
	kind = (uint8_t)(mark >> 24);
	if (unlikely((mark & 0xFFFFFF) != FRAME_MARK))
		return mark_error(mark);
	if (unlikely(load_le32(bytes) != crc32c(bytes + 4, size - 4)))
		return FRAME_E_CHECKSUM;
	if (unlikely(kind == 0 || kind >= FRAME_KIND_COUNT))
		return FRAME_E_KIND;
	body_size = (uint32_t)size - FRAME_SIZE_HEAD;
	if (unlikely(body_sizes[kind] != FRAME_BODY_ANY && body_sizes[kind] != body_size))
		return FRAME_E_BODY;
	*ret_frame = (struct frame){
		.kind = kind,
		.token = load_le64(bytes + 8),
		.number = load_le64(bytes + 16),
		.message_size = load_le32(bytes + 24),
		.deadline_us = load_le32(bytes + 28),
		.hint = load_le32(bytes + 32),
		.index = load_le16(bytes + 36),
		.status = load_le16(bytes + 38),
		.epoch = load_le64(bytes + 40),
		.body_size = body_size,
		.body = bytes + FRAME_SIZE_HEAD,
	};
	return 0;
}

const char *frame_kind_name(uint8_t kind)
{
	static const char *const names[FRAME_KIND_COUNT] = {
#define FRAME_KIND_NAME(number, name, body_size) [number] = #name,
		FRAME_KIND_LIST(FRAME_KIND_NAME)
#undef FRAME_KIND_NAME
	};

	return kind > 0 && kind < FRAME_KIND_COUNT ? names[kind] : "unknown";
}
