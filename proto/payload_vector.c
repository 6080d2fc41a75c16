/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/payload_vector.h"

#include "base/byteorder.h"
#include "base/defs.h"
#include "base/metric.h"
#include "proto/pack.h"
#include "proto/pack_f32.h"

#include <math.h>

/* Elements of each payload's array, and of a hit's. */
#define SCATTER_COUNT        5
#define ANSWER_COUNT         4
#define HIT_COUNT            4
#define COARSE_REQUEST_COUNT 3
#define COARSE_ANSWER_COUNT  8

/* The u32 in front of the filter's bytes. */
#define FILTER_HEAD 4

static void write_text(struct pack_writer *writer, struct text_view text)
{
	pack_write_str(writer, text.text, text.length);
}

static void write_optional_text(struct pack_writer *writer, bool present, struct text_view text)
{
	if (present)
		write_text(writer, text);
	else
		pack_write_nil(writer);
}

static struct text_view read_optional_text(struct pack_reader *reader, bool *ret_present)
{
	*ret_present = !pack_read_absent(reader);
	return *ret_present ? pack_read_str(reader) : (struct text_view){0};
}

static void write_floats(struct pack_writer *writer, const float *floats, uint32_t count)
{
	uint8_t *to;

	pack_write_array(writer, count);
	to = pack_write_room(writer, (size_t)count * PACK_F32_SIZE);
	if (likely(to != NULL))
		pack_f32_table()->encode(floats, to, count);
}

/* The filter stands behind the MessagePack value, raw (part B of protocol section 7.1). */
static void write_filter(struct pack_writer *writer, const struct vector_scatter *scatter)
{
	uint8_t *to = pack_write_room(writer, FILTER_HEAD + (size_t)scatter->filter_size);

	if (!to)
		return;
	store_le32(to, scatter->filter_size);
	if (scatter->filter_size)
		memcpy(to + FILTER_HEAD, scatter->filter, scatter->filter_size);
}

static void scatter_write(struct pack_writer *writer, const struct vector_scatter *scatter)
{
	pack_write_array(writer, SCATTER_COUNT);
	write_text(writer, scatter->collection);
	write_floats(writer, scatter->vector, scatter->dim);
	pack_write_uint(writer, scatter->top_k);
	pack_write_uint(writer, scatter->ef_search);
	pack_write_bool(writer, scatter->has_filter);
	if (scatter->has_filter)
		write_filter(writer, scatter);
}

size_t vector_scatter_size(const struct vector_scatter *scatter)
{
	struct pack_writer writer = pack_writer(NULL, 0);

	scatter_write(&writer, scatter);
	return writer.size;
}

size_t vector_scatter_encode(const struct vector_scatter *scatter, uint8_t *to, size_t capacity)
{
	struct pack_writer writer = pack_writer(to, capacity);

	scatter_write(&writer, scatter);
	return pack_writer_end(&writer);
}

/* Returns 0 or PAYLOAD_E_*. The count is checked against the bytes before the limit. */
static int read_floats(struct pack_reader *reader, float *to, uint32_t max, uint32_t *ret_count)
{
	uint32_t count = pack_read_array(reader);

	if (reader->error || pack_reader_left(reader) / PACK_F32_SIZE < count)
		return PAYLOAD_E_MALFORMED;
	if (count == 0 || count > max)
		return PAYLOAD_E_LIMIT;
	if (!pack_f32_table()->decode(reader->at, to, count))
		return PAYLOAD_E_MALFORMED;
	reader->at += (size_t)count * PACK_F32_SIZE;
	*ret_count = count;
	return 0;
}

static int read_filter(struct pack_reader *reader, struct vector_scatter *scatter)
{
	if (pack_reader_left(reader) < FILTER_HEAD)
		return PAYLOAD_E_MALFORMED;
	scatter->filter_size = load_le32(reader->at);
	scatter->filter = reader->at + FILTER_HEAD;
	if (pack_reader_left(reader) - FILTER_HEAD < scatter->filter_size)
		return PAYLOAD_E_MALFORMED;
	return 0;
}

int vector_scatter_decode(const uint8_t *bytes, size_t size, float *vector, uint32_t dim_max,
			  struct vector_scatter *ret_scatter)
{
	struct pack_reader reader = pack_reader(bytes, size);
	struct vector_scatter scatter = {.vector = vector};
	int error;

