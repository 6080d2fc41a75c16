/* SPDX-License-Identifier: Apache-2.0 */
#include "hnsw/search.h"

#include "base/check.h"
#include "hnsw/beam_insert.h"
#include "hnsw/heap.h"
#include "hnsw/layout.h"
#include "hnsw/remote.h"
#include "hnsw/visited.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/*
 * What a machine asked for in its last step is what its state says it uses next:
 *
 *   START ----------> DESCEND_LINKS <--> DESCEND_VECTORS      levels above 0
 *     |                                        |
 *     +--------------------> WALK <------------+              level 0: itself, a hop a step
 *     |                        |
 *     +----> SCAN <------------+----> RERANK ----> DONE
 *     |      |  ^ (itself, a batch of vectors a step) ^
 *     |      +----------------------------------------+
 *     +----> LANDMARKS ---> EDGES (itself, a row a step) ---> RERANK
 *
 * A walk's step has three points at which records of a remote segment may not be here yet, each
 * with a state of its own to go on from: the chosen node's list (WALK), and the oldest batch,
 * once a candidate is chosen (CATCH_UP) or when there is none (DRAIN).
 *
 * A walk is a pipeline, so that one query alone keeps the memory busy too. Each
 * step takes in the list of the candidate chosen in the step before (gather),
 * asks for the vectors of those not met, chooses the next candidate and asks for
 * its list, and compares with the vectors that were asked for a step ago. So a candidate is
 * chosen while SEARCH_LAG batches of vectors are under way that might have held a better one:
 * that costs a hop or two, which are no loss as what they meet counts, and wins back the
 * waiting, which is most of the time.
 *
 * Levels above 0 are descended greedily; what they meet is kept in the beam, and not met again.
 *
 * Where rows have codes of their edges, a walk takes one row a hop. The node's own
 * distance is exact and goes into 'found', which is the answer; the beam has estimates and says
 * where to go. The next node is chosen before the row at hand is looked into, so that
 * its row, a few thousand bytes, comes in line by line while this one's codes are summed:
 * asked for at once, the lines would wait for each other, and everything for them. Such a
 * walk begins at the landmark that seems nearest.
 *
 * As a rule the beam is everything: its nearest unexpanded node is the
 * candidate, its farthest the bound (algorithm 2 with one list). With a filter
 * the walk is selective: the beam holds only what may be answered, and
 * candidates wait in a heap.
 *
 * The dead are walked like others. While they are few the beam holds them too,
 * is as much longer, and they are left out of the answer at the end, which
 * costs next to nothing; when they are many, or so many here that fewer than k
 * are left, the walk is selective.
 *
 * SCAN compares with every allowed vector. It is taken at once when the filter
 * leaves so few that the graph would cost more, when a selective walk has
 * cost more than the scan would have, and when the graph has given
 * fewer than k: so a search never answers fewer than are allowed.
 *
 * Where rows hold compact copies, distances are a little off. RERANK puts the best of the beam
 * in order by the vectors themselves: those that are no farther than the k-th by more
 * than the rows' error.
 *
 * Equal vectors are in the graph once; the answer is spread to their twins at
 * the end.
 *
 * A growing index is changed while it is read: see hnsw/growing.h. Every list
 * is therefore read through layout_neighbour() and layout_link_at(), a word at a
 * time, and what it names beyond the view's count was not there yet when the
 * search began.
 */

enum state {
	STATE_DONE,
	STATE_START,
	STATE_DESCEND_LINKS,
	STATE_DESCEND_VECTORS,
	STATE_WALK,
	STATE_DRAIN,
	STATE_CATCH_UP,
	STATE_LANDMARKS,
	STATE_EDGES,
	STATE_SCAN,
	STATE_ROWS_OF_BEST,
	STATE_RERANK,
};

/* Candidates a filtered walk can hold; past it the scan is taken. */
#define SEARCH_HEAP_MAX 65536

/* Batches of vectors that are asked for and not compared yet when a candidate is chosen. */
#define SEARCH_LAG 2

/* What a scan of compact rows keeps beyond twice k, to be put in order exactly. */
#define SEARCH_SPARE 64

/* Vectors of one step of a scan: as many as lists are long at m = 16. */
#define SEARCH_SCAN_BATCH 32

/* Nodes that one step of a scan passes over at most, if nothing can be skipped. */
#define SEARCH_SCAN_STRIDE 4096

/* The beam holds the dead too while they are at most one node in so many. */
#define SEARCH_DEAD_SHARE 4

/*
 * What a selective walk costs for each node of its beam and 1/share, and as many more
 * for finding the way, in distances of a scan (measured on 100,000 x 100, at shares from
 * 0.1 to 0.5 and ef from 32 to 256: it makes 8 to 10 distances, each a half dearer).
 */
#define SEARCH_WALK_COST  12
#define SEARCH_WALK_START 20

/* Nodes that a selective walk is credited with, so that it isn't judged by its first few. */
#define SEARCH_HOPE 4

/* Nodes looked at to estimate how many a filter allows. */
#define SEARCH_SAMPLE 1024

/* Machines that search_burst() has under way at a time: more only crowd the cache. */
#define SEARCH_BURST_WIDTH 16

/* Cache lines, and vectors at least, that are compared at a time and asked for meanwhile. */
#define SEARCH_STRIDE_LINES   32
#define SEARCH_STRIDE_VECTORS 4

/* Cache lines asked for ahead: enough to keep the memory busy, few enough to stay in L1. */
#define SEARCH_PREFETCH_LINES 128

/* Nodes that are to be compared; their vectors are asked for by then. */
struct batch {
	uint32_t count;
	bool asked;
	uint32_t nodes[2 * SEGMENT_M_MAX];
};

