/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Cmd store - what the subcommands that work on a store's folder share
 *
 * They open the store as a node would: they take its lock, and recover what a crash left; who only
 * reads does that in memory. Each function prints its own error, one line.
 *
 * Threads: the main thread.
 */

#include "engine/store.h"

#include <stdbool.h>
#include <stdio.h>

/* Of cmd_store_take_turn(); no exit status. */
#define CMD_STORE_LOCKED (-1)

struct cmd_store {
	const char *folder; /* borrowed */
	struct io *io;      /* owned, as the store */
	struct store *store;
};

/* Opens the store in 'folder', or makes one there; waits a little for who has it. Returns CMD_DONE,
 * or CMD_FAILED and a line is printed. */
int cmd_store_open(const char *folder, bool create, struct cmd_store *ret_store);

/* The same, and makes one; what is committed with STORE_GROUP is durable within 'group_ns'. */
int cmd_store_make(const char *folder, uint64_t group_ns, struct cmd_store *ret_store);

/*
 * The same for a store whose log is damaged: what can't be read of it is left out, and how much
 * that is goes to stderr. The next opening needs no salvage, as the damaged part of the log isn't
 * needed any more.
 */
int cmd_store_salvage(const char *folder, struct cmd_store *ret_store);

/*
 * Opens the store to read it: what recovery and the caller write stays in memory, no file changes,
 * and others may read it at the same time. Returns as cmd_store_open(), or, where the caller is
 * patient and another process writes, at once CMD_STORE_LOCKED with nothing printed.
 */
int cmd_store_read(const char *folder, bool patient, struct cmd_store *ret_store);

/* Opens the store for a short turn that writes next to nothing. Returns as cmd_store_read(). */
int cmd_store_take_turn(const char *folder, bool patient, struct cmd_store *ret_store);

/* For a feed's file: the folder that TMPDIR names, else /var/tmp; NULL: there is none. The caller's
 * to free. */
struct io *cmd_store_scratch(void);

/* Returns 'status', or CMD_FAILED when what was written could not be made durable. */
int cmd_store_close(struct cmd_store *store, int status);

/* The same, but others can have the folder only when the caller has freed 'store->io'. */
int cmd_store_close_but_io(struct cmd_store *store, int status);

/* Commits what is staged, and waits until it is durable. '*ret_lsn' is its number. */
int cmd_store_commit(struct cmd_store *store, uint64_t *ret_lsn);

/* Commits what is staged as durably as that says, waiting for no more; works while the store is
 * busy, and polls it. */
int cmd_store_commit_some(struct cmd_store *store, enum store_durability durability);

/* Waits until all that was committed is durable. */
int cmd_store_sync(struct cmd_store *store);

/* Commits what is staged, working while the store is busy, and prints nothing: returns what
 * store_commit() does, but STORE_E_BUSY. */
int cmd_store_try_commit(struct cmd_store *store, enum store_durability durability,
			 uint64_t *ret_lsn);

/* A line for what a call of the store or its parts returned. */
int cmd_store_fail(const struct cmd_store *store, const char *what, int result);

/* A key or value from the command line: as it is, or two hex digits a byte. The caller frees
 * '*ret_bytes'. */
int cmd_bytes(const char *text, bool hex, uint8_t **ret_bytes, uint32_t *ret_size);

/* Two node ids with a blank or tab between them. False: something else, and nothing is printed. */
bool cmd_edge(const char *text, size_t length, struct edge_key *ret_edge);

/* Prints a key and what 'entry' has for it as a JSON object. */
void cmd_print_entry(struct entry_bytes key, const struct entry *entry);

/* Prints them for people: what isn't printable as \xHH. */
void cmd_print_bytes(FILE *file, struct entry_bytes bytes);
