/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The authenticated envelope and its window. Nobody guesses a MAC, so one that
 * is wrong is mended to reach what lies behind it. The same input, as steps
 * of sequence numbers, is held against a plain list of what was taken.
 */

#include "base/byteorder.h"
#include "base/check.h"
#include "proto/auth_envelope.h"

#include <stdbool.h>
#include <stdlib.h>

/* Steps of the window's model; more input is not looked at. */
#define STEP_MAX 512

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static const uint8_t key[AUTH_ENVELOPE_KEY_SIZE] = {3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3,
						    3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3};

static void check_decoded(const uint8_t *bytes, size_t size, const struct auth_envelope *envelope)
{
	uint8_t *again = malloc(size);

	CHECK(again);
	CHECK(size == AUTH_ENVELOPE_OVERHEAD + (size_t)envelope->inner_size);
	if (envelope->sequence) {
		CHECK(auth_envelope_encode(envelope, key, again, size) == size);
		CHECK(!memcmp(again, bytes, size));
	}
	free(again);
}

/* Makes the MAC right by encoding the same fields. */
static void mend(const uint8_t *bytes, size_t size)
{
	struct auth_envelope envelope = {.from_node = load_le64(bytes + 1),
					 .sequence = load_le64(bytes + 9) | 1,
					 .inner_size = load_le32(bytes + 17),
					 .inner = bytes + AUTH_ENVELOPE_HEAD};
	uint8_t *copy = malloc(size);

	CHECK(copy);
	CHECK(auth_envelope_encode(&envelope, key, copy, size) == size);
	CHECK(auth_envelope_decode(copy, size, key, &envelope) == 0);
	check_decoded(copy, size, &envelope);
	/* Any other key or one more bit, and it is refused. */
	copy[size / 2] ^= 1;
	CHECK(auth_envelope_decode(copy, size, key, &envelope) != 0);
	free(copy);
}

/* Each byte is a step from the highest number so far: up by its value less 128. */
static void check_window(const uint8_t *bytes, size_t size)
{
	struct replay_window window = {0};
	uint64_t taken[STEP_MAX], highest = 0;
	size_t taken_count = 0;

	for (size_t i = 0; i < size && i < STEP_MAX; i++) {
		uint64_t sequence = highest + bytes[i] < 128 ? 0 : highest + bytes[i] - 128;
		bool repeated = false;
		int expected = 0;

		for (size_t at = 0; at < taken_count; at++)
			repeated |= taken[at] == sequence;
		if (!sequence)
			expected = AUTH_ENVELOPE_E_SEQUENCE;
		else if (sequence + REPLAY_WINDOW_SIZE <= highest)
			expected = AUTH_ENVELOPE_E_STALE;
		else if (repeated)
			expected = AUTH_ENVELOPE_E_REPEATED;
		CHECK(replay_window_take(&window, sequence) == expected);
		if (expected)
			continue;
		taken[taken_count++] = sequence;
		highest = sequence > highest ? sequence : highest;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct auth_envelope envelope = {.from_node = 77};
	int error = auth_envelope_decode(bytes, size, key, &envelope);

	CHECK(error >= 0 && error <= AUTH_ENVELOPE_E_MAC);
	if (!error)
		check_decoded(bytes, size, &envelope);
	else
		CHECK(envelope.from_node == 77);
	if (error == AUTH_ENVELOPE_E_MAC)
		mend(bytes, size);
	check_window(bytes, size);
	return 0;
}
