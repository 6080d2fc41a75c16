/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/telemetry.h"

#include "base/clock.h"
#include "base/metric.h"
#include "hnsw/dist.h"

#include <errno.h>
#include <pthread.h>
#include <rte_telemetry.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/*
 * One lock for the node's pointer and for the working memory below: commands come
 * from people and scrapers, so they take turns.
 */
static pthread_mutex_t telemetry_lock = PTHREAD_MUTEX_INITIALIZER;
static struct node *telemetry_node;
static struct core_snapshot snapshot;
static struct hist merged;

/* --- parameters --- */

/* Reads the number behind the command's comma; -EINVAL when there is none below 'count'. */
static int parameter_index(const char *params, uint32_t count, uint32_t *ret_index)
{
	unsigned long value;
	char *end;

	/* strtoul() itself takes blanks and signs too. */
	if (!params || *params < '0' || *params > '9')
		return -EINVAL;
	errno = 0;
	value = strtoul(params, &end, 10);
	if (errno || *end || value >= count)
		return -EINVAL;
	*ret_index = (uint32_t)value;
	return 0;
}

/* The cores that a command speaks of: one when it names one, else all. */
static int parameter_cores(const struct node *node, const char *params, uint32_t *ret_first,
			   uint32_t *ret_end)
{
	uint32_t index;

	*ret_first = 0;
	*ret_end = node->core_count;
	if (!params || !*params)
		return 0;
	if (parameter_index(params, node->core_count, &index))
		return -EINVAL;
	*ret_first = index;
	*ret_end = index + 1;
	return 0;
}

/* --- answers --- */

static void add_u64(struct rte_tel_data *data, const char *name, uint64_t value)
{
	/* Fails when the answer is full, which the number of our counters rules out. */
	(void)rte_tel_data_add_dict_u64(data, name, value);
}

/*
 * The library can't be given anything but printable ASCII: it takes a byte above
 * for a negative index into a table of its own. Others, and '%', go as %XX, and
 * what is too long is cut between characters of ours.
 */
static void add_text(struct rte_tel_data *data, const char *name, const char *value)
{
	char text[RTE_TEL_MAX_STRING_LEN];
	size_t used = 0;

	for (; *value && used + sizeof("%XX") <= sizeof(text); value++) {
		unsigned char byte = (unsigned char)*value;

		if (byte >= ' ' && byte < 0x7f && byte != '%')
			text[used++] = *value;
		else
			used += (size_t)snprintf(text + used, sizeof(text) - used, "%%%02X", byte);
	}
	text[used] = 0;
	(void)rte_tel_data_add_dict_string(data, name, text);
}

/* As tern.yaml has them. */
static const char *const port_kinds[] = {
	[CONFIG_PORT_SOCKET] = "socket",
	[CONFIG_PORT_DPDK] = "dpdk",
	[CONFIG_PORT_RDMA] = "rdma",
};

static int answer_info(const struct node *node, const char *params, struct rte_tel_data *data)
{
	const struct config *config = node->config;
	char text[ADDR_TEXT_MAX];
	uint64_t vectors = 0;

	for (uint32_t i = 0; i < node->shards->count; i++)
		vectors += node->shards->shards[i].segment.count;
	add_text(data, "version", TERN_VERSION);
	add_u64(data, "node", config->node);
	add_u64(data, "epoch", config->epoch);
	add_u64(data, "pid", (uint64_t)getpid());
	add_u64(data, "uptime_seconds", (clock_now_ns() - node->start_ns) / NS_PER_S);
	add_text(data, "port", port_kinds[config->port.kind]);
	add_text(data, "device", config->port.device);
	add_text(data, "listen", addr_format(&config->port.listen, text));
	add_text(data, "auth", config->secret_loaded ? "hmac" : "none");
	add_text(data, "isa", dist_best()->isa);
	add_u64(data, "cores", node->core_count);
	add_u64(data, "shards", node->shards->count);
	add_u64(data, "vectors", vectors);
	return 0;
}

static int answer_cores(const struct node *node, const char *params, struct rte_tel_data *data)
{
	for (uint32_t i = 0; i < node->core_count; i++)
		(void)rte_tel_data_add_array_u64(data, i);
	return 0;
}

