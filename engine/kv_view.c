/* SPDX-License-Identifier: Apache-2.0 */

#include "engine/kv_internal.h"

#include "base/check.h"

#include <errno.h>
#include <stdlib.h>

struct kv_mem *kv_mem_new(struct kv *kv)
{
	struct kv_mem *mem = calloc(1, sizeof(*mem));

	if (!mem)
		return NULL;
	mem->refs = 1;
	mem->memtable = kv->spare;
	kv->spare = NULL;
	if (!mem->memtable && memtable_new(kv->options.memtable_size, &mem->memtable)) {
		free(mem);
		return NULL;
	}
	return mem;
}

/* One memtable is kept for the next seal, so that steady work takes no memory. */
void kv_mem_put(struct kv *kv, struct kv_mem *mem)
{
	if (!mem || --mem->refs > 0)
		return;
	if (kv->spare) {
		memtable_free(mem->memtable);
	} else {
		memtable_reset(mem->memtable);
		kv->spare = mem->memtable;
	}
	range_set_deinit(&mem->ranges);
	free(mem);
}

int kv_view_install(struct kv *kv, struct version *version, struct kv_mem *const *mems,
		    uint32_t mem_count)
{
	struct kv_view *view = calloc(1, sizeof(*view));

	CHECK(mem_count > 0 && mem_count <= 1 + KV_SEALED_MAX);
	if (!view) {
		for (uint32_t i = 0; i < mem_count; i++)
			kv_mem_put(kv, mems[i]);
		version_put(&kv->files, version);
		return -ENOMEM;
	}
	view->kv = kv;
	view->version = version;
	view->refs = 1;
	view->mem_count = mem_count;
	for (uint32_t i = 0; i < mem_count; i++)
		view->mems[i] = mems[i];
	kv_view_close(kv->view);
	kv->view = view;
	return 0;
}

int kv_view_install_version(struct kv *kv, struct version *version)
{
	struct kv_view *view = kv->view;

	for (uint32_t i = 0; i < view->mem_count; i++)
		view->mems[i]->refs++;
	return kv_view_install(kv, version, view->mems, view->mem_count);
}

int kv_view_open(struct kv *kv, struct kv_view **ret_view)
{
	kv->view->refs++;
	*ret_view = kv->view;
	return 0;
}

void kv_view_close(struct kv_view *view)
{
	if (!view || --view->refs > 0)
		return;
	for (uint32_t i = 0; i < view->mem_count; i++)
		kv_mem_put(view->kv, view->mems[i]);
	version_put(&view->kv->files, view->version);
	free(view);
}

int kv_view_files(const struct kv_view *view, struct kv_view **ret_view)
{
	struct kv_view *files = calloc(1, sizeof(*files));

	if (!files)
		return -ENOMEM;
	version_get(view->version);
	*files = (struct kv_view){.kv = view->kv, .version = view->version, .refs = 1};
	*ret_view = files;
	return 0;
}

bool kv_view_is_current(const struct kv_view *view)
{
	return view->kv->view == view;
}

uint32_t kv_view_count(const struct kv_view *view)
{
	uint32_t count = view->mem_count;

	for (unsigned level = 0; level < KV_LEVEL_MAX; level++)
		count += view->version->counts[level];
	return count;
}

struct kv_source kv_view_source(const struct kv_view *view, uint32_t index)
{
	const struct version *version = view->version;

	if (index < view->mem_count)
		return (struct kv_source){.memtable = view->mems[index]->memtable};
	index -= view->mem_count;
	for (unsigned level = 0; level < KV_LEVEL_MAX; level++) {
		if (index < version->counts[level])
			return (struct kv_source){.table = version->levels[level][index]->table};
		index -= version->counts[level];
	}
	CHECK(false);
}

int kv_seal(struct kv *kv)
{
	struct kv_view *view = kv->view;
	struct kv_mem *mems[1 + KV_SEALED_MAX];

	if (view->mem_count > KV_SEALED_MAX)
		return KV_E_BUSY;
	mems[0] = kv_mem_new(kv);
	if (!mems[0])
		return -ENOMEM;
	memtable_link(view->mems[0]->memtable);
	view->mems[0]->applied = kv->applied;
	for (uint32_t i = 0; i < view->mem_count; i++) {
		mems[1 + i] = view->mems[i];
		mems[1 + i]->refs++;
	}
	version_get(view->version);
	return kv_view_install(kv, view->version, mems, view->mem_count + 1);
}

uint64_t kv_applied(const struct kv *kv)
{
	return kv->applied;
}

uint64_t kv_flushed(const struct kv *kv)
{
	const struct kv_view *view = kv->view;
	bool empty = view->mem_count == 1 && memtable_count(view->mems[0]->memtable) == 0;

	return empty ? MAX(kv->flushed, MIN(kv->applied, kv->durable)) : kv->flushed;
}