	pack_read_array_of(&reader, SCATTER_COUNT);
	scatter.collection = pack_read_str(&reader);
	error = read_floats(&reader, vector, MIN(dim_max, VECTOR_DIM_MAX), &scatter.dim);
	if (error)
		return error;
	scatter.top_k = pack_read_u32(&reader);
	scatter.ef_search = pack_read_u32(&reader);
	scatter.has_filter = pack_read_bool(&reader);
	if (reader.error)
		return PAYLOAD_E_MALFORMED;
	if (scatter.has_filter && read_filter(&reader, &scatter))
		return PAYLOAD_E_MALFORMED;
	if (scatter.collection.length > VECTOR_COLLECTION_MAX || scatter.top_k == 0 ||
	    scatter.top_k > VECTOR_TOP_K_MAX || scatter.ef_search > VECTOR_EF_MAX)
		return PAYLOAD_E_LIMIT;
	*ret_scatter = scatter;
	return 0;
}

/* All but the doc_id at one go: there may be thousands of hits in an answer. */
static void write_hit(struct pack_writer *writer, const struct vector_hit *hit)
{
	uint8_t *at = pack_write_room(writer, 1 + pack_uint_size(hit->vector_id) + PACK_F32_SIZE +
						      pack_uint_size(hit->shard_id));

	if (likely(at != NULL)) {
		at = pack_store_array(at, HIT_COUNT);
		at = pack_store_uint(at, hit->vector_id);
		at = pack_store_f32(at, hit->distance);
		(void)pack_store_uint(at, hit->shard_id);
	}
	write_optional_text(writer, hit->has_doc_id, hit->doc_id);
}

static void answer_write(struct pack_writer *writer, const struct vector_answer *answer)
{
	pack_write_array(writer, ANSWER_COUNT);
	pack_write_uint(writer, answer->shard_id);
	pack_write_array(writer, answer->hit_count);
	for (uint32_t i = 0; i < answer->hit_count; i++)
		write_hit(writer, &answer->hits[i]);
	pack_write_bool(writer, answer->success);
	write_optional_text(writer, answer->has_error, answer->error);
}

size_t vector_answer_size(const struct vector_answer *answer)
{
	struct pack_writer writer = pack_writer(NULL, 0);

	answer_write(&writer, answer);
	return writer.size;
}

size_t vector_answer_encode(const struct vector_answer *answer, uint8_t *to, size_t capacity)
{
	struct pack_writer writer = pack_writer(to, capacity);

	answer_write(&writer, answer);
	return pack_writer_end(&writer);
}

static void read_hit(struct pack_reader *reader, struct vector_hit *hit)
{
	pack_read_array_of(reader, HIT_COUNT);
	hit->vector_id = pack_read_u32(reader);
	hit->distance = pack_read_f32(reader);
	hit->shard_id = pack_read_u32(reader);
	hit->doc_id = read_optional_text(reader, &hit->has_doc_id);
}

int vector_answer_decode(const uint8_t *bytes, size_t size, struct vector_hit *hits,
			 uint32_t hit_max, struct vector_answer *ret_answer)
{
	struct pack_reader reader = pack_reader(bytes, size);
	struct vector_answer answer = {.hits = hits};
	uint32_t doc_id_length_max = 0;

	pack_read_array_of(&reader, ANSWER_COUNT);
	answer.shard_id = pack_read_u32(&reader);
	answer.hit_count = pack_read_array(&reader);
	if (answer.hit_count > hit_max)
		return PAYLOAD_E_LIMIT;
	for (uint32_t i = 0; i < answer.hit_count && !reader.error; i++) {
		read_hit(&reader, &hits[i]);
		doc_id_length_max = MAX(doc_id_length_max, hits[i].doc_id.length);
	}
	answer.success = pack_read_bool(&reader);
	answer.error = read_optional_text(&reader, &answer.has_error);
	if (reader.error)
		return PAYLOAD_E_MALFORMED;
	if (doc_id_length_max > VECTOR_DOC_ID_MAX || answer.error.length > VECTOR_ERROR_MAX)
		return PAYLOAD_E_LIMIT;
	*ret_answer = answer;
	return 0;
}

int payload_read_head(struct pack_reader *reader, uint64_t version, uint32_t count)
{
	uint32_t found = pack_read_array(reader);
	uint64_t read = pack_read_u64(reader);

	if (reader->error)
		return PAYLOAD_E_MALFORMED;
	if (read != version)
		return PAYLOAD_E_VERSION;
	return found == count ? 0 : PAYLOAD_E_MALFORMED;
}

