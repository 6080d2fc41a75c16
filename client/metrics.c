/* SPDX-License-Identifier: Apache-2.0 */
#include "client/metrics.h"

#include "base/defs.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* Room for a family's name: ours, or one of the node's own with "tern_core_" before it. */
#define NAME_SIZE 160

/* A member of /tern/core,N or /tern/export and the family that it is a sample of. */
struct family {
	const char *member;
	const char *name; /* without tern_ and _total */
	const char *type; /* "counter" or "gauge" */
	const char *unit; /* NULL: a plain number */
	const char *help;
};

static const struct family core_families[] = {
	{"port_frames_received", "port_received_frames", "counter", NULL, "Frames received."},
	{"port_bytes_received", "port_received_bytes", "counter", "bytes", "UDP payload received."},
	{"port_frames_sent", "port_sent_frames", "counter", NULL, "Frames sent."},
	{"port_bytes_sent", "port_sent_bytes", "counter", "bytes", "UDP payload sent."},
	{"port_frames_dropped_send", "port_send_dropped_frames", "counter", NULL,
	 "Frames that could not be sent: queue full, no buffer, or no route yet."},
	{"port_frames_dropped_receive", "port_receive_dropped_frames", "counter", NULL,
	 "Frames refused by the port: bad checksum, cut short, or not for this node."},
	{"port_frames_handed_over", "port_handed_over_frames", "counter", NULL,
	 "Frames moved between cores in software."},
	{"session_sessions", "sessions", "gauge", NULL, "Sessions open."},
	{"session_frames_received", "session_received_frames", "counter", NULL,
	 "Frames that reached the transport."},
	{"session_frames_sent", "session_sent_frames", "counter", NULL,
	 "Frames that the transport sent."},
	{"session_frames_resent", "session_resent_frames", "counter", NULL,
	 "Frames that the transport sent again."},
	{"session_frames_bad", "session_bad_frames", "counter", NULL,
	 "Frames refused by the transport: bad checksum, version or field."},
	{"session_frames_stale", "session_stale_frames", "counter", NULL,
	 "Frames of a session or request that is gone."},
	{"session_frames_repeated", "session_repeated_frames", "counter", NULL,
	 "Frames that had arrived before."},
	{"session_requests_received", "session_requests", "counter", NULL, "Whole requests."},
	{"session_requests_shed", "session_shed_requests", "counter", NULL,
	 "Requests answered as overloaded, for want of a buffer."},
	{"session_requests_expired", "session_expired_requests", "counter", NULL,
	 "Requests whose deadline had passed."},
	{"session_calls", "session_calls", "counter", NULL, "Requests of this node to others."},
	{"session_calls_failed", "session_failed_calls", "counter", NULL,
	 "Requests of this node that failed."},
	{"session_sessions_opened", "session_opened", "counter", NULL, "Sessions opened."},
	{"session_sessions_closed", "session_closed", "counter", NULL, "Sessions closed."},
	{"session_sessions_lost", "session_lost", "counter", NULL, "Sessions lost."},
	{"session_sessions_refused", "session_refused", "counter", NULL,
	 "Peers refused: no proof of membership, no common version, or no room."},
	{"waiting", "waiting_requests", "gauge", NULL, "Requests that wait for their search."},
	{"busy", "busy_requests", "gauge", NULL, "Requests taken and not answered."},
};

