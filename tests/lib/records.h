/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Records - random log records, and whether two are the same
 *
 * Threads: any.
 */

#include "base/rand.h"
#include "engine/record.h"

/* Bytes that a random record's byte strings take from 'bytes', which has RECORDS_BYTES_MAX. */
#define RECORDS_BYTES_MAX 4096

/* Fills 'ret_record' with a random record of a random type (Durable aside) and LSN 'lsn'; byte
 * strings of up to 'size_max' bytes borrow from 'bytes'. */
void records_random(struct rand *rand, uint64_t lsn, uint32_t size_max,
		    const uint8_t bytes[RECORDS_BYTES_MAX], struct record *ret_record);

/* Random content for 'bytes'. */
void records_fill(struct rand *rand, uint8_t bytes[RECORDS_BYTES_MAX]);

/* Every field of the type, byte strings by content. */
bool records_equal(const struct record *a, const struct record *b);
