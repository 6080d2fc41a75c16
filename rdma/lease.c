/* SPDX-License-Identifier: Apache-2.0 */
#include "base/check.h"
#include "base/defs.h"
#include "rdma/region_internal.h"

#include <errno.h>
#include <stdatomic.h>

/* Of all regions, so that no two leases of a process have the same. Relaxed: nothing hangs on the
 * order. */
static _Atomic uint64_t last_id;

static const struct verbs_ops *ops_of(const struct lease *lease)
{
	return device_ops(lease->region->device);
}

/* The one that has been free for longest. */
static struct lease *take(struct region *region)
{
	struct lease *lease = region->free_first;

	if (lease)
		region->free_first = lease->next;
	else if (region->fresh < REGION_LEASE_MAX)
		lease = &region->leases[region->fresh++];
	else
		return NULL;
	region->stats.leases++;
	return lease;
}

static void give_back(struct lease *lease)
{
	struct region *region = lease->region;

	DCHECK(!lease->window && !lease->mr);
	lease->state = LEASE_FREE;
	lease->next = NULL;
	if (region->free_first)
		region->free_last->next = lease;
	else
		region->free_first = lease;
	region->free_last = lease;
	region->stats.leases--;
}

void lease_drop_key(struct lease *lease)
{
	const struct device *device = lease->region->device;

	if (lease->window)
		device_given_back(device, ops_of(lease)->dealloc_mw(lease->window));
	if (lease->mr)
		device_given_back(device, ops_of(lease)->dereg_mr(lease->mr));
	lease->window = NULL;
	lease->mr = NULL;
}

static void due_at(struct lease *lease, uint64_t at_ns)
{
	lease->due_ns = at_ns;
	lease->region->due_ns = MIN(lease->region->due_ns, at_ns);
}

/* The last thing to be done with a lease: who is told may do anything with region and link. */
static void tell(const struct lease *lease, int error)
{
	if (error)
		lease->region->stats.leases_failed++;
	else
		lease->region->stats.leases_granted++;
	lease->done(lease->context, error ? NULL : lease, error);
}

/* The queue pair first: a request that meets a window that is gone would break it anyway. */
static void lose(struct lease *lease)
{
	bool binding = lease->state == LEASE_BINDING;

	link_break(lease->link);
	lease->region->stats.links_broken++;
	lease_drop_key(lease);
	lease->state = LEASE_LOST;
	lease->due_ns = UINT64_MAX;
	if (binding)
		tell(lease, -ETIMEDOUT);
}

static int post(struct lease *lease, struct ibv_send_wr *wr)
{
	struct ibv_send_wr *bad;
	int error;

	wr->wr_id = (uintptr_t)&lease->work;
	wr->send_flags = IBV_SEND_SIGNALED;
	error = ops_of(lease)->post_send(link_qp(lease->link), wr, &bad);
	if (error)
		return -error;
	due_at(lease, lease->region->now_ns + REGION_ANSWER_NS);
	return 0;
}

/*
 * By the link's queue, which takes its time, but keeps the order of what is posted. If there is no
 * room in it the window is destroyed: that is as good, only slower.
 */
static void take_back(struct lease *lease)
{
	struct ibv_send_wr wr = {.opcode = IBV_WR_LOCAL_INV, .invalidate_rkey = lease->info.rkey};

	if (lease->window && post(lease, &wr) == 0) {
		lease->state = LEASE_UNBINDING;
		return;
	}
	lease_drop_key(lease);
	give_back(lease);
}

void lease_end(struct lease *lease)
{
	if (lease->state == LEASE_ACTIVE)
		take_back(lease);
	else
		lease->unwanted = true;
}

void lease_cut(struct lease *lease)
{
	bool told = lease->state >= LEASE_ACTIVE;

	if (lease->state == LEASE_ACTIVE)
		lease->region->stats.leases_cut++;
	lease_drop_key(lease);
	give_back(lease);
	if (!told)
		tell(lease, -ENOTCONN);
}

/* The key works. */
static void activate(struct lease *lease)
{
	lease->state = LEASE_ACTIVE;
	due_at(lease, lease->info.expires_ns);
	if (!lease->unwanted)
		return tell(lease, 0);
	take_back(lease);
	tell(lease, -ECANCELED);
}

static void bound(struct lease *lease, const struct ibv_wc *completion)
{
	if (completion->status == IBV_WC_SUCCESS) {
		lease->window->rkey = lease->info.rkey;
		return activate(lease);
	}
	lease_drop_key(lease);
	give_back(lease);
	tell(lease, completion->status == IBV_WC_WR_FLUSH_ERR ? -ENOTCONN : -EIO);
}

