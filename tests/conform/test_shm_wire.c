/* SPDX-License-Identifier: Apache-2.0 */
#include "base/defs.h"
#include "rdma/shm_wire.h"
#include "tests/lib/test.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <string.h>

#define FILL(byte)                                                                                 \
	{                                                                                          \
		byte, byte, byte, byte, byte, byte, byte, byte, byte, byte, byte, byte, byte,      \
			byte, byte, byte, byte, byte, byte, byte, byte, byte, byte, byte, byte,    \
			byte, byte, byte, byte, byte, byte, byte                                   \
	}
#define ONES  "0101010101010101010101010101010101010101010101010101010101010101"
#define TWOS  "0202020202020202020202020202020202020202020202020202020202020202"
#define HEAD  "544e5368 01 "
#define NODE7 "0700000000000000"

/* Every kind, and its bytes as docs/format/shm.md says. */
static const struct {
	struct shm_wire_packet packet;
	const char *bytes;
} goldens[] = {
	{{.kind = SHM_WIRE_HELLO, .node = 7, .nonce = FILL(1)}, HEAD "01 0000" NODE7 ONES},
	{{.kind = SHM_WIRE_ANSWER, .node = 7, .nonce = FILL(1), .proof = FILL(2)},
	 HEAD "02 0000" NODE7 ONES TWOS},
	{{.kind = SHM_WIRE_PROVE, .proof = FILL(2)}, HEAD "03 0000" TWOS},
	{{.kind = SHM_WIRE_WELCOME}, HEAD "04 0000"},
	{{.kind = SHM_WIRE_REFUSE, .reason = SHM_WIRE_BY_USER}, HEAD "05 0000 03000000 00000000"},
	{{.kind = SHM_WIRE_PASS, .lease = 0x1122334455667788, .offset = 4096, .size = 65},
	 HEAD "06 0000 8877665544332211 0010000000000000 4100000000000000"},
	{{.kind = SHM_WIRE_WITHDRAW, .lease = 7}, HEAD "07 0000" NODE7},
	{{.kind = SHM_WIRE_RETURN, .lease = 7}, HEAD "08 0000" NODE7},
};

static void every_kind_has_its_bytes(void **state)
{
	for (unsigned i = 0; i < ARRAY_COUNT(goldens); i++) {
		uint8_t golden[SHM_WIRE_SIZE_MAX], bytes[SHM_WIRE_SIZE_MAX];
		size_t size = test_unhex(goldens[i].bytes, golden, sizeof(golden));
		struct shm_wire_packet packet;

		assert_int_equal(shm_wire_encode(&goldens[i].packet, bytes), size);
		assert_memory_equal(bytes, golden, size);
		assert_int_equal(shm_wire_decode(golden, size, &packet), 0);
		assert_memory_equal(&packet, &goldens[i].packet, sizeof(packet));
	}
}

static void packets_of_other_sizes_are_refused(void **state)
{
	for (unsigned i = 0; i < ARRAY_COUNT(goldens); i++) {
		uint8_t bytes[SHM_WIRE_SIZE_MAX + 1] = {0};
		size_t size = shm_wire_encode(&goldens[i].packet, bytes);
		struct shm_wire_packet packet;

		for (size_t other = 0; other <= sizeof(bytes); other++) {
			if (other != size)
				assert_int_equal(shm_wire_decode(bytes, other, &packet),
						 SHM_WIRE_E_CORRUPT);
		}
	}
}

