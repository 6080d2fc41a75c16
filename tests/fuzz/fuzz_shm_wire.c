/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Fuzz packets of the shared-memory link: what is taken is written again as the
 * same bytes, and its fields are within their bounds.
 */

#include "base/check.h"
#include "rdma/shm_wire.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct shm_wire_packet packet;
	uint8_t again[SHM_WIRE_SIZE_MAX];

	if (shm_wire_decode(bytes, size, &packet))
		return 0;
	CHECK(shm_wire_encode(&packet, again) == size);
	CHECK(memcmp(again, bytes, size) == 0);
	CHECK(packet.size <= INT64_MAX && packet.offset <= INT64_MAX - packet.size);
	return 0;
}
