/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Bench fetch: our READs beside perftest's, on the same device
 *
 *      bench_fetch [--json] [--repeat N] [DEVICE]
 *
 * Both ends are on one device. In every repetition and for each size, ib_read_lat and ib_read_bw
 * run first, then our fetch does the same with an owner in a process of its own: one READ at a
 * time, and then as many bytes under way as there. The raw thing has the same number of entries in
 * its send queue
 * (-t), and neither owner uses its processor. At the end whole regions are pulled, beside
 * ib_read_bw with pieces of the same size.
 *
 * Latency is printed as READs a second, one under way at a time (of the median time), so that more
 * is better in every line. perf/fetch/run has devices.
 */

#include "base/clock.h"
#include "base/crc.h"
#include "base/defs.h"
#include "perf/lib/paired.h"
#include "rdma/fetch_verbs.h"
#include "rdma/pull.h"

#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define REGION_SIZE (16u << 20)

/* Entries of the send queue, as perftest has them by default. */
#define DEPTH 128

/* Pieces that we post with one doorbell. */
#define BATCH 16

#define IDLE_TURNS    32
#define PATIENCE_NS   (60 * NS_PER_S)
#define WALK_MAX      1000
#define COMMAND_MAX   512
#define CLIENT_TRIES  100
#define GID_INDEX     1 /* of rxe: IPv4 */
#define FIRST_PORT    18600
#define ITERATION_MIN 16

static const uint32_t sizes[] = {64, 1024, 8192, 65536, 1048576};

static const char *device_name;
static char error[DEVICE_ERROR_MAX];
static uint8_t *content, *memory;

_Noreturn static void die(const char *what)
{
	(void)fprintf(stderr, "bench_fetch: %s\n", what);
	exit(1);
}

static void ignore_change(void *context, struct link *link)
{
}

static void open_hub(uint64_t node, struct device **ret_device, struct link_hub **ret_hub)
{
	const struct device_options options = {.name = device_name, .gid_index = -1};
	const struct link_hub_config config = {
		.node = node, .link_max = 4, .send_depth = 512, .changed = ignore_change};

	if (device_open(real_verbs_ops(), &options, ret_device, error, sizeof(error)) ||
	    link_hub_new(*ret_device, &config, ret_hub, error, sizeof(error)))
		die(error);
}

/* --- the owner: sleeps but for connection events --- */

struct grant {
	struct addr addr;
	uint64_t remote_addr;
	uint32_t rkey;
};

_Noreturn static void own(int answers)
{
	struct grant grant = {.remote_addr = (uintptr_t)content};
	struct device *device;
	struct link_hub *hub;
	struct ibv_mr *mr;
	struct addr addr;

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	open_hub(7, &device, &hub);
	if (!device_addr(device, 0, &addr) ||
	    link_listen(hub, &addr, &grant.addr, error, sizeof(error)) ||
	    device_register(device, content, REGION_SIZE, IBV_ACCESS_REMOTE_READ, &mr, error,
			    sizeof(error)))
		die(error);
	grant.rkey = mr->rkey;
	if (write(answers, &grant, sizeof(grant)) != sizeof(grant))
		_exit(1);
	for (;;) {
		struct pollfd wait = {.fd = link_hub_fd(hub), .events = POLLIN};

		(void)link_hub_arm(hub);
		while (link_hub_turn(hub, clock_now_ns()))
			;
		(void)poll(&wait, 1, 100);
	}
}

static struct grant owner_start(void)
{
	struct grant grant;
	int answers[2];

	if (pipe(answers))
		die("no pipe");
	if (!fork())
		own(answers[1]);
	(void)close(answers[1]);
	if (read(answers[0], &grant, sizeof(grant)) != sizeof(grant))
		die("the owner has ended");
	(void)close(answers[0]);
	return grant;
}

/* --- ours --- */

static struct link_hub *hub;
static struct fetch *fetch;
static uint64_t now_ns; /* as of the last turn */

/*
 * The clock is read behind completions; while there are none, every so many turns, so that the hub
 * sees to its connections.
 */
static bool turn(void)
{
	static unsigned idle;
	bool any = link_hub_turn(hub, now_ns);

	if (any || ++idle % IDLE_TURNS == 0)
		now_ns = clock_now_ns();
	return any;
}

static void reader_open(const struct grant *grant)
{
	struct fetch_verbs_options options = {
		.remote_addr = grant->remote_addr,
		.size = REGION_SIZE,
		.rkey = grant->rkey,
		.depth = FETCH_VERBS_DEPTH_MIN,
		.memory = memory,
		.memory_size = REGION_SIZE,
	};
	struct link_options to = {.to = grant->addr};
	struct device *device;

	open_hub(3, &device, &hub);
	now_ns = clock_now_ns();
	to.deadline_ns = now_ns + PATIENCE_NS;
	if (link_connect(hub, &to, now_ns, &options.link, error, sizeof(error)))
		die(error);
	while (link_state(options.link) < LINK_READY)
		(void)turn();
	if (link_state(options.link) != LINK_READY)
		die(link_error(options.link));
	if (fetch_verbs_open(&options, &fetch))
		die("no fetch");
}

