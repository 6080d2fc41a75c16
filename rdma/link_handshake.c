/* SPDX-License-Identifier: Apache-2.0 */
#include "rdma/link_handshake.h"

#include "base/byteorder.h"
#include "proto/session_proof.h"

#include <string.h>

/* Bytes 'T' 'n' 'L' 'k'. */
#define LINK_MAGIC UINT32_C(0x6B4C6E54)

/* What every proof begins with, so that it is of no use in another protocol of the same secret. */
static const char proof_label[15] = "tern rdma link";

_Static_assert(LINK_PROOF_SIZE == SESSION_PROOF_SIZE, "one kind of proof");

void link_hello_encode(const struct link_hello *hello, uint8_t to[LINK_HELLO_SIZE])
{
	store_le32(to, LINK_MAGIC);
	to[4] = LINK_VERSION;
	to[5] = (uint8_t)hello->use;
	store_le16(to + 6, hello->shard);
	store_le64(to + 8, hello->node);
	memcpy(to + 16, hello->nonce, LINK_NONCE_SIZE);
}

int link_hello_decode(const uint8_t *bytes, size_t size, struct link_hello *ret_hello)
{
	if (size < LINK_HELLO_SIZE || load_le32(bytes) != LINK_MAGIC)
		return LINK_HANDSHAKE_E_MALFORMED;
	if (bytes[4] != LINK_VERSION)
		return LINK_HANDSHAKE_E_VERSION;
	if (bytes[5] != LINK_READS && bytes[5] != LINK_FRAMES)
		return LINK_HANDSHAKE_E_MALFORMED;
	ret_hello->use = (enum link_use)bytes[5];
	ret_hello->shard = load_le16(bytes + 6);
	ret_hello->node = load_le64(bytes + 8);
	memcpy(ret_hello->nonce, bytes + 16, LINK_NONCE_SIZE);
	return 0;
}

void link_refusal_encode(enum link_refusal refusal, uint8_t to[LINK_REFUSAL_SIZE])
{
	store_le32(to, LINK_MAGIC);
	to[4] = LINK_VERSION;
	to[5] = (uint8_t)refusal;
	store_le16(to + 6, 0);
}

/* The version isn't looked at: a refusal of it has to be understood by all. */
enum link_refusal link_refusal_decode(const uint8_t *bytes, size_t size)
{
	if (size < LINK_REFUSAL_SIZE || load_le32(bytes) != LINK_MAGIC ||
	    bytes[5] > LINK_REFUSAL_SHARD)
		return LINK_REFUSAL_NONE;
	return (enum link_refusal)bytes[5];
}

const char *link_refusal_text(enum link_refusal refusal)
{
	switch (refusal) {
	case LINK_REFUSAL_MALFORMED:
		return "it can't read our hello: is it another program's port?";
	case LINK_REFUSAL_VERSION:
		return "it speaks another version of links: update the older of the two";
	case LINK_REFUSAL_FULL:
		return "it has all the links it can have: raise its limit, or try later";
	case LINK_REFUSAL_USE:
		return "it takes no frames over RDMA: use its UDP port";
	case LINK_REFUSAL_DEVICE:
		return "the address is of another of its devices than the one it uses";
	case LINK_REFUSAL_SECRET:
		return "it doesn't share our secret: give both the same cluster secret";
	case LINK_REFUSAL_SHARD:
		return "it doesn't have that shard: the map of who has it is out of date";
	case LINK_REFUSAL_NONE:
		break;
	}
	return "it refused";
}

void link_first_encode(enum link_first first, const uint8_t *proof, uint8_t to[LINK_FIRST_SIZE])
{
	memset(to, 0, LINK_FIRST_SIZE);
	store_le32(to, LINK_MAGIC);
	to[4] = (uint8_t)first;
	if (proof)
		memcpy(to + 8, proof, LINK_PROOF_SIZE);
}

const uint8_t *link_first_decode(const uint8_t *bytes, size_t size, enum link_first expected)
{
	if (size != LINK_FIRST_SIZE || load_le32(bytes) != LINK_MAGIC || bytes[4] != expected)
		return NULL;
	return bytes + 8;
}

void link_prove(const uint8_t *secret, enum link_role role,
		const uint8_t connecting[LINK_HELLO_SIZE], const uint8_t listening[LINK_HELLO_SIZE],
		uint8_t ret_proof[LINK_PROOF_SIZE])
{
	static const uint8_t none[LINK_SECRET_SIZE];
	uint8_t speaker = (uint8_t)role;
	struct session_key key;
	struct session_mac mac;

	session_key_init(&key, secret ? secret : none, LINK_SECRET_SIZE);
	session_mac_begin(&mac, &key);
	session_mac_add(&mac, proof_label, sizeof(proof_label));
	session_mac_add(&mac, &speaker, sizeof(speaker));
	session_mac_add(&mac, connecting, LINK_HELLO_SIZE);
	session_mac_add(&mac, listening, LINK_HELLO_SIZE);
	session_mac_end(&mac, ret_proof);
}
