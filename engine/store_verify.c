/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What a store consists of is checked part by part, then part against part: files of the key space
 * block by block, pages and trees, the graph's two directions, and the graph against the edges'
 * keys. The log was checked when the store was opened.
 */

#include "engine/btree_check.h"
#include "engine/edge.h"
#include "engine/store_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

struct verify {
	struct store *store;
	kv_report_fn report;
	void *context;
	uint64_t faults;
};

static void fault(struct verify *verify, const char *line)
{
	verify->report(verify->context, line);
	verify->faults++;
}

/* A part that is damaged is one fault; what stops the check is an error. */
static int of_pages(struct verify *verify, int r)
{
	if (r == PAGER_E_CORRUPT) {
		fault(verify, pager_error(verify->store->pager));
		return 0;
	}
	return r > 0 ? -EBUSY : r;
}

static int check_trees(struct verify *verify, struct page_set *set)
{
	struct pager *pager = verify->store->pager;
	const uint64_t roots[] = {EDGE_NODE_ROOT, EDGE_EDGE_ROOT};
	struct btree_stats stats;

	for (unsigned i = 0; i < 2; i++) {
		struct btree tree = {.pager = pager, .root = roots[i]};
		int r = btree_check(&tree, set, &stats);
		if (r != 0)
			return r;
	}
	int r = btree_check_free(pager, set);
	return r == 0 ? btree_check_all(pager, set) : r;
}

static int check_pages(struct verify *verify)
{
	struct page_set set;
	int r = page_set_init(pager_state(verify->store->pager)->page_count, &set);
	if (r < 0)
		return r;
	r = of_pages(verify, check_trees(verify, &set));
	page_set_deinit(&set);
	return r;
}

/* Every key of an edge has its edge in the graph, and there are as many of both. */
static int check_edges(struct verify *verify)
{
	static const uint8_t space[] = {0, 'e'};
	struct store *store = verify->store;
	struct kv_cursor *cursor;
	uint64_t count = 0;
	char line[128];
	int r = kv_cursor_new(store->kv, 0, 0, &cursor);
	if (r < 0)
		return r;

	for (r = kv_cursor_seek(cursor, (struct entry_bytes){space, 2}); r == 0;
	     r = kv_cursor_next(cursor)) {
		struct edge_key edge;
		if (!keys_edge_read(kv_cursor_entry(cursor)->key, &edge))
			break;
		count++;
		r = edge_has(store->pager, edge.source, edge.target);
		if (r != 0 && r != EDGE_E_ABSENT)
			break;
		if (r == EDGE_E_ABSENT) {
			snprintf(line, sizeof(line),
				 "edge %" PRId64 " to %" PRId64 " isn't in the graph", edge.source,
				 edge.target);
			fault(verify, line);
		}
	}
	kv_cursor_free(cursor);
	if (r < 0)
		return r;
	if (count != pager_state(store->pager)->edge_count) {
		snprintf(line, sizeof(line),
			 "the key space has %" PRIu64 " edges, the graph %" PRIu64, count,
			 pager_state(store->pager)->edge_count);
		fault(verify, line);
	}
	return 0;
}

static int verify_graph(struct verify *verify)
{
	struct store *store = verify->store;
	uint64_t faults = 0;
	int r = check_pages(verify);
	if (r < 0)
		return r;

	r = edge_check(store->pager, verify->report, verify->context, &faults);
	verify->faults += faults;
	if (r == EDGE_E_CORRUPT)
		fault(verify, pager_error(store->pager));
	return r < 0 ? r : check_edges(verify);
}

int store_verify_graph(struct store *store, kv_report_fn report, void *context,
		       uint64_t *ret_faults)
{
	struct verify verify = {.store = store, .report = report, .context = context};
	int r = verify_graph(&verify);

	if (r == 0)
		*ret_faults = verify.faults;
	return r;
}

static int verify_all(struct store *store, kv_report_fn report, void *context, uint64_t *ret_faults)
{
	struct verify verify = {.store = store, .report = report, .context = context};
	uint64_t faults = 0;
	int r = kv_verify(store->kv, report, context, &faults);
	verify.faults += faults;
	if (r >= 0)
		r = verify_graph(&verify);
	if (r < 0)
		return r;
	*ret_faults = verify.faults;
	return 0;
}

int store_verify(struct store *store, kv_report_fn report, void *context, uint64_t *ret_faults)
{
	pager_set_polls(store->pager, false);
	int r = verify_all(store, report, context, ret_faults);
	pager_set_polls(store->pager, store->options.polls);
	return r;
}
