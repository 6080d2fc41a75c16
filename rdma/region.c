/* SPDX-License-Identifier: Apache-2.0 */
#include "rdma/region.h"

#include "base/check.h"
#include "base/defs.h"
#include "rdma/region_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/* Mappings of huge pages change their protection by whole ones. */
#define HUGE_PAGE_SIZE ((size_t)2 << 20)

/* How often a region is looked at that waits for its last leases. */
#define ENDING_TICK_NS UINT64_C(10000000)

static int protect(const uint8_t *start, uint64_t size, size_t page, int protection)
{
	uintptr_t first = (uintptr_t)start & ~(page - 1);
	uintptr_t end = align_up((uintptr_t)start + size, page);

	return mprotect((void *)first, end - first, protection) ? -errno : 0;
}

/*
 * The kernel pins pages for writing when windows are to be bound to them, and (before 6.2) always;
 * a read-only mapping is then refused with EFAULT. So it is made writable while it is being
 * registered. Pinned pages stay what they are when it is read-only again.
 */
int region_pin(const struct region *region, uint64_t offset, uint64_t size, int access,
	       struct ibv_mr **ret_mr, char *error, size_t error_size)
{
	const uint8_t *start = region->start + offset;
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	int result =
		device_register(region->device, start, size, access, ret_mr, error, error_size);

	if (result != -EFAULT)
		return result;
	if (protect(start, size, page, PROT_READ | PROT_WRITE)) {
		page = HUGE_PAGE_SIZE;
		if (protect(start, size, page, PROT_READ | PROT_WRITE))
			return result;
	}
	result = device_register(region->device, start, size, access, ret_mr, error, error_size);
	CHECK(protect(start, size, page, PROT_READ) == 0);
	return result;
}

static void unpin(struct region *region, struct ibv_mr *mr)
{
	device_given_back(region->device, device_ops(region->device)->dereg_mr(mr));
}

/*
 * What windows lie on, which nobody can read by itself: it has no remote right. Without windows
 * the registration is only tried, so that a limit shows at start rather than at the first lease.
 */
static int pin_all(struct region *region, bool windows, char *error, size_t error_size)
{
	int access = windows ? IBV_ACCESS_MW_BIND : IBV_ACCESS_REMOTE_READ;
	struct ibv_mr *mr;
	int result = region_pin(region, 0, region->size, access, &mr, error, error_size);

	if (result)
		return result;
	if (windows)
		region->mr = mr;
	else
		unpin(region, mr);
	return 0;
}

static int make(struct device *device, const void *start, uint64_t size, bool windows,
		struct region **ret_region, char *error, size_t error_size)
{
	struct region *region = calloc(1, sizeof(*region));
	int result = -ENOMEM;

	CHECK(size > 0 && size <= UINT64_MAX - (uintptr_t)start);
	if (!region)
		return result;
	*region = (struct region){
		.device = device, .start = start, .size = size, .due_ns = UINT64_MAX};
	region->leases = calloc(REGION_LEASE_MAX, sizeof(region->leases[0]));
	if (region->leases)
		result = pin_all(region, windows, error, error_size);
	if (result) {
		region_free(region);
		return result;
	}
	*ret_region = region;
	return 0;
}

int region_register(struct device *device, const void *start, uint64_t size,
		    struct region **ret_region, char *error, size_t error_size)
{
	return make(device, start, size, device_info(device)->has_windows, ret_region, error,
		    error_size);
}

int region_register_without_windows(struct device *device, const void *start, uint64_t size,
				    struct region **ret_region, char *error, size_t error_size)
{
	return make(device, start, size, /* windows= */ false, ret_region, error, error_size);
}

/* Returns whether there was anything left to end. */
static bool revoke_lease(struct lease *lease)
{
	if (lease->state == LEASE_FREE || lease->state >= LEASE_UNBINDING)
		return false;
	if (!lease->unwanted)
		lease->region->stats.leases_revoked++;
	lease_end(lease);
	return true;
}

bool region_revoke(struct region *region, uint64_t id)
{
	for (uint32_t i = 0; i < region->fresh; i++)
		if (region->leases[i].info.id == id)
			return revoke_lease(&region->leases[i]);
	return false;
}

void region_link_closed(struct region *region, struct link *link)
{
	for (uint32_t i = 0; i < region->fresh; i++)
		if (region->leases[i].state != LEASE_FREE && region->leases[i].link == link)
			lease_cut(&region->leases[i]);
}

/* By index, as what is called may free any lease and take another. */
static void look_at_leases(struct region *region)
{
	region->due_ns = UINT64_MAX;
	for (uint32_t i = 0; i < region->fresh; i++) {
		struct lease *lease = &region->leases[i];

		if (lease->state != LEASE_FREE && lease->due_ns <= region->now_ns)
			lease_look(lease);
		if (lease->state != LEASE_FREE)
			region->due_ns = MIN(region->due_ns, lease->due_ns);
	}
}

/* The grace begins when a tick finds no lease, which is later than the last one's end. */
static void settle(struct region *region)
{
	if (region->stats.leases)
		return;
	if (!region->ended_ns)
		region->ended_ns = region->now_ns;
	if (region->now_ns - region->ended_ns < REGION_GRACE_NS)
		return;
	region->state = REGION_ENDED;
	if (region->mr)
		unpin(region, region->mr);
	region->mr = NULL;
}

void region_tick(struct region *region, uint64_t now_ns)
{
	region->now_ns = MAX(region->now_ns, now_ns);
	if (region->now_ns >= region->due_ns)
		look_at_leases(region);
	if (region->state == REGION_ENDING)
		settle(region);
}

uint64_t region_due_ns(const struct region *region)
{
	if (region->state != REGION_ENDING)
		return region->due_ns;
	if (region->stats.leases)
		return MIN(region->due_ns, region->now_ns + ENDING_TICK_NS);
	return region->ended_ns ? region->ended_ns + REGION_GRACE_NS : region->now_ns;
}

void region_end(struct region *region, uint64_t now_ns)
{
	region->now_ns = MAX(region->now_ns, now_ns);
	if (region->state != REGION_GRANTING)
		return;
	region->state = REGION_ENDING;
	for (uint32_t i = 0; i < region->fresh; i++)
		(void)revoke_lease(&region->leases[i]);
}

enum region_state region_state(const struct region *region)
{
	return region->state;
}

void region_free(struct region *region)
{
	if (!region)
		return;
	for (uint32_t i = 0; i < region->fresh; i++)
		lease_drop_key(&region->leases[i]);
	if (region->mr)
		unpin(region, region->mr);
	free(region->leases);
	free(region);
}

struct region_stats region_stats(const struct region *region)
{
	return region->stats;
}
