/* SPDX-License-Identifier: Apache-2.0 */
#include "rdma/device.h"

#include "base/check.h"
#include "base/defs.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

/* GIDs of a port that are looked at. Devices have 16 to 1024. */
#define DEVICE_GID_MAX 1024

struct device {
	const struct verbs_ops *ops; /* borrowed */
	struct ibv_context *context;
	struct ibv_pd *pd;
	struct device_info info;
	_Atomic bool removed;
	_Atomic uint32_t alarms;
};

const char *device_transport_name(enum device_transport transport)
{
	static const char *const names[] = {
		[DEVICE_INFINIBAND] = "infiniband",
		[DEVICE_ROCE_V1] = "roce v1",
		[DEVICE_ROCE_V2] = "roce v2",
	};

	CHECK((size_t)transport < ARRAY_COUNT(names));
	return names[transport];
}

static enum device_transport gid_transport(const struct ibv_gid_entry *entry)
{
	switch (entry->gid_type) {
	case IBV_GID_TYPE_IB:
		return DEVICE_INFINIBAND;
	case IBV_GID_TYPE_ROCE_V1:
		return DEVICE_ROCE_V1;
	default:
		return DEVICE_ROCE_V2;
	}
}

/* How much a GID is wanted: 0 is not at all. */
static int gid_rank(const struct ibv_gid_entry *entry)
{
	struct addr addr = {0};
	bool link_local = entry->gid.raw[0] == 0xFE && (entry->gid.raw[1] & 0xC0) == 0x80;
	int rank = gid_transport(entry) == DEVICE_ROCE_V1 ? 1 : 4;

	memcpy(addr.ip, entry->gid.raw, sizeof(addr.ip));
	if (addr_is_ipv4(&addr))
		return rank + 2;
	return link_local ? rank : rank + 1;
}

static void name_netdev(const struct ibv_gid_entry *entry, char to[DEVICE_NAME_MAX])
{
	char name[IF_NAMESIZE] = "";

	if (entry->ndev_ifindex)
		(void)if_indextoname(entry->ndev_ifindex, name);
	snprintf(to, DEVICE_NAME_MAX, "%s", name);
}

static void take_gid(struct device_info *info, const struct ibv_gid_entry *entry)
{
	info->transport = gid_transport(entry);
	info->gid_index = entry->gid_index;
	memcpy(info->gid, entry->gid.raw, sizeof(info->gid));
	name_netdev(entry, info->netdev);
}

/* Takes the GID that is wanted, or the best. Returns 0 or -ENODEV. */
static int choose_gid(const struct verbs_ops *ops, struct ibv_context *context, int wanted,
		      uint32_t count, struct device_info *info)
{
	int best = 0;

	for (uint32_t i = 0; i < MIN(count, DEVICE_GID_MAX); i++) {
		struct ibv_gid_entry entry = {0};
		int rank;

		/* Places of the table that hold nothing answer ENODATA. */
		if (wanted >= 0 && i != (uint32_t)wanted)
			continue;
		if (ops->query_gid_ex(context, info->port, i, &entry, 0) != 0)
			continue;
		rank = gid_rank(&entry);
		if (rank > best) {
			best = rank;
			take_gid(info, &entry);
		}
	}
	return best > 0 ? 0 : -ENODEV;
}

static void take_port(struct device_info *info, uint8_t port, const struct ibv_port_attr *attr)
{
	info->port = port;
	info->active = attr->state == IBV_PORT_ACTIVE;
	info->mtu = 128U << attr->active_mtu;
}

static void take_limits(struct device_info *info, const struct ibv_device_attr *attr)
{
	info->read_out_max = (uint32_t)MAX(attr->max_qp_init_rd_atom, 0);
	info->read_in_max = (uint32_t)MAX(attr->max_qp_rd_atom, 0);
	info->qp_max = (uint32_t)MAX(attr->max_qp, 0);
	info->wr_max = (uint32_t)MAX(attr->max_qp_wr, 0);
	info->cqe_max = (uint32_t)MAX(attr->max_cqe, 0);
	info->srq_wr_max = attr->max_srq > 0 ? (uint32_t)MAX(attr->max_srq_wr, 0) : 0;
	info->mr_size_max = attr->max_mr_size;
	info->has_windows = (attr->device_cap_flags & IBV_DEVICE_MEM_WINDOW_TYPE_2B) != 0;
}

