/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Session RTT - when to send again
 *
 * RFC 6298's smoothed round trip and variation, in nanoseconds. What is
 * measured is the time from a frame to what it brought about, the executor's
 * work included: it is that time which a repeat has to wait for. Frames that
 * were sent more than once are no samples (Karn and Partridge, 1987).
 *
 * Threads: belongs to its session's core.
 */

#include "base/clock.h"
#include "base/defs.h"

#include <stdint.h>

/* Before the first sample. RFC 6298 says 1 s; a data centre's round trip is below 1 ms. */
#define SESSION_RTO_FIRST_NS (20 * NS_PER_MS)

/* Shorter ones would race the scheduler of a peer that doesn't poll; eRPC's fixed one is 5 ms too.
 */
#define SESSION_RTO_NS_MIN (5 * NS_PER_MS)

/* A repeat never waits longer, so that a peer's return is noticed. */
#define SESSION_RTO_NS_MAX (500 * NS_PER_MS)

struct session_rtt {
	uint64_t smoothed_ns; /* 0: no sample yet */
	uint64_t variation_ns;
	uint64_t rto_ns;
};

static inline void session_rtt_sample(struct session_rtt *rtt, uint64_t sample_ns,
				      uint64_t rto_min_ns)
{
	uint64_t off_ns;

	if (!rtt->smoothed_ns) {
		rtt->smoothed_ns = sample_ns;
		rtt->variation_ns = sample_ns / 2;
	} else {
		off_ns = rtt->smoothed_ns > sample_ns ? rtt->smoothed_ns - sample_ns
						      : sample_ns - rtt->smoothed_ns;
		rtt->variation_ns = (3 * rtt->variation_ns + off_ns) / 4;
		rtt->smoothed_ns = (7 * rtt->smoothed_ns + sample_ns) / 8;
	}
	rtt->rto_ns =
		MIN(MAX(rtt->smoothed_ns + 4 * rtt->variation_ns, rto_min_ns), SESSION_RTO_NS_MAX);
}

/* The wait after 'backoff' repeats without an echo. */
static inline uint64_t session_rtt_wait_ns(const struct session_rtt *rtt, unsigned backoff)
{
	uint64_t wait_ns = rtt->rto_ns << MIN(backoff, 16U);

	return MIN(wait_ns, SESSION_RTO_NS_MAX);
}
