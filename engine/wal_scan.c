/* SPDX-License-Identifier: Apache-2.0 */

#include "engine/wal_scan.h"

#include "base/byteorder.h"
#include "base/defs.h"

#include <string.h>

/* Bytes of a record that the first look takes: variant, and an LSN behind a tx_id. */
#define LOOK_SIZE 20

/* Where the salt stands in the frame of a Durable record, and how long that is. */
#define DURABLE_SALT 28
#define DURABLE_SIZE 40

static size_t head_size(const struct wal_scan *scan)
{
	return scan->version == 1 ? WAL_FRAME_HEAD_V1 : WAL_FRAME_HEAD;
}

/*
 * Between the missing record and one of this use lie frames of at least the smallest size; but who
 * knows of the logs of others.
 */
static bool lsn_can_follow(const struct wal_scan *scan, uint64_t lsn, uint64_t offset)
{
	if (scan->lsn == 0 || scan->is_foreign)
		return lsn > scan->lsn;
	return lsn > scan->lsn &&
	       lsn - scan->lsn <= (offset - scan->offset) / (head_size(scan) + WAL_RECORD_SIZE_MIN);
}

/* ---- Durable records ---- */

static bool is_durable(const struct wal_scan *scan, const uint8_t *bytes, uint64_t offset,
		       struct record *ret_record)
{
	size_t size;

	return load_le32(bytes) == DURABLE_SIZE - WAL_FRAME_HEAD &&
	       wal_frame_decode(scan->version, bytes, DURABLE_SIZE, ret_record, &size) == 0 &&
	       ret_record->type == RECORD_DURABLE && ret_record->durable.salt == scan->salt &&
	       lsn_can_follow(scan, ret_record->lsn, offset);
}

/* The first in these bytes, or -1. A byte of the salt is looked for that isn't zero, as most bytes
 * of a segment may be. */
static int64_t durable_in(const struct wal_scan *scan, const uint8_t *bytes, size_t size,
			  uint64_t offset, struct record *ret_record)
{
	const uint8_t *at = bytes, *end = bytes + size;
	size_t place = DURABLE_SALT;
	uint32_t salt = scan->salt;

	while (salt > 0 && (salt & 0xff) == 0) {
		salt >>= 8;
		place++;
	}
	at += place;
	while ((at = memchr(at, (int)(salt & 0xff), (size_t)(end - at))) != NULL) {
		const uint8_t *frame = at++ - place;

		if (end - frame < DURABLE_SIZE)
			break;
		if (is_durable(scan, frame, offset + (uint64_t)(frame - bytes), ret_record))
			return frame - bytes;
	}
	return -1;
}

/* From '*offset' on; '*offset' becomes its place, or where too few bytes are left. */
static int next_durable(const struct wal_scan *scan, struct wal_window *window, uint64_t *offset,
			struct record *ret_record, bool *ret_found)
{
	*ret_found = false;
	while (*offset + DURABLE_SIZE <= window->file_size) {
		const uint8_t *bytes;
		size_t size;
		int result = wal_window_at(window, *offset, DURABLE_SIZE, &bytes, &size);

		if (result)
			return result;
		int64_t found = durable_in(scan, bytes, size, *offset, ret_record);
		if (found >= 0) {
			*offset += (uint64_t)found;
			*ret_found = true;
			return 0;
		}
		*offset += size - DURABLE_SIZE + 1;
	}
	return 0;
}

int wal_scan_proof(const struct wal_scan *scan, struct wal_window *window, bool *ret_proved)
{
	uint64_t offset = scan->offset;
	bool found = !scan->is_foreign, proved = false;

	for (; found && !proved; offset++) {
		struct record record = {0};
		int result = next_durable(scan, window, &offset, &record, &found);

		if (result)
			return result;
		proved = found && record.durable.durable >= scan->lsn;
	}
	*ret_proved = proved;
	return 0;
}

/* ---- whole frames ---- */

