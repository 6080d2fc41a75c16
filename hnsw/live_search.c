/* SPDX-License-Identifier: Apache-2.0 */
#include "hnsw/live_search.h"

#include "base/check.h"
#include "hnsw/live_set.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/*
 * A search takes, in this order: (1) the set, (2) its name in the search's slot,
 * (3) the counts of the dead, (4) the time, (5) a second look at whether the set is
 * still the current one; if not, it starts over. What follows from it, for a change of time t
 * and a search of time s:
 *
 *   t <= s is seen: it was made before t was released, and s acquired that. A
 *   vector of it was put into a member of a set that was published before. Had that
 *   set come later than ours, (5), which is ordered behind (4), would have found another.
 *
 *   t > s is not seen: births and deaths carry their time, and are compared with s.
 *
 *   A set that a merge changed was published after all deaths until then were carried
 *   over, and with a time no later than s.
 *
 *   The counts of the dead are not too high: see live_member.h.
 *
 *   The set stays: the writer looks at the slots after it has published another
 *   one. Either it sees our name there, or (2)'s second half, after the name is
 *   written, sees another set. Both sides are sequentially consistent.
 *
 * Nothing here waits: starting over means that the writer has published a set, which
 * it does when a growing index is full or a merge is done.
 */

/* Machines that a burst has under way at a time: more only crowd the cache. */
#define BURST_WIDTH 16

struct live_search {
	struct live *live; /* borrowed */
	struct live_slot *slot;
	struct search *search; /* owned */
	struct live_set *set;  /* pinned; NULL: none is */
	uint64_t time;
	uint32_t dead_counts[LIVE_MEMBER_MAX];
	uint32_t member;     /* which one is searched */
	struct segment view; /* of it */
	struct search_params params;
	float *query;            /* owned: dim floats */
	struct search_hit *hits; /* owned: ef_max of them, merged so far */
	struct search_hit *more; /* owned: twice as many, for merging */
	uint32_t hit_count;
};

static struct live_slot *take_slot(struct live *live)
{
	for (uint32_t i = 0; i < LIVE_SEARCH_MAX; i++)
		/* Acquire: after whoever had it before; pairs with live_search_free(). */
		if (!atomic_exchange_explicit(&live->slots[i].taken, true, memory_order_acquire))
			return &live->slots[i];
	return NULL;
}

int live_search_new(struct live *live, uint32_t ef_max, struct live_search **ret_search)
{
	const struct search_limits limits = {.node_max = live->options.vector_max,
					     .dim_max = live->options.dim,
					     .ef_max = ef_max};
	struct live_search *search = calloc(1, sizeof(*search));
	int error;

	if (!search)
		return -ENOMEM;
	search->live = live;
	search->query = malloc(live->options.dim * sizeof(search->query[0]));
	search->hits = malloc((ef_max + (size_t)1) * sizeof(search->hits[0]));
	search->more = malloc((2 * (size_t)ef_max + 1) * sizeof(search->more[0]));
	error = search->query && search->hits && search->more ? search_new(&limits, &search->search)
							      : -ENOMEM;
	if (!error) {
		search->slot = take_slot(live);
		error = search->slot ? 0 : -EAGAIN;
	}
	if (error)
		live_search_free(search);
	else
		*ret_search = search;
	return error;
}

/* Release: what was read of the set comes before it may be given up; pairs with is_pinned(). */
static void unpin(struct live_search *search)
{
	atomic_store_explicit(&search->slot->pinned, NULL, memory_order_release);
	search->set = NULL;
}

void live_search_free(struct live_search *search)
{
	if (!search)
		return;
	if (search->slot) {
		unpin(search);
		atomic_store_explicit(&search->slot->taken, false, memory_order_release);
	}
	search_free(search->search);
	free(search->query);
	free(search->hits);
	free(search->more);
	free(search);
}

/* (1) and (2): pairs with live_publish() and is_pinned(). */
struct live_set *live_search_pin(struct live_search *search)
{
	struct live_set *set = atomic_load(&search->live->current), *again;

