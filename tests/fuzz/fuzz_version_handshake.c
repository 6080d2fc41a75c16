/* SPDX-License-Identifier: Apache-2.0 */

/* Whatever is decoded encodes, and decodes to the same again. */

#include "base/check.h"
#include "proto/version_handshake.h"

#include <stdbool.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void check_offer(const struct version_offer *offer)
{
	const struct version_offer ours = {.lowest = VERSION_HANDSHAKE_LOWEST,
					   .highest = VERSION_HANDSHAKE_HIGHEST};
	bool common = offer->lowest <= ours.highest && offer->highest >= ours.lowest;
	struct version_offer again;
	uint16_t agreed = 0;
	uint8_t bytes[64];
	size_t size = version_offer_encode(offer, bytes, sizeof(bytes));

	CHECK(size);
	CHECK(version_offer_decode(bytes, size, &again) == 0);
	CHECK(again.lowest == offer->lowest && again.highest == offer->highest);
	CHECK(again.capabilities == offer->capabilities);
	CHECK(version_handshake_agree(&ours, offer, &agreed) ==
	      (common ? 0 : VERSION_HANDSHAKE_E_DISJOINT));
	CHECK(agreed == (common ? 2 : 0));
}

static void check_answer(const struct version_answer *answer)
{
	struct version_answer again;
	uint8_t bytes[64];
	size_t size = version_answer_encode(answer, bytes, sizeof(bytes));

	CHECK(size);
	CHECK(version_answer_decode(bytes, size, &again) == 0);
	CHECK(again.agreed == answer->agreed && again.capabilities == answer->capabilities);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct version_offer offer;
	struct version_answer answer;

	if (!version_offer_decode(bytes, size, &offer))
		check_offer(&offer);
	if (!version_answer_decode(bytes, size, &answer))
		check_answer(&answer);
	return 0;
}
