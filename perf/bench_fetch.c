/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Bench fetch: our READs beside perftest's, on the same device
 *
 *      bench_fetch [--json] [--repeat N] [--part walk|flow|pull] [DEVICE]
 *
 * Both ends are on one device. In every repetition and for each size, ib_read_lat and ib_read_bw
 * run first, then our fetch does the same with an owner in a process of its own: one READ at a
 * time ("walk"), and then as many bytes under way as there ("flow"). The raw thing has the same
 * number of entries in its send queue (-t), and neither owner uses its processor. At the end whole
 * regions are pulled, beside ib_read_bw with pieces of the same size.
 *
 * perftest's processes are new each time, so ours are too: where a process' pages happen to lie
 * moves a READ's time by some percent, most of all where the processor is emulated.
 *
 * Latency is printed as READs a second, one under way at a time (of the median time), so that more
 * is better in every line. Like perftest's it is from one post to the next, with one look at a
 * clock between them: ours tells the fetch that its lease goes on, perftest's is the processor's
 * counter. perf/fetch/run has devices.
 */

#include "base/clock.h"
#include "base/crc.h"
#include "base/defs.h"
#include "perf/lib/paired.h"
#include "rdma/fetch_verbs.h"
#include "rdma/pull.h"

#include <getopt.h>
#include <poll.h>
#include <pthread.h>
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
#define FLOW_MAX      4000
#define NAME_MAX_SIZE 32
#define COMMAND_MAX   512
#define CLIENT_TRIES  20
#define SERVER_TRIES  4
#define GID_INDEX     1 /* of rxe: IPv4 */
#define FIRST_PORT    18600
#define PORT_COUNT    8192 /* so that repetitions hardly ever meet at one */
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

