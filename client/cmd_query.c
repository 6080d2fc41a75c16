/* SPDX-License-Identifier: Apache-2.0 */

/* Query - asks a cluster for the neighbours of the vectors of a file. */

#include "base/clock.h"
#include "base/defs.h"
#include "client/online.h"
#include "proto/status.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* A filter goes with each query, so it is smaller than a message. */
#define FILTER_SIZE_MAX (SESSION_MESSAGE_SIZE_MAX / 2)

/* Shards that are named when they are missing. */
#define MISSING_MAX 64

#define NO_ROW UINT64_MAX

static const char about[] =
	"Asks for the nearest neighbours of each vector of a file, one after the other.\n"
	"Distances are smaller the nearer: L2 is squared, cosine is 1 - cos, the inner\n"
	"product negated. Shards that don't answer are named on stderr; exit status 1\n"
	"when a query has no answer at all.\n";

struct filter_file {
	uint8_t *bytes; /* owned */
	size_t size;
};

static int read_filter(const char *path, struct filter_file *ret_filter)
{
	uint8_t *bytes = malloc(FILTER_SIZE_MAX + 1);
	FILE *file = fopen(path, "rbe");
	size_t size;

	if (!file || !bytes) {
		int status = cmd_fail("filter %s: %s", path, strerror(errno));

		if (file)
			fclose(file);
		free(bytes);
		return status;
	}
	size = fread(bytes, 1, FILTER_SIZE_MAX + 1, file);
	fclose(file);
	if (size == 0 || size > FILTER_SIZE_MAX) {
		free(bytes);
		return cmd_fail("filter %s is %s; a Roaring bitmap in its portable form is wanted",
				path, size ? "over 4 MiB" : "empty");
	}
	*ret_filter = (struct filter_file){.bytes = bytes, .size = size};
	return CMD_DONE;
}

static void print_missing(const struct client_result *result, bool json)
{
	struct gather_missing missing[MISSING_MAX];
	uint32_t count = 0;

	if (result->gather)
		count = MIN(gather_missing(result->gather, missing, MISSING_MAX),
			    (uint32_t)MISSING_MAX);
	if (json)
		printf("\"certain\":%s,\"missing\":[", result->certain ? "true" : "false");
	else if (!result->certain)
		fprintf(stderr,
			"tern: query %" PRIu64 ": there may be more shards: a server was down "
			"when they were counted\n",
			result->tag);
	for (uint32_t i = 0; i < count; i++) {
		const char *text = status_text(missing[i].status);

		if (json)
			printf("%s{\"shard\":%" PRIu32 ",\"reason\":\"%s\"}", i ? "," : "",
			       missing[i].vshard, text);
		else
			fprintf(stderr,
				"tern: query %" PRIu64 ": shard %" PRIu32 " is missing: %s\n",
				result->tag, missing[i].vshard, text);
	}
	if (json)
		printf("]}\n");
}

static void print_json(const struct client_result *result)
{
	printf("{\"event\":\"result\",\"query\":%" PRIu64 ",\"status\":\"%s\",\"latency_us\":%.1f,"
	       "\"asked\":%" PRIu32 ",\"one_sided\":%" PRIu32 ",\"hits\":[",
	       result->tag, status_text(result->status),
	       (double)(result->done_ns - result->submitted_ns) / 1e3, result->asked_count,
	       result->far_count);
	for (uint32_t i = 0; i < result->hit_count; i++)
		printf("%s{\"id\":%" PRIu32 ",\"distance\":%.9g,\"shard\":%" PRIu32 "}",
		       i ? "," : "", result->hits[i].vector_id, (double)result->hits[i].distance,
		       result->hits[i].vshard);
	printf("],");
	print_missing(result, true);
}

static int print_result(const struct client_result *result, bool json)
{
	if (json) {
		print_json(result);
		return result->status == STATUS_OK ? CMD_DONE : CMD_FAILED;
	}
	print_missing(result, false);
	if (result->status != STATUS_OK)
		return cmd_fail("query %" PRIu64 ": %s%s", result->tag, status_text(result->status),
				online_mend(result->status));
	printf("query %" PRIu64 "\n", result->tag);
	for (uint32_t i = 0; i < result->hit_count; i++)
		printf("  %10" PRIu32 "  %.6g\n", result->hits[i].vector_id,
		       (double)result->hits[i].distance);
	return CMD_DONE;
}

static int ask(const struct online_options *options, struct online *online,
	       const struct filter_file *filter, uint32_t row)
{
	uint64_t now_ns = clock_now_ns();
	struct client_question question = online_question(options, online, row, now_ns);
	struct client_result result;
	int refused;

	question.filter = filter->bytes;
	question.filter_size = filter->size;
	refused = client_submit(online->client, &question, now_ns);
	if (refused)
		return online_refused(options, online, refused);
	while (client_poll(online->client, &result, 1, clock_now_ns()) == 0)
		online_wait(online, UINT64_MAX);
	return print_result(&result, options->json);
}

static int ask_rows(const struct online_options *options, struct online *online,
		    const struct filter_file *filter, uint64_t row)
{
	uint32_t first = row == NO_ROW ? 0 : (uint32_t)row;
	uint32_t end = row == NO_ROW ? online->row_count : first + 1;
	int status = CMD_DONE;

	if (row != NO_ROW && row >= online->row_count)
		return cmd_fail("%s has %" PRIu32 " rows: --row is 0 to %" PRIu32, options->query,
				online->row_count, online->row_count - 1);
	for (uint32_t i = first; i < end; i++)
		if (ask(options, online, filter, i) != CMD_DONE)
			status = CMD_FAILED;
	return status;
}

int cmd_query(int argc, char **argv)
{
	struct online_options online_options = ONLINE_OPTIONS_INIT;
	const char *filter_path = NULL;
	uint64_t row = NO_ROW;
	const struct cmd_option options[] = {
		ONLINE_OPTIONS(online_options),
		{"row", "N", "only this row of the file, from 0", .number = &row,
		 .max = UINT32_MAX},
		{"filter", "FILE", "ids that may be answered: a Roaring bitmap",
		 .text = &filter_path},
	};
	struct filter_file filter = {0};
	struct online online;
	int status;

	if (!cmd_options("query", about, options, ARRAY_COUNT(options), argc, argv, &status))
		return status;
	if (filter_path) {
		status = read_filter(filter_path, &filter);
		if (status != CMD_DONE)
			return status;
	}
	status = online_open(&online_options, 1, &online);
	if (status == CMD_DONE) {
		status = ask_rows(&online_options, &online, &filter, row);
		online_report(&online_options, &online);
		if (status != CMD_DONE)
			online_tell_why(&online);
		online_close(&online);
	}
	free(filter.bytes);
	return status;
}
