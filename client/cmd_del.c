/* SPDX-License-Identifier: Apache-2.0 */

/* Cmd_del - a key, a range of keys, an edge or a vector deleted from a store */

#include "client/cmd.h"
#include "client/cmd_store.h"
#include "cluster/vectors.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static const char about[] = "Deletes from the store in DIR: KEY, or with --end all keys from KEY "
			    "on that are below END; "
			    "the\n"
			    "edge that --edge names; or the vector of --collection whose label is "
			    "--label. Returns when "
			    "the\n"
			    "change survives a power cut, and prints its number.\n";

#define NO_LABEL UINT64_MAX

struct del {
	const char *folder, *key_text, *end_text, *edge_text, *collection;
	uint64_t label;
	bool hex, json;
	struct entry_bytes key, end; /* owned */
	struct edge_key edge;
};

static int delete_edge(const struct del *del, struct cmd_store *store)
{
	int r = store_edge_remove(store->store, del->edge);

	if (r == STORE_E_ABSENT)
		return cmd_fail("%s: there is no edge from %" PRIi64 " to %" PRIi64, del->folder,
				del->edge.source, del->edge.target);
	return r == 0 ? CMD_DONE : cmd_store_fail(store, "del", r);
}

static int delete_vector(const struct del *del, struct cmd_store *store)
{
	struct vector_key key = {
		.collection = {(const uint8_t *)del->collection, (uint32_t)strlen(del->collection)},
		.label = del->label};
	struct vectors_schema schema;

	if (vectors_schema_get(store->store, key.collection, &schema) != 0)
		return cmd_fail("%s: there is no collection %s", del->folder, del->collection);
	int r = store_vector_delete(store->store, key);
	return r == 0 ? CMD_DONE : cmd_store_fail(store, "del", r);
}

static int stage(const struct del *del, struct cmd_store *store)
{
	int r;

	if (del->edge_text != NULL)
		return delete_edge(del, store);
	if (del->collection != NULL)
		return delete_vector(del, store);
	if (del->end_text != NULL && key_compare(del->key, del->end) >= 0)
		return cmd_fail("--end must lie behind KEY: keys in [KEY, END) are deleted");
	r = del->end_text != NULL ? store_delete_range(store->store, del->key, del->end)
				  : store_delete(store->store, del->key);
	return r == 0 ? CMD_DONE : cmd_store_fail(store, "del", r);
}

/* What is to be deleted is one thing. */
static int read_request(struct del *del)
{
	int status;

	if ((del->key_text != NULL) + (del->edge_text != NULL) + (del->collection != NULL) != 1 ||
	    (del->collection != NULL) != (del->label != NO_LABEL) ||
	    (del->end_text != NULL && del->key_text == NULL))
		return cmd_usage("del takes KEY, --edge, or --collection with --label");
	if (del->edge_text != NULL && !cmd_edge(del->edge_text, strlen(del->edge_text), &del->edge))
		return cmd_usage("--edge takes two whole numbers, not '%s'", del->edge_text);
	if (del->key_text == NULL)
		return CMD_DONE;
	status = cmd_bytes(del->key_text, del->hex, (uint8_t **)&del->key.bytes, &del->key.size);
	if (status == CMD_DONE && del->end_text != NULL)
		status = cmd_bytes(del->end_text, del->hex, (uint8_t **)&del->end.bytes,
				   &del->end.size);
	return status;
}

int cmd_del(int argc, char **argv)
{
	struct del del = {.label = NO_LABEL};
	const struct cmd_option options[] = {
		{"DIR", NULL, "the store's folder", .text = &del.folder, .positional = true,
		 .required = true},
		{"KEY", NULL, "the key", .text = &del.key_text, .positional = true},
		{"end", "END", "delete all keys in [KEY, END)", .text = &del.end_text},
		{"hex", NULL, "KEY and END are hex digits, two a byte", .flag = &del.hex},
		{"edge", "IDS", "delete the edge between two nodes, as '1 5'",
		 .text = &del.edge_text},
		{"collection", "NAME", "delete a vector of this collection",
		 .text = &del.collection},
		{"label", "N", "the vector's label", .number = &del.label, .max = UINT32_MAX - 1},
		{"json", NULL, "print one JSON object", .flag = &del.json},
	};
	struct cmd_store store;
	uint64_t lsn = 0;
	int status;

	if (!cmd_options("del", about, options, ARRAY_COUNT(options), argc, argv, &status))
		return status;
	status = read_request(&del);
	if (status == CMD_DONE)
		status = cmd_store_open(del.folder, /* create= */ false, &store);
	if (status != CMD_DONE)
		goto free;

	status = stage(&del, &store);
	if (status == CMD_DONE)
		status = cmd_store_commit(&store, &lsn);
	status = cmd_store_close(&store, status);
	if (status == CMD_DONE && del.json)
		printf("{\"event\": \"del\", \"lsn\": %" PRIu64 "}\n", lsn);
	else if (status == CMD_DONE)
		printf("change %" PRIu64 "\n", lsn);
free:
	free((void *)del.key.bytes);
	free((void *)del.end.bytes);
	return status;
}
