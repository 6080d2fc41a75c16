/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/node.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/defs.h"
#include "base/guard.h"
#include "cluster/manifest.h"
#include "cluster/route.h"
#include "dataplane/eal.h"
#include "dataplane/stage.h"
#include "net/dpdk_env.h"
#include "net/port_dpdk.h"
#include "net/port_socket.h"
#include "rdma/port_rdma.h"
#include "rdma/verbs_ops.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* Of an IPv6 address's network: what a link has (RFC 4291, section 2.5.1). */
#define IPV6_PREFIX 64

_Static_assert(CONFIG_RDMA_PORT_OFFSET == PORT_RDMA_OFFSET, "checked by who loads the file");
_Static_assert(CONFIG_DATA_MAX <= SHARD_COLLECTION_MAX, "a collection a folder");

/* Which of the node's shards is dealt out next, and what was found on the way. */
struct dealing {
	const struct config *config;
	const struct topo_plan *plan;
	struct shard_table *table;
	uint32_t next_core;
	uint32_t shard_count_max; /* of any manifest */
	char *error;
	size_t error_size;
};

static int PRINTF_LIKE(4, 5) fail(char *error, size_t error_size, int code, const char *format, ...)
{
	va_list list;

	va_start(list, format);
	vsnprintf(error, error_size, format, list);
	va_end(list);
	return code;
}

/* --- placement --- */

int node_plan(const struct config *config, struct topo_plan *ret_plan, char *error,
	      size_t error_size)
{
	char text[TOPO_ERROR_MAX];
	struct topo_plan_options options = {
		.count = config->core_count,
		.cores = config->cores.values,
		.core_count = config->cores.count,
	};
	struct topo *topo;
	int r;

	r = topo_new(&(struct topo_options){0}, &topo);
	if (r)
		return fail(error, error_size, r, "hwloc can't read this machine's topology: %s",
			    strerror(-r));
	options.nic_node = topo_nic_node(topo, config->port.device);
	r = topo_plan(topo, &options, ret_plan, text, sizeof(text));
	topo_free(topo);
	return r ? fail(error, error_size, r, "cores: %s", text) : 0;
}

/* --- shards --- */

static bool wanted(const struct config *config, uint32_t index)
{
	for (uint32_t i = 0; i < config->shards.count; i++)
		if (config->shards.values[i] == index)
			return true;
	return config->shards.count == 0;
}

static int open_one(struct dealing *dealing, const struct manifest *manifest, uint32_t index,
		    const char *folder)
{
	uint32_t core = dealing->next_core++ % dealing->plan->count;
	struct shard_options options = {
		.core = core,
		.memory =
			{
				.huge = true,
				.numa_node = dealing->plan->polls[core].numa_node,
			},
	};
	char text[NODE_ERROR_MAX];
	struct shard shard;
	int r;

	r = shard_open(manifest, index, folder, &options, &shard, text, sizeof(text));
	if (r)
		return fail(dealing->error, dealing->error_size, r < 0 ? r : -EBADMSG, "data: %s%s",
			    text,
			    r > 0 && !strchr(text, ';')
				    ? "; copy the folder again from where `tern build` made it"
				    : "");
	r = shard_table_add(dealing->table, &shard);
	if (!r)
		return 0;
	shard_close(&shard);
	if (r == -EEXIST)
		return fail(dealing->error, dealing->error_size, r,
			    "data: %s: collection \"%s\" is also in another folder; list it once",
			    folder, manifest->collection);
	return fail(dealing->error, dealing->error_size, r,
		    "data: %s: more than %d shards; spread them over more nodes by 'shards'",
		    folder, SHARD_TABLE_MAX);
}

/* The manifest's folder: 'path' itself, or where the file is that it names. */
static void folder_of(const char *path, char *to, size_t size)
{
	struct stat status;
	char *slash;

	snprintf(to, size, "%s", path);
	if (stat(path, &status) || S_ISDIR(status.st_mode))
		return;
	slash = strrchr(to, '/');
	if (slash)
		*slash = '\0';
	else
		snprintf(to, size, ".");
}

