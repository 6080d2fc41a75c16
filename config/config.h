/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Config - what one node is told
 *
 * One YAML file makes one struct, once, at start. The keys, their units, ranges,
 * defaults and sentences stand in one table (config/schema.c), from which come
 * the defaults, the checks and the printed file; docs/man/tern.yaml.5.scd tells
 * the user. Each refusal is one line, "file:line:column: what; what to do".
 *
 * The struct holds everything by value, so nothing in it has to be freed, but it
 * is large (CONFIG_PEER_MAX peers): keep it off small stacks.
 *
 * Threads: read-only after start; then any.
 */

#include "base/addr.h"
#include "base/log.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* Bytes of a configuration file. */
#define CONFIG_FILE_SIZE_MAX (64 * 1024)

/* Opening brackets of a file: libyaml takes seconds for tens of thousands in each other. */
#define CONFIG_BRACKET_MAX 1024

/* Bytes of a path or a device string, final zero included. */
#define CONFIG_TEXT_MAX 1024

/* Folders of manifests that one node serves. */
#define CONFIG_DATA_MAX 16

/* Shard indexes one node owns; the protocol has as many vShards. */
#define CONFIG_SHARD_MAX 1024

/* Poll cores of a node. */
#define CONFIG_CORE_MAX 64

/* Other nodes that a coordinating node knows. */
#define CONFIG_PEER_MAX 256

/* Bytes that an error line needs at most, final zero included. */
#define CONFIG_ERROR_MAX 1536

#define CONFIG_SECRET_SIZE 32

/* How far above its own port a core listens for links: rdma/port_rdma.h says why. */
#define CONFIG_RDMA_PORT_OFFSET 64

enum config_port_kind { CONFIG_PORT_SOCKET, CONFIG_PORT_DPDK, CONFIG_PORT_RDMA };

enum config_auth {
	CONFIG_AUTH_HMAC, /* by secret_file; without one only on loopback, and nothing is asked */
	CONFIG_AUTH_NONE, /* nothing is asked of anybody who reaches the port */
};

/* What a search finds of the nearest, when its request leaves ef open. */
enum config_recall { CONFIG_RECALL_90, CONFIG_RECALL_95, CONFIG_RECALL_98, CONFIG_RECALL_99 };

/* Numbers of a list such as "0-3,5", ascending as written. */
struct config_numbers {
	uint32_t count; /* 0: none were listed */
	uint16_t values[CONFIG_SHARD_MAX];
};

struct config_port {
	enum config_port_kind kind;
	struct addr listen;     /* core i listens on this port + i */
	struct addr ipv6;       /* dpdk: a second, IPv6 address; all zero: none */
	struct addr gateway;    /* dpdk: all zero: none */
	uint32_t prefix_length; /* dpdk: of listen's network */
	/* dpdk: PCI address or "net_NAME,..."; rdma: of verbs, "" for the first; "" with socket */
	char device[CONFIG_TEXT_MAX];
	uint32_t frame_size; /* largest UDP payload, bytes; not with rdma */
	uint32_t links;      /* rdma: connections of peers at a time, a core */
};

struct config_dpdk {
	bool huge;                         /* false: EAL gets --no-huge */
	char file_prefix[CONFIG_TEXT_MAX]; /* EAL's --file-prefix */
	uint64_t memory;                   /* bytes for EAL */
};

struct config_session {
	uint32_t sessions;         /* at a time, a core */
	uint32_t large_buffers;    /* messages of more than one frame at a time, a core */
	uint32_t message_size_max; /* bytes */
	uint64_t keepalive_ns;
	uint64_t lost_ns;
};

struct config_search {
	uint32_t ef_max;     /* a request that asks for more gets this much */
	uint32_t ef_default; /* for requests that leave it open; 0: what recall_target takes */
	enum config_recall recall_target;
	uint32_t in_flight; /* searches that a core interleaves */
	uint32_t queue_max; /* requests waiting on a core before it sheds */
};

struct config_idle {
	uint64_t busy_ns;  /* polls at full speed for that long after the last frame */
	uint64_t pause_ns; /* then with pauses for that long, then sleeps */
};

/* What peers may read of this node's memory. */
struct config_export {
	bool enabled;
	char device[CONFIG_TEXT_MAX]; /* of verbs; "": the first whose port is up */
	uint32_t port;                /* of the device; 0: the first that is up */
	char gid_index[8];            /* of the port, in digits; "": the best */
	uint32_t links;               /* connections at a time */
	uint32_t leases;              /* at a time, of all regions together */
	uint64_t lease_time_ns;       /* who asks for more gets this much */
};

struct config_peer {
	uint64_t node;
	struct addr address;
};

struct config {
	uint64_t node;  /* never 0 */
	uint64_t epoch; /* of the cluster's hand-written layout */

	uint32_t data_count;
	char data[CONFIG_DATA_MAX][CONFIG_TEXT_MAX]; /* folders */
	struct config_numbers shards;                /* none listed: all of the manifests */

	uint32_t core_count;         /* always set: the list's length when there is one */
	struct config_numbers cores; /* none listed: 'core_count' of topo_plan()'s choice */

	struct config_port port;
	struct config_dpdk dpdk;

	enum config_auth auth;
	char secret_file[CONFIG_TEXT_MAX]; /* "" when there is none */
	bool secret_loaded;
	uint8_t secret[CONFIG_SECRET_SIZE]; /* config_deinit() wipes it */

	struct config_session session;
	struct config_search search;
	struct config_idle idle;
	struct config_export export;

	enum log_level log_level;
	bool telemetry;

	uint32_t peer_count;
	struct config_peer peers[CONFIG_PEER_MAX];
};

/* What an empty file means. Unused bytes are zero, so two configs compare by memcmp(). */
void config_defaults(struct config *ret_config);

/*
 * Reads and checks 'path', and the secret file that it names. Relative paths in
 * the file start at the file's own folder. Whether cores, devices and folders
 * are there is left to who uses them.
 *
 * Returns 0; or a negative errno: 'error' then holds one line without its end,
 * and '*ret_config' is as it was. The caller wipes it by config_deinit().
 */
int config_load(const char *path, struct config *ret_config, char *error, size_t error_size);

/*
 * The same of 'size' bytes that are there already; 'name' stands for the file
 * in errors, and its folder is where relative paths start.
 */
int config_parse(const char *name, const char *bytes, size_t size, struct config *ret_config,
		 char *error, size_t error_size);

/*
 * Writes "file:line:column" of the key's value, for who finds out after loading
 * what is wrong with it; of the file's begin when the key isn't given. Reads the
 * file again.
 */
void config_where(const char *path, const char *key, char *to, size_t to_size);

/* Forgets the secret. NULL is fine. */
void config_deinit(struct config *config);

/* Writes a commented YAML file that loads to config_defaults(). Returns 0 or -EIO. */
int config_print_defaults(FILE *file);

/* The schema's keys in order, "session.keepalive"; NULL behind the last one. */
const char *config_key(size_t index);
