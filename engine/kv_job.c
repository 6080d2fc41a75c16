/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The worker's side. A flush goes before a compaction, slice by slice, so that a long compaction
 * doesn't hold up writers. What a job wrote it opens, and then it ends with its edit in the ledger;
 * when that fails the files stay, as the ledger on the disk may name them, and the next call
 * commits again.
 */

#include "engine/kv_internal.h"

#include "base/check.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool is_ready(_Atomic int *state)
{
	return atomic_load_explicit(state, memory_order_acquire) == KV_JOB_READY;
}

static void hand_back(_Atomic int *state, enum kv_job_state to)
{
	atomic_store_explicit(state, to, memory_order_release);
}

/* A file that can't be removed stays until the next opening. */
static void remove_doomed(struct kv *kv)
{
	for (uint32_t i = 0; i < kv->removal.count; i++) {
		uint64_t doomed = kv->removal.doomed[i];
		char name[IO_NAME_MAX + 1];

		if (doomed & 1)
			version_blob_name(doomed >> 1, name);
		else
			version_table_name(doomed >> 1, name);
		(void)io_remove(kv->io, name);
	}
	hand_back(&kv->removal.state, KV_JOB_IDLE);
}

static int commit(struct kv *kv, struct kv_job *job)
{
	job->committing = true;
	int error = ledger_commit(kv->ledger, &job->edit);

	CHECK(error != LEDGER_E_INVALID);
	if (error)
		return error;
	hand_back(&job->state, KV_JOB_ENDED);
	return 0;
}

/* A table that only moves can't be read: it is set aside. What was written and can't be read is
 * written anew, as after any failed write. */
static int give_up_written(struct kv *kv, struct kv_job *job)
{
	struct compact *compact = &job->compact;

	if (compact->plan.move)
		compact->bad_table = compact->plan.inputs[job->files.table_count];
	kv_files_put(kv, &job->files);
	free(job->removes);
	free(job->blob_removes);
	job->removes = job->blob_removes = NULL;
	job->written = false;
	compact_discard(compact);
	return compact->plan.move ? COMPACT_E_CORRUPT : -EBADMSG;
}

/* Before the ledger names it: nothing depends on it so far. */
static int open_written(struct kv *kv, struct kv_job *job)
{
	int result = kv_files_open(kv, &job->edit, &job->files, job->compact.error,
				   sizeof(job->compact.error));

	return result == KV_E_CORRUPT ? give_up_written(kv, job) : result;
}

static int run(struct kv *kv, struct kv_job *job, uint64_t bytes_max)
{
	int result = compact_run(&job->compact, bytes_max);

	if (result)
		return result;
	result = compact_edit(&job->compact, &job->edit, &job->removes, &job->blob_removes);
	if (result) {
		compact_discard(&job->compact);
		return result;
	}
	if (job->mem)
		job->edit.flushed = job->mem->applied;
	job->written = true;
	return 0;
}

static int go_on(struct kv *kv, struct kv_job *job, uint64_t bytes_max)
{
	int result = job->written ? 0 : run(kv, job, bytes_max);

	if (!result)
		result = open_written(kv, job);
	if (!result)
		return commit(kv, job);
	if (result == COMPACT_E_CORRUPT)
		hand_back(&job->state, KV_JOB_STOPPED);
	return result > 0 ? 0 : result;
}

int kv_job(struct kv *kv, uint64_t bytes_max)
{
	bool removes = is_ready(&kv->removal.state);

	if (removes)
		remove_doomed(kv);
	if (is_ready(&kv->flush.state))
		return go_on(kv, &kv->flush, bytes_max);
	if (is_ready(&kv->compaction.state))
		return go_on(kv, &kv->compaction, bytes_max);
	return removes ? 0 : KV_E_IDLE;
}
