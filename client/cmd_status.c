/* SPDX-License-Identifier: Apache-2.0 */

/* Status - what a running node on this host says about itself. */

#include "base/defs.h"
#include "client/cmd.h"
#include "client/metrics.h"
#include "client/scrape.h"

#include <inttypes.h>
#include <string.h>

/* config's default of dpdk.file_prefix. */
#define DEFAULT_PREFIX "tern"

static const char about[] =
	"Asks a node on this host by way of DPDK's telemetry socket. --metrics prints\n"
	"OpenMetrics text for a scraper.\n";

struct status {
	struct scrape scrape;
	json_t *info; /* owned, as all below */
	json_t *cores;
	json_t *shards;
	json_t *latency;
	json_t *export;
};

/* Asks 'list' for indexes and "one,INDEX" for each of them. */
static int ask_each(struct status *status, const char *list, const char *one, json_t **ret_all,
		    char *error)
{
	json_t *indexes = NULL, *all = json_array();
	int result = scrape_ask(&status->scrape, list, &indexes, error, SCRAPE_ERROR_MAX);

	for (size_t i = 0; result == 0 && i < json_array_size(indexes); i++) {
		char command[64];
		json_t *value;

		snprintf(command, sizeof(command), "%s,%" JSON_INTEGER_FORMAT, one,
			 json_integer_value(json_array_get(indexes, i)));
		result = scrape_ask(&status->scrape, command, &value, error, SCRAPE_ERROR_MAX);
		if (result == 0)
			(void)json_array_append_new(all, value);
	}
	json_decref(indexes);
	if (result == 0)
		*ret_all = all;
	else
		json_decref(all);
	return result;
}

static int ask(struct status *status, char *error)
{
	int result =
		scrape_ask(&status->scrape, "/tern/info", &status->info, error, SCRAPE_ERROR_MAX);

	if (result == 0)
		result = ask_each(status, "/tern/cores", "/tern/core", &status->cores, error);
	if (result == 0)
		result = ask_each(status, "/tern/shards", "/tern/shard", &status->shards, error);
	if (result == 0)
		result = scrape_ask(&status->scrape, "/tern/latency", &status->latency, error,
				    SCRAPE_ERROR_MAX);
	if (result == 0)
		result = scrape_ask(&status->scrape, "/tern/export", &status->export, error,
				    SCRAPE_ERROR_MAX);
	return result;
}

static json_int_t number(const json_t *object, const char *member)
{
	return json_integer_value(json_object_get(object, member));
}

static const char *text(const json_t *object, const char *member)
{
	const char *value = json_string_value(json_object_get(object, member));

	return value ? value : "?";
}

static void print_cores(const json_t *cores)
{
	printf("\n%-5s %-4s %-24s %-9s %9s %12s %12s %12s\n", "core", "cpu", "address", "state",
	       "sessions", "requests", "frames in", "frames out");
	for (size_t i = 0; i < json_array_size(cores); i++) {
		const json_t *core = json_array_get(cores, i);

		printf("%-5" JSON_INTEGER_FORMAT " %-4" JSON_INTEGER_FORMAT " %-24s %-9s "
		       "%9" JSON_INTEGER_FORMAT " %12" JSON_INTEGER_FORMAT
		       " %12" JSON_INTEGER_FORMAT " %12" JSON_INTEGER_FORMAT "\n",
		       number(core, "core"), number(core, "cpu"), text(core, "address"),
		       text(core, "state"), number(core, "session_sessions"),
		       number(core, "session_requests_received"),
		       number(core, "port_frames_received"), number(core, "port_frames_sent"));
	}
}

static void print_shards(const json_t *shards)
{
	printf("\n%-6s %-24s %-5s %-8s %6s %12s %12s\n", "vshard", "collection", "core", "metric",
	       "dim", "vectors", "MiB");
	for (size_t i = 0; i < json_array_size(shards); i++) {
		const json_t *shard = json_array_get(shards, i);

		printf("%-6" JSON_INTEGER_FORMAT " %-24s %-5" JSON_INTEGER_FORMAT " %-8s "
		       "%6" JSON_INTEGER_FORMAT " %12" JSON_INTEGER_FORMAT " %12.1f\n",
		       number(shard, "vshard"), text(shard, "collection"), number(shard, "core"),
		       text(shard, "metric"), number(shard, "dim"), number(shard, "vectors"),
		       (double)number(shard, "bytes") / (1 << 20));
	}
}

