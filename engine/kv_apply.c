/* SPDX-License-Identifier: Apache-2.0 */

#include "engine/kv_internal.h"

#include "base/check.h"
#include "engine/keys.h"

#include <errno.h>
#include <string.h>

static bool is_valid(const struct entry *entry)
{
	if (entry->key.size == 0 || entry->key.size > ENTRY_KEY_MAX)
		return false;
	if (entry->kind == ENTRY_RANGE_TOMBSTONE)
		return entry->value.size <= ENTRY_KEY_MAX &&
		       key_compare(entry->key, entry->value) < 0;
	return entry->value.size <= ENTRY_VALUE_MAX;
}

/* Whether there is room for another table of level 0. */
static int room_in_level_zero(const struct kv *kv)
{
	if (kv->view->version->counts[0] < KV_LEVEL_ZERO_MAX)
		return 0;
	if (!kv->is_held_up)
		return KV_E_BUSY;
	return kv->late ? 0 : KV_E_CORRUPT;
}

/* A full memtable is sealed, unless that can't be. */
int kv_room(const struct kv *kv)
{
	const struct kv_view *view = kv->view;

	if (!memtable_is_full(view->mems[0]->memtable))
		return 0;
	return view->mem_count > KV_SEALED_MAX ? KV_E_BUSY : room_in_level_zero(kv);
}

/* Says why in kv_error(), too. */
static int held_up(struct kv *kv, int result)
{
	return result == KV_E_CORRUPT ? kv_corrupt(kv, kv->damage.line) : result;
}

static int make_room(struct kv *kv)
{
	if (kv->in_transaction || !memtable_is_full(kv->view->mems[0]->memtable))
		return 0;
	int result = kv_room(kv);
	return result ? held_up(kv, result) : kv_seal(kv);
}

/* The set's room comes first, so that nothing fails behind the memtable. */
static int add_range(struct kv_mem *mem, const struct entry *entry)
{
	int error = range_set_reserve(&mem->ranges);

	if (!error)
		error = memtable_add(mem->memtable, entry);
	if (error)
		return error;
	struct entry copy = memtable_range(mem->memtable, memtable_range_count(mem->memtable) - 1);
	error = range_set_add(&mem->ranges, &copy);
	CHECK(!error);
	return 0;
}

static int add(struct kv *kv, const struct entry *entry)
{
	if (!is_valid(entry))
		return KV_E_INVALID;
	int error = make_room(kv);
	if (error)
		return error;
	struct kv_mem *mem = kv->view->mems[0];
	if (entry->kind == ENTRY_RANGE_TOMBSTONE)
		return add_range(mem, entry);
	return kv->late ? memtable_add_late(mem->memtable, entry)
			: memtable_add(mem->memtable, entry);
}

/* What is in memtables has to be in tables first: the ingested one is younger. */
static int flush_before(struct kv *kv)
{
	if (memtable_count(kv->view->mems[0]->memtable) > 0) {
		int error = kv_seal(kv);

		if (error)
			return error;
	}
	return kv->view->mem_count > 1 ? KV_E_BUSY : held_up(kv, room_in_level_zero(kv));
}

static struct ledger_table describe(const struct table_summary *summary, uint64_t number,
				    uint64_t seqno)
{
	return (struct ledger_table){
		.number = number,
		.size = summary->size,
		.entries = summary->entries,
		.tombstones = summary->tombstones,
		.seqno_min = summary->seqno_min,
		.seqno_max = summary->seqno_max,
		.seqno_global = seqno,
		.crc = summary->crc,
		.first = {.bytes = summary->key_first, .size = summary->key_first_size},
		.last = {.bytes = summary->key_last, .size = summary->key_last_size},
		.foreign = true,
	};
}

static int commit_ingested(struct kv *kv, const struct table_summary *summary,
			   const struct record *record)
{
	const struct ledger_table table = describe(summary, record->ingest.table, record->lsn);
	const struct ledger_edit edit = {.flushed = record->lsn, .adds = &table, .add_count = 1};

	if (summary->entries == 0 || summary->seqno_min != record->lsn ||
	    summary->seqno_max != record->lsn || summary->blob_bytes != 0)
		return KV_E_INVALID;
	ledger_skip_files(kv->ledger, table.number);
	/* A call before may have failed behind the commit. */
	int error = ledger_state(kv->ledger)->flushed < record->lsn
			    ? ledger_commit(kv->ledger, &edit)
			    : 0;
	if (!error)
		error = kv_take_in(kv, &edit);
	if (!error)
		kv->flushed = record->lsn;
	return error;
}

static int ingest(struct kv *kv, const struct record *record)
{
	const struct table_options options = {.seqno_global = record->lsn};
	char name[IO_NAME_MAX + 1];
	struct table *table;

	if (record->lsn > kv->durable)
		return KV_E_INVALID;
	int error = flush_before(kv);
	if (error)
		return error;
	version_table_name(record->ingest.table, name);
	error = table_open(kv->io, name, &options, &table, kv->error, sizeof(kv->error));
	if (error)
		return error == TABLE_E_CORRUPT ? KV_E_CORRUPT : error;
	error = commit_ingested(kv, table_summary(table), record);
	table_close(table);
	return error;
}

int kv_apply(struct kv *kv, const struct record *record, bool more)
{
	struct entry entry;
	int error = 0;

	if (record->lsn > kv->applied) {
		if (record->type == RECORD_TABLE_INGEST)
			error = ingest(kv, record);
		else if (keys_entry(record, kv->scratch, &entry))
			error = add(kv, &entry);
		if (error)
			return error;
		kv->applied = record->lsn;
	}
	kv->in_transaction = more;
	return 0;
}

void kv_set_late(struct kv *kv, bool late)
{
	kv->late = late;
	memtable_link(kv->view->mems[0]->memtable);
}

int kv_flush(struct kv *kv)
{
	if (kv->in_transaction)
		return KV_E_BUSY;
	return memtable_count(kv->view->mems[0]->memtable) > 0 ? kv_seal(kv) : 0;
}