/*
 * Fills 'info' from the port that is wanted, or the first that is up, or the first. Returns 0 or
 * a negative errno with what is wrong in 'error'.
 */
static int look_at(const struct verbs_ops *ops, struct ibv_context *context,
		   const struct device_options *options, struct device_info *info, char *error,
		   size_t error_size)
{
	struct ibv_device_attr attr = {0};
	uint32_t gid_count = 0;

	if (ops->query_device(context, &attr) != 0) {
		snprintf(error, error_size, "device %s doesn't tell its limits", info->name);
		return -EIO;
	}
	take_limits(info, &attr);
	for (uint8_t port = attr.phys_port_cnt; port > 0; port--) {
		struct ibv_port_attr port_attr = {0};

		if ((options->port && port != options->port) ||
		    ops->query_port(context, port, &port_attr) != 0)
			continue;
		/* Downward, so that the lowest of those that are up is the last one taken. */
		if (info->active && port_attr.state != IBV_PORT_ACTIVE)
			continue;
		take_port(info, port, &port_attr);
		gid_count = (uint32_t)MAX(port_attr.gid_tbl_len, 0);
	}
	if (info->port == 0) {
		snprintf(error, error_size, "device %s has no port %u: it has 1 to %u", info->name,
			 options->port, attr.phys_port_cnt);
		return -ENODEV;
	}
	if (choose_gid(ops, context, options->gid_index, gid_count, info) == 0)
		return 0;
	if (options->gid_index >= 0)
		snprintf(error, error_size,
			 "device %s port %u has no GID %d: choose one of "
			 "/sys/class/infiniband/%s/ports/%u/gids that isn't zero, or leave it out",
			 info->name, info->port, options->gid_index, info->name, info->port);
	else
		snprintf(error, error_size,
			 "device %s port %u has no GID: give its network interface an address",
			 info->name, info->port);
	return -ENODEV;
}

/* Opens one of the list, for a look. Returns 0 or a negative errno. */
static int open_one(const struct verbs_ops *ops, struct ibv_device *entry,
		    const struct device_options *options, struct device_info *info,
		    struct ibv_context **ret_context, char *error, size_t error_size)
{
	struct ibv_context *context;
	int status;

	memset(info, 0, sizeof(*info));
	snprintf(info->name, sizeof(info->name), "%s", ops->get_device_name(entry));
	context = ops->open_device(entry);
	if (!context) {
		status = errno ? -errno : -EIO;
		snprintf(error, error_size,
			 "device %s can't be opened: %s; may this user open /dev/infiniband?",
			 info->name, strerror(-status));
		return status;
	}
	status = look_at(ops, context, options, info, error, error_size);
	if (status < 0) {
		(void)ops->close_device(context);
		return status;
	}
	*ret_context = context;
	return 0;
}

/* Opens the first of the list that is wanted and up, else the first that is wanted. */
static int open_wanted(const struct verbs_ops *ops, struct ibv_device **list, int count,
		       const struct device_options *options, struct device *device, char *error,
		       size_t error_size)
{
	int status = -ENODEV;

	if (options->name)
		snprintf(error, error_size, "there is no RDMA device %s: 'tern info' lists them",
			 options->name);
	for (int i = 0; i < count; i++) {
		struct ibv_context *context = NULL;
		struct device_info info;
		int one;

		if (options->name && strcmp(options->name, ops->get_device_name(list[i])) != 0)
			continue;
		one = open_one(ops, list[i], options, &info, &context, error, error_size);
		if (one < 0) {
			if (!device->context)
				status = one;
			continue;
		}
		if (device->context && !info.active) {
			(void)ops->close_device(context);
			continue;
		}
		if (device->context)
			(void)ops->close_device(device->context);
		device->context = context;
		device->info = info;
		status = 0;
		if (info.active)
			break;
	}
	return status;
}