/* One line: who reads by itself. */
static void print_export(const json_t *export)
{
	const char *device = text(export, "device");

	if (!number(export, "enabled")) {
		printf("\nexport off\n");
		return;
	}
	printf("\nexport %s%s%s%s: %" JSON_INTEGER_FORMAT " links, %" JSON_INTEGER_FORMAT
	       " leases (%" JSON_INTEGER_FORMAT " granted, %" JSON_INTEGER_FORMAT
	       " refused), %.1f MiB registered, %.1f MiB shared\n",
	       number(export, "verbs") ? "verbs " : "", number(export, "verbs") ? device : "",
	       number(export, "verbs") && number(export, "shm") ? " and " : "",
	       number(export, "shm") ? "shm" : "", number(export, "links"),
	       number(export, "leases"), number(export, "grants"), number(export, "refusals"),
	       (double)number(export, "bytes_registered") / (1 << 20),
	       (double)number(export, "bytes_shared") / (1 << 20));
}

static void print_text(const struct status *status)
{
	printf("node %" JSON_INTEGER_FORMAT ", tern %s, pid %" JSON_INTEGER_FORMAT
	       ", up %" JSON_INTEGER_FORMAT " s, epoch %" JSON_INTEGER_FORMAT "\n"
	       "port %s at %s, auth %s, %s\n",
	       number(status->info, "node"), text(status->info, "version"),
	       number(status->info, "pid"), number(status->info, "uptime_seconds"),
	       number(status->info, "epoch"), text(status->info, "port"),
	       text(status->info, "listen"), text(status->info, "auth"), text(status->info, "isa"));
	print_cores(status->cores);
	print_shards(status->shards);
	print_export(status->export);
}

static int print_json(const struct status *status)
{
	json_t *all = json_pack("{s:s, s:O, s:O, s:O, s:O, s:O}", "event", "status", "info",
				status->info, "cores", status->cores, "shards", status->shards,
				"latency", status->latency, "export", status->export);

	if (!all)
		return cmd_fail("out of memory");
	json_dumpf(all, stdout, JSON_COMPACT);
	putchar('\n');
	json_decref(all);
	return CMD_DONE;
}

static int print(const struct status *status, bool metrics, bool json)
{
	struct metrics_source source = {
		.info = status->info,
		.cores = status->cores,
		.shards = status->shards,
		.latency = status->latency,
		.export = status->export,
	};

	if (json)
		return print_json(status);
	if (!metrics) {
		print_text(status);
		return CMD_DONE;
	}
	return metrics_print(&source, stdout) < 0 ? cmd_fail("can't write to stdout") : CMD_DONE;
}

int cmd_status(int argc, char **argv)
{
	const char *prefix = DEFAULT_PREFIX, *socket = NULL;
	bool metrics = false, json = false;
	const struct cmd_option options[] = {
		{"prefix", "NAME", "the node's dpdk.file_prefix (default tern)", .text = &prefix},
		{"socket", "PATH", "its telemetry socket, instead", .text = &socket},
		{"metrics", NULL, "OpenMetrics text", .flag = &metrics},
		{"json", NULL, "one JSON object", .flag = &json},
	};
	static struct status status; /* its buffer is large */
	char error[SCRAPE_ERROR_MAX];
	int result;

	if (!cmd_options("status", about, options, ARRAY_COUNT(options), argc, argv, &result))
		return result;
	if (metrics && json)
		return cmd_usage("--metrics and --json exclude each other");
	if (scrape_open(socket, prefix, &status.scrape, error, sizeof(error)) < 0)
		return cmd_fail("%s", error);
	result = ask(&status, error) < 0 ? cmd_fail("%s", error) : print(&status, metrics, json);
	scrape_close(&status.scrape);
	json_decref(status.info);
	json_decref(status.cores);
	json_decref(status.shards);
	json_decref(status.latency);
	json_decref(status.export);
	return result;
}
