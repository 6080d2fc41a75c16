/* SPDX-License-Identifier: Apache-2.0 */
#include "config/schema.h"

#include "base/defs.h"

#include <stdio.h>
#include <string.h>

#define FIELD(member)                                                                              \
	.offset = offsetof(struct config, member), .size = sizeof(((struct config *)NULL)->member)
#define PEER_FIELD(member)                                                                         \
	.offset = offsetof(struct config_peer, member),                                            \
	.size = sizeof(((struct config_peer *)NULL)->member)

#define KIB UINT64_C(1024)
#define MIB (KIB * 1024)
#define GIB (MIB * 1024)
#define MS  UINT64_C(1000000)
#define S   (MS * 1000)

/* In the order of the enums that config.h and base/log.h have. */
static const char *const port_kinds[] = {"socket", "dpdk", "rdma", NULL};
static const char *const auths[] = {"hmac", "none", NULL};
static const char *const recalls[] = {"0.90", "0.95", "0.98", "0.99", NULL};
static const char *const log_levels[] = {"error", "warning", "info", "debug", NULL};

const struct schema_row schema_rows[] = {
	{.key = "node",
	 .type = SCHEMA_NUMBER,
	 FIELD(node),
	 .fallback = "1",
	 .min = 1,
	 .max = UINT64_MAX,
	 .doc = "Id of this node, unique in the cluster."},
	{.key = "epoch",
	 .type = SCHEMA_NUMBER,
	 FIELD(epoch),
	 .fallback = "1",
	 .min = 1,
	 .max = UINT64_MAX,
	 .doc = "Epoch of the cluster's layout; raise it on every node when shards move."},
	{.key = "data",
	 .type = SCHEMA_PATHS,
	 FIELD(data),
	 .fallback = "/var/lib/tern",
	 .max = CONFIG_DATA_MAX,
	 .doc = "Folder that `tern build` wrote, or a list of such folders. Relative paths start "
		"at this file's folder. [] for a node that has no shards yet."},
	{.key = "shards",
	 .type = SCHEMA_NUMBERS,
	 FIELD(shards),
	 .fallback = "[]",
	 .max = CONFIG_SHARD_MAX - 1,
	 .doc = "Indexes of the manifest's shards that this node owns, such as 0-3,5. [] for all."},
	{.key = "cores",
	 .type = SCHEMA_CORES,
	 FIELD(cores),
	 .fallback = "1",
	 .max = 4095,
	 .doc = "How many cores poll (Tern chooses them near the network card), or which: 0-3,5, "
		"or [2] for core 2 alone. Each polls by itself and owns its shards."},
	{.key = "port.kind",
	 .type = SCHEMA_ENUM,
	 FIELD(port.kind),
	 .fallback = "socket",
	 .names = port_kinds,
	 .doc = "What moves frames: kernel UDP sockets, which need no privilege, DPDK, or RDMA's "
		"reliable connections."},
	{.key = "port.listen",
	 .type = SCHEMA_ADDRESS,
	 FIELD(port.listen),
	 .fallback = "127.0.0.1:7400",
	 .doc = "Address and UDP port of the first core; core i has the port + i. With DPDK it is "
		"the IPv4 address that the port answers for, with RDMA one of the verbs device's."},
	{.key = "port.ipv6",
	 .type = SCHEMA_HOST,
	 FIELD(port.ipv6),
	 .fallback = "",
	 .doc = "DPDK: an IPv6 address that the port answers for besides, on the same UDP ports."},
	{.key = "port.device",
	 .type = SCHEMA_TEXT,
	 FIELD(port.device),
	 .fallback = "",
	 .doc = "DPDK: the device, a PCI address (0000:3b:00.0) or a virtual one "
		"(net_af_packet0,iface=eth1). RDMA: the verbs device; empty for the first whose "
		"port is up."},
	{.key = "port.gateway",
	 .type = SCHEMA_HOST,
	 FIELD(port.gateway),
	 .fallback = "",
	 .doc = "DPDK: the IPv4 router for peers outside the network of port.listen."},
	{.key = "port.prefix_length",
	 .type = SCHEMA_NUMBER,
	 FIELD(port.prefix_length),
	 .fallback = "24",
	 .min = 1,
	 .max = 32,
	 .doc = "DPDK: bits of port.listen that name its network."},
	{.key = "port.frame_size",
	 .type = SCHEMA_BYTES,
	 FIELD(port.frame_size),
	 .fallback = "1452",
	 .min = 1232,
	 .max = 8952,
	 .doc = "Largest UDP payload. It has to fit the MTU of every network on the way: 1452 for "
		"1500, 8952 for jumbo frames of 9000. RDMA has no such limit, and takes 8952."},
	{.key = "port.links",
	 .type = SCHEMA_NUMBER,
	 FIELD(port.links),
	 .fallback = "128",
	 .min = 1,
	 .max = 1024,
	 .doc = "RDMA: connections of peers at a time, a core. Each takes 300 KiB."},
	{.key = "dpdk.huge",
	 .type = SCHEMA_BOOL,
	 FIELD(dpdk.huge),
	 .fallback = "false",
	 .doc = "Take DPDK's memory in huge pages. A network card needs them; a virtual device is "
		"faster with them."},
	{.key = "dpdk.file_prefix",
	 .type = SCHEMA_TEXT,
	 FIELD(dpdk.file_prefix),
	 .fallback = "tern",
	 .min = 1,
	 .doc = "Name of DPDK's run-time files; two nodes on one machine need two."},
	{.key = "dpdk.memory",
	 .type = SCHEMA_BYTES,
	 FIELD(dpdk.memory),
	 .fallback = "128MiB",
	 .min = 32 * MIB,
	 .max = 64 * GIB,
	 .doc = "Memory that DPDK takes at start, for frames."},
	{.key = "auth",
	 .type = SCHEMA_ENUM,
	 FIELD(auth),
	 .fallback = "hmac",
	 .names = auths,
	 .doc = "How peers prove that they belong to the cluster: hmac by secret_file (without one "
		"only loopback may listen), or none, which lets everybody in who reaches the "
		"port."},
	{.key = "secret_file",
	 .type = SCHEMA_PATH,
	 FIELD(secret_file),
	 .fallback = "",
	 .doc = "File with the cluster's secret, 32 bytes or 64 hexadecimal digits, not readable "
		"by "
		"all: openssl rand -hex 32 > secret; chmod 600 secret."},
	{.key = "session.sessions",
	 .type = SCHEMA_NUMBER,
	 FIELD(session.sessions),
	 .fallback = "256",
	 .min = 1,
	 .max = 65536,
	 .doc = "Sessions of one core at a time; a client has one with each core it asks."},
	{.key = "session.large_buffers",
	 .type = SCHEMA_NUMBER,
	 FIELD(session.large_buffers),
	 .fallback = "64",
	 .min = 1,
	 .max = 4096,
	 .doc = "Messages of more than one frame that a core holds at a time; more are shed."},
	{.key = "session.message_size_max",
	 .type = SCHEMA_BYTES,
	 FIELD(session.message_size_max),
	 .fallback = "1MiB",
	 .min = 4 * KIB,
	 .max = 8 * MIB,
	 .doc = "Largest message. A core takes this times session.large_buffers of memory."},
	{.key = "session.keepalive",
	 .type = SCHEMA_TIME,
	 FIELD(session.keepalive_ns),
	 .fallback = "1s",
	 .min = 10 * MS,
	 .max = 3600 * S,
	 .doc = "Idle time after which a session is tried by a ping."},
	{.key = "session.lost",
	 .type = SCHEMA_TIME,
	 FIELD(session.lost_ns),
	 .fallback = "5s",
	 .min = 1 * S,
	 .max = 3600 * S,
	 .doc = "Silence after which a session is lost; at least twice session.keepalive. A peer "
		"repeats what isn't answered at least every 500 ms."},
	{.key = "search.ef_max",
	 .type = SCHEMA_NUMBER,
	 FIELD(search.ef_max),
	 .fallback = "1024",
	 .min = 1,
	 .max = 8192,
	 .doc = "Largest beam of a search; a request that asks for more gets this."},
	{.key = "search.ef_default",
	 .type = SCHEMA_NUMBER,
	 FIELD(search.ef_default),
	 .fallback = "0",
	 .max = 8192,
	 .doc = "Beam of a search whose request leaves it open (ef_search 0). 0 for what "
		"search.recall_target takes."},
	{.key = "search.recall_target",
	 .type = SCHEMA_ENUM,
	 FIELD(search.recall_target),
	 .fallback = "0.95",
	 .names = recalls,
	 .doc = "Share of the nearest that such a search is to find. Each index says what beam "
		"that takes: it was measured on its own vectors when it was built."},
	{.key = "search.in_flight",
	 .type = SCHEMA_NUMBER,
	 FIELD(search.in_flight),
	 .fallback = "16",
	 .min = 1,
	 .max = 64,
	 .doc = "Searches that a core interleaves, so that one's cache miss is another's work."},
	{.key = "search.queue_max",
	 .type = SCHEMA_NUMBER,
	 FIELD(search.queue_max),
	 .fallback = "512",
	 .min = 1,
	 .max = 65536,
	 .doc = "Requests that wait on a core; more are answered `overloaded`."},
	{.key = "idle.busy",
	 .type = SCHEMA_TIME,
	 FIELD(idle.busy_ns),
	 .fallback = "200us",
	 .max = 3600 * S,
	 .doc = "How long a core polls at full speed after its last frame."},
	{.key = "idle.pause",
	 .type = SCHEMA_TIME,
	 FIELD(idle.pause_ns),
	 .fallback = "2ms",
	 .max = 3600 * S,
	 .doc = "How long it then polls with pauses before it sleeps."},
	{.key = "export.enabled",
	 .type = SCHEMA_BOOL,
	 FIELD(export.enabled),
	 .fallback = "true",
	 .doc = "Let members of the cluster read sealed segments one-sidedly: by RDMA where there "
		"is a verbs device, and by shared memory on this host."},
	{.key = "export.device",
	 .type = SCHEMA_TEXT,
	 FIELD(export.device),
	 .fallback = "",
	 .doc = "The verbs device, as `ibv_devices` lists it. Empty for the first whose port is "
		"up."},
	{.key = "export.port",
	 .type = SCHEMA_NUMBER,
	 FIELD(export.port),
	 .fallback = "0",
	 .max = 255,
	 .doc = "Port of that device. 0 for the first that is up."},
	{.key = "export.gid_index",
	 .type = SCHEMA_TEXT,
	 FIELD(export.gid_index),
	 .fallback = "",
	 .doc = "Which of the port's GIDs, such as 3. Empty for the best: RoCEv2 before RoCEv1."},
	{.key = "export.links",
	 .type = SCHEMA_NUMBER,
	 FIELD(export.links),
	 .fallback = "256",
	 .min = 1,
	 .max = 4096,
	 .doc = "Connections of readers at a time, of each kind."},
	{.key = "export.leases",
	 .type = SCHEMA_NUMBER,
	 FIELD(export.leases),
	 .fallback = "4096",
	 .min = 1,
	 .max = 65536,
	 .doc = "Leases of regions at a time; more are refused."},
	{.key = "export.lease_time",
	 .type = SCHEMA_TIME,
	 FIELD(export.lease_time_ns),
	 .fallback = "60s",
	 .min = 100 * MS,
	 .max = 3600 * S,
	 .doc = "Longest lease; who asks for more gets this. A reader asks again before it ends."},
	{.key = "log.level",
	 .type = SCHEMA_ENUM,
	 FIELD(log_level),
	 .fallback = "info",
	 .names = log_levels,
	 .doc = "Least weighty events that are logged."},
	{.key = "telemetry",
	 .type = SCHEMA_BOOL,
	 FIELD(telemetry),
	 .fallback = "true",
	 .doc = "Answer dpdk-telemetry.py and `tern status` on DPDK's telemetry socket."},
	{.key = "peers",
	 .type = SCHEMA_PEERS,
	 FIELD(peers),
	 .fallback = "[]",
	 .max = CONFIG_PEER_MAX,
	 .doc = "The other nodes: a list of { node: 2, address: 10.0.0.2:7400 }. An entry for this "
		"node itself is passed over. They are asked when a client wants this node to "
		"search all shards."},
};
const size_t schema_row_count = ARRAY_COUNT(schema_rows);
_Static_assert(ARRAY_COUNT(schema_rows) <= SCHEMA_ROW_MAX, "a mark for each row");

