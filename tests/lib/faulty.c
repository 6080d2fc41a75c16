/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/faulty_internal.h"

#include "base/check.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct faulty_file {
	struct io_file file;
	struct faulty *faulty;
	struct faulty_inode *inode; /* not valid in another life */
	uint32_t life;
	char name[IO_NAME_MAX + 1];
};

struct faulty *faulty_of(struct io *io)
{
	return CONTAINER_OF(io, struct faulty, io);
}

static struct faulty_file *faulty_file(struct io_file *file)
{
	return CONTAINER_OF(file, struct faulty_file, file);
}

static bool is_alive(const struct faulty_file *file)
{
	return file->life == file->faulty->life;
}

static void describe(const struct faulty_step *step, char *text, size_t text_size)
{
	if (step->size > 0)
		snprintf(text, text_size, "%s %s, %llu bytes at %llu", step->what, step->name,
			 (unsigned long long)step->size, (unsigned long long)step->offset);
	else
		snprintf(text, text_size, "%s %s", step->what, step->name);
}

void faulty_blocks(const struct faulty *faulty, const char *what, const char *name, uint64_t offset,
		   uint64_t size)
{
	struct faulty_step step = {.what = what, .offset = offset, .size = size};
	char text[160];

	if (!faulty->polls || faulty->in_queue)
		return;
	snprintf(step.name, sizeof(step.name), "%s", name);
	describe(&step, text, sizeof(text));
	fprintf(stderr, "faulty: a poll core would block: %s\n", text);
	abort();
}

/* Every call begins here. Returns 0 or what it fails with. */
static int begin_call(struct faulty *faulty, const char *what, const char *name)
{
	faulty_blocks(faulty, what, name, 0, 0);
	if (faulty->off)
		return -EIO;
	faulty->call_count++;
	if (faulty->fail_times == 0 || faulty->call_count < faulty->fail_at)
		return 0;
	faulty->fail_times--;
	return faulty->fail_error;
}

static int begin_file_call(struct faulty_file *file, const char *what, uint64_t offset,
			   uint64_t size)
{
	faulty_blocks(file->faulty, what, file->name, offset, size);
	return is_alive(file) ? begin_call(file->faulty, what, file->name) : -EIO;
}

/* Numbers a step that is about to be done. Returns 0, or -EIO if the power goes with it. */
static int next_step(struct faulty *faulty, const char *what, const char *name, uint64_t offset,
		     uint64_t size)
{
	struct faulty_step *step;

	if ((faulty->step_count & (faulty->step_count + 1)) == 0) {
		faulty->steps = realloc(faulty->steps,
					2 * (faulty->step_count + 1) * sizeof(*faulty->steps));
		CHECK(faulty->steps);
	}
	step = &faulty->steps[faulty->step_count++];
	*step = (struct faulty_step){.what = what, .offset = offset, .size = size};
	snprintf(step->name, sizeof(step->name), "%s", name);
	faulty->off = faulty->step_count == faulty->cut_at;
	return faulty->off ? -EIO : 0;
}

/* io_free(): the disk belongs to faulty_free(). */
static void leave(struct io *io)
{
	faulty_of(io)->locked = false;
}

/* Nobody shares it. */
static int lock(struct io *io, bool shared)
{
	struct faulty *faulty = faulty_of(io);
	int error = begin_call(faulty, "lock", "the folder");

	if (error)
		return error;
	if (faulty->locked)
		return IO_E_LOCKED;
	faulty->locked = true;
	return 0;
}

static int open_file(struct io *io, const char *name, unsigned flags, struct io_file **ret_file)
{
	struct faulty *faulty = faulty_of(io);
	struct faulty_inode *inode;
	struct faulty_file *file;
	int error = begin_call(faulty, "open", name);

	if (error)
		return error;
	inode = faulty_disk_find(&faulty->disk, name);
	if (inode && (flags & IO_EXCLUSIVE))
		return IO_E_EXISTS;
	if (!inode && !(flags & IO_CREATE))
		return IO_E_ABSENT;
	if (!inode) {
		error = next_step(faulty, "create", name, 0, 0);
		inode = faulty_disk_create(&faulty->disk, name);
		if (error)
			return error;
	}
	file = malloc(sizeof(*file));
	CHECK(file);
	*file = (struct faulty_file){.faulty = faulty, .inode = inode, .life = faulty->life};
	snprintf(file->name, sizeof(file->name), "%s", name);
	inode->open++;
	*ret_file = &file->file;
	return 0;
}

