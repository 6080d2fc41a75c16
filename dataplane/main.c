/* SPDX-License-Identifier: Apache-2.0 */

/*
 * ternd - serves the shards of one node
 *
 * Reads the configuration, opens a node, and then only waits: for a signal, or
 * for the service manager's watchdog to come round. Exit status 0 done, 1 failed,
 * 2 wrong usage.
 */

#include "base/clock.h"
#include "base/defs.h"
#include "base/log.h"
#include "config/config.h"
#include "dataplane/node.h"
#include "dataplane/notify.h"
#include "dataplane/telemetry.h"

#include <errno.h>
#include <getopt.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

/* How often a draining node is looked at. */
#define DRAIN_POLL_NS (10 * NS_PER_MS)

static const char usage[] =
	"usage: ternd --config FILE [--check]\n"
	"       ternd --print-defaults | --help | --version\n"
	"\n"
	"  -c, --config FILE     serve what FILE says\n"
	"      --check           only check FILE, the shards it names and the processors\n"
	"      --print-defaults  print a configuration with every key and its default\n"
	"  -h, --help            print this\n"
	"      --version         print the version\n"
	"\n"
	"SIGTERM finishes what is under way and ends; SIGINT the same, twice ends at once.\n";

/* Large, so not on the stack. */
static struct config config;

static int PRINTF_LIKE(1, 2) failed(const char *format, ...)
{
	va_list list;

	fputs("ternd: ", stderr);
	va_start(list, format);
	vfprintf(stderr, format, list);
	va_end(list);
	fputc('\n', stderr);
	return EXIT_FAILED;
}

/* A node's refusals begin with the key that is to be changed, "cores: ...", where there is one. */
static int refused(const char *path, const char *error)
{
	char where[CONFIG_ERROR_MAX];
	const char *key;

	for (size_t i = 0; (key = config_key(i)) != NULL; i++) {
		size_t length = strlen(key);

		if (strncmp(error, key, length) == 0 && error[length] == ':') {
			config_where(path, key, where, sizeof(where));
			return failed("%s: %s", where, error);
		}
	}
	return failed("%s: %s", path, error);
}

/* --- check --- */

static int check(const char *path)
{
	char error[NODE_ERROR_MAX];
	struct shard_table *shards;
	struct topo_plan plan;
	uint64_t vectors = 0;

	if (node_plan(&config, &plan, error, sizeof(error)) ||
	    node_open_shards(&config, &plan, &shards, error, sizeof(error)))
		return refused(path, error);
	for (uint32_t i = 0; i < shards->count; i++)
		vectors += shards->shards[i].segment.count;
	printf("%s: ok: node %llu, %u cores, %u shards, %llu vectors\n", path,
	       (unsigned long long)config.node, plan.count, shards->count,
	       (unsigned long long)vectors);
	shard_table_free(shards);
	return EXIT_DONE;
}

/* --- serve --- */

/* What is said about a node that serves, to people and to the service manager. */
static void ready(const struct node *node)
{
	char text[ADDR_TEXT_MAX];

	printf("ready");
	for (uint32_t i = 0; i < node->core_count; i++)
		printf(" %s", addr_format(&port_queue(node->port, i)->local, text));
	printf("\n");
	fflush(stdout);
	if (notify_send("READY=1\nSTATUS=serving\n"))
		log_warning("the service manager could not be told");
}

/* Pings the service manager when every core has answered: a hung core lets the watchdog bite. */
static void watchdog(const struct node *node)
{
	static struct core_snapshot snapshot;

	for (uint32_t i = 0; i < node->core_count; i++)
		if (!core_snapshot(node->cores[i], &snapshot))
			return;
	(void)notify_send("WATCHDOG=1\n");
}

static struct timespec timespec_of(uint64_t ns)
{
	return (struct timespec){
		.tv_sec = (time_t)(ns / NS_PER_S),
		.tv_nsec = (long)(ns % NS_PER_S),
	};
}

