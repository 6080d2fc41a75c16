/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A feed stands between two passes, in one (view is open, 'source' counts down), or before an entry
 * of the sealed window:
 *
 *      between --begin_pass--> in a pass --window sealed--> giving out --window empty--> between
 *                                  |                         |      ^
 *                                  |        window empty, runs left: filled from them
 *                                  +-- failed --> between (nothing was given out)
 *
 * A pass that sorts writes the window to a run whenever it is full, and then fills it from the runs
 * as often as they have something. One that doesn't turns away what comes later.
 *
 * Invariants:
 *  1. Everything before (from, behind) was given out or is in the sealed window; a pass collects
 *     what is at or behind it, up to 'pass_bound'.
 *  2. Between passes 'from' is the position's number, or the next one.
 *  3. While there are runs, they have all from (from, behind) to 'pass_bound'.
 *
 * Sources are visited oldest first (a view has the newest foremost), so that the window fills with
 * what will stay in it.
 */

#include "engine/feed.h"

#include "base/defs.h"
#include "engine/feed_plan.h"
#include "engine/feed_runs.h"
#include "engine/feed_window.h"
#include "engine/memtable.h"
#include "engine/table.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/* What a call inside returns when the pass has to be begun again. */
#define AGAIN 1000

struct feed {
	struct kv *kv;
	struct feed_options options;
	uint64_t bound; /* that a feed which doesn't follow ends at */

	/* What the next pass begins with: entries from number 'from' on that come after 'behind'.
	 */
	uint64_t from;
	struct feed_mark behind;

	/* A pass. */
	struct kv_view *view;        /* NULL: none is needed */
	uint32_t source;             /* sources left: the next is source - 1 */
	struct table_cursor *cursor; /* of that source; NULL: it isn't begun */
	bool cursor_stands;          /* on an entry */
	uint64_t pass_bound;
	struct feed_cost cost;

	/* A pass that sorts. */
	bool sorts;
	bool has_blobs;         /* it has met one */
	uint64_t span;          /* numbers that a pass sorts at once; 0: no limit */
	uint64_t memory;        /* for the window, and half of it for runs */
	struct feed_runs *runs; /* NULL: all fits in the window */
	bool merging;           /* the runs are complete and read */

	/* Giving out. */
	struct feed_window window;
	bool sealed;
	uint32_t at; /* next entry of the window */
	struct table_pin pin;
	struct feed_position position; /* behind the event given out last */
	struct feed_position last;     /* that event; number 0: none */
	char error[FEED_ERROR_SIZE];
};

/* Up to where events are given out. */
static uint64_t settled(const struct kv *kv, const struct feed_options *options)
{
	return options->visible ? kv_visible(kv) : MIN(kv_visible(kv), kv_durable(kv));
}

/* A quarter of the memory is for entries, the rest for their bytes, which need twice their size. */
static int take_memory(struct feed *feed)
{
	uint64_t memory = feed->options.memory ? feed->options.memory : FEED_MEMORY_DEFAULT;
	uint64_t count;

	feed->memory = MIN(MAX(memory, FEED_MEMORY_MIN), FEED_MEMORY_MAX);
	count = feed->memory / 4 / sizeof(struct entry);
	if (feed->options.window)
		count = MIN(count, feed->options.window);
	return feed_window_init(&feed->window, (uint32_t)count, (uint32_t)(feed->memory / 8 * 3));
}

int feed_open(struct kv *kv, const struct feed_options *options, struct feed **ret_feed)
{
	struct feed *feed = malloc(sizeof(*feed));

	if (!feed)
		return -ENOMEM;
	*feed = (struct feed){
		.kv = kv,
		.options = *options,
		.bound = options->follow ? UINT64_MAX : settled(kv, options),
		.position = options->since,
	};
	if (feed->position.seqno == 0)
		feed->position = (struct feed_position){.seqno = 1};
	feed->options.since = feed->position;
	feed->from = feed->position.seqno;
	if (options->wait_never)
		feed->options.scratch = NULL;
	if (take_memory(feed)) {
		free(feed);
		return -ENOMEM;
	}
	*ret_feed = feed;
	return 0;
}

static void close_cursor(struct feed *feed)
{
	uint64_t blocks, bytes;

	if (!feed->cursor)
		return;
	table_cursor_cost(feed->cursor, &blocks, &bytes);
	feed->cost.blocks += blocks;
	feed->cost.bytes += bytes;
	table_cursor_free(feed->cursor);
	feed->cursor = NULL;
}

static void close_view(struct feed *feed)
{
	close_cursor(feed);
	table_pin_release(&feed->pin);
	if (feed->view)
		kv_view_close(feed->view);
	feed->view = NULL;
}

