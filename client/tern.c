/* SPDX-License-Identifier: Apache-2.0 */

/* Everything that tern.h declares is exported, and nothing else (tern.map). */
#pragma GCC visibility push(default)
#include "client/include/tern.h"
#pragma GCC visibility pop

#include "base/check.h"
#include "base/clock.h"
#include "base/defs.h"
#include "client/client.h"
#include "client/fabric.h"
#include "client/far.h"
#include "client/peers.h"
#include "net/port_socket.h"
#include "proto/status.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEFAULT_TIMEOUT_MS UINT32_C(5000)
#define DEFAULT_IN_FLIGHT  UINT32_C(64)
#define DEFAULT_SESSIONS   128

/* Results taken from the client at a time. */
#define RESULT_BURST 32

_Static_assert(TERN_K_MAX == VECTOR_TOP_K_MAX, "the public limit is the wire's");

/* Where a query's hits go. */
struct pending {
	struct tern_hit *hits; /* NULL: the row is free */
	uint64_t tag;
};

struct tern_client {
	struct client *client;
	struct port *port;    /* owned, but of a fabric */
	struct fabric fabric; /* with options.port "rdma" */
	struct port_queue *queue;
	bool watched;            /* somebody waits for tern_fd() */
	struct pending *pending; /* owned; in_flight_max rows, the client's tag is the row */
	uint32_t in_flight_max;
	uint32_t timeout_ms;
};

static _Thread_local char last_error[PEERS_ERROR_MAX];

static int fail(int error, const char *format, ...) PRINTF_LIKE(2, 3);

static int fail(int error, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(last_error, sizeof(last_error), format, args);
	va_end(args);
	return error;
}

const char *tern_last_error(void)
{
	return last_error;
}

const char *tern_version(void)
{
	return TERN_VERSION;
}

const char *tern_error_text(int error)
{
	static const char *const texts[] = {
		[TERN_OK] = "ok",
		[TERN_E_INVALID] = "invalid argument",
		[TERN_E_MEMORY] = "out of memory",
		[TERN_E_BUSY] = "too many queries under way",
		[TERN_E_TIMEOUT] = "no answer in time",
		[TERN_E_UNREACHABLE] = "server unreachable",
		[TERN_E_AUTH] = "not a member of this cluster: check the secret",
		[TERN_E_VERSION] = "no common protocol version",
		[TERN_E_NOT_FOUND] = "no server has that collection or shard",
		[TERN_E_OVERLOADED] = "servers are too busy, or shutting down",
		[TERN_E_LARGE] = "query or answer too large",
		[TERN_E_PROTOCOL] = "a server's answer makes no sense",
		[TERN_E_SERVER] = "a server reports an error",
		[TERN_E_SYSTEM] = "the operating system refused something",
	};

	if (error < 0 || (size_t)error >= ARRAY_COUNT(texts))
		return "unknown error";
	return texts[error];
}

static int error_of_status(uint16_t status)
{
	switch (status) {
	case STATUS_OK:
		return TERN_OK;
	case STATUS_INVALID:
		return TERN_E_INVALID;
	case STATUS_DEADLINE:
		return TERN_E_TIMEOUT;
	case STATUS_UNREACHABLE:
	case STATUS_SESSION_LOST:
		return TERN_E_UNREACHABLE;
	case STATUS_AUTH:
		return TERN_E_AUTH;
	case STATUS_VERSION:
		return TERN_E_VERSION;
	case STATUS_SHARD_NOT_HERE:
	case STATUS_SHARD_ELSEWHERE:
	case STATUS_STALE_EPOCH:
		return TERN_E_NOT_FOUND;
	case STATUS_OVERLOADED:
	case STATUS_DRAINING:
		return TERN_E_OVERLOADED;
	case STATUS_TOO_LARGE:
		return TERN_E_LARGE;
	case STATUS_MALFORMED:
		return TERN_E_PROTOCOL;
	default:
		return TERN_E_SERVER;
	}
}

/* --- opening --- */

/* Reads as many of the caller's members as its version has; the others stay 0. */
static bool read_sized(void *to, size_t size, const void *from)
{
	size_t given;

	memcpy(&given, from, sizeof(given));
	if (given < sizeof(given) || given > size)
		return false;
	memset(to, 0, size);
	memcpy(to, from, given);
	return true;
}

