/* SPDX-License-Identifier: Apache-2.0 */
#include "rdma/link_handshake.h"
#include "base/defs.h"
#include "tests/lib/test.h"

#include <string.h>

/* The golden bytes of docs/format/link.md. */
static const char golden_connecting[] =
	"546e4c6b 01 00 0000 0000000000000000"
	"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
static const char golden_of_a_shard[] =
	"546e4c6b 01 00 e903 0000000000000000"
	"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
static const char golden_listening[] =
	"546e4c6b 01 00 0000 0700000000000000"
	"202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f";
static const char *const golden_proofs[] = {
	[LINK_ROLE_CONNECTING] = "3f82cfc08df4cd5605dd15701eb48cca0ab8847842e6af8f917be8f72cc1a4e2",
	[LINK_ROLE_LISTENING] = "afbeb524f6a6aaec88c95fd65b05d91a2b329519f195d2d4fb281e1c8a2475f2",
	[LINK_ROLE_REGIONS] = "38e5a68cfeb72d9fc3d930a04d2fedf0b019c82784d7f12753390eae3b4a0132",
};

static void hello_of(uint64_t node, uint8_t first, uint8_t to[LINK_HELLO_SIZE])
{
	struct link_hello hello = {.use = LINK_READS, .node = node};

	for (uint8_t i = 0; i < LINK_NONCE_SIZE; i++)
		hello.nonce[i] = (uint8_t)(first + i);
	link_hello_encode(&hello, to);
}

static void hellos_have_the_documented_bytes(void **state)
{
	uint8_t golden[LINK_HELLO_SIZE], bytes[LINK_HELLO_SIZE];
	struct link_hello hello;

	(void)state;
	hello_of(0, 0, bytes);
	assert_int_equal(test_unhex(golden_connecting, golden, sizeof(golden)), sizeof(golden));
	assert_memory_equal(bytes, golden, sizeof(golden));
	hello_of(7, 32, bytes);
	assert_int_equal(test_unhex(golden_listening, golden, sizeof(golden)), sizeof(golden));
	assert_memory_equal(bytes, golden, sizeof(golden));
	assert_int_equal(link_hello_decode(golden, sizeof(golden), &hello), 0);
	assert_int_equal(hello.use, LINK_READS);
	assert_int_equal(hello.shard, LINK_NO_SHARD);
	assert_int_equal(hello.node, 7);
	assert_int_equal(hello.nonce[31], 63);
}

static void a_hello_that_names_a_shard_has_the_documented_bytes(void **state)
{
	struct link_hello hello = {.use = LINK_READS, .shard = link_shard_name(1000)};
	uint8_t golden[LINK_HELLO_SIZE], bytes[LINK_HELLO_SIZE];

	(void)state;
	for (uint8_t i = 0; i < LINK_NONCE_SIZE; i++)
		hello.nonce[i] = i;
	link_hello_encode(&hello, bytes);
	assert_int_equal(test_unhex(golden_of_a_shard, golden, sizeof(golden)), sizeof(golden));
	assert_memory_equal(bytes, golden, sizeof(golden));
	hello.shard = LINK_NO_SHARD;
	assert_int_equal(link_hello_decode(golden, sizeof(golden), &hello), 0);
	assert_int_equal(hello.shard, 1001);
}

static void proofs_have_the_documented_bytes(void **state)
{
	uint8_t secret[LINK_SECRET_SIZE], golden[LINK_PROOF_SIZE], proof[LINK_PROOF_SIZE];
	uint8_t connecting[LINK_HELLO_SIZE], listening[LINK_HELLO_SIZE];

	(void)state;
	memset(secret, 'a', sizeof(secret));
	hello_of(0, 0, connecting);
	hello_of(7, 32, listening);
	for (int role = LINK_ROLE_CONNECTING; role <= LINK_ROLE_REGIONS; role++) {
		link_prove(secret, (enum link_role)role, connecting, listening, proof);
		assert_int_equal(test_unhex(golden_proofs[role], golden, sizeof(golden)),
				 sizeof(golden));
		assert_memory_equal(proof, golden, sizeof(golden));
	}
}

