/* SPDX-License-Identifier: Apache-2.0 */

/* Whatever is decoded encodes to the same bytes; whatever is refused has a reason with words. */

#include "base/byteorder.h"
#include "base/check.h"
#include "proto/envelope.h"
#include "proto/message.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void check_decoded(const uint8_t *bytes, size_t size, const struct envelope *envelope)
{
	size_t whole = ENVELOPE_SIZE + (size_t)envelope->payload_size;
	uint8_t *again = malloc(whole);

	CHECK(again);
	CHECK(whole <= size);
	CHECK(message_find(envelope->type));
	CHECK(envelope_encode(envelope, again, whole) == whole);
	CHECK(!memcmp(again, bytes, whole));
	free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct envelope envelope = {.vshard = 77};
	int error = envelope_decode(bytes, size, &envelope);

	CHECK(error >= 0 && error <= ENVELOPE_E_LARGE);
	if (!error)
		check_decoded(bytes, size, &envelope);
	else
		CHECK(envelope.vshard == 77);
	return 0;
}