static void drop_runs(struct feed *feed)
{
	if (feed->runs)
		feed->cost.scratch += feed_runs_bytes(feed->runs);
	feed_runs_free(feed->runs);
	feed->runs = NULL;
	feed->merging = false;
}

/* Nothing of the pass was given out, or all. */
static void end_pass(struct feed *feed)
{
	close_view(feed);
	drop_runs(feed);
}

void feed_close(struct feed *feed)
{
	if (!feed)
		return;
	end_pass(feed);
	feed_window_deinit(&feed->window);
	free(feed);
}

/*
 * The file can't be written. Where it is room that is missing, the next passes sort half as many
 * numbers; else they sort none, and go over the tables as often as the window needs.
 */
static int give_way(struct feed *feed, int rc)
{
	if (rc != FEED_RUNS_E_FULL && rc != -ENOSPC && rc != -EDQUOT && rc != -EFBIG)
		feed->options.scratch = NULL;
	feed->span = (feed->pass_bound - feed->from) / 2;
	if (feed->span == 0)
		feed->options.scratch = NULL;
	return AGAIN;
}

/* The window becomes a run. */
static int write_run(struct feed *feed)
{
	uint32_t run_max = (uint32_t)(feed->memory / 2 / FEED_RUNS_CHUNK);
	int rc = 0;

	if (!feed->runs)
		rc = feed_runs_new(feed->options.scratch, run_max, &feed->runs);
	if (rc)
		return give_way(feed, rc);
	feed_window_sort(&feed->window);
	rc = feed_runs_add(feed->runs, feed->window.entries, feed->window.count);
	if (rc)
		return give_way(feed, rc);
	feed->has_blobs |= feed->window.has_blobs;
	feed_window_clear(&feed->window);
	return 0;
}

static int offer(struct feed *feed, const struct entry *entry)
{
	if (entry->seqno < feed->from || entry->seqno > feed->pass_bound)
		return 0;
	if (feed->behind.set && feed_window_compare(entry, &feed->behind.entry) <= 0)
		return 0;
	if (!feed->sorts) {
		feed_window_add(&feed->window, entry);
		return 0;
	}
	while (!feed_window_append(&feed->window, entry)) {
		int rc = write_run(feed);

		if (rc)
			return rc;
	}
	return 0;
}

static int collect_memtable(struct feed *feed, const struct memtable *memtable)
{
	const struct memtable_node *node = memtable_since(memtable, feed->from);

	for (; node; node = memtable_after(node)) {
		const struct entry *entry = memtable_entry(node);
		int rc;

		if (entry->seqno > feed->pass_bound || feed_window_is_beyond(&feed->window, entry))
			return 0;
		rc = offer(feed, entry);
		if (rc)
			return rc;
	}
	return 0;
}

/* The largest number that is still wanted. */
static uint64_t wanted_to(const struct feed *feed)
{
	return feed->window.limit.set ? feed->window.limit.entry.seqno : feed->pass_bound;
}

static int table_failed(struct feed *feed, const struct table *table, int rc)
{
	if (rc != TABLE_E_CORRUPT)
		return rc;
	snprintf(feed->error, sizeof(feed->error), "%s", table_error(table));
	return FEED_E_CORRUPT;
}

static bool begin_table(struct feed *feed, struct table *table, int *ret_rc)
{
	const struct table_summary *summary = table_summary(table);
	const struct table_cursor_options options = {
		.wait_never = feed->options.wait_never,
		.seqno_from = feed->from,
		.seqno_to = wanted_to(feed),
		.distrust_bounds = feed->options.distrust_bounds,
	};

	*ret_rc = 0;
	feed->cursor_stands = false;
	if (!feed->options.distrust_bounds &&
	    (summary->seqno_max < feed->from || summary->seqno_min > options.seqno_to))
		return false;
	for (uint32_t i = 0; i < table_range_count(table); i++) {
		struct entry range = table_range(table, i);

		*ret_rc = offer(feed, &range);
		if (*ret_rc)
			return false;
	}
	*ret_rc = table_cursor_new(table, &options, &feed->cursor);
	return *ret_rc == 0;
}

/* '*steps' entries at most. */
static int collect_table(struct feed *feed, struct table *table, uint64_t *steps)
{
	int rc = 0;

	if (!feed->cursor && !begin_table(feed, table, &rc))
		return rc;
	for (;;) {
		if (*steps == 0)
			return FEED_E_WAIT;
		--*steps;
		rc = feed->cursor_stands ? table_cursor_next(feed->cursor)
					 : table_cursor_first(feed->cursor);
		if (rc == TABLE_E_WAIT)
			return FEED_E_WAIT;
		if (rc)
			break;
		feed->cursor_stands = true;
		rc = offer(feed, table_cursor_entry(feed->cursor));
		if (rc)
			return rc;
	}
	close_cursor(feed);
	return rc == TABLE_E_END ? 0 : table_failed(feed, table, rc);
}

