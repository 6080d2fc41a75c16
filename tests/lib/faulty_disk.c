/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/faulty_disk.h"

#include "base/check.h"
#include "base/defs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SECTORS (FAULTY_PAGE / IO_SECTOR)

static bool chance(struct rand *rand, unsigned numerator, unsigned denominator)
{
	return rand_below(rand, denominator) < numerator;
}

/* Names */

static struct faulty_name *find(const struct faulty_names *names, const char *name)
{
	for (uint32_t i = 0; i < names->count; i++) {
		if (strcmp(names->list[i].name, name) == 0)
			return &names->list[i];
	}
	return NULL;
}

static void set_name(char *to, const char *name)
{
	size_t length = strlen(name);

	CHECK(length <= IO_NAME_MAX);
	memcpy(to, name, length + 1);
}

static void unbind(struct faulty_names *names, const char *name)
{
	struct faulty_name *entry = find(names, name);

	if (entry)
		*entry = names->list[--names->count];
}

static void bind(struct faulty_names *names, const char *name, struct faulty_inode *inode)
{
	struct faulty_name *entry = find(names, name);

	if (!entry) {
		if (names->count == names->capacity) {
			names->capacity = MAX(16, 2 * names->capacity);
			names->list = realloc(names->list, names->capacity * sizeof(*names->list));
			CHECK(names->list);
		}
		entry = &names->list[names->count++];
		set_name(entry->name, name);
	}
	entry->inode = inode;
}

static void apply(struct faulty_names *names, const struct faulty_rename *change)
{
	if (change->from[0] != '\0')
		unbind(names, change->from);
	if (change->inode)
		bind(names, change->to, change->inode);
	else
		unbind(names, change->to);
}

static void change_names(struct faulty_disk *disk, const char *from, const char *to,
			 struct faulty_inode *inode)
{
	struct faulty_rename *change;

	disk->changes = realloc(disk->changes, (disk->change_count + 1) * sizeof(*disk->changes));
	CHECK(disk->changes);
	change = &disk->changes[disk->change_count++];
	set_name(change->from, from);
	set_name(change->to, to);
	change->inode = inode;
	apply(&disk->now, change);
}

/* 'to' becomes a copy of 'from'. */
static void copy_names(struct faulty_names *to, const struct faulty_names *from)
{
	to->count = 0;
	for (uint32_t i = 0; i < from->count; i++)
		bind(to, from->list[i].name, from->list[i].inode);
}

struct faulty_inode *faulty_disk_find(const struct faulty_disk *disk, const char *name)
{
	struct faulty_name *entry = find(&disk->now, name);

	return entry ? entry->inode : NULL;
}

static struct faulty_inode *new_inode(struct faulty_disk *disk)
{
	struct faulty_inode *inode = calloc(1, sizeof(*inode));

	CHECK(inode);
	disk->inodes =
		realloc(disk->inodes, (disk->inode_count + 1) * sizeof(struct faulty_inode *));
	CHECK(disk->inodes);
	disk->inodes[disk->inode_count++] = inode;
	return inode;
}

struct faulty_inode *faulty_disk_create(struct faulty_disk *disk, const char *name)
{
	struct faulty_inode *inode = new_inode(disk);

	change_names(disk, "", name, inode);
	return inode;
}

struct faulty_inode *faulty_disk_place(struct faulty_disk *disk, const char *name)
{
	struct faulty_inode *inode = new_inode(disk);

	bind(&disk->now, name, inode);
	bind(&disk->disk, name, inode);
	return inode;
}

void faulty_disk_rename(struct faulty_disk *disk, const char *from, const char *to)
{
	if (strcmp(from, to) != 0)
		change_names(disk, from, to, faulty_disk_find(disk, from));
}

void faulty_disk_remove(struct faulty_disk *disk, const char *name)
{
	change_names(disk, "", name, NULL);
}