static unsigned take(unsigned count)
{
	struct fetch_done done[DEPTH];

	if (!turn())
		return 0;
	count = fetch_poll(fetch, now_ns, done, MIN(count, DEPTH));
	for (unsigned i = 0; i < count; i++) {
		if (done[i].error)
			die(strerror(-done[i].error));
	}
	return count;
}

/* READs a second by the median time of one. */
static double our_walk(uint32_t size, unsigned iterations)
{
	static double times[WALK_MAX];
	const struct fetch_piece piece = {0, size, memory};

	for (unsigned i = 0; i < iterations; i++) {
		uint64_t start_ns = clock_now_ns();

		if (fetch_post(fetch, &piece, 1, 0))
			die("the fetch takes nothing");
		while (!take(1))
			;
		times[i] = (double)(clock_now_ns() - start_ns);
	}
	return 1e9 / paired_quantile(times, iterations, 0.5);
}

/* MiB a second with DEPTH pieces under way. */
static double our_flow(uint32_t size, unsigned iterations)
{
	unsigned batch = MIN(BATCH, MAX(1, iterations / 8));
	unsigned count = (iterations + batch - 1) / batch, posted = 0, done = 0;
	struct fetch_piece pieces[BATCH];
	uint64_t start_ns = clock_now_ns();

	for (unsigned i = 0; i < batch; i++)
		pieces[i] = (struct fetch_piece){0, size, memory};
	while (done < count) {
		while (posted < count && posted - done < DEPTH / batch &&
		       !fetch_post(fetch, pieces, batch, posted))
			posted++;
		done += take(DEPTH);
	}
	return (double)count * batch * size / (1 << 20) /
	       ((double)(clock_now_ns() - start_ns) / 1e9);
}

static double our_pull(uint32_t piece_size, bool checked)
{
	const struct pull_range range = {0, REGION_SIZE, crc32c(content, REGION_SIZE)};
	const struct pull_options options = {.memory = memory,
					     .size = REGION_SIZE,
					     .ranges = &range,
					     .range_count = checked,
					     .piece_size = piece_size};
	uint64_t start_ns;
	struct pull *pull;
	int outcome;

	if (pull_new(&options, &pull) || pull_attach(pull, fetch))
		die("no pull");
	start_ns = clock_now_ns();
	do {
		(void)turn();
		outcome = pull_turn(pull, now_ns);
	} while (outcome == PULL_E_MORE);
	if (outcome)
		die(pull_error(pull));
	pull_free(pull);
	return (double)REGION_SIZE / (1 << 20) / ((double)(clock_now_ns() - start_ns) / 1e9);
}

/* --- perftest's --- */

/* The column of the line of results, which begins with the size and the iterations; 0: none. */
static double column_of(FILE *lines, uint32_t size, unsigned column)
{
	char line[COMMAND_MAX];
	double values[8] = {0}, found = 0;

	while (fgets(line, sizeof(line), lines)) {
		int count = sscanf(line, "%lf %lf %lf %lf %lf %lf", &values[0], &values[1],
				   &values[2], &values[3], &values[4], &values[5]);

		if (count > (int)column && values[0] == (double)size)
			found = values[column];
	}
	return found;
}

static pid_t server_start(const char *command)
{
	pid_t pid = fork();

	if (pid)
		return pid;
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (!freopen("/dev/null", "w", stdout) || !freopen("/dev/null", "w", stderr))
		_exit(1);
	(void)execl("/bin/sh", "sh", "-c", command, (char *)NULL);
	_exit(1);
}

/* Server and client of a perftest program; the client is tried until the server listens. */
static double perftest(const char *program, const char *options, uint32_t size, unsigned iterations,
		       unsigned column)
{
	static unsigned port = FIRST_PORT;
	char command[COMMAND_MAX];
	double value = 0;
	pid_t server;

	port++;
	(void)snprintf(command, sizeof(command), "exec %s -F -d %s -x %d -s %u -n %u -p %u %s",
		       program, device_name, GID_INDEX, size, iterations, port, options);
	server = server_start(command);
	(void)snprintf(command, sizeof(command),
		       "%s -F -d %s -x %d -s %u -n %u -p %u %s 127.0.0.1 2>/dev/null", program,
		       device_name, GID_INDEX, size, iterations, port, options);
	for (unsigned i = 0; i < CLIENT_TRIES && value <= 0; i++) {
		FILE *lines;

		(void)usleep(50000);
		lines = popen(command, "r");
		if (!lines)
			die("no client");
		value = column_of(lines, size, column);
		(void)pclose(lines);
	}
	(void)kill(server, SIGTERM);
	(void)waitpid(server, NULL, 0);
	if (value <= 0)
		die(command);
	return value;
}

