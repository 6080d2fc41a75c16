/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Store internal - what the store's sources share
 *
 * Threads: the store's owner, except where a member says otherwise.
 */

#include "engine/changes.h"
#include "engine/ledger.h"
#include "engine/retention.h"
#include "engine/store.h"

#include <stdatomic.h>

/*
 * A checkpoint's way. Each step is taken by store_work(), but for the one into
 * CHECKPOINT_NAMED, which store_job() takes because it blocks for a sync.
 *
 *      NONE --> PAGES --> LOGGED --> NAMING --> NAMED --> NONE
 */
enum checkpoint_step {
	CHECKPOINT_NONE,
	CHECKPOINT_PAGES,  /* pages and memtables of before are being written */
	CHECKPOINT_LOGGED, /* the Checkpoint record is to become durable */
	CHECKPOINT_NAMING, /* the ledger is to be told */
	CHECKPOINT_NAMED,  /* the log may be let go */
};

struct checkpoint {
	_Atomic(int) step; /* store_job() reads NAMING, with all below, and writes NAMED */
	bool flush_asked;
	uint64_t target;     /* changes of the key space up to here are to be in tables */
	uint64_t record_lsn; /* of the Checkpoint record */
	uint64_t flushed;    /* what the ledger is told of the key space */
	uint64_t log_bytes;  /* in all, when the last one began */
	struct ledger_pages pages;
};

/* The ledger is told of each segment of the log once it is begun. */
struct log_note {
	_Atomic(bool) asked; /* store_job() reads it, with 'log', and takes it back */
	struct ledger_log log;
};

struct store {
	struct io *io; /* borrowed */
	struct ledger *ledger;
	struct kv *kv;
	struct pager *pager;
	struct wal *wal;
	struct retention *retention;
	struct store_options options;
	struct changes changes;
	struct checkpoint checkpoint;
	struct log_note log_note;
	bool paged;          /* the staged transaction changes pages */
	uint32_t paged_to;   /* changes up to here, of which the pages have the edges */
	uint32_t edge_count; /* of the changes */
	bool cancelled;      /* an edge failed for good: what is staged can't be committed */
	bool careful;        /* a change of pages had to be taken back: have them ready before */
	bool checkpoint_asked;
	bool flush_wanted;     /* something waits for a sync */
	bool flush_later;      /* something may wait until flush_ns */
	uint64_t flush_ns;     /* 0: not set yet */
	uint64_t later_ns;     /* how long it may wait */
	uint64_t tx;           /* of the last transaction */
	uint64_t committed;    /* LSN of the last commit */
	uint64_t acknowledged; /* of the last one that need not be durable for that */
	uint64_t commits;
	uint32_t damaged;        /* files set aside, as of the last store_work() */
	uint64_t history_at;     /* Unix seconds: when history's floor was looked at last */
	uint64_t checkpoint_lsn; /* recovery would begin there */
	int failed;              /* the log has what the key space doesn't: nothing more is taken */
	struct store_recovery recovery;
	char error[256];
};

/* Keeps one line, and returns STORE_E_CORRUPT. */
int store_refuse(struct store *store, const char *what);

/* Tells the ledger of the log's newest segment, and how far it is durable. Blocks; no job is under
 * way. Returns 0 or a negative errno. */
int store_tell_log(struct store *store);

/* Takes in how far the log has come. */
void store_note_durable(struct store *store);

/* What the Checkpoint record says of pages in that state. */
void store_describe_pages(struct ledger_pages *pages);

/* Pages, trees, the graph, and the graph against the keys of its edges. As store_verify(). */
int store_verify_graph(struct store *store, kv_report_fn report, void *context,
		       uint64_t *ret_faults);

/* Whether the graph is as it should be. Returns 0, STORE_E_CORRUPT (the key space can't tell) or a
 * negative errno. */
int store_graph_check(struct store *store, bool *ret_well);

/* The ledger says that there are no pages, and the graph is to be made from the key space. */
bool store_graph_is_lost(const struct store *store);

/* Lets the ledger say so. Returns 0 or a negative errno. */
int store_graph_forget(struct store *store);

/* Makes pages and graph anew, and attaches the log; a checkpoint is to follow. What is there is
 * visible, and store->pager not open. Returns 0, STORE_E_CORRUPT (store->error) or a negative
 * errno. */
int store_graph_make(struct store *store);
