/* SPDX-License-Identifier: Apache-2.0 */

/* A manifest from hostile bytes: what is accepted holds its promises, what isn't says why in a
 * line. */

#include "cluster/manifest.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void check_promises(const struct manifest *manifest)
{
	uint64_t count = 0;

	if (!manifest->shard_count || manifest->shard_count > MANIFEST_SHARD_MAX ||
	    !manifest->dim || manifest->dim > MANIFEST_DIM_MAX || !*manifest->collection)
		abort();
	for (uint32_t i = 0; i < manifest->shard_count; i++) {
		const struct manifest_shard *shard = &manifest->shards[i];

		if (shard->vshard != manifest_vshard(manifest->collection, i) ||
		    strchr(shard->segment, '/') || strchr(shard->coarse, '/') ||
		    *shard->segment == '.' || *shard->coarse == '.')
			abort();
		count += shard->count;
	}
	if (count != manifest->count)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct manifest manifest;
	char error[512] = "";

	if (manifest_decode(bytes, size, &manifest, error, sizeof(error)) == 0) {
		check_promises(&manifest);
		manifest_deinit(&manifest);
	} else if (!*error || strchr(error, '\n')) {
		abort();
	}
	return 0;
}
