/* SPDX-License-Identifier: Apache-2.0 */
#include "client/online.h"

#include "base/clock.h"
#include "base/defs.h"
#include "client/far.h"
#include "net/dpdk_env.h"
#include "net/port_dpdk.h"
#include "net/port_socket.h"
#include "proto/status.h"
#include "rdma/port_rdma.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Peers at a time: a poll core of a node is one. */
#define ONLINE_SESSIONS 256

/* Our own UDP port on a DPDK device, and EAL's memory: a few thousand frames. */
#define ONLINE_UDP_PORT 40740
#define ONLINE_DPDK_MIB 128

static int open_socket(const struct peers *peers, struct online *online)
{
	struct port_socket_config config = {.local = peers->local, .queue_count = 1};
	char error[PORT_ERROR_TEXT_MAX];

	if (port_socket_open(&config, &online->port, error, sizeof(error)) < 0)
		return cmd_fail("%s", error);
	return CMD_DONE;
}

static int open_env(const struct online_options *options)
{
	bool is_virtual = strncmp(options->device, "net_", 4) == 0;
	char error[PORT_ERROR_TEXT_MAX];
	struct dpdk_env_config env = {
		.file_prefix = "tern-client",
		.huge_pages = options->huge,
		.memory_mib = ONLINE_DPDK_MIB,
		.pci_device = is_virtual ? NULL : options->device,
	};

	return dpdk_env_open(&env, error, sizeof(error)) < 0 ? cmd_fail("%s", error) : CMD_DONE;
}

/* EAL and its one port. */
static int open_device(const struct online_options *options, const struct port_dpdk_config *config,
		       struct online *online)
{
	char error[PORT_ERROR_TEXT_MAX];
	int status = open_env(options);

	if (status == CMD_DONE && port_dpdk_open(config, &online->port, error, sizeof(error)) < 0)
		status = cmd_fail("%s", error);
	return status;
}

static int open_dpdk(const struct online_options *options, struct online *online)
{
	struct port_dpdk_config config = {
		.device = options->device,
		.queue_count = 1,
		.udp_port = ONLINE_UDP_PORT,
	};
	struct ether_subnet subnet;

	if (!options->device || !options->address)
		return cmd_usage("--port dpdk needs --device and --address");
	if (ether_subnet_parse(options->address, options->gateway, &subnet) < 0)
		return cmd_usage("--address is our IP with its prefix (10.0.0.2/24), --gateway an "
				 "IP of that network, not '%s' and '%s'",
				 options->address, options->gateway ? options->gateway : "");
	if (ether_subnet_is_ipv4(&subnet))
		config.ipv4 = subnet;
	else
		config.ipv6 = subnet;
	return open_device(options, &config, online);
}

static int open_fabric(const struct online_options *options, const uint8_t *secret,
		       struct online *online)
{
	char error[FABRIC_ERROR_MAX];

	if (options->address || options->gateway || options->huge)
		return cmd_usage("--address, --gateway and --huge go with --port dpdk");
	if (fabric_open(options->device, secret, &online->fabric, error, sizeof(error)) < 0)
		return cmd_fail("%s", error);
	online->port = online->fabric.port;
	return CMD_DONE;
}

static int open_port(const struct online_options *options, const struct peers *peers,
		     const uint8_t *secret, struct online *online)
{
	if (strcmp(options->port, "socket") == 0) {
		if (options->device || options->address || options->gateway || options->huge)
			return cmd_usage("--device, --address, --gateway and --huge go with "
					 "--port dpdk");
		return open_socket(peers, online);
	}
	if (strcmp(options->port, "dpdk") == 0)
		return open_dpdk(options, online);
	if (strcmp(options->port, "rdma") == 0)
		return open_fabric(options, secret, online);
	return cmd_usage("--port is socket, dpdk or rdma, not '%s'", options->port);
}

