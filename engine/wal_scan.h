/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Wal scan - is there anything behind the end of a log?
 *
 * Where the next record should be and isn't, the rest of the file is searched, byte by byte, for
 * whole frames with a larger LSN. A Durable record among them, with the segment's salt, that counts
 * the missing record among what was durable proves that there was one: so this is no end but a
 * hole. The salt keeps values that clients wrote from being taken for such proof.
 *
 * The time is bounded: a place is looked at closely only when size, variant and LSN can be, and
 * what that costs in all is limited to WAL_SCAN_COST times the bytes searched. Behind that only
 * Durable records with the salt are looked at, which chance doesn't make: what pages held before in
 * a segment that is used again can look like records at every other byte.
 *
 * Threads: one.
 */

#include "engine/wal_window.h"

/* Bytes checksummed for each byte of the file. */
#define WAL_SCAN_COST 16

struct wal_scan {
	uint32_t version;
	uint32_t salt;   /* of the segment */
	bool any_proves; /* a whole frame is proof: the log has no Durable records */
	uint64_t lsn;    /* of the missing record; 0: unknown */
	uint64_t offset; /* where it should be */
	bool found;      /* out: a whole frame with a larger LSN, the first one */
	uint64_t found_offset;
	uint64_t found_lsn;
	bool proved;      /* out: the missing record was durable */
	bool only_proofs; /* the limit is reached */
	bool gave_up;     /* out: it costs too much to tell, and there are no Durable records */
};

/* Searches the window's file. Returns 0 or a negative errno. */
int wal_scan_run(struct wal_scan *scan, struct wal_window *window);
