/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Session proof - HMAC-SHA256 in pieces, without the heap
 *
 * libcrypto's SHA-256 under RFC 2104's construction. libcrypto's own HMAC
 * allocates a context and a copy of the key at every use; an endpoint answers
 * handshakes while it serves and must not.
 *
 * Threads: a key is constant once made; a MAC belongs to one thread.
 */

#include <openssl/sha.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SESSION_PROOF_SIZE 32

/* Both pads hashed already, which spares two of the four rounds of a short MAC. */
struct session_key {
	SHA256_CTX inner;
	SHA256_CTX outer;
};

struct session_mac {
	SHA256_CTX context;
	const struct session_key *key; /* borrowed until session_mac_end() */
};

/* 'size' is at most 64, the block of SHA-256. */
void session_key_init(struct session_key *key, const uint8_t *bytes, size_t size);

void session_mac_begin(struct session_mac *mac, const struct session_key *key);
void session_mac_add(struct session_mac *mac, const void *bytes, size_t size);
void session_mac_end(struct session_mac *mac, uint8_t ret_proof[SESSION_PROOF_SIZE]);

/* Compares in a time that doesn't depend on where they differ. */
bool session_proof_equal(const uint8_t a[SESSION_PROOF_SIZE], const uint8_t b[SESSION_PROOF_SIZE]);
