/* SPDX-License-Identifier: Apache-2.0 */
#include "hnsw/remote.h"

#include "base/check.h"
#include "hnsw/layout.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/*
 * The outline stands in an image of its own, of the whole one's size, of which only
 * those pages exist: so the format's offsets hold, and its checks and views serve here too. Rows
 * and vectors stand on two shelves of slots.
 */

/* Pieces of the outline that are under way at a time. */
#define PIECE_COUNT 8

#define NO_SLOT UINT32_MAX

/* Of slots. */
enum {
	SLOT_FREE,
	SLOT_WANTED,  /* to be handed out */
	SLOT_FETCHED, /* handed out */
	SLOT_HERE,
};

/* What a tag begins with; the rest is a number of a slot or a piece. */
enum {
	TAG_ROW = REMOTE_ROWS,
	TAG_VECTOR = REMOTE_VECTORS,
	TAG_PIECE,
};

/* Slots for records of one section. */
struct shelf {
	uint64_t offset;      /* of record 0 in the image */
	uint64_t record_size; /* in the image: also the stride there */
	uint64_t stride;      /* of slots */
	uint8_t *first;       /* of slot 0 */
	uint32_t slot_count;
	uint32_t kept_count; /* slots that are never taken again: the first ones */
	uint32_t next;       /* slot to be taken next */
	uint32_t *slot_of;   /* by node; only what node_of confirms counts */
	uint32_t *node_of;   /* by slot */
	uint8_t *states;     /* by slot */
	uint16_t *pins;      /* by slot */
	uint32_t *wanted;    /* slots to be handed out: a ring */
	uint32_t wanted_first;
	uint32_t wanted_count;
	uint32_t fetched_count; /* handed out and not here */
};

/* A piece of the outline on its way. */
struct piece {
	bool used;
	struct layout_range range;
};

struct remote {
	struct segment segment;
	struct layout layout;
	uint8_t *image; /* owned: header and outline at their offsets */
	uint64_t image_size;
	bool is_attached; /* the outline is right */
	struct layout_range ranges[LAYOUT_OUTLINE_RANGES];
	unsigned range;       /* being handed out */
	uint64_t range_taken; /* bytes of it */
	uint64_t arrived;     /* bytes of the outline */
	struct piece pieces[PIECE_COUNT];
	uint8_t *piece_memory;
	struct shelf shelves[REMOTE_PART_COUNT];
	uint32_t kept_here;
	struct remote_stats stats;
	int result; /* 0, or what the remote ended with */
	char error[REMOTE_ERROR_MAX];
};

PRINTF_LIKE(2, 3)
static int corrupt(struct remote *remote, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(remote->error, sizeof(remote->error), format, arguments);
	va_end(arguments);
	remote->result = SEGMENT_E_CORRUPT;
	return SEGMENT_E_CORRUPT;
}

static uint64_t tag_of(unsigned kind, uint32_t number)
{
	return (uint64_t)kind << 32 | number;
}

/* --- shelves --- */

static bool shelf_take_memory(struct shelf *shelf, uint32_t node_count)
{
	size_t slots = MAX(shelf->slot_count, 1), nodes = MAX(node_count, 1);

	/* Zero is slot 0, whose node is none at first: nothing is here. */
	shelf->slot_of = calloc(nodes, sizeof(shelf->slot_of[0]));
	shelf->node_of = malloc(slots * sizeof(shelf->node_of[0]));
	shelf->states = calloc(slots, sizeof(shelf->states[0]));
	shelf->pins = calloc(slots, sizeof(shelf->pins[0]));
	shelf->wanted = malloc(slots * sizeof(shelf->wanted[0]));
	if (!shelf->slot_of || !shelf->node_of || !shelf->states || !shelf->pins || !shelf->wanted)
		return false;
	memset(shelf->node_of, 0xFF, slots * sizeof(shelf->node_of[0]));
	return true;
}

static void shelf_free(struct shelf *shelf)
{
	free(shelf->slot_of);
	free(shelf->node_of);
	free(shelf->states);
	free(shelf->pins);
	free(shelf->wanted);
}