const struct schema_row schema_peer_rows[] = {
	{.key = "node", .type = SCHEMA_NUMBER, PEER_FIELD(node), .min = 1, .max = UINT64_MAX},
	{.key = "address", .type = SCHEMA_ADDRESS, PEER_FIELD(address)},
};
const size_t schema_peer_row_count = ARRAY_COUNT(schema_peer_rows);

const char *config_key(size_t index)
{
	return index < schema_row_count ? schema_rows[index].key : NULL;
}

const struct schema_row *schema_find(const char *key)
{
	for (size_t i = 0; i < schema_row_count; i++) {
		if (strcmp(schema_rows[i].key, key) == 0)
			return &schema_rows[i];
	}
	return NULL;
}

/* Does the key stand in the section? Every key stands in section "". */
static bool is_in_section(const char *key, const char *section)
{
	size_t length = strlen(section);

	return length == 0 || (strncmp(key, section, length) == 0 && key[length] == '.');
}

bool schema_is_section(const char *name)
{
	for (size_t i = 0; name[0] != '\0' && i < schema_row_count; i++) {
		if (is_in_section(schema_rows[i].key, name))
			return true;
	}
	return false;
}

/* Levenshtein's distance of 'a' and the first 'b_length' letters of 'b', by one row of his table.
 */
