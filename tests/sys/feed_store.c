/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Feed_store DIR [COMMAND ARGUMENT ...] ... - changes a store, for the test of `tern feed`
 *
 *      put KEY VALUE   del KEY   weak KEY   range START END   checkpoint
 *      append KEY VALUE   count KEY VALUE (8 bytes, or there is no value)
 *
 * Makes the store if there is none. Each command is a transaction of its own. Exits with 3 when
 * another process has the store.
 */

#include "engine/merge_op.h"
#include "engine/store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOCKED 3

static char error[256];

static void check(int rc, const char *what)
{
	if (rc == 0)
		return;
	fprintf(stderr, "feed_store: %s: %d %s\n", what, rc, error);
	exit(rc == STORE_E_LOCKED ? LOCKED : 1);
}

static struct entry_bytes text(const char *string)
{
	return (struct entry_bytes){(const uint8_t *)string, (uint32_t)strlen(string)};
}

/* Returns how many arguments it took. */
static int change(struct store *store, char **arguments)
{
	const char *command = arguments[0];
	uint64_t lsn;
	int taken = 2;

	if (strcmp(command, "checkpoint") == 0) {
		check(store_checkpoint(store), command);
		return 1;
	}
	if (strcmp(command, "put") == 0) {
		const struct store_put put = {.key = text(arguments[1]),
					      .value = text(arguments[2])};

		taken = 3;
		check(store_put(store, &put), command);
	} else if (strcmp(command, "del") == 0) {
		check(store_delete(store, text(arguments[1])), command);
	} else if (strcmp(command, "weak") == 0) {
		check(store_delete_weak(store, text(arguments[1])), command);
	} else if (strcmp(command, "range") == 0) {
		taken = 3;
		check(store_delete_range(store, text(arguments[1]), text(arguments[2])), command);
	} else if (strcmp(command, "append") == 0) {
		taken = 3;
		check(store_merge(store, MERGE_OP_APPEND, text(arguments[1]), text(arguments[2])),
		      command);
	} else if (strcmp(command, "count") == 0) {
		taken = 3;
		check(store_merge(store, MERGE_OP_COUNTER, text(arguments[1]), text(arguments[2])),
		      command);
	} else {
		check(-1, command);
	}
	check(store_commit(store, STORE_SYNC, &lsn), "commit");
	return taken;
}

int main(int argc, char **argv)
{
	const struct store_options options = {
		.create = true, .wal = {.segment_size = 4 << 20, .buffer_size = 2 << 20}};
	struct store *store;
	struct io *io;

	if (argc < 2)
		return 2;
	check(io_plain_new(argv[1], true, &io), argv[1]);
	check(store_open(io, &options, &store, error, sizeof(error)), argv[1]);
	for (int i = 2; i < argc;)
		i += change(store, argv + i);
	check(store_sync(store), "sync");
	check(store_close(store), "close");
	io_free(io);
	return 0;
}
