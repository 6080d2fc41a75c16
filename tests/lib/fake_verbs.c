/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/fake_verbs.h"

#include "base/defs.h"
#include "tests/lib/fake_verbs_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define GID_COUNT 8

struct fake_world fake_world;

_Noreturn void fake_breach(const char *file, int line, const char *condition)
{
	fprintf(stderr, "%s:%d: a device would be misused: %s\n", file, line, condition);
	abort();
}

bool fake_fails(void)
{
	fake_world.calls++;
	if (fake_world.fail_at == 0 || --fake_world.fail_at > 0)
		return false;
	errno = ENOMEM;
	return true;
}

void *fake_make(size_t size)
{
	void *object = calloc(1, size);

	FAKE_REQUIRE(object);
	fake_world.live++;
	return object;
}

void fake_unmake(void *object)
{
	FAKE_REQUIRE(fake_world.live > 0);
	fake_world.live--;
	free(object);
}

int fake_fd_make(void)
{
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	FAKE_REQUIRE(fd >= 0);
	return fd;
}

void fake_fd_set(int fd, bool readable)
{
	uint64_t number = 1;
	ssize_t size;

	if (readable)
		size = write(fd, &number, sizeof(number));
	else
		size = read(fd, &number, sizeof(number));
	FAKE_REQUIRE(size == sizeof(number) || errno == EAGAIN);
}

unsigned fake_device_index(const struct ibv_device *device)
{
	return (unsigned)(device - fake_world.devices);
}

/*
 * Devices
 */

static struct ibv_device **get_device_list(int *count)
{
	struct ibv_device **list;

	if (fake_fails())
		return NULL;
	list = fake_make((fake_world.config.devices + 1) * sizeof(*list));
	*count = 0;
	for (unsigned i = 0; i < fake_world.config.devices; i++)
		if (!fake_world.removed[i])
			list[(*count)++] = &fake_world.devices[i];
	return list;
}

static void free_device_list(struct ibv_device **list)
{
	fake_unmake(list);
}

static const char *get_device_name(struct ibv_device *device)
{
	return device->name;
}

static struct ibv_context *open_device(struct ibv_device *device)
{
	struct fake_context *context;

	if (fake_fails())
		return NULL;
	context = fake_make(sizeof(*context));
	context->base.device = device;
	context->base.async_fd = fake_fd_make();
	context->next = fake_world.contexts;
	fake_world.contexts = context;
	return &context->base;
}

static int close_device(struct ibv_context *base)
{
	struct fake_context *context = CONTAINER_OF(base, struct fake_context, base);
	struct fake_context **place = &fake_world.contexts;

	FAKE_REQUIRE(context->children == 0);
	while (*place != context)
		place = &(*place)->next;
	*place = context->next;
	while (context->events) {
		struct fake_async *event = context->events;

		context->events = event->next;
		free(event);
	}
	close(context->base.async_fd);
	fake_unmake(context);
	return 0;
}

static int query_device(struct ibv_context *context, struct ibv_device_attr *attr)
{
	const struct fake_verbs_config *config = &fake_world.config;

	if (fake_fails())
		return ENOMEM;
	*attr = (struct ibv_device_attr){
		.max_mr_size = UINT64_MAX,
		.max_qp = 65536,
		.max_qp_wr = 16384,
		.device_cap_flags = config->no_windows ? 0 : IBV_DEVICE_MEM_WINDOW_TYPE_2B,
		.max_sge = FAKE_SGE_MAX,
		.max_cq = 65536,
		.max_cqe = config->cqe_max ? config->cqe_max : 32767,
		.max_mr = 65536,
		.max_pd = 65536,
		.max_qp_rd_atom = config->read_max ? config->read_max : 16,
		.max_qp_init_rd_atom = config->read_max ? config->read_max : 16,
		.max_mw = config->no_windows ? 0 : 65536,
		.max_srq = 1024,
		.max_srq_wr = 16384,
		.max_srq_sge = FAKE_SGE_MAX,
		.phys_port_cnt = 1,
	};
	return 0;
}

