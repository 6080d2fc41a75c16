/* SPDX-License-Identifier: Apache-2.0 */
#include "client/client.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/defs.h"
#include "client/atlas.h"
#include "client/collection.h"
#include "client/far.h"
#include "cluster/dial.h"
#include "cluster/route.h"
#include "proto/status.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Bursts taken from the port in one poll, so that results are handed out in between. */
#define POLL_BURST_MAX 4

/*
 * Places for each question that may be under way: results are lent out until the
 * next poll, and a question that ran out of time keeps its place until the last
 * of its calls has come back.
 */
#define PLACE_FACTOR 4

/* A call's tag: the question's index, or TAG_SURVEY or TAG_FAR, above the number of the leg. */
#define TAG_SHIFT  16
#define TAG_SURVEY UINT64_C(0xffffffff)
#define TAG_FAR    UINT64_C(0xfffffffe)

enum question_state {
	QUESTION_FREE,
	QUESTION_WAITING,   /* for its collection's survey */
	QUESTION_FAR,       /* shards are being searched in their owners' memory */
	QUESTION_ASKING,    /* its gather is under way */
	QUESTION_DONE,      /* its result is to be handed out */
	QUESTION_DELIVERED, /* its result is lent out until the next poll */
	QUESTION_DRAINING,  /* calls that nobody waits for are still under way */
};

struct question {
	enum question_state state;
	struct question
		*next;   /* of those that aren't FREE in the order of submission, or that are */
	uint16_t status; /* of one that never came to asking */
	bool strict;
	bool by_owners;
	bool asked;
	struct collection *collection;
	struct gather *gather; /* owned; NULL until first used */
	struct gather_limits limits;
	struct far_question far; /* kept from one use to the next */
	bool is_far;
	void *copy; /* owned while WAITING: vector, then filter */
	uint32_t dim, k, ef, probe;
	size_t filter_size;
	uint32_t asked_count;
	uint64_t tag;
	uint64_t deadline_ns;
	uint64_t submitted_ns;
	uint64_t done_ns;
};

struct client {
	struct client_config config;
	struct endpoint *endpoint;
	struct route *route;
	struct atlas *atlas; /* owned, as the two above */
	struct far *far;     /* owned; NULL: none */
	struct dial dial;
	struct question *questions; /* owned */
	uint32_t place_count;
	struct question *active; /* the oldest first: slots of sessions go to who waits longest */
	struct question **active_end;
	struct question *free;
	bool crowded; /* somebody waits for a slot: new questions queue up behind */
	uint32_t in_flight;
	uint32_t order[ROUTE_VSHARD_MAX]; /* scratch of collection_choose() */
	uint32_t vshards[ROUTE_VSHARD_MAX];
	struct client_stats stats;
};

static void send_frame(void *context, const struct addr *to, const void *head, size_t head_size,
		       const void *body, size_t body_size)
{
	struct client *client = context;

	port_send(client->config.port, to, head, head_size, body, body_size);
}

static const struct session_ops session_ops = {.send = send_frame};

/* --- questions --- */

static void end_question(struct question *question, uint16_t status, uint64_t now_ns)
{
	free(question->copy);
	question->copy = NULL;
	question->status = status;
	question->state = QUESTION_DONE;
	question->done_ns = now_ns;
}

/* A gather large enough for what is asked; the question's own one when it is. */
static int fit_gather(struct question *question, const struct vector_scatter *scatter,
		      uint32_t shard_count)
{
	struct gather_limits want = {
		.shard_max = shard_count,
		.request_size_max = (uint32_t)gather_request_size(scatter),
		.hit_max = scatter->top_k,
	};
	int result;

	if (question->gather && want.shard_max <= question->limits.shard_max &&
	    want.request_size_max <= question->limits.request_size_max &&
	    want.hit_max <= question->limits.hit_max)
		return 0;
	gather_free(question->gather);
	question->gather = NULL;
	result = gather_new(&want, &question->gather);
	if (result == 0)
		question->limits = want;
	return result;
}

