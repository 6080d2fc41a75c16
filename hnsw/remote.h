/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Remote - a sealed segment that lies in another memory, as its reader sees it
 *
 * What every search needs and what is small is fetched once and kept, the
 * outline: header, mean, landmarks, factors, labels, twins, owners, upper records, and the rows
 * of nodes above level 0. What is large, rows and vectors, stays where it is; a
 * search that needs a record asks for it, and goes on when it has come.
 *
 *      remote_new(header) --> remote_start() --> remote_take() + fetch --> remote_check() --+
 *                                                                                          v
 *      search_begin(remote_segment()) --> search_step() --> search_waits()? --+
 *              ^                                                              |
 *              +--- remote_arrived() <--- fetch <--- remote_take() <----------+
 *
 * Records lie in slots, which are taken in turn: so the latest are kept, and those
 * of a burst of searches are shared. What a search waits for is pinned until it has it all; other
 * records may be lost to later ones, and are then asked for again. So that searches don't wait for
 * each other's slots there must be at least 2 * SEGMENT_M_MAX of them for each search at a time.
 *
 * Nothing that comes from the other side is believed: the outline is checked as a
 * file is, a row when it arrives. A bad row ends the remote (remote_error()); searches then
 * have no answer.
 *
 * Who fetches is the caller's business: this knows ranges of the image and places to
 * put them, all of them in one piece of memory that the caller gives.
 *
 * Threads: a remote and its searches belong to one thread.
 */

#include "hnsw/segment.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes at an image's start that remote_new() needs. */
#define REMOTE_HEADER_SIZE 256

/* Slots of records that a remote can have, the ones of upper rows aside. */
#define REMOTE_SLOT_MIN 256
#define REMOTE_SLOT_MAX (UINT32_C(1) << 24)

/* Vectors kept for the last comparisons of compact rows: 32 for each of 32 searches at a time. */
#define REMOTE_VECTOR_SLOTS 1024

/* Bytes of one piece of the outline. */
#define REMOTE_PIECE_MAX (UINT32_C(1) << 18)

/*
 * Bytes of an outline, the rows aside, which have their slots: labels of 250 million nodes, say.
 * What an owner claims is taken before it can be checked.
 */
#define REMOTE_OUTLINE_MAX (UINT64_C(1) << 30)

/* Bytes of remote_error(). */
#define REMOTE_ERROR_MAX 256

struct remote;
struct search;

/* A range of the image, where it goes, and what to say when it is there. */
struct remote_want {
	uint64_t offset;
	uint32_t size;
	void *to;
	uint64_t tag; /* for remote_arrived() */
};

struct remote_stats {
	uint64_t rows;    /* asked for, those kept included */
	uint64_t vectors; /* asked for */
};

/*
 * From an image's first REMOTE_HEADER_SIZE bytes and its size, makes a remote. 'error' (of
 * 'error_size' bytes) gets one line on failure. Returns 0, SEGMENT_E_* or -ENOMEM.
 */
int remote_new(const uint8_t *header, uint64_t image_size, struct remote **ret_remote, char *error,
	       size_t error_size);
void remote_free(struct remote *remote);

/* Bytes of memory for what is fetched, with room for 'slot_count' rows: to be pinned, say. */
uint64_t remote_memory(const struct remote *remote, uint32_t slot_count);

/*
 * Gives it that memory, at a multiple of 64; borrowed until remote_free(). Once, before anything
 * is taken. Returns 0, -EINVAL (slot_count) or -ENOMEM.
 */
int remote_start(struct remote *remote, uint32_t slot_count, void *memory);

/*
 * Hands out up to 'count' ranges that are wanted: of the outline until
 * remote_check() has said that it is whole, then what searches have asked for. Each comes once.
 */
unsigned remote_take(struct remote *remote, struct remote_want *wants, unsigned count);

/*
 * A range that was handed out has come. Returns 0, or SEGMENT_E_CORRUPT: see
 * remote_error().
 */
int remote_arrived(struct remote *remote, uint64_t tag);

/*
 * Checks the outline, as far as it has come.
 *
 * Returns 0 when it is whole and right, -EAGAIN when there is more to take or to
 * wait for, else SEGMENT_E_CORRUPT or -ENOMEM: see remote_error().
 */
int remote_check(struct remote *remote);

const char *remote_error(const struct remote *remote);

/* For search_begin(). After remote_check() only. */
const struct segment *remote_segment(const struct remote *remote);

/* Vectors that the header speaks of. */
uint32_t remote_nodes(const struct remote *remote);

/* Lets go of all records but those it keeps and those searches wait for: to measure without them.
 */
void remote_forget(struct remote *remote);

/* Bytes that opening fetches. */
uint64_t remote_outline_size(const struct remote *remote);

struct remote_stats remote_stats(const struct remote *remote);

/* --- for the search --- */

enum remote_part {
	REMOTE_ROWS,
	REMOTE_VECTORS,
	REMOTE_PART_COUNT,
};

/* Where a record is, or UINT32_MAX when it isn't here. */
uint32_t remote_slot(const struct remote *remote, enum remote_part part, uint32_t node);

/* Asks for a record, unless it is here or on its way. */
void remote_ask(struct remote *remote, enum remote_part part, uint32_t node);

/*
 * Keeps a record that is here or was asked for from being lost. Returns its slot, for
 * remote_unpin(), or UINT32_MAX when it is neither.
 */
uint32_t remote_pin(struct remote *remote, enum remote_part part, uint32_t node);
void remote_unpin(struct remote *remote, enum remote_part part, uint32_t slot);

/* Is there room to ask for what may not be needed? */
bool remote_has_room(const struct remote *remote);

/* The row in a slot. */
const uint8_t *remote_row(const struct remote *remote, uint32_t slot);

/* Where rows and their factors are, by slot; and the vectors themselves. */
struct rows remote_rows(const struct remote *remote);
struct rows remote_vectors(const struct remote *remote);
