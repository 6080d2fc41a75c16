/* SPDX-License-Identifier: Apache-2.0 */
#include "net/dpdk_device.h"

#include "base/defs.h"
#include "net/dpdk_env.h"
#include "net/port_error.h"
#include "proto/session.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <rte_cycles.h>
#include <rte_dev.h>
#include <rte_devargs.h>
#include <rte_errno.h>
#include <rte_flow.h>
#include <rte_log.h>

#define DESCRIPTOR_COUNT_DEFAULT 512

#define MTU_ETHERNET 1500

/* How long opening waits for a memif client's link. */
#define LINK_WAIT_MS 1000

/* IP and UDP headers in front of a payload, by the family with the longer ones. */
#define HEADERS_IPV4 (20 + 8)
#define HEADERS_IPV6 (40 + 8)

/*
 * Drivers in software describe themselves loosely: offloads that they compute
 * on the same core, and a frame size that their data path doesn't know.
 */
struct traits {
	const char *driver;
	bool any_size;       /* frames may be larger than it says */
	bool in_memory;      /* no link limits frames, or damages them: jumbo unless configured */
	bool accept_partial; /* hands over what this host's kernel sent, checksums undone */
	bool single_queue;   /* more queues than the peer's never connect: only when configured */
};

static const struct traits software_drivers[] = {
	{"net_memif", .any_size = true, .in_memory = true, .single_queue = true},
	{"net_ring", .any_size = true, .in_memory = true},
	{"net_af_packet", .any_size = true, .accept_partial = true},
	{"net_af_xdp", .accept_partial = true},
	{"net_tap", .accept_partial = true},
};

static const struct traits *software_traits(const struct rte_eth_dev_info *info)
{
	for (size_t i = 0; i < ARRAY_COUNT(software_drivers); i++)
		if (strcmp(info->driver_name, software_drivers[i].driver) == 0)
			return &software_drivers[i];
	return NULL;
}

/* --- memif --- */

/*
 * DPDK 22.11 loses count of memif's ring when a frame needs more than one of
 * its buffers (2048 bytes by default): both sides then read garbage for ever.
 * So a buffer holds any frame: we say its size unless the operator did.
 */
static bool is_memif(const char *device)
{
	return strncmp(device, "net_memif", strlen("net_memif")) == 0;
}

/* What the device text says of the buffers' size; 0 when it doesn't. */
static uint32_t memif_buffer_size(const char *device)
{
	const char *at = strstr(device, ",bsize=");
	unsigned value = 0;

	if (at)
		(void)sscanf(at, ",bsize=%u", &value);
	return value;
}

/* Has any process a socket of this path? The kernel lists them, the path last. */
static bool socket_is_in_use(const char *path)
{
	FILE *file = fopen("/proc/net/unix", "re");
	char line[PORT_DPDK_DEVICE_MAX + 128];
	bool found = !file; /* not known: better leave it */

	while (file && !found && fgets(line, sizeof(line), file)) {
		const char *at = strchr(line, '/');

		line[strcspn(line, "\n")] = 0;
		found = at && strcmp(at, path) == 0;
	}
	if (file)
		fclose(file);
	return found;
}

/*
 * A server that was killed leaves its socket behind, and the next one would be
 * told that the address is in use. To find out by connecting would be rude:
 * DPDK 22.11's server ends its process when who connects is gone before its
 * greeting.
 */
static void remove_stale_socket(const char *device)
{
	char path[PORT_DPDK_DEVICE_MAX];
	const char *at = strstr(device, ",socket=");
	struct stat status;

	if (!at || !strstr(device, "role=server") || !strstr(device, "socket-abstract=no"))
		return;
	at += strlen(",socket=");
	(void)snprintf(path, sizeof(path), "%.*s", (int)strcspn(at, ","), at);
	if (stat(path, &status) == 0 && S_ISSOCK(status.st_mode) && !socket_is_in_use(path))
		(void)unlink(path);
}

static uint32_t wanted_frame_size(const struct port_dpdk_config *config)
{
	return config->frame_size ? config->frame_size : SESSION_FRAME_SIZE_MAX;
}

/* The arguments to attach by. Returns false when they don't fit. */
static bool complete_arguments(const struct port_dpdk_config *config, char *text, size_t size)
{
	uint32_t buffer = (uint32_t)align_up(wanted_frame_size(config) + ETHER_OVERHEAD_MAX, 64);
	int length;

	if (is_memif(config->device) && !strstr(config->device, ",bsize="))
		length = snprintf(text, size, "%s,bsize=%u", config->device, buffer);
	else
		length = snprintf(text, size, "%s", config->device);
	return (size_t)length < size;
}

