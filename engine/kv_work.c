/* SPDX-License-Identifier: Apache-2.0 */

#include "engine/kv_internal.h"

#include "base/check.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static enum kv_job_state state_of(const _Atomic int *state)
{
	return (enum kv_job_state)atomic_load_explicit(state, memory_order_acquire);
}

static void hand_over(_Atomic int *state)
{
	atomic_store_explicit(state, KV_JOB_READY, memory_order_release);
}

static bool is_added(const struct ledger_edit *edit, uint64_t number)
{
	for (uint32_t i = 0; i < edit->add_count; i++)
		if (edit->adds[i].number == number)
			return true;
	return false;
}

static bool is_in(const uint64_t *numbers, uint32_t count, uint64_t number)
{
	for (uint32_t i = 0; i < count; i++)
		if (numbers[i] == number)
			return true;
	return false;
}

/* Files that the edit took out of the ledger go with their last reference; a table that only moved
 * stays. */
static void doom(const struct version *version, const struct ledger_edit *edit)
{
	for (unsigned level = 0; edit->remove_count > 0 && level < KV_LEVEL_MAX; level++)
		for (uint32_t i = 0; i < version->counts[level]; i++) {
			struct table_file *file = version->levels[level][i];

			if (is_in(edit->removes, edit->remove_count, file->info.number) &&
			    !is_added(edit, file->info.number))
				file->doomed = true;
		}
	for (uint32_t i = 0; i < version->blob_count; i++)
		if (is_in(edit->blob_removes, edit->blob_remove_count,
			  version->blobs[i]->info.number))
			version->blobs[i]->doomed = true;
}

/* 'flushed' is the memtable that became tables, or NULL. */
static int install(struct kv *kv, struct version *version, const struct kv_mem *flushed)
{
	struct kv_view *view = kv->view;

	if (!flushed)
		return kv_view_install_version(kv, version);
	CHECK(view->mem_count > 1 && view->mems[view->mem_count - 1] == flushed);
	for (uint32_t i = 0; i + 1 < view->mem_count; i++)
		view->mems[i]->refs++;
	return kv_view_install(kv, version, view->mems, view->mem_count - 1);
}

static int take_in(struct kv *kv, const struct ledger_edit *edit, const struct kv_files *files,
		   const struct kv_mem *flushed)
{
	struct version *version;
	int result = kv_files_version(kv, kv->view->version, edit, files, &version);

	if (result)
		return result;
	struct version *before = kv->view->version;
	version_get(before);
	result = install(kv, version, flushed);
	if (!result) {
		doom(before, edit);
		version_count_live(kv->view->version);
		kv->history = MAX(kv->history, edit->history);
		kv->flushed = MAX(kv->flushed, edit->flushed);
		kv->is_held_up = false;
	}
	version_put(&kv->files, before);
	return result;
}

int kv_take_in(struct kv *kv, const struct ledger_edit *edit)
{
	struct kv_files files = {0};
	int result = kv_files_open(kv, edit, &files, kv->error, sizeof(kv->error));

	if (!result)
		result = take_in(kv, edit, &files, NULL);
	kv_files_put(kv, &files);
	return result;
}

static void end_job(struct kv *kv, struct kv_job *job)
{
	kv_files_put(kv, &job->files);
	compact_deinit(&job->compact);
	free(job->removes);
	free(job->blob_removes);
	kv_mem_put(kv, job->mem);
	version_put(&kv->files, job->version);
	job->removes = job->blob_removes = NULL;
	job->mem = NULL;
	job->version = NULL;
	job->written = job->committing = false;
	atomic_store_explicit(&job->state, KV_JOB_IDLE, memory_order_relaxed);
}

static bool set_aside_table(const struct version *version, const struct table_file *bad)
{
	for (unsigned level = 0; bad && level < KV_LEVEL_MAX; level++)
		for (uint32_t i = 0; i < version->counts[level]; i++)
			if (version->levels[level][i] == bad) {
				bool is_new = !version->levels[level][i]->damaged;

				version->levels[level][i]->damaged = true;
				return is_new;
			}
	return false;
}

static bool set_aside_blob(const struct version *version, uint64_t number)
{
	struct blob_file *bad = version_blob(version, number);

	if (!bad || bad->damaged)
		return false;
	bad->damaged = true;
	return true;
}

