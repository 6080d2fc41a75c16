/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Dial - sessions by address
 *
 * Who wants to ask says where; the sessions that this takes are opened when they
 * are needed, opened again when they were lost, and kept as long as there is room:
 * addresses come from hints too, so there can be more of them than of sessions.
 * Then whoever is lost goes, or else who was asked longest ago.
 *
 * Threads: as its endpoint.
 */

#include "base/addr.h"
#include "cluster/leg.h"
#include "proto/session.h"

#include <stdint.h>

/* Peers (a poll core of a node is one) at a time. */
#define DIAL_PEER_MAX 512

/*
 * Sessions with one peer: each has SESSION_SLOT_COUNT requests under way at most.
 * The next one is opened when the ones before it are full.
 */
#define DIAL_SESSION_MAX 4

struct dial_peer {
	struct addr at;
	struct session *sessions[DIAL_SESSION_MAX]; /* in the order of use; NULL: not connected */
	uint64_t asked_ns;                          /* the last time */
};

struct dial {
	struct endpoint *endpoint; /* borrowed */
	struct dial_peer peers[DIAL_PEER_MAX];
	uint32_t peer_count;
};

/*
 * Asks through a dial, which is the context. SESSION_E_CLOSED: no room for the
 * peer, because all others are at work.
 */
extern const struct leg_ops dial_leg_ops;

/* Closes all sessions; their calls complete. */
void dial_hang_up(struct dial *dial, uint64_t now_ns);