static uint64_t shelf_size(const struct shelf *shelf)
{
	return (uint64_t)shelf->slot_count * shelf->stride;
}

static uint8_t *slot_at(const struct shelf *shelf, uint32_t slot)
{
	return shelf->first + (uint64_t)slot * shelf->stride;
}

/* The node's slot, whatever its state, or NO_SLOT. */
static uint32_t slot_of(const struct shelf *shelf, uint32_t node)
{
	uint32_t slot = shelf->slot_of[node];

	return slot < shelf->slot_count && shelf->node_of[slot] == node ? slot : NO_SLOT;
}

/*
 * The slot that was taken longest ago, passing over what is on its way or pinned; NO_SLOT when all
 * are.
 */
static uint32_t take_slot(struct shelf *shelf)
{
	for (uint32_t i = shelf->kept_count; i < shelf->slot_count; i++) {
		uint32_t slot = shelf->next;

		if (++shelf->next == shelf->slot_count)
			shelf->next = shelf->kept_count;
		if (!shelf->pins[slot] &&
		    (shelf->states[slot] == SLOT_FREE || shelf->states[slot] == SLOT_HERE))
			return slot;
	}
	return NO_SLOT;
}

static void want(struct shelf *shelf, uint32_t slot, uint32_t node)
{
	shelf->node_of[slot] = node;
	shelf->slot_of[node] = slot;
	shelf->states[slot] = SLOT_WANTED;
	shelf->wanted[(shelf->wanted_first + shelf->wanted_count) % shelf->slot_count] = slot;
	shelf->wanted_count++;
}

uint32_t remote_slot(const struct remote *remote, enum remote_part part, uint32_t node)
{
	const struct shelf *shelf = &remote->shelves[part];
	uint32_t slot = slot_of(shelf, node);

	return slot != NO_SLOT && shelf->states[slot] == SLOT_HERE ? slot : NO_SLOT;
}

void remote_ask(struct remote *remote, enum remote_part part, uint32_t node)
{
	struct shelf *shelf = &remote->shelves[part];
	uint32_t slot;

	if (remote->result || slot_of(shelf, node) != NO_SLOT)
		return;
	slot = take_slot(shelf);
	if (slot == NO_SLOT)
		return; /* who needs it asks again */
	want(shelf, slot, node);
	if (part == REMOTE_ROWS)
		remote->stats.rows++;
	else
		remote->stats.vectors++;
}

uint32_t remote_pin(struct remote *remote, enum remote_part part, uint32_t node)
{
	struct shelf *shelf = &remote->shelves[part];
	uint32_t slot = slot_of(shelf, node);

	if (slot == NO_SLOT || shelf->pins[slot] == UINT16_MAX)
		return NO_SLOT;
	shelf->pins[slot]++;
	return slot;
}

void remote_unpin(struct remote *remote, enum remote_part part, uint32_t slot)
{
	CHECK(remote->shelves[part].pins[slot] > 0);
	remote->shelves[part].pins[slot]--;
}

bool remote_has_room(const struct remote *remote)
{
	const struct shelf *shelf = &remote->shelves[REMOTE_ROWS];

	return shelf->wanted_count + shelf->fetched_count <
	       (shelf->slot_count - shelf->kept_count) / 4;
}

const uint8_t *remote_row(const struct remote *remote, uint32_t slot)
{
	return slot_at(&remote->shelves[REMOTE_ROWS], slot);
}

struct rows remote_rows(const struct remote *remote)
{
	const struct shelf *shelf = &remote->shelves[REMOTE_ROWS];
	struct rows rows = remote->segment.compared;

	rows.first = shelf->first + remote->segment.vector_offset;
	rows.stride = shelf->stride;
	if (rows.factors) {
		uint64_t at = remote->layout.row_factors;

		rows.factors = shelf->first + (at ? at : shelf->record_size);
		rows.factors_stride = shelf->stride;
	}
	return rows;
}

struct rows remote_vectors(const struct remote *remote)
{
	const struct shelf *shelf = &remote->shelves[REMOTE_VECTORS];
	struct rows_form form;
	struct rows rows;

