/* SPDX-License-Identifier: Apache-2.0 */
#include "base/arena.h"

#include "base/check.h"
#include "base/defs.h"

#include <errno.h>
#include <linux/mman.h>
#include <numa.h>
#include <numaif.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* A second problem is appended to the first. */
static void note(struct arena *arena, const char *text, int error)
{
	size_t length = strlen(arena->note);

	snprintf(arena->note + length, sizeof(arena->note) - length, "%s%s%s%s", length ? "; " : "",
		 text, error ? ": " : "", error ? strerror(error) : "");
}

/*
 * Preferred, not bound: a page that its node can't give comes from another one
 * instead of killing the process at its first touch.
 */
static void prefer_node(struct arena *arena, int node)
{
	struct bitmask *nodes;

	if (numa_available() < 0)
		return note(arena, "memory is not bound: the kernel has no NUMA", 0);
	if (node > numa_max_node())
		return note(arena, "memory is not bound: no such NUMA node", 0);
	nodes = numa_allocate_nodemask();
	if (!nodes)
		return note(arena, "memory is not bound", ENOMEM);
	numa_bitmask_setbit(nodes, (unsigned)node);
	if (mbind(arena->base, arena->size, MPOL_PREFERRED, nodes->maskp, nodes->size + 1, 0))
		note(arena, "memory is not bound (needs CAP_SYS_NICE in a container)", errno);
	numa_bitmask_free(nodes);
}

/* Faults all pages in, at start instead of under load; without them it is no arena. */
static int populate(const struct arena *arena)
{
	size_t page_size = (size_t)sysconf(_SC_PAGESIZE);

	if (madvise(arena->base, arena->size, MADV_POPULATE_WRITE) == 0)
		return 0;
	if (errno != EINVAL)
		return -ENOMEM;
	/* A kernel before 5.14 doesn't know the advice. */
	for (size_t at = 0; at < arena->size; at += page_size)
		((volatile uint8_t *)arena->base)[at] = 0;
	return 0;
}

static int map(struct arena *arena, int flags, int numa_node)
{
	void *base = mmap(NULL, arena->size, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);

	if (base == MAP_FAILED)
		return -ENOMEM;
	arena->base = base;
	if (numa_node >= 0)
		prefer_node(arena, numa_node);
	/* The kernel may still find huge pages of its own accord; a wish, so its answer is not
	 * asked. */
	if (flags == 0)
		(void)madvise(base, arena->size, MADV_HUGEPAGE);
	if (populate(arena)) {
		munmap(base, arena->size);
		arena->base = NULL;
		return -ENOMEM;
	}
	return 0;
}

static int map_huge(struct arena *arena, int numa_node)
{
	int error = map(arena, MAP_HUGETLB | MAP_HUGE_2MB, numa_node);

	arena->huge = !error;
	if (error) {
		arena->note[0] = '\0';
		note(arena, "no huge pages: sysctl vm.nr_hugepages gives 2 MiB each", 0);
	}
	return error;
}

/* With one page's size as the unit of both, so that a fall-back needs no second sum. */
int arena_init(const struct arena_options *options, struct arena *ret_arena)
{
	struct arena arena = {.size = align_up(options->size, ARENA_HUGE_PAGE_SIZE)};

	if (options->size == 0 || arena.size < options->size)
		return -EINVAL;
	if (!options->huge || map_huge(&arena, options->numa_node)) {
		int error = map(&arena, 0, options->numa_node);

		if (error)
			return error;
	}
	*ret_arena = arena;
	return 0;
}

void arena_deinit(struct arena *arena)
{
	if (arena->base)
		munmap(arena->base, arena->size);
	*arena = (struct arena){0};
}

void *arena_take(struct arena *arena, size_t size, size_t align)
{
	size_t offset = align_up(arena->used, align);

	CHECK(align > 0 && (align & (align - 1)) == 0 && align <= 4096);
	if (offset > arena->size || size > arena->size - offset)
		return NULL;
	arena->used = offset + size;
	return arena->base + offset;
}