/* Makes what needs the context. On failure the caller closes. */
static int finish(struct device *device, char *error, size_t error_size)
{
	int fd = device->context->async_fd;
	int flags = fcntl(fd, F_GETFL);

	if (!device->info.active) {
		snprintf(error, error_size,
			 "device %s port %u is down: bring up its network interface%s%s",
			 device->info.name, device->info.port, device->info.netdev[0] ? " " : "",
			 device->info.netdev);
		return -ENETDOWN;
	}
	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0) {
		snprintf(error, error_size, "device %s: its events would block", device->info.name);
		return -errno;
	}
	device->pd = device->ops->alloc_pd(device->context);
	if (!device->pd) {
		int status = errno ? -errno : -EIO;

		snprintf(error, error_size, "device %s gives no protection domain: %s",
			 device->info.name, strerror(-status));
		return status;
	}
	return 0;
}

int device_open(const struct verbs_ops *ops, const struct device_options *options,
		struct device **ret_device, char *error, size_t error_size)
{
	struct device *device = calloc(1, sizeof(*device));
	struct ibv_device **list;
	int count = 0;
	int status;

	if (!device) {
		snprintf(error, error_size, "no memory for a device");
		return -ENOMEM;
	}
	device->ops = ops;
	list = ops->get_device_list(&count);
	if (!list || count == 0) {
		snprintf(error, error_size,
			 "this machine has no RDMA device: load its driver, or for SoftRoCE "
			 "'modprobe rdma_rxe; rdma link add rxe0 type rxe netdev IF'");
		status = -ENODEV;
	} else {
		status = open_wanted(ops, list, count, options, device, error, error_size);
	}
	if (list)
		ops->free_device_list(list);
	if (device->context)
		status = finish(device, error, error_size);
	if (status < 0) {
		device_close(device);
		return status;
	}
	*ret_device = device;
	return 0;
}

void device_given_back(const struct device *device, int result)
{
	CHECK(result == 0 || result == EIO || (result == -1 && errno == EIO) ||
	      device_is_removed(device));
}

void device_close(struct device *device)
{
	if (!device)
		return;
	if (device->pd)
		device_given_back(device, device->ops->dealloc_pd(device->pd));
	if (device->context)
		(void)device->ops->close_device(device->context);
	free(device);
}

const struct device_info *device_info(const struct device *device)
{
	return &device->info;
}

const struct verbs_ops *device_ops(const struct device *device)
{
	return device->ops;
}

struct ibv_context *device_context(struct device *device)
{
	return device->context;
}

struct ibv_pd *device_pd(struct device *device)
{
	return device->pd;
}

bool device_addr(const struct device *device, uint16_t port, struct addr *ret_addr)
{
	if (device->info.transport == DEVICE_INFINIBAND)
		return false;
	memcpy(ret_addr->ip, device->info.gid, sizeof(ret_addr->ip));
	ret_addr->port = port;
	return true;
}

unsigned device_gids(const struct device *device, struct device_gid *gids, unsigned count)
{
	const struct verbs_ops *ops = device->ops;
	struct ibv_port_attr attr = {0};
	unsigned found = 0;

	if (ops->query_port(device->context, device->info.port, &attr) != 0)
		return 0;
	for (int i = 0; i < MIN(attr.gid_tbl_len, DEVICE_GID_MAX) && found < count; i++) {
		struct device_gid *gid = &gids[found];
		struct ibv_gid_entry entry = {0};

		if (ops->query_gid_ex(device->context, device->info.port, (uint32_t)i, &entry, 0) !=
		    0)
			continue;
		gid->index = entry.gid_index;
		gid->transport = gid_transport(&entry);
		memcpy(gid->gid, entry.gid.raw, sizeof(gid->gid));
		name_netdev(&entry, gid->netdev);
		found++;
	}
	return found;
}

