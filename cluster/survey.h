/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Survey - finds a collection's shards by asking for their descriptors
 *
 * A state machine without I/O. Shard i of a collection is vShard (home + i) mod
 * 1024 (cluster/manifest.h), so it asks for i = 0, 1, 2, ... (type 52), several
 * at a time, until every server has said of one that it is not there: that is
 * the number of shards. Each answer teaches the route table a place, and is
 * handed to the caller, who keeps the descriptor for coarse routing.
 *
 * A server that doesn't answer leaves doubt: its shards look like gaps. A gap
 * below the last shard found is a shard that is missing. Behind it nobody
 * knows: after SURVEY_GAP_MAX such shards in a row the survey ends and says that
 * it isn't certain. A caller that knows the number of shards gives it instead.
 *
 * Memory: survey_new() takes everything.
 *
 * Threads: a survey and its route table belong to one thread.
 */

#include "cluster/leg.h"
#include "cluster/route.h"
#include "proto/payload_vector.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct survey;

/* Shards asked for at a time. */
#define SURVEY_LEG_MAX 8

/* How often a shard is asked again when nobody says that it isn't there. */
#define SURVEY_RETRY_MAX 2

/* Shards in a row that nobody could tell about, after which it is no use to go on. */
#define SURVEY_GAP_MAX 8

/*
 * When shards have been found, and no other for so long, the survey ends without
 * those that are in doubt: a server that is down shall not hold up what the rest can
 * answer.
 */
#define SURVEY_STALL_NS UINT64_C(500000000)

struct survey_ops {
	/*
	 * Shard 'index' has answered; the descriptor's body was checked and
	 * borrows for the call. Returns 0, or the enum status for which the shard
	 * counts as missing after all.
	 */
	uint16_t (*found)(void *context, uint32_t index, const struct coarse_answer *answer);
};

/* 'answer_size_max' is the largest message with a descriptor. Returns 0, -EINVAL or -ENOMEM. */
int survey_new(uint32_t answer_size_max, struct survey **ret_survey);

/* It must be idle: the session borrows its buffers until then. */
void survey_free(struct survey *survey);

struct survey_task {
	uint32_t collection;  /* the route table's number */
	uint32_t shard_count; /* 0: find out */
	uint64_t source_node; /* for the envelopes; 0 for a client */
	uint64_t deadline_ns;
	uint64_t tag; /* calls carry tag + index of the leg, below SURVEY_LEG_MAX */
};

/* Takes up a task; the survey must be idle. Borrows 'ops' and 'context' until done. */
void survey_begin(struct survey *survey, const struct survey_task *task,
		  const struct survey_ops *ops, void *context, uint64_t now_ns);

/* As gather's functions of the same names (cluster/gather.h). */
void survey_run(struct survey *survey, struct route *route, const struct leg_ops *ops,
		void *context, uint64_t now_ns);
void survey_take(struct survey *survey, struct route *route, uint32_t leg,
		 const struct session_answer *answer, uint64_t now_ns);
uint64_t survey_due_ns(const struct survey *survey);
bool survey_is_done(const struct survey *survey);
bool survey_is_idle(const struct survey *survey);

/* --- once done --- */

/* The number of shards, missing ones below the last one included; 0 when none was found. */
uint32_t survey_shard_count(const struct survey *survey);

/* Is that certainly all of them? */
bool survey_is_certain(const struct survey *survey);

/* Why the last shard that is missing is: OK when none is, SHARD_NOT_HERE when nobody knows the
 * collection. */
uint16_t survey_status(const struct survey *survey);
