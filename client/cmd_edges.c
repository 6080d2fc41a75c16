/* SPDX-License-Identifier: Apache-2.0 */

/* Cmd_edges - the neighbours of a node in a store's graph */

#include "client/cmd.h"
#include "client/cmd_store.h"
#include "engine/edge.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static const char about[] =
	"Prints the nodes to which NODE has edges in the store in DIR, or with --incoming those "
	"that have\n"
	"edges to it, a line each, in the order in which the edges were added.\n";

#define PIECE 1024

static int print_all(struct cmd_store *store, int64_t node, bool incoming, bool json)
{
	struct pager *pager = store_pager(store->store);
	int64_t nodes[PIECE];
	uint32_t position = 0;
	uint32_t count;

	do {
		int r = edge_neighbours(pager, node, incoming, &position, nodes, PIECE, &count);
		if (r != 0)
			return cmd_fail("%s: %s", store->folder,
					r < 0 ? strerror(-r) : pager_error(pager));
		for (uint32_t i = 0; i < count; i++)
			printf(json ? "{\"node\": %" PRId64 "}\n" : "%" PRId64 "\n", nodes[i]);
	} while (count == PIECE);
	return CMD_DONE;
}

int cmd_edges(int argc, char **argv)
{
	const char *folder = NULL;
	const char *text = NULL;
	bool incoming = false;
	bool json = false;
	const struct cmd_option options[] = {
		{"DIR", NULL, "the store's folder", .text = &folder, .positional = true,
		 .required = true},
		{"NODE", NULL, "the node's id; after '--' if it is below 0", .text = &text,
		 .positional = true, .required = true},
		{"incoming", NULL, "the other direction", .flag = &incoming},
		{"json", NULL, "one JSON object a line", .flag = &json},
	};
	struct cmd_store store;
	char *end;
	int status;

	if (!cmd_options("edges", about, options, ARRAY_COUNT(options), argc, argv, &status))
		return status;
	errno = 0;
	long long node = strtoll(text, &end, 10);
	if (end == text || *end != '\0' || errno != 0)
		return cmd_usage("a node's id is a whole number of 64 bits, not '%s'", text);
	status = cmd_store_read(folder, /* patient= */ false, &store);
	if (status != CMD_DONE)
		return status;
	return cmd_store_close(&store, print_all(&store, node, incoming, json));
}
