/* SPDX-License-Identifier: Apache-2.0 */
#include "hnsw/segment.h"

#include "base/defs.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/mempolicy.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/*
 * Where a segment's bytes lie: mapped from the file, or read into memory of
 * their own, which can then be huge pages of one NUMA node. Random access is
 * about twice as fast on huge pages, as a 4 KiB page misses the TLB too.
 */

#define HUGE_PAGE ((size_t)2 << 20)

/* NUMA nodes that a kernel can have; the bound of what segment_open() takes. */
#define NUMA_NODE_MAX 1024

static NOINLINE int open_failed(const char *what, char *error, size_t error_size)
{
	int number = errno;

	snprintf(error, error_size, "%s: %s", what, strerror(number));
	return -number;
}

/* mbind() itself, since libnuma would need the machine to have NUMA at all. A node of -1 is any. */
static int bind_node(void *memory, size_t size, int node)
{
	unsigned long mask[NUMA_NODE_MAX / (8 * sizeof(unsigned long))] = {0};
	const unsigned bits = 8 * sizeof(mask[0]);

	if (node < 0)
		return 0;
	mask[(unsigned)node / bits] = 1UL << (unsigned)node % bits;
	if (syscall(SYS_mbind, memory, size, MPOL_BIND, mask, (unsigned long)NUMA_NODE_MAX + 1, 0))
		return -errno;
	return 0;
}

/*
 * Reserved huge pages of that node, or NULL. They are taken at once: the pool is
 * counted for the whole machine, and a node that has run out would show as
 * SIGBUS at the first touch.
 */
static void *take_huge(size_t size, int node)
{
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);

	if (memory == MAP_FAILED)
		return NULL;
	if (!bind_node(memory, size, node) && !madvise(memory, size, MADV_POPULATE_WRITE))
		return memory;
	munmap(memory, size);
	return NULL;
}

/* Memory that begins where a huge page can: what is too much on both sides is given back. */
static void *map_aligned(size_t size)
{
	uint8_t *memory = mmap(NULL, size + HUGE_PAGE, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint8_t *start;

	if (memory == MAP_FAILED)
		return NULL;
	start = (uint8_t *)align_up((uintptr_t)memory, HUGE_PAGE);
	if (start > memory)
		munmap(memory, (size_t)(start - memory));
	munmap(start + size, (size_t)(memory + HUGE_PAGE - start));
	return start;
}

/* Reserved huge pages when asked for and there, else ordinary ones that may become huge. */
static int take_memory(size_t size, bool huge, int node, void **ret_memory)
{
	void *memory = huge ? take_huge(size, node) : NULL;
	int error;

	if (memory) {
		*ret_memory = memory;
		return 0;
	}
	memory = map_aligned(size);
	if (!memory)
		return -errno;
	if (huge)
		(void)madvise(memory, size, MADV_HUGEPAGE);
	error = bind_node(memory, size, node);
	if (error) {
		munmap(memory, size);
		return error;
	}
	*ret_memory = memory;
	return 0;
}

static int read_all(int fd, uint8_t *to, size_t size)
{
	size_t done = 0;

	while (done < size) {
		ssize_t got = read(fd, to + done, size - done);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		if (got == 0)
			return -ENODATA; /* the file shrank while it was read */
		done += (size_t)got;
	}
	return 0;
}

/* Memory that holds, or maps, the file's bytes. */
struct bytes {
	void *memory;
	size_t size;   /* of the file */
	size_t mapped; /* for munmap() */
};

static int load(int fd, const struct segment_open_options *options, struct bytes *bytes,
		char *error, size_t error_size)
{
	int result;

	bytes->mapped = align_up(bytes->size, HUGE_PAGE);
	result = take_memory(bytes->mapped, options->huge, options->numa_node, &bytes->memory);
	if (result) {
		snprintf(error, error_size, "taking %zu bytes on NUMA node %d: %s", bytes->mapped,
			 options->numa_node, strerror(-result));
		return result;
	}
	result = read_all(fd, bytes->memory, bytes->size);
	if (result) {
		munmap(bytes->memory, bytes->mapped);
		snprintf(error, error_size, "reading: %s", strerror(-result));
		return result;
	}
	/* Only a guard against bugs of ours, so it may fail. */
	(void)mprotect(bytes->memory, bytes->mapped, PROT_READ);
	return 0;
}

static int map(int fd, struct bytes *bytes, char *error, size_t error_size)
{
	bytes->mapped = bytes->size;
	bytes->memory = mmap(NULL, bytes->size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (bytes->memory == MAP_FAILED)
		return open_failed("mapping", error, error_size);
	return 0;
}

static int get_bytes(int fd, const struct segment_open_options *options, struct bytes *bytes,
		     char *error, size_t error_size)
{
	struct stat status;

	if (fstat(fd, &status))
		return open_failed("fstat", error, error_size);
	if (!S_ISREG(status.st_mode) || status.st_size == 0) {
		snprintf(error, error_size, "not a regular file, or an empty one");
		return SEGMENT_E_CORRUPT;
	}
	bytes->size = (size_t)status.st_size;
	if (options->huge || options->numa_node >= 0)
		return load(fd, options, bytes, error, error_size);
	return map(fd, bytes, error, error_size);
}

int segment_open(const char *path, const struct segment_open_options *options,
		 struct segment *ret_segment, char *error, size_t error_size)
{
	struct bytes bytes = {0};
	int result, fd;

	if (options->numa_node >= NUMA_NODE_MAX) {
		snprintf(error, error_size, "there is no NUMA node %d", options->numa_node);
		return -EINVAL;
	}
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return open_failed("opening", error, error_size);
	result = get_bytes(fd, options, &bytes, error, error_size);
	close(fd);
	if (result)
		return result;
	result = segment_attach(bytes.memory, bytes.size, ret_segment, error, error_size);
	if (result) {
		munmap(bytes.memory, bytes.mapped);
		return result;
	}
	ret_segment->mapping = bytes.memory;
	ret_segment->mapping_size = bytes.mapped;
	return 0;
}

void segment_close(struct segment *segment)
{
	if (!segment)
		return;
	if (segment->mapping)
		munmap(segment->mapping, segment->mapping_size);
	*segment = (struct segment){0};
}
