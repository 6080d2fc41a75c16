/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/auth_envelope.h"

#include "base/byteorder.h"
#include "base/check.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

_Static_assert(AUTH_ENVELOPE_OVERHEAD == 53, "protocol section 3.3");

static void make_mac(const uint8_t *key, const uint8_t *bytes, size_t size,
		     uint8_t mac[AUTH_ENVELOPE_MAC])
{
	unsigned mac_size = 0;

	/* Fails only when libcrypto has no SHA-256 or no memory: then nothing may go out. */
	CHECK(HMAC(EVP_sha256(), key, AUTH_ENVELOPE_KEY_SIZE, bytes, size, mac, &mac_size));
	CHECK(mac_size == AUTH_ENVELOPE_MAC);
}

size_t auth_envelope_encode(const struct auth_envelope *envelope, const uint8_t *key, uint8_t *to,
			    size_t capacity)
{
	size_t covered = AUTH_ENVELOPE_HEAD + (size_t)envelope->inner_size;

	if (envelope->inner_size > AUTH_ENVELOPE_INNER_MAX || !envelope->sequence ||
	    capacity < covered + AUTH_ENVELOPE_MAC)
		return 0;
	to[0] = AUTH_ENVELOPE_VERSION;
	store_le64(to + 1, envelope->from_node);
	store_le64(to + 9, envelope->sequence);
	store_le32(to + 17, envelope->inner_size);
	if (envelope->inner_size)
		memcpy(to + AUTH_ENVELOPE_HEAD, envelope->inner, envelope->inner_size);
	make_mac(key, to, covered, to + covered);
	return covered + AUTH_ENVELOPE_MAC;
}

int auth_envelope_size(const uint8_t *head, size_t size, size_t *ret_size)
{
	uint32_t inner_size;

	if (size < AUTH_ENVELOPE_HEAD)
		return AUTH_ENVELOPE_E_SHORT;
	if (head[0] != AUTH_ENVELOPE_VERSION)
		return AUTH_ENVELOPE_E_VERSION;
	inner_size = load_le32(head + 17);
	if (inner_size > AUTH_ENVELOPE_INNER_MAX)
		return AUTH_ENVELOPE_E_LARGE;
	*ret_size = AUTH_ENVELOPE_OVERHEAD + (size_t)inner_size;
	return 0;
}

int auth_envelope_decode(const uint8_t *bytes, size_t size, const uint8_t *key,
			 struct auth_envelope *ret_envelope)
{
	uint8_t mac[AUTH_ENVELOPE_MAC];
	size_t whole = 0, covered;
	int error;

	if (size < AUTH_ENVELOPE_OVERHEAD)
		return AUTH_ENVELOPE_E_SHORT;
	error = auth_envelope_size(bytes, size, &whole);
	if (error)
		return error;
	if (size != whole)
		return size < whole ? AUTH_ENVELOPE_E_SHORT : AUTH_ENVELOPE_E_LONG;
	covered = size - AUTH_ENVELOPE_MAC;
	make_mac(key, bytes, covered, mac);
	if (CRYPTO_memcmp(mac, bytes + covered, sizeof(mac)))
		return AUTH_ENVELOPE_E_MAC;
	*ret_envelope = (struct auth_envelope){
		.from_node = load_le64(bytes + 1),
		.sequence = load_le64(bytes + 9),
		.inner_size = load_le32(bytes + 17),
		.inner = bytes + AUTH_ENVELOPE_HEAD,
	};
	return 0;
}

const char *auth_envelope_error(int error)
{
	switch (error) {
	case AUTH_ENVELOPE_E_SHORT:
		return "authenticated envelope is cut short";
	case AUTH_ENVELOPE_E_VERSION:
		return "authenticated envelope's version is not 1";
	case AUTH_ENVELOPE_E_LARGE:
		return "authenticated envelope holds more than 64 MiB";
	case AUTH_ENVELOPE_E_LONG:
		return "bytes behind an authenticated envelope";
	case AUTH_ENVELOPE_E_MAC:
		return "authenticated envelope's MAC is wrong";
	case AUTH_ENVELOPE_E_SEQUENCE:
		return "sequence number is 0";
	case AUTH_ENVELOPE_E_REPEATED:
		return "sequence number was seen before";
	case AUTH_ENVELOPE_E_STALE:
		return "sequence number is too old";
	default:
		return "no authenticated envelope error";
	}
}

int replay_window_take(struct replay_window *window, uint64_t sequence)
{
	uint64_t distance;

	if (!sequence)
		return AUTH_ENVELOPE_E_SEQUENCE;
	if (sequence > window->highest) {
		distance = sequence - window->highest;
		window->seen = distance < REPLAY_WINDOW_SIZE ? window->seen << distance | 1 : 1;
		window->highest = sequence;
		return 0;
	}
	distance = window->highest - sequence;
	if (distance >= REPLAY_WINDOW_SIZE)
		return AUTH_ENVELOPE_E_STALE;
	if (window->seen >> distance & 1)
		return AUTH_ENVELOPE_E_REPEATED;
	window->seen |= UINT64_C(1) << distance;
	return 0;
}
