/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Scrape - questions to a running node's telemetry socket
 *
 * DPDK's telemetry, version 2: a SEQPACKET socket in the node's runtime folder.
 * It greets with a JSON object; each command ("/tern/core,0") gets one back whose
 * only member is the command's own name. docs/telemetry.md says what the
 * /tern/ commands answer.
 *
 * Threads: a scrape belongs to one thread.
 */

#include <jansson.h>
#include <stddef.h>

/* What the library promises not to exceed, and the room we have. */
#define SCRAPE_ANSWER_MAX (64 * 1024)

/* Characters of an error line, the final zero included. */
#define SCRAPE_ERROR_MAX 512

/* How long a node may think about an answer. */
#define SCRAPE_TIMEOUT_S 5

struct scrape {
	int fd;
	char answer[SCRAPE_ANSWER_MAX + 1];
};

/*
 * Connects to 'path'; or, when it is NULL, to the socket of the node with that
 * file prefix, in the folders where EAL puts it.
 *
 * Returns 0, or a negative errno and one line in 'error'.
 */
int scrape_open(const char *path, const char *prefix, struct scrape *ret_scrape, char *error,
		size_t error_size);

/*
 * Asks one command. The caller owns the value, which is an object or an array.
 *
 * Returns 0, or a negative errno (-EBADMSG when the answer isn't JSON, or says
 * nothing) and one line in 'error'.
 */
int scrape_ask(struct scrape *scrape, const char *command, json_t **ret_value, char *error,
	       size_t error_size);

void scrape_close(struct scrape *scrape);
