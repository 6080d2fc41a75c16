/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Client - the coordinator of one program, over any port
 *
 * Joins an endpoint (proto/session.h), a port's queue, a route table and a
 * gather for every question under way. libtern (client/tern.c) gives it a socket
 * port; the tern command gives it either port.
 *
 *   client_submit() -> collection known? --no--> survey --> gather --> result
 *                            +------------yes----------------^
 *
 * A collection is surveyed at its first question, which waits for it; later
 * surveys (client/atlas.h) hold up nobody.
 *
 * Threads: a client belongs to one thread.
 */

#include "base/addr.h"
#include "cluster/gather.h"
#include "proto/port.h"
#include "proto/session.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct client;
struct collection;
struct far_config;
struct far_stats;

/* Questions that one client can have under way. */
#define CLIENT_IN_FLIGHT_MAX 4096

/* Sessions that one client can have. */
#define CLIENT_SESSION_MAX 2048

enum {
	CLIENT_E_BUSY = 1, /* in_flight_max questions are under way */
	CLIENT_E_LIMIT,    /* the question is larger than a message, or one collection too many */
};

struct client_config {
	struct port_queue *port; /* borrowed until client_free() */
	const struct addr *servers;
	uint32_t server_count;
	const uint8_t *secret;  /* SESSION_SECRET_SIZE bytes, or NULL */
	uint32_t in_flight_max; /* 1 to CLIENT_IN_FLIGHT_MAX */
	uint32_t session_count; /* 1 to CLIENT_SESSION_MAX */
	uint32_t shard_count;   /* of every collection; 0: find out */
	/* How shards are searched in their owners' memory, where that can be; NULL: never so. */
	const struct far_config *far;
};

struct client_question {
	const char *collection;
	const float *vector; /* 'dim' finite floats */
	uint32_t dim;
	uint32_t k;
	uint32_t ef;
	uint32_t probe; /* 0: all shards */
	const void *filter;
	size_t filter_size;   /* 0: no filter */
	uint64_t deadline_ns; /* absolute */
	uint64_t tag;
	bool strict;
	bool by_owners; /* not by reading their memory, even where that can be */
};

struct client_result {
	uint64_t tag;
	const struct gather *gather; /* for the shards that are missing; NULL when none was asked */
	const struct gather_hit *hits; /* borrow until the next client_poll() */
	uint32_t hit_count;
	uint32_t asked_count;
	uint32_t missing_count;
	uint32_t far_count; /* shards that were searched in their owners' memory */
	uint16_t status;    /* enum status */
	bool certain; /* else there may be more shards: a server was down when they were counted */
	uint64_t submitted_ns;
	uint64_t done_ns;
};

/* Returns 0, -EINVAL (a limit is out of range) or -ENOMEM. */
int client_new(const struct client_config *config, struct client **ret_client);

/* Ends what is under way without results. */
void client_free(struct client *client, uint64_t now_ns);

/*
 * Takes up a question and copies what it needs of it; exactly one result follows.
 *
 * Returns 0, -EINVAL (k, dim, a name or a float out of range), -ENOMEM,
 * CLIENT_E_BUSY or CLIENT_E_LIMIT.
 */
int client_submit(struct client *client, const struct client_question *question, uint64_t now_ns);

/*
 * Receives, repeats, sends, and hands out up to 'count' results. Never blocks.
 * Sends nothing later than at its end.
 */
unsigned client_poll(struct client *client, struct client_result *results, unsigned count,
		     uint64_t now_ns);

/* When client_poll() has to run next at the latest, if no frame comes before. */
uint64_t client_due_ns(const struct client *client);

/* Questions whose result has not been handed out. */
uint32_t client_in_flight(const struct client *client);

struct client_stats {
	uint64_t questions; /* results handed out */
	uint64_t failed;
	uint64_t partial;
	uint64_t retries;
	struct session_stats session;
};

struct client_stats client_stats(const struct client *client);

/* Of searching in owners' memory. Returns false when there is none of it. */
bool client_far(const struct client *client, struct far_stats *ret_stats);

/* What is known of a collection, once a question for it was answered; NULL when nothing is. */
const struct collection *client_collection(const struct client *client, const char *name);
