/* SPDX-License-Identifier: Apache-2.0 */
#include "base/memory.h"

#include "base/defs.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/memfd.h>
#include <linux/mempolicy.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* NUMA nodes that a kernel can have. */
#define NODE_MAX 1024

/* Linux 6.1; missing from the headers of Debian 12. */
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

/* What a reader asks for: it stays as large, and as it is. */
#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE)

/* A second problem is appended to the first. */
static void note(struct memory *memory, const char *text, int error)
{
	size_t length = strlen(memory->note);

	snprintf(memory->note + length, sizeof(memory->note) - length, "%s%s%s%s",
		 length ? "; " : "", text, error ? ": " : "", error ? strerror(error) : "");
}

/*
 * Preferred, not bound: a page that its node can't give comes from another one instead of killing
 * the process. The system call itself, since libnuma would need the machine to have NUMA at all.
 */
static void prefer_node(struct memory *memory, int node)
{
	unsigned long mask[NODE_MAX / (8 * sizeof(unsigned long))] = {0};
	const unsigned bits = 8 * sizeof(mask[0]);

	if (node < 0)
		return;
	if (node >= NODE_MAX)
		return note(memory, "memory is not bound: there is no such NUMA node", 0);
	mask[(unsigned)node / bits] = 1UL << (unsigned)node % bits;
	memory->bound = !syscall(SYS_mbind, memory->start, memory->size, MPOL_PREFERRED, mask,
				 (unsigned long)NODE_MAX + 1, 0);
	if (!memory->bound)
		note(memory,
		     "memory is not bound to its NUMA node (needs CAP_SYS_NICE in a container)",
		     errno);
}

/* Where a huge page can begin: what is too much on both sides is given back. */
static uint8_t *reserve(size_t size)
{
	uint8_t *space = mmap(NULL, size + MEMORY_PAGE_SIZE, PROT_NONE,
			      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	uint8_t *start;

	if (space == MAP_FAILED)
		return NULL;
	start = (uint8_t *)align_up((uintptr_t)space, MEMORY_PAGE_SIZE);
	if (start > space)
		munmap(space, (size_t)(start - space));
	munmap(start + size, (size_t)(space + MEMORY_PAGE_SIZE - start));
	return start;
}

/*
 * Ordinary pages become huge ones even if nothing is reserved: with a page of each there, the
 * kernel is asked to make it one. Before the rest is filled, since there would be more to copy.
 */
static void make_huge(struct memory *memory)
{
	for (size_t at = 0; at < memory->size; at += MEMORY_PAGE_SIZE)
		if (fallocate(memory->fd, 0, (off_t)at, 1))
			return;
	memory->huge = !madvise(memory->start, memory->size, MADV_COLLAPSE);
}

/*
 * All pages, by fallocate(), which says what a touch would answer with SIGBUS: no huge page left on
 * that node, no memory. The advice only saves the first touches' faults.
 */
static int populate(const struct memory *memory)
{
	if (fallocate(memory->fd, 0, 0, (off_t)memory->size))
		return errno == ENOSPC ? -ENOMEM : -errno;
	(void)madvise(memory->start, memory->size, MADV_POPULATE_WRITE);
	return 0;
}

static int map(struct memory *memory)
{
	void *start = reserve(memory->size);

	if (!start)
		return -errno;
	memory->start = start;
	start = mmap(start, memory->size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
		     memory->fd, 0);
	return start == MAP_FAILED ? -errno : 0;
}

static int take(const struct memory_options *options, unsigned flags, struct memory *memory)
{
	int error;

	memory->fd = memfd_create(options->name, MFD_CLOEXEC | MFD_ALLOW_SEALING | flags);
	if (memory->fd < 0)
		return -errno;
	if (ftruncate(memory->fd, (off_t)memory->size))
		return -errno;
	error = map(memory);
	if (error)
		return error;
	prefer_node(memory, options->numa_node);
	memory->huge = flags & MFD_HUGETLB;
	if (options->huge && !memory->huge)
		make_huge(memory);
	return populate(memory);
}

static int try_take(const struct memory_options *options, unsigned flags, struct memory *ret_memory)
{
	struct memory memory = {.size = align_up(options->size, MEMORY_PAGE_SIZE)};
	int error = take(options, flags, &memory);

	if (error) {
		if (memory.start)
			munmap(memory.start, memory.size);
		if (memory.fd >= 0)
			close(memory.fd);
		return error;
	}
	*ret_memory = memory;
	return 0;
}

int memory_init(const struct memory_options *options, struct memory *ret_memory)
{
	int error;

	if (options->size == 0 || options->size > INT64_MAX - MEMORY_PAGE_SIZE)
		return -EINVAL;
	if (options->huge && !try_take(options, MFD_HUGETLB | MFD_HUGE_2MB, ret_memory))
		return 0;
	error = try_take(options, 0, ret_memory);
	if (error)
		return error;
	if (options->huge && !ret_memory->huge)
		note(ret_memory, "no huge pages: sysctl vm.nr_hugepages gives 2 MiB each", 0);
	return 0;
}

/* A descriptor that can't write, in the place of the one that can; the seals hold without it, too.
 */
static void lower_descriptor(struct memory *memory)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", memory->fd);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	close(memory->fd);
	memory->fd = fd;
}

int memory_seal(struct memory *memory)
{
	if (mprotect(memory->start, memory->size, PROT_READ) ||
	    fcntl(memory->fd, F_ADD_SEALS, SEALS | F_SEAL_SEAL))
		return -errno;
	lower_descriptor(memory);
	return 0;
}

void memory_deinit(struct memory *memory)
{
	if (!memory->start)
		return;
	munmap(memory->start, memory->size);
	if (memory->fd >= 0)
		close(memory->fd);
	*memory = (struct memory){0};
}
