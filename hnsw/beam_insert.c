/* SPDX-License-Identifier: Apache-2.0 */
#include "hnsw/beam_insert.h"

#include "hnsw/dist.h"

#include <string.h>

static void insert_plainly(struct beam *beam, uint64_t key)
{
	beam_insert(beam, key);
}

beam_insert_fn beam_insert_best(void)
{
#if defined(__x86_64__)
	const char *isa = dist_best()->isa;

	if (strcmp(isa, "avx512") == 0 || strcmp(isa, "amx") == 0)
		return beam_insert_avx512;
#endif
	return insert_plainly;
}
