/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Tern - search a sharded vector store
 *
 * A client asks the shards of a collection for the vectors that are nearest to a
 * query, and merges what they answer:
 *
 *      struct tern_options options = TERN_OPTIONS_INIT;
 *      struct tern_query query = TERN_QUERY_INIT;
 *      struct tern_result result;
 *      struct tern_client *client;
 *      struct tern_hit hits[10];
 *
 *      options.servers = "10.0.0.1:7400,10.0.0.2:7400";
 *      if (tern_open(&options, &client) != TERN_OK) ...
 *      query.collection = "words";
 *      query.vector = vector;
 *      query.dim = 100;
 *      query.k = 10;
 *      if (tern_search(client, &query, hits, &result) != TERN_OK) ...
 *      ... result.hit_count hits, nearest first ...
 *      tern_close(client);
 *
 * or many at a time, with tern_submit() and tern_poll().
 *
 * Distances are smaller the nearer: L2 is squared, cosine is 1 - cos, the inner
 * product is negated.
 *
 * A shard that doesn't answer in time is left out, and the result says so: see
 * tern_result.missing_count. A strict query fails instead.
 *
 * Structures that the caller fills begin with their size, so that a program built
 * against an older header goes on working. Fill them with the INIT macros first.
 *
 * Threads: a client belongs to one thread at a time and starts none. Different
 * clients are independent.
 */

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What became of a call. Numbers never change their meaning; there can be more of them. */
enum tern_error {
	TERN_OK = 0,
	TERN_E_INVALID = 1,     /* an argument or option is wrong */
	TERN_E_MEMORY = 2,      /* out of memory */
	TERN_E_BUSY = 3,        /* in_flight_max queries are under way: poll first */
	TERN_E_TIMEOUT = 4,     /* no shard, or under 'strict' not all, in time */
	TERN_E_UNREACHABLE = 5, /* no server answers, or the session was lost */
	TERN_E_AUTH = 6,        /* the servers don't accept our secret, or want one */
	TERN_E_VERSION = 7,     /* no protocol version in common */
	TERN_E_NOT_FOUND = 8,   /* no server knows the collection, or a shard of it */
	TERN_E_OVERLOADED = 9,  /* the servers are too busy, or shutting down */
	TERN_E_LARGE = 10,      /* the query, or what it asks for, is too large */
	TERN_E_PROTOCOL = 11,   /* a server's answer makes no sense */
	TERN_E_SERVER = 12,     /* a server reports an error of its own */
	TERN_E_SYSTEM = 13      /* the operating system refused something */
};

/* What an error means, in words. */
const char *tern_error_text(int error);

/*
 * One line about the last failure of this thread: what, where, and what to do.
 * Valid until the thread's next call that fails.
 */
const char *tern_last_error(void);

/* The library's version, as "0.1.0". */
const char *tern_version(void);

struct tern_client;

/* Shards named in one result; missing_count can be larger. */
#define TERN_MISSING_MAX 16

/* The largest k. */
#define TERN_K_MAX 10000

struct tern_options {
	size_t size;         /* sizeof(struct tern_options) */
	const char *servers; /* "HOST:PORT,HOST:PORT..."; one that is up is enough to begin with */
	const char
		*secret_file; /* 32 bytes, or 64 hex digits: the cluster's secret; NULL for none */
	uint32_t timeout_ms;  /* of a query; 0: 5000 */
	uint32_t in_flight_max; /* queries at a time; 0: 64 */
	uint32_t shard_count;   /* of every collection asked for; 0: find out */
	uint32_t reserved;      /* 0 */
	const char
		*port; /* what moves frames, as the servers have it: "socket" (and NULL), "rdma" */
	const char *device;     /* of verbs, with "rdma"; NULL: the first whose port is up */
	int one_sided;          /* not 0: search shards in their owners' memory where that can be */
	uint32_t one_sided_mib; /* memory for what is read of each shard, in MiB; 0: 64 */
	const char *verbs; /* the device that reads: NULL: the first that is up; "none": shared */
			   /* memory of this host alone */
};

#define TERN_OPTIONS_INIT                                                                          \
	{                                                                                          \
		sizeof(struct tern_options), NULL, NULL, 0, 0, 0, 0, NULL, NULL, 0, 0, NULL        \
	}

/*
 * Makes a client; opens a port, but doesn't wait for any server. Copies
 * the options. The caller owns '*ret_client'.
 *
 * Returns TERN_OK, TERN_E_INVALID, TERN_E_MEMORY or TERN_E_SYSTEM.
 */
int tern_open(const struct tern_options *options, struct tern_client **ret_client);

/* Ends all queries under way without a result, and frees the client. NULL is fine. */
void tern_close(struct tern_client *client);

