/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Online - what the subcommands that talk to a cluster have in common
 *
 * The options that say where the cluster is, the port that they go through, and
 * the vectors that are asked about.
 *
 * Threads: the main thread.
 */

#include "client/client.h"
#include "client/cmd.h"
#include "client/fabric.h"
#include "client/files.h"
#include "client/peers.h"
#include "proto/port.h"

#include <stdbool.h>
#include <stdint.h>

/* Set before cmd_options(), with ONLINE_OPTIONS among the options. */
struct online_options {
	const char *servers;
	const char *collection;
	const char *query; /* a file of vectors */
	const char *secret_file;
	const char *port;    /* "socket", "dpdk" or "rdma" */
	const char *device;  /* dpdk: what EAL is to make a port of; rdma: of verbs, or NULL */
	const char *address; /* dpdk: our own IP/PREFIX */
	const char *gateway; /* dpdk: NULL for none */
	uint64_t k;
	uint64_t ef;
	uint64_t probe;
	uint64_t timeout_ms;
	uint64_t shards;
	bool strict;
	bool one_sided;    /* search shards in their owners' memory */
	const char *verbs; /* the device for that; NULL: the first, "none": shared memory only */
	uint64_t one_sided_mib; /* memory for each shard; 0: the default */
	bool json;
	bool huge; /* dpdk: memory in huge pages */
};

#define ONLINE_OPTIONS_INIT                                                                        \
	{                                                                                          \
		.port = "socket", .k = 10, .timeout_ms = 5000                                      \
	}

#define ONLINE_OPTIONS(o)                                                                          \
	{"server", "LIST", "the nodes that have it: HOST:PORT,HOST:PORT...", .text = &(o).servers, \
	 .required = true},                                                                        \
		{"collection", "NAME", "the collection to search", .text = &(o).collection,        \
		 .required = true},                                                                \
		{"query", "FILE", "vectors to ask for (.fvecs .fbin .npy .hdf5 ...)",              \
		 .text = &(o).query, .required = true},                                            \
		{"k",                                                                              \
		 "N",                                                                              \
		 "neighbours a query (default 10)",                                                \
		 .number = &(o).k,                                                                 \
		 .min = 1,                                                                         \
		 .max = VECTOR_TOP_K_MAX},                                                         \
		{"ef",                                                                             \
		 "N",                                                                              \
		 "effort of each shard (default: the node's)",                                     \
		 .number = &(o).ef,                                                                \
		 .min = 0,                                                                         \
		 .max = VECTOR_EF_MAX},                                                            \
		{"probe",                                                                          \
		 "N",                                                                              \
		 "ask the N nearest shards only (default 0: all)",                                 \
		 .number = &(o).probe,                                                             \
		 .min = 0,                                                                         \
		 .max = ROUTE_VSHARD_MAX},                                                         \
		{"shards",                                                                         \
		 "N",                                                                              \
		 "shards of the collection (default 0: find out)",                                 \
		 .number = &(o).shards,                                                            \
		 .min = 0,                                                                         \
		 .max = ROUTE_VSHARD_MAX},                                                         \
		{"timeout-ms",                                                                     \
		 "N",                                                                              \
		 "for each query (default 5000)",                                                  \
		 .number = &(o).timeout_ms,                                                        \
		 .min = 1,                                                                         \
		 .max = 3600000},                                                                  \
		{"one-sided", NULL, "search shards by reading their owners' memory",               \
		 .flag = &(o).one_sided},                                                          \
		{"verbs", "NAME", "with --one-sided: the device; none: only shared memory",        \
		 .text = &(o).verbs},                                                              \
		{"one-sided-memory",                                                               \
		 "MIB",                                                                            \
		 "with --one-sided: memory for each shard (default 64)",                           \
		 .number = &(o).one_sided_mib,                                                     \
		 .min = 1,                                                                         \
		 .max = 65536},                                                                    \
		{"strict", NULL, "a query fails when a shard doesn't answer",                      \
		 .flag = &(o).strict},                                                             \
		{"secret", "FILE", "the cluster's secret: 32 bytes, or 64 hex digits",             \
		 .text = &(o).secret_file},                                                        \
		{"port", "KIND", "socket (default), dpdk or rdma", .text = &(o).port},             \
		{"device", "DEVICE", "with --port dpdk or rdma: the device", .text = &(o).device}, \
		{"address", "IP/PREFIX", "with --port dpdk: our own address",                      \
		 .text = &(o).address},                                                            \
		{"gateway", "IP", "with --port dpdk: for servers behind a router",                 \
		 .text = &(o).gateway},                                                            \
		{"huge", NULL, "with --port dpdk: take memory in huge pages", .flag = &(o).huge},  \
	{                                                                                          \
		"json", NULL, "one JSON object a line", .flag = &(o).json                          \
	}

struct online {
	struct port *port;    /* owned, but of a fabric */
	struct fabric fabric; /* with --port rdma */
	struct port_queue *queue;
	struct client *client;
	struct files files;
	const float *rows; /* borrows from files */
	uint32_t row_count;
	uint32_t dim;
};

/*
 * Opens the query file, the port and a client with room for 'in_flight' questions.
 *
 * Returns CMD_DONE; or CMD_FAILED or CMD_USAGE, having printed why.
 */
int online_open(const struct online_options *options, uint32_t in_flight,
		struct online *ret_online);
void online_close(struct online *online);

/* Row 'row' as a question with that tag. */
struct client_question online_question(const struct online_options *options,
				       const struct online *online, uint32_t row, uint64_t now_ns);

/* Waits until a frame is there, something is due, or 'until_ns'. */
void online_wait(struct online *online, uint64_t until_ns);

/* With --one-sided: what it came to, on stderr, or as a JSON line. */
void online_report(const struct online_options *options, const struct online *online);

/* A line on stderr for why client_submit() refused. Returns CMD_FAILED. */
int online_refused(const struct online_options *options, const struct online *online, int result);

/* A line on stderr for why links over RDMA weren't made, when a question has failed. */
void online_tell_why(const struct online *online);

/* What may mend a question that ended with 'status' (enum status): "; ...", or "". */
const char *online_mend(uint16_t status);
