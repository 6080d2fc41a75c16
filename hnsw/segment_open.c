/* SPDX-License-Identifier: Apache-2.0 */
#include "hnsw/segment.h"

#include "base/defs.h"
#include "base/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/*
 * Where a segment's bytes lie: mapped from the file, or read into memory of
 * their own (base/memory.h), which can then be huge pages of one NUMA node, and
 * peers' to read. Random access is about twice as fast on huge pages, as a 4 KiB
 * page misses the TLB too.
 */

static NOINLINE int open_failed(const char *what, char *error, size_t error_size)
{
	int number = errno;

	snprintf(error, error_size, "%s: %s", what, strerror(number));
	return -number;
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

static int load(int fd, size_t size, const struct segment_open_options *options,
		struct memory *ret_memory, char *error, size_t error_size)
{
	const struct memory_options wanted = {.name = "tern-segment",
					      .size = size,
					      .huge = options->huge,
					      .numa_node = options->numa_node};
	struct memory memory;
	int result = memory_init(&wanted, &memory);

	if (result) {
		snprintf(error, error_size, "taking %zu bytes of memory: %s", size,
			 strerror(-result));
		return result;
	}
	if (options->numa_node >= 0 && !memory.bound) {
		snprintf(error, error_size, "NUMA node %d: %s", options->numa_node, memory.note);
		memory_deinit(&memory);
		return -EINVAL;
	}
	result = read_all(fd, memory.start, size);
	if (!result)
		result = memory_seal(&memory);
	if (result) {
		snprintf(error, error_size, "reading: %s", strerror(-result));
		memory_deinit(&memory);
		return result;
	}
	*ret_memory = memory;
	return 0;
}

/* A mapping of the file is memory, too; its descriptor is nobody's to read. */
static int map(int fd, size_t size, struct memory *ret_memory, char *error, size_t error_size)
{
	void *start = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);

	if (start == MAP_FAILED)
		return open_failed("mapping", error, error_size);
	*ret_memory = (struct memory){.start = start, .size = size, .fd = -1};
	return 0;
}

static int get_bytes(int fd, const struct segment_open_options *options, size_t *ret_size,
		     struct memory *ret_memory, char *error, size_t error_size)
{
	struct stat status;

	if (fstat(fd, &status))
		return open_failed("fstat", error, error_size);
	if (!S_ISREG(status.st_mode) || status.st_size == 0) {
		snprintf(error, error_size, "not a regular file, or an empty one");
		return SEGMENT_E_CORRUPT;
	}
	*ret_size = (size_t)status.st_size;
	if (options->huge || options->numa_node >= 0)
		return load(fd, *ret_size, options, ret_memory, error, error_size);
	return map(fd, *ret_size, ret_memory, error, error_size);
}

int segment_open(const char *path, const struct segment_open_options *options,
		 struct segment *ret_segment, char *error, size_t error_size)
{
	int result, fd = open(path, O_RDONLY | O_CLOEXEC);
	struct memory memory = {0};
	size_t size = 0;

	if (fd < 0)
		return open_failed("opening", error, error_size);
	result = get_bytes(fd, options, &size, &memory, error, error_size);
	close(fd);
	if (result)
		return result;
	result = segment_attach(memory.start, size, ret_segment, error, error_size);
	if (result) {
		memory_deinit(&memory);
		return result;
	}
	ret_segment->mapping = memory.start;
	ret_segment->mapping_size = memory.size;
	ret_segment->memory_fd = memory.fd;
	return 0;
}

void segment_close(struct segment *segment)
{
	if (!segment)
		return;
	if (segment->mapping)
		memory_deinit(&(struct memory){.start = segment->mapping,
					       .size = segment->mapping_size,
					       .fd = segment->memory_fd});
	*segment = (struct segment){.memory_fd = -1};
}
