/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Faulty - a disk in memory that fails as it is told to
 *
 *	struct faulty *disk = faulty_new(seed);
 *	faulty_cut_at(disk, 17);
 *	... a store on faulty_io(disk), until its calls say -EIO ...
 *	faulty_restart(disk, tear_seed);
 *	... the store opened again ...
 *	faulty_free(disk);
 *
 * Steps are what changes something: create, write, sync, truncate, allocate, rename,
 * remove, sync of the folder. They are numbered from 1. At the step at which the power is cut
 * the change may be on the disk or not, as everything that wasn't synced; that call and
 * all behind it return -EIO. Restarting (after a cut, or at any time) decides by its seed what the
 * disk has: of each unsynced sector the old or the new bytes, or what it held in between; of each
 * unsynced size and name the old or the new.
 *
 * Equal seeds and equal calls give equal disks.
 *
 * Calls are steps, reads, opens, sizes and lists, numbered from 1 too; closing is none.
 *
 * Threads: one at a time for a disk and its clones.
 */

#include "engine/io.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct faulty;

/* An empty disk under power. Aborts where memory is short, as all here. */
struct faulty *faulty_new(uint64_t seed);

/* Files and queues are closed; or there was a restart behind them. */
void faulty_free(struct faulty *faulty);

/* The disk's io. io_free() of it only gives the lock back: the disk stays. */
struct io *faulty_io(struct faulty *faulty);

/* The disk whose io it is. */
struct faulty *faulty_of(struct io *io);

/* The same contents, synced and not, with handles, faults and counts of its own (none). */
struct faulty *faulty_clone(const struct faulty *faulty, uint64_t seed);

uint64_t faulty_steps(const struct faulty *faulty);
uint64_t faulty_calls(const struct faulty *faulty);
uint64_t faulty_syncs(const struct faulty *faulty); /* of files */

/* The step in words: "write of 4096 bytes at 8192 to wal-1". Empty if there was none. */
void faulty_describe(const struct faulty *faulty, uint64_t step, char *text, size_t text_size);

/* The power goes at that step, counted from the disk's beginning; 0: never. */
void faulty_cut_at(struct faulty *faulty, uint64_t step);

/* The power has gone. */
bool faulty_is_off(const struct faulty *faulty);

/*
 * Power is back, or the machine was reset. Handles and queues of before return -EIO for ever,
 * and are still closed by their owners. No fault is set any more; counts go on.
 */
void faulty_restart(struct faulty *faulty, uint64_t seed);

/* A process died and another begins: nothing is lost, the handles are. */
void faulty_restart_process(struct faulty *faulty);

/*
 * 'times' calls from the call-th on return 'error' (negative). One that writes may have
 * written a part. times 0: none.
 */
void faulty_fail_at(struct faulty *faulty, uint64_t call, int error, uint64_t times);

/*
 * The sync-th sync of a file from now on (1: the next) fails with -EIO, and what it
 * was to write is dropped: a later sync returns 0 and writes nothing of it. 0: none.
 */
void faulty_fail_sync(struct faulty *faulty, uint64_t sync);

/* Bytes that files may take, in whole pages of 4096; 0: endless. What is above it already
 * stays. */
void faulty_set_capacity(struct faulty *faulty, uint64_t bytes);

/* io_write() does pieces of 1 to 'max' sectors, each a call and a step; 0: all at once. */
void faulty_set_piece(struct faulty *faulty, uint32_t max);

/*
 * While 'polls' is true the caller is a poll core: whatever blocks aborts, with the call in words
 * on stderr and its maker on the stack. That is each call that isn't an operation of a queue,
 * closing aside, and making a queue or waiting for one. It stays as set through restarts; a clone
 * begins with false.
 */
void faulty_polls(struct faulty *faulty, bool polls);

/* Another process has the folder, or not. */
void faulty_set_locked(struct faulty *faulty, bool locked);

/* Flips a bit of the file, which is there and has it, seen and on the disk. */
void faulty_flip(struct faulty *faulty, const char *name, uint64_t bit);

/* Names as seen, sorted; returns their count. '*ret_names' is the caller's to free(). */
uint32_t faulty_files(const struct faulty *faulty, char (**ret_names)[IO_NAME_MAX + 1]);

/* The file's bytes as seen, the caller's to free(); NULL if there is no such file. */
uint8_t *faulty_file_bytes(const struct faulty *faulty, const char *name, size_t *ret_size);

/* Makes the file hold just these bytes, seen and on the disk, whether it was there or not. */
void faulty_file_set(struct faulty *faulty, const char *name, const void *bytes, size_t size);

/* As seen, into a real folder that is there; and from one, replacing all. Return 0 or a negative
 * errno. */
int faulty_save(const struct faulty *faulty, const char *folder);
int faulty_load(struct faulty *faulty, const char *folder);
