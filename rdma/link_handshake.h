/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Link_handshake - the bytes with which two sides of a link get to know each other
 *
 * Hellos and refusals travel as private data of the connection, proofs and the welcome
 * as the first SENDs. docs/format/link.md is normative. All of it comes from strangers: a
 * decoder takes any bytes of any number.
 *
 * Threads: any; nothing here has state.
 */

#include "rdma/link.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LINK_NONCE_SIZE   32
#define LINK_HELLO_SIZE   48
#define LINK_ACCEPT_SIZE  (LINK_HELLO_SIZE + LINK_PROOF_SIZE)
#define LINK_REFUSAL_SIZE 8
#define LINK_FIRST_SIZE   40 /* the first SEND of either side */

/* What librdmacm carries at most: behind its own header in a request, and in an answer. */
#define LINK_REQUEST_DATA_MAX 56
#define LINK_ANSWER_DATA_MAX  196
_Static_assert(LINK_HELLO_SIZE <= LINK_REQUEST_DATA_MAX, "in a connection request");
_Static_assert(LINK_ACCEPT_SIZE <= LINK_ANSWER_DATA_MAX, "in its answer");

enum {
	LINK_HANDSHAKE_E_MALFORMED = 1, /* too short, another magic, or values that don't exist */
	LINK_HANDSHAKE_E_VERSION,       /* of another version than LINK_VERSION */
};

/* Numbers on the wire. */
enum link_refusal {
	LINK_REFUSAL_NONE = 0,
	LINK_REFUSAL_MALFORMED = 1,
	LINK_REFUSAL_VERSION = 2,
	LINK_REFUSAL_FULL = 3,
	LINK_REFUSAL_USE = 4,
	LINK_REFUSAL_DEVICE = 5,
	LINK_REFUSAL_SECRET = 6,
	LINK_REFUSAL_SHARD = 7,
};

/* Who speaks, in a proof: numbers on the wire, inside what is hashed. */
enum link_role {
	LINK_ROLE_CONNECTING = 1,
	LINK_ROLE_LISTENING = 2,
	LINK_ROLE_REGIONS = 3, /* link_proof() */
};

/* Numbers on the wire. */
enum link_first {
	LINK_FIRST_PROOF = 1,
	LINK_FIRST_WELCOME = 2,
};

struct link_hello {
	enum link_use use;
	uint16_t shard; /* link_shard_name(), or LINK_NO_SHARD */
	uint64_t node;  /* 0: a client */
	uint8_t nonce[LINK_NONCE_SIZE];
};

void link_hello_encode(const struct link_hello *hello, uint8_t to[LINK_HELLO_SIZE]);

/* Bytes behind the hello are ignored. Returns 0 or LINK_HANDSHAKE_E_*. */
int link_hello_decode(const uint8_t *bytes, size_t size, struct link_hello *ret_hello);

void link_refusal_encode(enum link_refusal refusal, uint8_t to[LINK_REFUSAL_SIZE]);

/* LINK_REFUSAL_NONE when the bytes are no refusal of ours. */
enum link_refusal link_refusal_decode(const uint8_t *bytes, size_t size);

/* For people: why, and what to do. */
const char *link_refusal_text(enum link_refusal refusal);

/* 'proof' is NULL for a welcome. */
void link_first_encode(enum link_first first, const uint8_t *proof, uint8_t to[LINK_FIRST_SIZE]);

/* Returns the proof in 'bytes', all zero for a welcome, or NULL when it isn't what is expected. */
const uint8_t *link_first_decode(const uint8_t *bytes, size_t size, enum link_first expected);

/* The proof of 'role' over both hellos; 'secret' may be NULL (see docs/format/link.md). */
void link_prove(const uint8_t *secret, enum link_role role,
		const uint8_t connecting[LINK_HELLO_SIZE], const uint8_t listening[LINK_HELLO_SIZE],
		uint8_t ret_proof[LINK_PROOF_SIZE]);