/* Where the LSN stands in a record of that variant. */
static size_t lsn_at(uint32_t variant)
{
	bool behind_tx = variant >= RECORD_TRANSACTION_BEGIN - 1 &&
			 variant <= RECORD_TRANSACTION_ROLLBACK - 1;

	return behind_tx ? 12 : 4;
}

/* Whether there can be a frame at 'bytes', which are a head and LOOK_SIZE or more: of this use, or
 * of an earlier one. */
static bool can_be(const struct wal_scan *scan, const uint8_t *bytes, uint64_t offset,
		   uint64_t file_size)
{
	size_t head = head_size(scan);
	uint32_t size = load_le32(bytes), variant = load_le32(bytes + head);
	uint64_t lsn;

	if (size < WAL_RECORD_SIZE_MIN || size > RECORD_SIZE_MAX ||
	    size > file_size - offset - head || variant >= RECORD_DURABLE ||
	    !record_name(variant + 1))
		return false;
	lsn = load_le64(bytes + head + lsn_at(variant));
	return lsn_can_follow(scan, lsn, offset) ||
	       (!scan->is_foreign && lsn > 0 && lsn < scan->lsn);
}

/* The first place from 'offset' on in these bytes where a frame can be, or where they are too few.
 */
static size_t next_place(const struct wal_scan *scan, const uint8_t *bytes, size_t size,
			 uint64_t offset, uint64_t file_size)
{
	size_t at = 0;

	while (at + head_size(scan) + LOOK_SIZE <= size) {
		if (load_le64(bytes + at) == 0)
			at += 5; /* none of the sizes that begin before is anything but 0 */
		else if (can_be(scan, bytes + at, offset + at, file_size))
			break;
		else
			at++;
	}
	return at;
}

static void take(struct wal_scan *scan, const struct record *record, uint64_t offset)
{
	scan->found = true;
	scan->found_offset = offset;
	scan->found_lsn = record->lsn;
}

/* Looks at the place closely. Returns 0 or a negative errno; '*ret_step' is how far to go on. */
static int look(struct wal_scan *scan, struct wal_window *window, uint64_t offset, uint64_t *cost,
		size_t *ret_step)
{
	struct record record;
	const uint8_t *bytes;
	size_t available, size;
	int result;

	result =
		wal_window_at(window, offset, WAL_FRAME_HEAD + RECORD_SIZE_MAX, &bytes, &available);
	if (result)
		return result;
	*cost += load_le32(bytes);
	*ret_step = 1;
	if (wal_frame_decode(scan->version, bytes, available, &record, &size) == 0) {
		if (record.lsn > scan->lsn)
			take(scan, &record, offset);
		*ret_step = size;
	}
	return 0;
}

/* The limit is reached at 'offset'. */
static int give_up(struct wal_scan *scan, struct wal_window *window, uint64_t offset)
{
	struct record record;
	int result;

	scan->gave_up = true;
	if (scan->is_foreign)
		return 0;
	result = next_durable(scan, window, &offset, &record, &scan->found);
	if (!result && scan->found)
		take(scan, &record, offset);
	return result;
}

int wal_scan_next(struct wal_scan *scan, struct wal_window *window)
{
	size_t head = head_size(scan);
	uint64_t offset = scan->offset, cost = 0;
	uint64_t cost_max = WAL_SCAN_COST * (window->file_size - MIN(offset, window->file_size)) +
			    RECORD_SIZE_MAX;

	scan->found = scan->gave_up = false;
	while (!scan->found && offset + head + LOOK_SIZE <= window->file_size) {
		const uint8_t *bytes;
		size_t size, at, step;
		int result = wal_window_at(window, offset, head + LOOK_SIZE, &bytes, &size);

		if (result)
			return result;
		at = next_place(scan, bytes, size, offset, window->file_size);
		offset += at;
		if (at + head + LOOK_SIZE > size)
			continue;
		result = look(scan, window, offset, &cost, &step);
		if (result)
			return result;
		offset += step;
		if (cost > cost_max && !scan->found)
			return give_up(scan, window, offset);
	}
	return 0;
}
