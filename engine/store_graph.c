/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The graph made anew: every edge has a key, whose sequence number says when it was added. So when
 * pages are damaged, or a hole of the log may have had what they need, the graph is taken from the
 * key space, edge by edge in the order of these numbers.
 *
 * First the ledger says that there are no pages, which stays until a checkpoint names the new
 * ones: whoever opens the store in between begins again. The new file needs no log until then.
 *
 * Memory: EDGES_AT_ONCE edges. Where there are more, the keys are walked again for each so many.
 */

#include "base/defs.h"
#include "engine/edge.h"
#include "engine/store_internal.h"

#include <errno.h>
#include <stdlib.h>

/* Edges in memory: 24 MiB. Of so many the older half is kept when there are more. */
#define EDGES_AT_ONCE (UINT32_C(1) << 20)

/* And at first. */
#define EDGES_MIN UINT32_C(1024)

/* Edges of one transaction of the pages. */
#define EDGES_TOGETHER UINT32_C(64)

struct row {
	uint64_t seqno;
	struct edge_key edge;
};

struct load {
	struct store *store;
	struct row *rows;
	uint32_t count;
	uint32_t capacity;
	struct row floor; /* up to here all are in the graph */
	struct row bound; /* of those above nobody asks in this walk, where 'bounded' */
	bool bounded;
	uint64_t edges; /* in the graph */
};

static int compare(const struct row *a, const struct row *b)
{
	if (a->seqno != b->seqno)
		return a->seqno < b->seqno ? -1 : 1;
	if (a->edge.source != b->edge.source)
		return a->edge.source < b->edge.source ? -1 : 1;
	return (a->edge.target > b->edge.target) - (a->edge.target < b->edge.target);
}

static int compare_rows(const void *a, const void *b)
{
	return compare(a, b);
}

/* Makes room for one more: with more memory, or by leaving the younger half to the next walk. */
static int reserve(struct load *load)
{
	uint32_t capacity = load->capacity == 0 ? EDGES_MIN : load->capacity * 2;
	struct row *rows;

	if (load->count < load->capacity)
		return 0;
	if (load->capacity == EDGES_AT_ONCE) {
		qsort(load->rows, load->count, sizeof(*load->rows), compare_rows);
		load->count /= 2;
		load->bound = load->rows[load->count - 1];
		load->bounded = true;
		return 0;
	}
	rows = realloc(load->rows, capacity * sizeof(*rows));
	if (rows == NULL)
		return -ENOMEM;
	load->rows = rows;
	load->capacity = capacity;
	return 0;
}

static int take(struct load *load, const struct row *row)
{
	if (compare(row, &load->floor) <= 0)
		return 0;
	int r = reserve(load);
	if (r != 0 || (load->bounded && compare(row, &load->bound) > 0))
		return r;
	load->rows[load->count++] = *row;
	return 0;
}

typedef int (*row_fn)(struct load *load, const struct row *row);

/* Gives every edge that has a key to 'fn'. Returns what it does, STORE_E_CORRUPT or a negative
 * errno. */
static int walk(struct load *load, row_fn fn)
{
	static const uint8_t space[] = {0, 'e'};
	struct kv *kv = load->store->kv;
	struct kv_cursor *cursor;
	int r = kv_cursor_new(kv, 0, 0, &cursor);
	if (r < 0)
		return r;

	for (r = kv_cursor_seek(cursor, (struct entry_bytes){space, 2}); r == 0;
	     r = kv_cursor_next(cursor)) {
		const struct entry *entry = kv_cursor_entry(cursor);
		struct row row = {.seqno = entry->seqno};

		if (!keys_edge_read(entry->key, &row.edge))
			break;
		int taken = fn(load, &row);
		if (taken < 0) {
			kv_cursor_free(cursor);
			return taken;
		}
	}
	kv_cursor_free(cursor);
	if (r == KV_E_CORRUPT)
		return store_refuse(load->store, kv_error(kv));
	return r < 0 ? r : 0;
}

