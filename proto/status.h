/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Status - what became of a request, as the frame header says it
 *
 * What the envelope can't express. Numbers are on the wire and never errno's;
 * their hundreds say what is in trouble: the request, the session, the shard or
 * the node. Each row says whether the same request may be sent again.
 *
 * Threads: any.
 */

#include <stdbool.h>
#include <stdint.h>

/* STATUS(number, NAME, retry, text) */
#define STATUS_LIST(STATUS)                                                                        \
	STATUS(0, OK, false, "ok")                                                                 \
	/* 1xx: this request is wrong, or too late */                                              \
	STATUS(100, MALFORMED, false, "malformed request")                                         \
	STATUS(101, UNKNOWN_TYPE, false, "unknown message type")                                   \
	STATUS(102, UNSUPPORTED, false, "no handler for this message type")                        \
	STATUS(103, TOO_LARGE, false, "message too large")                                         \
	STATUS(104, DEADLINE, false, "deadline passed")                                            \
	STATUS(105, INVALID, false, "invalid argument")                                            \
	/* 2xx: the session is gone; whether the request was executed is not known */              \
	STATUS(200, SESSION_LOST, false, "session lost; the request may have been executed")       \
	STATUS(201, UNREACHABLE, true, "peer unreachable; the request was not executed")           \
	STATUS(202, AUTH, false, "peer refused: not a member of this cluster")                     \
	STATUS(203, VERSION, false, "no common protocol version")                                  \
	/* 3xx: the shard */                                                                       \
	STATUS(300, SHARD_NOT_HERE, false, "shard not on this node")                               \
	STATUS(301, SHARD_ELSEWHERE, true, "shard on another core; hint is its UDP port")          \
	STATUS(302, STALE_EPOCH, true, "older cluster epoch; the answer carries the newer one")    \
	/* 4xx: the node */                                                                        \
	STATUS(400, OVERLOADED, true, "overloaded; hint is when to retry, in microseconds")        \
	STATUS(401, DRAINING, true, "node is shutting down")                                       \
	STATUS(402, INTERNAL, false, "internal error")

enum status {
#define STATUS_ENUM(number, name, retry, text) STATUS_##name = (number),
	STATUS_LIST(STATUS_ENUM)
#undef STATUS_ENUM
};

/* What it means, in words; "unknown status" for a number that isn't in the list. */
const char *status_text(uint16_t status);

/* May the same request be sent again, here or where the hint says? */
bool status_retry(uint16_t status);
