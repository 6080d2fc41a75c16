/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Shm wire - the packets of a shared-memory link
 *
 * docs/format/shm.md has the bytes and what they mean. A packet is checked
 * completely when it is decoded; whether its kind is due is for rdma/shm_link.c.
 *
 * Threads: any; nothing here has state.
 */

#include <stddef.h>
#include <stdint.h>

#define SHM_WIRE_VERSION 1

/* Bytes of the largest packet. */
#define SHM_WIRE_SIZE_MAX 80

#define SHM_WIRE_NONCE_SIZE  32
#define SHM_WIRE_PROOF_SIZE  32
#define SHM_WIRE_SECRET_SIZE 32

enum shm_wire_kind {
	SHM_WIRE_HELLO = 1,
	SHM_WIRE_ANSWER,
	SHM_WIRE_PROVE,
	SHM_WIRE_WELCOME,
	SHM_WIRE_REFUSE,
	SHM_WIRE_PASS,
	SHM_WIRE_WITHDRAW,
	SHM_WIRE_RETURN,
};

enum shm_wire_reason {
	SHM_WIRE_BY_VERSION = 1,
	SHM_WIRE_BY_PROOF,
	SHM_WIRE_BY_USER,
};

enum {
	SHM_WIRE_E_VERSION = 1, /* a packet of a version that we don't speak */
	SHM_WIRE_E_CORRUPT,     /* no packet */
};

/* Fields that a kind doesn't use are 0. */
struct shm_wire_packet {
	enum shm_wire_kind kind;
	enum shm_wire_reason reason;
	uint64_t node;
	uint64_t lease;
	uint64_t offset;
	uint64_t size;
	uint8_t nonce[SHM_WIRE_NONCE_SIZE];
	uint8_t proof[SHM_WIRE_PROOF_SIZE];
};

/* Returns the bytes written. */
size_t shm_wire_encode(const struct shm_wire_packet *packet, uint8_t to[SHM_WIRE_SIZE_MAX]);

/* Returns 0 or SHM_WIRE_E_*. */
int shm_wire_decode(const uint8_t *bytes, size_t size, struct shm_wire_packet *ret_packet);

/* What both sides of a link know when the nonces are exchanged. */
struct shm_wire_parties {
	uint64_t reader_node, owner_node;
	uint8_t reader_nonce[SHM_WIRE_NONCE_SIZE], owner_nonce[SHM_WIRE_NONCE_SIZE];
};

enum shm_wire_speaker {
	SHM_WIRE_OWNER,
	SHM_WIRE_READER,
	SHM_WIRE_LEASE, /* of region requests */
};

/* 'secret' may be NULL: there is none. */
void shm_wire_prove(const uint8_t *secret, enum shm_wire_speaker speaker,
		    const struct shm_wire_parties *parties, uint8_t ret_proof[SHM_WIRE_PROOF_SIZE]);
