/* SPDX-License-Identifier: Apache-2.0 */

#include "engine/kv.h"

#include "base/check.h"
#include "engine/keys.h"
#include "engine/kv_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MIB (UINT64_C(1) << 20)

static uint64_t system_clock(void *context)
{
	(void)context;
	return (uint64_t)time(NULL);
}

static struct kv_options options_with_defaults(const struct kv_options *options)
{
	struct kv_options full = *options;

	full.memtable_size = full.memtable_size ? full.memtable_size : 32 * MIB;
	full.cache_size = full.cache_size ? full.cache_size : 64 * MIB;
	full.cache_size = MAX(full.cache_size, BLOCK_CACHE_SIZE_MIN);
	full.table_size = full.table_size ? full.table_size : 32 * MIB;
	full.level_size = full.level_size ? full.level_size : 256 * MIB;
	full.clock = full.clock ? full.clock : system_clock;
	return full;
}

/* Numbers of files that an earlier process began and nobody names aren't given again. */
static int skip_number(void *context, const char *name)
{
	struct kv *kv = context;
	uint64_t number;
	bool blob;

	if (version_number(name, &number, &blob))
		ledger_skip_files(kv->ledger, number);
	return 0;
}

/* A file that the ledger names and that isn't there is damage, whatever took it away. */
static int absent_is_corrupt(struct kv *kv, int result)
{
	if (result != -ENOENT)
		return result;
	snprintf(kv->error, sizeof(kv->error), "a file that the ledger names isn't there");
	return KV_E_CORRUPT;
}

static int open_version(struct kv *kv, struct version **ret_version)
{
	const struct ledger_state *state = ledger_state(kv->ledger);
	const struct ledger_edit all = {
		.adds = state->tables,
		.blob_adds = state->blobs,
		.add_count = state->table_count,
		.blob_add_count = state->blob_count,
	};
	struct kv_files files = {0};
	int result = kv_files_open(kv, &all, &files, kv->error, sizeof(kv->error));

	if (!result)
		result = kv_files_version(kv, NULL, &all, &files, ret_version);
	if (!result)
		version_count_live(*ret_version);
	kv_files_put(kv, &files);
	return absent_is_corrupt(kv, result);
}

static int open_view(struct kv *kv)
{
	struct version *version;
	int result = open_version(kv, &version);

	if (result)
		return result;
	struct kv_mem *mem = kv_mem_new(kv);
	if (!mem) {
		version_put(&kv->files, version);
		return -ENOMEM;
	}
	return kv_view_install(kv, version, &mem, 1);
}

static int open_all(struct kv *kv)
{
	const struct ledger_state *state = ledger_state(kv->ledger);

	memcpy(kv->files.store, state->store, sizeof(kv->files.store));
	kv->applied = kv->flushed = kv->visible = kv->durable = state->flushed;
	kv->history = kv->floor = state->history;
	kv->scratch = malloc(KEYS_SCRATCH_SIZE);
	kv->snapshots = calloc(KV_SNAPSHOT_MAX, sizeof(*kv->snapshots));
	if (!kv->scratch || !kv->snapshots)
		return -ENOMEM;
	int result = io_list(kv->io, skip_number, kv);
	if (result)
		return result;
	kv->first_file = ledger_next_file(kv->ledger);
	result = block_cache_new(kv->io, kv->options.cache_size, &kv->files.cache);
	return result ? result : open_view(kv);
}

int kv_open(struct io *io, struct ledger *ledger, const struct kv_options *options,
	    struct kv **ret_kv, char *error, size_t error_size)
{
	struct kv *kv = calloc(1, sizeof(*kv));

	if (!kv)
		return -ENOMEM;
	kv->io = kv->files.io = io;
	kv->ledger = ledger;
	kv->options = options_with_defaults(options);
	merge_ops_init(&kv->ops);
	kv->reader.fold.ops = &kv->ops;
	int result = open_all(kv);
	if (result) {
		if (result == KV_E_CORRUPT)
			snprintf(error, error_size, "%s", kv->error);
		kv_close(kv);
		return result;
	}
	*ret_kv = kv;
	return 0;
}