/* One transaction. Returns as edge_add(). */
static int add(struct pager *pager, const struct row *rows, uint32_t count)
{
	int r = pager_begin(pager);

	for (uint32_t i = 0; i < count && r == 0; i++)
		r = edge_add(pager, rows[i].edge.source, rows[i].edge.target);
	if (r == 0)
		r = pager_commit(pager, 0);
	if (r != 0)
		pager_rollback(pager);
	return r;
}

/* What a small cache doesn't hold together is added one by one. */
static int add_some(struct load *load, const struct row *rows, uint32_t count)
{
	struct pager *pager = load->store->pager;
	int r = add(pager, rows, count);

	if (r == EDGE_E_FULL || r == EDGE_E_BUSY) {
		r = 0;
		for (uint32_t i = 0; i < count && r == 0; i++)
			r = add(pager, &rows[i], 1);
	}
	if (r == EDGE_E_CORRUPT)
		return store_refuse(load->store, pager_error(pager));
	return r > 0 ? -ENOBUFS : r;
}

static int add_rows(struct load *load)
{
	qsort(load->rows, load->count, sizeof(*load->rows), compare_rows);
	for (uint32_t i = 0; i < load->count; i += EDGES_TOGETHER) {
		uint32_t count = MIN(load->count - i, EDGES_TOGETHER);
		int r = add_some(load, &load->rows[i], count);
		if (r != 0)
			return r;
	}
	load->edges += load->count;
	return 0;
}

static int load_edges(struct load *load)
{
	do {
		load->count = 0;
		load->bounded = false;
		int r = walk(load, take);
		if (r == 0 && load->count > 0)
			r = add_rows(load);
		if (r != 0)
			return r;
		load->floor = load->bound;
	} while (load->bounded);
	return 0;
}

static int open_file(struct store *store)
{
	struct pager_options options = {
		.cache_pages = store->options.cache_pages,
		.state = {.lsn = wal_position(store->wal).next},
		.store = ledger_store(store->ledger),
		.create = true,
		.queued = true,
	};
	char why[PAGE_ERROR_MAX];
	int r = pager_open(store->io, NULL, &options, &store->pager, why);

	if (r != 0)
		return r > 0 ? store_refuse(store, why) : r;
	pager_load(store->pager);
	r = edge_open(store->pager, 0);
	return r > 0 ? store_refuse(store, pager_error(store->pager)) : r;
}

bool store_graph_is_lost(const struct store *store)
{
	const struct ledger_state *state = ledger_state(store->ledger);

	return state->has_pages && state->pages.state.page_count == 0;
}

int store_graph_forget(struct store *store)
{
	struct ledger_pages pages = {.state = {.lsn = store->checkpoint_lsn}};
	struct ledger_edit edit = {.pages = &pages};

	if (store_graph_is_lost(store))
		return 0;
	store_describe_pages(&pages);
	int r = ledger_commit(store->ledger, &edit);
	return r > 0 ? -EINVAL : r;
}

int store_graph_make(struct store *store)
{
	struct load load = {.store = store};
	int r = open_file(store);

	if (r == 0)
		r = load_edges(&load);
	free(load.rows);
	if (r != 0)
		return r;
	pager_attach(store->pager, store->wal);
	store->recovery.graph_made = true;
	store->recovery.edges = load.edges;
	return 0;
}

static int count_row(struct load *load, const struct row *row)
{
	(void)row;
	load->edges++;
	return 0;
}

static void say_nothing(void *context, const char *line)
{
	(void)context;
	(void)line;
}

/* Where keys of edges can't be read the graph stays: it may have what they had. */
int store_graph_check(struct store *store, bool *ret_well)
{
	struct load load = {.store = store};
	uint64_t faults = 0;
	int r = walk(&load, count_row);

	if (r == 0)
		r = store_verify_graph(store, say_nothing, NULL, &faults);
	if (r < 0)
		return r;
	*ret_well = faults == 0;
	return 0;
}
