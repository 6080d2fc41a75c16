/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Bench_port - our port's echo against a bare one on the same device
 *
 * Two devices joined to each other in one process, a thread with a processor of
 * its own at each end. Bare (perf/lib/bare_echo.h): bursts of packet buffers
 * back and forth, no header read. Ours: the same frames as UDP payloads through
 * struct port: headers, checksums, neighbours, statistics. Both run in turns on
 * the same devices with frames of the same size on the wire.
 *
 * Rate is with 32 frames under way, round trip with one. AF_PACKET needs root:
 * the veth pair stands in a network namespace that ends with the process.
 */

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

#define WINDOW   32
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
	struct end ends[2];
	struct rte_mempool *pool;
	atomic_bool stop;
	bool bare; /* what the server's thread does */
};

static unsigned repeat = PAIRED_REPEAT;
static uint64_t duration_ns = 30 * NS_PER_MS;
static bool json;

/* --- our echo --- */

static void port_echo_serve(struct port_queue *queue, const atomic_bool *stop)
{
	struct port_frame frames[PORT_BURST_MAX];

	while (!atomic_load_explicit(stop, memory_order_relaxed)) {
		unsigned count = port_receive(queue, frames, PORT_BURST_MAX);

		if (count == 0)
			continue;
		for (unsigned i = 0; i < count; i++)
			port_send(queue, &frames[i].from, frames[i].bytes, frames[i].size, NULL, 0);
		port_release(queue, frames, count);
		port_flush(queue);
	}
}

struct asker {
	struct port_queue *queue;
	struct addr to;
	uint32_t size;
};

static unsigned ask_send(void *context, unsigned count)
{
	static uint8_t bytes[16384];
	const struct asker *asker = context;
	uint64_t before = asker->queue->stats.frames_sent;

	for (unsigned i = 0; i < count; i++)
		port_send(asker->queue, &asker->to, bytes, asker->size, NULL, 0);
	port_flush(asker->queue);
	return (unsigned)(asker->queue->stats.frames_sent - before);
}

static unsigned ask_poll(void *context)
{
	const struct asker *asker = context;
	struct port_frame frames[PORT_BURST_MAX];
	unsigned count = port_receive(asker->queue, frames, PORT_BURST_MAX);

	port_release(asker->queue, frames, count);
	return count;
}

static const struct echo_load_ops ask_ops = {.send = ask_send, .poll = ask_poll};

/* --- one measurement --- */

static void pin(unsigned cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu % (unsigned)sysconf(_SC_NPROCESSORS_ONLN), &set);
	(void)pthread_setaffinity_np(pthread_self(), sizeof(set), &set);
}

static void *serve(void *argument)
{
	struct bench *bench = argument;

	pin(1);
	CHECK(dpdk_env_enter() == 0);
	if (bench->bare)
		(void)bare_echo_serve(bench->ends[SERVER].device, &bench->stop);
	else
		port_echo_serve(bench->ends[SERVER].queue, &bench->stop);
	dpdk_env_leave();
	return NULL;
}

static struct echo_load_result measure(struct bench *bench, bool bare, uint32_t size,
				       unsigned window)
{
	struct bare_echo echo = {.device = bench->ends[CLIENT].device,
				 .pool = bench->pool,
				 .size = ETHER_OVERHEAD_IPV4 + size};
	struct asker asker = {.queue = bench->ends[CLIENT].queue,
			      .to = bench->ends[SERVER].queue->local,
			      .size = size};
	const struct echo_load_ops *ops = bare ? &bare_echo_ops : &ask_ops;
	void *context = bare ? (void *)&echo : (void *)&asker;
	struct echo_load_result result;
	pthread_t thread;

	memcpy(echo.from, bench->ends[CLIENT].mac, sizeof(echo.from));
	memcpy(echo.to, bench->ends[SERVER].mac, sizeof(echo.to));
	bench->bare = bare;
	atomic_store(&bench->stop, false);
	CHECK(pthread_create(&thread, NULL, serve, bench) == 0);
	(void)echo_load_run(ops, context, window, duration_ns / 10); /* neighbours, caches */
	result = echo_load_run(ops, context, window, duration_ns);
	atomic_store(&bench->stop, true);
	pthread_join(thread, NULL);
	return result;
}

static void compare(struct bench *bench, uint32_t size)
{
	char rate_name[64], trip_name[64];
	struct paired rate = {.name = rate_name, .unit = "frames/s"};
	struct paired trip = {.name = trip_name, .unit = "us"};

	snprintf(rate_name, sizeof(rate_name), "%s %u B echo rate", bench->name, size);
	snprintf(trip_name, sizeof(trip_name), "%s %u B round trip", bench->name, size);
	for (unsigned i = 0; i < repeat; i++) {
		struct echo_load_result bare = measure(bench, true, size, WINDOW);
		struct echo_load_result ours = measure(bench, false, size, WINDOW);

		if (bare.rate > 0 && ours.rate > 0)
			paired_add(&rate, bare.rate, ours.rate);
		bare = measure(bench, true, size, 1);
		ours = measure(bench, false, size, 1);
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
		fprintf(stderr, "bench_port: %s\n", error);
		return r;
	}
	info = port_dpdk_info(end->port);
	end->queue = port_queue(end->port, 0);
	end->device = bare_echo_device(info.device);
	memcpy(end->mac, info.mac, sizeof(end->mac));
	return 0;
}

static void bench_devices(const char *name, const char *server, const char *client)
{
	struct bench bench = {.name = name};

	if (open_end(&bench.ends[SERVER], server, 1) == 0 &&
	    open_end(&bench.ends[CLIENT], client, 2) == 0) {
		uint32_t max = bench.ends[CLIENT].queue->frame_size;

		bench.pool = bare_echo_pool(name, ETHER_OVERHEAD_MAX + max);
		CHECK(bench.pool);
		compare(&bench, 64);
		compare(&bench, 1024);
		compare(&bench, max);
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

int main(int argc, char **argv)
{
	static const struct option options[] = {{"json", no_argument, NULL, 'j'},
						{"repeat", required_argument, NULL, 'r'},
						{"huge", no_argument, NULL, 'H'},
						{0}};
	struct dpdk_env_config env = {.memory_mib = 256};
	char error[PORT_ERROR_TEXT_MAX], prefix[32];
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
		fprintf(stderr, "bench_port: %s\n", error);
		return 1;
	}
	pin(0);
	CHECK(dpdk_env_enter() == 0);
	bench_devices("memif", "net_memif0,role=server,id=7", "net_memif1,role=client,id=7");
	if (veth)
		bench_devices("AF_PACKET", "net_af_packet0,iface=ta", "net_af_packet1,iface=tb");
	else
		fprintf(stderr, "bench_port: no AF_PACKET without root and veth\n");
	dpdk_env_close();
	return 0;
}
