/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A feed stands between two passes, in one (view is open, 'source' counts down), or before an entry
 * of the sealed window:
 *
 *      between --begin_pass--> in a pass --window sealed--> giving out --window empty--> between
 *                                  |
 *                                  +-- failed --> between (nothing was given out)
 *
 * Invariants:
 *  1. Everything before (from, behind) was collected by earlier passes; a pass collects what is at
 *     or behind it, up to 'pass_bound'.
 *  2. Between passes 'from' is the position's number, or the next one.
 *
 * Sources are visited oldest first (a view has the newest foremost), so that the window fills with
 * what will stay in it.
 */

#include "engine/feed.h"

#include "base/defs.h"
#include "engine/feed_window.h"
#include "engine/memtable.h"
#include "engine/table.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

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
	uint64_t blocks;
	uint64_t bytes;

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

int feed_open(struct kv *kv, const struct feed_options *options, struct feed **ret_feed)
{
	uint32_t window = options->window ? MIN(options->window, FEED_WINDOW_MAX) : FEED_WINDOW_MAX;
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
	if (feed_window_init(&feed->window, window, FEED_WINDOW_SIZE_MAX)) {
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
	feed->blocks += blocks;
	feed->bytes += bytes;
	table_cursor_free(feed->cursor);
	feed->cursor = NULL;
}

static void end_pass(struct feed *feed)
{
	close_cursor(feed);
	table_pin_release(&feed->pin);
	if (feed->view)
		kv_view_close(feed->view);
	feed->view = NULL;
}

void feed_close(struct feed *feed)
{
	if (!feed)
		return;
	end_pass(feed);
	feed_window_deinit(&feed->window);
	free(feed);
}

static void offer(struct feed *feed, const struct entry *entry)
{
	if (entry->seqno < feed->from || entry->seqno > feed->pass_bound)
		return;
	if (feed->behind.set && feed_window_compare(entry, &feed->behind.entry) <= 0)
		return;
	feed_window_add(&feed->window, entry);
}

static void collect_memtable(struct feed *feed, const struct memtable *memtable)
{
	const struct memtable_node *node = memtable_since(memtable, feed->from);

	for (; node; node = memtable_after(node)) {
		const struct entry *entry = memtable_entry(node);

		if (entry->seqno > feed->pass_bound || feed_window_is_beyond(&feed->window, entry))
			break;
		offer(feed, entry);
	}
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
	if (!feed->options.distrust_bounds &&
	    (summary->seqno_max < feed->from || summary->seqno_min > options.seqno_to))
		return false;
	for (uint32_t i = 0; i < table_range_count(table); i++) {
		struct entry range = table_range(table, i);

		offer(feed, &range);
	}
	feed->cursor_stands = false;
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
		offer(feed, table_cursor_entry(feed->cursor));
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
			collect_memtable(feed, source.memtable);
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
	feed->pass_bound = bound;
	feed->source = kv_view_count(feed->view);
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
	if (!feed->window.has_blobs)
		end_pass(feed);
}

/* Collects until the window has something. */
static int fill(struct feed *feed)
{
	int rc;

	if (feed->sealed)
		end_pass(feed);
	if (!feed->view) {
		rc = begin_pass(feed);
		if (rc)
			return rc;
	}
	rc = collect(feed);
	if (rc == FEED_E_WAIT)
		return rc;
	if (rc) {
		end_pass(feed);
		feed_window_clear(&feed->window);
		return rc;
	}
	seal(feed);
	return feed->window.count > 0 ? 0 : caught_up(feed);
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

void feed_cost(const struct feed *feed, uint64_t *ret_blocks, uint64_t *ret_bytes)
{
	*ret_blocks = feed->blocks;
	*ret_bytes = feed->bytes;
}

const char *feed_error(const struct feed *feed)
{
	return feed->error;
}
