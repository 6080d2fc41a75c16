/* SPDX-License-Identifier: Apache-2.0 */

#include "engine/kv_internal.h"

#include "base/check.h"
#include "engine/feed_runs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Names of files that go. */
struct leftovers {
	const struct kv *kv;
	char (*names)[IO_NAME_MAX + 1];
	uint32_t count;
	uint32_t capacity;
};

static bool is_table(const struct version *version, uint64_t number)
{
	for (unsigned level = 0; level < KV_LEVEL_MAX; level++)
		for (uint32_t i = 0; i < version->counts[level]; i++)
			if (version->levels[level][i]->info.number == number)
				return true;
	return false;
}

/* No feed is open yet. Files with numbers from this process are a job's, or already noted for
 * removal. */
static bool is_leftover(const struct kv *kv, const char *name)
{
	uint64_t number;
	bool blob;

	if (feed_runs_is_name(name))
		return true;
	if (!version_number(name, &number, &blob) || number >= kv->first_file)
		return false;
	return blob ? !version_blob(kv->view->version, number)
		    : !is_table(kv->view->version, number);
}

static int note(void *context, const char *name)
{
	struct leftovers *leftovers = context;

	if (!is_leftover(leftovers->kv, name))
		return 0;
	if (leftovers->count == leftovers->capacity) {
		uint32_t capacity = MAX(2 * leftovers->capacity, 16U);
		void *grown = realloc(leftovers->names, capacity * sizeof(*leftovers->names));

		if (!grown)
			return -ENOMEM;
		leftovers->names = grown;
		leftovers->capacity = capacity;
	}
	memcpy(leftovers->names[leftovers->count++], name, strlen(name) + 1);
	return 0;
}

int kv_clean(struct kv *kv)
{
	struct leftovers leftovers = {.kv = kv};
	int error = io_list(kv->io, note, &leftovers);

	for (uint32_t i = 0; !error && i < leftovers.count; i++) {
		error = io_remove(kv->io, leftovers.names[i]);
		if (error == IO_E_ABSENT)
			error = 0;
	}
	free(leftovers.names);
	return error;
}