static void add_core_counts(struct rte_tel_data *data, const struct core_counts *counts)
{
#define ADD_CORE(name)     add_u64(data, #name, counts->core.name);
#define ADD_IDLE(name)     add_u64(data, #name, counts->idle.name);
#define ADD_SESSION(name)  add_u64(data, "session_" #name, counts->session.name);
#define ADD_PORT(name)     add_u64(data, "port_" #name, counts->port.name);
#define ADD_VECTOR(name)   add_u64(data, "vector_" #name, counts->vector.name);
#define ADD_REGION(name)   add_u64(data, "region_" #name, counts->region.name);
#define ADD_QUESTION(name) add_u64(data, #name, counts->coordinator.name);
	CORE_STAT_LIST(ADD_CORE)
	IDLE_STAT_LIST(ADD_IDLE)
	SESSION_STAT_LIST(ADD_SESSION)
	PORT_STAT_LIST(ADD_PORT)
	HANDLE_VECTOR_STAT_LIST(ADD_VECTOR)
	HANDLE_REGION_STAT_LIST(ADD_REGION)
	COORDINATOR_STAT_LIST(ADD_QUESTION)
#undef ADD_QUESTION
#undef ADD_REGION
#undef ADD_CORE
#undef ADD_IDLE
#undef ADD_SESSION
#undef ADD_PORT
#undef ADD_VECTOR
	add_u64(data, "session_sessions", counts->session.sessions);
	add_u64(data, "refused_malformed", counts->refused_malformed);
	add_u64(data, "refused_version", counts->refused_version);
	add_u64(data, "refused_type", counts->refused_type);
	add_u64(data, "refused_unsupported", counts->refused_unsupported);
	add_u64(data, "refused_epoch", counts->refused_epoch);
	add_u64(data, "waiting", counts->waiting);
	add_u64(data, "busy", counts->busy);
	add_u64(data, "heap_breaches", counts->heap_breaches);
}

static int answer_core(const struct node *node, const char *params, struct rte_tel_data *data)
{
	char text[ADDR_TEXT_MAX];
	uint32_t index;

	if (parameter_index(params, node->core_count, &index))
		return -EINVAL;
	if (!core_snapshot(node->cores[index], &snapshot))
		return -ESHUTDOWN;
	add_u64(data, "core", index);
	add_u64(data, "cpu", node->plan.polls[index].core);
	(void)rte_tel_data_add_dict_int(data, "numa_node", node->plan.polls[index].numa_node);
	add_text(data, "address", addr_format(&port_queue(node->port, index)->local, text));
	add_text(data, "state", snapshot.counts.draining ? "draining" : "running");
	add_core_counts(data, &snapshot.counts);
	return 0;
}

static int answer_shards(const struct node *node, const char *params, struct rte_tel_data *data)
{
	uint32_t count = MIN(node->shards->count, (uint32_t)RTE_TEL_MAX_ARRAY_ENTRIES);

	for (uint32_t i = 0; i < count; i++)
		(void)rte_tel_data_add_array_u64(data, i);
	return 0;
}

static int answer_shard(const struct node *node, const char *params, struct rte_tel_data *data)
{
	const struct shard *shard;
	uint32_t index;

	if (parameter_index(params, node->shards->count, &index))
		return -EINVAL;
	shard = &node->shards->shards[index];
	add_text(data, "collection", shard->collection);
	add_u64(data, "vshard", shard->vshard);
	add_u64(data, "core", shard->core);
	add_u64(data, "udp_port", shard->udp_port);
	add_text(data, "metric", metric_name(shard->segment.metric));
	add_text(data, "type", vector_type_name(shard->segment.type));
	add_u64(data, "dim", shard->segment.dim);
	add_u64(data, "vectors", shard->segment.count);
	add_u64(data, "bytes", shard->segment.image_size);
	add_u64(data, "generation", shard->generation);
	add_u64(data, "ef_default", shard->segment.ef_default);
	return 0;
}

/* Sums of one module's counters over the cores that a command speaks of. */
static int sum_counts(const struct node *node, const char *params, struct core_counts *sum)
{
	uint32_t first;
	uint32_t end;

	memset(sum, 0, sizeof(*sum));
	if (parameter_cores(node, params, &first, &end))
		return -EINVAL;
	for (uint32_t i = first; i < end; i++) {
		if (!core_snapshot(node->cores[i], &snapshot))
			return -ESHUTDOWN;
#define SUM_SESSION(name) sum->session.name += snapshot.counts.session.name;
#define SUM_PORT(name)    sum->port.name += snapshot.counts.port.name;
		SESSION_STAT_LIST(SUM_SESSION)
		PORT_STAT_LIST(SUM_PORT)
#undef SUM_SESSION
#undef SUM_PORT
		sum->session.sessions += snapshot.counts.session.sessions;
	}
	return 0;
}

static int answer_sessions(const struct node *node, const char *params, struct rte_tel_data *data)
{
	struct core_counts sum;
	int r;

	r = sum_counts(node, params, &sum);
	if (r)
		return r;
	add_u64(data, "sessions", sum.session.sessions);
#define ADD(name) add_u64(data, #name, sum.session.name);
	SESSION_STAT_LIST(ADD)
#undef ADD
	return 0;
}

static int answer_port(const struct node *node, const char *params, struct rte_tel_data *data)
{
	struct core_counts sum;
	int r;

	r = sum_counts(node, params, &sum);
	if (r)
		return r;
#define ADD(name) add_u64(data, #name, sum.port.name);
	PORT_STAT_LIST(ADD)
#undef ADD
	return 0;
}

