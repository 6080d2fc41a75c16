/* SPDX-License-Identifier: Apache-2.0 */
#include "hnsw/dist_amx.h"

#if defined(__x86_64__) && defined(__linux__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

/* Intel SDM volume 1, chapter 18; volume 2, CPUID. */
#define LEAF1_ECX_OSXSAVE  (UINT32_C(1) << 27)
#define LEAF7_EDX_AMX_TILE (UINT32_C(1) << 24)
#define LEAF7_EDX_AMX_INT8 (UINT32_C(1) << 25)
#define XCR0_TILES         (UINT64_C(3) << 17) /* their configuration, and their data */

#define TILE_NAMES 8
#define TILE_LINES 16
#define TILE_BYTES 64

bool dist_amx_suffices(const struct dist_amx_facts *facts)
{
	const uint32_t bits = LEAF7_EDX_AMX_TILE | LEAF7_EDX_AMX_INT8;

	return facts->leaf1_ecx & LEAF1_ECX_OSXSAVE && (facts->leaf7_edx & bits) == bits &&
	       (facts->xcr0 & XCR0_TILES) == XCR0_TILES &&
	       (facts->palette_ebx & 0xffff) == TILE_BYTES &&
	       facts->palette_ebx >> 16 >= TILE_NAMES &&
	       (facts->palette_ecx & 0xffff) >= TILE_LINES &&
	       facts->palette_eax >> 16 >= TILE_LINES * TILE_BYTES;
}

#if defined(__x86_64__) && defined(__linux__)
/* Linux: arch_prctl(2) of x86, and the number of the state component that has tiles' data. */
#define ARCH_REQ_XCOMP_PERM 0x1023
#define XFEATURE_XTILEDATA  18

/* The instruction itself, as the compiler's word for it needs a flag of its own. */
static uint64_t read_xcr0(void)
{
	uint32_t low, high;

	__asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
	return (uint64_t)high << 32 | low;
}

static struct dist_amx_facts look(void)
{
	struct dist_amx_facts facts = {0};
	uint32_t a, b, c, d;

	if (__get_cpuid(1, &a, &b, &c, &d))
		facts.leaf1_ecx = c;
	if (facts.leaf1_ecx & LEAF1_ECX_OSXSAVE)
		facts.xcr0 = read_xcr0();
	if (__get_cpuid_count(7, 0, &a, &b, &c, &d))
		facts.leaf7_edx = d;
	if (__get_cpuid_count(0x1d, 1, &a, &b, &c, &d)) {
		facts.palette_eax = a;
		facts.palette_ebx = b;
		facts.palette_ecx = c;
	}
	return facts;
}

bool dist_amx_ask(void)
{
	struct dist_amx_facts facts = look();

	return dist_amx_suffices(&facts) &&
	       syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) == 0;
}
#else
bool dist_amx_ask(void)
{
	return false;
}
#endif
