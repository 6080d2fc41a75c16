/* SPDX-License-Identifier: Apache-2.0 */

/* Cmd_scan - keys and values of a store in order */

#include "client/cmd.h"
#include "client/cmd_store.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static const char about[] = "Prints keys and values of the store in DIR in the order of their "
			    "keys, a line each. What isn't\n"
			    "printable stands as \\xHH. A key whose operands give no value gets a "
			    "line on stderr, and exit\n"
			    "status 1 at the end.\n";

struct scan {
	const char *folder, *from, *to;
	uint64_t limit;
	bool hex, reverse, internal, json;
	struct entry_bytes first, end; /* an empty one is no bound */
};

static bool is_below(struct entry_bytes key, struct entry_bytes bound)
{
	struct entry a = {.key = key};
	struct entry b = {.key = bound};

	return entry_compare(&a, &b) < 0;
}

static void print_entry(const struct entry *entry, bool json)
{
	if (!json) {
		cmd_print_bytes(stdout, entry->key);
		putchar('\t');
		cmd_print_bytes(stdout, entry->value);
		putchar('\n');
		return;
	}
	cmd_print_entry(entry->key, entry);
}

/* A key whose operands give no value doesn't hide those behind it. */
static int say_unfolded(const struct scan *scan, struct kv *kv, struct entry_bytes key)
{
	fprintf(stderr, "tern: %s: key ", scan->folder);
	cmd_print_bytes(stderr, key);
	fprintf(stderr, ": %s\n", kv_error(kv));
	return CMD_FAILED;
}

/* To the first entry of the way; KV_E_ABSENT when there is none. */
static int seek(const struct scan *scan, struct kv_cursor *cursor)
{
	static const uint8_t lowest[] = {1};

	if (!scan->reverse) {
		struct entry_bytes start = scan->first;
		if (start.size == 0 && !scan->internal)
			start = (struct entry_bytes){lowest, 1};
		return kv_cursor_seek(cursor, start);
	}
	if (scan->end.size == 0)
		return kv_cursor_last(cursor);
	int r = kv_cursor_seek(cursor, scan->end);
	return r == 0 || r == KV_E_ABSENT || r == KV_E_OPERATOR ? kv_cursor_previous(cursor) : r;
}

static int scan_all(const struct scan *scan, struct kv *kv, struct kv_cursor *cursor)
{
	int status = CMD_DONE;
	uint64_t count = 0;
	int r;

	for (r = seek(scan, cursor); (r == 0 || r == KV_E_OPERATOR) && count < scan->limit;
	     r = scan->reverse ? kv_cursor_previous(cursor) : kv_cursor_next(cursor)) {
		const struct entry *entry = kv_cursor_entry(cursor);
		bool ours = scan->internal || keys_are_free(entry->key);
		if (scan->reverse ? is_below(entry->key, scan->first)
				  : scan->end.size > 0 && !is_below(entry->key, scan->end))
			break;
		/* Tern's own keys are below all others. */
		if (!ours && scan->reverse)
			break;
		if (!ours)
			continue;
		if (r == KV_E_OPERATOR)
			status = say_unfolded(scan, kv, entry->key);
		else
			print_entry(entry, scan->json);
		count++;
	}
	if (r == 0 || r == KV_E_ABSENT || r == KV_E_OPERATOR)
		return status;
	return cmd_fail("%s: %s", scan->folder, r < 0 ? strerror(-r) : kv_error(kv));
}

static int run(const struct scan *scan)
{
	struct cmd_store store;
	struct kv_cursor *cursor;
	int status = cmd_store_read(scan->folder, /* patient= */ false, &store);
	if (status != CMD_DONE)
		return status;

	int r = kv_cursor_new(store_kv(store.store), 0, 0, &cursor);
	if (r < 0) {
		status = cmd_fail("%s: %s", scan->folder, strerror(-r));
	} else {
		status = scan_all(scan, store_kv(store.store), cursor);
		kv_cursor_free(cursor);
	}
	return cmd_store_close(&store, status);
}

int cmd_scan(int argc, char **argv)
{
	struct scan scan = {.limit = UINT64_MAX};
	const struct cmd_option options[] = {
		{"DIR", NULL, "the store's folder", .text = &scan.folder, .positional = true,
		 .required = true},
		{"from", "KEY", "the first key (the lowest)", .text = &scan.from},
		{"to", "KEY", "keys below this (all)", .text = &scan.to},
		{"limit", "N", "lines (all)", .number = &scan.limit, .min = 1, .max = UINT64_MAX},
		{"reverse", NULL, "from the highest key down", .flag = &scan.reverse},
		{"hex", NULL, "KEY is hex digits, two a byte", .flag = &scan.hex},
		{"internal", NULL, "also keys of edges and vectors", .flag = &scan.internal},
		{"json", NULL, "one JSON object a line", .flag = &scan.json},
	};
	uint8_t *from = NULL;
	uint8_t *to = NULL;
	int status;

	if (!cmd_options("scan", about, options, ARRAY_COUNT(options), argc, argv, &status))
		return status;
	status = CMD_DONE;
	if (scan.from != NULL)
		status = cmd_bytes(scan.from, scan.hex, &from, &scan.first.size);
	if (status == CMD_DONE && scan.to != NULL)
		status = cmd_bytes(scan.to, scan.hex, &to, &scan.end.size);
	scan.first.bytes = from;
	scan.end.bytes = to;
	if (status == CMD_DONE)
		status = run(&scan);
	free(from);
	free(to);
	return status;
}