static int open_client(const struct online_options *options, const struct peers *peers,
		       const uint8_t *secret, uint32_t in_flight, struct online *online)
{
	struct client_config config = {
		.port = online->queue,
		.servers = peers->servers,
		.server_count = peers->server_count,
		.in_flight_max = in_flight,
		.session_count = ONLINE_SESSIONS,
		.shard_count = (uint32_t)options->shards,
		.secret = secret,
	};
	const struct far_config far = far_config_of(options->verbs, options->one_sided_mib, secret);
	int result;

	if (!options->one_sided && (options->verbs || options->one_sided_mib))
		return cmd_usage("--verbs and --one-sided-memory go with --one-sided");
	if (options->one_sided)
		config.far = &far;
	result = client_new(&config, &online->client);
	if (result == -ENODEV)
		return cmd_fail("--verbs %s: there is no such device, or it can't be opened; "
				"`tern info` lists them",
				options->verbs);
	return result < 0 ? cmd_fail("no client: %s", strerror(-result)) : CMD_DONE;
}

/* The port, and the client on it. */
static int open_talk(const struct online_options *options, const struct peers *peers,
		     uint32_t in_flight, struct online *online)
{
	uint8_t bytes[SESSION_SECRET_SIZE];
	const uint8_t *secret = options->secret_file ? bytes : NULL;
	char error[PEERS_ERROR_MAX];
	int status;

	if (secret && peers_read_secret(options->secret_file, bytes, error, sizeof(error)) < 0)
		return cmd_fail("%s", error);
	status = open_port(options, peers, secret, online);
	if (status == CMD_DONE) {
		online->queue = port_queue(online->port, 0);
		status = open_client(options, peers, secret, in_flight, online);
	}
	explicit_bzero(bytes, sizeof(bytes));
	return status;
}

static int open_parts(const struct online_options *options, uint32_t in_flight,
		      struct online *online)
{
	char error[MAX(FILES_ERROR_MAX, PEERS_ERROR_MAX)];
	struct peers peers;

	if (peers_resolve(options->servers, &peers, error, sizeof(error)) < 0)
		return cmd_usage("%s", error);
	if (files_open(options->query, "test", &online->files, error) != 0)
		return cmd_fail("%s", error);
	if (files_floats(&online->files, &online->rows, error) != 0)
		return cmd_fail("%s", error);
	online->row_count = online->files.count;
	online->dim = online->files.dim;
	if (online->row_count == 0 || online->dim > VECTOR_DIM_MAX)
		return cmd_fail("%s: %u vectors of %u dimensions; at least one, and at most %d "
				"dimensions",
				options->query, online->row_count, online->dim, VECTOR_DIM_MAX);
	return open_talk(options, &peers, in_flight, online);
}

int online_open(const struct online_options *options, uint32_t in_flight, struct online *ret_online)
{
	struct online online = {0};
	int status = open_parts(options, in_flight, &online);

	if (status != CMD_DONE) {
		online_close(&online);
		return status;
	}
	*ret_online = online;
	return CMD_DONE;
}

void online_close(struct online *online)
{
	client_free(online->client, clock_now_ns());
	if (online->fabric.port)
		fabric_close(&online->fabric);
	else
		port_close(online->port);
	dpdk_env_close();
	files_close(&online->files);
}

