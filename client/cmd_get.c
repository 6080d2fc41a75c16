/* SPDX-License-Identifier: Apache-2.0 */

/* Cmd_get - one key read from a store */

#include "client/cmd.h"
#include "client/cmd_store.h"

#include <stdlib.h>

static const char about[] = "Prints the value of KEY in the store in DIR, its bytes as they are. "
			    "Exit status 1 when there\n"
			    "is none.\n";

static void print_value(struct entry_bytes key, const struct entry *entry, bool json)
{
	if (json)
		cmd_print_entry(key, entry);
	else
		fwrite(entry->value.bytes, 1, entry->value.size, stdout);
}

int cmd_get(int argc, char **argv)
{
	const char *folder = NULL;
	const char *text = NULL;
	bool hex = false;
	bool json = false;
	const struct cmd_option options[] = {
		{"DIR", NULL, "the store's folder", .text = &folder, .positional = true,
		 .required = true},
		{"KEY", NULL, "the key", .text = &text, .positional = true, .required = true},
		{"hex", NULL, "KEY is hex digits, two a byte", .flag = &hex},
		{"json", NULL, "print one JSON object: key, value, type, lsn", .flag = &json},
	};
	struct entry_bytes key;
	struct cmd_store store;
	struct entry entry;
	uint8_t *bytes;
	int status;

	if (!cmd_options("get", about, options, ARRAY_COUNT(options), argc, argv, &status))
		return status;
	status = cmd_bytes(text, hex, &bytes, &key.size);
	if (status != CMD_DONE)
		return status;
	key.bytes = bytes;
	status = cmd_store_read(folder, /* patient= */ false, &store);
	if (status != CMD_DONE) {
		free(bytes);
		return status;
	}

	int r = kv_get(store_kv(store.store), key, 0, 0, &entry);
	if (r == 0)
		print_value(key, &entry, json);
	else if (r == KV_E_ABSENT)
		status = cmd_fail("%s: no such key", folder);
	else
		status = cmd_fail("%s: %s", folder,
				  r < 0 ? strerror(-r) : kv_error(store_kv(store.store)));
	status = cmd_store_close(&store, status);
	free(bytes);
	return status;
}
