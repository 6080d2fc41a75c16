/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Wal scan - is there anything behind the end of a log?
 *
 * Two questions about the rest of a file, where the next record should be and isn't:
 *
 *   Was the missing record durable? A Durable record with the segment's salt says so. Every place
 *   where the salt stands is looked at, whatever lies around it: chance doesn't make such a record,
 *   and neither do clients, who don't know the salt.
 *
 *   Does a whole frame with a larger LSN lie behind it? Of frames of an earlier use, which have
 *   smaller LSNs, none does: they are passed over whole, since what pages and clients have in
 *   them looks like heads of frames by the thousand. What looking costs is limited; behind the
 * limit only Durable records are looked for.
 *
 * Threads: one.
 */

#include "engine/wal_window.h"

/* Bytes checksummed for each byte of the file. */
#define WAL_SCAN_COST 16

struct wal_scan {
	uint32_t version;
	uint32_t salt;   /* of the segment */
	bool is_foreign; /* LSNs only rise, and there are no Durable records */
	uint64_t lsn;    /* of the missing record; 0: unknown */
	uint64_t offset; /* where it should be */
	bool found;      /* out: a whole frame with a larger LSN, the first one */
	uint64_t found_offset;
	uint64_t found_lsn;
	bool gave_up; /* out: the limit is reached, so there may be others */
};

/* Whether the missing record was durable. Returns 0 or a negative errno. */
int wal_scan_proof(const struct wal_scan *scan, struct wal_window *window, bool *ret_proved);

/* Searches a whole frame. Returns 0 or a negative errno. */
int wal_scan_next(struct wal_scan *scan, struct wal_window *window);