size_t coarse_request_encode(const struct coarse_request *request, uint8_t *to, size_t capacity)
{
	struct pack_writer writer = pack_writer(to, capacity);

	pack_write_array(&writer, COARSE_REQUEST_COUNT);
	pack_write_uint(&writer, VECTOR_PAYLOAD_V);
	write_text(&writer, request->collection);
	pack_write_uint(&writer, request->known_generation);
	return pack_writer_end(&writer);
}

int coarse_request_decode(const uint8_t *bytes, size_t size, struct coarse_request *ret_request)
{
	struct pack_reader reader = pack_reader(bytes, size);
	struct coarse_request request;
	int error = payload_read_head(&reader, VECTOR_PAYLOAD_V, COARSE_REQUEST_COUNT);

	if (error)
		return error;
	request.collection = pack_read_str(&reader);
	request.known_generation = pack_read_u64(&reader);
	if (reader.error)
		return PAYLOAD_E_MALFORMED;
	if (request.collection.length > VECTOR_COLLECTION_MAX)
		return PAYLOAD_E_LIMIT;
	*ret_request = request;
	return 0;
}

size_t coarse_answer_encode(const struct coarse_answer *answer, uint8_t *to, size_t capacity)
{
	struct pack_writer writer = pack_writer(to, capacity);

	pack_write_array(&writer, COARSE_ANSWER_COUNT);
	pack_write_uint(&writer, VECTOR_PAYLOAD_V);
	pack_write_uint(&writer, answer->shard_id);
	pack_write_uint(&writer, answer->generation);
	pack_write_uint(&writer, answer->kind);
	pack_write_uint(&writer, answer->metric);
	pack_write_uint(&writer, answer->dim);
	pack_write_uint(&writer, answer->vector_count);
	pack_write_bin(&writer, answer->body, answer->body_size);
	return pack_writer_end(&writer);
}

int coarse_answer_decode(const uint8_t *bytes, size_t size, struct coarse_answer *ret_answer)
{
	struct pack_reader reader = pack_reader(bytes, size);
	int error = payload_read_head(&reader, VECTOR_PAYLOAD_V, COARSE_ANSWER_COUNT);
	struct coarse_answer answer = {0};
	struct bytes_view body;
	uint32_t kind;

	if (error)
		return error;
	answer.shard_id = pack_read_u32(&reader);
	answer.generation = pack_read_u64(&reader);
	kind = pack_read_u32(&reader);
	answer.metric = pack_read_u32(&reader);
	answer.dim = pack_read_u32(&reader);
	answer.vector_count = pack_read_u64(&reader);
	body = pack_read_bin(&reader);
	if (reader.error || kind > COARSE_CENTROIDS || (kind == COARSE_UNCHANGED && body.size))
		return PAYLOAD_E_MALFORMED;
	if (answer.metric >= METRIC_COUNT || answer.dim > VECTOR_DIM_MAX)
		return PAYLOAD_E_LIMIT;
	answer.kind = (enum coarse_kind)kind;
	answer.body = body.bytes;
	answer.body_size = body.size;
	*ret_answer = answer;
	return 0;
}

static size_t centroid_row_size(uint32_t dim)
{
	return CENTROID_ROW_HEAD + (size_t)dim * sizeof(float);
}

static bool row_is_finite(struct centroid_row row, uint32_t dim)
{
	if (!isfinite(row.radius))
		return false;
	for (uint32_t i = 0; i < dim; i++)
		if (!isfinite(load_lef32(row.floats + i * sizeof(float))))
			return false;
	return true;
}

int centroid_body_check(const uint8_t *body, size_t size, uint32_t dim, uint32_t *ret_count)
{
	uint32_t count;

	if (size < CENTROID_BODY_HEAD || load_le32(body + 4))
		return PAYLOAD_E_MALFORMED;
	count = load_le32(body);
	if (count > VECTOR_CENTROID_MAX || dim > VECTOR_DIM_MAX)
		return PAYLOAD_E_LIMIT;
	if (size != CENTROID_BODY_HEAD + count * centroid_row_size(dim))
		return PAYLOAD_E_MALFORMED;
	for (uint32_t i = 0; i < count; i++)
		if (!row_is_finite(centroid_body_row(body, dim, i), dim))
			return PAYLOAD_E_MALFORMED;
	*ret_count = count;
	return 0;
}

struct centroid_row centroid_body_row(const uint8_t *body, uint32_t dim, uint32_t index)
{
	const uint8_t *row = body + CENTROID_BODY_HEAD + index * centroid_row_size(dim);

	return (struct centroid_row){
		.member_count = load_le32(row),
		.radius = load_lef32(row + 4),
		.floats = row + CENTROID_ROW_HEAD,
	};
}
