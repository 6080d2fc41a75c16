/* SPDX-License-Identifier: Apache-2.0 */

/* Cmd_put - one key set in a store */

#include "client/cmd.h"
#include "client/cmd_store.h"

#include <inttypes.h>
#include <stdlib.h>

static const char about[] =
	"Sets KEY to VALUE in the store in DIR, which is made if there is none. Returns when the\n"
	"change survives a power cut, and prints its number.\n";

int cmd_put(int argc, char **argv)
{
	const char *folder = NULL;
	const char *key_text = NULL;
	const char *value_text = NULL;
	uint64_t type = 0;
	uint64_t ttl = 0;
	bool hex = false;
	bool json = false;
	const struct cmd_option options[] = {
		{"DIR", NULL, "the store's folder", .text = &folder, .positional = true,
		 .required = true},
		{"KEY", NULL, "1 to 4096 bytes", .text = &key_text, .positional = true,
		 .required = true},
		{"VALUE", NULL, "up to 983040 bytes", .text = &value_text, .positional = true,
		 .required = true},
		{"hex", NULL, "KEY and VALUE are hex digits, two a byte", .flag = &hex},
		{"type", "N", "the value's type, the application's (0)", .number = &type,
		 .max = 127},
		{"ttl", "SECONDS", "it is gone after that time (it stays)", .number = &ttl,
		 .min = 1, .max = UINT32_MAX},
		{"json", NULL, "print one JSON object", .flag = &json},
	};
	struct store_put put = {0};
	struct cmd_store store;
	uint8_t *key = NULL;
	uint8_t *value = NULL;
	uint64_t lsn = 0;
	int status;

	if (!cmd_options("put", about, options, ARRAY_COUNT(options), argc, argv, &status))
		return status;
	status = cmd_bytes(key_text, hex, &key, &put.key.size);
	if (status == CMD_DONE)
		status = cmd_bytes(value_text, hex, &value, &put.value.size);
	if (status == CMD_DONE)
		status = cmd_store_open(folder, /* create= */ true, &store);
	if (status != CMD_DONE)
		goto free;

	put.key.bytes = key;
	put.value.bytes = value;
	put.type = (uint8_t)type;
	put.ttl_seconds = ttl;
	int r = store_put(store.store, &put);
	status = r == 0 ? cmd_store_commit(&store, &lsn) : cmd_store_fail(&store, "put", r);
	status = cmd_store_close(&store, status);
	if (status == CMD_DONE && json)
		printf("{\"event\": \"put\", \"lsn\": %" PRIu64 "}\n", lsn);
	else if (status == CMD_DONE)
		printf("change %" PRIu64 "\n", lsn);
free:
	free(key);
	free(value);
	return status;
}