/* Sockets, or a verbs device. */
static int open_port(struct tern_client *tern, const struct tern_options *options,
		     const struct peers *peers, const uint8_t *secret)
{
	struct port_socket_config socket = {.local = peers->local, .queue_count = 1};
	char error[MAX(PORT_ERROR_TEXT_MAX, FABRIC_ERROR_MAX)];

	if (!options->port || strcmp(options->port, "socket") == 0) {
		if (port_socket_open(&socket, &tern->port, error, sizeof(error)) < 0)
			return fail(TERN_E_SYSTEM, "%s", error);
	} else if (strcmp(options->port, "rdma") == 0) {
		if (fabric_open(options->device, secret, &tern->fabric, error, sizeof(error)) < 0)
			return fail(TERN_E_SYSTEM, "%s", error);
		tern->port = tern->fabric.port;
	} else {
		return fail(TERN_E_INVALID, "options.port is socket or rdma, not '%s'",
			    options->port);
	}
	tern->queue = port_queue(tern->port, 0);
	return TERN_OK;
}

static int open_client(struct tern_client *tern, const struct tern_options *options)
{
	uint8_t secret[SESSION_SECRET_SIZE];
	struct client_config config = {
		.in_flight_max = tern->in_flight_max,
		.session_count = DEFAULT_SESSIONS,
		.shard_count = options->shard_count,
	};
	struct far_config far;
	struct peers peers;
	int result;

	if (peers_resolve(options->servers, &peers, last_error, sizeof(last_error)) < 0)
		return TERN_E_INVALID;
	if (options->secret_file) {
		if (peers_read_secret(options->secret_file, secret, last_error,
				      sizeof(last_error)) < 0)
			return TERN_E_INVALID;
		config.secret = secret;
	}
	result = open_port(tern, options, &peers, config.secret);
	if (result != TERN_OK) {
		explicit_bzero(secret, sizeof(secret));
		return result;
	}
	config.port = tern->queue;
	config.servers = peers.servers;
	config.server_count = peers.server_count;
	far = far_config_of(options->verbs, options->one_sided_mib, config.secret);
	if (options->one_sided)
		config.far = &far;
	result = client_new(&config, &tern->client);
	explicit_bzero(secret, sizeof(secret));
	if (result == -EINVAL)
		return fail(TERN_E_INVALID, "shard_count is more than %d", ROUTE_VSHARD_MAX);
	return result < 0 ? fail(TERN_E_MEMORY, "out of memory") : TERN_OK;
}

int tern_open(const struct tern_options *from, struct tern_client **ret_client)
{
	struct tern_options options;
	struct tern_client *tern;
	int result;

	if (!from || !ret_client || !read_sized(&options, sizeof(options), from))
		return fail(TERN_E_INVALID, "options: fill them with TERN_OPTIONS_INIT first");
	if (!options.servers)
		return fail(TERN_E_INVALID, "options.servers is not set");
	if (options.in_flight_max > CLIENT_IN_FLIGHT_MAX)
		return fail(TERN_E_INVALID, "in_flight_max is more than %d", CLIENT_IN_FLIGHT_MAX);
	if (!options.one_sided && (options.one_sided_mib || options.verbs))
		return fail(TERN_E_INVALID, "one_sided_mib and verbs go with one_sided");
	tern = calloc(1, sizeof(*tern));
	if (!tern)
		return fail(TERN_E_MEMORY, "out of memory");
	tern->timeout_ms = options.timeout_ms ? options.timeout_ms : DEFAULT_TIMEOUT_MS;
	tern->in_flight_max = options.in_flight_max ? options.in_flight_max : DEFAULT_IN_FLIGHT;
	tern->pending = calloc(tern->in_flight_max, sizeof(*tern->pending));
	result = tern->pending ? open_client(tern, &options) : fail(TERN_E_MEMORY, "out of memory");
	if (result != TERN_OK) {
		tern_close(tern);
		return result;
	}
	*ret_client = tern;
	return TERN_OK;
}

