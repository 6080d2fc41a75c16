/* SPDX-License-Identifier: Apache-2.0 */

#include "engine/wal_segments.h"

#include "base/check.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* The io's outcomes that can't be here are failures of the disk: files that were there are gone. */
static int as_errno(int result)
{
	return result > 0 ? -EIO : result;
}

/* A folder's failed sync is as final as a file's, whatever it says. */
static int sync_folder(struct wal_segments *segments)
{
	int result = as_errno(io_sync_folder(segments->io));

	return result == -ENOSPC ? -EIO : result;
}

static int sync_file(struct wal_segments *segments, uint32_t number)
{
	char name[IO_NAME_MAX + 1];
	struct io_file *file;
	int result;

	wal_folder_name(number, name);
	result = io_open(segments->io, name, 0, &file);
	if (result)
		return as_errno(result);
	result = io_sync(file);
	io_close(file);
	return result;
}

static int remove_file(struct wal_segments *segments, const char *name)
{
	int result = io_remove(segments->io, name);

	return result == IO_E_ABSENT ? 0 : as_errno(result);
}

/* One that can't be read goes when what is behind it goes. */
static int take_begun(struct wal_segments *segments, const struct wal_file *file, uint64_t next_lsn)
{
	struct wal_segment segment = {.number = file->number, .size = file->size};

	if (file->state == WAL_FILE_BEGUN)
		segment.first = file->header.current_lsn;
	else if (segments->begun_count > 0)
		segment.first = segments->begun[segments->begun_count - 1].first;
	if (segment.first > next_lsn)
		return -EINVAL;
	segments->begun[segments->begun_count++] = segment;
	return 0;
}

static int take_spare(struct wal_segments *segments, const struct wal_file *file)
{
	char name[IO_NAME_MAX + 1];

	if (file->size == segments->segment_size && segments->spare_count < segments->spare_max) {
		segments->spares[segments->spare_count++] = file->number;
		return 0;
	}
	wal_folder_name(file->number, name);
	return remove_file(segments, name);
}

static int take_files(struct wal_segments *segments, const struct wal_file *files, uint32_t count,
		      uint64_t next_lsn)
{
	int result = 0;

	for (uint32_t i = 0; !result && i < count; i++) {
		segments->next_number = files[i].number + 1;
		if (files[i].state == WAL_FILE_SPARE)
			result = take_spare(segments, &files[i]);
		else
			result = take_begun(segments, &files[i], next_lsn);
	}
	return result;
}

int wal_segments_open(struct wal_segments *segments, uint64_t next_lsn)
{
	struct wal_file *files;
	uint32_t count;
	int result;

	segments->next_number = 1;
	segments->begun = calloc(WAL_SEGMENT_MAX, sizeof(struct wal_segment));
	if (!segments->begun)
		return -ENOMEM;
	result = wal_folder_list(segments->io, &files, &count);
	if (result)
		return result;
	result = take_files(segments, files, count, next_lsn);
	free(files);
	if (!result)
		result = remove_file(segments, WAL_SPARE_NEW);
	/* What recovery read of the last one may be in no more than the kernel's memory. */
	if (!result && segments->begun_count > 0)
		result = sync_file(segments, segments->begun[segments->begun_count - 1].number);
	return result ? result : sync_folder(segments);
}

void wal_segments_close(struct wal_segments *segments)
{
	io_close(segments->making);
	free(segments->begun);
}

static int submit(struct wal_segments *segments)
{
	uint64_t rest = segments->segment_size - segments->made;

	segments->op = (struct io_op){
		.file = segments->making,
		.bytes = segments->zeros,
		.offset = segments->made,
		.size = rest < segments->zeros_size ? (uint32_t)rest : segments->zeros_size,
		.kind = rest > 0 ? IO_WRITE : IO_SYNC,
	};
	segments->under_way = true;
	return as_errno(io_queue_submit(segments->queue, &segments->op));
}

