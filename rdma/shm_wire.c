/* SPDX-License-Identifier: Apache-2.0 */
#include "rdma/shm_wire.h"

#include "base/byteorder.h"
#include "proto/session_proof.h"

#include <assert.h>
#include <stdbool.h>
#include <string.h>

#define MAGIC     UINT32_C(0x68534E54)
#define HEAD_SIZE 8

/* Memory is mapped and measured in off_t, which has a sign. */
#define END_MAX ((uint64_t)INT64_MAX)

static_assert(SHM_WIRE_PROOF_SIZE == SESSION_PROOF_SIZE, "one kind of proof");

static const uint8_t sizes[] = {
	[SHM_WIRE_HELLO] = 48,    [SHM_WIRE_ANSWER] = 80, [SHM_WIRE_PROVE] = 40,
	[SHM_WIRE_WELCOME] = 8,   [SHM_WIRE_REFUSE] = 16, [SHM_WIRE_PASS] = 32,
	[SHM_WIRE_WITHDRAW] = 16, [SHM_WIRE_RETURN] = 16,
};

size_t shm_wire_encode(const struct shm_wire_packet *packet, uint8_t to[SHM_WIRE_SIZE_MAX])
{
	size_t size = sizes[packet->kind];

	memset(to, 0, size);
	store_le32(to, MAGIC);
	to[4] = SHM_WIRE_VERSION;
	to[5] = (uint8_t)packet->kind;
	switch (packet->kind) {
	case SHM_WIRE_ANSWER:
		memcpy(to + 48, packet->proof, sizeof(packet->proof));
		__attribute__((fallthrough));
	case SHM_WIRE_HELLO:
		store_le64(to + 8, packet->node);
		memcpy(to + 16, packet->nonce, sizeof(packet->nonce));
		break;
	case SHM_WIRE_PROVE:
		memcpy(to + 8, packet->proof, sizeof(packet->proof));
		break;
	case SHM_WIRE_WELCOME:
		break;
	case SHM_WIRE_REFUSE:
		store_le32(to + 8, packet->reason);
		break;
	case SHM_WIRE_PASS:
		store_le64(to + 16, packet->offset);
		store_le64(to + 24, packet->size);
		__attribute__((fallthrough));
	case SHM_WIRE_WITHDRAW:
	case SHM_WIRE_RETURN:
		store_le64(to + 8, packet->lease);
		break;
	}
	return size;
}

static bool is_sane(const struct shm_wire_packet *packet)
{
	switch (packet->kind) {
	case SHM_WIRE_REFUSE:
		return packet->reason >= SHM_WIRE_BY_VERSION && packet->reason <= SHM_WIRE_BY_USER;
	case SHM_WIRE_PASS:
		return packet->lease && packet->size && packet->size <= END_MAX &&
		       packet->offset <= END_MAX - packet->size;
	case SHM_WIRE_WITHDRAW:
	case SHM_WIRE_RETURN:
		return packet->lease;
	default:
		return true;
	}
}

int shm_wire_decode(const uint8_t *bytes, size_t size, struct shm_wire_packet *ret_packet)
{
	struct shm_wire_packet packet = {0};

	if (size < HEAD_SIZE || load_le32(bytes) != MAGIC)
		return SHM_WIRE_E_CORRUPT;
	if (bytes[4] != SHM_WIRE_VERSION)
		return SHM_WIRE_E_VERSION;
	if (bytes[5] < SHM_WIRE_HELLO || bytes[5] > SHM_WIRE_RETURN || load_le16(bytes + 6) ||
	    size != sizes[bytes[5]])
		return SHM_WIRE_E_CORRUPT;
	packet.kind = bytes[5];
	switch (packet.kind) {
	case SHM_WIRE_ANSWER:
		memcpy(packet.proof, bytes + 48, sizeof(packet.proof));
		__attribute__((fallthrough));
	case SHM_WIRE_HELLO:
		packet.node = load_le64(bytes + 8);
		memcpy(packet.nonce, bytes + 16, sizeof(packet.nonce));
		break;
	case SHM_WIRE_PROVE:
		memcpy(packet.proof, bytes + 8, sizeof(packet.proof));
		break;
	case SHM_WIRE_WELCOME:
		break;
	case SHM_WIRE_REFUSE:
		packet.reason = load_le32(bytes + 8);
		if (load_le32(bytes + 12))
			return SHM_WIRE_E_CORRUPT;
		break;
	case SHM_WIRE_PASS:
		packet.offset = load_le64(bytes + 16);
		packet.size = load_le64(bytes + 24);
		__attribute__((fallthrough));
	case SHM_WIRE_WITHDRAW:
	case SHM_WIRE_RETURN:
		packet.lease = load_le64(bytes + 8);
		break;
	}
	if (!is_sane(&packet))
		return SHM_WIRE_E_CORRUPT;
	*ret_packet = packet;
	return 0;
}

void shm_wire_prove(const uint8_t *secret, enum shm_wire_speaker speaker,
		    const struct shm_wire_parties *parties, uint8_t ret_proof[SHM_WIRE_PROOF_SIZE])
{
	static const uint8_t none[SHM_WIRE_SECRET_SIZE];
	static const char labels[][17] = {
		[SHM_WIRE_OWNER] = "tern shm owner 1",
		[SHM_WIRE_READER] = "tern shm reader1",
		[SHM_WIRE_LEASE] = "tern shm lease 1",
	};
	struct session_key key;
	struct session_mac mac;
	uint8_t nodes[16];

	store_le64(nodes, parties->reader_node);
	store_le64(nodes + 8, parties->owner_node);
	session_key_init(&key, secret ? secret : none, SHM_WIRE_SECRET_SIZE);
	session_mac_begin(&mac, &key);
	session_mac_add(&mac, labels[speaker], 16);
	session_mac_add(&mac, nodes, sizeof(nodes));
	session_mac_add(&mac, parties->reader_nonce, sizeof(parties->reader_nonce));
	session_mac_add(&mac, parties->owner_nonce, sizeof(parties->owner_nonce));
	session_mac_end(&mac, ret_proof);
}