	if (!remote->segment.form.compact)
		return remote_rows(remote);
	segment_exact(&remote->segment, &form, &rows);
	rows.first = shelf->first;
	rows.stride = shelf->stride;
	return rows;
}

/* --- opening --- */

static void set_shelves(struct remote *remote)
{
	const struct layout *layout = &remote->layout;
	const struct segment *segment = &remote->segment;
	struct shelf *rows = &remote->shelves[REMOTE_ROWS];
	struct shelf *vectors = &remote->shelves[REMOTE_VECTORS];

	rows->offset = layout->rows;
	rows->record_size = layout->row_stride;
	/* A row's factors, when they aren't in it, are put behind it. */
	rows->stride = layout->row_stride + (layout->factors ? SEGMENT_ALIGN : 0);
	/* Searches by codes begin at landmarks and need no rows above level 0. */
	rows->kept_count = segment->codes.bits ? 0 : segment->upper_count;
	if (!layout->vectors)
		return;
	vectors->offset = layout->vectors;
	vectors->record_size = segment->vector_stride;
	vectors->stride = segment->vector_stride;
	vectors->slot_count = REMOTE_VECTOR_SLOTS;
}

static uint64_t ranges_size(const struct remote *remote)
{
	uint64_t size = 0;

	for (unsigned i = 0; i < LAYOUT_OUTLINE_RANGES; i++)
		size += remote->ranges[i].size;
	return size;
}