static int query_port(struct ibv_context *context, uint8_t port, struct ibv_port_attr *attr)
{
	unsigned device = fake_device_index(context->device);
	bool down = fake_world.removed[device] || (device == 0 && fake_world.config.port_down);

	if (fake_fails())
		return ENOMEM;
	if (port != 1)
		return EINVAL;
	*attr = (struct ibv_port_attr){
		.state = down ? IBV_PORT_DOWN : IBV_PORT_ACTIVE,
		.max_mtu = IBV_MTU_4096,
		.active_mtu = IBV_MTU_4096,
		.gid_tbl_len = GID_COUNT,
		.link_layer = IBV_LINK_LAYER_ETHERNET,
	};
	return 0;
}

/* 0: link local, v1. 1: the same, v2. 2: IPv4, v1. 3: IPv4, v2. The others are empty. */
static int query_gid_ex(struct ibv_context *context, uint32_t port, uint32_t index,
			struct ibv_gid_entry *entry, uint32_t flags)
{
	static const uint8_t mapped[12] = {[10] = 0xFF, [11] = 0xFF};
	uint8_t last = (uint8_t)(fake_device_index(context->device) + 1);

	(void)port, (void)flags;
	if (index >= 4)
		return ENODATA;
	*entry = (struct ibv_gid_entry){
		.gid_index = index,
		.port_num = 1,
		.gid_type = index & 1 ? IBV_GID_TYPE_ROCE_V2 : IBV_GID_TYPE_ROCE_V1,
	};
	if (index < 2) {
		entry->gid.raw[0] = 0xFE;
		entry->gid.raw[1] = 0x80;
		entry->gid.raw[15] = last;
	} else {
		memcpy(entry->gid.raw, mapped, sizeof(mapped));
		memcpy(entry->gid.raw + 12, (const uint8_t[]){10, 77, 0, last}, 4);
	}
	return 0;
}

void fake_async_push(struct fake_context *context, struct ibv_async_event event)
{
	struct fake_async *entry = calloc(1, sizeof(*entry));
	struct fake_async **place = &context->events;

	FAKE_REQUIRE(entry);
	entry->event = event;
	while (*place)
		place = &(*place)->next;
	*place = entry;
	fake_fd_set(context->base.async_fd, true);
}

static int get_async_event(struct ibv_context *base, struct ibv_async_event *event)
{
	struct fake_context *context = CONTAINER_OF(base, struct fake_context, base);
	struct fake_async *entry = context->events;

	if (!entry) {
		errno = EAGAIN;
		return -1;
	}
	*event = entry->event;
	context->events = entry->next;
	free(entry);
	if (!context->events)
		fake_fd_set(base->async_fd, false);
	return 0;
}

static void ack_async_event(struct ibv_async_event *event)
{
	(void)event;
}

void fake_verbs_event(const char *name, enum ibv_event_type type)
{
	for (struct fake_context *context = fake_world.contexts; context; context = context->next)
		if (strcmp(context->base.device->name, name) == 0)
			fake_async_push(context, (struct ibv_async_event){.event_type = type,
									  .element.port_num = 1});
}

void fake_verbs_remove(const char *name)
{
	for (unsigned i = 0; i < fake_world.config.devices; i++) {
		if (strcmp(fake_world.devices[i].name, name) != 0)
			continue;
		fake_world.removed[i] = true;
		fake_cm_remove(i);
		for (struct fake_qp *qp = fake_world.qps; qp; qp = qp->next)
			if (qp->base.context->device == &fake_world.devices[i])
				fake_qp_break(qp);
	}
	fake_verbs_event(name, IBV_EVENT_DEVICE_FATAL);
}

void fake_verbs_remove_waiting(const char *name)
{
	for (unsigned i = 0; i < fake_world.config.devices; i++)
		if (strcmp(fake_world.devices[i].name, name) == 0)
			fake_cm_remove(i);
}

/*
 * Memory
 */

static struct ibv_pd *alloc_pd(struct ibv_context *base)
{
	struct fake_pd *pd;

	if (fake_fails())
		return NULL;
	pd = fake_make(sizeof(*pd));
	pd->base.context = base;
	CONTAINER_OF(base, struct fake_context, base)->children++;
	return &pd->base;
}

static int dealloc_pd(struct ibv_pd *base)
{
	struct fake_pd *pd = CONTAINER_OF(base, struct fake_pd, base);

	if (pd->children > 0)
		return EBUSY;
	CONTAINER_OF(base->context, struct fake_context, base)->children--;
	fake_unmake(pd);
	return 0;
}