static int open_collection(struct dealing *dealing, const char *path)
{
	char text[512];
	char folder[CONFIG_TEXT_MAX];
	struct manifest manifest;
	int r;

	r = manifest_load(path, &manifest, text, sizeof(text));
	if (r)
		return fail(dealing->error, dealing->error_size, r < 0 ? r : -EBADMSG, "data: %s",
			    text);
	folder_of(path, folder, sizeof(folder));
	dealing->shard_count_max = MAX(dealing->shard_count_max, manifest.shard_count);
	/* As many as there are places in 'data', so there is room. */
	CHECK(shard_table_note(dealing->table, &manifest) == 0);
	for (uint32_t i = 0; i < manifest.shard_count && !r; i++)
		if (wanted(dealing->config, i))
			r = open_one(dealing, &manifest, i, folder);
	manifest_deinit(&manifest);
	return r;
}

/* A listed shard that no manifest has is a mistake that would show as missing answers. */
static int check_listed(const struct dealing *dealing)
{
	const struct config_numbers *listed = &dealing->config->shards;

	for (uint32_t i = 0; i < listed->count; i++)
		if (listed->values[i] >= dealing->shard_count_max)
			return fail(dealing->error, dealing->error_size, -EINVAL,
				    "shards: there is no shard %u; the collections in data have %u "
				    "at most, counted from 0",
				    listed->values[i], dealing->shard_count_max);
	return 0;
}

int node_open_shards(const struct config *config, const struct topo_plan *plan,
		     struct shard_table **ret_table, char *error, size_t error_size)
{
	struct dealing dealing = {
		.config = config,
		.plan = plan,
		.error = error,
		.error_size = error_size,
	};
	int r;

	r = shard_table_new(&dealing.table);
	if (r)
		return fail(error, error_size, r, "no memory for the table of shards");
	for (uint32_t i = 0; i < config->data_count && !r; i++)
		r = open_collection(&dealing, config->data[i]);
	if (!r)
		r = check_listed(&dealing);
	if (r) {
		shard_table_free(dealing.table);
		return r;
	}
	*ret_table = dealing.table;
	return 0;
}

/* --- port --- */

/*
 * Config refuses this too; it is the rule that must never slip: whoever reaches
 * an unauthenticated port is served.
 */
static int check_auth(const struct config *config, char *error, size_t error_size)
{
	if (config->secret_loaded || config->auth == CONFIG_AUTH_NONE ||
	    addr_is_loopback(&config->port.listen))
		return 0;
	return fail(error, error_size, -EPERM,
		    "port.listen: not loopback, and there is no secret; name a secret_file, or say "
		    "'auth: none' to serve whoever asks");
}

static struct ether_subnet subnet_of(const struct addr *addr, const struct addr *gateway,
				     uint32_t prefix_length)
{
	static const struct addr none;
	struct ether_subnet subnet = {
		.present = memcmp(addr->ip, none.ip, sizeof(none.ip)) != 0,
		.prefix = (uint8_t)prefix_length,
	};

	memcpy(subnet.ip, addr->ip, sizeof(subnet.ip));
	if (gateway)
		memcpy(subnet.gateway, gateway->ip, sizeof(subnet.gateway));
	return subnet;
}

static int open_dpdk(struct node *node, char *error, size_t error_size)
{
	const struct config_port *config = &node->config->port;
	struct port_dpdk_config dpdk = {
		.device = config->device,
		.queue_count = node->core_count,
		.ipv4 = subnet_of(&config->listen, &config->gateway, config->prefix_length),
		.ipv6 = subnet_of(&config->ipv6, NULL, IPV6_PREFIX),
		.udp_port = config->listen.port,
		.frame_size = config->frame_size,
	};

	return port_dpdk_open(&dpdk, &node->port, error, error_size);
}

/* Links are made and ended on a poll core, and librdmacm takes memory for each. */
static void link_allocates(bool begins)
{
	static _Thread_local bool frozen;

	if (begins) {
		frozen = guard_is_frozen();
		guard_thaw();
	} else if (frozen) {
		guard_freeze();
	}
}