/* Hands the question, for the shards in client->vshards, to its gather. */
static void ask_owners(struct client *client, struct question *question, const float *vector,
		       const void *filter, uint32_t vshard_count, uint64_t now_ns)
{
	struct collection *collection = question->collection;
	struct vector_scatter scatter = {
		.collection = {.text = collection->name,
			       .length = (uint32_t)strlen(collection->name)},
		.vector = vector,
		.dim = question->dim,
		.top_k = question->k,
		.ef_search = question->ef,
		.has_filter = question->filter_size > 0,
		.filter = filter,
		.filter_size = (uint32_t)question->filter_size,
	};
	struct gather_question task = {
		.scatter = &scatter,
		.collection = collection->id,
		.vshards = client->vshards,
		.vshard_count = vshard_count,
		.deadline_ns = question->deadline_ns,
		.tag = (uint64_t)(question - client->questions) << TAG_SHIFT,
		.strict = question->strict,
	};

	if (fit_gather(question, &scatter, collection->shard_count) != 0 ||
	    gather_begin(question->gather, client->route, &task) != 0) {
		end_question(question, STATUS_INTERNAL, now_ns);
		return;
	}
	question->asked = true;
	question->state = QUESTION_ASKING;
	free(question->copy);
	question->copy = NULL;
}

/* Can its shards be searched in their owners' memory? Filters can be, but cost a READ a member. */
static bool can_be_far(const struct client *client, const struct question *question)
{
	return client->far && !question->by_owners && question->filter_size == 0 &&
	       question->k <= READER_K_MAX;
}

/* The collection is known: chooses the shards and asks them. */
static void begin_question(struct client *client, struct question *question, const float *vector,
			   const void *filter, uint64_t now_ns)
{
	struct collection *collection = question->collection;
	uint32_t count;

	if (question->dim != collection->dim) {
		end_question(question, STATUS_INVALID, now_ns);
		return;
	}
	if (question->strict && !collection->certain) {
		end_question(question, STATUS_UNREACHABLE, now_ns);
		return;
	}
	count = collection_choose(collection, vector, question->probe, client->order,
				  client->vshards);
	question->asked_count = count;
	if (!can_be_far(client, question)) {
		ask_owners(client, question, vector, filter, count, now_ns);
		return;
	}
	if (far_begin(client->far, &question->far, collection->id, client->vshards, count, vector,
		      question->dim, question->k, question->ef,
		      (uint64_t)(question - client->questions))) {
		end_question(question, STATUS_INTERNAL, now_ns);
		return;
	}
	question->is_far = true;
	question->state = QUESTION_FAR;
	free(question->copy);
	question->copy = NULL;
}

/* Keeps vector and filter until the collection is known. */
static int keep_question(struct question *question, const struct client_question *from)
{
	size_t vector_size = from->dim * sizeof(*from->vector);

	question->copy = malloc(vector_size + from->filter_size);
	if (!question->copy)
		return -ENOMEM;
	memcpy(question->copy, from->vector, vector_size);
	if (from->filter_size)
		memcpy((char *)question->copy + vector_size, from->filter, from->filter_size);
	return 0;
}

static bool question_holds(const struct client_question *question)
{
	size_t length = strnlen(question->collection, VECTOR_COLLECTION_MAX + 1);

	if (length == 0 || length > VECTOR_COLLECTION_MAX || question->k == 0 ||
	    question->k > VECTOR_TOP_K_MAX || question->ef > VECTOR_EF_MAX || question->dim == 0 ||
	    question->dim > VECTOR_DIM_MAX || (question->filter_size && !question->filter))
		return false;
	for (uint32_t i = 0; i < question->dim; i++)
		if (!isfinite(question->vector[i]))
			return false;
	return true;
}