static bool has_inode(const struct faulty_names *names, const struct faulty_inode *inode)
{
	for (uint32_t i = 0; i < names->count; i++) {
		if (names->list[i].inode == inode)
			return true;
	}
	return false;
}

static void free_inode(struct faulty_inode *inode)
{
	faulty_image_deinit(&inode->now);
	faulty_image_deinit(&inode->disk);
	free(inode->marks);
	free(inode);
}

/* Frees inodes that nothing leads to; there are no changes that could bring one back. */
static void sweep(struct faulty_disk *disk)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < disk->inode_count; i++) {
		struct faulty_inode *inode = disk->inodes[i];

		if (inode->open > 0 || has_inode(&disk->now, inode))
			disk->inodes[kept++] = inode;
		else
			free_inode(inode);
	}
	disk->inode_count = kept;
}

void faulty_disk_sync_folder(struct faulty_disk *disk)
{
	copy_names(&disk->disk, &disk->now);
	disk->change_count = 0;
	sweep(disk);
}

void faulty_disk_deinit(struct faulty_disk *disk)
{
	for (uint32_t i = 0; i < disk->inode_count; i++)
		free_inode(disk->inodes[i]);
	free(disk->inodes);
	free(disk->now.list);
	free(disk->disk.list);
	free(disk->changes);
	*disk = (struct faulty_disk){0};
}

static struct faulty_inode *copy_inode(const struct faulty_inode *inode)
{
	struct faulty_inode *copy = malloc(sizeof(*copy));

	CHECK(copy);
	*copy = (struct faulty_inode){
		.now = faulty_image_copy(&inode->now),
		.disk = faulty_image_copy(&inode->disk),
		.mark_count = inode->mark_count,
		.room = inode->room,
	};
	if (inode->mark_count > 0) {
		copy->marks = malloc(inode->mark_count);
		CHECK(copy->marks);
		memcpy(copy->marks, inode->marks, inode->mark_count);
	}
	return copy;
}

/* What is the index-th inode in 'from' is so in 'to'. */
static struct faulty_inode *counterpart(const struct faulty_disk *to,
					const struct faulty_disk *from,
					const struct faulty_inode *inode)
{
	for (uint32_t i = 0; inode && i < from->inode_count; i++) {
		if (from->inodes[i] == inode)
			return to->inodes[i];
	}
	CHECK(!inode);
	return NULL;
}

struct faulty_disk faulty_disk_copy(const struct faulty_disk *disk)
{
	struct faulty_disk copy = {.capacity = disk->capacity};

	copy.inodes = calloc(disk->inode_count + 1, sizeof(struct faulty_inode *));
	copy.changes = calloc(disk->change_count + 1, sizeof(*copy.changes));
	CHECK(copy.inodes && copy.changes);
	for (; copy.inode_count < disk->inode_count; copy.inode_count++)
		copy.inodes[copy.inode_count] = copy_inode(disk->inodes[copy.inode_count]);
	copy_names(&copy.now, &disk->now);
	copy_names(&copy.disk, &disk->disk);
	for (uint32_t i = 0; i < copy.now.count; i++)
		copy.now.list[i].inode = counterpart(&copy, disk, copy.now.list[i].inode);
	for (uint32_t i = 0; i < copy.disk.count; i++)
		copy.disk.list[i].inode = counterpart(&copy, disk, copy.disk.list[i].inode);
	for (; copy.change_count < disk->change_count; copy.change_count++) {
		copy.changes[copy.change_count] = disk->changes[copy.change_count];
		copy.changes[copy.change_count].inode =
			counterpart(&copy, disk, disk->changes[copy.change_count].inode);
	}
	return copy;
}

/* Room */

static void hold_marks(struct faulty_inode *inode, uint64_t count)
{
	if (count <= inode->mark_count)
		return;
	count += count / 8;
	inode->marks = realloc(inode->marks, count);
	CHECK(inode->marks);
	memset(inode->marks + inode->mark_count, 0, count - inode->mark_count);
	inode->mark_count = count;
}

