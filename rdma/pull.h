/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Pull - a whole region brought here, in large pieces, and checked
 *
 * What migration and replicas are made of. Pieces go to their own offset in
 * memory of the region's size; several are under way at a time. Checksums are
 * computed while later pieces are still coming: by pull_turn(), or with options.checked_apart by
 * another thread, which leaves this one to a device whose work is done by who posts it (SoftRoCE),
 * or that is faster than one core's checksums.
 *
 *	pull_new(&options, &pull);
 *	for (;;) {
 *		pull_attach(pull, fetch);              a fetch into options.memory
 *		while ((state = pull_turn(pull, now)) == PULL_E_MORE) tell of pull_arrived();
 *		if (state != PULL_E_LOST) break;       0: complete; else: give up
 *		fetch_close(fetch), and another one, of the same region and generation
 *	}
 *
 * A fetch that ends takes only what was under way with it: the next one goes on
 * where it stopped, whatever its kind.
 *
 * Threads: that of its fetch; pull_check() is for any one other.
 */

#include "rdma/fetch.h"

#include <stdbool.h>

/* Bytes of a piece when the options don't say; and pieces under way. */
#define PULL_PIECE_SIZE  (UINT32_C(1) << 20)
#define PULL_PIECE_COUNT 16

/* Checksums that a region can have. */
#define PULL_RANGE_MAX 16

/* Pieces of one pull: 4 TiB of the usual size. */
#define PULL_PIECE_MAX (UINT64_C(1) << 22)

/* Bytes of an error line, final zero included. */
#define PULL_ERROR_MAX 160

enum {
	PULL_E_MORE = 1, /* under way: call again */
	PULL_E_LOST,     /* the fetch ended, or there is none: attach another */
	PULL_E_CORRUPT,  /* a checksum is wrong; the pull is over */
};

/* These bytes have this CRC-32C. */
struct pull_range {
	uint64_t offset;
	uint64_t size; /* 1 or more */
	uint32_t crc32c;
};

struct pull_options {
	void *memory;                    /* borrowed until pull_free() */
	uint64_t size;                   /* of the region and of the memory */
	const struct pull_range *ranges; /* copied; what lies in none is not checked */
	unsigned range_count;
	uint32_t piece_size;  /* 0: PULL_PIECE_SIZE */
	uint32_t piece_count; /* under way at a time; 0: PULL_PIECE_COUNT */
	bool checked_apart;   /* by pull_check(), not by pull_turn() */
};

struct pull;

/* Returns 0, -EINVAL (ranges beyond the region, too many pieces) or -ENOMEM. */
int pull_new(const struct pull_options *options, struct pull **ret_pull);

/*
 * The fetch that is attached has nothing under way, or is closed; no pull_check() runs. NULL is
 * fine.
 */
void pull_free(struct pull *pull);

/*
 * Goes on with 'fetch', whose region and memory contain those of the pull,
 * which begins where the region does. Borrows it, for itself alone, until the pull is complete or
 * has lost it. None is attached. Returns 0, or -EINVAL: region or memory are too small.
 */
int pull_attach(struct pull *pull, struct fetch *fetch);

/*
 * Takes in what came, asks for one piece more, and checks one. 'now_ns' as for fetch_poll().
 * Returns 0 (all is here, and as it should be; again and again then) or PULL_E_*.
 */
int pull_turn(struct pull *pull, uint64_t now_ns);

/*
 * Checks a piece of what has come, of a pull whose options say 'checked_apart'. Returns 0 (all
 * ranges are as they should be), PULL_E_MORE (not all have been looked at: call again, or later if
 * pull_turn() doesn't bring more) or PULL_E_CORRUPT.
 */
int pull_check(struct pull *pull);

/* Bytes that have come. */
uint64_t pull_arrived(const struct pull *pull);

/* One line about the last PULL_E_LOST or PULL_E_CORRUPT; "" before. */
const char *pull_error(const struct pull *pull);