static void close_file(struct io_file *file)
{
	struct faulty_file *faulty = faulty_file(file);

	if (is_alive(faulty))
		faulty->inode->open--;
	free(faulty);
}

static int read_file(struct io_file *file, uint64_t offset, void *bytes, size_t size)
{
	struct faulty_file *faulty = faulty_file(file);
	const struct faulty_image *image;
	int error = begin_file_call(faulty, "read", offset, size);

	if (error)
		return error;
	image = &faulty->inode->now;
	if (offset > image->size || size > image->size - offset) {
		size = offset > image->size ? 0 : image->size - offset;
		error = IO_E_END;
	}
	faulty_image_read(image, offset, bytes, size);
	return error;
}

/* A piece of a write: a call and a step of its own. A failing one has written some sectors. */
static int write_piece(struct faulty_file *file, uint64_t offset, const void *bytes, size_t size)
{
	struct faulty *faulty = file->faulty;
	int error = begin_file_call(file, "write", offset, size), full;

	if (error && (faulty->off || !is_alive(file)))
		return error;
	if (error) {
		size = rand_below(&faulty->rand, size / IO_SECTOR + 1) * IO_SECTOR;
		if (size > 0)
			faulty_disk_write(&faulty->disk, file->inode, offset, bytes, size,
					  &faulty->rand);
		return error;
	}
	error = next_step(faulty, "write", file->name, offset, size);
	full = faulty_disk_write(&faulty->disk, file->inode, offset, bytes, size, &faulty->rand);
	return error ? error : full;
}

static int write_file(struct io_file *file, uint64_t offset, const void *bytes, size_t size)
{
	struct faulty_file *faulty = faulty_file(file);
	const uint8_t *from = bytes;
	uint32_t piece_max = faulty->faulty->piece_max;
	int error = 0;

	while (!error && size > 0) {
		size_t piece = size;

		if (piece_max > 0)
			piece = (1 + rand_below(&faulty->faulty->rand, piece_max)) * IO_SECTOR;
		piece = MIN(piece, size);
		error = write_piece(faulty, offset, from, piece);
		from += piece;
		offset += piece;
		size -= piece;
	}
	return error;
}

static int sync_file(struct io_file *file)
{
	struct faulty_file *faulty = faulty_file(file);
	int error = begin_file_call(faulty, "sync", 0, 0);

	if (error && is_alive(faulty) && !faulty->faulty->off)
		faulty_disk_sync_badly(faulty->inode, &faulty->faulty->rand);
	if (!error)
		error = next_step(faulty->faulty, "sync", faulty->name, 0, 0);
	if (error)
		return error;
	faulty->faulty->sync_count++;
	if (faulty->faulty->sync_fails_in > 0 && --faulty->faulty->sync_fails_in == 0) {
		faulty_disk_sync_badly(faulty->inode, &faulty->faulty->rand);
		return -EIO;
	}
	faulty_disk_sync(faulty->inode);
	return 0;
}

static int size_file(struct io_file *file, uint64_t *ret_size)
{
	int error = begin_file_call(faulty_file(file), "size of", 0, 0);

	if (!error)
		*ret_size = faulty_file(file)->inode->now.size;
	return error;
}

static int truncate_file(struct io_file *file, uint64_t size)
{
	struct faulty_file *faulty = faulty_file(file);
	int error = begin_file_call(faulty, "truncate", 0, size);

	if (error)
		return error;
	error = next_step(faulty->faulty, "truncate", faulty->name, 0, size);
	faulty_disk_truncate(faulty->inode, size);
	return error;
}

static int allocate_file(struct io_file *file, uint64_t size)
{
	struct faulty_file *faulty = faulty_file(file);
	int error = begin_file_call(faulty, "allocate", 0, size), full;

	if (error)
		return error;
	error = next_step(faulty->faulty, "allocate", faulty->name, 0, size);
	full = faulty_disk_allocate(&faulty->faulty->disk, faulty->inode, size);
	return error ? error : full;
}

static int rename_file(struct io *io, const char *from, const char *to)
{
	struct faulty *faulty = faulty_of(io);
	int error = begin_call(faulty, "rename", from);

	if (error)
		return error;
	if (!faulty_disk_find(&faulty->disk, from))
		return IO_E_ABSENT;
	error = next_step(faulty, "rename", from, 0, 0);
	faulty_disk_rename(&faulty->disk, from, to);
	return error;
}