static int collect(struct feed *feed)
{
	uint64_t steps = feed->options.wait_never ? FEED_STEP_MAX : UINT64_MAX;

	for (; feed->source > 0; feed->source--) {
		struct kv_source source = kv_view_source(feed->view, feed->source - 1);
		int rc = 0;

		if (source.memtable)
			rc = collect_memtable(feed, source.memtable);
		else
			rc = collect_table(feed, source.table, &steps);
		if (rc)
			return rc;
	}
	return 0;
}

/* What lies before 'from' has been given out: a reader that keeps its position is told so. */
static int caught_up(struct feed *feed)
{
	if (feed->from > feed->position.seqno)
		feed->position = (struct feed_position){.seqno = feed->from};
	return FEED_E_END;
}

/* Up to where the pass goes, and whether it sorts. */
static void plan_pass(struct feed *feed, uint64_t bound)
{
	uint64_t end = bound, half = feed->memory / 2;

	feed->sorts = feed->options.scratch;
	if (feed->sorts && !feed->options.distrust_bounds)
		/* Memtables are in order, and read behind the tables. */
		feed->sorts = feed_plan_end(feed->view, feed->from, half,
					    half / feed->window.count_max, &end);
	if (feed->sorts && feed->span > 0 && end - feed->from > feed->span)
		end = feed->from + feed->span;
	feed->pass_bound = MIN(bound, end);
	feed->has_blobs = false;
}

static int begin_pass(struct feed *feed)
{
	uint64_t bound = MIN(feed->bound, settled(feed->kv, &feed->options));
	int rc;

	if (feed->from > bound)
		return caught_up(feed);
	if (feed->from < kv_history(feed->kv))
		return FEED_E_GAP;
	rc = kv_view_open(feed->kv, &feed->view);
	if (rc)
		return rc;
	feed_window_clear(&feed->window);
	feed->at = 0;
	feed->sealed = false;
	feed->source = kv_view_count(feed->view);
	plan_pass(feed, bound);
	return 0;
}

static int runs_failed(struct feed *feed, int rc)
{
	if (rc != FEED_RUNS_E_CORRUPT)
		return rc;
	snprintf(feed->error, sizeof(feed->error),
		 "the feed's own file: what was read isn't what was written");
	return FEED_E_CORRUPT;
}

/* The last run is written; only the files of values out of line have to stay. */
static int begin_merge(struct feed *feed)
{
	struct kv_view *files = NULL;
	int rc = feed->window.count > 0 ? write_run(feed) : 0;

	if (rc)
		return rc;
	if (feed->has_blobs)
		rc = kv_view_files(feed->view, &files);
	if (rc)
		return rc;
	close_view(feed);
	feed->view = files;
	feed->merging = true;
	return runs_failed(feed, feed_runs_begin(feed->runs));
}

/* Fills the window from the runs. */
static int merge(struct feed *feed)
{
	const struct entry *entry;

	feed_window_clear(&feed->window);
	feed->at = 0;
	feed->sealed = false;
	while ((entry = feed_runs_entry(feed->runs)) && feed_window_extend(&feed->window, entry)) {
		int rc = feed_runs_next(feed->runs);

		if (rc)
			return runs_failed(feed, rc);
	}
	if (!entry)
		drop_runs(feed);
	return 0;
}

/* The window has what comes next; where the next pass begins is known. */
static void seal(struct feed *feed)
{
	feed_window_seal(&feed->window);
	feed->sealed = true;
	feed->behind.set = false;
	feed->from = feed->pass_bound + 1; /* no number is UINT64_MAX */
	if (feed->window.limit.set)
		feed->from = feed->window.limit.entry.seqno;
	if (feed->window.last.set && feed->window.last.entry.seqno == feed->from)
		feed_mark_set(&feed->behind, &feed->window.last.entry);
	/* Files of values out of line have to stay; all else was copied. */
	if (!feed->window.has_blobs && !feed->runs)
		close_view(feed);
}

/* Begins a pass, or goes on with it, until the window has what it can have. */
static int fill_once(struct feed *feed)
{
	int rc = 0;

	if (feed->sealed && !feed->merging)
		end_pass(feed);
	if (!feed->view && !feed->merging)
		rc = begin_pass(feed);
	if (rc)
		return rc;
	if (!feed->merging)
		rc = collect(feed);
	if (!rc && feed->runs && !feed->merging)
		rc = begin_merge(feed);
	if (!rc && feed->merging)
		rc = merge(feed);
	return rc;
}