	for (;; set = again) {
		atomic_store(&search->slot->pinned, set);
		again = atomic_load(&search->live->current);
		if (again == set)
			return set;
	}
}

/* (3) to (5). Returns false when the set is no longer the current one. */
bool live_search_take_moment(struct live_search *search, const struct live_set *set)
{
	for (uint32_t i = 0; i < set->member_count; i++)
		/* Acquire: before the time; pairs with live_member_count_dead(). */
		search->dead_counts[i] =
			atomic_load_explicit(&set->members[i]->dead_count, memory_order_acquire);
	/* Acquire: all changes until then; pairs with commit() in live.c. */
	search->time = atomic_load_explicit(&search->live->time, memory_order_acquire);
	return atomic_load(&search->live->current) == set;
}

/* Growing members have no default of their own that was measured. */
static uint32_t default_ef(const struct live_set *set)
{
	uint32_t ef = 0;

	for (uint32_t i = 0; i < set->member_count; i++)
		if (!set->members[i]->growing)
			ef = MAX(ef, set->members[i]->segment.ef_default);
	return ef ? ef : GROWING_EF_DEFAULT;
}

/* Goes to the next member that has vectors; false when there is none. */
static bool begin_member(struct live_search *search)
{
	const struct live_set *set = search->set;

	for (; search->member < set->member_count; search->member++) {
		const struct live_member *member = set->members[search->member];
		struct search_params params = search->params;

		live_member_view(member, search->time, &search->view);
		params.time = search->time;
		params.dead_count = search->dead_counts[search->member];
		/* Relaxed: set before the time of the first death was released. */
		if (atomic_load_explicit(&member->has_dead, memory_order_relaxed))
			params.died = member->died;
		if (search->view.count == params.dead_count)
			continue;
		search_begin(search->search, &search->view, search->query, &params);
		return true;
	}
	unpin(search);
	return false;
}

void live_search_begin(struct live_search *search, const float *query,
		       const struct search_params *params)
{
	struct live_set *set;

	do
		set = live_search_pin(search);
	while (!live_search_take_moment(search, set));
	memcpy(search->query, query, search->live->options.dim * sizeof(search->query[0]));
	search->set = set;
	search->params = (struct search_params){
		.k = params->k,
		.ef = params->ef ? params->ef : default_ef(set),
		.filter = params->filter,
	};
	search->member = 0;
	search->hit_count = 0;
	(void)begin_member(search);
}

/* Merges what one member has given into the hits so far; both are in order. */
static void merge(struct live_search *search)
{
	uint32_t k = search->params.k, a = 0, b = 0, count = 0;
	struct search_hit *old = search->more, *found = search->more + k;
	uint32_t old_count = search->hit_count;
	uint32_t found_count = search_hits(search->search, found, k);

	memcpy(old, search->hits, old_count * sizeof(old[0]));
	while (count < k && (a < old_count || b < found_count)) {
		bool older = b == found_count ||
			     (a < old_count && search_hit_before(&old[a], &found[b]));

		search->hits[count++] = older ? old[a++] : found[b++];
	}
	search->hit_count = count;
}

bool live_search_step(struct live_search *search)
{
	if (!search->set)
		return true;
	if (!search_step(search->search))
		return false;
	merge(search);
	search->member++;
	return !begin_member(search);
}

unsigned live_search_hits(const struct live_search *search, struct search_hit *hits, unsigned count)
{
	unsigned found = MIN(count, search->hit_count);

	memcpy(hits, search->hits, found * sizeof(hits[0]));
	return found;
}

uint64_t live_search_time(const struct live_search *search)
{
	return search->time;
}

void live_search_burst(struct live_search *const *searches, unsigned count)
{
	struct live_search *active[BURST_WIDTH];
	unsigned active_count = 0, next = 0;

	for (;;) {
		while (active_count < BURST_WIDTH && next < count)
			active[active_count++] = searches[next++];
		if (active_count == 0)
			return;
		for (unsigned i = 0; i < active_count;) {
			if (live_search_step(active[i]))
				active[i] = active[--active_count];
			else
				i++;
		}
	}
}