static uint64_t pages_of(uint64_t size)
{
	return (size + FAULTY_PAGE - 1) / FAULTY_PAGE;
}

/* Pages that can still be given; a removed file's are taken while it is open. */
static uint64_t pages_left(const struct faulty_disk *disk)
{
	uint64_t used = 0, capacity = disk->capacity / FAULTY_PAGE;

	if (disk->capacity == 0)
		return UINT64_MAX;
	for (uint32_t i = 0; i < disk->inode_count; i++) {
		if (disk->inodes[i]->open > 0 || has_inode(&disk->now, disk->inodes[i]))
			used += disk->inodes[i]->room;
	}
	return capacity > used ? capacity - used : 0;
}

/* Gives room to the pages of [from, to). Returns the first that got none. */
static uint64_t take_room(struct faulty_disk *disk, struct faulty_inode *inode, uint64_t from,
			  uint64_t to)
{
	uint64_t left = pages_left(disk), page;

	hold_marks(inode, to);
	for (page = from; page < to; page++) {
		if (inode->marks[page] & FAULTY_ROOM)
			continue;
		if (left == 0)
			break;
		left--;
		inode->marks[page] |= FAULTY_ROOM;
		inode->room++;
	}
	return page;
}

static void drop_marks(struct faulty_inode *inode, uint64_t from)
{
	for (uint64_t page = from; page < inode->mark_count; page++) {
		inode->room -= (inode->marks[page] & FAULTY_ROOM) != 0;
		inode->marks[page] = 0;
	}
}

/* Bytes */

static bool is_lost(const struct faulty_inode *inode, uint64_t page)
{
	return page < inode->mark_count && (inode->marks[page] & FAULTY_LOST);
}

static void copy_sector(struct faulty_image *to, const struct faulty_image *from, uint64_t offset)
{
	uint8_t sector[IO_SECTOR];
	uint64_t size = to->size;

	faulty_image_read(from, offset, sector, IO_SECTOR);
	faulty_image_write(to, offset, sector, IO_SECTOR);
	to->size = size;
}

/* What waits for a sync in [offset, offset + size) may have reached the disk by itself. */
static void write_back(struct faulty_inode *inode, uint64_t offset, size_t size, struct rand *rand)
{
	uint64_t end = MIN(offset + size, inode->now.size);

	for (uint64_t at = offset - offset % IO_SECTOR; at < end; at += IO_SECTOR) {
		uint64_t page = at / FAULTY_PAGE;

		if (!faulty_image_same(&inode->now, &inode->disk, page) && !is_lost(inode, page) &&
		    chance(rand, 1, 4))
			copy_sector(&inode->disk, &inode->now, at);
	}
}

int faulty_disk_write(struct faulty_disk *disk, struct faulty_inode *inode, uint64_t offset,
		      const void *bytes, size_t size, struct rand *rand)
{
	uint64_t end = offset + size;
	uint64_t page = take_room(disk, inode, offset / FAULTY_PAGE, pages_of(end));
	uint64_t fits = MIN(end, page * FAULTY_PAGE);

	if (fits > offset) {
		write_back(inode, offset, fits - offset, rand);
		faulty_image_write(&inode->now, offset, bytes, fits - offset);
		for (page = offset / FAULTY_PAGE; page < pages_of(fits); page++)
			inode->marks[page] &= (uint8_t)~FAULTY_LOST;
	}
	return fits < end ? -ENOSPC : 0;
}

void faulty_disk_truncate(struct faulty_inode *inode, uint64_t size)
{
	drop_marks(inode, pages_of(size));
	faulty_image_resize(&inode->now, size);
}

int faulty_disk_allocate(struct faulty_disk *disk, struct faulty_inode *inode, uint64_t size)
{
	if (take_room(disk, inode, 0, pages_of(size)) < pages_of(size))
		return -ENOSPC;
	inode->now.size = MAX(inode->now.size, size);
	return 0;
}

