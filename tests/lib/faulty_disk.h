/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Faulty disk - what a folder's files are, and what of them would survive
 *
 * Each file is two images: what reads see, and what is on the disk for certain.
 * A sync brings the second to the first. So it is with the names: a folder that is
 * seen, one that is certain, and the changes between them, in order.
 *
 *      write --> now --sync--> disk          create, rename, remove --> now
 *                 \             /                                       |
 *                  power cut: each sector                          sync_folder
 *                  of either, by the seed                               v
 *                                                                     disk
 *
 * Threads: one for a disk and all its copies.
 */

#include "base/rand.h"
#include "engine/io.h"
#include "tests/lib/faulty_image.h"

struct faulty_inode {
	struct faulty_image now;
	struct faulty_image disk;
	uint8_t *marks; /* of each page: enum faulty_mark */
	uint64_t mark_count;
	uint64_t room; /* pages that take room */
	unsigned open; /* handles */
};

enum faulty_mark {
	FAULTY_ROOM = 1, /* has its place on the disk */
	FAULTY_LOST = 2, /* a sync failed over it: seen as written, and never written */
};

struct faulty_name {
	char name[IO_NAME_MAX + 1];
	struct faulty_inode *inode;
};

struct faulty_names {
	struct faulty_name *list;
	uint32_t count;
	uint32_t capacity;
};

/* The name 'to' became the inode's (NULL: nobody's), and 'from' ("": no name) ceased to be. */
struct faulty_rename {
	char from[IO_NAME_MAX + 1];
	char to[IO_NAME_MAX + 1];
	struct faulty_inode *inode;
};

struct faulty_disk {
	struct faulty_inode **inodes;
	uint32_t inode_count;
	struct faulty_names now;
	struct faulty_names disk;
	struct faulty_rename *changes; /* that lead from 'disk' to 'now' */
	uint32_t change_count;
	uint64_t capacity; /* bytes; 0: endless */
};

void faulty_disk_deinit(struct faulty_disk *disk);
struct faulty_disk faulty_disk_copy(const struct faulty_disk *disk);

/* The inode of that name as seen, or NULL. */
struct faulty_inode *faulty_disk_find(const struct faulty_disk *disk, const char *name);

struct faulty_inode *faulty_disk_create(struct faulty_disk *disk, const char *name);

/* The same, and the name is certain at once. */
struct faulty_inode *faulty_disk_place(struct faulty_disk *disk, const char *name);

/* 'from' is there. */
void faulty_disk_rename(struct faulty_disk *disk, const char *from, const char *to);
void faulty_disk_remove(struct faulty_disk *disk, const char *name);
void faulty_disk_sync_folder(struct faulty_disk *disk);

/*
 * Returns 0, or -ENOSPC after what there was room for. Sectors that are written over while
 * they wait for a sync go to the disk before that, or not, by 'rand'.
 */
int faulty_disk_write(struct faulty_disk *disk, struct faulty_inode *inode, uint64_t offset,
		      const void *bytes, size_t size, struct rand *rand);
void faulty_disk_truncate(struct faulty_inode *inode, uint64_t size);
int faulty_disk_allocate(struct faulty_disk *disk, struct faulty_inode *inode, uint64_t size);
void faulty_disk_sync(struct faulty_inode *inode);

/* A sync that failed: of each page that waited, by 'rand', it is on the disk; or it is gone, and
 * the old one is seen again; or it is gone, and seen until the next start. */
void faulty_disk_sync_badly(struct faulty_inode *inode, struct rand *rand);

/* The disk as it may be after a power cut, by 'rand'. No handle is open any more. */
void faulty_disk_cut(struct faulty_disk *disk, struct rand *rand);
