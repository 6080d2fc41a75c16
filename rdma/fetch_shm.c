/* SPDX-License-Identifier: Apache-2.0 */
#include "rdma/fetch_shm.h"

#include "base/defs.h"
#include "rdma/fetch_local.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>

/* Of stat's blocks, whatever the file system. */
#define STAT_BLOCK 512

struct fetch_shm {
	struct fetch_local local;
	struct fetch_ops ops;
	void *mapping; /* owned */
	size_t mapping_size;
};

/* The size of a page of the memory, huge or not, comes out as its preferred block. */
static int check(int memory_fd, uint64_t offset, uint64_t size, uint64_t *ret_page_size)
{
	struct stat stat;
	int seals = fcntl(memory_fd, F_GET_SEALS);

	/* Only memory has seals: a file of another kind answers with an error. */
	if (seals < 0 || !(seals & F_SEAL_SHRINK) ||
	    !(seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE)))
		return FETCH_SHM_E_SEALS;
	if (fstat(memory_fd, &stat))
		return -errno;
	if (!size || offset > (uint64_t)stat.st_size || size > (uint64_t)stat.st_size - offset)
		return FETCH_SHM_E_SHORT;
	/* A hole is filled at the first touch, or not, which ends the toucher. */
	if ((uint64_t)stat.st_blocks * STAT_BLOCK < (uint64_t)stat.st_size)
		return FETCH_SHM_E_HOLES;
	*ret_page_size = (uint64_t)stat.st_blksize;
	return 0;
}

int fetch_shm_check(int memory_fd, uint64_t offset, uint64_t size)
{
	uint64_t page_size;

	return check(memory_fd, offset, size, &page_size);
}

static void shm_close(struct fetch *fetch)
{
	struct fetch_shm *shm = CONTAINER_OF(fetch, struct fetch_shm, local.fetch);

	(void)munmap(shm->mapping, shm->mapping_size);
	fetch_local_deinit(&shm->local);
	free(shm);
}

/*
 * Maps whole pages around the region; memory of huge pages knows no others. Pages behind the
 * memory's end count as its blocks too, and so could hide holes from check(): all pages are touched
 * here, where one that can't be had is an error and no signal.
 */
static int map(struct fetch_shm *shm, const struct fetch_shm_options *options, uint64_t page_size)
{
	uint64_t before = options->offset & (page_size - 1);

	shm->mapping_size = align_up(before + options->size, page_size);
	shm->mapping = mmap(NULL, shm->mapping_size, PROT_READ, MAP_SHARED, options->memory_fd,
			    (off_t)(options->offset - before));
	if (shm->mapping == MAP_FAILED)
		return -errno;
	if (madvise(shm->mapping, shm->mapping_size, MADV_POPULATE_READ)) {
		int error = -errno;

		(void)munmap(shm->mapping, shm->mapping_size);
		return error;
	}
	return 0;
}

int fetch_shm_open(const struct fetch_shm_options *options, struct fetch **ret_fetch)
{
	struct fetch_local_options local = {
		.size = options->size,
		.memory = options->memory,
		.memory_size = options->memory_size,
		.expires_ns = options->expires_ns,
	};
	uint64_t page_size = 1;
	struct fetch_shm *shm;
	int error = check(options->memory_fd, options->offset, options->size, &page_size);

	if (error)
		return error;
	shm = calloc(1, sizeof(*shm));
	if (!shm)
		return -ENOMEM;
	error = map(shm, options, page_size);
	if (error) {
		free(shm);
		return error;
	}
	local.start = (const uint8_t *)shm->mapping + (options->offset & (page_size - 1));
	/* Without a seed it takes no memory, and so it can't fail. */
	(void)fetch_local_init(&shm->local, &local);
	shm->ops = *shm->local.fetch.ops;
	shm->ops.close = shm_close;
	shm->local.fetch.ops = &shm->ops;
	shm->local.fetch.kind = "shm";
	*ret_fetch = &shm->local.fetch;
	return 0;
}