static const struct family export_families[] = {
	{"verbs", "export_verbs", "gauge", NULL, "1: regions can be read by RDMA."},
	{"shm", "export_shm", "gauge", NULL, "1: regions can be read by shared memory."},
	{"regions", "export_regions", "gauge", NULL, "Regions registered with the device."},
	{"bytes_registered", "export_registered_bytes", "gauge", "bytes", "Their bytes."},
	{"regions_shared", "export_shared_regions", "gauge", NULL, "Regions in shared memory."},
	{"bytes_shared", "export_shared_bytes", "gauge", "bytes", "Their bytes."},
	{"leases", "export_leases", "gauge", NULL, "Leases that last."},
	{"links", "export_links", "gauge", NULL, "Connections of readers."},
	{"asks", "export_asks", "counter", NULL, "Requests for regions."},
	{"grants", "export_grants", "counter", NULL, "Requests for regions that were granted."},
	{"refusals", "export_refusals", "counter", NULL, "Requests for regions that were refused."},
	{"leases_granted", "export_granted_leases", "counter", NULL, "Leases given."},
	{"leases_expired", "export_expired_leases", "counter", NULL, "Leases ended by their time."},
	{"leases_returned", "export_returned_leases", "counter", NULL,
	 "Leases that readers gave back."},
	{"leases_revoked", "export_revoked_leases", "counter", NULL,
	 "Leases ended before their time."},
	{"leases_failed", "export_failed_leases", "counter", NULL,
	 "Leases that the device, or the peer, could not take."},
	{"links_opened", "export_opened_links", "counter", NULL,
	 "Connections that proved membership."},
	{"links_ended", "export_ended_links", "counter", NULL, "Of these, that ended."},
	{"proofs_refused", "export_refused_proofs", "counter", NULL,
	 "Requests and connections without a proof of membership."},
	{"wakeups", "export_wakeups", "counter", NULL, "Times that the exporting thread woke."},
};

/* Members of /tern/core,N that are no measurements. */
static const char *const core_labels[] = {"core", "cpu", "numa_node", "address", "state"};

static void print_head(FILE *file, const char *name, const char *type, const char *unit,
		       const char *help)
{
	fprintf(file, "# TYPE %s %s\n", name, type);
	if (unit)
		fprintf(file, "# UNIT %s %s\n", name, unit);
	fprintf(file, "# HELP %s %s\n", name, help);
}

/* A label's value: backslash, quote and line end are escaped. */
static void print_label(FILE *file, const char *label, const char *value)
{
	fprintf(file, "%s=\"", label);
	for (; *value; value++) {
		if (*value == '\n')
			fputs("\\n", file);
		else if (*value == '"' || *value == '\\')
			fprintf(file, "\\%c", *value);
		else
			fputc(*value, file);
	}
	fputc('"', file);
}

static long long number(const json_t *object, const char *member)
{
	return (long long)json_integer_value(json_object_get(object, member));
}

static const char *text(const json_t *object, const char *member)
{
	const char *value = json_string_value(json_object_get(object, member));

	return value ? value : "";
}

/* One family of the cores: a sample for each core that has the member. */
static void print_core_family(FILE *file, const json_t *cores, const char *member, const char *name,
			      const char *type, const char *unit, const char *help)
{
	bool head = false;

	for (size_t i = 0; i < json_array_size(cores); i++) {
		const json_t *core = json_array_get(cores, i);

		if (!json_is_integer(json_object_get(core, member)))
			continue;
		if (!head)
			print_head(file, name, type, unit, help);
		head = true;
		fprintf(file, "%s%s{core=\"%lld\"} %lld\n", name,
			strcmp(type, "counter") == 0 ? "_total" : "", number(core, "core"),
			number(core, member));
	}
}

static bool is_known(const char *member)
{
	for (size_t i = 0; i < ARRAY_COUNT(core_families); i++)
		if (strcmp(core_families[i].member, member) == 0)
			return true;
	for (size_t i = 0; i < ARRAY_COUNT(core_labels); i++)
		if (strcmp(core_labels[i], member) == 0)
			return true;
	return false;
}

static void print_cores(FILE *file, const json_t *cores)
{
	void *at;
	json_t *first = json_array_get(cores, 0);
	char name[NAME_SIZE], help[NAME_SIZE];

	for (size_t i = 0; i < ARRAY_COUNT(core_families); i++) {
		const struct family *family = &core_families[i];

		snprintf(name, sizeof(name), "tern_%s", family->name);
		print_core_family(file, cores, family->member, name, family->type, family->unit,
				  family->help);
	}
	for (at = json_object_iter(first); at; at = json_object_iter_next(first, at)) {
		const char *member = json_object_iter_key(at);

		if (is_known(member))
			continue;
		snprintf(name, sizeof(name), "tern_core_%s", member);
		snprintf(help, sizeof(help), "Counter %s of a poll core.", member);
		print_core_family(file, cores, member, name, "counter", NULL, help);
	}
}