/* READs a second by the median time from one to the next. */
static double our_walk(uint32_t size, unsigned iterations)
{
	static double times[WALK_MAX];
	const struct fetch_piece piece = {0, size, memory};
	uint64_t last_ns = now_ns = clock_now_ns();

	for (unsigned i = 0; i < iterations; i++) {
		if (fetch_post(fetch, &piece, 1, 0))
			die("the fetch takes nothing");
		while (!take(1))
			;
		times[i] = (double)(now_ns - last_ns);
		last_ns = now_ns;
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

/* Who computes checksums: nobody, who also drives the device, or another thread. */
enum checking { UNCHECKED, CHECKED, CHECKED_APART, CHECKING_COUNT };

static void *check_apart(void *pull)
{
	while (pull_check(pull) == PULL_E_MORE)
		;
	return NULL;
}

static double our_pull(uint32_t piece_size, enum checking checking)
{
	const struct pull_range range = {0, REGION_SIZE, crc32c(content, REGION_SIZE)};
	const struct pull_options options = {.memory = memory,
					     .size = REGION_SIZE,
					     .ranges = &range,
					     .range_count = checking != UNCHECKED,
					     .piece_size = piece_size,
					     .checked_apart = checking == CHECKED_APART};
	pthread_t thread;
	uint64_t start_ns;
	struct pull *pull;
	double seconds;
	int outcome;

	if (pull_new(&options, &pull) || pull_attach(pull, fetch))
		die("no pull");
	start_ns = clock_now_ns();
	if (options.checked_apart && pthread_create(&thread, NULL, check_apart, pull))
		die("no thread");
	do {
		(void)turn();
		outcome = pull_turn(pull, now_ns);
	} while (outcome == PULL_E_MORE);
	seconds = (double)(clock_now_ns() - start_ns) / 1e9;
	if (outcome)
		die(pull_error(pull));
	if (options.checked_apart)
		(void)pthread_join(thread, NULL);
	pull_free(pull);
	return (double)REGION_SIZE / (1 << 20) / seconds;
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

/* The client is tried until the server listens. Returns 0 when neither came to an end. */
static double perftest_once(const char *command, uint32_t size, unsigned column)
{
	char client[COMMAND_MAX + 64];
	double value = 0;
	pid_t server = server_start(command);

	(void)snprintf(client, sizeof(client), "%s 127.0.0.1 2>/dev/null", command);
	for (unsigned i = 0; i < CLIENT_TRIES && value <= 0; i++) {
		FILE *lines;

		(void)usleep(50000);
		lines = popen(client, "r");
		if (!lines)
			die("no client");
		value = column_of(lines, size, column);
		(void)pclose(lines);
	}
	(void)kill(server, SIGTERM);
	(void)waitpid(server, NULL, 0);
	return value;
}

/* A server that was left by its client has ended, so the next try has another, at another port. */
static double perftest(const char *program, const char *options, uint32_t size, unsigned iterations,
		       unsigned column)
{
	static unsigned port;
	char command[COMMAND_MAX];
	double value = 0;

	if (!port)
		port = FIRST_PORT + (unsigned)getpid() % PORT_COUNT;
	for (unsigned i = 0; i < SERVER_TRIES && value <= 0; i++) {
		(void)snprintf(command, sizeof(command),
			       "exec %s -F -d %s -x %d -s %u -n %u -p %u %s", program, device_name,
			       GID_INDEX, size, iterations, port++, options);
		value = perftest_once(command, size, column);
	}
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

/* --- a repetition: a process that writes each line's two values --- */

enum part { PART_WALK = 1, PART_FLOW = 2, PART_PULL = 4 };

static unsigned clamp(uint64_t value, unsigned max)
{
	return (unsigned)MIN(MAX(value, ITERATION_MIN), max);
}

/* Nothing stays in a buffer, which the next child would have a copy of. */
static void write_pair(double raw, double ours)
{
	printf("%.9g %.9g\n", raw, ours);
	(void)fflush(stdout);
}

static void repetition(unsigned parts)
{
	struct grant grant = owner_start();

	reader_open(&grant);
	for (unsigned i = 0; i < ARRAY_COUNT(sizes); i++) {
		unsigned count = clamp((4u << 20) / sizes[i], WALK_MAX);

		if (parts & PART_WALK)
			write_pair(raw_walk(sizes[i], count), our_walk(sizes[i], count));
	}
	for (unsigned i = 0; i < ARRAY_COUNT(sizes); i++) {
		unsigned count = clamp((16u << 20) / sizes[i], FLOW_MAX);

		if (parts & PART_FLOW)
			write_pair(raw_flow(sizes[i], count), our_flow(sizes[i], count));
	}
	for (enum checking checking = 0; checking < CHECKING_COUNT; checking++)
		if (parts & PART_PULL)
			write_pair(raw_flow(PULL_PIECE_SIZE, REGION_SIZE / PULL_PIECE_SIZE),
				   our_pull(PULL_PIECE_SIZE, checking));
}

/* --- all of them --- */

static struct paired lines[2 * ARRAY_COUNT(sizes) + CHECKING_COUNT];
static char names[2 * ARRAY_COUNT(sizes)][NAME_MAX_SIZE];
static unsigned line_count;

static void add_sizes(const char *what, const char *unit)
{
	for (unsigned i = 0; i < ARRAY_COUNT(sizes); i++) {
		char *name = names[line_count];

		(void)snprintf(name, NAME_MAX_SIZE, "%s, %u B", what, sizes[i]);
		lines[line_count++] = (struct paired){.name = name, .unit = unit};
	}
}

/* In the order that repetition() has. */
static void make_lines(unsigned parts)
{
	static const char *const pulls[] = {
		[UNCHECKED] = "pull, pieces of 1 MiB",
		[CHECKED] = "pull, checksum included",
		[CHECKED_APART] = "pull, checksum by another core",
	};

	if (parts & PART_WALK)
		add_sizes("read one by one", "READs/s");
	if (parts & PART_FLOW)
		add_sizes("read many", "MiB/s");
	for (enum checking checking = 0; checking < CHECKING_COUNT; checking++)
		if (parts & PART_PULL)
			lines[line_count++] =
				(struct paired){.name = pulls[checking], .unit = "MiB/s"};
}

static void repeat_once(unsigned parts)
{
	char program[COMMAND_MAX] = {0}, command[2 * COMMAND_MAX];
	FILE *values;

	if (readlink("/proc/self/exe", program, sizeof(program) - 1) < 0)
		die("no /proc");
	(void)snprintf(command, sizeof(command), "exec '%s' --once %u %s", program, parts,
		       device_name);
	values = popen(command, "r");
	for (unsigned i = 0; i < line_count; i++) {
		double raw, ours;

		if (!values || fscanf(values, "%lf %lf", &raw, &ours) != 2)
			die("a repetition failed");
		paired_add(&lines[i], raw, ours);
	}
	(void)pclose(values);
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

static uint8_t *map(void)
{
	uint8_t *bytes = mmap(NULL, REGION_SIZE, PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	if (bytes == MAP_FAILED)
		die("no memory");
	return bytes;
}

static unsigned part_of(const char *name)
{
	return strcmp(name, "walk") == 0   ? PART_WALK
	       : strcmp(name, "flow") == 0 ? PART_FLOW
	       : strcmp(name, "pull") == 0 ? PART_PULL
					   : 0;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {{"json", no_argument, NULL, 'j'},
						{"repeat", required_argument, NULL, 'r'},
						{"part", required_argument, NULL, 'p'},
						{"once", required_argument, NULL, 'o'},
						{NULL, 0, NULL, 0}};
	unsigned long repeat = PAIRED_REPEAT, once = 0;
	unsigned parts = PART_WALK | PART_FLOW | PART_PULL;
	struct device_info info;
	bool json = false;
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option == 'j')
			json = true;
		else if (option == 'r')
			repeat = strtoul(optarg, NULL, 10);
		else if (option == 'p')
			parts = part_of(optarg);
		else if (option == 'o')
			once = strtoul(optarg, NULL, 10);
		else
			return 2;
	}
	if (repeat < 1 || repeat > PAIRED_REPEAT_MAX || !parts)
		return 2;
	if (!device_list(real_verbs_ops(), &info, 1)) {
		(void)fprintf(stderr, "bench_fetch: no verbs device; perf/fetch/run makes some\n");
		return 77;
	}
	device_name = optind < argc ? argv[optind] : info.name;
	content = map();
	memset(content, 0x5A, REGION_SIZE);
	if (once) {
		memory = map();
		repetition((unsigned)once);
		return 0;
	}
	make_lines(parts);
	for (unsigned i = 0; i < repeat; i++)
		repeat_once(parts);
	for (unsigned i = 0; i < line_count; i++)
		paired_print(&lines[i], json);
	if (parts & PART_PULL)
		print_crc(json);
	return 0;
}
