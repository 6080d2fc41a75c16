/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Fetch verbs - a region of another node, by READs on a link
 *
 * A batch is one linked list of work requests, posted at once; only its last one
 * is signalled, since a queue pair's READs complete in order. It takes so many entries
 * of the send queue as it has pieces, and gives them back when it completes; FETCH_E_BUSY says
 * that there are not enough of them now.
 *
 * Several fetches can share a link, each with its part of the send queue, and
 * the registration of the memory they read to. Completions come by the turns of
 * the link's hub. The first error ends the queue pair, and so all fetches of the
 * link: the one that caused it with its error, the others with -ENOTCONN.
 *
 * When the link is closed with the fetch in place:
 *
 *	link_close(link);                  the device has let go of the memory
 *	fetch_verbs_link_closed(fetch);
 *	fetch_poll(fetch, ...);            whoever waits for batches is told -ENOTCONN
 *	fetch_close(fetch);
 *
 * Threads: that of the link's hub.
 */

#include "rdma/fetch.h"
#include "rdma/link.h"

/* Entries of the send queue that a fetch has at least: those of the largest batch. */
#define FETCH_VERBS_DEPTH_MIN FETCH_PIECE_MAX

struct fetch_verbs_options {
	struct link
		*link; /* LINK_READY; borrowed until fetch_verbs_link_closed() or fetch_close() */
	uint64_t remote_addr; /* of the region, as granted */
	uint64_t size;
	uint32_t rkey;
	uint32_t depth; /* entries of the link's send queue that it may use, FETCH_VERBS_DEPTH_MIN
			   or more */
	void *memory;   /* where pieces go to; borrowed until fetch_close() */
	size_t memory_size;
	struct ibv_mr *
		mr; /* that contains the memory, for local writing; borrowed. NULL: makes its own */
	uint64_t expires_ns; /* 0: never */
};

/*
 * Returns 0, -EINVAL (a region beyond the end of addresses, a depth too small, memory that isn't in
 * the registration), -ENOTCONN (the link isn't ready), -ENOMEM (often RLIMIT_MEMLOCK) or what the
 * device said.
 */
int fetch_verbs_open(const struct fetch_verbs_options *options, struct fetch **ret_fetch);

/*
 * The link of a fetch that fetch_verbs_open() made has been closed: what is under way is handed out
 * by the next polls with -ENOTCONN.
 */
void fetch_verbs_link_closed(struct fetch *fetch);