/* Collects until the window has something, or there is nothing. */
static int fill(struct feed *feed)
{
	for (;;) {
		int rc = fill_once(feed);

		if (rc == FEED_E_WAIT || (rc && !feed->view && !feed->runs))
			return rc;
		if (rc) {
			end_pass(feed);
			feed_window_clear(&feed->window);
			feed->at = 0;
			feed->sealed = false;
			if (rc == AGAIN)
				continue;
			return rc;
		}
		seal(feed);
		if (feed->window.count > 0)
			return 0;
	}
}

static int resolve(struct feed *feed, const struct entry *entry, struct entry_bytes *ret_value)
{
	unsigned flags = feed->options.wait_never ? KV_WAIT_NEVER : 0;
	int rc = kv_view_blob(feed->view, entry, flags, &feed->pin, ret_value);

	if (rc == KV_E_WAIT)
		return FEED_E_WAIT;
	if (rc != KV_E_CORRUPT)
		return rc;
	snprintf(feed->error, sizeof(feed->error), "%s", kv_error(feed->kv));
	return FEED_E_CORRUPT;
}

static int make_event(struct feed *feed, const struct entry *entry, struct feed_event *ret_event)
{
	static const enum feed_event_kind kinds[] = {
		[ENTRY_VALUE] = FEED_INSERT,
		[ENTRY_BLOB] = FEED_INSERT,
		[ENTRY_TOMBSTONE] = FEED_POINT_TOMBSTONE,
		[ENTRY_WEAK_TOMBSTONE] = FEED_POINT_TOMBSTONE,
		[ENTRY_MERGE] = FEED_MERGE_OPERAND,
		[ENTRY_RANGE_TOMBSTONE] = FEED_RANGE_TOMBSTONE,
	};
	struct entry_bytes value = entry->value;
	int rc = entry->kind == ENTRY_BLOB ? resolve(feed, entry, &value) : 0;

	if (rc)
		return rc;
	*ret_event = (struct feed_event){
		.kind = kinds[entry->kind],
		.seqno = entry->seqno,
		.key = entry->key,
		.value = value,
		.expires = entry->expires,
		.type = entry->type,
		.weak = entry->kind == ENTRY_WEAK_TOMBSTONE,
	};
	return 0;
}

/* The first number that may have an event which wasn't given out. */
static uint64_t next_number(const struct feed *feed)
{
	return feed->at < feed->window.count ? feed->window.entries[feed->at].seqno : feed->from;
}

/* The event at (number, index) was the window's next: given out, or passed over. */
static void advance(struct feed *feed, struct feed_position passed)
{
	feed->at++;
	feed->last = passed;
	feed->position = passed;
	if (next_number(feed) > passed.seqno)
		feed->position = (struct feed_position){.seqno = passed.seqno + 1};
	else
		feed->position.index++;
}

static bool is_before(struct feed_position a, struct feed_position b)
{
	return a.seqno < b.seqno || (a.seqno == b.seqno && a.index < b.index);
}

int feed_next(struct feed *feed, struct feed_event *ret_event)
{
	for (;;) {
		const struct entry *entry;
		struct feed_position here = {0};
		int rc = 0;

		if (!feed->sealed || feed->at == feed->window.count)
			rc = fill(feed);
		if (rc)
			return rc;
		entry = &feed->window.entries[feed->at];
		here.seqno = entry->seqno;
		if (entry->seqno == feed->last.seqno)
			here.index = feed->last.index + 1;
		if (is_before(here, feed->options.since)) {
			advance(feed, here);
			continue;
		}
		rc = make_event(feed, entry, ret_event);
		if (rc)
			return rc;
		ret_event->index = here.index;
		advance(feed, here);
		return 0;
	}
}

uint64_t feed_oldest(const struct feed *feed)
{
	return kv_history(feed->kv);
}

/* While it passes over what was given out before, the feed stands before where it was begun. */
struct feed_position feed_position(const struct feed *feed)
{
	const struct feed_position since = feed->options.since;

	return is_before(feed->position, since) ? since : feed->position;
}

uint64_t feed_resolved(const struct feed *feed)
{
	return feed_position(feed).seqno;
}

struct feed_cost feed_cost(const struct feed *feed)
{
	struct feed_cost cost = feed->cost;

	if (feed->runs)
		cost.scratch += feed_runs_bytes(feed->runs);
	return cost;
}

const char *feed_error(const struct feed *feed)
{
	return feed->error;
}