/* Until a signal says otherwise. */
static void serve(const struct node *node, const sigset_t *signals)
{
	uint64_t watchdog_ns = notify_watchdog_ns();
	struct timespec period = timespec_of(watchdog_ns ? watchdog_ns : 3600 * NS_PER_S);

	while (sigtimedwait(signals, NULL, &period) < 0)
		if (watchdog_ns)
			watchdog(node);
}

/* True when all cores have ended by themselves, false when a second SIGINT came. */
static bool drain(struct node *node, const sigset_t *signals)
{
	struct timespec period = timespec_of(DRAIN_POLL_NS);

	log_info("draining");
	(void)notify_send("STOPPING=1\nSTATUS=draining\n");
	node_drain(node);
	while (!node_ended(node))
		if (sigtimedwait(signals, NULL, &period) == SIGINT)
			return false;
	return true;
}

/* From here on signals are waited for; until then they end the process as usual. */
static void block_signals(sigset_t *ret_signals)
{
	sigemptyset(ret_signals);
	sigaddset(ret_signals, SIGTERM);
	sigaddset(ret_signals, SIGINT);
	pthread_sigmask(SIG_BLOCK, ret_signals, NULL);
	signal(SIGPIPE, SIG_IGN);
}

static int run(const char *path)
{
	char error[NODE_ERROR_MAX];
	struct node node;
	sigset_t signals;
	bool drained;

	log_init(config.log_level, STDERR_FILENO);
	if (node_open(&config, &node, error, sizeof(error)))
		return refused(path, error);
	block_signals(&signals);
	if (node_start(&node, error, sizeof(error))) {
		node_close(&node);
		return refused(path, error);
	}
	if (config.telemetry && telemetry_register(&node))
		log_warning("telemetry commands could not be registered");
	ready(&node);
	serve(&node, &signals);
	drained = drain(&node, &signals);
	telemetry_forget();
	node_close(&node);
	if (!drained)
		return failed("stopped at once; what was under way is lost");
	log_info("stopped");
	return EXIT_DONE;
}

/* --- options --- */

enum { OPTION_CHECK = 256, OPTION_PRINT_DEFAULTS, OPTION_VERSION };

static const struct option options[] = {
	{"config", required_argument, NULL, 'c'},
	{"check", no_argument, NULL, OPTION_CHECK},
	{"print-defaults", no_argument, NULL, OPTION_PRINT_DEFAULTS},
	{"help", no_argument, NULL, 'h'},
	{"version", no_argument, NULL, OPTION_VERSION},
	{0},
};

static int wrong_usage(const char *text, const char *argument)
{
	fprintf(stderr, "ternd: %s%s; 'ternd --help' lists the options\n", text, argument);
	return EXIT_USAGE;
}

/* What is printed for somebody and doesn't get out, say onto a full disk, is a failure. */
static int printed(bool done)
{
	if (done && fflush(stdout) == 0)
		return EXIT_DONE;
	return failed("standard output can't be written: %s", strerror(errno));
}

static int load_and(int (*then)(const char *path), const char *path)
{
	char error[CONFIG_ERROR_MAX];
	int status;

	if (config_load(path, &config, error, sizeof(error)))
		return failed("%s", error);
	status = then(path);
	config_deinit(&config);
	return status;
}

int main(int argc, char **argv)
{
	const char *path = NULL;
	bool only_check = false;
	int option;

	opterr = 0;
	while ((option = getopt_long(argc, argv, "c:h", options, NULL)) != -1) {
		switch (option) {
		case 'c':
			path = optarg;
			break;
		case OPTION_CHECK:
			only_check = true;
			break;
		case OPTION_PRINT_DEFAULTS:
			return printed(config_print_defaults(stdout) == 0);
		case 'h':
			return printed(fputs(usage, stdout) >= 0);
		case OPTION_VERSION:
			return printed(puts("ternd " TERN_VERSION) >= 0);
		default:
			return wrong_usage("unknown, or without its value: ", argv[optind - 1]);
		}
	}
	if (optind < argc)
		return wrong_usage("no option: ", argv[optind]);
	if (!path)
		return wrong_usage("--config FILE is missing", "");
	return load_and(only_check ? check : run, path);
}
