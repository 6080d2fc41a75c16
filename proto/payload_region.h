/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Payload_region - the payloads of message types 56 and 57, and regions' names
 *
 * With type 56 a peer asks a shard for memory that it may read by itself, with
 * type 57 it is told where that is, or why not; docs/format/region.md has the
 * bytes. Decoders take hostile bytes and return PAYLOAD_E_* of payload_vector.h;
 * views borrow from the bytes decoded. Encoders return the bytes written, or 0
 * when they don't fit.
 *
 * Threads: any; nothing here has state or allocates.
 */

#include "proto/pack.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define REGION_PAYLOAD_V  1
#define REGION_PROOF_MAX  64  /* bytes of a proof; link_proof() has 32 */
#define REGION_REASON_MAX 255 /* bytes of the text that says why not */

/* Bytes of a region's name, final zero included: "segment/18446744073709551615/upper". */
#define REGION_NAME_MAX 40

/* Room that every request with a name of REGION_NAME_MAX, and every answer, fits in. */
#define REGION_PAYLOAD_MAX 512

enum region_kind {
	REGION_KIND_SEGMENT,   /* "segment/ID": the image */
	REGION_KIND_UPPER,     /* "segment/ID/upper": the image from its labels to its end */
	REGION_KIND_DIRECTORY, /* "directory": see proto/directory.h */
};

struct region_name {
	enum region_kind kind;
	uint64_t segment; /* its id, never 0; 0 for the directory */
};

/* Returns 0, or PAYLOAD_E_LIMIT: there is no region of such a name anywhere. */
int region_name_parse(struct text_view text, struct region_name *ret_name);

/* Returns the length of the text, which is written with a final zero. */
uint32_t region_name_format(const struct region_name *name, char to[REGION_NAME_MAX]);

/* How the asker wants to read. */
enum region_transport {
	REGION_TRANSPORT_VERBS = 1,
	REGION_TRANSPORT_SHM = 2, /* memory shared on one host */
};

/* 56 */
struct region_request {
	struct text_view collection;
	struct text_view region;
	uint32_t lease_ms; /* wanted */
	enum region_transport transport;
	struct bytes_view proof; /* binds the grant to a link; empty where there is none */
};

size_t region_request_encode(const struct region_request *request, uint8_t *to, size_t capacity);

/* A transport that is none of enum region_transport is PAYLOAD_E_LIMIT. */
int region_request_decode(const uint8_t *bytes, size_t size, struct region_request *ret_request);

/* The reasons that an owner gives; a decoder takes any text. */
#define REGION_UNSUPPORTED "unsupported"
#define REGION_UNKNOWN     "unknown region"
#define REGION_NOT_MEMBER  "not a member"
#define REGION_MANY_LEASES "too many leases"
#define REGION_MOVED       "shard moved"

/* 57 */
struct region_answer {
	bool available;
	uint64_t remote_addr;
	uint32_t rkey;
	uint64_t length;     /* bytes; not 0 when available */
	uint64_t generation; /* of the segment */
	uint64_t lease_id;   /* not 0 when available */
	uint32_t
		lease_ms; /* granted; the asker counts from before it asked; not 0 when available */
	uint32_t crc;     /* CRC-32C of the segment's header */
	struct text_view reason; /* empty if, and only if, it is available */
};

/* The answer that says no, for a constant 'reason'. */
struct region_answer region_refusal(const char *reason);

/* Of one that isn't available only the reason is encoded: no key gets out by mistake. */
size_t region_answer_encode(const struct region_answer *answer, uint8_t *to, size_t capacity);

/* One that contradicts itself (a number beside 'no', a reason beside 'yes') is malformed. */
int region_answer_decode(const uint8_t *bytes, size_t size, struct region_answer *ret_answer);
