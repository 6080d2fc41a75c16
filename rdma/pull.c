/* SPDX-License-Identifier: Apache-2.0 */
#include "rdma/pull.h"

#include "base/check.h"
#include "base/crc.h"
#include "base/defs.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Batches that a turn takes in at a time. */
#define BURST 16

/*
 * Piece numbers:
 *
 *      0 .. prefix .. cursor .. count
 *      | have come |some are| not asked
 *      |           |under way| for
 *
 * A new fetch puts the cursor back to the prefix, and what has come behind it is passed over.
 */
struct pull {
	uint8_t *memory;
	uint64_t size;
	uint32_t piece_size;
	uint32_t under_way_max;
	uint32_t under_way;
	struct fetch *fetch; /* borrowed; NULL: none */
	uint64_t count, prefix, cursor;
	uint64_t arrived; /* bytes */
	uint64_t *have;   /* owned: a bit a piece */
	char lost[PULL_ERROR_MAX];

	/* What who fetches and who checks tell each other. */
	_Atomic uint64_t ready; /* bytes that have come without a gap */
	_Atomic int verdict;    /* PULL_E_MORE; then 0 or PULL_E_CORRUPT, and it stays */

	/* Who checks has these for itself, and 'corrupt' until it has said so. */
	bool checked_apart;
	unsigned range_count;
	unsigned range; /* that is being checked */
	uint64_t range_done;
	uint32_t crc; /* of its first 'range_done' bytes */
	struct pull_range ranges[PULL_RANGE_MAX];
	char corrupt[PULL_ERROR_MAX];
};

static bool has(const struct pull *pull, uint64_t piece)
{
	return pull->have[piece / 64] >> piece % 64 & 1;
}

static uint32_t size_of(const struct pull *pull, uint64_t piece)
{
	return (uint32_t)MIN(pull->piece_size, pull->size - piece * pull->piece_size);
}

/* --- pieces --- */

static void take(struct pull *pull, const struct fetch_done *done)
{
	uint64_t piece = done->cookie;

	CHECK(piece < pull->cursor && !has(pull, piece) && pull->under_way);
	pull->under_way--;
	if (done->error)
		return;
	pull->have[piece / 64] |= UINT64_C(1) << piece % 64;
	pull->arrived += size_of(pull, piece);
	while (pull->prefix < pull->count && has(pull, pull->prefix))
		pull->prefix++;
	/* The bytes come before it: pairs with check(). */
	atomic_store_explicit(&pull->ready, MIN(pull->prefix * pull->piece_size, pull->size),
			      memory_order_release);
}

static void collect(struct pull *pull, uint64_t now_ns)
{
	struct fetch_done done[BURST];
	unsigned count;

	do {
		count = fetch_poll(pull->fetch, now_ns, done, BURST);
		for (unsigned i = 0; i < count; i++)
			take(pull, &done[i]);
	} while (count == BURST);
}

/*
 * Asks for one piece. Not for more: a device whose work is done by who posts it has brought the
 * piece when the call returns, and who checks it needn't wait for others.
 */
static void request(struct pull *pull)
{
	struct fetch_piece piece;

	while (pull->cursor < pull->count && has(pull, pull->cursor))
		pull->cursor++;
	if (pull->under_way == pull->under_way_max || pull->cursor == pull->count)
		return;
	piece.offset = pull->cursor * pull->piece_size;
	piece.size = size_of(pull, pull->cursor);
	piece.to = pull->memory + piece.offset;
	/* An error ends the fetch, or was its end: lost() looks at that. */
	if (fetch_post(pull->fetch, &piece, 1, pull->cursor))
		return;
	pull->under_way++;
	pull->cursor++;
}

/* Is there no fetch that could bring the rest? Lets go of one that has ended. */
static bool lost(struct pull *pull)
{
	if (!pull->fetch)
		return true;
	if (!pull->fetch->error || pull->under_way)
		return false;
	(void)snprintf(pull->lost, sizeof(pull->lost), "%s fetch ended: %s", pull->fetch->kind,
		       strerror(-pull->fetch->error));
	pull->fetch = NULL;
	return true;
}

/* --- checksums --- */

/* The verdict comes behind what pull_error() says of it: pairs with verdict_of(). */
static void judge(struct pull *pull, int verdict)
{
	atomic_store_explicit(&pull->verdict, verdict, memory_order_release);
}

static int verdict_of(const struct pull *pull)
{
	return atomic_load_explicit(&pull->verdict, memory_order_acquire);
}