static int open_rdma(struct node *node, char *error, size_t error_size)
{
	const struct config *config = node->config;
	struct device_options options = {
		.name = config->port.device[0] ? config->port.device : NULL,
		.gid_index = -1,
	};
	struct port_rdma_config rdma = {
		.local = config->port.listen,
		.listen = true,
		.queue_count = node->core_count,
		.link_max = config->port.links,
		.node = config->node,
		.secret = config->secret_loaded ? config->secret : NULL,
		.allocates = link_allocates,
	};
	int r = device_open(real_verbs_ops(), &options, &node->device, error, error_size);

	if (r)
		return r;
	rdma.device = node->device;
	return port_rdma_open(&rdma, &node->port, error, error_size);
}

/* Puts the key in front that the refusal is about. */
static int about(const char *key, int code, const char *text, char *error, size_t error_size)
{
	return fail(error, error_size, code, "%s: %s", key, text);
}

static int open_port(struct node *node, char *error, size_t error_size)
{
	const struct config_port *config = &node->config->port;
	char text[PORT_ERROR_TEXT_MAX];
	struct port_socket_config socket = {
		.local = config->listen,
		.queue_count = node->core_count,
		.frame_size = config->frame_size,
	};

	int r;

	if (config->kind == CONFIG_PORT_DPDK) {
		r = open_dpdk(node, text, sizeof(text));
		return r ? about("port.device", r, text, error, error_size) : 0;
	}
	if (config->kind == CONFIG_PORT_RDMA) {
		r = open_rdma(node, text, sizeof(text));
		return r ? about("port.kind", r, text, error, error_size) : 0;
	}
	r = port_socket_open(&socket, &node->port, text, sizeof(text));
	return r ? about("port.listen", r, text, error, error_size) : 0;
}

static struct shard_ef ef_of(const struct config *config)
{
	return (struct shard_ef){
		.max = config->search.ef_max,
		.unasked = config->search.ef_default,
		.recall_target = segment_recalls[config->search.recall_target],
	};
}

/* --- cores --- */

static struct core_config core_config_of(const struct node *node, uint32_t index)
{
	const struct config *config = node->config;
	struct port_queue *queue = port_queue(node->port, index);

	return (struct core_config){
		.index = index,
		.cpu = node->plan.polls[index].core,
		.queue = queue,
		.endpoint =
			{
				.node = config->node,
				.epoch = config->epoch,
				.session_count = config->session.sessions,
				.frame_size = queue->frame_size,
				.message_size_max = config->session.message_size_max,
				.large_count = config->session.large_buffers,
				.secret = config->secret_loaded ? config->secret : NULL,
				.accept = true,
				.keepalive_ns = config->session.keepalive_ns,
				.lost_ns = config->session.lost_ns,
			},
		.vector =
			{
				.burst = config->search.in_flight,
				.queue_max = config->search.queue_max,
				.ef = ef_of(config),
				.message_size_max = config->session.message_size_max,
			},
		.shards = node->shards,
		.desk = node->export ? export_desk(node->export, index) : NULL,
		.loop = node->loop,
		.cores = node->addresses,
		.peers = node->peers,
		.peer_count = config->peer_count,
		.idle_busy_ns = config->idle.busy_ns,
		.idle_relax_ns = config->idle.pause_ns,
		.eal = node->eal,
	};
}

/* Where a core and its shards are reached is known when the port is open. */
static void note_addresses(struct node *node)
{
	for (uint32_t i = 0; i < node->core_count; i++)
		node->addresses[i] = port_queue(node->port, i)->local;
	for (uint32_t i = 0; i < node->config->peer_count; i++)
		node->peers[i] = node->config->peers[i].address;
	for (uint32_t i = 0; i < node->shards->count; i++) {
		struct shard *shard = &node->shards->shards[i];

		shard->udp_port = port_queue(node->port, shard->core)->local.port;
	}
}

static int open_loop(struct node *node, char *error, size_t error_size)
{
	int r;

	if (node->config->peer_count >= ROUTE_SERVER_MAX)
		return fail(error, error_size, -EINVAL, "peers: more than %d; list fewer",
			    ROUTE_SERVER_MAX - 1);
	note_addresses(node);
	r = loop_new(node->addresses, node->core_count, port_queue(node->port, 0)->frame_size,
		     /* all= */ port_wait_fd(port_queue(node->port, 0)) < 0, &node->loop);
	return r ? fail(error, error_size, r, "no memory for the frames between cores") : 0;
}

