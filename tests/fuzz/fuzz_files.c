/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Vector files from hostile bytes: the first byte chooses the ending, the rest is
 * the file. Whatever opens must give its rows, or refuse them with a text.
 */

#include "base/defs.h"
#include "client/files.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void take_rows(struct files *files)
{
	size_t values = (size_t)files->count * files->dim;
	char error[FILES_ERROR_MAX] = "";
	const int32_t *ints;
	const float *floats;
	int32_t sum = 0;

	if (files_floats(files, &floats, error) == 0) {
		for (size_t i = 0; i < values; i++)
			if (!isfinite(floats[i]))
				abort();
	} else if (!*error || strchr(error, '\n')) {
		abort();
	}
	if (files_ints(files, &ints, error) == 0)
		for (size_t i = 0; i < values; i++)
			sum ^= ints[i];
	/* Keeps the reads above. */
	__asm__ volatile("" : : "r"(sum));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	static const char *const names[] = {"a.fvecs", "a.bvecs", "a.ivecs", "a.fbin",
					    "a.u8bin", "a.i8bin", "a.npy"};
	char error[FILES_ERROR_MAX] = "";
	struct files files;

	if (size == 0)
		return 0;
	if (files_attach(names[bytes[0] % ARRAY_COUNT(names)], bytes + 1, size - 1, &files,
			 error) == 0) {
		take_rows(&files);
		files_close(&files);
	} else if (!*error || strchr(error, '\n')) {
		abort();
	}
	return 0;
}