int client_submit(struct client *client, const struct client_question *from, uint64_t now_ns)
{
	struct collection *collection;
	struct question *question;

	if (!question_holds(from))
		return -EINVAL;
	if (from->filter_size > SESSION_MESSAGE_SIZE_MAX - VECTOR_DIM_MAX * 8)
		return CLIENT_E_LIMIT;
	question = client->free;
	if (!question || client->in_flight == client->config.in_flight_max)
		return CLIENT_E_BUSY;
	collection = atlas_want(client->atlas, from->collection, now_ns);
	if (!collection)
		return CLIENT_E_LIMIT;
	question->collection = collection;
	question->dim = from->dim;
	question->k = from->k;
	question->ef = from->ef;
	question->probe = from->probe;
	question->filter_size = from->filter_size;
	question->tag = from->tag;
	question->deadline_ns = from->deadline_ns;
	question->submitted_ns = now_ns;
	question->strict = from->strict;
	question->by_owners = from->by_owners;
	question->asked = false;
	question->is_far = false;
	question->asked_count = 0;
	if (!collection->known) {
		if (keep_question(question, from) < 0)
			return -ENOMEM;
		question->state = QUESTION_WAITING;
	} else {
		begin_question(client, question, from->vector, from->filter, now_ns);
	}
	client->in_flight++;
	client->free = question->next;
	question->next = NULL;
	*client->active_end = question;
	client->active_end = &question->next;
	if (question->state == QUESTION_ASKING && !client->crowded)
		gather_run(question->gather, client->route, &dial_leg_ops, &client->dial, now_ns);
	return 0;
}

/* The survey is over: everybody who waited for it goes on, or fails for its reason. */
static void run_atlas(struct client *client, uint64_t now_ns)
{
	uint16_t status;
	struct collection *collection =
		atlas_run(client->atlas, &dial_leg_ops, &client->dial, now_ns, &status);

	if (!collection)
		return;
	for (struct question *question = client->active; question; question = question->next) {
		if (question->state != QUESTION_WAITING || question->collection != collection)
			continue;
		if (!collection->known)
			end_question(question, status, now_ns);
		else
			begin_question(client, question, question->copy,
				       (const float *)question->copy + question->dim, now_ns);
	}
}

/* --- the loop --- */

static void receive(struct client *client, uint64_t now_ns)
{
	struct port_frame frames[PORT_BURST_MAX];

	for (unsigned burst = 0; burst < POLL_BURST_MAX; burst++) {
		unsigned count = port_receive(client->config.port, frames, PORT_BURST_MAX);

		for (unsigned i = 0; i < count; i++)
			endpoint_input(client->endpoint, &frames[i].from, frames[i].bytes,
				       frames[i].size, now_ns);
		port_release(client->config.port, frames, count);
		if (count < PORT_BURST_MAX)
			return;
	}
}

static void take_answer(struct client *client, const struct session_answer *answer, uint64_t now_ns)
{
	uint64_t number = answer->tag >> TAG_SHIFT;
	uint32_t leg = (uint32_t)(answer->tag & ((UINT64_C(1) << TAG_SHIFT) - 1));

	if (number == TAG_SURVEY) {
		atlas_take(client->atlas, leg, answer, now_ns);
		return;
	}
	if (number == TAG_FAR) {
		far_take(client->far, client->route, leg, answer, now_ns);
		return;
	}
	CHECK(number < client->place_count);
	gather_take(client->questions[number].gather, client->route, leg, answer, now_ns);
}

static void take_answers(struct client *client, uint64_t now_ns)
{
	struct session_answer answers[PORT_BURST_MAX];
	unsigned count;

	do {
		count = endpoint_take_answers(client->endpoint, answers, PORT_BURST_MAX);
		for (unsigned i = 0; i < count; i++)
			take_answer(client, &answers[i], now_ns);
	} while (count == PORT_BURST_MAX);
}

/* Half of a question's time is kept for asking the owners. The deadline may be past at once. */
static uint64_t far_until_ns(const struct question *question)
{
	return question->submitted_ns / 2 + question->deadline_ns / 2;
}

/*
 * What can be searched from here has been; the rest is asked of its owners, and is missing when no
 * time is left for that.
 */
