/* SPDX-License-Identifier: Apache-2.0 */

/* Cmd_dump_feed - a store's history as it is: every change that is kept, once, in its order */

#include "client/cmd.h"
#include "client/cmd_store.h"
#include "client/cmd_vectors.h"
#include "client/feed_json.h"
#include "engine/io.h"

#include <inttypes.h>
#include <string.h>

static const char about[] = "Prints the changes that the store in DIR keeps, in the order of their "
			    "numbers, and moves no\n"
			    "reader: what was written, each version of it, merge operands, deleted "
			    "keys and ranges. 'tern feed'\n"
			    "goes on where a reader was, and with what comes.\n";

/* Bytes, for putting changes in order. */
#define MEMORY (UINT64_C(64) << 20)

struct dump_feed {
	const char *folder;
	uint64_t since;
	bool json;
};

static void print_text(const struct feed_event *event)
{
	static const char *const words[] = {
		[FEED_INSERT] = "insert",
		[FEED_MERGE_OPERAND] = "merge",
		[FEED_POINT_TOMBSTONE] = "delete",
		[FEED_RANGE_TOMBSTONE] = "delete range",
	};

	printf("%10" PRIu64 "  %-12s  ", event->seqno, words[event->kind]);
	cmd_print_bytes(stdout, event->key);
	if (event->kind != FEED_POINT_TOMBSTONE) {
		putchar('\t');
		cmd_print_bytes(stdout, event->value);
	}
	putchar('\n');
}

static int print_all(const struct dump_feed *dump, const uint8_t *uuid, struct feed *feed)
{
	struct feed_event event;
	int r;

	while ((r = feed_next(feed, &event)) == 0) {
		if (dump->json)
			cmd_json(feed_json_event(&event, feed_position(feed), uuid));
		else
			print_text(&event);
	}
	switch (r) {
	case FEED_E_END:
		return CMD_DONE;
	case FEED_E_GAP:
		return cmd_fail("%s: changes before %" PRIu64
				" are gone: begin with --since %" PRIu64,
				dump->folder, feed_oldest(feed), feed_oldest(feed));
	default:
		return cmd_fail("%s: %s", dump->folder, r < 0 ? strerror(-r) : feed_error(feed));
	}
}

static int run(const struct dump_feed *dump, struct cmd_store *store)
{
	struct kv *kv = store_kv(store->store);
	struct io *scratch = cmd_store_scratch();
	const struct feed_options options = {
		.since.seqno = dump->since > 0 ? dump->since : kv_history(kv),
		.memory = MEMORY,
		.scratch = scratch,
	};
	struct feed *feed;
	int r = feed_open(kv, &options, &feed);
	int status = r < 0 ? cmd_fail("%s: %s", dump->folder, strerror(-r))
			   : print_all(dump, store_uuid(store->store), feed);

	if (r == 0)
		feed_close(feed);
	io_free(scratch);
	return status;
}

int cmd_dump_feed(int argc, char **argv)
{
	struct dump_feed dump = {0};
	const struct cmd_option options[] = {
		{"DIR", NULL, "the store's folder", .text = &dump.folder, .positional = true,
		 .required = true},
		{"since", "N", "from this number on (the oldest that is kept)",
		 .number = &dump.since, .min = 1, .max = UINT64_MAX - 1},
		{"json", NULL, "one JSON object a line, as 'tern feed' prints", .flag = &dump.json},
	};
	struct cmd_store store;
	int status;

	if (!cmd_options("dump feed", about, options, ARRAY_COUNT(options), argc, argv, &status))
		return status;
	status = cmd_store_read(dump.folder, /* patient= */ false, &store);
	return status == CMD_DONE ? cmd_store_close(&store, run(&dump, &store)) : status;
}