/* A completion that says what wasn't asked comes a second time. Failed ones don't say. */
static bool is_of(const struct ibv_wc *completion, enum ibv_wc_opcode opcode)
{
	return completion->status != IBV_WC_SUCCESS || completion->opcode == opcode;
}

static void completed(struct link_work *work, struct link *link, const struct ibv_wc *completion)
{
	struct lease *lease = CONTAINER_OF(work, struct lease, work);

	(void)link;
	switch (lease->state) {
	case LEASE_BINDING:
		if (is_of(completion, IBV_WC_BIND_MW))
			bound(lease, completion);
		break;
	case LEASE_UNBINDING:
		/* If it failed the queue pair is broken, and the key with it. */
		if (is_of(completion, IBV_WC_LOCAL_INV)) {
			lease_drop_key(lease);
			give_back(lease);
		}
		break;
	case LEASE_LOST:
		give_back(lease);
		break;
	default:
		break;
	}
}

void lease_look(struct lease *lease)
{
	switch (lease->state) {
	case LEASE_MADE:
		activate(lease);
		break;
	case LEASE_ACTIVE:
		lease->region->stats.leases_expired++;
		lease_end(lease);
		break;
	case LEASE_BINDING:
	case LEASE_UNBINDING:
		lose(lease);
		break;
	default:
		break;
	}
}

static int bind_window(struct lease *lease)
{
	struct ibv_send_wr wr = {.opcode = IBV_WR_BIND_MW};
	struct ibv_mw *window;
	int error;

	window = ops_of(lease)->alloc_mw(device_pd(lease->region->device), IBV_MW_TYPE_2);
	if (!window)
		return errno ? -errno : -ENOMEM;
	lease->window = window;
	lease->info.rkey = ibv_inc_rkey(window->rkey);
	wr.bind_mw.mw = window;
	wr.bind_mw.rkey = lease->info.rkey;
	wr.bind_mw.bind_info = (struct ibv_mw_bind_info){
		.mr = lease->region->mr,
		.addr = lease->info.remote_addr,
		.length = lease->info.size,
		.mw_access_flags = IBV_ACCESS_REMOTE_READ,
	};
	error = post(lease, &wr);
	if (error)
		lease_drop_key(lease);
	else
		lease->state = LEASE_BINDING;
	return error;
}

/* It works at once, but 'done' must not be called before region_grant() has returned. */
static int make_registration(struct lease *lease)
{
	const struct region *region = lease->region;
	uint64_t offset = lease->info.remote_addr - (uintptr_t)region->start;
	char error[DEVICE_ERROR_MAX];
	int result = region_pin(region, offset, lease->info.size, IBV_ACCESS_REMOTE_READ,
				&lease->mr, error, sizeof(error));

	if (result)
		return result;
	lease->info.rkey = lease->mr->rkey;
	lease->state = LEASE_MADE;
	due_at(lease, 0);
	return 0;
}

static int check_grant(const struct region *region, const struct link *link, uint64_t offset,
		       uint64_t size)
{
	if (region->state != REGION_GRANTING)
		return REGION_E_ENDING;
	if (size == 0 || offset > region->size || size > region->size - offset)
		return REGION_E_RANGE;
	return link_state(link) == LINK_READY ? 0 : -ENOTCONN;
}

int region_grant(struct region *region, struct link *link, uint64_t offset, uint64_t size,
		 uint32_t lease_ms, uint64_t now_ns, region_granted_fn done, void *context)
{
	int error = check_grant(region, link, offset, size);
	struct lease *lease;

	if (error)
		return error;
	lease = take(region);
	if (!lease)
		return REGION_E_FULL;
	region->now_ns = MAX(region->now_ns, now_ns);
	lease_ms = MIN(MAX(lease_ms, REGION_LEASE_MS_MIN), REGION_LEASE_MS_MAX);
	*lease = (struct lease){
		.work = {.done = completed},
		.region = region,
		.link = link,
		.done = done,
		.context = context,
		.info = {.id = atomic_fetch_add_explicit(&last_id, 1, memory_order_relaxed) + 1,
			 .remote_addr = (uintptr_t)region->start + offset,
			 .size = size,
			 .lease_ms = lease_ms,
			 .expires_ns = region->now_ns + lease_ms * UINT64_C(1000000)},
	};
	error = region->mr ? bind_window(lease) : make_registration(lease);
	if (!error)
		return 0;
	give_back(lease);
	/* The device has no more of what it takes, or the queue no room. */
	return error == -ENOMEM || error == -ENOSPC ? REGION_E_FULL : error;
}

struct lease_info lease_info(const struct lease *lease)
{
	return lease->info;
}