static uint64_t page_count(const struct faulty_inode *inode)
{
	return MAX(inode->now.page_count, inode->disk.page_count);
}

void faulty_disk_sync(struct faulty_inode *inode)
{
	for (uint64_t page = 0; page < page_count(inode); page++) {
		if (!is_lost(inode, page))
			faulty_image_share(&inode->disk, &inode->now, page);
	}
	inode->disk.size = inode->now.size;
}

void faulty_disk_sync_badly(struct faulty_inode *inode, struct rand *rand)
{
	for (uint64_t page = 0; page < page_count(inode); page++) {
		if (faulty_image_same(&inode->now, &inode->disk, page) || is_lost(inode, page))
			continue;
		switch (rand_below(rand, 3)) {
		case 0:
			faulty_image_share(&inode->disk, &inode->now, page);
			break;
		case 1:
			faulty_image_share(&inode->now, &inode->disk, page);
			break;
		default:
			hold_marks(inode, page + 1);
			inode->marks[page] |= FAULTY_LOST;
		}
	}
	if (chance(rand, 1, 2))
		inode->disk.size = inode->now.size;
}

/* A file that grew may be of a size between. */
static uint64_t pick_size(uint64_t disk, uint64_t now, struct rand *rand)
{
	switch (rand_below(rand, 3)) {
	case 0:
		return disk;
	case 1:
		return now;
	default:
		return now > disk ? disk + rand_below(rand, now - disk) : disk;
	}
}

static void cut_inode(struct faulty_inode *inode, unsigned eighths, struct rand *rand)
{
	uint64_t size = pick_size(inode->disk.size, inode->now.size, rand);

	for (uint64_t page = 0; page < pages_of(inode->now.size); page++) {
		if (faulty_image_same(&inode->now, &inode->disk, page) || is_lost(inode, page))
			continue;
		for (uint64_t i = 0; i < SECTORS; i++) {
			if (chance(rand, eighths, 8))
				copy_sector(&inode->disk, &inode->now,
					    page * FAULTY_PAGE + i * IO_SECTOR);
		}
	}
	/* Sectors came to lie behind the disk's own end: from the larger size down, so that what
	 * is behind the end is zeros. */
	inode->disk.size = MAX(inode->disk.size, inode->now.size);
	faulty_image_resize(&inode->disk, size);
	faulty_image_deinit(&inode->now);
	inode->now = faulty_image_copy(&inode->disk);
	inode->open = 0;
	drop_marks(inode, pages_of(size));
	for (uint64_t page = 0; page < inode->mark_count; page++)
		inode->marks[page] &= (uint8_t)~FAULTY_LOST;
}

/*
 * Disks with a journal keep the first so many of the changes of names; others any of them.
 * A renaming is done or not, never half.
 */
static void cut_names(struct faulty_disk *disk, struct rand *rand)
{
	bool journal = chance(rand, 1, 2);
	uint64_t kept = rand_below(rand, disk->change_count + UINT64_C(1));

	for (uint32_t i = 0; i < disk->change_count; i++) {
		if (journal ? i < kept : chance(rand, 1, 2))
			apply(&disk->disk, &disk->changes[i]);
	}
	disk->change_count = 0;
	copy_names(&disk->now, &disk->disk);
}

void faulty_disk_cut(struct faulty_disk *disk, struct rand *rand)
{
	/* Nearly nothing, half, nearly all: mixtures of one kind only would miss whole outcomes. */
	static const unsigned shares[] = {0, 1, 4, 7, 8};
	unsigned eighths = shares[rand_below(rand, ARRAY_COUNT(shares))];

	cut_names(disk, rand);
	for (uint32_t i = 0; i < disk->inode_count; i++)
		cut_inode(disk->inodes[i], eighths, rand);
	sweep(disk);
}