static void every_bit_of_the_hellos_and_the_secret_changes_the_proof(void **state)
{
	uint8_t inputs[LINK_SECRET_SIZE + 2 * LINK_HELLO_SIZE];
	uint8_t right[LINK_PROOF_SIZE], other[LINK_PROOF_SIZE];

	(void)state;
	memset(inputs, 0, sizeof(inputs));
	link_prove(inputs, LINK_ROLE_CONNECTING, inputs + LINK_SECRET_SIZE,
		   inputs + LINK_SECRET_SIZE + LINK_HELLO_SIZE, right);
	/* Without a secret it is of zeros. */
	link_prove(NULL, LINK_ROLE_CONNECTING, inputs + LINK_SECRET_SIZE,
		   inputs + LINK_SECRET_SIZE + LINK_HELLO_SIZE, other);
	assert_memory_equal(right, other, sizeof(right));
	for (size_t bit = 0; bit < 8 * sizeof(inputs); bit++) {
		inputs[bit / 8] ^= (uint8_t)(1 << bit % 8);
		link_prove(inputs, LINK_ROLE_CONNECTING, inputs + LINK_SECRET_SIZE,
			   inputs + LINK_SECRET_SIZE + LINK_HELLO_SIZE, other);
		assert_memory_not_equal(right, other, sizeof(right));
		inputs[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
}

static void hellos_that_arent_are_refused(void **state)
{
	uint8_t bytes[LINK_HELLO_SIZE + 8] = {0};
	struct link_hello hello;

	(void)state;
	hello_of(1, 0, bytes);
	assert_int_equal(link_hello_decode(bytes, sizeof(bytes), &hello), 0);
	for (size_t size = 0; size < LINK_HELLO_SIZE; size++)
		assert_int_equal(link_hello_decode(bytes, size, &hello),
				 LINK_HANDSHAKE_E_MALFORMED);
	for (size_t bit = 0; bit < 48; bit++) {
		int expected = bit < 32   ? LINK_HANDSHAKE_E_MALFORMED
			       : bit < 40 ? LINK_HANDSHAKE_E_VERSION
			       : bit > 40 ? LINK_HANDSHAKE_E_MALFORMED
					  : 0; /* the other use */

		bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_int_equal(link_hello_decode(bytes, sizeof(bytes), &hello), expected);
		bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
}

static void refusals_come_back_and_others_are_none(void **state)
{
	uint8_t bytes[LINK_REFUSAL_SIZE];

	(void)state;
	for (int i = LINK_REFUSAL_MALFORMED; i <= LINK_REFUSAL_SHARD; i++) {
		link_refusal_encode((enum link_refusal)i, bytes);
		assert_int_equal(link_refusal_decode(bytes, sizeof(bytes)), i);
		bytes[4] = 99; /* of a later version */
		assert_int_equal(link_refusal_decode(bytes, sizeof(bytes)), i);
		assert_true(strlen(link_refusal_text((enum link_refusal)i)) > 20);
		assert_int_equal(link_refusal_decode(bytes, 7), LINK_REFUSAL_NONE);
	}
	bytes[5] = LINK_REFUSAL_SHARD + 1;
	assert_int_equal(link_refusal_decode(bytes, sizeof(bytes)), LINK_REFUSAL_NONE);
	bytes[5] = LINK_REFUSAL_FULL;
	bytes[0] ^= 1;
	assert_int_equal(link_refusal_decode(bytes, sizeof(bytes)), LINK_REFUSAL_NONE);
}

static void first_sends_come_back_when_expected(void **state)
{
	uint8_t proof[LINK_PROOF_SIZE], bytes[LINK_FIRST_SIZE];

	(void)state;
	memset(proof, 0x3C, sizeof(proof));
	link_first_encode(LINK_FIRST_PROOF, proof, bytes);
	assert_memory_equal(link_first_decode(bytes, sizeof(bytes), LINK_FIRST_PROOF), proof,
			    sizeof(proof));
	assert_null(link_first_decode(bytes, sizeof(bytes), LINK_FIRST_WELCOME));
	assert_null(link_first_decode(bytes, sizeof(bytes) - 1, LINK_FIRST_PROOF));
	link_first_encode(LINK_FIRST_WELCOME, NULL, bytes);
	assert_non_null(link_first_decode(bytes, sizeof(bytes), LINK_FIRST_WELCOME));
	assert_null(link_first_decode(bytes, sizeof(bytes), LINK_FIRST_PROOF));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hellos_have_the_documented_bytes),
		cmocka_unit_test(a_hello_that_names_a_shard_has_the_documented_bytes),
		cmocka_unit_test(proofs_have_the_documented_bytes),
		cmocka_unit_test(every_bit_of_the_hellos_and_the_secret_changes_the_proof),
		cmocka_unit_test(hellos_that_arent_are_refused),
		cmocka_unit_test(refusals_come_back_and_others_are_none),
		cmocka_unit_test(first_sends_come_back_when_expected),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