struct tern_query {
	size_t size;            /* sizeof(struct tern_query) */
	const char *collection; /* its name */
	const float *vector;    /* 'dim' finite numbers */
	uint32_t dim;
	uint32_t k;     /* hits wanted: 1 to TERN_K_MAX */
	uint32_t ef;    /* how hard each shard tries; 0: as its node is configured */
	uint32_t probe; /* ask only so many shards, the nearest by their summaries; 0: all */
	const void
		*filter; /* which ids may be answered: a Roaring bitmap of 32-bit numbers in its */
	size_t filter_size;  /* portable form, and its bytes; NULL and 0: all ids */
	uint32_t timeout_ms; /* 0: the client's */
	int strict;          /* not 0: fail when a shard that was asked doesn't answer */
	uint64_t tag;        /* comes back with the result */
};

#define TERN_QUERY_INIT                                                                            \
	{                                                                                          \
		sizeof(struct tern_query), NULL, NULL, 0, 0, 0, 0, NULL, 0, 0, 0, 0                \
	}

struct tern_hit {
	uint32_t id; /* the vector's: unique in the collection */
	float distance;
	uint32_t shard; /* the number of the vShard that has it */
};

struct tern_missing {
	uint32_t shard; /* the number of the vShard */
	int32_t error;  /* why: enum tern_error */
};

struct tern_result {
	uint64_t tag;
	struct tern_hit *hits; /* where the query's hits were written */
	uint32_t hit_count;
	int32_t error;          /* enum tern_error; hits and missing mean something when TERN_OK */
	uint32_t asked_count;   /* shards asked */
	uint32_t missing_count; /* shards without an answer; above 0 the result is partial */
	uint32_t uncertain;     /* not 0: a server was down when the collection's shards were */
				/* counted, and there may be more than those that were asked */
	uint32_t one_sided_count; /* of those asked, how many were searched in their owners' */
				  /* memory */
	uint64_t latency_ns;      /* from tern_submit() until the last answer was merged */
	struct tern_missing missing[TERN_MISSING_MAX];
};

/*
 * Asks, and waits for the result. 'hits' has room for query->k. Not while
 * submitted queries are under way.
 *
 * Returns what '*ret_result' has as its error, or TERN_E_INVALID, TERN_E_BUSY,
 * TERN_E_MEMORY, and then neither hits nor result are written.
 */
int tern_search(struct tern_client *client, const struct tern_query *query, struct tern_hit *hits,
		struct tern_result *ret_result);

/*
 * Asks and returns. 'hits' has room for query->k and is borrowed until the
 * result was polled; the query itself isn't needed any longer.
 *
 * Returns TERN_OK, and exactly one result follows; or TERN_E_INVALID,
 * TERN_E_BUSY, TERN_E_LARGE or TERN_E_MEMORY.
 */
int tern_submit(struct tern_client *client, const struct tern_query *query, struct tern_hit *hits);

/*
 * Moves everything along and writes up to 'count' results. Waits up to
 * 'timeout_ms' for the first one: 0 doesn't wait, below 0 waits as long as
 * queries are under way. With 'count' 0 it moves everything along and returns.
 *
 * Returns how many, which is 0 when the time is over or nothing is under way.
 */
int tern_poll(struct tern_client *client, struct tern_result *results, unsigned count,
	      int timeout_ms);

/*
 * Becomes readable when tern_poll() has something to do, for the caller's own
 * poll(2) or epoll(7). Besides, call tern_poll() every 10 ms while queries are
 * under way: it repeats what was lost. With options.one_sided call it again at once
 * while queries are under way, since bytes that were read wake nobody.
 */
int tern_fd(const struct tern_client *client);

struct tern_stats {
	size_t size;              /* sizeof(struct tern_stats), set by the caller */
	uint64_t queries;         /* results handed out */
	uint64_t queries_failed;  /* those whose error isn't TERN_OK */
	uint64_t queries_partial; /* those with shards missing */
	uint64_t retries;         /* requests sent again to a busy or another server */
	uint64_t sessions;        /* open at this time */
	uint64_t frames_sent;
	uint64_t frames_received;
	uint64_t frames_resent;
	uint64_t frames_bad; /* received and refused */

	/* With options.one_sided, else 0 and "". Where reading fails the owner is asked. */
	uint64_t one_sided_shards;        /* that can be searched in their owners' memory now */
	uint64_t one_sided_searches;      /* of one shard each */
	uint64_t one_sided_round_trips;   /* that those waited for, summed */
	uint64_t one_sided_reads;         /* for searches */
	uint64_t one_sided_bytes;         /* in those */
	uint64_t one_sided_opening_bytes; /* read before a shard could be searched */
	uint64_t one_sided_failures;      /* times that reading a shard couldn't begin, or ended */
	const char *one_sided_transport;  /* "verbs" or "shm"; "" when no shard can be read now */
	const char *one_sided_reason;     /* why one can't: valid until the client's next call; */
					  /* "" when all can */
};

#define TERN_STATS_INIT                                                                            \
	{                                                                                          \
		sizeof(struct tern_stats), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, "", ""  \
	}

/* Writes as much as 'stats->size' has room for. */
void tern_stats(const struct tern_client *client, struct tern_stats *stats);

#ifdef __cplusplus
}
#endif