/* --- finding --- */

static int find(const char *name, uint16_t *ret_id)
{
	return rte_eth_dev_get_port_by_name(name, ret_id);
}

static int attach(const struct port_dpdk_config *config, struct dpdk_device *found, char *error,
		  size_t error_size)
{
	char name[PORT_DPDK_DEVICE_MAX], arguments[PORT_DPDK_DEVICE_MAX];
	const char *device = config->device;
	size_t length = strcspn(device, ",");

	if (length == 0 || !complete_arguments(config, arguments, sizeof(arguments)))
		return port_error(error, error_size, -EINVAL, "'%.64s' names no device", device);
	memcpy(name, device, length);
	name[length] = 0;
	if (find(name, &found->id) == 0)
		return 0;
	if (is_memif(device))
		remove_stale_socket(device);
	if (rte_dev_probe(arguments) == 0 && find(name, &found->id) == 0) {
		found->attached = true;
		return 0;
	}
	/* Drivers' own codes say nothing: -1 may be anything. Their reason stands in DPDK's log. */
	return port_error(
		error, error_size, -ENODEV,
		"DPDK can't attach '%s': check its arguments and rights (AF_PACKET and AF_XDP "
		"need root or CAP_NET_RAW, TAP CAP_NET_ADMIN), that its interface exists and "
		"no other process uses it; `tern info` lists drivers",
		device);
}

/* --- deciding --- */

static uint32_t headers(const struct port_dpdk_config *config)
{
	return config->ipv6.present ? HEADERS_IPV6 : HEADERS_IPV4;
}

/* The largest payload that the driver admits to. */
static uint32_t frame_size_limit(const struct dpdk_device *device, uint32_t header_size)
{
	uint32_t mtu = device->info.max_mtu;

	if (device->info.max_rx_pktlen > RTE_ETHER_HDR_LEN + RTE_ETHER_CRC_LEN)
		mtu = MIN(mtu, device->info.max_rx_pktlen - RTE_ETHER_HDR_LEN - RTE_ETHER_CRC_LEN);
	return mtu > header_size ? mtu - header_size : 0;
}

static int choose_frame_size(struct dpdk_device *device, const struct port_dpdk_config *config,
			     char *error, size_t error_size)
{
	const struct traits *traits = software_traits(&device->info);
	uint32_t header_size = headers(config), limit = frame_size_limit(device, header_size);

	if (traits && traits->any_size)
		limit = SESSION_FRAME_SIZE_MAX;
	if (is_memif(config->device) && memif_buffer_size(config->device) > ETHER_OVERHEAD_MAX)
		limit = MIN(limit, memif_buffer_size(config->device) - ETHER_OVERHEAD_MAX);
	device->frame_size = config->frame_size;
	if (config->frame_size == 0)
		device->frame_size = traits && traits->in_memory
					     ? limit
					     : MIN(limit, MTU_ETHERNET - HEADERS_IPV6);
	if (limit < SESSION_FRAME_SIZE_MIN)
		return port_error(error, error_size, -EINVAL,
				  "%s (%s) carries only %u bytes of payload: %d are needed",
				  config->device, device->info.driver_name, limit,
				  SESSION_FRAME_SIZE_MIN);
	if (device->frame_size > limit || device->frame_size < SESSION_FRAME_SIZE_MIN)
		return port_error(error, error_size, -EINVAL,
				  "frame size %u: %s (%s) carries %d to %u bytes",
				  device->frame_size, config->device, device->info.driver_name,
				  SESSION_FRAME_SIZE_MIN, limit);
	if (!(traits && traits->any_size) && device->frame_size + header_size > MTU_ETHERNET)
		device->mtu = device->frame_size + header_size;
	return 0;
}

static void choose_queues(struct dpdk_device *device, const struct port_dpdk_config *config)
{
	const struct traits *traits = software_traits(&device->info);
	uint32_t wanted = config->device_queue_count;

	if (wanted == 0)
		wanted = traits && traits->single_queue ? 1 : config->queue_count;
	wanted = MIN(wanted, config->queue_count);
	device->receive_queues = MAX(MIN(wanted, device->info.max_rx_queues), 1u);
	device->send_queues = MAX(MIN(wanted, device->info.max_tx_queues), 1u);
}