/* What peers may read by themselves; the shards are open and the node's address is known. */
static int open_export(struct node *node, char *error, size_t error_size)
{
	const struct config_export *config = &node->config->export;
	struct export_config export = {
		.shards = node->shards,
		.core_count = node->core_count,
		.node = node->config->node,
		.secret = node->config->secret_loaded ? node->config->secret : NULL,
		.listen = node->addresses[0],
		.link_max = config->links,
		.lease_max = config->leases,
		.lease_ms_max = (uint32_t)(config->lease_time_ns / NS_PER_MS),
		.ef = ef_of(node->config),
		.device = config->device[0] ? config->device : NULL,
		.device_port = (uint8_t)config->port,
		.gid_index = config->gid_index[0] ? (int)strtoul(config->gid_index, NULL, 10) : -1,
		.ops = real_verbs_ops(),
	};

	return config->enabled ? export_open(&export, &node->export, error, error_size) : 0;
}

int node_open(const struct config *config, struct node *ret_node, char *error, size_t error_size)
{
	struct node node = {.config = config, .start_ns = clock_now_ns()};
	char text[PORT_ERROR_TEXT_MAX];
	int r;

	stage_clock_init();
	r = check_auth(config, error, error_size);
	if (!r)
		r = node_plan(config, &node.plan, error, error_size);
	if (!r)
		eal_leave_poll_cores(&node.plan);
	if (!r)
		r = node_open_shards(config, &node.plan, &node.shards, error, error_size);
	if (!r && eal_wanted(config)) {
		r = eal_start(config, &node.plan, text, sizeof(text));
		node.eal = !r;
		if (r)
			(void)about(r == -ENOMEM ? "dpdk.huge" : "dpdk.file_prefix", r, text, error,
				    error_size);
	}
	node.core_count = node.plan.count;
	if (!r)
		r = open_port(&node, error, error_size);
	if (!r)
		r = open_loop(&node, error, error_size);
	if (!r)
		r = open_export(&node, error, error_size);
	if (r) {
		node_close(&node);
		return r;
	}
	*ret_node = node;
	return 0;
}

int node_start(struct node *node, char *error, size_t error_size)
{
	int r = 0;

	if (node->export)
		r = export_start(node->export);
	if (r)
		return fail(error, error_size, r, "export.enabled: its thread does not start: %s",
			    strerror(-r));
	for (uint32_t i = 0; i < node->core_count && !r; i++) {
		struct core_config config = core_config_of(node, i);

		r = core_new(&config, &node->cores[i]);
		if (!r)
			r = core_start(node->cores[i]);
		if (!r)
			continue;
		core_free(node->cores[i]);
		node->cores[i] = NULL;
		fail(error, error_size, r, "core %u on processor %d does not start: %s%s", i,
		     config.cpu, strerror(-r),
		     r == -ENOMEM ? "; lower session.sessions, session.large_buffers or "
				    "search.in_flight"
				  : "; is the processor in this process's cpuset?");
	}
	return r;
}

void node_drain(struct node *node)
{
	for (uint32_t i = 0; i < node->core_count; i++)
		core_drain(node->cores[i]);
}

bool node_ended(const struct node *node)
{
	for (uint32_t i = 0; i < node->core_count; i++)
		if (!core_ended(node->cores[i]))
			return false;
	return true;
}

void node_close(struct node *node)
{
	if (!node)
		return;
	for (uint32_t i = 0; i < node->core_count; i++)
		if (node->cores[i])
			core_stop(node->cores[i]);
	for (uint32_t i = 0; i < node->core_count; i++)
		if (node->cores[i])
			core_join(node->cores[i]);
	/* It wakes cores, so they are still there; and nobody asks it any more. */
	export_close(node->export);
	for (uint32_t i = 0; i < node->core_count; i++)
		core_free(node->cores[i]);
	loop_free(node->loop);
	port_close(node->port);
	device_close(node->device);
	shard_table_free(node->shards);
	if (node->eal)
		dpdk_env_close();
	*node = (struct node){0};
}