static void print_export(FILE *file, const json_t *export)
{
	char name[NAME_SIZE];

	for (size_t i = 0; i < ARRAY_COUNT(export_families); i++) {
		const struct family *family = &export_families[i];

		if (!json_is_integer(json_object_get(export, family->member)))
			continue;
		snprintf(name, sizeof(name), "tern_%s", family->name);
		print_head(file, name, family->type, family->unit, family->help);
		fprintf(file, "%s%s %lld\n", name,
			strcmp(family->type, "counter") == 0 ? "_total" : "",
			number(export, family->member));
	}
}

static void print_shard_family(FILE *file, const json_t *shards, const char *member,
			       const char *name, const char *unit, const char *help)
{
	if (json_array_size(shards) == 0)
		return;
	print_head(file, name, "gauge", unit, help);
	for (size_t i = 0; i < json_array_size(shards); i++) {
		const json_t *shard = json_array_get(shards, i);

		fprintf(file, "%s{", name);
		print_label(file, "collection", text(shard, "collection"));
		fprintf(file, ",vshard=\"%lld\"} %lld\n", number(shard, "vshard"),
			number(shard, member));
	}
}

static void print_info(FILE *file, const json_t *info)
{
	static const char *const labels[] = {"version", "port", "auth", "isa"};

	print_head(file, "tern_node", "info", NULL, "What the node is.");
	fprintf(file, "tern_node_info{node=\"%lld\"", number(info, "node"));
	for (size_t i = 0; i < ARRAY_COUNT(labels); i++) {
		fputc(',', file);
		print_label(file, labels[i], text(info, labels[i]));
	}
	fputs("} 1\n", file);
	print_head(file, "tern_uptime_seconds", "gauge", "seconds", "Time since the node started.");
	fprintf(file, "tern_uptime_seconds %lld\n", number(info, "uptime_seconds"));
	print_head(file, "tern_cluster_epoch", "gauge", NULL, "The cluster epoch of the node.");
	fprintf(file, "tern_cluster_epoch %lld\n", number(info, "epoch"));
}

/* The stage names are the node's own: a stage is what has a member "<stage>_bursts". */
static void print_latency(FILE *file, json_t *latency)
{
	static const struct {
		const char *suffix, *quantile;
	} points[] = {{"p50_ns", "0.5"}, {"p99_ns", "0.99"}, {"p999_ns", "0.999"}};
	static const char family[] = "tern_stage_latency_seconds";
	static const char end[] = "_bursts";

	if (json_object_size(latency) == 0)
		return;
	print_head(file, family, "summary", "seconds", "Time that a burst spends in a stage.");
	for (void *at = json_object_iter(latency); at; at = json_object_iter_next(latency, at)) {
		const char *key = json_object_iter_key(at);
		size_t length = strlen(key);
		char stage[NAME_SIZE], member[2 * NAME_SIZE];
		long long count = json_integer_value(json_object_iter_value(at));

		if (length < sizeof(end) || length >= sizeof(stage) ||
		    strcmp(key + length - (sizeof(end) - 1), end) != 0)
			continue;
		snprintf(stage, sizeof(stage), "%.*s", (int)(length - (sizeof(end) - 1)), key);
		for (size_t i = 0; i < ARRAY_COUNT(points); i++) {
			snprintf(member, sizeof(member), "%s_%s", stage, points[i].suffix);
			fprintf(file, "%s{stage=\"%s\",quantile=\"%s\"} %.9f\n", family, stage,
				points[i].quantile, (double)number(latency, member) * 1e-9);
		}
		snprintf(member, sizeof(member), "%s_mean_ns", stage);
		fprintf(file, "%s_sum{stage=\"%s\"} %.9f\n", family, stage,
			(double)number(latency, member) * (double)count * 1e-9);
		fprintf(file, "%s_count{stage=\"%s\"} %lld\n", family, stage, count);
	}
}

int metrics_print(const struct metrics_source *source, FILE *file)
{
	/* jansson's iterators take objects that aren't const, and change nothing. */
	json_t *latency = (json_t *)(uintptr_t)source->latency;

	print_info(file, source->info);
	print_cores(file, source->cores);
	print_shard_family(file, source->shards, "vectors", "tern_shard_vectors", NULL,
			   "Vectors of a shard.");
	print_shard_family(file, source->shards, "bytes", "tern_shard_size_bytes", "bytes",
			   "Bytes of a shard's segment.");
	print_latency(file, latency);
	print_export(file, source->export);
	fputs("# EOF\n", file);
	return ferror(file) ? -EIO : 0;
}