void online_report(const struct online_options *options, const struct online *online)
{
	struct far_stats stats;
	double searches;

	if (!client_far(online->client, &stats))
		return;
	searches = stats.searches ? (double)stats.searches : 1;
	if (!options->json && stats.shards == 0) {
		fprintf(stderr, "tern: owners were asked: filters, and k over %d, are theirs\n",
			READER_K_MAX);
		return;
	}
	if (options->json) {
		printf("{\"event\":\"one_sided\",\"shards\":%u,\"ready\":%u,\"opened\":%u,"
		       "\"transport\":\"%s\","
		       "\"searches\":%llu,\"round_trips\":%llu,\"reads\":%llu,\"bytes\":%llu,"
		       "\"opening_reads\":%llu,\"opening_bytes\":%llu,\"failures\":%llu,"
		       "\"reason\":\"%s\"}\n",
		       stats.shards, stats.ready, stats.opened,
		       stats.transport ? stats.transport : "none",
		       (unsigned long long)stats.searches, (unsigned long long)stats.rounds,
		       (unsigned long long)(stats.reads - stats.opening_reads),
		       (unsigned long long)(stats.bytes - stats.opening_bytes),
		       (unsigned long long)stats.opening_reads,
		       (unsigned long long)stats.opening_bytes, (unsigned long long)stats.failures,
		       stats.reason);
		return;
	}
	fprintf(stderr,
		"one-sided: %u of %u shards by %s; %llu searches with %.1f round trips, %.1f reads "
		"and "
		"%.1f KiB each; opening took %.1f MiB\n",
		stats.ready, stats.shards, stats.transport ? stats.transport : "nothing",
		(unsigned long long)stats.searches, (double)stats.rounds / searches,
		(double)(stats.reads - stats.opening_reads) / searches,
		(double)(stats.bytes - stats.opening_bytes) / searches / 1024,
		(double)stats.opening_bytes / (1 << 20));
	if (stats.ready < stats.shards)
		fprintf(stderr, "tern: owners were asked instead: %s\n", stats.reason);
}

struct client_question online_question(const struct online_options *options,
				       const struct online *online, uint32_t row, uint64_t now_ns)
{
	return (struct client_question){
		.collection = options->collection,
		.vector = online->rows + (size_t)row * online->dim,
		.dim = online->dim,
		.k = (uint32_t)options->k,
		.ef = (uint32_t)options->ef,
		.probe = (uint32_t)options->probe,
		.deadline_ns = now_ns + options->timeout_ms * NS_PER_MS,
		.tag = row,
		.strict = options->strict,
	};
}

void online_wait(struct online *online, uint64_t until_ns)
{
	uint64_t now_ns = clock_now_ns();
	uint64_t due_ns = MIN(client_due_ns(online->client), until_ns);
	struct pollfd poll_fd = {.fd = port_wait_fd(online->queue), .events = POLLIN};
	uint64_t wait_ns = due_ns > now_ns ? MIN(due_ns - now_ns, NS_PER_S) : 0;
	struct timespec wait = {.tv_nsec = (long)(wait_ns % NS_PER_S)};

	if (poll_fd.fd < 0 || wait_ns == 0)
		return;
	wait.tv_sec = (time_t)(wait_ns / NS_PER_S);
	(void)ppoll(&poll_fd, 1, &wait, NULL);
}

int online_refused(const struct online_options *options, const struct online *online, int result)
{
	if (result == -ENOMEM)
		return cmd_fail("out of memory");
	if (result == CLIENT_E_BUSY)
		return cmd_fail("too many answers are late: %s doesn't keep up", options->servers);
	if (result == CLIENT_E_LIMIT)
		return cmd_fail("the query and its filter are larger than a message");
	return cmd_fail("collection '%s', k %lu, %u dimensions: not a query; the name has 1 to %d "
			"bytes",
			options->collection, (unsigned long)options->k, online->dim,
			VECTOR_COLLECTION_MAX);
}

void online_tell_why(const struct online *online)
{
	const char *why = online->fabric.port ? port_rdma_why(online->queue) : "";

	if (why[0])
		(void)cmd_fail("over RDMA: %s", why);
}

const char *online_mend(uint16_t status)
{
	switch (status) {
	case STATUS_DEADLINE:
	case STATUS_UNREACHABLE:
		return "; does ternd serve at each --server, and is --timeout-ms long enough?";
	case STATUS_AUTH:
		return "; give the file of the cluster's secret by --secret";
	case STATUS_SHARD_NOT_HERE:
		return "; no --server has this collection: check its name, and what they serve";
	case STATUS_INVALID:
		return "; do the queries have the collection's dimensions, and is the filter one?";
	default:
		return "";
	}
}
