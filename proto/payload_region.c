/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/payload_region.h"

#include "base/check.h"
#include "proto/payload_vector.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Elements of each payload's array. */
#define REQUEST_COUNT 6
#define ANSWER_COUNT  10

static bool take_word(struct text_view *text, const char *word)
{
	uint32_t length = (uint32_t)strlen(word);

	if (text->length < length || memcmp(text->text, word, length) != 0)
		return false;
	text->text += length;
	text->length -= length;
	return true;
}

/* One way of writing each number: no sign, no zeros in front. 0 is no id, so it stands for failure.
 */
static uint64_t take_id(struct text_view *text)
{
	uint64_t id = 0;

	while (text->length && text->text[0] >= '0' && text->text[0] <= '9') {
		uint64_t digit = (uint64_t)(text->text[0] - '0');

		if ((id == 0 && digit == 0) || id > (UINT64_MAX - digit) / 10)
			return 0;
		id = 10 * id + digit;
		text->text++;
		text->length--;
	}
	return id;
}

int region_name_parse(struct text_view text, struct region_name *ret_name)
{
	struct region_name name = {.kind = REGION_KIND_SEGMENT};

	if (take_word(&text, "segment/")) {
		name.segment = take_id(&text);
		if (name.segment == 0)
			return PAYLOAD_E_LIMIT;
		if (take_word(&text, "/upper"))
			name.kind = REGION_KIND_UPPER;
	} else if (take_word(&text, "directory")) {
		name.kind = REGION_KIND_DIRECTORY;
	} else {
		return PAYLOAD_E_LIMIT;
	}
	if (text.length)
		return PAYLOAD_E_LIMIT;
	*ret_name = name;
	return 0;
}

uint32_t region_name_format(const struct region_name *name, char to[REGION_NAME_MAX])
{
	const char *end = name->kind == REGION_KIND_UPPER ? "/upper" : "";
	int length;

	CHECK(name->kind == REGION_KIND_DIRECTORY || name->segment);
	if (name->kind == REGION_KIND_DIRECTORY)
		length = snprintf(to, REGION_NAME_MAX, "directory");
	else
		length = snprintf(to, REGION_NAME_MAX, "segment/%" PRIu64 "%s", name->segment, end);
	CHECK(length > 0 && length < REGION_NAME_MAX);
	return (uint32_t)length;
}

size_t region_request_encode(const struct region_request *request, uint8_t *to, size_t capacity)
{
	struct pack_writer writer = pack_writer(to, capacity);

	pack_write_array(&writer, REQUEST_COUNT);
	pack_write_uint(&writer, REGION_PAYLOAD_V);
	pack_write_str(&writer, request->collection.text, request->collection.length);
	pack_write_str(&writer, request->region.text, request->region.length);
	pack_write_uint(&writer, request->lease_ms);
	pack_write_uint(&writer, request->transport);
	pack_write_bin(&writer, request->proof.bytes, request->proof.size);
	return pack_writer_end(&writer);
}

int region_request_decode(const uint8_t *bytes, size_t size, struct region_request *ret_request)
{
	struct pack_reader reader = pack_reader(bytes, size);
	struct region_request request;
	int error = payload_read_head(&reader, REGION_PAYLOAD_V, REQUEST_COUNT);
	uint32_t transport;

	if (error)
		return error;
	request.collection = pack_read_str(&reader);
	request.region = pack_read_str(&reader);
	request.lease_ms = pack_read_u32(&reader);
	transport = pack_read_u32(&reader);
	request.proof = pack_read_bin(&reader);
	if (reader.error)
		return PAYLOAD_E_MALFORMED;
	if (request.collection.length > VECTOR_COLLECTION_MAX ||
	    request.region.length >= REGION_NAME_MAX || request.proof.size > REGION_PROOF_MAX ||
	    transport < REGION_TRANSPORT_VERBS || transport > REGION_TRANSPORT_SHM)
		return PAYLOAD_E_LIMIT;
	request.transport = (enum region_transport)transport;
	*ret_request = request;
	return 0;
}

struct region_answer region_refusal(const char *reason)
{
	return (struct region_answer){.reason = {reason, (uint32_t)strlen(reason)}};
}

size_t region_answer_encode(const struct region_answer *answer, uint8_t *to, size_t capacity)
{
	struct pack_writer writer = pack_writer(to, capacity);
	const struct region_answer refusal = {.reason = answer->reason};
	const struct region_answer *said = answer->available ? answer : &refusal;

	CHECK(answer->available == (answer->reason.length == 0));
	pack_write_array(&writer, ANSWER_COUNT);
	pack_write_uint(&writer, REGION_PAYLOAD_V);
	pack_write_bool(&writer, said->available);
	pack_write_uint(&writer, said->remote_addr);
	pack_write_uint(&writer, said->rkey);
	pack_write_uint(&writer, said->length);
	pack_write_uint(&writer, said->generation);
	pack_write_uint(&writer, said->lease_id);
	pack_write_uint(&writer, said->lease_ms);
	pack_write_uint(&writer, said->crc);
	pack_write_str(&writer, said->reason.text, said->reason.length);
	return pack_writer_end(&writer);
}

static bool contradicts_itself(const struct region_answer *answer)
{
	if (answer->available)
		return answer->reason.length || !answer->length || !answer->lease_id ||
		       !answer->lease_ms || answer->remote_addr > UINT64_MAX - answer->length;
	return !answer->reason.length || answer->remote_addr || answer->rkey || answer->length ||
	       answer->generation || answer->lease_id || answer->lease_ms || answer->crc;
}

int region_answer_decode(const uint8_t *bytes, size_t size, struct region_answer *ret_answer)
{
	struct pack_reader reader = pack_reader(bytes, size);
	struct region_answer answer;
	int error = payload_read_head(&reader, REGION_PAYLOAD_V, ANSWER_COUNT);

	if (error)
		return error;
	answer.available = pack_read_bool(&reader);
	answer.remote_addr = pack_read_u64(&reader);
	answer.rkey = pack_read_u32(&reader);
	answer.length = pack_read_u64(&reader);
	answer.generation = pack_read_u64(&reader);
	answer.lease_id = pack_read_u64(&reader);
	answer.lease_ms = pack_read_u32(&reader);
	answer.crc = pack_read_u32(&reader);
	answer.reason = pack_read_str(&reader);
	if (reader.error || contradicts_itself(&answer))
		return PAYLOAD_E_MALFORMED;
	if (answer.reason.length > REGION_REASON_MAX)
		return PAYLOAD_E_LIMIT;
	*ret_answer = answer;
	return 0;
}
