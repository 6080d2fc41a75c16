/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Payload_vector - the payloads of message types 50 to 53
 *
 * Requests exactly as protocol section 7.1, the rest as docs/format/vector.md
 * (arrays in field order, MessagePack of section 5). Decoders take hostile
 * bytes: every length, count, marker and UTF-8 string is checked, and views
 * borrow from the bytes decoded. Encoders return the bytes written, or 0 when
 * they don't fit.
 *
 * Threads: any; nothing here has state or allocates.
 */

#include "proto/pack.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VECTOR_DIM_MAX        4096
#define VECTOR_TOP_K_MAX      10000
#define VECTOR_EF_MAX         8192
#define VECTOR_COLLECTION_MAX 255 /* bytes of a collection's name */
#define VECTOR_ERROR_MAX      255 /* bytes of an error text */
#define VECTOR_DOC_ID_MAX     1023
#define VECTOR_CENTROID_MAX   1024 /* rows of a centroid summary */
#define VECTOR_PAYLOAD_V      1    /* the `v` element of types 52 and 53 */

enum {
	PAYLOAD_E_MALFORMED = 1, /* not the bytes that the format asks for */
	PAYLOAD_E_VERSION,       /* the `v` element is not 1 */
	PAYLOAD_E_LIMIT,         /* well formed, but outside of one of the limits above */
};

/*
 * The head of types 52, 53, 56 and 57: an array of 'count', and its `v`. The version is looked at
 * before the element count, which another version may change. Returns 0 or PAYLOAD_E_*.
 */
int payload_read_head(struct pack_reader *reader, uint64_t version, uint32_t count);

/* 50 */
struct vector_scatter {
	struct text_view collection;
	const float *vector; /* 'dim' elements, in the caller's memory */
	uint32_t dim;
	uint32_t top_k;     /* 1 to VECTOR_TOP_K_MAX */
	uint32_t ef_search; /* 0: what the node's target recall asks for */
	bool has_filter;
	const uint8_t *filter; /* Roaring portable bitmap of u32 vector ids */
	uint32_t filter_size;  /* bytes */
};

size_t vector_scatter_size(const struct vector_scatter *scatter);
size_t vector_scatter_encode(const struct vector_scatter *scatter, uint8_t *to, size_t capacity);

/*
 * Writes the query vector to 'vector', which has room for 'dim_max' elements;
 * a longer one is PAYLOAD_E_LIMIT. Returns 0 or PAYLOAD_E_*.
 */
int vector_scatter_decode(const uint8_t *bytes, size_t size, float *vector, uint32_t dim_max,
			  struct vector_scatter *ret_scatter);

/* 51 */
struct vector_hit {
	uint32_t vector_id;
	float distance;
	uint32_t shard_id;
	bool has_doc_id;
	struct text_view doc_id;
};

struct vector_answer {
	uint32_t shard_id;
	const struct vector_hit *hits; /* nearest first, ties by vector_id */
	uint32_t hit_count;
	bool success;
	bool has_error;
	struct text_view error;
};

size_t vector_answer_size(const struct vector_answer *answer);
size_t vector_answer_encode(const struct vector_answer *answer, uint8_t *to, size_t capacity);

/* Writes up to 'hit_max' hits to 'hits'; more are PAYLOAD_E_LIMIT. */
int vector_answer_decode(const uint8_t *bytes, size_t size, struct vector_hit *hits,
			 uint32_t hit_max, struct vector_answer *ret_answer);

/* 52 */
struct coarse_request {
	struct text_view collection;
	uint64_t known_generation; /* 0: none */
};

size_t coarse_request_encode(const struct coarse_request *request, uint8_t *to, size_t capacity);
int coarse_request_decode(const uint8_t *bytes, size_t size, struct coarse_request *ret_request);

/* 53 */
enum coarse_kind {
	COARSE_UNCHANGED = 0, /* since known_generation; the body is empty */
	COARSE_CENTROIDS = 1,
};

struct coarse_answer {
	uint32_t shard_id;
	uint64_t generation;
	enum coarse_kind kind;
	uint32_t metric; /* enum metric */
	uint32_t dim;
	uint64_t vector_count;
	const uint8_t *body; /* of kind 1: see struct centroid_row */
	uint32_t body_size;
};

size_t coarse_answer_encode(const struct coarse_answer *answer, uint8_t *to, size_t capacity);
int coarse_answer_decode(const uint8_t *bytes, size_t size, struct coarse_answer *ret_answer);

/*
 * The body of kind 1, little endian: u32 count, u32 flags 0, then rows of
 * { u32 members, f32 radius, dim x f32 centroid }.
 */
#define CENTROID_BODY_HEAD 8
#define CENTROID_ROW_HEAD  8

struct centroid_row {
	uint32_t member_count;
	float radius;          /* largest distance of a member from the centroid */
	const uint8_t *floats; /* dim little-endian f32; not aligned */
};

/* Checks size, flags, count and that radii and centroids are finite. Returns the row count through
 * 'ret_count'. */
int centroid_body_check(const uint8_t *body, size_t size, uint32_t dim, uint32_t *ret_count);

/* Row 'index' of a body that centroid_body_check() accepted. */
struct centroid_row centroid_body_row(const uint8_t *body, uint32_t dim, uint32_t index);
