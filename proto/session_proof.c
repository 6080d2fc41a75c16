/* SPDX-License-Identifier: Apache-2.0 */

/* The interface that SHA-256 has without the heap is an old one to OpenSSL 3. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "proto/session_proof.h"

#include "base/check.h"

#include <openssl/crypto.h>
#include <string.h>

static void pad_hash(SHA256_CTX *context, const uint8_t *bytes, size_t size, uint8_t pad)
{
	uint8_t block[SHA256_CBLOCK] = {0};

	memcpy(block, bytes, size);
	for (size_t i = 0; i < sizeof(block); i++)
		block[i] ^= pad;
	SHA256_Init(context);
	SHA256_Update(context, block, sizeof(block));
	OPENSSL_cleanse(block, sizeof(block));
}

void session_key_init(struct session_key *key, const uint8_t *bytes, size_t size)
{
	CHECK(size <= SHA256_CBLOCK);
	pad_hash(&key->inner, bytes, size, 0x36);
	pad_hash(&key->outer, bytes, size, 0x5C);
}

void session_mac_begin(struct session_mac *mac, const struct session_key *key)
{
	mac->context = key->inner;
	mac->key = key;
}

void session_mac_add(struct session_mac *mac, const void *bytes, size_t size)
{
	SHA256_Update(&mac->context, bytes, size);
}

void session_mac_end(struct session_mac *mac, uint8_t ret_proof[SESSION_PROOF_SIZE])
{
	uint8_t digest[SHA256_DIGEST_LENGTH];

	SHA256_Final(digest, &mac->context);
	mac->context = mac->key->outer;
	SHA256_Update(&mac->context, digest, sizeof(digest));
	SHA256_Final(ret_proof, &mac->context);
}

bool session_proof_equal(const uint8_t a[SESSION_PROOF_SIZE], const uint8_t b[SESSION_PROOF_SIZE])
{
	return CRYPTO_memcmp(a, b, SESSION_PROOF_SIZE) == 0;
}