void tern_close(struct tern_client *tern)
{
	if (!tern)
		return;
	client_free(tern->client, clock_now_ns());
	if (tern->fabric.port)
		fabric_close(&tern->fabric);
	else
		port_close(tern->port);
	free(tern->pending);
	free(tern);
}

/* --- asking --- */

static struct pending *free_pending(struct tern_client *tern)
{
	for (uint32_t i = 0; i < tern->in_flight_max; i++)
		if (!tern->pending[i].hits)
			return &tern->pending[i];
	return NULL;
}

static int submit_error(int result)
{
	switch (result) {
	case 0:
		return TERN_OK;
	case CLIENT_E_BUSY:
		return fail(TERN_E_BUSY, "in_flight_max queries are under way: poll first");
	case CLIENT_E_LIMIT:
		return fail(TERN_E_LARGE,
			    "the filter is larger than a message, or one collection too many");
	case -ENOMEM:
		return fail(TERN_E_MEMORY, "out of memory");
	default:
		return fail(TERN_E_INVALID,
			    "query: k is 1 to %d, ef at most %d, dim 1 to %d, every number of "
			    "the vector finite, the collection's name 1 to %d bytes",
			    VECTOR_TOP_K_MAX, VECTOR_EF_MAX, VECTOR_DIM_MAX, VECTOR_COLLECTION_MAX);
	}
}

/* For who waits on tern_fd() between our calls. */
static void keep_armed(struct tern_client *tern)
{
	if (tern->watched)
		(void)port_wait_fd(tern->queue);
}

int tern_submit(struct tern_client *tern, const struct tern_query *from, struct tern_hit *hits)
{
	struct client_question question;
	struct tern_query query;
	struct pending *pending;
	uint64_t now_ns;
	int result;

	if (!tern || !from || !hits || !read_sized(&query, sizeof(query), from))
		return fail(TERN_E_INVALID, "query: fill it with TERN_QUERY_INIT first");
	if (!query.collection || !query.vector)
		return fail(TERN_E_INVALID, "query.collection or query.vector is not set");
	pending = free_pending(tern);
	if (!pending)
		return submit_error(CLIENT_E_BUSY);
	now_ns = clock_now_ns();
	question = (struct client_question){
		.collection = query.collection,
		.vector = query.vector,
		.dim = query.dim,
		.k = query.k,
		.ef = query.ef,
		.probe = query.probe,
		.filter = query.filter,
		.filter_size = query.filter_size,
		.deadline_ns = now_ns +
			       (query.timeout_ms ? query.timeout_ms : tern->timeout_ms) * NS_PER_MS,
		.tag = (uint64_t)(pending - tern->pending),
		.strict = query.strict != 0,
	};
	result = client_submit(tern->client, &question, now_ns);
	if (result == 0) {
		pending->hits = hits;
		pending->tag = query.tag;
		port_flush(tern->queue);
		keep_armed(tern);
	}
	return submit_error(result);
}

static void take_missing(const struct client_result *from, struct tern_result *result)
{
	struct gather_missing missing[TERN_MISSING_MAX];

	if (!from->gather)
		return;
	gather_missing(from->gather, missing, TERN_MISSING_MAX);
	for (uint32_t i = 0; i < MIN(from->missing_count, (uint32_t)TERN_MISSING_MAX); i++)
		result->missing[i] = (struct tern_missing){
			.shard = missing[i].vshard,
			.error = error_of_status(missing[i].status),
		};
}

static void take_result(struct tern_client *tern, const struct client_result *from,
			struct tern_result *ret_result)
{
	struct pending *pending = &tern->pending[from->tag];
	struct tern_result result = {
		.tag = pending->tag,
		.hits = pending->hits,
		.hit_count = from->hit_count,
		.error = error_of_status(from->status),
		.asked_count = from->asked_count,
		.missing_count = from->missing_count,
		.uncertain = !from->certain,
		.one_sided_count = from->far_count,
		.latency_ns = from->done_ns - from->submitted_ns,
	};

	CHECK(from->tag < tern->in_flight_max && pending->hits);
	for (uint32_t i = 0; i < from->hit_count; i++)
		pending->hits[i] = (struct tern_hit){
			.id = from->hits[i].vector_id,
			.distance = from->hits[i].distance,
			.shard = from->hits[i].vshard,
		};
	take_missing(from, &result);
	if (result.error != TERN_OK)
		(void)fail(result.error, "query failed: %s", status_text(from->status));
	pending->hits = NULL;
	*ret_result = result;
}

