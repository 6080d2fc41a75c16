/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Whatever is decoded encodes to the same bytes. A wrong checksum is mended,
 * so that what lies behind it is reached.
 */

#include "base/byteorder.h"
#include "base/check.h"
#include "base/crc.h"
#include "proto/envelope.h"
#include "proto/rpc_frame.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void check_decoded(const uint8_t *bytes, size_t size, const struct rpc_frame *frame)
{
	size_t whole = RPC_FRAME_SIZE + (size_t)frame->payload_size;
	uint8_t *again = malloc(whole);
	struct envelope envelope;

	CHECK(again);
	CHECK(whole <= size);
	CHECK(rpc_frame_encode(frame, again, whole) == whole);
	CHECK(!memcmp(again, bytes, whole));
	(void)envelope_decode(frame->payload, frame->payload_size, &envelope);
	free(again);
}

static void mend(const uint8_t *bytes, size_t size)
{
	uint8_t *copy = malloc(size);
	struct rpc_frame frame;

	CHECK(copy);
	memcpy(copy, bytes, size);
	store_le32(copy + 6, crc32c(copy + RPC_FRAME_SIZE, load_le32(copy + 2)));
	CHECK(rpc_frame_decode(copy, size, &frame) == 0);
	check_decoded(copy, size, &frame);
	free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct rpc_frame frame = {.epoch = 77};
	int error = rpc_frame_decode(bytes, size, &frame);

	CHECK(error >= 0 && error <= RPC_FRAME_E_CHECKSUM);
	if (!error)
		check_decoded(bytes, size, &frame);
	else
		CHECK(frame.epoch == 77);
	if (error == RPC_FRAME_E_CHECKSUM)
		mend(bytes, size);
	return 0;
}