/* Column 4 is t_typical, the median, in microseconds. */
static double raw_walk(uint32_t size, unsigned iterations)
{
	return 1e6 / perftest("ib_read_lat", "", size, iterations, 4);
}

/* Column 3 is the average, in MiB a second. */
static double raw_flow(uint32_t size, unsigned iterations)
{
	return perftest("ib_read_bw", "-N -t 128", size, iterations, 3);
}

/* --- */

static unsigned clamp(uint64_t value, unsigned max)
{
	return (unsigned)MIN(MAX(value, ITERATION_MIN), max);
}

struct lines {
	struct paired walk[ARRAY_COUNT(sizes)], flow[ARRAY_COUNT(sizes)], pull, checked;
	char names[2][ARRAY_COUNT(sizes)][32];
};

static void repetition(struct lines *lines)
{
	for (unsigned i = 0; i < ARRAY_COUNT(sizes); i++) {
		unsigned walk = clamp((4u << 20) / sizes[i], 1000);
		unsigned flow = clamp((16u << 20) / sizes[i], 4000);

		paired_add(&lines->walk[i], raw_walk(sizes[i], walk), our_walk(sizes[i], walk));
		paired_add(&lines->flow[i], raw_flow(sizes[i], flow), our_flow(sizes[i], flow));
	}
	paired_add(&lines->pull, raw_flow(PULL_PIECE_SIZE, REGION_SIZE / PULL_PIECE_SIZE),
		   our_pull(PULL_PIECE_SIZE, false));
	paired_add(&lines->checked, raw_flow(PULL_PIECE_SIZE, REGION_SIZE / PULL_PIECE_SIZE),
		   our_pull(PULL_PIECE_SIZE, true));
}

static void make_names(struct lines *lines)
{
	lines->pull = (struct paired){.name = "pull, pieces of 1 MiB", .unit = "MiB/s"};
	lines->checked = (struct paired){.name = "pull, checksum included", .unit = "MiB/s"};
	for (unsigned i = 0; i < ARRAY_COUNT(sizes); i++) {
		(void)snprintf(lines->names[0][i], 32, "read one by one, %u B", sizes[i]);
		(void)snprintf(lines->names[1][i], 32, "read many, %u B", sizes[i]);
		lines->walk[i] = (struct paired){.name = lines->names[0][i], .unit = "READs/s"};
		lines->flow[i] = (struct paired){.name = lines->names[1][i], .unit = "MiB/s"};
	}
}

/* So much of a pull's time is its checksum's. */
static void print_crc(bool json)
{
	uint64_t start_ns = clock_now_ns();
	volatile uint32_t crc = crc32c(content, REGION_SIZE);
	double rate = (double)REGION_SIZE / (1 << 20) / ((double)(clock_now_ns() - start_ns) / 1e9);

	(void)crc;
	printf(json ? "{\"event\":\"crc32c\",\"mib_s\":%.0f}\n" : "CRC-32C alone: %.0f MiB/s\n",
	       rate);
}

static void print(const struct lines *lines, bool json)
{
	for (unsigned i = 0; i < ARRAY_COUNT(sizes); i++)
		paired_print(&lines->walk[i], json);
	for (unsigned i = 0; i < ARRAY_COUNT(sizes); i++)
		paired_print(&lines->flow[i], json);
	paired_print(&lines->pull, json);
	paired_print(&lines->checked, json);
	print_crc(json);
}

static uint8_t *map(void)
{
	uint8_t *bytes = mmap(NULL, REGION_SIZE, PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	if (bytes == MAP_FAILED)
		die("no memory");
	return bytes;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {{"json", no_argument, NULL, 'j'},
						{"repeat", required_argument, NULL, 'r'},
						{NULL, 0, NULL, 0}};
	static struct lines lines;
	unsigned long repeat = PAIRED_REPEAT;
	struct device_info info;
	struct grant grant;
	bool json = false;
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option == 'j')
			json = true;
		else if (option == 'r')
			repeat = strtoul(optarg, NULL, 10);
		else
			return 2;
	}
	if (repeat < 1 || repeat > PAIRED_REPEAT_MAX)
		return 2;
	if (!device_list(real_verbs_ops(), &info, 1)) {
		(void)fprintf(stderr, "bench_fetch: no verbs device; perf/fetch/run makes some\n");
		return 77;
	}
	device_name = optind < argc ? argv[optind] : info.name;
	content = map();
	memory = map();
	memset(content, 0x5A, REGION_SIZE);
	grant = owner_start();
	reader_open(&grant);
	make_names(&lines);
	for (unsigned i = 0; i < repeat; i++)
		repetition(&lines);
	print(&lines, json);
	return 0;
}