/* Sleeps until a frame is there, something is due, or 'until_ns'. */
static void wait_for_work(struct tern_client *tern, uint64_t until_ns, uint64_t now_ns)
{
	uint64_t due_ns = MIN(client_due_ns(tern->client), until_ns);
	struct pollfd poll_fd = {.fd = port_wait_fd(tern->queue), .events = POLLIN};
	uint64_t wait_ns = due_ns > now_ns ? MIN(due_ns - now_ns, NS_PER_S) : 0;
	struct timespec wait = {
		.tv_sec = (time_t)(wait_ns / NS_PER_S),
		.tv_nsec = (long)(wait_ns % NS_PER_S),
	};

	if (wait_ns > 0)
		(void)ppoll(&poll_fd, 1, &wait, NULL);
}

int tern_poll(struct tern_client *tern, struct tern_result *results, unsigned count, int timeout_ms)
{
	struct client_result taken[RESULT_BURST];
	uint64_t now_ns = clock_now_ns();
	uint64_t until_ns = timeout_ms < 0 ? UINT64_MAX : now_ns + (uint64_t)timeout_ms * NS_PER_MS;

	for (;;) {
		unsigned n = client_poll(tern->client, taken, MIN(count, (unsigned)RESULT_BURST),
					 now_ns);

		for (unsigned i = 0; i < n; i++)
			take_result(tern, &taken[i], &results[i]);
		if (n > 0 || count == 0 || client_in_flight(tern->client) == 0 ||
		    now_ns >= until_ns) {
			keep_armed(tern);
			return (int)n;
		}
		wait_for_work(tern, until_ns, now_ns);
		now_ns = clock_now_ns();
	}
}

int tern_search(struct tern_client *tern, const struct tern_query *query, struct tern_hit *hits,
		struct tern_result *ret_result)
{
	struct tern_result result;
	int error;

	if (!tern || !ret_result)
		return fail(TERN_E_INVALID, "no client, or no place for the result");
	if (client_in_flight(tern->client) > 0)
		return fail(TERN_E_BUSY, "submitted queries are under way: poll them first");
	error = tern_submit(tern, query, hits);
	if (error != TERN_OK)
		return error;
	/* One query is under way and has a deadline: its result is certain to come. */
	while (tern_poll(tern, &result, 1, -1) == 0)
		;
	*ret_result = result;
	return result.error;
}

int tern_fd(const struct tern_client *tern)
{
	/* It only says that the descriptor is to be kept armed. */
	((struct tern_client *)tern)->watched = true;
	return port_wait_fd(tern->queue);
}

static void take_far_stats(const struct tern_client *tern, struct tern_stats *stats)
{
	struct far_stats from;

	if (!client_far(tern->client, &from))
		return;
	stats->one_sided_shards = from.ready;
	stats->one_sided_searches = from.searches;
	stats->one_sided_round_trips = from.rounds;
	stats->one_sided_reads = from.reads - from.opening_reads;
	stats->one_sided_bytes = from.bytes - from.opening_bytes;
	stats->one_sided_opening_bytes = from.opening_bytes;
	stats->one_sided_failures = from.failed;
	stats->one_sided_transport = from.transport ? from.transport : "";
	stats->one_sided_reason = from.reason;
}

void tern_stats(const struct tern_client *tern, struct tern_stats *stats)
{
	struct client_stats from = client_stats(tern->client);
	struct tern_stats all = {
		.size = MIN(stats->size, sizeof(all)),
		.queries = from.questions,
		.queries_failed = from.failed,
		.queries_partial = from.partial,
		.retries = from.retries,
		.sessions = from.session.sessions,
		.frames_sent = from.session.frames_sent,
		.frames_received = from.session.frames_received,
		.frames_resent = from.session.frames_resent,
		.frames_bad = from.session.frames_bad,
		.one_sided_transport = "",
		.one_sided_reason = "",
	};

	take_far_stats(tern, &all);
	memcpy(stats, &all, all.size);
}
