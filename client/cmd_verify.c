/* SPDX-License-Identifier: Apache-2.0 */

/* Cmd_verify - whether a store is whole */

#include "client/cmd.h"
#include "client/cmd_store.h"
#include "cluster/vectors.h"

#include <inttypes.h>
#include <jansson.h>
#include <string.h>

static const char about[] =
	"Checks every byte of the store in DIR: log, tables, blob files, "
	"pages, trees, edges, saved\n"
	"indexes, and one against the other. A line a fault; exit status 1 when there are any. "
	"What a crash left is\n"
	"recovered first, as by every command.\n";

struct verify {
	bool json;
	uint64_t lines;
};

static void report(void *context, const char *line)
{
	struct verify *verify = context;

	verify->lines++;
	if (verify->json) {
		json_t *object = json_pack("{s:s, s:s}", "event", "fault", "what", line);
		json_dumpf(object, stdout, 0);
		putchar('\n');
		json_decref(object);
	} else {
		printf("%s\n", line);
	}
}

static void tell(const struct store_stats *stats, uint64_t faults, bool json)
{
	const struct store_recovery *recovery = &stats->recovery;

	if (json)
		printf("{\"event\": \"verify\", \"faults\": %" PRIu64 ", \"lsn\": %" PRIu64
		       ", \"recovered_records\": %" PRIu64 ", \"dropped_records\": %" PRIu64
		       ", \"holes\": %" PRIu64 ", \"missing_records\": %" PRIu64
		       ", \"salvaged_bytes\": %" PRIu64 ", \"severed_records\": %" PRIu64
		       ", \"graph_made\": %s}\n",
		       faults, stats->lsn, recovery->records, recovery->dropped, recovery->holes,
		       recovery->missing, recovery->salvaged_bytes, recovery->severed,
		       recovery->graph_made ? "true" : "false");
	else
		printf("%s: %" PRIu64 " faults, last change %" PRIu64 "\n",
		       faults == 0 ? "whole" : "damaged", faults, stats->lsn);
}

int cmd_verify(int argc, char **argv)
{
	const char *folder = NULL;
	struct verify verify = {0};
	bool salvage = false;
	const struct cmd_option options[] = {
		{"DIR", NULL, "the store's folder", .text = &folder, .positional = true,
		 .required = true},
		{"salvage", NULL, "go on behind damaged parts of the log, and mend the graph",
		 .flag = &salvage},
		{"json", NULL, "one JSON object a line", .flag = &verify.json},
	};
	struct cmd_store store;
	uint64_t faults = 0;
	int status;

	if (!cmd_options("verify", about, options, ARRAY_COUNT(options), argc, argv, &status))
		return status;
	status = salvage ? cmd_store_salvage(folder, &store)
			 : cmd_store_read(folder, /* patient= */ false, &store);
	if (status != CMD_DONE)
		return status;

	int r = store_verify(store.store, report, &verify, &faults);
	if (r == 0)
		r = vectors_verify(store.store, folder, report, &verify, &faults);
	struct store_stats stats = store_stats(store.store);
	if (r != 0)
		status = cmd_fail("%s: the check was cut short: %s", folder,
				  r < 0 ? strerror(-r) : kv_error(store_kv(store.store)));
	else
		tell(&stats, faults, verify.json);
	status = cmd_store_close(&store, status);
	return status == CMD_DONE && faults > 0 ? CMD_FAILED : status;
}