int wal_segments_make(struct wal_segments *segments)
{
	int result;

	if (segments->under_way)
		return 0;
	segments->waits = 0;
	if (!segments->making) {
		segments->made = 0;
		result = io_open(segments->io, WAL_SPARE_NEW, IO_CREATE | IO_DIRECT,
				 &segments->making);
		if (result == -ENOSPC) {
			segments->waits = result;
			return 0;
		}
		if (result)
			return as_errno(result);
	}
	return submit(segments);
}

/* It is written and synced: its name makes it a spare. */
static int finish(struct wal_segments *segments)
{
	char name[IO_NAME_MAX + 1];
	int result;

	wal_folder_name(segments->next_number, name);
	result = as_errno(io_rename(segments->io, WAL_SPARE_NEW, name));
	if (result == -ENOSPC) {
		segments->waits = result;
		return 0;
	}
	if (!result)
		result = sync_folder(segments);
	if (result)
		return result;
	io_close(segments->making);
	segments->making = NULL;
	segments->spares[segments->spare_count++] = segments->next_number++;
	return 0;
}

int wal_segments_step(struct wal_segments *segments)
{
	int result = segments->op.result;

	segments->under_way = false;
	if (result == -ENOSPC) {
		/* What a failed sync lost is written again, all of it. */
		if (segments->op.kind == IO_SYNC)
			segments->made = 0;
		segments->waits = result;
		return 0;
	}
	if (result)
		return as_errno(result);
	if (segments->op.kind == IO_SYNC)
		return finish(segments);
	segments->made += segments->op.size;
	return submit(segments);
}

int wal_segments_begin(struct wal_segments *segments, uint64_t first, struct io_file **ret_file,
		       uint32_t *ret_number)
{
	char name[IO_NAME_MAX + 1];
	int result;

	if (segments->begun_count == WAL_SEGMENT_MAX)
		return -ENOSPC;
	if (segments->spare_count == 0) {
		result = segments->waits ? 0 : wal_segments_make(segments);
		return result ? result : -ENOSPC;
	}
	wal_folder_name(segments->spares[0], name);
	result = io_open(segments->io, name, IO_DIRECT, ret_file);
	if (result)
		return as_errno(result);
	*ret_number = segments->spares[0];
	segments->begun[segments->begun_count++] =
		(struct wal_segment){segments->spares[0], first, segments->segment_size};
	segments->spare_count--;
	memmove(segments->spares, segments->spares + 1,
		segments->spare_count * sizeof(segments->spares[0]));
	return 0;
}

/* Spares and the one that is being made: room for another? */
static bool wants_spare(const struct wal_segments *segments, const struct wal_segment *segment)
{
	return segment->size == segments->segment_size &&
	       segments->spare_count + (segments->making != NULL) < segments->spare_max;
}

static int let_go(struct wal_segments *segments, const struct wal_segment *segment)
{
	char from[IO_NAME_MAX + 1], to[IO_NAME_MAX + 1];
	int result;

	wal_folder_name(segment->number, from);
	if (!wants_spare(segments, segment))
		return remove_file(segments, from);
	wal_folder_name(segments->next_number, to);
	result = as_errno(io_rename(segments->io, from, to));
	if (result)
		return result;
	segments->spares[segments->spare_count++] = segments->next_number++;
	segments->recycled++;
	return 0;
}

int wal_segments_release(struct wal_segments *segments, uint64_t lsn)
{
	uint32_t gone = 0;
	int result = 0, synced;

	while (gone + 1 < segments->begun_count && segments->begun[gone + 1].first <= lsn) {
		result = let_go(segments, &segments->begun[gone]);
		if (result)
			break;
		gone++;
	}
	if (gone == 0)
		return result;
	segments->begun_count -= gone;
	memmove(segments->begun, segments->begun + gone,
		segments->begun_count * sizeof(segments->begun[0]));
	synced = sync_folder(segments);
	return synced ? synced : result;
}