/* What the job couldn't read is left to where it is. */
static void note_damage(struct kv *kv, const struct kv_job *job)
{
	const struct compact *compact = &job->compact;

	if (!job->version || (!set_aside_table(job->version, compact->bad_table) &&
			      !set_aside_blob(job->version, compact->bad_blob)))
		return;
	kv->damage.files++;
	kv->is_held_up = false;
	snprintf(kv->damage.line, sizeof(kv->damage.line), "%s", compact->error);
}

/* What can't be taken in for want of memory is taken in by the next call. */
static int end(struct kv *kv, struct kv_job *job)
{
	int result = 0;

	switch (state_of(&job->state)) {
	case KV_JOB_ENDED:
		result = take_in(kv, &job->edit, &job->files, job->mem);
		if (result)
			return result;
		note_damage(kv, job);
		end_job(kv, job);
		return 0;
	case KV_JOB_STOPPED:
		note_damage(kv, job);
		end_job(kv, job);
		return 0;
	default:
		return 0;
	}
}

static void begin(struct kv *kv, struct kv_job *job, struct compact_plan *plan)
{
	plan->io = kv->io;
	plan->ledger = kv->ledger;
	plan->ops = &kv->ops;
	plan->compress = !kv->options.without_compression;
	plan->now = kv->options.clock(kv->options.clock_context);
	compact_init(&job->compact, plan);
	hand_over(&job->state);
}

/* The oldest memtable, when all of it is durable. */
static void begin_flush(struct kv *kv)
{
	struct kv_view *view = kv->view;
	struct kv_mem *mem = view->mems[view->mem_count - 1];
	struct compact_plan plan = {.memtable = mem->memtable, .keep_all = true};

	if (view->mem_count == 1 || mem->applied > kv->durable)
		return;
	mem->refs++;
	kv->flush.mem = mem;
	begin(kv, &kv->flush, &plan);
}

/* What is to be compacted is sealed as soon as there is room for it. */
static void seal_for_compaction(struct kv *kv)
{
	const struct kv_view *view = kv->view;
	const struct memtable *live = view->mems[0]->memtable;

	if (!kv->compact_all || memtable_count(live) == 0 ||
	    memtable_seqno_min(live) > kv->compact_target)
		return;
	/* Busy, or no memory: the next call tries again. */
	(void)kv_flush(kv);
}

static void begin_compaction(struct kv *kv)
{
	struct compact_plan plan;

	if (kv->is_held_up || !kv_pick(kv, &plan))
		return;
	version_get(kv->view->version);
	kv->compaction.version = kv->view->version;
	begin(kv, &kv->compaction, &plan);
}

static void begin_removal(struct kv *kv)
{
	if (state_of(&kv->removal.state) != KV_JOB_IDLE)
		return;
	free(kv->removal.doomed);
	kv->removal.doomed = kv->files.doomed;
	kv->removal.count = kv->files.doomed_count;
	kv->files.doomed = NULL;
	kv->files.doomed_count = kv->files.doomed_capacity = 0;
	if (kv->removal.count > 0)
		hand_over(&kv->removal.state);
}

static enum kv_need need_of(const struct kv *kv)
{
	const _Atomic int *states[] = {&kv->removal.state, &kv->flush.state, &kv->compaction.state};
	enum kv_need need = KV_NEED_NOTHING;

	/* What leaves is removed behind that. */
	if (version_files_are_leaving(&kv->files))
		need = KV_NEED_WORK;
	for (size_t i = 0; i < ARRAY_COUNT(states); i++) {
		enum kv_job_state state = state_of(states[i]);

		if (state == KV_JOB_ENDED || state == KV_JOB_STOPPED)
			return KV_NEED_WORK;
		if (state == KV_JOB_READY)
			need = KV_NEED_JOB;
	}
	return need;
}

int kv_work(struct kv *kv, enum kv_need *ret_need)
{
	/* Else nobody may poll for what was asked for and isn't wanted any more. */
	if (version_files_are_leaving(&kv->files))
		kv_poll(kv);
	int result = end(kv, &kv->flush);
	if (!result)
		result = end(kv, &kv->compaction);
	if (result)
		return result;
	seal_for_compaction(kv);
	if (state_of(&kv->flush.state) == KV_JOB_IDLE)
		begin_flush(kv);
	if (state_of(&kv->compaction.state) == KV_JOB_IDLE)
		begin_compaction(kv);
	begin_removal(kv);
	*ret_need = need_of(kv);
	return 0;
}

void kv_compact(struct kv *kv)
{
	kv->compact_all = true;
	kv->compact_target = kv->applied;
	kv->is_held_up = false;
}

const struct kv_damage *kv_damage(const struct kv *kv)
{
	return &kv->damage;
}