static void range_end(struct pull *pull, const struct pull_range *range)
{
	if (pull->crc != range->crc32c) {
		(void)snprintf(pull->corrupt, sizeof(pull->corrupt),
			       "%lu bytes at offset %lu have checksum 0x%08x, expected 0x%08x",
			       (unsigned long)range->size, (unsigned long)range->offset, pull->crc,
			       range->crc32c);
		judge(pull, PULL_E_CORRUPT);
		return;
	}
	pull->range_done = 0;
	pull->crc = CRC32C_EMPTY;
	if (++pull->range == pull->range_count)
		judge(pull, 0);
}

/* Goes over at most a piece's size of what has come without a gap. */
static void check(struct pull *pull)
{
	uint64_t end = atomic_load_explicit(&pull->ready, memory_order_acquire);
	uint64_t left = pull->piece_size;

	while (verdict_of(pull) == PULL_E_MORE) {
		const struct pull_range *range = &pull->ranges[pull->range];
		uint64_t at = range->offset + pull->range_done;
		uint64_t part = MIN(range->size - pull->range_done, left);

		if (at >= end)
			return;
		part = MIN(part, end - at);
		pull->crc = crc32c_extend(pull->crc, pull->memory + at, part);
		pull->range_done += part;
		left -= part;
		if (pull->range_done == range->size)
			range_end(pull, range);
		if (!left)
			return;
	}
}

/* --- what others call --- */

int pull_turn(struct pull *pull, uint64_t now_ns)
{
	int verdict;

	if (pull->fetch && pull->arrived < pull->size) {
		collect(pull, now_ns);
		if (verdict_of(pull) != PULL_E_CORRUPT)
			request(pull);
	}
	if (!pull->checked_apart)
		check(pull);
	verdict = verdict_of(pull);
	if (verdict == PULL_E_CORRUPT && !pull->under_way)
		return PULL_E_CORRUPT;
	if (pull->arrived < pull->size)
		return lost(pull) ? PULL_E_LOST : PULL_E_MORE;
	pull->fetch = NULL;
	return verdict;
}

int pull_check(struct pull *pull)
{
	CHECK(pull->checked_apart);
	check(pull);
	return verdict_of(pull);
}

int pull_attach(struct pull *pull, struct fetch *fetch)
{
	CHECK(!pull->fetch && !pull->under_way);
	if (fetch->size < pull->size ||
	    !fetch_is_within((uintptr_t)pull->memory, pull->size, (uintptr_t)fetch->memory,
			     fetch->memory_size))
		return -EINVAL;
	pull->fetch = fetch;
	pull->cursor = pull->prefix;
	return 0;
}

uint64_t pull_arrived(const struct pull *pull)
{
	return pull->arrived;
}

const char *pull_error(const struct pull *pull)
{
	return verdict_of(pull) == PULL_E_CORRUPT ? pull->corrupt : pull->lost;
}

static bool is_sane(const struct pull_options *options, uint32_t piece_size)
{
	if (!options->size || piece_size > FETCH_PIECE_SIZE_MAX ||
	    options->range_count > PULL_RANGE_MAX || options->piece_count > FETCH_BATCH_MAX ||
	    (options->size - 1) / piece_size >= PULL_PIECE_MAX)
		return false;
	for (unsigned i = 0; i < options->range_count; i++) {
		const struct pull_range *range = &options->ranges[i];

		if (!range->size || !fetch_is_within(range->offset, range->size, 0, options->size))
			return false;
	}
	return true;
}

int pull_new(const struct pull_options *options, struct pull **ret_pull)
{
	uint32_t piece_size = options->piece_size ? options->piece_size : PULL_PIECE_SIZE;
	struct pull *pull;

	if (!is_sane(options, piece_size))
		return -EINVAL;
	pull = calloc(1, sizeof(*pull));
	if (!pull)
		return -ENOMEM;
	pull->memory = options->memory;
	pull->size = options->size;
	pull->piece_size = piece_size;
	pull->under_way_max = options->piece_count ? options->piece_count : PULL_PIECE_COUNT;
	pull->count = (options->size - 1) / piece_size + 1;
	pull->crc = CRC32C_EMPTY;
	pull->checked_apart = options->checked_apart;
	pull->verdict = options->range_count ? PULL_E_MORE : 0;
	pull->range_count = options->range_count;
	if (options->range_count)
		memcpy(pull->ranges, options->ranges,
		       options->range_count * sizeof(*options->ranges));
	pull->have = calloc(pull->count / 64 + 1, sizeof(*pull->have));
	if (!pull->have) {
		free(pull);
		return -ENOMEM;
	}
	*ret_pull = pull;
	return 0;
}

void pull_free(struct pull *pull)
{
	if (!pull)
		return;
	free(pull->have);
	free(pull);
}
