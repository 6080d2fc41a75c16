/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Fetch - byte ranges of a granted region, brought here
 *
 * One interface for three ways: READs on a link (fetch_verbs.h), a mapping of the
 * owner's memory on the same host (fetch_shm.h), and memory of our own
 * (fetch_local.h), for tests and comparisons. Who fetches doesn't see which it is.
 *
 * Pieces are posted in batches (one doorbell a batch, the last one signalled)
 * and complete batch by batch. The memory that pieces go to is registered with the
 * fetch when it is made.
 *
 * A fetch ends for good with its first failure (a key that was taken back ends the queue pair too):
 * all batches that are under way are then completed with the error, and
 * their memory is the caller's again.
 *
 * A lease's time is looked at when a batch is handed out, not only when it is
 * posted: a reader that was asleep meanwhile must not use what it read, since the owner
 * may have put the memory to another use. So the clock that fetch_poll() gets
 * is read after the completions came in:
 *
 *	link_hub_turn(hub, now_ns);               only the verbs kind has a hub
 *	count = fetch_poll(fetch, clock_now_ns(), done, ARRAY_COUNT(done));
 *
 * Threads: a fetch belongs to one thread, that of its link's hub.
 */

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Pieces of one batch, and batches under way. */
#define FETCH_PIECE_MAX 256
#define FETCH_BATCH_MAX 256

/* Bytes of a piece; every verbs device's messages are twice as large. */
#define FETCH_PIECE_SIZE_MAX (UINT32_C(1) << 30)

enum {
	FETCH_E_BUSY = 1, /* no room now: poll, then try again */
};

struct fetch_piece {
	uint64_t offset; /* in the region */
	uint32_t size;   /* 1 to FETCH_PIECE_SIZE_MAX */
	void *to;        /* inside the memory that the fetch was made with */
};

struct fetch_done {
	uint64_t cookie;
	int error; /* 0, or a negative errno: -EACCES refused key, -ENOTCONN, -ETIMEDOUT, -EIO */
};

#define FETCH_STAT_LIST(FETCH_STAT)                                                                \
	FETCH_STAT(batches) /* doorbells */                                                        \
	FETCH_STAT(reads)                                                                          \
	FETCH_STAT(bytes)                                                                          \
	FETCH_STAT(failures) /* batches that failed */

struct fetch_stats {
#define FETCH_STAT_FIELD(name) uint64_t name;
	FETCH_STAT_LIST(FETCH_STAT_FIELD)
#undef FETCH_STAT_FIELD
};

struct fetch;

struct fetch_ops {
	int (*post)(struct fetch *fetch, const struct fetch_piece *pieces, unsigned count,
		    uint64_t cookie);
	unsigned (*poll)(struct fetch *fetch, uint64_t now_ns, struct fetch_done *done,
			 unsigned count);
	void (*close)(struct fetch *fetch);
};

/* First member of every kind's own structure. */
struct fetch {
	const struct fetch_ops *ops;
	const char *kind;    /* "verbs", "shm", "local" */
	uint64_t size;       /* of the region */
	uint8_t *memory;     /* where pieces may go to; borrowed */
	size_t memory_size;  /* bytes */
	uint64_t expires_ns; /* nothing that completes later is used; UINT64_MAX: never */
	int error;           /* what it ended with, a negative errno; 0 while it works */
	unsigned under_way;  /* batches posted and not handed out */
	struct fetch_stats stats;
};

/*
 * Brings 'count' pieces (1 to FETCH_PIECE_MAX); all of them or none. The array may be
 * gone when it returns; the memory they go to is the fetch's until the batch is done.
 *
 * Returns 0, FETCH_E_BUSY, -EINVAL (a piece beyond the region or the memory) or the errno that
 * the fetch ended with.
 */
static inline int fetch_post(struct fetch *fetch, const struct fetch_piece *pieces, unsigned count,
			     uint64_t cookie)
{
	return fetch->ops->post(fetch, pieces, count, cookie);
}

/*
 * Tells of up to 'count' batches that are done, in any order; 'now_ns' as said above. Never blocks.
 * Returns how many.
 */
static inline unsigned fetch_poll(struct fetch *fetch, uint64_t now_ns, struct fetch_done *done,
				  unsigned count)
{
	return fetch->ops->poll(fetch, now_ns, done, count);
}

/*
 * Nothing is under way: all that was posted has been handed out, since a device may still write to
 * the memory of what isn't. Who can't wait for that closes the link first, and calls
 * fetch_verbs_link_closed(). NULL is fine.
 */
static inline void fetch_close(struct fetch *fetch)
{
	if (fetch)
		fetch->ops->close(fetch);
}

/* Is [at, at + part) within [start, start + size)? Says so without a sum that could overflow. */
static inline bool fetch_is_within(uint64_t at, uint64_t part, uint64_t start, uint64_t size)
{
	return at >= start && at - start <= size && part <= size - (at - start);
}

/* --- for the kinds: inline, since a READ's way to the device is short --- */

/*
 * May these pieces be posted? Looks at their count, at the region, at the memory and at whether the
 * fetch has ended. Returns 0 and their bytes; -EINVAL, or what it ended with.
 */
static inline int fetch_check(const struct fetch *fetch, const struct fetch_piece *pieces,
			      unsigned count, uint64_t *ret_bytes)
{
	uint64_t memory = (uintptr_t)fetch->memory, bytes = 0;

	if (fetch->error)
		return fetch->error;
	if (!count || count > FETCH_PIECE_MAX)
		return -EINVAL;
	for (unsigned i = 0; i < count; i++) {
		const struct fetch_piece *piece = &pieces[i];

		if (!piece->size || piece->size > FETCH_PIECE_SIZE_MAX ||
		    !fetch_is_within(piece->offset, piece->size, 0, fetch->size) ||
		    !fetch_is_within((uintptr_t)piece->to, piece->size, memory, fetch->memory_size))
			return -EINVAL;
		bytes += piece->size;
	}
	*ret_bytes = bytes;
	return 0;
}

/* Counts a batch that was posted, until it is handed out. */
static inline void fetch_count_batch(struct fetch *fetch, unsigned count, uint64_t bytes)
{
	fetch->under_way++;
	fetch->stats.batches++;
	fetch->stats.reads += count;
	fetch->stats.bytes += bytes;
}

static inline void fetch_hand_out(struct fetch *fetch, struct fetch_done *done, uint64_t cookie,
				  int error)
{
	*done = (struct fetch_done){.cookie = cookie, .error = error};
	fetch->under_way--;
	fetch->stats.failures += error != 0;
}

/* Ends the fetch with -ETIMEDOUT when its time is over; what it ended with before stays. */
static inline void fetch_check_expiry(struct fetch *fetch, uint64_t now_ns)
{
	if (now_ns >= fetch->expires_ns && !fetch->error)
		fetch->error = -ETIMEDOUT;
}