static void hostile_fields_are_refused(void **state)
{
	static const struct {
		const char *bytes;
		int error;
	} cases[] = {
		{"544e5369 01 04 0000", SHM_WIRE_E_CORRUPT},
		{"544e5368 02 04 0000", SHM_WIRE_E_VERSION},
		{"544e5368 00 04 0000", SHM_WIRE_E_VERSION},
		{"544e5368 01 00 0000", SHM_WIRE_E_CORRUPT},
		{"544e5368 01 09 0000", SHM_WIRE_E_CORRUPT},
		{"544e5368 01 ff 0000", SHM_WIRE_E_CORRUPT},
		{"544e5368 01 04 0100", SHM_WIRE_E_CORRUPT},
		{"544e5368 01 04 0001", SHM_WIRE_E_CORRUPT},
		/* reasons */
		{HEAD "05 0000 00000000 00000000", SHM_WIRE_E_CORRUPT},
		{HEAD "05 0000 04000000 00000000", SHM_WIRE_E_CORRUPT},
		{HEAD "05 0000 ffffffff 00000000", SHM_WIRE_E_CORRUPT},
		{HEAD "05 0000 01000000 00000001", SHM_WIRE_E_CORRUPT},
		/* lease 0 */
		{HEAD "07 0000 0000000000000000", SHM_WIRE_E_CORRUPT},
		{HEAD "08 0000 0000000000000000", SHM_WIRE_E_CORRUPT},
		{HEAD "06 0000 0000000000000000 0000000000000000 0100000000000000",
		 SHM_WIRE_E_CORRUPT},
		/* size 0; sums beyond 2^63 - 1 */
		{HEAD "06 0000 0100000000000000 0000000000000000 0000000000000000",
		 SHM_WIRE_E_CORRUPT},
		{HEAD "06 0000 0100000000000000 ffffffffffffff7f 0100000000000000",
		 SHM_WIRE_E_CORRUPT},
		{HEAD "06 0000 0100000000000000 ffffffffffffffff 0200000000000000",
		 SHM_WIRE_E_CORRUPT},
		{HEAD "06 0000 0100000000000000 0100000000000000 ffffffffffffffff",
		 SHM_WIRE_E_CORRUPT},
		{HEAD "06 0000 0100000000000000 feffffffffffff7f 0100000000000000", 0},
	};

	for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
		uint8_t bytes[SHM_WIRE_SIZE_MAX];
		size_t size = test_unhex(cases[i].bytes, bytes, sizeof(bytes));
		struct shm_wire_packet packet = {.lease = 99};

		assert_int_equal(shm_wire_decode(bytes, size, &packet), cases[i].error);
		if (cases[i].error)
			assert_int_equal(packet.lease, 99);
	}
}

/* OpenSSL's HMAC over the table of docs/format/shm.md. */
static void proofs_are_hmacs_of_both_sides(void **state)
{
	static const uint8_t secret[SHM_WIRE_SECRET_SIZE] = "the secret of this cluster";
	static const uint8_t none[SHM_WIRE_SECRET_SIZE];
	static const struct shm_wire_parties parties = {
		.reader_node = 3, .owner_node = 7, .reader_nonce = FILL(1), .owner_nonce = FILL(2)};
	static const char *const labels[] = {"tern shm owner 1", "tern shm reader1",
					     "tern shm lease 1"};

	for (unsigned i = 0; i < ARRAY_COUNT(labels); i++) {
		uint8_t bytes[96], right[32], proof[SHM_WIRE_PROOF_SIZE];

		memcpy(bytes, labels[i], 16);
		(void)test_unhex("0300000000000000" NODE7 ONES TWOS, bytes + 16, 80);
		HMAC(EVP_sha256(), secret, 32, bytes, sizeof(bytes), right, NULL);
		shm_wire_prove(secret, SHM_WIRE_OWNER + i, &parties, proof);
		assert_memory_equal(proof, right, sizeof(proof));
		HMAC(EVP_sha256(), none, 32, bytes, sizeof(bytes), right, NULL);
		shm_wire_prove(NULL, SHM_WIRE_OWNER + i, &parties, proof);
		assert_memory_equal(proof, right, sizeof(proof));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_kind_has_its_bytes),
		cmocka_unit_test(packets_of_other_sizes_are_refused),
		cmocka_unit_test(hostile_fields_are_refused),
		cmocka_unit_test(proofs_are_hmacs_of_both_sides),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
