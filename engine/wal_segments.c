/* SPDX-License-Identifier: Apache-2.0 */

#include "engine/wal_segments.h"

#include "base/check.h"
#include "base/defs.h"

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
	io_close(segments->ready);
	io_close(segments->closing);
	io_close(segments->making);
	free(segments->begun);
}

/* Spares and the one that is being made: room for another? */
static bool wants_spare(const struct wal_segments *segments, const struct wal_segment *segment)
{
	return segment->size == segments->segment_size &&
	       segments->spare_count + segments->named_count +
			       (segments->next_of_new != CHORE_NONE) <
		       segments->spare_max;
}

/* The last one holds on to the one before it until its header is on the disk: a log has always one
 * that was begun. */
static bool can_let_go(const struct wal_segments *segments)
{
	return segments->begun_count > (segments->headed ? 1 : 2) &&
	       segments->begun[1].first <= segments->released;
}

static bool is_waiting(const struct wal_segments *segments, enum wal_chore chore)
{
	return segments->waits & 1U << chore;
}

/* What is to be done first of what can be done: files are opened before they are needed, and names
 * given out before room is taken for a new one. */
static enum wal_chore next_chore(const struct wal_segments *segments)
{
	if (segments->closing)
		return CHORE_CLOSE;
	if (!segments->ready && segments->spare_count > 0 && !is_waiting(segments, CHORE_OPEN))
		return CHORE_OPEN;
	if (can_let_go(segments) && !is_waiting(segments, CHORE_LET_GO))
		return CHORE_LET_GO;
	if (segments->names_changed)
		return CHORE_SYNC_NAMES;
	return is_waiting(segments, segments->next_of_new) ? CHORE_NONE : segments->next_of_new;
}

static struct io_op open_op(struct wal_segments *segments)
{
	wal_folder_name(segments->spares[0], segments->name);
	return (struct io_op){.kind = IO_OPEN, .name = segments->name, .flags = IO_DIRECT};
}

static struct io_op let_go_op(struct wal_segments *segments)
{
	const struct wal_segment *oldest = &segments->begun[0];

	wal_folder_name(oldest->number, segments->name);
	wal_folder_name(segments->next_number, segments->to);
	return (struct io_op){.kind = wants_spare(segments, oldest) ? IO_RENAME : IO_REMOVE,
			      .name = segments->name,
			      .to = segments->to};
}

static struct io_op zeros_op(const struct wal_segments *segments)
{
	return (struct io_op){
		.kind = IO_WRITE,
		.file = segments->making,
		.bytes = segments->zeros,
		.offset = segments->made,
		.size = (uint32_t)MIN(segments->segment_size - segments->made,
				      (uint64_t)segments->zeros_size),
	};
}

static struct io_op name_op(struct wal_segments *segments)
{
	wal_folder_name(segments->next_number, segments->to);
	return (struct io_op){.kind = IO_RENAME, .name = WAL_SPARE_NEW, .to = segments->to};
}

static struct io_op op_of(struct wal_segments *segments, enum wal_chore chore)
{
	switch (chore) {
	case CHORE_CLOSE:
		return (struct io_op){.kind = IO_CLOSE, .file = segments->closing};
	case CHORE_OPEN:
		return open_op(segments);
	case CHORE_LET_GO:
		return let_go_op(segments);
	case CHORE_SYNC_NAMES:
		return (struct io_op){.kind = IO_SYNC_FOLDER};
	case CHORE_CREATE:
		return (struct io_op){
			.kind = IO_OPEN, .name = WAL_SPARE_NEW, .flags = IO_CREATE | IO_DIRECT};
	case CHORE_ZEROS:
		return zeros_op(segments);
	case CHORE_SYNC:
		return (struct io_op){.kind = IO_SYNC, .file = segments->making};
	case CHORE_CLOSE_NEW:
		return (struct io_op){.kind = IO_CLOSE, .file = segments->making};
	case CHORE_NAME:
		return name_op(segments);
	case CHORE_NONE:
		break;
	}
	/* Nothing is no chore. */
	CHECK(false);
}

int wal_segments_work(struct wal_segments *segments)
{
	enum wal_chore chore;
	int result;

	if (segments->chore != CHORE_NONE)
		return 0;
	chore = next_chore(segments);
	if (chore == CHORE_NONE)
		return 0;
	segments->op = op_of(segments, chore);
	result = io_queue_submit(segments->queue, &segments->op);
	if (!result)
		segments->chore = chore;
	return as_errno(result);
}