/* What to do when memory can't be pinned: nearly always the limit of locked memory. */
static void say_memlock(const struct device *device, uint64_t size, char *error, size_t error_size)
{
	struct rlimit limit = {0};

	if (getrlimit(RLIMIT_MEMLOCK, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY)
		snprintf(
			error, error_size,
			"device %s can't pin %llu bytes: RLIMIT_MEMLOCK is %llu bytes; raise it by "
			"'ulimit -l unlimited', or LimitMEMLOCK=infinity in the systemd unit",
			device->info.name, (unsigned long long)size,
			(unsigned long long)limit.rlim_cur);
	else
		snprintf(error, error_size,
			 "device %s can't pin %llu bytes: the machine has too little free memory",
			 device->info.name, (unsigned long long)size);
}

int device_register(struct device *device, const void *start, uint64_t size, int access,
		    struct ibv_mr **ret_mr, char *error, size_t error_size)
{
	struct ibv_mr *mr = device->ops->reg_mr(device->pd, (void *)start, size, access);
	int status;

	if (mr) {
		*ret_mr = mr;
		return 0;
	}
	status = errno ? -errno : -EIO;
	if (status == -ENOMEM || status == -EAGAIN)
		say_memlock(device, size, error, error_size);
	else
		snprintf(error, error_size, "device %s can't register %llu bytes: %s",
			 device->info.name, (unsigned long long)size, strerror(-status));
	return status;
}

unsigned device_list(const struct verbs_ops *ops, struct device_info *infos, unsigned count)
{
	static const struct device_options any = {.gid_index = -1};
	char error[DEVICE_ERROR_MAX];
	unsigned filled = 0;
	int found = 0;
	struct ibv_device **list = ops->get_device_list(&found);

	for (int i = 0; list && i < found && filled < MIN(count, DEVICE_LIST_MAX); i++) {
		struct ibv_context *context = NULL;

		if (open_one(ops, list[i], &any, &infos[filled], &context, error, sizeof(error)) <
		    0) {
			log_debug("%s", error);
			continue;
		}
		(void)ops->close_device(context);
		filled++;
	}
	if (list)
		ops->free_device_list(list);
	return filled;
}

int device_event_fd(const struct device *device)
{
	return device->context->async_fd;
}

/* Looks at the port again. */
static enum device_event port_changed(struct device *device)
{
	struct ibv_port_attr attr = {0};

	if (device->ops->query_port(device->context, device->info.port, &attr) == 0)
		take_port(&device->info, device->info.port, &attr);
	return DEVICE_EVENT_PORT;
}

enum device_event device_event(struct device *device)
{
	struct ibv_async_event event;

	if (device->ops->get_async_event(device->context, &event) != 0)
		return DEVICE_EVENT_NONE;
	device->ops->ack_async_event(&event);
	switch (event.event_type) {
	case IBV_EVENT_DEVICE_FATAL:
		atomic_store_explicit(&device->removed, true, memory_order_relaxed);
		/* Who sees the alarm sees the reason: pairs with link_hub_turn(). */
		atomic_fetch_add_explicit(&device->alarms, 1, memory_order_release);
		return DEVICE_EVENT_REMOVED;
	case IBV_EVENT_PORT_ACTIVE:
	case IBV_EVENT_PORT_ERR:
	case IBV_EVENT_LID_CHANGE:
	case IBV_EVENT_GID_CHANGE:
		return port_changed(device);
	case IBV_EVENT_QP_FATAL:
	case IBV_EVENT_QP_REQ_ERR:
	case IBV_EVENT_QP_ACCESS_ERR:
		atomic_fetch_add_explicit(&device->alarms, 1, memory_order_release);
		return DEVICE_EVENT_OTHER;
	default:
		log_debug("device %s event %d", device->info.name, (int)event.event_type);
		return DEVICE_EVENT_OTHER;
	}
}

bool device_is_removed(const struct device *device)
{
	return atomic_load_explicit(&device->removed, memory_order_relaxed);
}

const _Atomic uint32_t *device_alarms(const struct device *device)
{
	return &device->alarms;
}
