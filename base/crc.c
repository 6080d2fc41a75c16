/* SPDX-License-Identifier: Apache-2.0 */
#include "base/crc.h"

#include "base/check.h"

#include <isa-l/crc.h>
#include <limits.h>

/*
 * ISA-L computes without the initial and final inversion, takes its length as
 * an int, and does not write through its pointer although it isn't const.
 */
uint32_t crc32c_extend(uint32_t crc, const void *bytes, size_t size)
{
	CHECK(size <= INT_MAX);
	return ~crc32_iscsi((unsigned char *)(uintptr_t)bytes, (int)size, ~crc);
}