static void add_hist(struct rte_tel_data *data, const char *stage, const struct hist *hist)
{
	static const struct {
		const char *suffix;
		double percentile;
	} points[] = {{"p50_ns", 50}, {"p99_ns", 99}, {"p999_ns", 99.9}, {"max_ns", 100}};
	char name[64];

	snprintf(name, sizeof(name), "%s_bursts", stage);
	add_u64(data, name, hist->total);
	snprintf(name, sizeof(name), "%s_mean_ns", stage);
	add_u64(data, name, (uint64_t)hist_mean(hist));
	for (unsigned i = 0; i < ARRAY_COUNT(points); i++) {
		snprintf(name, sizeof(name), "%s_%s", stage, points[i].suffix);
		add_u64(data, name, hist_percentile(hist, points[i].percentile));
	}
}

/* The cores are asked once a stage: one histogram is all the memory it takes. */
static int answer_latency(const struct node *node, const char *params, struct rte_tel_data *data)
{
	uint32_t first;
	uint32_t end;

	if (parameter_cores(node, params, &first, &end))
		return -EINVAL;
	for (unsigned stage = 0; stage < STAGE_COUNT; stage++) {
		hist_init(&merged);
		for (uint32_t i = first; i < end; i++) {
			if (!core_snapshot(node->cores[i], &snapshot))
				return -ESHUTDOWN;
			hist_merge(&merged, &snapshot.stages.hists[stage]);
		}
		add_hist(data, stage_names[stage], &merged);
	}
	return 0;
}

/* What peers can read by themselves, and who does. */
static int answer_export(const struct node *node, const char *params, struct rte_tel_data *data)
{
	const struct export_info *info;
	struct export_stats stats;

	add_u64(data, "enabled", node->export != NULL);
	if (!node->export)
		return 0;
	info = export_info(node->export);
	stats = export_stats(node->export);
	add_u64(data, "verbs", info->verbs && stats.regions); /* the device can go */
	add_u64(data, "shm", info->shm);
	add_text(data, "device", info->device);
	add_text(data, "netdev", info->netdev);
	add_text(data, "gid", info->gid);
	add_u64(data, "gid_index", info->gid_index);
	add_text(data, "why_not", info->why_not);
#define ADD(name) add_u64(data, #name, stats.name);
	EXPORT_COUNTER_LIST(ADD)
	EXPORT_GAUGE_LIST(ADD)
#undef ADD
	return 0;
}

static int answer_help(const struct node *node, const char *params, struct rte_tel_data *data);

/* COMMAND(words, shape, help) */
#define COMMAND_LIST(COMMAND)                                                                      \
	COMMAND(info, dict, "The node: version, id, port, cores, shards")                          \
	COMMAND(cores, array, "Indexes of the poll cores")                                         \
	COMMAND(core, dict, "All counters of one core. Parameter: core index")                     \
	COMMAND(shards, array, "Indexes of the shards")                                            \
	COMMAND(shard, dict, "One shard. Parameter: shard index")                                  \
	COMMAND(sessions, dict, "Session counters. Optional parameter: core index")                \
	COMMAND(latency, dict, "Stage latencies. Optional parameter: core index")                  \
	COMMAND(port, dict, "Port counters. Optional parameter: core index")                       \
	COMMAND(export, dict, "Regions that peers read by themselves, leases, links")              \
	COMMAND(help, dict, "These commands")

static int answer_help(const struct node *node, const char *params, struct rte_tel_data *data)
{
#define ADD(words, shape, help) add_text(data, "/tern/" #words, help);
	COMMAND_LIST(ADD)
#undef ADD
	return 0;
}

static int start_dict(struct rte_tel_data *data)
{
	return rte_tel_data_start_dict(data);
}

static int start_array(struct rte_tel_data *data)
{
	return rte_tel_data_start_array(data, RTE_TEL_U64_VAL);
}

#define COMMAND_FUNCTION(words, shape, help)                                                       \
	static int command_##words(const char *command, const char *params,                        \
				   struct rte_tel_data *data)                                      \
	{                                                                                          \
		int r = -ENODEV;                                                                   \
                                                                                                   \
		pthread_mutex_lock(&telemetry_lock);                                               \
		if (telemetry_node && !(r = start_##shape(data)))                                  \
			r = answer_##words(telemetry_node, params, data);                          \
		pthread_mutex_unlock(&telemetry_lock);                                             \
		return r;                                                                          \
	}
COMMAND_LIST(COMMAND_FUNCTION)
#undef COMMAND_FUNCTION

int telemetry_register(struct node *node)
{
	int r;

	pthread_mutex_lock(&telemetry_lock);
	telemetry_node = node;
	pthread_mutex_unlock(&telemetry_lock);
#define REGISTER(words, shape, help)                                                               \
	r = rte_telemetry_register_cmd("/tern/" #words, command_##words, help);                    \
	if (r)                                                                                     \
		return r;
	COMMAND_LIST(REGISTER)
#undef REGISTER
	return 0;
}

void telemetry_forget(void)
{
	pthread_mutex_lock(&telemetry_lock);
	telemetry_node = NULL;
	pthread_mutex_unlock(&telemetry_lock);
}
