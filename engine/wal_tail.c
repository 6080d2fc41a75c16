/* SPDX-License-Identifier: Apache-2.0 */

#include "engine/wal_tail.h"

#include "base/defs.h"

#include <errno.h>
#include <string.h>

/* Takes what lies before the last mark that isn't behind 'durable' + 1 as proved. */
static void prove(struct wal_tail *tail, uint64_t durable)
{
	uint32_t proved = 0;

	while (proved < tail->count && tail->marks[proved].lsn <= durable + 1)
		proved++;
	if (proved == 0)
		return;
	tail->from = tail->marks[proved - 1].offset;
	tail->count -= proved;
	memmove(tail->marks, tail->marks + proved, tail->count * sizeof(tail->marks[0]));
}

void wal_tail_note(struct wal_tail *tail, const struct record *record, uint64_t offset)
{
	if (record->type != RECORD_DURABLE)
		return;
	/* Without a mark of its own it proves less than it could. */
	if (tail->count < WAL_TAIL_MARK_MAX) {
		tail->marks[tail->count].lsn = record->lsn;
		tail->marks[tail->count++].offset = offset;
	}
	prove(tail, record->durable.durable);
}

static int rewrite(struct io_file *file, uint64_t from, uint64_t to, uint8_t *buffer,
		   size_t buffer_size)
{
	for (uint64_t at = from; at < to; at += buffer_size) {
		size_t size = MIN(buffer_size, to - at);
		int result = io_read(file, at, buffer, size);

		if (!result)
			result = io_write(file, at, buffer, size);
		if (result)
			return result;
	}
	return io_sync(file);
}

int wal_tail_rewrite(struct io *io, const char *name, uint64_t from, uint64_t to, uint8_t *buffer,
		     size_t buffer_size)
{
	struct io_file *file;
	int result = io_open(io, name, 0, &file);

	if (result)
		return result < 0 ? result : -ENOENT;
	result = rewrite(file, from, to, buffer, buffer_size);
	io_close(file);
	return result;
}