/* Keys are never used again, and differ in more than the byte that windows count in. */
static uint32_t new_key(void)
{
	fake_world.next_key += 0x100;
	return fake_world.next_key | (uint32_t)rand_below(&fake_world.rand, 0x100);
}

static struct ibv_mr *reg_mr(struct ibv_pd *pd, void *start, size_t size, int access)
{
	struct fake_mr *mr;

	if (size == 0) {
		errno = EINVAL;
		return NULL;
	}
	if (fake_fails())
		return NULL;
	mr = fake_make(sizeof(*mr));
	mr->base = (struct ibv_mr){
		.context = pd->context, .pd = pd, .addr = start, .length = size, .lkey = new_key()};
	mr->base.rkey = mr->base.lkey;
	mr->access = access;
	mr->next = fake_world.mrs;
	fake_world.mrs = mr;
	CONTAINER_OF(pd, struct fake_pd, base)->children++;
	return &mr->base;
}

static int dereg_mr(struct ibv_mr *base)
{
	struct fake_mr *mr = CONTAINER_OF(base, struct fake_mr, base);
	struct fake_mr **place = &fake_world.mrs;

	if (mr->windows > 0)
		return EINVAL;
	while (*place != mr)
		place = &(*place)->next;
	*place = mr->next;
	CONTAINER_OF(base->pd, struct fake_pd, base)->children--;
	fake_unmake(mr);
	return 0;
}

static struct ibv_mw *alloc_mw(struct ibv_pd *pd, enum ibv_mw_type type)
{
	struct fake_mw *mw;

	if (fake_world.config.no_windows || type != IBV_MW_TYPE_2) {
		errno = EOPNOTSUPP;
		return NULL;
	}
	if (fake_fails())
		return NULL;
	mw = fake_make(sizeof(*mw));
	mw->base =
		(struct ibv_mw){.context = pd->context, .pd = pd, .rkey = new_key(), .type = type};
	mw->next = fake_world.mws;
	fake_world.mws = mw;
	CONTAINER_OF(pd, struct fake_pd, base)->children++;
	return &mw->base;
}

static void unbind(struct fake_mw *mw)
{
	if (!mw->mr)
		return;
	mw->mr->windows--;
	CONTAINER_OF(mw->qp, struct fake_qp, base)->windows--;
	mw->mr = NULL;
	mw->qp = NULL;
}

static int dealloc_mw(struct ibv_mw *base)
{
	struct fake_mw *mw = CONTAINER_OF(base, struct fake_mw, base);
	struct fake_mw **place = &fake_world.mws;

	unbind(mw);
	while (*place != mw)
		place = &(*place)->next;
	*place = mw->next;
	CONTAINER_OF(base->pd, struct fake_pd, base)->children--;
	fake_unmake(mw);
	return 0;
}

static bool inside(uint64_t addr, uint64_t size, uint64_t start, uint64_t length)
{
	return addr >= start && size <= length && addr - start <= length - size;
}

uint8_t *fake_local(const struct ibv_pd *pd, const struct ibv_sge *sge, int access)
{
	for (struct fake_mr *mr = fake_world.mrs; mr; mr = mr->next)
		if (mr->base.lkey == sge->lkey && mr->base.pd == pd &&
		    (mr->access & access) == access &&
		    inside(sge->addr, sge->length, (uintptr_t)mr->base.addr, mr->base.length))
			return (uint8_t *)(uintptr_t)sge->addr;
	return NULL;
}

const uint8_t *fake_remote(const struct fake_qp *qp, uint64_t addr, uint64_t size, uint32_t rkey)
{
	for (struct fake_mr *mr = fake_world.mrs; mr; mr = mr->next)
		if (mr->base.rkey == rkey && mr->base.pd == qp->base.pd &&
		    (mr->access & IBV_ACCESS_REMOTE_READ) &&
		    inside(addr, size, (uintptr_t)mr->base.addr, mr->base.length))
			return (const uint8_t *)(uintptr_t)addr;
	for (struct fake_mw *mw = fake_world.mws; mw; mw = mw->next)
		if (mw->mr && mw->rkey == rkey && mw->qp == &qp->base &&
		    (mw->access & IBV_ACCESS_REMOTE_READ) &&
		    inside(addr, size, mw->addr, mw->length))
			return (const uint8_t *)(uintptr_t)addr;
	return NULL;
}