static void run_far_question(struct client *client, struct question *question, uint64_t now_ns)
{
	uint32_t rest;

	far_advance(client->far, &question->far);
	if (now_ns >= far_until_ns(question))
		far_abandon(client->far, &question->far);
	if (!far_is_done(&question->far))
		return;
	rest = far_rest(&question->far, client->vshards);
	if (rest > 0)
		ask_owners(client, question, question->far.vector, NULL, rest, now_ns);
	else
		end_question(question, STATUS_OK, now_ns);
}

/* The owners', unless other shards have been searched from here: then theirs are missing. */
static uint16_t status_of(const struct question *question)
{
	if (question->is_far && question->far.answered > 0 && !question->strict)
		return STATUS_OK;
	return gather_status(question->gather);
}

static void run_question(struct client *client, struct question *question, uint64_t now_ns)
{
	switch (question->state) {
	case QUESTION_WAITING:
		if (now_ns >= question->deadline_ns)
			end_question(question, STATUS_DEADLINE, now_ns);
		return;
	case QUESTION_FAR:
		run_far_question(client, question, now_ns);
		if (question->state != QUESTION_ASKING)
			return;
		__attribute__((fallthrough));
	case QUESTION_ASKING:
		gather_run(question->gather, client->route, &dial_leg_ops, &client->dial, now_ns);
		client->crowded = client->crowded || gather_is_crowded(question->gather);
		if (gather_is_done(question->gather))
			end_question(question, status_of(question), now_ns);
		return;
	case QUESTION_DELIVERED:
		question->state = QUESTION_DRAINING;
		__attribute__((fallthrough));
	case QUESTION_DRAINING:
		if (!question->asked || gather_is_idle(question->gather))
			question->state = QUESTION_FREE;
		return;
	default:
		return;
	}
}

/* A search in an owner's memory has ended. */
static void take_far(void *context, uint64_t tag, uint32_t shard,
		     const struct reader_answer *answer)
{
	struct client *client = context;

	CHECK(tag < client->place_count);
	far_answer(&client->questions[tag].far, shard, answer);
}

static struct client_result deliver(struct client *client, struct question *question)
{
	struct client_result result = {
		.tag = question->tag,
		.status = question->status,
		.asked_count = question->asked_count,
		.submitted_ns = question->submitted_ns,
		.done_ns = question->done_ns,
		.certain = (!question->asked && !question->is_far) || question->collection->certain,
	};

	if (question->asked) {
		result.gather = question->gather;
		result.hits = gather_hits(question->gather, &result.hit_count);
		result.missing_count = gather_missing(question->gather, NULL, 0);
		client->stats.retries += gather_retry_count(question->gather);
	}
	if (question->is_far && question->status == STATUS_OK) {
		result.hit_count = far_merge(&question->far, result.hits, result.hit_count);
		result.hits = question->far.hits;
		result.far_count = question->far.answered;
	}
	client->stats.questions++;
	client->stats.failed += result.status != STATUS_OK;
	client->stats.partial += result.status == STATUS_OK && result.missing_count > 0;
	client->in_flight--;
	question->state = QUESTION_DELIVERED;
	return result;
}

unsigned client_poll(struct client *client, struct client_result *results, unsigned count,
		     uint64_t now_ns)
{
	struct question **link = &client->active;
	unsigned n = 0;

	receive(client, now_ns);
	endpoint_tick(client->endpoint, now_ns);
	take_answers(client, now_ns);
	run_atlas(client, now_ns);
	if (client->far)
		far_run(client->far, client->route, &dial_leg_ops, &client->dial,
			TAG_FAR << TAG_SHIFT, take_far, client, now_ns);
	client->crowded = false;
	while (*link) {
		struct question *question = *link;

		run_question(client, question, now_ns);
		if (question->state == QUESTION_DONE && n < count)
			results[n++] = deliver(client, question);
		if (question->state != QUESTION_FREE) {
			link = &question->next;
			continue;
		}
		*link = question->next;
		question->next = client->free;
		client->free = question;
	}
	client->active_end = link;
	port_flush(client->config.port);
	return n;
}

