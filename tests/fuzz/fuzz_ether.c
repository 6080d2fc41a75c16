/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Fuzz ether - any bytes as a received frame
 *
 * The first byte chooses what the device verified and whether partial checksums
 * are taken; the rest is the frame. What comes out must lie within the buffer,
 * and a reply comes from us.
 */

#include "base/check.h"
#include "net/ether.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static struct ether ether;

static void set_up(bool accept_partial)
{
	struct ether_config config = {
		.mac = {2, 0, 0, 0, 0, 1},
		.port_base = 7400,
		.port_count = 4,
		.accept_partial = accept_partial,
	};

	CHECK(ether_subnet_parse("10.0.0.1/24", NULL, &config.ipv4) == 0);
	CHECK(ether_subnet_parse("fd00::1/64", NULL, &config.ipv6) == 0);
	CHECK(ether_init(&ether, &config) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct ether_frame frame = {0};
	enum ether_verdict verdict;
	uint8_t *buffer;

	if (size == 0)
		return 0;
	set_up(bytes[0] & 4);
	size--;
	/* Room for a reply, and not a byte more: ASan sees what goes past it. */
	buffer = malloc(size + ETHER_REPLY_ROOM_MAX);
	CHECK(buffer);
	memcpy(buffer, bytes + 1, size);
	(void)ether_teaches(buffer, size);
	ether_learn(&ether, buffer, size, 1);
	verdict = ether_input(&ether, buffer, size, size + ETHER_REPLY_ROOM_MAX, bytes[0] & 3, 1,
			      &frame);
	if (verdict == ETHER_UDP)
		CHECK(frame.queue < 4 && frame.offset <= size && frame.size <= size - frame.offset);
	if (verdict == ETHER_REPLY) {
		CHECK(frame.size <= size + ETHER_REPLY_ROOM_MAX);
		CHECK(memcmp(buffer + 6, ether.config.mac, sizeof(ether.config.mac)) == 0);
	}
	free(buffer);
	return 0;
}