/* A file has the next number; it is a spare when the folder was synced. */
static void take_name(struct wal_segments *segments)
{
	segments->spares[segments->spare_count + segments->named_count++] = segments->next_number++;
	segments->names_changed = true;
}

static void take_let_go(struct wal_segments *segments)
{
	if (segments->op.kind == IO_RENAME) {
		take_name(segments);
		segments->recycled++;
	}
	segments->names_changed = true; /* by a removal too */
	segments->begun_count--;
	memmove(segments->begun, segments->begun + 1,
		segments->begun_count * sizeof(segments->begun[0]));
}

/* The chore ended well. */
static void take(struct wal_segments *segments, enum wal_chore chore)
{
	switch (chore) {
	case CHORE_CLOSE:
		segments->closing = NULL;
		break;
	case CHORE_OPEN:
		segments->ready = segments->op.file;
		break;
	case CHORE_LET_GO:
		take_let_go(segments);
		break;
	case CHORE_SYNC_NAMES:
		segments->names_changed = false;
		segments->spare_count += segments->named_count;
		segments->named_count = 0;
		break;
	case CHORE_CREATE:
		segments->making = segments->op.file;
		segments->made = 0;
		segments->next_of_new = CHORE_ZEROS;
		break;
	case CHORE_ZEROS:
		segments->made += segments->op.size;
		if (segments->made == segments->segment_size)
			segments->next_of_new = CHORE_SYNC;
		break;
	case CHORE_SYNC:
		segments->next_of_new = CHORE_CLOSE_NEW;
		break;
	case CHORE_CLOSE_NEW:
		segments->making = NULL;
		segments->next_of_new = CHORE_NAME;
		break;
	case CHORE_NAME:
		take_name(segments);
		segments->next_of_new = CHORE_NONE;
		break;
	case CHORE_NONE:
		break;
	}
}

/* The chore is done again when there may be room. What a file's failed sync lost is written again,
 * all of it; a folder's is as final as that of a file in use. */
static int wait_for_room(struct wal_segments *segments, enum wal_chore chore)
{
	if (chore == CHORE_SYNC_NAMES)
		return -EIO;
	if (chore == CHORE_SYNC) {
		segments->made = 0;
		segments->next_of_new = chore = CHORE_ZEROS;
	}
	segments->waits |= 1U << chore;
	return 0;
}

int wal_segments_step(struct wal_segments *segments)
{
	enum wal_chore chore = segments->chore;
	int result = segments->op.result;

	segments->chore = CHORE_NONE;
	if (result == IO_E_ABSENT && segments->op.kind == IO_REMOVE)
		result = 0;
	if (result == -ENOSPC)
		return wait_for_room(segments, chore);
	if (!result)
		take(segments, chore);
	return as_errno(result);
}

/* One is on the way, or there would be if there were room. */
static bool has_spare(const struct wal_segments *segments)
{
	return segments->spare_count + segments->named_count > 0 || can_let_go(segments);
}

void wal_segments_make(struct wal_segments *segments)
{
	if (segments->next_of_new == CHORE_NONE && !has_spare(segments))
		segments->next_of_new = CHORE_CREATE;
}

struct io_file *wal_segments_begin(struct wal_segments *segments, uint64_t first,
				   struct io_file *last, uint32_t *ret_number)
{
	struct io_file *file = segments->ready;

	CHECK(wal_segments_ready(segments));
	*ret_number = segments->spares[0];
	segments->begun[segments->begun_count++] =
		(struct wal_segment){segments->spares[0], first, segments->segment_size};
	segments->spare_count--;
	memmove(segments->spares, segments->spares + 1,
		(segments->spare_count + segments->named_count) * sizeof(segments->spares[0]));
	segments->headed = false;
	segments->ready = NULL;
	segments->closing = last;
	return file;
}

bool wal_segments_stuck(const struct wal_segments *segments)
{
	return !wal_segments_ready(segments) && segments->chore == CHORE_NONE &&
	       next_chore(segments) == CHORE_NONE;
}

int wal_segments_letting_go(const struct wal_segments *segments)
{
	if (is_waiting(segments, CHORE_LET_GO))
		return -ENOSPC;
	return can_let_go(segments) || segments->names_changed ? WAL_SEGMENTS_E_BUSY : 0;
}