struct search {
	const struct segment *segment;
	struct remote *remote; /* the segment's: records are asked for; NULL: they are prefetched */
	bool waits;            /* for records asked for; the step changed nothing */
	enum remote_part pinned_part;
	uint32_t pinned_count; /* slots held while it waits */
	uint32_t pinned[2 * SEGMENT_M_MAX];
	bool is_exact;               /* 'rows' are the vectors themselves */
	struct rows rows;            /* what is compared */
	struct rows_query from;      /* the query */
	const struct filter *filter; /* NULL: all are allowed */
	const uint64_t *allowed;     /* the filter's words */
	uint32_t label_max;          /* of the filter */
	const uint64_t *died;        /* of each node; NULL: all live */
	uint64_t time;               /* whoever died until then is dead */
	uint32_t live_count;         /* nodes that are not dead, or more */
	bool scanned;                /* everything that may be answered */
	bool selective;              /* the beam holds only what may be answered */
	uint32_t k;
	uint32_t ef;
	uint32_t patience; /* hops; UINT32_MAX: without end */
	uint32_t stale;    /* hops since the k-th changed */
	uint64_t kth;      /* then */
	enum state state;
	uint32_t ahead;  /* vectors to prefetch before the one being compared */
	uint32_t stride; /* vectors to compare at a time */
	uint32_t first_batch;
	uint32_t batch_count;
	struct batch batches[SEARCH_LAG];
	uint32_t rerank_next; /* the first key not compared again, or ROWS_OF_BEST: not looked at */
	float best_scale;     /* the largest of those looked at */
	uint32_t rerank_count;

	/* While descending: the nearest node, its record at this level, the level. */
	uint64_t nearest;
	uint32_t record;
	uint32_t level;

	uint32_t node;      /* chosen last */
	uint32_t scan_next; /* SCAN: the first rank not looked at */
	/* A selective walk: what it and a scan are expected to cost, and how it goes. */
	uint64_t walk_cost; /* if every node could be kept */
	uint64_t scan_cost;
	uint64_t budget;    /* distances after which it gives up */
	uint64_t near;      /* nodes at level 0 that were near enough */
	uint64_t near_kept; /* of those that may be answered */

	uint32_t wanted_count;
	uint32_t wanted[2 * SEGMENT_M_MAX];
	uint32_t wanted_records[SEGMENT_M_MAX];   /* DESCEND: of each */
	uint32_t wanted_ranks[SEARCH_SCAN_BATCH]; /* SCAN: of each */

	struct beam beam;
	struct beam found;         /* EDGES: nodes whose distance is exact */
	struct beam spread;        /* the answer with twins and without the dead */
	const struct beam *answer; /* one of the two */
	struct heap heap;
	struct visited visited;
	beam_insert_fn insert;
	struct search_stats stats;
	struct search_limits limits;
	float *query;    /* padded, normalised under cosine */
	void *query_row; /* the same as a row */
	float *query_rotated;
	uint8_t *query_table;
	struct codes_query codes;
	codes_score_fn score;
};

static_assert(SEARCH_SCAN_BATCH <= 2 * SEGMENT_M_MAX, "a batch is in 'wanted'");

/* Which records of a remote are compared with. */
static enum remote_part part_of(const struct search *search)
{
	return search->is_exact ? REMOTE_VECTORS : REMOTE_ROWS;
}

static void prefetch_row(const struct search *search, uint32_t node, uint64_t size)
{
	const uint8_t *row;

	if (search->remote) {
		remote_ask(search->remote, REMOTE_ROWS, node);
		return;
	}
	row = (const uint8_t *)layout_row(search->segment, node);
	for (uint64_t at = 0; at < size; at += CACHE_LINE)
		__builtin_prefetch(row + at);
}

static void prefetch_links(const struct search *search, uint32_t node)
{
	prefetch_row(search, node, search->segment->vector_offset);
}

static void prefetch_record(const struct search *search)
{
	const uint8_t *record = (const uint8_t *)layout_record(search->segment, search->record);

	for (uint64_t at = 0; at < search->segment->upper_stride; at += CACHE_LINE)
		__builtin_prefetch(record + at);
}

/* The rest is asked for while these are compared; of a remote all are. */
static void prefetch_nodes(const struct search *search, const uint32_t *nodes, uint32_t count)
{
	if (search->remote) {
		for (uint32_t i = 0; i < count; i++)
			remote_ask(search->remote, part_of(search), nodes[i]);
		return;
	}
	for (uint32_t i = 0; i < MIN(count, search->ahead); i++)
		rows_prefetch(&search->rows, nodes[i]);
}

static void unpin(struct search *search)
{
	for (uint32_t i = 0; i < search->pinned_count; i++)
		remote_unpin(search->remote, search->pinned_part, search->pinned[i]);
	search->pinned_count = 0;
}

/* Asks for records and holds on to those that are here already. */
static void wait_for(struct search *search, enum remote_part part, const uint32_t *nodes,
		     uint32_t count)
{
	search->waits = true;
	search->pinned_part = part;
	for (uint32_t i = 0; i < count; i++) {
		uint32_t slot;

		remote_ask(search->remote, part, nodes[i]);
		slot = remote_pin(search->remote, part, nodes[i]);
		if (slot != UINT32_MAX)
			search->pinned[search->pinned_count++] = slot;
	}
}

/*
 * Can records be used, 2 * SEGMENT_M_MAX at most? Those of a remote may be under way; then the step
 * ends without having changed anything, and is taken again when something has come.
 */
static bool all_here(struct search *search, enum remote_part part, const uint32_t *nodes,
		     uint32_t count)
{
	uint32_t i = 0;

	if (!search->remote)
		return true;
	unpin(search);
	while (i < count && remote_slot(search->remote, part, nodes[i]) != UINT32_MAX)
		i++;
	if (i == count)
		return true;
	wait_for(search, part, nodes, count);
	return false;
}

static bool row_is_here(struct search *search, uint32_t node)
{
	return all_here(search, REMOTE_ROWS, &node, 1);
}

static bool wanted_are_here(struct search *search)
{
	return all_here(search, part_of(search), search->wanted, search->wanted_count);
}

/* A node's row, which is here. */
static const uint32_t *row_of(const struct search *search, uint32_t node)
{
	if (search->remote)
		return (const void *)remote_row(search->remote,
						remote_slot(search->remote, REMOTE_ROWS, node));
	return layout_row(search->segment, node);
}

/* Numbers by which 'rows' find nodes that are here: their own, or those of their slots. */
static const uint32_t *places_of(const struct search *search, const uint32_t *nodes, uint32_t count,
				 uint32_t *places)
{
	if (!search->remote)
		return nodes;
	for (uint32_t i = 0; i < count; i++)
		places[i] = remote_slot(search->remote, part_of(search), nodes[i]);
	return places;
}

/*
 * Writes the keys of 'count' nodes, whose vectors have been asked for as far as
 * SEARCH_PREFETCH_LINES go. Meanwhile it asks for those of 'next_count' others, a few at
 * a time: all at once they would fill the places that the processor has for
 * misses and hold up everything behind them.
 */
