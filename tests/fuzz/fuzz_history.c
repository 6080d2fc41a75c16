/* SPDX-License-Identifier: Apache-2.0 */

/* Any bytes as the file of samples: what is taken says the same when it is written again. */

#include "base/check.h"
#include "engine/history.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	static uint8_t again[HISTORY_SIZE_MAX];
	static struct history history;
	const uint8_t store[16] = "a store";

	history_init(&history, 1, 1);
	if (history_decode(&history, store, bytes, size) != 0) {
		CHECK(history.by_time.count + history.by_bytes.count == 0);
		return 0;
	}
	CHECK(history_encode(&history, store, again) == size);
	CHECK(memcmp(again, bytes, size) == 0);
	CHECK(history_before(&history, UINT64_MAX, 0) >= history_before(&history, 1000, 500));
	CHECK(history_within(&history, 0) >= history_within(&history, 1000));
	return 0;
}
