/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Versions of a key come youngest first. 'piece' is the piece of time that the last one was in;
 * 'fold' has operands of it that wait for their base; 'closed' says that the base was there; 'held'
 * has tombstones (of this piece and younger ones) behind which nothing was kept so far.
 */

#include "engine/compact.h"

#include "base/check.h"

#include <errno.h>

static struct entry_bytes key_of(const struct compact *compact)
{
	return (struct entry_bytes){.bytes = compact->key, .size = compact->key_size};
}

static void drop(struct compact *compact, uint64_t seqno)
{
	if (seqno > compact->dropped)
		compact->dropped = seqno;
}

/* The end of a piece: the largest number that belongs to it. */
static uint64_t piece_end(const struct compact *compact, uint32_t piece)
{
	return piece == 0 ? compact->plan.keep : compact->plan.snapshots[piece - 1];
}

static int emit_held(struct compact *compact)
{
	int error = 0;

	for (uint32_t i = 0; !error && i < compact->held_count; i++) {
		const struct entry tombstone = {.key = key_of(compact),
						.seqno = compact->held[i].seqno,
						.kind = compact->held[i].kind};
		error = compact_output_add(compact, &tombstone);
	}
	compact->held_count = 0;
	return error;
}

static int emit(struct compact *compact, const struct entry *entry)
{
	struct entry moved = *entry;
	int error = emit_held(compact);

	if (!error && entry->kind == ENTRY_BLOB && compact->plan.relocate != 0) {
		struct blob_place place;

		if (blob_place_decode(entry->value, &place) == 0 &&
		    place.file == compact->plan.relocate) {
			error = compact_blob_value(compact, entry, &moved.value);
			moved.kind = ENTRY_VALUE;
		}
	}
	return error ? error : compact_output_put(compact, &moved);
}

/* Operands as they are. */
static int emit_operands(struct compact *compact)
{
	int error = 0;

	for (uint32_t i = 0; !error && i < compact->fold.count; i++) {
		struct entry operand = fold_at(&compact->fold, i);

		operand.key = key_of(compact);
		error = emit(compact, &operand);
	}
	fold_clear(&compact->fold);
	return error;
}

static void drop_operands(struct compact *compact)
{
	for (uint32_t i = 0; i < compact->fold.count; i++)
		drop(compact, fold_at(&compact->fold, i).seqno);
}

/*
 * The operands and their base (NULL: none) become one value with the number of the youngest
 * operand. '*ret_folded' is false when there are none, they give no value, or their base can't be
 * read: then nothing was done.
 */
static int emit_folded(struct compact *compact, const struct entry *base, bool *ret_folded)
{
	struct entry_bytes value = {0};

	*ret_folded = false;
	if (compact->fold.count == 0)
		return 0;
	if (base && base->kind == ENTRY_BLOB) {
		int error = compact_blob_value(compact, base, &value);

		if (error)
			return error == COMPACT_E_CORRUPT ? 0 : error;
	} else if (base) {
		value = base->value;
	}
	int error = fold_finish(&compact->fold, base ? &value : NULL, &value);
	if (error)
		return error > 0 ? 0 : error;

	const struct entry folded = {.key = key_of(compact),
				     .value = value,
				     .seqno = fold_at(&compact->fold, 0).seqno,
				     .kind = ENTRY_VALUE,
				     .type = base ? base->type : 0};
	drop_operands(compact);
	if (base)
		drop(compact, base->seqno);
	*ret_folded = true;
	error = emit(compact, &folded);
	fold_clear(&compact->fold);
	return error;
}

static void hold(struct compact *compact, uint64_t seqno, enum entry_kind kind)
{
	CHECK(compact->held_count <= compact->plan.snapshot_count);
	compact->held[compact->held_count++] = (struct compact_held){.seqno = seqno, .kind = kind};
	compact->took_back = false;
}

/* Operands that have no base in their piece stay. */
static int enter_piece(struct compact *compact, uint32_t piece)
{
	int error = emit_operands(compact);

	compact->piece = piece;
	compact->closed = false;
	compact->cover =
		range_set_cover(&compact->ranges, key_of(compact), piece_end(compact, piece));
	return error;
}

static bool is_expired(const struct compact *compact, const struct entry *entry)
{
	return entry->expires != 0 && entry->expires <= compact->plan.now;
}

