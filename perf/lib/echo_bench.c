/* SPDX-License-Identifier: Apache-2.0 */
#include "perf/lib/echo_bench.h"

#include "base/check.h"
#include "base/clock.h"
#include "net/dpdk_env.h"
#include "net/port_dpdk.h"
#include "perf/lib/bare_echo.h"
#include "perf/lib/paired.h"

#include <errno.h>
#include <getopt.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define UDP_PORT 7400

enum { SERVER, CLIENT };

struct end {
	struct port *port;
	struct port_queue *queue;
	uint16_t device;
	uint8_t mac[6];
};

struct bench {
	const char *name;
	const struct echo_way *way;
	struct end ends[2];
	struct rte_mempool *pool;
	atomic_bool stop;
	bool bare; /* what the server's thread does */
};

static unsigned repeat = PAIRED_REPEAT;
static uint64_t duration_ns = 30 * NS_PER_MS;
static bool json;

/* --- one measurement --- */

static cpu_set_t one_cpu(unsigned cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu % (unsigned)sysconf(_SC_NPROCESSORS_ONLN), &set);
	return set;
}

static void *serve(void *argument)
{
	struct bench *bench = argument;

	CHECK(dpdk_env_enter() == 0);
	if (bench->bare)
		(void)bare_echo_serve(bench->ends[SERVER].device, &bench->stop);
	else
		bench->way->serve(bench->ends[SERVER].queue, &bench->stop);
	dpdk_env_leave();
	return NULL;
}

static struct echo_load_result run_both_ends(struct bench *bench, bool bare,
					     const struct echo_load_ops *ops, void *context,
					     unsigned window)
{
	struct echo_load_result result;
	cpu_set_t set = one_cpu(1);
	pthread_attr_t attributes;
	pthread_t thread;

	/* Pinned from its birth: on our processor it might never get to run. */
	CHECK(pthread_attr_init(&attributes) == 0);
	(void)pthread_attr_setaffinity_np(&attributes, sizeof(set), &set);
	bench->bare = bare;
	atomic_store(&bench->stop, false);
	CHECK(pthread_create(&thread, &attributes, serve, bench) == 0);
	pthread_attr_destroy(&attributes);
	(void)echo_load_run(ops, context, window, duration_ns / 10); /* neighbours, caches */
	result = echo_load_run(ops, context, window, duration_ns);
	atomic_store(&bench->stop, true);
	pthread_join(thread, NULL);
	return result;
}

static struct echo_load_result measure_bare(struct bench *bench, uint32_t size, unsigned window)
{
	struct end *client = &bench->ends[CLIENT];
	struct bare_echo echo = {.device = client->device,
				 .pool = bench->pool,
				 .size = ETHER_OVERHEAD_IPV4 + bench->way->overhead + size};

	memcpy(echo.from, client->mac, sizeof(echo.from));
	memcpy(echo.to, bench->ends[SERVER].mac, sizeof(echo.to));
	return run_both_ends(bench, /* bare= */ true, &bare_echo_ops, &echo, window);
}

static struct echo_load_result measure_way(struct bench *bench, uint32_t size, unsigned window)
{
	const struct echo_way *way = bench->way;
	void *context =
		way->open(bench->ends[CLIENT].queue, &bench->ends[SERVER].queue->local, size);
	struct echo_load_result result =
		run_both_ends(bench, /* bare= */ false, way->ops, context, window);

	way->close(context);
	return result;
}

static void compare(struct bench *bench, uint32_t size)
{
	char rate_name[64], trip_name[64];
	struct paired rate = {.name = rate_name, .unit = bench->way->unit};
	struct paired trip = {.name = trip_name, .unit = "us"};

	snprintf(rate_name, sizeof(rate_name), "%s %u B %s rate", bench->name, size,
		 bench->way->name);
	snprintf(trip_name, sizeof(trip_name), "%s %u B %s round trip", bench->name, size,
		 bench->way->name);
	for (unsigned i = 0; i < repeat; i++) {
		struct echo_load_result bare = measure_bare(bench, size, ECHO_BENCH_WINDOW);
		struct echo_load_result ours = measure_way(bench, size, ECHO_BENCH_WINDOW);

		if (bare.rate > 0 && ours.rate > 0)
			paired_add(&rate, bare.rate, ours.rate);
		bare = measure_bare(bench, size, 1);
		ours = measure_way(bench, size, 1);
		if (bare.p50_us > 0 && ours.p50_us > 0)
			paired_add(&trip, bare.p50_us, ours.p50_us);
	}
	/* Without any, the machine was too busy for both ends to run at one time. */
	if (rate.count > 0)
		paired_print(&rate, json);
	if (trip.count > 0)
		paired_print(&trip, json);
}