static void choose_offloads(struct dpdk_device *device, const struct port_dpdk_config *config)
{
	if (software_traits(&device->info))
		return;
	device->receive_offloads = device->info.rx_offload_capa &
				   (RTE_ETH_RX_OFFLOAD_IPV4_CKSUM | RTE_ETH_RX_OFFLOAD_UDP_CKSUM);
	device->send_offloads = device->info.tx_offload_capa &
				(RTE_ETH_TX_OFFLOAD_IPV4_CKSUM | RTE_ETH_TX_OFFLOAD_UDP_CKSUM);
	/* All buffers of a send queue come from one pool only when no core sends by another. */
	if (device->send_queues == config->queue_count)
		device->send_offloads |=
			device->info.tx_offload_capa & RTE_ETH_TX_OFFLOAD_MBUF_FAST_FREE;
}

static void choose_descriptors(struct dpdk_device *device, const struct port_dpdk_config *config)
{
	uint16_t count = (uint16_t)(config->descriptor_count ? config->descriptor_count
							     : DESCRIPTOR_COUNT_DEFAULT);

	device->receive_descriptors = count;
	device->send_descriptors = count;
	(void)rte_eth_dev_adjust_nb_rx_tx_desc(device->id, &device->receive_descriptors,
					       &device->send_descriptors);
}

static int look(struct dpdk_device *device, const struct port_dpdk_config *config, char *error,
		size_t error_size)
{
	const struct traits *traits;
	struct rte_ether_addr mac;
	int r = rte_eth_dev_info_get(device->id, &device->info);

	if (r == 0)
		r = rte_eth_macaddr_get(device->id, &mac);
	if (r != 0)
		return port_error(error, error_size, r, "%s tells nothing of itself: %s",
				  config->device, strerror(-r));
	memcpy(device->mac, mac.addr_bytes, sizeof(device->mac));
	traits = software_traits(&device->info);
	device->accept_partial = traits && traits->accept_partial;
	device->in_memory = traits && traits->in_memory;
	device->reconnects = is_memif(config->device) && strstr(config->device, "role=client") &&
			     config->device_queue_count <= 1;
	choose_queues(device, config);
	choose_offloads(device, config);
	choose_descriptors(device, config);
	return choose_frame_size(device, config, error, error_size);
}

int dpdk_device_open(const struct port_dpdk_config *config, struct dpdk_device *ret_device,
		     char *error, size_t error_size)
{
	struct dpdk_device device = {0};
	int r = attach(config, &device, error, error_size);

	if (r != 0)
		return r;
	r = look(&device, config, error, error_size);
	if (r != 0) {
		dpdk_device_close(&device);
		return r;
	}
	*ret_device = device;
	return 0;
}

/* --- starting --- */

bool dpdk_device_link_is_up(const struct dpdk_device *device)
{
	struct rte_eth_link link = {0};

	return rte_eth_link_get_nowait(device->id, &link) == 0 &&
	       link.link_status == RTE_ETH_LINK_UP;
}

static int configure(struct dpdk_device *device)
{
	struct rte_eth_conf conf = {
		.rxmode = {.mtu = device->mtu, .offloads = device->receive_offloads},
		.txmode = {.offloads = device->send_offloads},
	};

	/* Real cards have a redirection table; without rules it spreads the load, and rings sort.
	 */
	if (device->receive_queues > 1 && device->info.reta_size > 0) {
		conf.rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
		conf.rx_adv_conf.rss_conf.rss_hf =
			device->info.flow_type_rss_offloads & (RTE_ETH_RSS_IP | RTE_ETH_RSS_UDP);
	}
	return rte_eth_dev_configure(device->id, (uint16_t)device->receive_queues,
				     (uint16_t)device->send_queues, &conf);
}

static int set_up_queues(struct dpdk_device *device, struct rte_mempool *const *pools)
{
	unsigned node = (unsigned)SOCKET_ID_ANY;
	int r = 0;

	for (uint32_t i = 0; i < device->receive_queues && r == 0; i++)
		r = rte_eth_rx_queue_setup(device->id, (uint16_t)i, device->receive_descriptors,
					   node, NULL, pools[i]);
	for (uint32_t i = 0; i < device->send_queues && r == 0; i++)
		r = rte_eth_tx_queue_setup(device->id, (uint16_t)i, device->send_descriptors, node,
					   NULL);
	return r;
}