uint64_t client_due_ns(const struct client *client)
{
	uint64_t due_ns = MIN(endpoint_due_ns(client->endpoint), atlas_due_ns(client->atlas));

	/* Completions wake nobody: 0 is now. */
	if (client->far)
		due_ns = MIN(due_ns, far_due_ns(client->far, 0));
	for (const struct question *question = client->active; question;
	     question = question->next) {
		if (question->state == QUESTION_WAITING)
			due_ns = MIN(due_ns, question->deadline_ns);
		else if (question->state == QUESTION_FAR)
			due_ns = MIN(due_ns, far_until_ns(question));
		else if (question->state == QUESTION_ASKING)
			due_ns = MIN(due_ns, gather_due_ns(question->gather));
		else if (question->state == QUESTION_DONE)
			return 0;
	}
	return due_ns;
}

uint32_t client_in_flight(const struct client *client)
{
	return client->in_flight;
}

/* --- beginning and end --- */

static int make_parts(struct client *client)
{
	const struct client_config *config = &client->config;
	/* No pool for large messages: ours are lent to the session, and answers come to the
	 * gathers. */
	struct endpoint_config endpoint = {
		.session_count = config->session_count,
		.frame_size = config->port->frame_size,
		.message_size_max = SESSION_MESSAGE_SIZE_MAX,
		.secret = config->secret,
	};
	int result;

	client->place_count = PLACE_FACTOR * config->in_flight_max;
	client->questions = calloc(client->place_count, sizeof(*client->questions));
	if (!client->questions)
		return -ENOMEM;
	for (uint32_t i = client->place_count; i-- > 0;) {
		client->questions[i].next = client->free;
		client->free = &client->questions[i];
	}
	client->active_end = &client->active;
	result = route_new(config->servers, config->server_count, ATLAS_COLLECTION_MAX,
			   &client->route);
	if (result == 0)
		result = atlas_new(client->route, config->shard_count, TAG_SURVEY << TAG_SHIFT,
				   &client->atlas);
	if (result == 0)
		result = endpoint_new(&endpoint, &session_ops, client, &client->endpoint);
	client->dial.endpoint = client->endpoint;
	if (result == 0 && config->far)
		result = far_new(config->far, &client->far);
	return result;
}

int client_new(const struct client_config *config, struct client **ret_client)
{
	struct client *client;
	int result;

	if (config->in_flight_max == 0 || config->in_flight_max > CLIENT_IN_FLIGHT_MAX ||
	    config->session_count == 0 || config->session_count > CLIENT_SESSION_MAX ||
	    config->shard_count > ROUTE_VSHARD_MAX)
		return -EINVAL;
	client = calloc(1, sizeof(*client));
	if (!client)
		return -ENOMEM;
	client->config = *config;
	result = make_parts(client);
	if (result < 0) {
		client_free(client, 0);
		return result;
	}
	*ret_client = client;
	return 0;
}

void client_free(struct client *client, uint64_t now_ns)
{
	if (!client)
		return;
	/* Closing a session completes its calls; taking them gives all buffers back. */
	if (client->endpoint) {
		dial_hang_up(&client->dial, now_ns);
		take_answers(client, now_ns);
		port_flush(client->config.port);
	}
	endpoint_free(client->endpoint);
	for (uint32_t i = 0; client->questions && i < client->place_count; i++) {
		gather_free(client->questions[i].gather);
		far_question_deinit(&client->questions[i].far);
		free(client->questions[i].copy);
	}
	far_free(client->far);
	atlas_free(client->atlas);
	route_free(client->route);
	free(client->questions);
	free(client);
}

struct client_stats client_stats(const struct client *client)
{
	struct client_stats stats = client->stats;

	stats.session = *endpoint_stats(client->endpoint);
	return stats;
}

bool client_far(const struct client *client, struct far_stats *ret_stats)
{
	if (!client->far)
		return false;
	*ret_stats = far_stats(client->far);
	return true;
}

const struct collection *client_collection(const struct client *client, const char *name)
{
	return atlas_find(client->atlas, name);
}