static int remove_file(struct io *io, const char *name)
{
	struct faulty *faulty = faulty_of(io);
	int error = begin_call(faulty, "remove", name);

	if (error)
		return error;
	if (!faulty_disk_find(&faulty->disk, name))
		return IO_E_ABSENT;
	error = next_step(faulty, "remove", name, 0, 0);
	faulty_disk_remove(&faulty->disk, name);
	return error;
}

static int sync_folder(struct io *io)
{
	struct faulty *faulty = faulty_of(io);
	int error = begin_call(faulty, "sync", "the folder");

	if (!error)
		error = next_step(faulty, "sync", "the folder", 0, 0);
	if (!error)
		faulty_disk_sync_folder(&faulty->disk);
	return error;
}

static int list_files(struct io *io, int (*visit)(void *context, const char *name), void *context)
{
	struct faulty *faulty = faulty_of(io);
	char(*names)[IO_NAME_MAX + 1];
	uint32_t count;
	int result = begin_call(faulty, "list", "the folder");

	if (result)
		return result;
	count = faulty_files(faulty, &names);
	for (uint32_t i = 0; i < count && result == 0; i++)
		result = visit(context, names[i]);
	free(names);
	return result;
}

static const struct io_ops faulty_ops = {
	.free = leave,
	.lock = lock,
	.rename = rename_file,
	.remove = remove_file,
	.sync_folder = sync_folder,
	.list = list_files,
	.open = open_file,
	.close = close_file,
	.read = read_file,
	.write = write_file,
	.sync = sync_file,
	.size = size_file,
	.truncate = truncate_file,
	.allocate = allocate_file,
	.queue_new = faulty_queue_new,
};

struct faulty *faulty_new(uint64_t seed)
{
	struct faulty *faulty = calloc(1, sizeof(*faulty));

	CHECK(faulty);
	faulty->io.ops = &faulty_ops;
	rand_init(&faulty->rand, seed);
	return faulty;
}

void faulty_free(struct faulty *faulty)
{
	if (!faulty)
		return;
	faulty_disk_deinit(&faulty->disk);
	free(faulty->steps);
	free(faulty);
}

struct io *faulty_io(struct faulty *faulty)
{
	return &faulty->io;
}

struct faulty *faulty_clone(const struct faulty *faulty, uint64_t seed)
{
	struct faulty *clone = faulty_new(seed);

	clone->disk = faulty_disk_copy(&faulty->disk);
	return clone;
}

uint64_t faulty_steps(const struct faulty *faulty)
{
	return faulty->step_count;
}

uint64_t faulty_calls(const struct faulty *faulty)
{
	return faulty->call_count;
}

uint64_t faulty_syncs(const struct faulty *faulty)
{
	return faulty->sync_count;
}

void faulty_describe(const struct faulty *faulty, uint64_t step, char *text, size_t text_size)
{
	text[0] = '\0';
	if (step > 0 && step <= faulty->step_count)
		describe(&faulty->steps[step - 1], text, text_size);
}

void faulty_polls(struct faulty *faulty, bool polls)
{
	faulty->polls = polls;
}

void faulty_cut_at(struct faulty *faulty, uint64_t step)
{
	CHECK(step == 0 || step > faulty->step_count);
	faulty->cut_at = step;
}

bool faulty_is_off(const struct faulty *faulty)
{
	return faulty->off;
}

void faulty_restart_process(struct faulty *faulty)
{
	for (uint32_t i = 0; i < faulty->disk.inode_count; i++)
		faulty->disk.inodes[i]->open = 0;
	faulty->life++;
	faulty->off = false;
	faulty->locked = false;
	faulty->cut_at = 0;
	faulty->fail_times = 0;
	faulty->sync_fails_in = 0;
}

void faulty_restart(struct faulty *faulty, uint64_t seed)
{
	faulty_restart_process(faulty);
	rand_init(&faulty->rand, seed);
	faulty_disk_cut(&faulty->disk, &faulty->rand);
}

void faulty_fail_at(struct faulty *faulty, uint64_t call, int error, uint64_t times)
{
	faulty->fail_at = call;
	faulty->fail_error = error;
	faulty->fail_times = times;
}

void faulty_fail_sync(struct faulty *faulty, uint64_t sync)
{
	faulty->sync_fails_in = sync;
}

void faulty_set_capacity(struct faulty *faulty, uint64_t bytes)
{
	faulty->disk.capacity = bytes;
}

void faulty_set_piece(struct faulty *faulty, uint32_t max)
{
	faulty->piece_max = max;
}

void faulty_set_locked(struct faulty *faulty, bool locked)
{
	faulty->locked = locked;
}
