/* SPDX-License-Identifier: Apache-2.0 */

#include "engine/wal_scan.h"

#include "base/byteorder.h"
#include "base/defs.h"

/* Bytes of a record that the first look takes: variant, an LSN behind a tx_id, a Durable's salt. */
#define LOOK_SIZE 24

/* Where the salt stands in a Durable record. */
#define SALT_AT 20

/* Where the LSN stands in a record of that variant. */
static size_t lsn_at(uint32_t variant)
{
	bool behind_tx = variant >= RECORD_TRANSACTION_BEGIN - 1 &&
			 variant <= RECORD_TRANSACTION_ROLLBACK - 1;

	return behind_tx ? 12 : 4;
}

/*
 * Between the missing record and this one lie frames of at least the smallest size; but who knows
 * of the logs of others. A smaller LSN is of an earlier use of the file: such a frame is passed
 * over whole, since what clients and pages have in it may look like frames by the thousand.
 */
static bool lsn_can_be(const struct wal_scan *scan, uint64_t lsn, uint64_t offset, size_t head)
{
	if (scan->lsn == 0)
		return lsn > 0;
	if (scan->any_proves)
		return lsn > scan->lsn;
	return lsn > 0 &&
	       (lsn < scan->lsn ||
		lsn - scan->lsn <= (offset - scan->offset) / (head + WAL_RECORD_SIZE_MIN));
}

/* Whether there can be a frame at 'bytes', which are 'head' + LOOK_SIZE or more. */
static bool can_be(const struct wal_scan *scan, const uint8_t *bytes, uint64_t offset, size_t head,
		   uint64_t file_size)
{
	uint32_t size = load_le32(bytes);
	uint32_t variant;

	if (size < WAL_RECORD_SIZE_MIN || size > RECORD_SIZE_MAX ||
	    size > file_size - offset - head)
		return false;
	variant = load_le32(bytes + head);
	if (scan->only_proofs &&
	    (variant != RECORD_DURABLE - 1 || load_le32(bytes + head + SALT_AT) != scan->salt))
		return false;
	return variant < RECORD_DURABLE && record_name(variant + 1) &&
	       lsn_can_be(scan, load_le64(bytes + head + lsn_at(variant)), offset, head);
}

static void take(struct wal_scan *scan, const struct record *record, uint64_t offset)
{
	if (!scan->found) {
		scan->found = true;
		scan->found_offset = offset;
		scan->found_lsn = record->lsn;
	}
	scan->proved = scan->any_proves ||
		       (record->type == RECORD_DURABLE && record->durable.salt == scan->salt &&
			record->durable.durable >= scan->lsn);
}

/* The first place from 'at' on in these bytes where a frame can be, or where they are too few. */
static size_t next_place(const struct wal_scan *scan, const uint8_t *bytes, size_t size, size_t at,
			 uint64_t offset, size_t head, uint64_t file_size)
{
	while (at + head + LOOK_SIZE <= size) {
		if (load_le64(bytes + at) == 0)
			at += 5; /* none of the sizes that begin before is anything but 0 */
		else if (can_be(scan, bytes + at, offset + at, head, file_size))
			break;
		else
			at++;
	}
	return at;
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

int wal_scan_run(struct wal_scan *scan, struct wal_window *window)
{
	size_t head = scan->version == 1 ? WAL_FRAME_HEAD_V1 : WAL_FRAME_HEAD;
	uint64_t offset = scan->offset, cost = 0;
	uint64_t cost_max = WAL_SCAN_COST * (window->file_size - MIN(offset, window->file_size)) +
			    RECORD_SIZE_MAX;

	scan->found = scan->proved = scan->gave_up = scan->only_proofs = false;
	while (!scan->proved && offset + head + LOOK_SIZE <= window->file_size) {
		const uint8_t *bytes;
		size_t size, at, step;
		int result = wal_window_at(window, offset, head + LOOK_SIZE, &bytes, &size);

		if (result)
			return result;
		at = next_place(scan, bytes, size, 0, offset, head, window->file_size);
		offset += at;
		if (at + head + LOOK_SIZE > size)
			continue;
		result = look(scan, window, offset, &cost, &step);
		if (result)
			return result;
		offset += step;
		scan->only_proofs = cost > cost_max;
		if (scan->only_proofs && scan->any_proves) {
			scan->gave_up = true;
			return 0;
		}
	}
	return 0;
}