static void keys_of(struct search *search, const uint32_t *nodes, uint32_t count,
		    const uint32_t *next, uint32_t next_count, uint64_t *keys)
{
	float distances[2 * SEGMENT_M_MAX];
	uint32_t slots[2 * SEGMENT_M_MAX];
	const uint32_t *places = places_of(search, nodes, count, slots);

	if (search->remote) {
		prefetch_nodes(search, next, next_count);
		next_count = 0;
	}
	next_count = MIN(next_count, search->ahead);
	for (uint32_t i = 0; i < count; i += search->stride) {
		uint32_t part = MIN(count - i, search->stride);

		for (uint32_t j = i; j < i + part; j++) {
			if (j + search->ahead < count)
				rows_prefetch(&search->rows, places[j + search->ahead]);
			if (j < next_count)
				rows_prefetch(&search->rows, next[j]);
		}
		rows_distances(&search->from, &search->rows, places + i, part, distances + i);
	}
	for (uint32_t i = count; i < next_count; i++)
		rows_prefetch(&search->rows, next[i]);
	for (uint32_t i = 0; i < count; i++)
		keys[i] = beam_key(distances[i], nodes[i]);
	search->stats.distances += count;
}

static void wanted_keys(struct search *search, uint64_t *keys)
{
	keys_of(search, search->wanted, search->wanted_count, NULL, 0, keys);
}

/* Relaxed: a death until 'time' was written before 'time' was; a later one may be seen or not. */
static bool is_dead(const struct search *search, uint32_t node)
{
	return search->died &&
	       __atomic_load_n(&search->died[node], __ATOMIC_RELAXED) - 1 < search->time;
}

static bool is_allowed(const struct search *search, uint32_t node)
{
	uint32_t label;

	if (is_dead(search, node))
		return false;
	if (!search->filter)
		return true;
	label = search->segment->labels[node];
	return label <= search->label_max && (search->allowed[label / 64] >> label % 64 & 1);
}

/* The next twin, or LAYOUT_NONE. A chain ascends, so that later ones need not be looked at. */
static uint32_t next_twin(const struct search *search, uint32_t node)
{
	const uint32_t *twins = search->segment->twins;
	uint32_t twin = twins ? layout_neighbour(twins, node) : LAYOUT_NONE;

	return twin < search->segment->count ? twin : LAYOUT_NONE;
}

/* May the node or one of its twins be answered? */
static bool is_any_allowed(const struct search *search, uint32_t node)
{
	while (node != LAYOUT_NONE && !is_allowed(search, node))
		node = next_twin(search, node);
	return node != LAYOUT_NONE;
}

/* The first member of the filter at or after 'label', or UINT64_MAX. */
static uint64_t next_allowed_label(const struct search *search, uint32_t label)
{
	uint32_t last = search->label_max / 64;
	uint32_t index = label / 64;
	uint64_t word;

	if (label > search->label_max)
		return UINT64_MAX;
	word = search->allowed[index] >> label % 64 << label % 64;
	while (!word && index < last)
		word = search->allowed[++index];
	return word ? (uint64_t)index * 64 + (unsigned)__builtin_ctzll(word) : UINT64_MAX;
}

/* Labels by rank: a loop keeps both in registers. */
struct ranks {
	const uint32_t *labels; /* of nodes */
	const uint32_t *sorted; /* NULL: a rank is a node */
	uint32_t count;
};

static inline uint32_t ranked_label(const struct ranks *ranks, uint32_t rank)
{
	return ranks->labels[ranks->sorted ? ranks->sorted[rank] : rank];
}

