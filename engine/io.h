/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Io - the files of one store
 *
 * Everything that the engine keeps lies in one folder, and an io is that folder.
 * Files are reached by their names in it. There are these makers:
 *
 *      io_plain_new()    pread, pwrite, fdatasync
 *      io_ring_new()     the same, and queues by io_uring
 *      io_overlay_new()  io_overlay.h: what is written stays in memory
 *      faulty_new()      tests/lib/faulty.h: a disk in memory that loses power, tears
 *                        and reorders what was not synced, fails, fills up and rots
 *
 * A thread that may block makes the calls by name. A poll core has a queue: it
 * submits operations and polls for their ends, and never blocks.
 *
 * What a power cut leaves. Bytes written before a sync that returned 0 are there.
 * Of others each sector of IO_SECTOR bytes is either the old or the new one. A
 * file's name, its removal and its renaming are there after io_sync_folder() returned
 * 0, else perhaps. A size that grew is there after io_sync().
 *
 * A sync covers all writes of the file that ended before it began, through whatever struct io_file;
 * one of the folder all changes of names that ended before it began.
 *
 * After a failed sync nobody knows what is on the disk: the kernel may have dropped
 * the pages, and a second sync would then say 0. So no caller tries a sync again: it
 * gives the file up (the log stops until the store is opened again).
 *
 * Threads: an io by any; a file by one at a time, or by queues; a queue by its owner.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What a disk writes whole or not at all, bytes. */
#define IO_SECTOR 512

/* Buffer, offset and size of files opened with IO_DIRECT are multiples of this. */
#define IO_ALIGN 4096

/* Characters of a name, of [A-Za-z0-9._-], not beginning with a dot. */
#define IO_NAME_MAX 63

/* Operations under way on one queue. */
#define IO_QUEUE_MAX 256

enum {
	IO_E_ABSENT = 1, /* no file of that name */
	IO_E_EXISTS,     /* IO_EXCLUSIVE, and there is one */
	IO_E_END,        /* the file ends before the last byte asked for */
	IO_E_LOCKED,     /* another io, of whatever process, has the folder */
	IO_E_FULL,       /* the queue has no room: poll first */
};

enum io_flag {
	IO_READ_ONLY = 1,
	IO_CREATE = 2,
	IO_EXCLUSIVE = 4, /* with IO_CREATE: there must not be one */
	IO_DIRECT = 8,    /* past the page cache where the file system can, else as usual */
};

enum io_kind {
	IO_READ,
	IO_WRITE,
	IO_WRITE_SYNC, /* a write and then fdatasync: ends when both did */
	IO_SYNC,       /* fdatasync */
	IO_ALLOCATE,   /* up to 'offset' */
	IO_OPEN,       /* 'name' with 'flags'; sets 'file' if it ends well */
	IO_CLOSE,      /* nothing else of the file is under way; always ends well */
	IO_RENAME,     /* 'name' becomes 'to' */
	IO_REMOVE,     /* 'name' */
	IO_SYNC_FOLDER,
};

/*
 * One operation of a queue. The caller owns it, its bytes and its names until it ended. What its
 * kind doesn't need isn't looked at.
 */
struct io_op {
	struct io_file *file;
	void *bytes;
	uint64_t offset;
	uint32_t size;
	enum io_kind kind;
	int result;     /* as the call of that name; valid when it ended */
	unsigned flags; /* enum io_flag */
	const char *name;
	const char *to;
	void *context;
};

struct io;
struct io_file;
struct io_queue;

/* What a maker fills in; the calls below go through it. 'struct io' begins with a pointer to it. */
struct io_ops;

/*
 * An io on the folder 'path', which is made (mode 0700, its parent synced) if it isn't there and
 * 'create' says so. Returns 0, IO_E_ABSENT or a negative errno.
 */
int io_plain_new(const char *path, bool create, struct io **ret_io);

/*
 * Returns also -ENOSYS or -EPERM where the kernel has no io_uring for us, or one that doesn't know
 * all that we ask of it: io_plain_new() will do. Where a file system can't allocate (ext2, ext3,
 * NFS before 4.2), IO_ALLOCATE blocks in io_queue_poll() as io_allocate() would.
 */
int io_ring_new(const char *path, bool create, struct io **ret_io);

/* All its files and queues are closed. NULL is fine. */
void io_free(struct io *io);

/* Takes the folder for this io until io_free(), or the end of the process; or shares it with others
 * who share it. Of a killed process the kernel may keep it until what its queues had under way ended.
 * Return 0, IO_E_LOCKED or a negative errno. */
int io_lock(struct io *io);
int io_lock_shared(struct io *io);

/* Returns 0, IO_E_ABSENT, IO_E_EXISTS or a negative errno. */
int io_open(struct io *io, const char *name, unsigned flags, struct io_file **ret_file);

/* Syncs nothing. NULL is fine. */
void io_close(struct io_file *file);

/* All 'size' bytes. Returns 0; IO_E_END, with the bytes there are up to the end read; or a
 * negative errno. */
int io_read(struct io_file *file, uint64_t offset, void *bytes, size_t size);

/* All 'size' bytes; short writes are gone on with. Returns 0 or a negative errno: then any part may
 * be written. */
int io_write(struct io_file *file, uint64_t offset, const void *bytes, size_t size);

/* fdatasync. Returns 0 or a negative errno, after which the file is not to be trusted. */
int io_sync(struct io_file *file);

int io_size(struct io_file *file, uint64_t *ret_size);
int io_truncate(struct io_file *file, uint64_t size);

/* Gives the file room up to 'size', and at least that size, so that writes below it can't fail for
 * want of room. On failure it may have got some: io_truncate() gives it back. */
int io_allocate(struct io_file *file, uint64_t size);

/* Replaces 'to' at once if there is one. Returns 0, IO_E_ABSENT or a negative errno. */
int io_rename(struct io *io, const char *from, const char *to);
int io_remove(struct io *io, const char *name);

/* Makes names last. */
int io_sync_folder(struct io *io);

/* Calls 'visit' with each file's name, in no order, until it returns other than 0, and returns
 * that. */
int io_list(struct io *io, int (*visit)(void *context, const char *name), void *context);

/* 'depth' operations under way at most, up to IO_QUEUE_MAX. Returns 0 or a negative errno. */
int io_queue_new(struct io *io, uint32_t depth, struct io_queue **ret_queue);

/* Every operation was given back. NULL is fine. */
void io_queue_free(struct io_queue *queue);

/*
 * Bytes that many operations will be from or into, until the queue is freed: lets io_uring pin
 * them once. Optional: returns 0, or a negative errno (often -ENOMEM for RLIMIT_MEMLOCK), and then
 * operations work as without.
 */
int io_queue_register(struct io_queue *queue, void *bytes, size_t size);

/* Takes the op until io_queue_poll() gives it back. Operations end in any order. Returns 0,
 * IO_E_FULL or a negative errno. */
int io_queue_submit(struct io_queue *queue, struct io_op *op);

/* Gives back what ended, up to 'max'. Never blocks. Returns the count. */
uint32_t io_queue_poll(struct io_queue *queue, struct io_op **ret_ops, uint32_t max);

/* Waits until something ended, if anything is under way; for threads that may block. */
void io_queue_wait(struct io_queue *queue);

/* Submitted and not given back. */
uint32_t io_queue_count(const struct io_queue *queue);