/* --- devices --- */

static int open_end(struct end *end, const char *device, unsigned number)
{
	struct port_dpdk_config config = {.device = device, .queue_count = 1, .udp_port = UDP_PORT};
	char error[PORT_ERROR_TEXT_MAX], address[32];
	struct port_dpdk_info info;
	int r;

	snprintf(address, sizeof(address), "10.77.0.%u/24", number);
	CHECK(ether_subnet_parse(address, NULL, &config.ipv4) == 0);
	r = port_dpdk_open(&config, &end->port, error, sizeof(error));
	if (r != 0) {
		fprintf(stderr, "bench: %s\n", error);
		return r;
	}
	info = port_dpdk_info(end->port);
	end->queue = port_queue(end->port, 0);
	end->device = bare_echo_device(info.device);
	memcpy(end->mac, info.mac, sizeof(end->mac));
	return 0;
}

static void bench_devices(const struct echo_way *way, const char *name, const char *server,
			  const char *client)
{
	struct bench bench = {.name = name, .way = way};

	if (open_end(&bench.ends[SERVER], server, 1) == 0 &&
	    open_end(&bench.ends[CLIENT], client, 2) == 0) {
		uint32_t max = bench.ends[CLIENT].queue->frame_size;

		bench.pool = bare_echo_pool(name, ETHER_OVERHEAD_MAX + max);
		CHECK(bench.pool);
		for (const uint32_t *size = way->sizes; *size; size++)
			compare(&bench, MIN(*size, max - way->overhead));
	}
	port_close(bench.ends[CLIENT].port);
	port_close(bench.ends[SERVER].port);
}

/* A namespace for the veth pair; memif doesn't mind. */
static bool make_veth(void)
{
	if (unshare(CLONE_NEWNET) != 0)
		return false;
	return system("ip link add ta type veth peer name tb && sysctl -qw "
		      "net.ipv6.conf.all.disable_ipv6=1 && ip link set ta up && ip link set tb "
		      "up") == 0;
}

int echo_bench_main(int argc, char **argv, const struct echo_way *way)
{
	static const struct option options[] = {{"json", no_argument, NULL, 'j'},
						{"repeat", required_argument, NULL, 'r'},
						{"huge", no_argument, NULL, 'H'},
						{0}};
	struct dpdk_env_config env = {.memory_mib = 256};
	char error[PORT_ERROR_TEXT_MAX], prefix[32];
	cpu_set_t set;
	bool veth;
	int name;

	while ((name = getopt_long(argc, argv, "", options, NULL)) >= 0) {
		if (name == 'j')
			json = true;
		else if (name == 'H')
			env.huge_pages = true;
		else if (name == 'r')
			repeat = (unsigned)strtoul(optarg, NULL, 10);
		else
			return 2;
	}
	repeat = MAX(1u, MIN(repeat, (unsigned)PAIRED_REPEAT_MAX));
	snprintf(prefix, sizeof(prefix), "bench%d", getpid());
	env.file_prefix = prefix;
	veth = make_veth();
	if (dpdk_env_open(&env, error, sizeof(error)) != 0) {
		fprintf(stderr, "bench: %s\n", error);
		return 1;
	}
	set = one_cpu(0);
	(void)pthread_setaffinity_np(pthread_self(), sizeof(set), &set);
	CHECK(dpdk_env_enter() == 0);
	bench_devices(way, "memif", "net_memif0,role=server,id=7", "net_memif1,role=client,id=7");
	if (veth)
		bench_devices(way, "AF_PACKET", "net_af_packet0,iface=ta",
			      "net_af_packet1,iface=tb");
	else
		fprintf(stderr, "bench: no AF_PACKET without root and veth\n");
	dpdk_env_close();
	return 0;
}
