/* SPDX-License-Identifier: Apache-2.0 */

/* Cmd_del - a key, or a range of keys, deleted from a store */

#include "client/cmd.h"
#include "client/cmd_store.h"

#include <inttypes.h>
#include <stdlib.h>

static const char about[] =
	"Deletes KEY from the store in DIR, or with --end all keys from KEY on that are below "
	"END.\n"
	"Returns when the change survives a power cut, and prints its number.\n";

static int stage(struct cmd_store *store, struct entry_bytes key, struct entry_bytes end)
{
	int r = end.bytes != NULL ? store_delete_range(store->store, key, end)
				  : store_delete(store->store, key);

	return r == 0 ? CMD_DONE : cmd_store_fail(store, "del", r);
}

int cmd_del(int argc, char **argv)
{
	const char *folder = NULL;
	const char *key_text = NULL;
	const char *end_text = NULL;
	bool hex = false;
	bool json = false;
	const struct cmd_option options[] = {
		{"DIR", NULL, "the store's folder", .text = &folder, .positional = true,
		 .required = true},
		{"KEY", NULL, "the key", .text = &key_text, .positional = true, .required = true},
		{"end", "END", "delete all keys in [KEY, END)", .text = &end_text},
		{"hex", NULL, "KEY and END are hex digits, two a byte", .flag = &hex},
		{"json", NULL, "print one JSON object", .flag = &json},
	};
	struct entry_bytes key = {0};
	struct entry_bytes end = {0};
	struct cmd_store store;
	uint8_t *key_bytes = NULL;
	uint8_t *end_bytes = NULL;
	uint64_t lsn = 0;
	int status;

	if (!cmd_options("del", about, options, ARRAY_COUNT(options), argc, argv, &status))
		return status;
	status = cmd_bytes(key_text, hex, &key_bytes, &key.size);
	if (status == CMD_DONE && end_text != NULL)
		status = cmd_bytes(end_text, hex, &end_bytes, &end.size);
	if (status == CMD_DONE)
		status = cmd_store_open(folder, /* create= */ false, &store);
	if (status != CMD_DONE)
		goto free;

	key.bytes = key_bytes;
	end.bytes = end_bytes;
	status = stage(&store, key, end);
	if (status == CMD_DONE)
		status = cmd_store_commit(&store, &lsn);
	status = cmd_store_close(&store, status);
	if (status == CMD_DONE && json)
		printf("{\"event\": \"del\", \"lsn\": %" PRIu64 "}\n", lsn);
	else if (status == CMD_DONE)
		printf("change %" PRIu64 "\n", lsn);
free:
	free(key_bytes);
	free(end_bytes);
	return status;
}
