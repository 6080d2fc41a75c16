/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Dist AMX - may this process use tiles?
 *
 * The processor must have AMX-TILE and AMX-INT8, the operating system must save
 * tiles (XCR0), and since their 8 KB don't fit the signal stacks that old programs
 * made, Linux wants to be asked once a process before it lets one touch them.
 *
 * Threads: any.
 */

#include <stdbool.h>
#include <stdint.h>

/* What the processor says of itself; all zero where it doesn't. */
struct dist_amx_facts {
	uint32_t leaf1_ecx;
	uint32_t leaf7_edx;
	uint64_t xcr0;        /* 0 without OSXSAVE */
	uint32_t palette_eax; /* of leaf 0x1d, sub-leaf 1 */
	uint32_t palette_ebx;
	uint32_t palette_ecx;
};

/* Do they allow for eight tiles of 16 lines of 64 bytes, and products of bytes? */
bool dist_amx_suffices(const struct dist_amx_facts *facts);

/* Looks, and asks the operating system for its leave. False also where it refuses. */
bool dist_amx_ask(void);