static int take_operand(struct compact *compact, const struct entry *entry)
{
	if (compact->fold.count >= COMPACT_FOLD_MAX ||
	    compact->fold.size + entry->value.size > COMPACT_FOLD_BYTES_MAX) {
		int error = emit_operands(compact);

		return error ? error : emit(compact, entry);
	}
	return fold_add(&compact->fold, entry);
}

/* A base that is a value. One that will expire can't be folded into: the operands outlive it. */
static int take_value(struct compact *compact, const struct entry *entry)
{
	bool folded = false;
	int error = entry->expires == 0 ? emit_folded(compact, entry, &folded) : 0;

	if (error || folded)
		return error;
	error = emit_operands(compact);
	return error ? error : emit(compact, entry);
}

/* A base that is none. A tombstone isn't needed behind the value that operands became. */
static int take_tombstone(struct compact *compact, const struct entry *entry)
{
	bool folded;
	int error = emit_folded(compact, NULL, &folded);

	if (error)
		return error;
	bool changes = entry->kind != ENTRY_TOMBSTONE && entry->kind != ENTRY_WEAK_TOMBSTONE;
	if (folded || changes)
		drop(compact, entry->seqno);
	if (folded)
		return 0;
	error = emit_operands(compact);
	if (!error)
		hold(compact, entry->seqno, changes ? ENTRY_TOMBSTONE : entry->kind);
	return error;
}

/* What a range tombstone of the piece covers: the operands above it begin with nothing. */
static int take_covered(struct compact *compact, const struct entry *entry)
{
	bool folded;
	int error = emit_folded(compact, NULL, &folded);

	drop(compact, entry->seqno);
	if (!error && !folded)
		error = emit_operands(compact);
	return error;
}

static int take(struct compact *compact, const struct entry *entry)
{
	if (entry->seqno < compact->cover) {
		compact->closed = true;
		return take_covered(compact, entry);
	}
	if (entry->kind == ENTRY_MERGE)
		return take_operand(compact, entry);
	compact->closed = true;
	if ((entry->kind == ENTRY_VALUE || entry->kind == ENTRY_BLOB) &&
	    !is_expired(compact, entry))
		return take_value(compact, entry);
	return take_tombstone(compact, entry);
}

int compact_rules_entry(struct compact *compact, const struct entry *entry)
{
	uint32_t piece = compact->piece;

	if (compact->plan.keep_all || entry->seqno > compact->plan.keep)
		return emit(compact, entry);
	/* Until the first version below 'keep' comes, the piece is none. */
	if (piece == UINT32_MAX)
		piece = 0;
	while (piece < compact->plan.snapshot_count &&
	       entry->seqno <= compact->plan.snapshots[piece])
		piece++;
	if (piece != compact->piece) {
		int error = enter_piece(compact, piece);

		if (error)
			return error;
	}
	if (!compact->closed)
		return take(compact, entry);
	if (compact->held_count > 0 &&
	    compact->held[compact->held_count - 1].kind == ENTRY_WEAK_TOMBSTONE)
		compact->took_back = true;
	drop(compact, entry->seqno);
	return 0;
}

int compact_rules_end(struct compact *compact)
{
	struct entry_bytes key = key_of(compact);
	bool folded = false;
	int error = 0;

	if (compact->fold.count > 0 && compact_is_bottom(compact, key, key))
		error = emit_folded(compact, NULL, &folded);
	if (!error && !folded)
		error = emit_operands(compact);
	if (error || compact->held_count == 0)
		return error;
	if (compact_is_bottom(compact, key, key) ||
	    (compact->took_back && !compact_is_below(compact, key))) {
		drop(compact, compact->held[0].seqno);
		compact->held_count = 0;
		return 0;
	}
	return emit_held(compact);
}

/* One that nothing older can lie below is needed as long as a snapshot is older than it, since then
 * what it covers is kept for that. */
void compact_rules_ranges(struct compact *compact)
{
	const struct compact_plan *plan = &compact->plan;
	uint64_t oldest =
		plan->snapshot_count > 0 ? plan->snapshots[plan->snapshot_count - 1] : plan->keep;

	for (uint32_t i = 0; i < compact->ranges.count; i++) {
		struct entry range = range_set_at(&compact->ranges, i);
		bool kept = plan->keep_all || range.seqno > oldest ||
			    !compact_is_bottom(compact, range.key, range.value);

		compact->range_kept[i] = kept;
		if (!kept)
			drop(compact, range.seqno);
	}
}