/* A window of type 2: it must be free, and its key differ in the low byte alone. */
enum ibv_wc_status fake_bind(struct fake_qp *qp, const struct ibv_send_wr *wr)
{
	struct fake_mw *mw = CONTAINER_OF(wr->bind_mw.mw, struct fake_mw, base);
	const struct ibv_mw_bind_info *info = &wr->bind_mw.bind_info;
	struct fake_mr *mr = CONTAINER_OF(info->mr, struct fake_mr, base);

	if (mw->mr || mw->base.pd != qp->base.pd || mr->base.pd != qp->base.pd ||
	    (wr->bind_mw.rkey ^ mw->base.rkey) >> 8 || wr->bind_mw.rkey == mw->rkey ||
	    !(mr->access & IBV_ACCESS_MW_BIND) ||
	    !inside(info->addr, info->length, (uintptr_t)mr->base.addr, mr->base.length))
		return IBV_WC_MW_BIND_ERR;
	mw->mr = mr;
	mw->qp = &qp->base;
	mw->rkey = wr->bind_mw.rkey;
	mw->addr = info->addr;
	mw->length = info->length;
	mw->access = info->mw_access_flags;
	mr->windows++;
	qp->windows++;
	return IBV_WC_SUCCESS;
}

enum ibv_wc_status fake_invalidate(struct fake_qp *qp, uint32_t rkey)
{
	for (struct fake_mw *mw = fake_world.mws; mw; mw = mw->next)
		if (mw->mr && mw->rkey == rkey && mw->qp == &qp->base) {
			unbind(mw);
			return IBV_WC_SUCCESS;
		}
	return IBV_WC_MW_BIND_ERR;
}

/*
 * World
 */

const struct verbs_ops *fake_verbs_new(const struct fake_verbs_config *config)
{
	static struct verbs_ops ops;

	FAKE_REQUIRE(fake_world.live == 0);
	FAKE_REQUIRE(config->devices <= FAKE_VERBS_DEVICE_MAX);
	memset(&fake_world, 0, sizeof(fake_world));
	fake_world.config = *config;
	fake_world.next_port = 40000;
	rand_init(&fake_world.rand, config->seed);
	for (unsigned i = 0; i < config->devices; i++) {
		struct ibv_device *device = &fake_world.devices[i];

		snprintf(device->name, sizeof(device->name), "fake%u", i);
		device->transport_type = IBV_TRANSPORT_IB;
		fake_world.cm_contexts[i].base.device = device;
	}
	ops = (struct verbs_ops){
		.get_device_list = get_device_list,
		.free_device_list = free_device_list,
		.get_device_name = get_device_name,
		.open_device = open_device,
		.close_device = close_device,
		.query_device = query_device,
		.query_port = query_port,
		.query_gid_ex = query_gid_ex,
		.get_async_event = get_async_event,
		.ack_async_event = ack_async_event,
		.alloc_pd = alloc_pd,
		.dealloc_pd = dealloc_pd,
		.reg_mr = reg_mr,
		.dereg_mr = dereg_mr,
		.alloc_mw = alloc_mw,
		.dealloc_mw = dealloc_mw,
	};
	fake_queue_ops(&ops);
	fake_cm_ops(&ops);
	return &ops;
}

unsigned fake_verbs_live(void)
{
	return fake_world.live;
}

uint64_t fake_verbs_not_ready(void)
{
	return fake_world.not_ready;
}

void fake_verbs_fail_at(unsigned n)
{
	fake_world.fail_at = n;
}

unsigned fake_verbs_calls(void)
{
	return fake_world.calls;
}

void fake_verbs_set_faults(const struct fake_verbs_faults *faults)
{
	fake_world.faults = *faults;
}

void fake_verbs_cut(bool cut)
{
	fake_world.cut = cut;
}

void fake_verbs_slow_addresses(unsigned count)
{
	fake_world.slow_addresses = count;
}

void fake_verbs_mangle(fake_verbs_mangle_fn mangle, void *context)
{
	fake_world.mangle = mangle;
	fake_world.mangle_context = context;
}

void fake_verbs_mangle_send(fake_verbs_mangle_fn mangle, void *context)
{
	fake_world.mangle_send = mangle;
	fake_world.mangle_send_context = context;
}