static size_t distance(const char *a, const char *b, size_t b_length)
{
	size_t a_length = strlen(a);
	size_t row[SCHEMA_KEY_MAX];

	/* Far from every key, without looking. */
	if (a_length >= 2 * SCHEMA_KEY_MAX)
		return a_length;
	for (size_t j = 0; j <= b_length; j++)
		row[j] = j;
	for (size_t i = 1; i <= a_length; i++) {
		size_t diagonal = row[0];

		row[0] = i;
		for (size_t j = 1; j <= b_length; j++) {
			size_t changed = diagonal + (a[i - 1] != b[j - 1]);

			diagonal = row[j];
			row[j] = MIN(changed, MIN(row[j], row[j - 1]) + 1);
		}
	}
	return row[b_length];
}

bool schema_nearest(const char *section, const char *name, char to[SCHEMA_KEY_MAX])
{
	/*
	 * A third of the letters wrong is a slip, more is another word. Distances
	 * are doubled, so that the same one in another section comes just behind.
	 */
	size_t limit = 2 * (strlen(name) / 3 + 1) + 1, best = limit;

	for (size_t i = 0; i < schema_row_count; i++) {
		const char *key = schema_rows[i].key;
		size_t length = strcspn(key, "."); /* of the section, or of all */
		const char *last = key[length] ? key + length + 1 : key;
		size_t away = 2 * distance(name, last, strlen(last));

		if (!is_in_section(key, section) || (last != key && section[0] == '\0'))
			away++;
		if (away < best) {
			best = away;
			snprintf(to, SCHEMA_KEY_MAX, "%s", key);
		}
		away = 2 * distance(name, key, length);
		if (section[0] == '\0' && away < best) {
			best = away;
			snprintf(to, SCHEMA_KEY_MAX, "%.*s", (int)length, key);
		}
	}
	return best < limit;
}
