/* SPDX-License-Identifier: Apache-2.0 */
#include "base/defs.h"
#include "proto/session_proof.h"
#include "tests/lib/test.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdlib.h>
#include <string.h>

/* What libcrypto takes from the heap, from main() on. */
static unsigned heap_calls;

static void *count_malloc(size_t size, const char *file, int line)
{
	heap_calls++;
	return malloc(size);
}

static void *count_realloc(void *bytes, size_t size, const char *file, int line)
{
	heap_calls++;
	return realloc(bytes, size);
}

static void count_free(void *bytes, const char *file, int line)
{
	free(bytes);
}

static void prove(const uint8_t *key_bytes, size_t key_size, const uint8_t *bytes, size_t size,
		  uint8_t ret_proof[SESSION_PROOF_SIZE])
{
	struct session_key key;
	struct session_mac mac;

	session_key_init(&key, key_bytes, key_size);
	session_mac_begin(&mac, &key);
	session_mac_add(&mac, bytes, size / 2);
	session_mac_add(&mac, bytes + size / 2, size - size / 2);
	session_mac_end(&mac, ret_proof);
}

static void rfc_4231s_examples_come_out(void **state)
{
	static const struct {
		const char *key, *data, *proof;
	} cases[] = {
		/* section 4.2, 4.3 and 4.4 */
		{"0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b", "4869205468657265",
		 "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"},
		{"4a656665", "7768617420646f2079612077616e7420666f72206e6f7468696e673f",
		 "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"},
		{"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
		 "dddddddddddddddddddddddddddddddddddddddddddddddddd"
		 "dddddddddddddddddddddddddddddddddddddddddddddddddd",
		 "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"},
	};

	for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
		uint8_t key[64], data[64], expected[SESSION_PROOF_SIZE], proof[SESSION_PROOF_SIZE];
		size_t key_size = test_unhex(cases[i].key, key, sizeof(key));
		size_t size = test_unhex(cases[i].data, data, sizeof(data));

		assert_int_equal(test_unhex(cases[i].proof, expected, sizeof(expected)),
				 sizeof(expected));
		prove(key, key_size, data, size, proof);
		assert_memory_equal(proof, expected, sizeof(proof));
	}
}

static void every_length_agrees_with_libcryptos_own(void **state)
{
	uint8_t bytes[300], key[64], proof[SESSION_PROOF_SIZE], expected[SESSION_PROOF_SIZE];

	memset(key, 3, sizeof(key));
	for (unsigned i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * 31);
	for (size_t size = 0; size <= sizeof(bytes); size++) {
		size_t key_size = size % (sizeof(key) + 1);

		prove(key, key_size, bytes, size, proof);
		assert_non_null(
			HMAC(EVP_sha256(), key, (int)key_size, bytes, size, expected, NULL));
		assert_memory_equal(proof, expected, sizeof(proof));
	}
}

static void a_proof_takes_nothing_from_the_heap(void **state)
{
	uint8_t bytes[200] = {0}, proof[SESSION_PROOF_SIZE];
	unsigned before;

	assert_true(heap_calls > 0); /* HMAC() above was counted */
	before = heap_calls;
	prove(bytes, 32, bytes, sizeof(bytes), proof);
	assert_true(session_proof_equal(proof, proof));
	assert_int_equal(heap_calls, before);
}

static void proofs_that_differ_anywhere_are_not_equal(void **state)
{
	uint8_t a[SESSION_PROOF_SIZE] = {0}, b[SESSION_PROOF_SIZE] = {0};

	assert_true(session_proof_equal(a, b));
	for (unsigned bit = 0; bit < 8 * sizeof(b); bit++) {
		b[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_false(session_proof_equal(a, b));
		b[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rfc_4231s_examples_come_out),
		cmocka_unit_test(every_length_agrees_with_libcryptos_own),
		cmocka_unit_test(a_proof_takes_nothing_from_the_heap),
		cmocka_unit_test(proofs_that_differ_anywhere_are_not_equal),
	};
	if (!CRYPTO_set_mem_functions(count_malloc, count_realloc, count_free))
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