/* The first rank from 'rank' on whose label is at least 'label': gallops, then halves. */
static inline uint32_t rank_at_label(const struct ranks *ranks, uint32_t rank, uint64_t label)
{
	uint32_t low = rank, high = rank, step = 1;

	while (high < ranks->count && ranked_label(ranks, high) < label) {
		low = high + 1;
		high = step < ranks->count - high ? high + step : ranks->count;
		step *= 2;
	}
	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (ranked_label(ranks, middle) < label)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* The first rank from 'rank' on that the filter names. Both sides are ascending and skip. */
static uint32_t next_named_rank(const struct search *search, uint32_t rank)
{
	const struct segment *segment = search->segment;
	const struct ranks ranks = {segment->labels, segment->sorted, segment->count};

	while (rank < ranks.count) {
		uint64_t label = next_allowed_label(search, ranked_label(&ranks, rank));

		if (label == UINT64_MAX)
			return ranks.count;
		rank = rank_at_label(&ranks, rank, label);
		if (rank < ranks.count && ranked_label(&ranks, rank) == label)
			break;
	}
	return rank;
}

/* By rank, so that of equal distances the lower label is kept; a growing index has no ranks. */
static void scan_want(struct search *search)
{
	bool skips = search->filter && !search->segment->growing;
	uint32_t rank = search->scan_next;

	search->wanted_count = 0;
	for (uint32_t i = 0; i < SEARCH_SCAN_STRIDE && search->wanted_count < SEARCH_SCAN_BATCH;
	     i++, rank++) {
		uint32_t node;

		if (skips)
			rank = next_named_rank(search, rank);
		if (rank >= search->segment->count)
			break;
		node = segment_ranked(search->segment, rank);
		if (!is_allowed(search, node))
			continue;
		search->wanted_ranks[search->wanted_count] = rank;
		search->wanted[search->wanted_count++] = node;
	}
	search->scan_next = rank;
	prefetch_nodes(search, search->wanted, search->wanted_count);
}

/* A beam for 'ef' nodes and the dead that may lie among them, or for a scan. */
static uint32_t beam_max(uint32_t ef)
{
	return (uint32_t)((uint64_t)ef * SEARCH_DEAD_SHARE / (SEARCH_DEAD_SHARE - 1)) +
	       SEARCH_SPARE;
}

/* Compact rows keep more than k, since their order is not exact. */
static void scan_begin(struct search *search)
{
	uint32_t kept = search->k;

	if (search->segment->form.compact)
		kept = MIN(2 * search->k + SEARCH_SPARE, beam_max(search->limits.ef_max));
	beam_reset(&search->beam, kept);
	search->answer = &search->beam;
	search->scan_next = 0;
	search->state = STATE_SCAN;
	scan_want(search);
}

/* By label; they may be as many as the beam holds. */
static void order_run(const struct search *search, uint64_t *keys, uint32_t count)
{
	const uint32_t *labels = search->segment->labels;

	for (uint32_t gap = count / 2; gap > 0; gap /= 2) {
		for (uint32_t i = gap; i < count; i++) {
			uint64_t key = keys[i];
			uint32_t label = labels[beam_key_node(key)], j = i;

			for (; j >= gap && label < labels[beam_key_node(keys[j - gap])]; j -= gap)
				keys[j] = keys[j - gap];
			keys[j] = key;
		}
	}
}

/* Equal distances are in order of their nodes, which is not that of the labels everywhere. */
static void order_ties(const struct search *search, struct beam *beam)
{
	if (!search->segment->sorted && !search->segment->growing)
		return;
	for (uint32_t i = 0, end; i < beam->count; i = end) {
		end = i + 1;
		while (end < beam->count && beam->keys[end] >> 32 == beam->keys[i] >> 32)
			end++;
		order_run(search, beam->keys + i, end - i);
	}
}

static void rerank_begin(struct search *search);

/* A scan's beam has ranks. Nodes in their place keep its order: by distance, then label. */
static void name_ranks(struct search *search)
{
	struct beam *beam = &search->beam;

	for (uint32_t i = 0; i < beam->count; i++)
		beam->keys[i] =
			beam_key(beam_key_distance(beam->keys[i]),
				 segment_ranked(search->segment, beam_key_node(beam->keys[i])));
	order_ties(search, beam);
}

static void scan_step(struct search *search)
{
	const uint32_t count = search->wanted_count;
	uint64_t keys[SEARCH_SCAN_BATCH];

	if (!wanted_are_here(search))
		return;
	wanted_keys(search, keys);
	for (uint32_t i = 0; search->segment->sorted && i < count; i++)
		keys[i] = beam_key(beam_key_distance(keys[i]), search->wanted_ranks[i]);
	for (uint32_t i = 0; i < count; i++)
		if (beam_wants(&search->beam, keys[i]))
			search->insert(&search->beam, keys[i]);
	scan_want(search);
	if (search->wanted_count > 0 || search->scan_next < search->segment->count)
		return;
	search->scanned = true;
	name_ranks(search);
	rerank_begin(search);
}

/* By distance, and by label where nodes are numbered otherwise. */
static bool is_before(const struct search *search, uint64_t key, uint64_t other)
{
	const uint32_t *labels = search->segment->labels;

	if (!search->segment->sorted || key >> 32 != other >> 32)
		return key < other;
	return labels[beam_key_node(key)] < labels[beam_key_node(other)];
}

static bool spread_wants(const struct search *search, uint64_t key)
{
	const struct beam *spread = &search->spread;

	return spread->count < spread->capacity ||
	       is_before(search, key, spread->keys[spread->count - 1]);
}

/* Nearly all come last. */
static void spread_insert(struct search *search, uint64_t key)
{
	struct beam *spread = &search->spread;
	uint32_t at = spread->count;

	if (at < spread->capacity)
		spread->count++;
	else
		at--;
	for (; at > 0 && is_before(search, key, spread->keys[at - 1]); at--)
		spread->keys[at] = spread->keys[at - 1];
	spread->keys[at] = key;
}

/* Every node of the beam stands for its twins too; the dead are left out. */
static void spread_answer(struct search *search)
{
	struct beam *spread = &search->spread;

	beam_reset(spread, search->k);
	for (uint32_t i = 0; i < search->beam.count; i++) {
		uint64_t key = search->beam.keys[i];
		float distance = beam_key_distance(key);
		uint32_t node = beam_key_node(key);

		if (spread->count == spread->capacity &&
		    key >> 32 > spread->keys[spread->count - 1] >> 32)
			break;
		for (; node != LAYOUT_NONE; node = next_twin(search, node)) {
			key = beam_key(distance, node);
			if (!spread_wants(search, key))
				break;
			if (is_allowed(search, node))
				spread_insert(search, key);
		}
	}
	order_ties(search, spread);
	search->answer = spread;
}

static void start(struct search *search, bool selective);

static void finish(struct search *search)
{
	uint64_t allowed = search->live_count;

	search->state = STATE_DONE;
	search->answer = &search->beam;
	if (search->scanned)
		return;
	if (search->segment->twins || search->died)
		spread_answer(search);
	else
		order_ties(search, &search->beam);
	if (search->filter)
		allowed = MIN(allowed, filter_count(search->filter));
	if (search->answer->count >= MIN(search->k, allowed))
		return;
	if (search->died && !search->selective)
		start(search, /* selective= */ true);
	else
		scan_begin(search);
}

/* Where the k-th of the beam that may be answered is, or its end. */
static uint32_t last_answered(const struct search *search)
{
	uint32_t found = 0, i = 0;

	for (; i < search->beam.count; i++) {
		found += is_any_allowed(search, beam_key_node(search->beam.keys[i]));
		if (found == search->k)
			break;
	}
	return MIN(i, search->beam.count - 1);
}

static void rerank_want(struct search *search)
{
	uint32_t count = MIN(search->rerank_count - search->rerank_next, SEARCH_SCAN_BATCH);

	search->wanted_count = count;
	for (uint32_t i = 0; i < count; i++)
		search->wanted[i] = beam_key_node(search->beam.keys[search->rerank_next + i]);
	prefetch_nodes(search, search->wanted, count);
}

/* From here on vectors themselves are compared. */
static void compare_exactly(struct search *search)
{
	struct rows_form form;

	segment_exact(search->segment, &form, &search->rows);
	if (search->remote)
		search->rows = remote_vectors(search->remote);
	search->is_exact = form.compact != search->segment->form.compact;
	rows_query(&form, search->query, search->query_row, &search->from);
}

/* Those of a remote are in its outline, or in the rows, which are here then. */
static const struct rows_factors *factors_of(const struct search *search, uint32_t node)
{
	uint32_t slot;

	if (!search->segment->codes.bits)
		return rows_factors_at(&search->segment->compared, node);
	return rows_factors_at(&search->rows, *places_of(search, &node, 1, &slot));
}

/*
 * The rows' error, which is that of queries like the rows: compact distances err in
 * proportion to both sides' scales, so a query that is longer than what it finds errs
 * as much more.
 */
static float error_of_query(const struct search *search)
{
	float scale = search->from.factors.scale, largest = search->best_scale;

	return search->segment->row_error * (scale > largest ? scale / largest : 1);
}

/*
 * Finds the largest scale of the first 'count'. Where it is in their rows, these are looked at
 * once more, a part at a time and each part once: the first may be gone when the last have come.
 * Returns false while some are under way.
 */
static bool find_scale(struct search *search, uint32_t count)
{
	uint32_t nodes[2 * SEGMENT_M_MAX];

	while (search->rerank_next < count) {
		const uint64_t *keys = search->beam.keys + search->rerank_next;
		uint32_t part = MIN(count - search->rerank_next, (uint32_t)ARRAY_COUNT(nodes));

		for (uint32_t i = 0; i < part; i++)
			nodes[i] = beam_key_node(keys[i]);
		if (search->segment->codes.bits && !all_here(search, REMOTE_ROWS, nodes, part))
			return false;
		for (uint32_t i = 0; i < part; i++) {
			float scale = factors_of(search, nodes[i])->scale;

			search->best_scale =
				scale > search->best_scale ? scale : search->best_scale;
		}
		search->rerank_next += part;
	}
	return true;
}

static void rerank_begin(struct search *search)
{
	const struct beam *beam = &search->beam;
	uint32_t count = 0;
	float farthest;

	if (!search->segment->form.compact || beam->count == 0) {
		finish(search);
		return;
	}
	if (search->state != STATE_ROWS_OF_BEST) {
		search->state = STATE_ROWS_OF_BEST;
		search->rerank_next = 0;
		search->best_scale = 0;
	}
	count = last_answered(search) + 1;
	if (!find_scale(search, count))
		return;
	farthest = beam_key_distance(beam->keys[count - 1]) + 2 * error_of_query(search);
	while (count < beam->count && beam_key_distance(beam->keys[count]) <= farthest)
		count++;
	search->rerank_count = count;
	search->rerank_next = 0;
	search->state = STATE_RERANK;
	compare_exactly(search);
	rerank_want(search);
}

static void compare_compactly(struct search *search)
{
	search->rows = search->segment->compared;
	if (search->remote)
		search->rows = remote_rows(search->remote);
	search->is_exact = false;
	rows_query(&search->segment->form, search->query, search->query_row, &search->from);
}

static void rerank_end(struct search *search)
{
	struct beam *beam = &search->beam;

	beam_sort(beam->keys, search->rerank_count);
	order_ties(search, beam);
	beam->count = search->rerank_count;
	if (search->scanned)
		beam->count = MIN(beam->count, search->k);
	finish(search);
	if (search->state != STATE_DONE)
		compare_compactly(search);
}

static void rerank_step(struct search *search)
{
	if (!wanted_are_here(search))
		return;
	wanted_keys(search, search->beam.keys + search->rerank_next);
	search->rerank_next += search->wanted_count;
	if (search->rerank_next == search->rerank_count)
		rerank_end(search);
	else
		rerank_want(search);
}

/* Keeps a node that was compared, if it is near enough. Returns false when memory is out. */
static bool offer(struct search *search, uint64_t key)
{
	if (!beam_wants(&search->beam, key))
		return true;
	if (search->selective) {
		if (search->heap.count == search->heap.capacity)
			return false;
		heap_push(&search->heap, key);
		search->near++;
	}
	if (!search->selective || is_any_allowed(search, beam_key_node(key))) {
		search->insert(&search->beam, key);
		search->near_kept++;
	}
	return true;
}

/*
 * Has a selective walk met so few that may be answered that, going on so, it would cost more
 * than a scan? The share near the query counts, and it may be none where the whole
 * segment's is a half.
 */
static bool walk_disappoints(const struct search *search)
{
	return search->near * search->walk_cost >
		       search->scan_cost * (search->near_kept + SEARCH_HOPE) ||
	       search->stats.distances > search->budget;
}

/*
 * Have the k nearest of 'beam' stayed the same for so many hops that a better one is
 * hardly to be expected? Whatever comes among them changes the k-th.
 */
static bool is_saturated(struct search *search, const struct beam *beam)
{
	uint64_t kth;

	if (beam->count < search->k)
		return false;
	kth = beam->keys[search->k - 1] & ~BEAM_EXPANDED;
	search->stale = kth == search->kth ? search->stale + 1 : 0;
	search->kth = kth;
	return search->stale >= search->patience;
}

static bool next_candidate(struct search *search)
{
	uint64_t key;

	if (search->patience != UINT32_MAX && is_saturated(search, &search->beam))
		return false;
	if (!search->selective)
		return beam_expand(&search->beam, &search->node);
	if (search->heap.count == 0)
		return false;
	key = heap_pop(&search->heap);
	search->node = beam_key_node(key);
	return beam_wants(&search->beam, key);
}

/*
 * Compares with the oldest batch. Those that are near enough are picked out first,
 * without branches. Returns false when memory is out.
 */
static bool compare_batch(struct search *search)
{
	const struct batch *batch = &search->batches[search->first_batch];
	struct batch *next = &search->batches[(search->first_batch + 1) % SEARCH_LAG];
	bool asks = search->batch_count > 1 && !next->asked;
	const uint64_t bound = beam_bound(&search->beam);
	const uint32_t count = batch->count;
	uint64_t keys[2 * SEGMENT_M_MAX];
	uint32_t near = 0;

	search->first_batch = (search->first_batch + 1) % SEARCH_LAG;
	search->batch_count--;
	keys_of(search, batch->nodes, count, next->nodes, asks ? next->count : 0, keys);
	next->asked = true;
	for (uint32_t i = 0; i < count; i++) {
		keys[near] = keys[i];
		near += keys[i] < bound;
	}
	if (search->selective) {
		for (uint32_t i = 0; i < near; i++)
			if (!offer(search, keys[i]))
				return false;
		return true;
	}
	for (uint32_t i = 0; i < near; i++)
		if (beam_wants(&search->beam, keys[i]))
			search->insert(&search->beam, keys[i]);
	return true;
}

/* Takes in the chosen node's list: those not met yet are the next batch. */
static void gather(struct search *search)
{
	uint32_t last = (search->first_batch + search->batch_count) % SEARCH_LAG;
	const uint32_t *links = row_of(search, search->node);
	struct batch *batch = &search->batches[last];

	search->stats.hops++;
	batch->count = visited_meet(&search->visited, links, 2 * search->segment->m,
				    search->segment->count, batch->nodes);
	batch->asked = false;
	search->batch_count += batch->count > 0;
}

/* Asks for the vectors of the latest batch, if nothing has been compared meanwhile. */
static void ask(struct search *search)
{
	uint32_t last = (search->first_batch + search->batch_count + SEARCH_LAG - 1) % SEARCH_LAG;
	struct batch *batch = &search->batches[last];

	if (search->batch_count == 0 || batch->asked)
		return;
	prefetch_nodes(search, batch->nodes, batch->count);
	batch->asked = true;
}

/* Can the oldest batch be compared with? */
static bool batch_is_here(struct search *search)
{
	const struct batch *batch = &search->batches[search->first_batch];

	return all_here(search, REMOTE_ROWS, batch->nodes, batch->count);
}

/* The candidate is chosen: room for its batch, then its list is asked for. */
static void catch_up_step(struct search *search)
{
	search->state = STATE_CATCH_UP;
	if (search->batch_count == SEARCH_LAG && !batch_is_here(search))
		return;
	search->state = STATE_WALK;
	if ((search->batch_count == SEARCH_LAG && !compare_batch(search)) ||
	    (search->selective && walk_disappoints(search)))
		scan_begin(search);
	else
		ask(search);
}

static void choose_step(struct search *search);

/* No candidate is left unless one is under way. */
static void drain_step(struct search *search)
{
	search->state = STATE_DRAIN;
	if (!batch_is_here(search))
		return;
	if (!compare_batch(search))
		scan_begin(search);
	else
		choose_step(search);
}

static void choose_step(struct search *search)
{
	if (next_candidate(search)) {
		prefetch_links(search, search->node);
		catch_up_step(search);
	} else if (search->batch_count > 0) {
		drain_step(search);
	} else {
		rerank_begin(search);
	}
}

static void walk_step(struct search *search)
{
	if (!row_is_here(search, search->node))
		return;
	gather(search);
	choose_step(search);
}

/* The landmark that seems nearest, or the entry when there are none. */
static uint32_t nearest_landmark(const struct search *search)
{
	const struct segment *segment = search->segment;
	const size_t block_size = codes_block_size(segment->codes.bits);
	const uint8_t *block = segment->landmark_codes;
	uint32_t nearest = segment->entry;
	float scores[CODES_BLOCK], least = INFINITY;

	for (uint32_t i = 0; i < segment->landmark_count; i += CODES_BLOCK, block += block_size) {
		uint32_t below =
			search->score(&search->codes, block, 0, least, block + block_size, scores);

		for (; below; below &= below - 1) {
			uint32_t place = (uint32_t)__builtin_ctz(below);

			if (scores[place] < least && i + place < segment->landmark_count &&
			    !visited_has(&search->visited, segment->landmarks[i + place])) {
				least = scores[place];
				nearest = segment->landmarks[i + place];
			}
		}
	}
	return nearest;
}

static void landmarks_step(struct search *search)
{
	const struct segment *segment = search->segment;

	layout_code_vector(segment->metric, segment->type, search->query, segment->dim,
			   search->query_rotated);
	codes_query(&segment->codes, search->query_rotated, search->query_rotated,
		    search->query_table, &search->codes);
	search->node = nearest_landmark(search);
	(void)visited_add(&search->visited, search->node);
	prefetch_row(search, search->node, segment->row_stride);
	search->state = STATE_EDGES;
}

/* A neighbour that scores less than the beam's farthest. Its place may be one that is not taken. */
static void offer_edge(struct search *search, uint32_t neighbour, float score)
{
	uint64_t key = beam_key(score, neighbour);

	if (neighbour >= search->segment->count || !beam_wants(&search->beam, key) ||
	    !visited_add(&search->visited, neighbour))
		return;
	search->insert(&search->beam, key);
}

static float farthest_score(const struct beam *beam)
{
	return beam->count < beam->capacity ? INFINITY
					    : beam_key_distance(beam->keys[beam->count - 1]);
}

/* Takes in the row of a node; 'ahead' is the next one's. */
static void take_row(struct search *search, uint32_t node, uint32_t ahead)
{
	const struct segment *segment = search->segment;
	const uint32_t *links = row_of(search, node);
	const uint8_t *next = (const uint8_t *)links;
	const uint64_t edges = segment->edges_offset;
	const size_t block_size = codes_block_size(segment->codes.bits);
	uint32_t slot;
	float distance =
		rows_distance(&search->from, &search->rows, *places_of(search, &node, 1, &slot));
	uint64_t key = beam_key(distance, node);
	float scores[CODES_BLOCK];

	if (!search->remote)
		next = (const uint8_t *)layout_row(segment, ahead);
	search->stats.hops++;
	search->stats.distances++;
	if (beam_wants(&search->found, key))
		search->insert(&search->found, key);
	for (uint32_t i = 0; i < 2 * segment->m; i += CODES_BLOCK) {
		uint64_t at = edges + i / CODES_BLOCK * block_size;
		uint32_t below = search->score(
			&search->codes, (const uint8_t *)links + at, distance,
			farthest_score(&search->beam),
			next + at + block_size - codes_table_size(segment->codes.bits), scores);

		for (; below; below &= below - 1) {
			uint32_t place = (uint32_t)__builtin_ctz(below);

			if (i + place < 2 * segment->m)
				offer_edge(search, links[i + place], scores[place]);
		}
	}
}

static void edges_step(struct search *search)
{
	uint32_t node = search->node, next = node;
	struct beam estimates;
	bool saturated, chosen;

	if (!row_is_here(search, node))
		return;
	saturated = search->patience != UINT32_MAX && is_saturated(search, &search->found);
	chosen = !saturated && beam_expand(&search->beam, &next);
	if (chosen && !search->remote)
		prefetch_row(search, next,
			     search->segment->edges_offset + CODES_BLOCK * 2 * sizeof(uint16_t));
	take_row(search, node, next);
	if (!chosen && !saturated && beam_expand(&search->beam, &next)) {
		chosen = true;
		prefetch_row(search, next, search->segment->row_stride);
	}
	search->node = next;
	if (chosen)
		return;
	estimates = search->beam;
	search->beam = search->found;
	search->found = estimates;
	rerank_begin(search);
}

static void descend(struct search *search)
{
	if (search->level == 0) {
		search->near = 0;
		search->near_kept = 0;
		choose_step(search);
		return;
	}
	prefetch_record(search);
	search->state = STATE_DESCEND_LINKS;
}

static void start_step(struct search *search)
{
	if (!row_is_here(search, search->segment->entry))
		return;
	keys_of(search, &search->segment->entry, 1, NULL, 0, &search->nearest);
	search->level = search->segment->entry_level;
	search->record = search->segment->entry_record;
	(void)visited_add(&search->visited, search->segment->entry);
	(void)offer(search, search->nearest);
	descend(search);
}

static void descend_links_step(struct search *search)
{
	const struct layout_link *links = layout_record(search->segment, search->record);

	search->stats.hops++;
	search->wanted_count = 0;
	for (uint32_t i = 0; i < search->segment->m; i++) {
		struct layout_link link = layout_link_at(links, i);

		if (link.node == LAYOUT_NONE)
			break;
		if (link.node >= search->segment->count ||
		    !visited_add(&search->visited, link.node))
			continue;
		search->wanted[search->wanted_count] = link.node;
		search->wanted_records[search->wanted_count++] = link.record;
	}
	prefetch_nodes(search, search->wanted, search->wanted_count);
	search->state = STATE_DESCEND_VECTORS;
}

/*
 * Goes to the nearest neighbour, or a level down when none is nearer: keys only
 * fall, so it ends. A node met before was no nearer then and isn't now.
 */
static void descend_vectors_step(struct search *search)
{
	const uint32_t count = search->wanted_count;
	uint64_t before = search->nearest;
	uint64_t keys[SEGMENT_M_MAX];

	if (!wanted_are_here(search))
		return;
	wanted_keys(search, keys);
	for (uint32_t i = 0; i < count; i++) {
		if (keys[i] < search->nearest) {
			search->nearest = keys[i];
			search->record = search->wanted_records[i];
		}
		if (!offer(search, keys[i])) {
			scan_begin(search);
			return;
		}
	}
	if (search->nearest == before) {
		search->level--;
		search->record--;
	}
	descend(search);
}

bool search_step(struct search *search)
{
	search->waits = false;
	switch (search->state) {
	case STATE_START:
		start_step(search);
		break;
	case STATE_DESCEND_LINKS:
		descend_links_step(search);
		break;
	case STATE_DESCEND_VECTORS:
		descend_vectors_step(search);
		break;
	case STATE_WALK:
		walk_step(search);
		break;
	case STATE_DRAIN:
		drain_step(search);
		break;
	case STATE_CATCH_UP:
		catch_up_step(search);
		break;
	case STATE_LANDMARKS:
		landmarks_step(search);
		break;
	case STATE_EDGES:
		edges_step(search);
		break;
	case STATE_SCAN:
		scan_step(search);
		break;
	case STATE_ROWS_OF_BEST:
		rerank_begin(search);
		break;
	case STATE_RERANK:
		rerank_step(search);
		break;
	case STATE_DONE:
		break;
	}
	return search->state == STATE_DONE;
}

bool search_waits(const struct search *search)
{
	return search->waits;
}

/* Of a candidate that may come next: the row, where that has codes; else those of its list. */
static void foresee_candidate(struct search *search, uint32_t node)
{
	const struct segment *segment = search->segment;
	const uint32_t *links;

	remote_ask(search->remote, REMOTE_ROWS, node);
	if (segment->codes.bits || remote_slot(search->remote, REMOTE_ROWS, node) == UINT32_MAX)
		return;
	links = row_of(search, node);
	for (uint32_t i = 0; i < 2 * segment->m && links[i] != LAYOUT_NONE; i++)
		if (!visited_has(&search->visited, links[i]))
			remote_ask(search->remote, REMOTE_ROWS, links[i]);
}

void search_foresee(struct search *search, unsigned breadth)
{
	const struct beam *beam = &search->beam;

	if (search->state != STATE_WALK && search->state != STATE_DRAIN &&
	    search->state != STATE_CATCH_UP && search->state != STATE_EDGES)
		return;
	for (uint32_t i = beam->next; breadth > 0 && i < beam->count; i++) {
		if (!remote_has_room(search->remote))
			return;
		if (beam->keys[i] & BEAM_EXPANDED)
			continue;
		foresee_candidate(search, beam_key_node(beam->keys[i]));
		breadth--;
	}
}

/* How much of the segment may be answered, from nodes evenly spread. */
static double allowed_share(const struct search *search)
{
	uint32_t count = search->segment->count;
	uint32_t sampled = MIN(count, SEARCH_SAMPLE), allowed = 0;

	for (uint32_t i = 0; i < sampled; i++)
		allowed += is_allowed(search, (uint32_t)((uint64_t)i * count / sampled));
	return (double)allowed / sampled;
}

/*
 * A walk has to meet 1/share nodes for each one that it may keep, so it costs
 * about (ef + SEARCH_WALK_START) / share * SEARCH_WALK_COST; a scan costs one for each allowed
 * vector. The members of the filter are never fewer than those, and are known at once.
 */
static bool scan_is_cheaper(struct search *search)
{
	double count = search->segment->count, allowed = count;

	if (!search->selective)
		return false;
	search->walk_cost = (uint64_t)SEARCH_WALK_COST * (search->ef + SEARCH_WALK_START);
	if (search->filter)
		allowed = MIN(allowed, (double)filter_count(search->filter));
	if (allowed * allowed > (double)search->walk_cost * count)
		allowed = allowed_share(search) * count;
	search->scan_cost = (uint64_t)allowed;
	search->budget = search->stats.distances + search->scan_cost / 2;
	return allowed * allowed <= (double)search->walk_cost * count;
}

/*
 * Only nodes whose row was taken are answered, while a plain walk answers any that it
 * compared with: some more are taken, or an ef of k would leave no choice.
 */
static void edges_begin(struct search *search)
{
	uint32_t wanted = search->beam.capacity + search->k;

	beam_reset(&search->beam, MIN(wanted, beam_max(search->limits.ef_max)));
	beam_reset(&search->found, search->beam.capacity);
	search->state = STATE_LANDMARKS;
}

static void start(struct search *search, bool selective)
{
	uint64_t widened =
		(uint64_t)search->ef * search->segment->count / MAX(search->live_count, 1);

	search->stale = 0;
	search->kth = 0;
	search->selective = selective;
	search->heap.count = 0;
	search->batch_count = 0;
	search->scanned = false;
	search->answer = &search->beam;
	beam_reset(&search->beam, selective ? search->ef : (uint32_t)widened);
	if (scan_is_cheaper(search)) {
		scan_begin(search);
		return;
	}
	visited_clear(&search->visited);
	if (!selective && search->segment->codes.bits) {
		edges_begin(search);
		return;
	}
	prefetch_nodes(search, &search->segment->entry, 1);
	search->state = STATE_START;
}

static void set_dead(struct search *search, const struct search_params *params)
{
	CHECK(params->dead_count <= search->segment->count);
	search->died = params->died;
	search->time = params->time;
	search->live_count = search->segment->count - params->dead_count;
}

static void set_filter(struct search *search, const struct filter *filter)
{
	search->filter = filter;
	if (!filter)
		return;
	search->allowed = filter_words(filter);
	search->label_max = filter_label_max(filter);
}

static void set_segment(struct search *search, const struct segment *segment, const float *query)
{
	CHECK(segment->count <= search->limits.node_max && segment->dim <= search->limits.dim_max);
	CHECK(search->pinned_count == 0);
	search->segment = segment;
	search->remote = segment->remote;
	layout_copy_vector(segment->metric, segment->type, query, segment->dim, search->query,
			   dist_row_values(segment->type, segment->dim));
	compare_compactly(search);
	search->ahead = MAX(SEARCH_PREFETCH_LINES * CACHE_LINE / search->rows.size, 1);
	search->stride =
		MAX(SEARCH_STRIDE_LINES * CACHE_LINE / search->rows.size, SEARCH_STRIDE_VECTORS);
}

void search_begin(struct search *search, const struct segment *segment, const float *query,
		  const struct search_params *params)
{
	uint32_t ef = params->ef ? params->ef : segment->ef_default;

	CHECK(params->k <= search->limits.ef_max);
	set_segment(search, segment, query);
	set_filter(search, params->filter);
	set_dead(search, params);
	search->k = params->k;
	search->ef = MIN(MAX(ef, params->k), search->limits.ef_max);
	search->patience = params->patience ? params->patience : UINT32_MAX;
	search->stats = (struct search_stats){0};
	beam_reset(&search->beam, search->ef);
	search->answer = &search->beam;
	search->state = STATE_DONE;
	if (search->k == 0 || search->live_count == 0)
		return;
	start(search, params->filter || params->dead_count > segment->count / SEARCH_DEAD_SHARE);
}

void search_abandon(struct search *search)
{
	if (search->remote)
		unpin(search);
	search->state = STATE_DONE;
	search->answer = &search->spread;
	beam_reset(&search->spread, 1);
}

void search_pass_over(struct search *search, uint32_t node)
{
	(void)visited_add(&search->visited, node);
}

unsigned search_hits(const struct search *search, struct search_hit *hits, unsigned count)
{
	unsigned found = MIN(MIN(count, search->k), search->answer->count);

	for (unsigned i = 0; i < found; i++) {
		uint64_t key = search->answer->keys[i];

		hits[i].label = search->segment->labels[beam_key_node(key)];
		hits[i].distance = beam_key_distance(key);
	}
	return found;
}

struct search_stats search_stats(const struct search *search)
{
	struct search_stats stats = search->stats;

	stats.met = search->visited.listed_count;
	return stats;
}

void search_burst(struct search *const *searches, unsigned count)
{
	struct search *active[SEARCH_BURST_WIDTH];
	unsigned active_count = 0, next = 0;

	for (;;) {
		while (active_count < SEARCH_BURST_WIDTH && next < count)
			active[active_count++] = searches[next++];
		if (active_count == 0)
			return;
		for (unsigned i = 0; i < active_count;) {
			if (search_step(active[i]))
				active[i] = active[--active_count];
			else
				i++;
		}
	}
}

int search_new(const struct search_limits *limits, struct search **ret_search)
{
	uint32_t ef_max = limits->ef_max;
	struct search *search;
	uint32_t rotated;
	size_t query_size;

	if (ef_max < 1 || ef_max >= SEGMENT_COUNT_MAX || limits->dim_max < 1 ||
	    limits->dim_max > SEGMENT_DIM_MAX || limits->node_max >= SEGMENT_COUNT_MAX)
		return -EINVAL;
	search = calloc(1, sizeof(*search));
	if (!search)
		return -ENOMEM;
	/* Bits are padded to the most values. */
	query_size = dist_row_values(VECTOR_B1, limits->dim_max) * sizeof(float);
	rotated = rotate_size(limits->dim_max);
	search->limits = *limits;
	search->insert = beam_insert_best();
	search->answer = &search->beam;
	search->heap.capacity = MIN(limits->node_max, SEARCH_HEAP_MAX);
	search->query = aligned_alloc(CACHE_LINE, query_size);
	search->query_row = aligned_alloc(CACHE_LINE, query_size);
	search->query_rotated = aligned_alloc(CACHE_LINE, rotated * sizeof(float));
	search->query_table = aligned_alloc(CACHE_LINE, codes_table_size(rotated));
	search->score = codes_best()->score;
	search->beam.keys = malloc(beam_max(ef_max) * sizeof(search->beam.keys[0]));
	search->found.keys = malloc(beam_max(ef_max) * sizeof(search->found.keys[0]));
	search->spread.keys = malloc(ef_max * sizeof(search->spread.keys[0]));
	search->heap.keys = malloc((search->heap.capacity + 1) * sizeof(search->heap.keys[0]));
	if (visited_init(&search->visited, limits->node_max) || !search->query ||
	    !search->query_row || !search->query_rotated || !search->query_table ||
	    !search->beam.keys || !search->found.keys || !search->spread.keys ||
	    !search->heap.keys) {
		search_free(search);
		return -ENOMEM;
	}
	*ret_search = search;
	return 0;
}

uint64_t search_memory(const struct search_limits *limits)
{
	uint64_t keys = 2 * (uint64_t)beam_max(limits->ef_max) + limits->ef_max +
			MIN(limits->node_max, SEARCH_HEAP_MAX) + 1;
	uint32_t rotated = rotate_size(limits->dim_max);

	return sizeof(struct search) + visited_memory(limits->node_max) + keys * sizeof(uint64_t) +
	       2 * dist_row_values(VECTOR_B1, limits->dim_max) * sizeof(float) +
	       rotated * sizeof(float) + codes_table_size(rotated);
}

void search_free(struct search *search)
{
	if (!search)
		return;
	visited_deinit(&search->visited);
	free(search->query);
	free(search->query_row);
	free(search->query_rotated);
	free(search->query_table);
	free(search->beam.keys);
	free(search->found.keys);
	free(search->spread.keys);
	free(search->heap.keys);
	free(search);
}
