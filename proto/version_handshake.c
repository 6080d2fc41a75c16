/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/version_handshake.h"

#include "base/byteorder.h"
#include "base/defs.h"
#include "proto/pack.h"

/* Puts the body's size in front of it. */
static size_t end_message(const struct pack_writer *body, uint8_t *to)
{
	size_t size = pack_writer_end(body);

	if (!size)
		return 0;
	store_be32(to, (uint32_t)size);
	return VERSION_HANDSHAKE_HEAD + size;
}

static struct pack_writer begin_message(uint8_t *to, size_t capacity)
{
	if (capacity < VERSION_HANDSHAKE_HEAD)
		return pack_writer(NULL, 0);
	return pack_writer(to + VERSION_HANDSHAKE_HEAD, capacity - VERSION_HANDSHAKE_HEAD);
}

size_t version_offer_encode(const struct version_offer *offer, uint8_t *to, size_t capacity)
{
	struct pack_writer body = begin_message(to, capacity);

	pack_write_array(&body, 2);
	pack_write_array(&body, 2);
	pack_write_uint(&body, offer->lowest);
	pack_write_uint(&body, offer->highest);
	pack_write_uint(&body, offer->capabilities);
	return end_message(&body, to);
}

size_t version_answer_encode(const struct version_answer *answer, uint8_t *to, size_t capacity)
{
	struct pack_writer body = begin_message(to, capacity);

	pack_write_array(&body, 2);
	pack_write_uint(&body, answer->agreed);
	pack_write_uint(&body, answer->capabilities);
	return end_message(&body, to);
}

/* Finds the body behind its size. Returns 0, VERSION_HANDSHAKE_E_SHORT or _LARGE. */
static int read_body(const uint8_t *bytes, size_t size, struct pack_reader *ret_body)
{
	uint32_t body_size;

	if (size < VERSION_HANDSHAKE_HEAD)
		return VERSION_HANDSHAKE_E_SHORT;
	body_size = load_be32(bytes);
	if (body_size > VERSION_HANDSHAKE_BODY_MAX)
		return VERSION_HANDSHAKE_E_LARGE;
	if (size - VERSION_HANDSHAKE_HEAD < body_size)
		return VERSION_HANDSHAKE_E_SHORT;
	*ret_body = pack_reader(bytes + VERSION_HANDSHAKE_HEAD, body_size);
	return 0;
}

int version_offer_decode(const uint8_t *bytes, size_t size, struct version_offer *ret_offer)
{
	struct version_offer offer;
	struct pack_reader body;
	int error = read_body(bytes, size, &body);

	if (error)
		return error;
	pack_read_array_of(&body, 2);
	pack_read_array_of(&body, 2);
	offer.lowest = (uint16_t)pack_read_uint(&body, 16);
	offer.highest = (uint16_t)pack_read_uint(&body, 16);
	offer.capabilities = pack_read_u64(&body);
	if (body.error || offer.lowest > offer.highest)
		return VERSION_HANDSHAKE_E_MALFORMED;
	*ret_offer = offer;
	return 0;
}

int version_answer_decode(const uint8_t *bytes, size_t size, struct version_answer *ret_answer)
{
	struct version_answer answer;
	struct pack_reader body;
	int error = read_body(bytes, size, &body);

	if (error)
		return error;
	pack_read_array_of(&body, 2);
	answer.agreed = (uint16_t)pack_read_uint(&body, 16);
	answer.capabilities = pack_read_u64(&body);
	if (body.error)
		return VERSION_HANDSHAKE_E_MALFORMED;
	*ret_answer = answer;
	return 0;
}

int version_handshake_agree(const struct version_offer *ours, const struct version_offer *theirs,
			    uint16_t *ret_agreed)
{
	uint16_t highest = MIN(ours->highest, theirs->highest);

	if (highest < MAX(ours->lowest, theirs->lowest))
		return VERSION_HANDSHAKE_E_DISJOINT;
	*ret_agreed = highest;
	return 0;
}