/* One rule: this UDP port of this family to this queue. */
static bool steer_port(const struct dpdk_device *device, enum rte_flow_item_type family,
		       uint16_t udp_port, uint16_t queue)
{
	const struct rte_flow_attr attr = {.ingress = 1};
	const struct rte_flow_item_udp spec = {.hdr.dst_port = rte_cpu_to_be_16(udp_port)};
	const struct rte_flow_item_udp mask = {.hdr.dst_port = UINT16_MAX};
	const struct rte_flow_action_queue to = {.index = queue};
	const struct rte_flow_item pattern[] = {
		{.type = RTE_FLOW_ITEM_TYPE_ETH},
		{.type = family},
		{.type = RTE_FLOW_ITEM_TYPE_UDP, .spec = &spec, .mask = &mask},
		{.type = RTE_FLOW_ITEM_TYPE_END},
	};
	const struct rte_flow_action actions[] = {
		{.type = RTE_FLOW_ACTION_TYPE_QUEUE, .conf = &to},
		{.type = RTE_FLOW_ACTION_TYPE_END},
	};
	struct rte_flow_error error;

	return rte_flow_create(device->id, &attr, pattern, actions, &error) != NULL;
}

/* All ports or none: a half-steered device would only hide which way frames go. */
static bool steer(const struct dpdk_device *device, const struct port_dpdk_config *config)
{
	struct rte_flow_error error;
	bool all = true;

	if (device->receive_queues < 2 || device->receive_queues < config->queue_count)
		return false;
	for (uint32_t i = 0; i < config->queue_count && all; i++) {
		uint16_t udp_port = (uint16_t)(config->udp_port + i);

		if (config->ipv4.present)
			all = steer_port(device, RTE_FLOW_ITEM_TYPE_IPV4, udp_port, (uint16_t)i);
		if (all && config->ipv6.present)
			all = steer_port(device, RTE_FLOW_ITEM_TYPE_IPV6, udp_port, (uint16_t)i);
	}
	if (!all)
		(void)rte_flow_flush(device->id, &error);
	return all;
}

/* Neighbour discovery comes to group addresses. */
static void receive_groups(const struct dpdk_device *device)
{
	if (rte_eth_allmulticast_enable(device->id) != 0)
		(void)rte_eth_promiscuous_enable(device->id);
}

/*
 * A client that is closed before its server's greeting takes the server down
 * (see remove_stale_socket()), so it isn't handed out before. A server that
 * doesn't answer is no reason to fail: it may be slow.
 */
static void wait_for_link(const struct dpdk_device *device)
{
	for (unsigned ms = 0; ms < LINK_WAIT_MS && !dpdk_device_link_is_up(device); ms++)
		rte_delay_us_sleep(1000);
}

int dpdk_device_start(struct dpdk_device *device, const struct port_dpdk_config *config,
		      struct rte_mempool *const *pools, char *error, size_t error_size)
{
	const char *step = "configure";
	int r = configure(device);

	if (r == 0) {
		step = "set up the queues of";
		r = set_up_queues(device, pools);
	}
	if (r == 0) {
		step = "start";
		r = rte_eth_dev_start(device->id);
	}
	if (r != 0 && device->reconnects)
		return port_error(
			error, error_size, -ECONNREFUSED,
			"nobody listens at the socket of %s: start the server's end first",
			config->device);
	if (r != 0)
		return port_error(error, error_size, r,
				  "can't %s %s (%s, %u receive and %u send queues, frames of %u "
				  "bytes): %s; fewer queues or smaller frames may go",
				  step, config->device, device->info.driver_name,
				  device->receive_queues, device->send_queues, device->frame_size,
				  strerror(-r));
	if (device->reconnects)
		wait_for_link(device);
	receive_groups(device);
	device->steered = steer(device, config);
	return 0;
}

int dpdk_device_restart(const struct dpdk_device *device)
{
	int r;

	/* That nobody listens is no news, several times a second. */
	(void)rte_log_set_level_pattern("pmd.net.memif*", RTE_LOG_CRIT);
	(void)rte_eth_dev_stop(device->id);
	r = rte_eth_dev_start(device->id);
	(void)rte_log_set_level_pattern("pmd.net.memif*", RTE_LOG_ERR);
	return r;
}

static void close_here(void *context)
{
	const struct dpdk_device *device = context;

	(void)rte_eth_dev_stop(device->id);
	(void)rte_eth_dev_close(device->id);
}

/* On the control thread, where memif's driver handles peers that connect or go. */
void dpdk_device_close(struct dpdk_device *device)
{
	dpdk_env_control(close_here, device);
	if (device->attached)
		(void)rte_dev_remove(device->info.device);
}