/* The header at its place in an image without contents. */
static int map_image(struct remote *remote, const uint8_t *header)
{
	void *image = mmap(NULL, remote->image_size, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (image == MAP_FAILED)
		return -ENOMEM;
	remote->image = image;
	memcpy(image, header, REMOTE_HEADER_SIZE);
	return 0;
}

static int open_header(struct remote *remote, const uint8_t *header, char *error, size_t error_size)
{
	_Alignas(SEGMENT_ALIGN) uint8_t copy[REMOTE_HEADER_SIZE];
	int result;

	memcpy(copy, header, sizeof(copy));
	result = layout_check_header(copy, remote->image_size, &remote->layout, error, error_size);
	if (result)
		return result;
	layout_outline(&remote->layout, remote->ranges);
	if (ranges_size(remote) > REMOTE_OUTLINE_MAX) {
		snprintf(error, error_size, "its outline of %llu bytes is larger than %llu",
			 (unsigned long long)ranges_size(remote),
			 (unsigned long long)REMOTE_OUTLINE_MAX);
		return SEGMENT_E_CORRUPT;
	}
	result = map_image(remote, copy);
	if (result) {
		snprintf(error, error_size, "no room for an image of %llu bytes",
			 (unsigned long long)remote->image_size);
		return result;
	}
	layout_view(remote->image, &remote->segment);
	set_shelves(remote);
	return 0;
}

static_assert(REMOTE_HEADER_SIZE == LAYOUT_HEADER_SIZE, "the whole header");

int remote_new(const uint8_t *header, uint64_t image_size, struct remote **ret_remote, char *error,
	       size_t error_size)
{
	struct remote *remote = calloc(1, sizeof(*remote));
	int result;

	if (!remote) {
		snprintf(error, error_size, "no memory");
		return -ENOMEM;
	}
	remote->image_size = image_size;
	result = open_header(remote, header, error, error_size);
	if (result) {
		remote_free(remote);
		return result;
	}
	*ret_remote = remote;
	return 0;
}

void remote_free(struct remote *remote)
{
	if (!remote)
		return;
	for (unsigned i = 0; i < REMOTE_PART_COUNT; i++)
		shelf_free(&remote->shelves[i]);
	if (remote->image)
		munmap(remote->image, remote->image_size);
	free(remote);
}

uint64_t remote_memory(const struct remote *remote, uint32_t slot_count)
{
	const struct shelf *rows = &remote->shelves[REMOTE_ROWS];

	return (uint64_t)PIECE_COUNT * REMOTE_PIECE_MAX +
	       ((uint64_t)rows->kept_count + slot_count) * rows->stride +
	       shelf_size(&remote->shelves[REMOTE_VECTORS]);
}

int remote_start(struct remote *remote, uint32_t slot_count, void *memory)
{
	struct shelf *rows = &remote->shelves[REMOTE_ROWS];
	uint8_t *at = memory;

	CHECK((uintptr_t)memory % SEGMENT_ALIGN == 0 && !remote->piece_memory);
	if (slot_count < REMOTE_SLOT_MIN || slot_count > REMOTE_SLOT_MAX)
		return -EINVAL;
	remote->piece_memory = at;
	at += (uint64_t)PIECE_COUNT * REMOTE_PIECE_MAX;
	rows->slot_count = rows->kept_count + slot_count;
	for (unsigned i = 0; i < REMOTE_PART_COUNT; i++) {
		remote->shelves[i].first = at;
		at += shelf_size(&remote->shelves[i]);
		if (!shelf_take_memory(&remote->shelves[i], remote->segment.count))
			return -ENOMEM;
	}
	return 0;
}

static void shelf_forget(struct shelf *shelf)
{
	for (uint32_t slot = shelf->kept_count; slot < shelf->slot_count; slot++) {
		if (shelf->states[slot] != SLOT_HERE || shelf->pins[slot])
			continue;
		shelf->states[slot] = SLOT_FREE;
		shelf->node_of[slot] = UINT32_MAX;
	}
}

void remote_forget(struct remote *remote)
{
	for (unsigned i = 0; i < REMOTE_PART_COUNT; i++)
		shelf_forget(&remote->shelves[i]);
}

uint32_t remote_nodes(const struct remote *remote)
{
	return remote->segment.count;
}

uint64_t remote_outline_size(const struct remote *remote)
{
	return ranges_size(remote) +
	       remote->shelves[REMOTE_ROWS].kept_count * remote->layout.row_stride;
}

/* Room for a piece, or PIECE_COUNT. */
static unsigned free_piece(const struct remote *remote)
{
	unsigned number = 0;

	while (number < PIECE_COUNT && remote->pieces[number].used)
		number++;
	return number;
}

static uint8_t *piece_at(const struct remote *remote, unsigned number)
{
	return remote->piece_memory + (uint64_t)number * REMOTE_PIECE_MAX;
}

/* The next piece of the outline, if there is one and room for it. */
static bool take_piece(struct remote *remote, struct remote_want *ret_want)
{
	const unsigned number = free_piece(remote);
	struct layout_range next;

	while (remote->range < LAYOUT_OUTLINE_RANGES &&
	       remote->range_taken == remote->ranges[remote->range].size) {
		remote->range++;
		remote->range_taken = 0;
	}
	if (remote->range == LAYOUT_OUTLINE_RANGES || number == PIECE_COUNT)
		return false;
	next = remote->ranges[remote->range];
	next.offset += remote->range_taken;
	next.size = MIN(next.size - remote->range_taken, REMOTE_PIECE_MAX);
	remote->range_taken += next.size;
	remote->pieces[number] = (struct piece){.used = true, .range = next};
	*ret_want = (struct remote_want){
		.offset = next.offset,
		.size = (uint32_t)next.size,
		.to = piece_at(remote, number),
		.tag = tag_of(TAG_PIECE, number),
	};
	return true;
}

static bool take_record(struct remote *remote, enum remote_part part, struct remote_want *ret_want)
{
	struct shelf *shelf = &remote->shelves[part];
	uint32_t slot;

	if (shelf->wanted_count == 0)
		return false;
	slot = shelf->wanted[shelf->wanted_first];
	shelf->wanted_first = (shelf->wanted_first + 1) % shelf->slot_count;
	shelf->wanted_count--;
	shelf->states[slot] = SLOT_FETCHED;
	shelf->fetched_count++;
	*ret_want = (struct remote_want){
		.offset = shelf->offset + shelf->node_of[slot] * shelf->record_size,
		.size = (uint32_t)shelf->record_size,
		.to = slot_at(shelf, slot),
		.tag = tag_of(part, slot),
	};
	return true;
}

unsigned remote_take(struct remote *remote, struct remote_want *wants, unsigned count)
{
	unsigned taken = 0;

	if (remote->result)
		return 0;
	while (taken < count && (take_piece(remote, &wants[taken]) ||
				 take_record(remote, REMOTE_ROWS, &wants[taken]) ||
				 take_record(remote, REMOTE_VECTORS, &wants[taken])))
		taken++;
	return taken;
}

static void piece_arrived(struct remote *remote, uint32_t number)
{
	struct piece *piece = &remote->pieces[number];

	CHECK(number < PIECE_COUNT && piece->used);
	memcpy(remote->image + piece->range.offset, piece_at(remote, number), piece->range.size);
	remote->arrived += piece->range.size;
	piece->used = false;
}

/* Neighbours must be nodes: an address is made of each. */
static int row_arrived(struct remote *remote, uint32_t slot)
{
	struct shelf *shelf = &remote->shelves[REMOTE_ROWS];
	const uint32_t *links = (const void *)slot_at(shelf, slot);
	const struct segment *segment = &remote->segment;
	uint32_t node = shelf->node_of[slot];

	for (uint32_t i = 0; i < 2 * segment->m && links[i] != LAYOUT_NONE; i++)
		if (links[i] >= segment->count)
			return corrupt(remote, "node %u: neighbour %u of %u nodes", node, links[i],
				       segment->count);
	if (remote->layout.factors)
		memcpy(slot_at(shelf, slot) + shelf->record_size,
		       rows_factors_at(&segment->compared, node), sizeof(struct rows_factors));
	remote->kept_here += slot < shelf->kept_count;
	return 0;
}

int remote_arrived(struct remote *remote, uint64_t tag)
{
	unsigned kind = (unsigned)(tag >> 32);
	uint32_t number = (uint32_t)tag;
	struct shelf *shelf;

	if (kind == TAG_PIECE) {
		piece_arrived(remote, number);
		return 0;
	}
	CHECK(kind < REMOTE_PART_COUNT && number < remote->shelves[kind].slot_count);
	shelf = &remote->shelves[kind];
	CHECK(shelf->states[number] == SLOT_FETCHED);
	shelf->states[number] = SLOT_HERE;
	shelf->fetched_count--;
	return kind == TAG_ROW ? row_arrived(remote, number) : 0;
}

/* Asks for the rows of all nodes above level 0; a node's first record is of level 1. */
static void keep_rows(struct remote *remote)
{
	const struct layout_owner *owners = (const void *)(remote->image + remote->layout.owners);
	struct shelf *shelf = &remote->shelves[REMOTE_ROWS];
	uint32_t slot = 0;

	for (uint32_t i = 0; shelf->kept_count > 0 && i < remote->segment.upper_count; i++)
		if (owners[i].level == 1)
			want(shelf, slot++, owners[i].node);
	shelf->kept_count = slot;
	shelf->next = slot;
	remote->stats.rows += slot;
}

static int attach(struct remote *remote)
{
	char text[REMOTE_ERROR_MAX] = "";
	int result = layout_check_outline(remote->image, remote->image_size, &remote->segment, text,
					  sizeof(text));

	if (result == -ENOMEM)
		return result;
	if (result)
		return corrupt(remote, "%s", text);
	remote->segment.remote = remote;
	remote->is_attached = true;
	keep_rows(remote);
	return 0;
}

int remote_check(struct remote *remote)
{
	int result = 0;

	if (remote->result)
		return remote->result;
	if (remote->arrived < ranges_size(remote))
		return -EAGAIN;
	if (!remote->is_attached)
		result = attach(remote);
	if (!result && remote->kept_here < remote->shelves[REMOTE_ROWS].kept_count)
		return -EAGAIN;
	return result;
}

const char *remote_error(const struct remote *remote)
{
	return remote->error;
}

const struct segment *remote_segment(const struct remote *remote)
{
	CHECK(remote->is_attached);
	return &remote->segment;
}

struct remote_stats remote_stats(const struct remote *remote)
{
	return remote->stats;
}