/* What a job wrote stays if a ledger may name it. */
static void close_job(struct kv *kv, struct kv_job *job)
{
	int state = atomic_load_explicit(&job->state, memory_order_acquire);

	if (state == KV_JOB_IDLE)
		return;
	if (state == KV_JOB_READY && !job->committing)
		compact_discard(&job->compact);
	kv_files_put(kv, &job->files);
	compact_deinit(&job->compact);
	free(job->removes);
	free(job->blob_removes);
	kv_mem_put(kv, job->mem);
	version_put(&kv->files, job->version);
}

void kv_close(struct kv *kv)
{
	if (!kv)
		return;
	close_job(kv, &kv->flush);
	close_job(kv, &kv->compaction);
	kv_view_close(kv->view);
	memtable_free(kv->spare);
	kv_reader_deinit(&kv->reader);
	version_files_deinit(&kv->files);
	block_cache_free(kv->files.cache);
	for (unsigned level = 0; level < KV_LEVEL_MAX; level++)
		free(kv->turns[level]);
	free(kv->removal.doomed); /* what is left goes at the next opening */
	free(kv->snapshots);
	free(kv->scratch);
	free(kv);
}

const char *kv_operator(const struct kv *kv, uint8_t number)
{
	return merge_ops_name(&kv->ops, number);
}

int kv_register(struct kv *kv, uint8_t number, const char *name, merge_fn merge)
{
	int result = merge_ops_register(&kv->ops, number, name, merge);

	return result == MERGE_OP_E_TAKEN ? KV_E_OPERATOR : result;
}

void kv_table_name(uint64_t number, char name[IO_NAME_MAX + 1])
{
	version_table_name(number, name);
}

void kv_blob_name(uint64_t number, char name[IO_NAME_MAX + 1])
{
	version_blob_name(number, name);
}

void kv_set_visible(struct kv *kv, uint64_t seqno)
{
	kv->visible = MAX(kv->visible, seqno);
}

uint64_t kv_visible(const struct kv *kv)
{
	return kv->visible;
}

void kv_set_durable(struct kv *kv, uint64_t seqno)
{
	kv->durable = MAX(kv->durable, seqno);
}

uint64_t kv_durable(const struct kv *kv)
{
	return kv->durable;
}

void kv_set_floor(struct kv *kv, uint64_t seqno)
{
	kv->floor = MAX(kv->floor, seqno);
}

uint64_t kv_history(const struct kv *kv)
{
	return kv->history;
}

/* The same number can be held more than once. */
int kv_snapshot(struct kv *kv, uint64_t *ret_seqno)
{
	if (kv->snapshot_count == KV_SNAPSHOT_MAX)
		return -ENOSPC;
	/* Rises by itself: what is visible does. */
	kv->snapshots[kv->snapshot_count++] = kv->visible;
	*ret_seqno = kv->visible;
	return 0;
}

void kv_snapshot_release(struct kv *kv, uint64_t seqno)
{
	uint32_t index = 0;

	while (index < kv->snapshot_count && kv->snapshots[index] != seqno)
		index++;
	CHECK(index < kv->snapshot_count);
	memmove(&kv->snapshots[index], &kv->snapshots[index + 1],
		(--kv->snapshot_count - index) * sizeof(*kv->snapshots));
}

const char *kv_error(const struct kv *kv)
{
	return kv->error;
}

int kv_corrupt(struct kv *kv, const char *text)
{
	snprintf(kv->error, sizeof(kv->error), "%s", text);
	return KV_E_CORRUPT;
}

void kv_poll(struct kv *kv)
{
	if (block_cache_poll(kv->files.cache))
		version_files_poll(&kv->files);
}
