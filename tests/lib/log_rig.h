/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Log rig - small segments, KvSet records whose value follows from their LSN, and readers
 *
 * Threads: one.
 */

#include "engine/wal.h"
#include "engine/wal_reader.h"

/* Options of a log with segments of 16 KiB and buffers of 8 KiB. */
struct wal_options log_rig_options(uint64_t next_lsn);

/* Opens it; a failure fails the test. */
struct wal *log_rig_open(struct io *io, uint64_t next_lsn);

/* A KvSet with a value of 'size' bytes that is made from 'seed'. The value borrows from static
 * memory until the next call. */
struct record log_rig_record(uint64_t seed, uint32_t size);

/* Appends one; its seed is its LSN to be. Returns as wal_append(). */
int log_rig_append(struct wal *wal, uint32_t size);

/* Whether a record is what log_rig_append() made of its LSN, or isn't a KvSet. */
bool log_rig_holds(const struct record *record);

/* What reading all from 'from' on came to. */
struct log_rig_result {
	int end;        /* what the reader ended with, or what opening it returned */
	uint64_t first; /* LSNs of the first and last record; 0: none */
	uint64_t last;
	uint64_t sets;    /* KvSet records, all of which hold */
	bool open_tx;     /* a transaction is open at the end */
	uint64_t skipped; /* by salvage */
	uint64_t missing; /* LSNs, by salvage */
	uint64_t records; /* of all types */
	struct wal_place place;
	char error[256];
};

/* Reads all and checks each record; cuts a torn end when 'cut' says so. */
struct log_rig_result log_rig_read(struct io *io, const struct wal_reader_options *options,
				   bool cut);
