/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster/one_sided.h"

#include "base/check.h"
#include "base/defs.h"
#include "base/memory.h"
#include "cluster/tether.h"
#include "proto/directory.h"
#include "proto/envelope.h"
#include "proto/message.h"
#include "proto/payload_vector.h"
#include "proto/status.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MESSAGE_SIZE (ENVELOPE_SIZE + REGION_PAYLOAD_MAX)

/* How often a request is sent again. */
#define RETRY_MAX 2

/* A shard of which more can be read has one segment today. */
#define SEGMENT_MAX 1

enum shard_state {
	SHARD_WAITING, /* until due_ns */
	SHARD_CONNECTING,
	SHARD_ASKING_DIRECTORY,
	SHARD_READING_DIRECTORY,
	SHARD_ASKING_SEGMENT,
	SHARD_OPENING,
	SHARD_READY,
};

struct shard {
	uint32_t collection;
	uint32_t vshard;
	enum shard_state state;
	unsigned transport; /* index of what is tried, or used */
	uint64_t due_ns;    /* WAITING: when it is tried again; else when the step must be over */
	uint64_t pause_ns;  /* the next one */
	char reason[ONE_SIDED_REASON_MAX];
	struct tether tether;
	struct memory memory;
	struct fetch *fetch;      /* of the directory, then of the segment */
	struct fetch *next_fetch; /* of the same segment, under the next lease */
	struct reader *reader;
	struct fetch_stats fetched; /* by fetches that are gone */
	struct reader_stats read;   /* by readers that are gone */
	bool is_lost;               /* nobody knows yet where the shard is */
	bool is_renewing;
	bool has_grant; /* an answer that no fetch was made of yet */
	struct region_answer grant;
	uint64_t asked_ns; /* before the grant was asked for */
	uint64_t renew_ns; /* READY: when the next lease is asked for */
	struct directory_segment segment;
	uint32_t opened;
	uint32_t failed;
	struct leg leg;
	bool is_asked; /* the leg has been begun and isn't over */
	uint8_t request[MESSAGE_SIZE];
	uint8_t answer[MESSAGE_SIZE];
};

struct one_sided {
	struct one_sided_config config;
	enum region_transport transports[2];
	unsigned transport_count;
	struct shard *shards; /* owned: shard_max of them, whose buffers don't move */
	uint32_t count;
	uint32_t asked_count;
};

int one_sided_new(const struct one_sided_config *config, struct one_sided **ret_one_sided)
{
	struct one_sided *one_sided;

	if (config->shard_max < 1 || config->shard_max > ONE_SIDED_SHARD_MAX ||
	    config->memory_size == 0)
		return -EINVAL;
	one_sided = calloc(1, sizeof(*one_sided));
	if (!one_sided)
		return -ENOMEM;
	one_sided->shards = calloc(config->shard_max, sizeof(one_sided->shards[0]));
	if (!one_sided->shards) {
		free(one_sided);
		return -ENOMEM;
	}
	one_sided->config = *config;
	if (!one_sided->config.lease_ms)
		one_sided->config.lease_ms = ONE_SIDED_LEASE_MS;
	if (config->hub)
		one_sided->transports[one_sided->transport_count++] = REGION_TRANSPORT_VERBS;
	if (config->shm)
		one_sided->transports[one_sided->transport_count++] = REGION_TRANSPORT_SHM;
	*ret_one_sided = one_sided;
	return 0;
}

static void add_stats(struct fetch_stats *to, const struct fetch *fetch)
{
	if (!fetch)
		return;
	to->batches += fetch->stats.batches;
	to->reads += fetch->stats.reads;
	to->bytes += fetch->stats.bytes;
	to->failures += fetch->stats.failures;
}

static void add_reader_stats(struct reader_stats *to, const struct reader *reader)
{
	struct reader_stats from;

	if (!reader)
		return;
	from = reader_stats(reader);
#define ADD(name) to->name += from.name;
	READER_STAT_LIST(ADD)
#undef ADD
	to->opening_reads += from.opening_reads;
	to->opening_bytes += from.opening_bytes;
}

static void close_fetch(struct shard *shard, struct fetch **fetch)
{
	add_stats(&shard->fetched, *fetch);
	fetch_close(*fetch);
	*fetch = NULL;
}

/* Ends all that a shard has but its memory. */
static void let_go(struct shard *shard)
{
	struct fetch *fetches[] = {shard->fetch, shard->next_fetch};

	add_stats(&shard->fetched, shard->fetch);
	add_stats(&shard->fetched, shard->next_fetch);
	tether_close(&shard->tether, fetches, ARRAY_COUNT(fetches));
	shard->fetch = NULL;
	shard->next_fetch = NULL;
	add_reader_stats(&shard->read, shard->reader);
	reader_free(shard->reader);
	shard->reader = NULL;
	shard->is_renewing = false;
	shard->has_grant = false;
}

void one_sided_free(struct one_sided *one_sided)
{
	if (!one_sided)
		return;
	CHECK(one_sided->asked_count == 0);
	for (uint32_t i = 0; i < one_sided->count; i++) {
		let_go(&one_sided->shards[i]);
		memory_deinit(&one_sided->shards[i].memory);
	}
	free(one_sided->shards);
	free(one_sided);
}

uint32_t one_sided_shard(struct one_sided *one_sided, uint32_t collection, uint32_t vshard)
{
	struct shard *shard;

	for (uint32_t i = 0; i < one_sided->count; i++)
		if (one_sided->shards[i].collection == collection &&
		    one_sided->shards[i].vshard == vshard)
			return i;
	if (one_sided->count == one_sided->config.shard_max)
		return UINT32_MAX;
	shard = &one_sided->shards[one_sided->count];
	shard->collection = collection;
	shard->vshard = vshard;
	shard->leg.state = LEG_FAILED;
	shard->leg.request = shard->request;
	shard->leg.answer = shard->answer;
	shard->leg.answer_capacity = sizeof(shard->answer);
	return one_sided->count++;
}

bool one_sided_is_ready(const struct one_sided *one_sided, uint32_t shard)
{
	const struct shard *it = &one_sided->shards[shard];

	return it->state == SHARD_READY && reader_state(it->reader) == READER_READY;
}

bool one_sided_is_coming(const struct one_sided *one_sided, uint32_t shard)
{
	const struct shard *it = &one_sided->shards[shard];

	return it->state != SHARD_WAITING || it->due_ns == 0;
}

const char *one_sided_reason(const struct one_sided *one_sided, uint32_t shard)
{
	return one_sided->shards[shard].reason;
}

/* --- the steps --- */

/* Tries the next transport at once, or all of them again after a pause. */
static void stop(struct one_sided *one_sided, struct shard *shard, uint64_t now_ns)
{
	let_go(shard);
	/* A request that is under way borrows the buffers until its answer. */
	shard->is_asked = shard->leg.state == LEG_ASKED;
	shard->failed++;
	shard->state = SHARD_WAITING;
	shard->due_ns = now_ns;
	if (++shard->transport < one_sided->transport_count)
		return;
	shard->transport = 0;
	shard->pause_ns =
		MIN(MAX(2 * shard->pause_ns, ONE_SIDED_PAUSE_MIN_NS), ONE_SIDED_PAUSE_MAX_NS);
	shard->due_ns += shard->pause_ns;
}

/* A shard that is READY stays so until its lease is over: only the next lease has failed. */
PRINTF_LIKE(4, 5)
static void fail(struct one_sided *one_sided, struct shard *shard, uint64_t now_ns,
		 const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(shard->reason, sizeof(shard->reason), format, arguments);
	va_end(arguments);
	if (shard->state != SHARD_READY) {
		stop(one_sided, shard, now_ns);
		return;
	}
	shard->is_asked = shard->leg.state == LEG_ASKED;
	shard->is_renewing = false;
	shard->has_grant = false;
	shard->renew_ns = now_ns + ONE_SIDED_PAUSE_MIN_NS;
}

/*
 * The address by which a node lends memory is that of its first core: of the servers on the
 * owner's host the one next below.
 */
static struct addr base_of(const struct route *route, const struct addr *owner)
{
	struct addr base = *owner;
	bool found = false;

	for (uint32_t i = 0; i < route_server_count(route); i++) {
		const struct addr *server = route_server(route, i);

		if (memcmp(server->ip, owner->ip, sizeof(owner->ip)) != 0 ||
		    server->port > owner->port || (found && server->port < base.port))
			continue;
		base = *server;
		found = true;
	}
	return base;
}

static struct tether_room room_of(const struct shard *shard)
{
	return (struct tether_room){shard->memory.start, shard->memory.size};
}

static bool take_memory(struct one_sided *one_sided, struct shard *shard, uint64_t now_ns)
{
	const struct memory_options options = {.name = "tern-reader",
					       .size = one_sided->config.memory_size,
					       .huge = one_sided->config.huge,
					       .numa_node = -1};
	int error = shard->memory.start ? 0 : memory_init(&options, &shard->memory);

	if (error)
		fail(one_sided, shard, now_ns, "taking %llu bytes of memory: %s",
		     (unsigned long long)one_sided->config.memory_size, strerror(-error));
	return error == 0;
}

static void connect_step(struct one_sided *one_sided, struct shard *shard,
			 const struct route *route, uint64_t now_ns)
{
	const struct route_place *place = route_find(route, shard->collection, shard->vshard);
	const struct tether_config config = {.node = one_sided->config.node,
					     .shard = link_shard_name(shard->vshard),
					     .secret = one_sided->config.secret,
					     .hub = one_sided->config.hub};
	struct tether_room room;
	struct addr owner;

	shard->is_lost = !place; /* whoever asks the shard learns where it is */
	if (now_ns < shard->due_ns || !place)
		return;
	if (one_sided->transport_count == 0) {
		fail(one_sided, shard, now_ns, "neither verbs nor shared memory is to be used");
		return;
	}
	if (!take_memory(one_sided, shard, now_ns))
		return;
	owner = base_of(route, &place->at);
	room = room_of(shard);
	shard->due_ns = now_ns + ONE_SIDED_STEP_NS;
	shard->state = SHARD_CONNECTING;
	if (tether_connect(&shard->tether, &config, one_sided->transports[shard->transport], &owner,
			   &room, now_ns, shard->due_ns))
		fail(one_sided, shard, now_ns, "%s", tether_error(&shard->tether));
}

/* Begins a request of type 56 for a region of the shard. */
static void ask_region(struct one_sided *one_sided, struct shard *shard, const struct route *route,
		       const struct region_name *name, uint64_t now_ns)
{
	const char *collection = route_collection_name(route, shard->collection);
	char region[REGION_NAME_MAX];
	uint8_t proof[LINK_PROOF_SIZE];
	struct region_request request = {
		.collection = {.text = collection, .length = (uint32_t)strlen(collection)},
		.region = {.text = region},
		.lease_ms = one_sided->config.lease_ms,
		.transport = shard->tether.transport,
		.proof = {.bytes = proof, .size = sizeof(proof)},
	};
	struct envelope envelope = {
		.type = MESSAGE_VECTOR_MEM_REGION_REQUEST,
		.source_node = one_sided->config.node,
		.vshard = shard->vshard,
	};
	size_t size;

	request.region.length = region_name_format(name, region);
	tether_proof(&shard->tether, proof);
	size = region_request_encode(&request, shard->request + ENVELOPE_SIZE, REGION_PAYLOAD_MAX);
	CHECK(size > 0);
	envelope.payload_size = (uint32_t)size;
	envelope_encode_header(&envelope, shard->request);
	leg_begin(&shard->leg, route, shard->collection, shard->vshard, 0, RETRY_MAX);
	shard->leg.request_size = (uint32_t)(ENVELOPE_SIZE + size);
	shard->is_asked = true;
	shard->has_grant = false;
	shard->asked_ns = now_ns;
}

static void ask_directory(struct one_sided *one_sided, struct shard *shard,
			  const struct route *route, uint64_t now_ns)
{
	const struct region_name name = {.kind = REGION_KIND_DIRECTORY};

	ask_region(one_sided, shard, route, &name, now_ns);
	shard->state = SHARD_ASKING_DIRECTORY;
	shard->due_ns = now_ns + ONE_SIDED_STEP_NS;
}

static void ask_segment(struct one_sided *one_sided, struct shard *shard, const struct route *route,
			uint64_t now_ns)
{
	const struct region_name name = {.kind = REGION_KIND_SEGMENT, .segment = shard->segment.id};

	ask_region(one_sided, shard, route, &name, now_ns);
	shard->due_ns = now_ns + ONE_SIDED_STEP_NS;
}

static uint64_t expires_ns(const struct shard *shard)
{
	return shard->asked_ns + (uint64_t)shard->grant.lease_ms * 1000000;
}

/* A fetch of what was granted. Returns false when it can't be made, or not yet. */
static bool open_fetch(struct one_sided *one_sided, struct shard *shard, struct fetch **fetch,
		       uint64_t now_ns)
{
	const struct tether_room room = room_of(shard);
	int error = tether_fetch(&shard->tether, &shard->grant, &room, expires_ns(shard), fetch);

	if (error && error != -EAGAIN)
		fail(one_sided, shard, now_ns, "%s", tether_error(&shard->tether));
	shard->has_grant = error == -EAGAIN;
	return error == 0;
}

static void read_directory(struct one_sided *one_sided, struct shard *shard, uint64_t now_ns)
{
	struct fetch_piece piece = {.size = (uint32_t)shard->grant.length,
				    .to = shard->memory.start};
	int error;

	if (shard->grant.length > directory_size(DIRECTORY_SEGMENT_MAX)) {
		fail(one_sided, shard, now_ns, "a directory of %llu bytes",
		     (unsigned long long)shard->grant.length);
		return;
	}
	if (!open_fetch(one_sided, shard, &shard->fetch, now_ns))
		return;
	error = fetch_post(shard->fetch, &piece, 1, 0);
	if (error)
		fail(one_sided, shard, now_ns, "reading the directory: %s", strerror(abs(error)));
	else
		shard->state = SHARD_READING_DIRECTORY;
}

static void take_directory(struct one_sided *one_sided, struct shard *shard,
			   const struct route *route, uint64_t now_ns)
{
	struct directory directory;
	struct fetch_done done;
	int result;

	if (fetch_poll(shard->fetch, now_ns, &done, 1) == 0)
		return;
	if (done.error) {
		fail(one_sided, shard, now_ns, "reading the directory: %s", strerror(-done.error));
		return;
	}
	result = directory_decode(shard->memory.start, shard->grant.length, &shard->segment,
				  SEGMENT_MAX, &directory);
	if (result || directory.count != 1 || directory.shard != shard->vshard) {
		fail(one_sided, shard, now_ns,
		     result == DIRECTORY_E_FULL
			     ? "the shard has more segments than can be read one-sidedly"
			     : "the shard's directory is damaged, empty or another's");
		return;
	}
	shard->read.opening_reads += shard->fetch->stats.reads;
	shard->read.opening_bytes += shard->fetch->stats.bytes;
	close_fetch(shard, &shard->fetch);
	shard->state = SHARD_ASKING_SEGMENT;
	ask_segment(one_sided, shard, route, now_ns);
}

static void open_reader(struct one_sided *one_sided, struct shard *shard, uint64_t now_ns)
{
	struct reader_config config = one_sided->config.reader;
	int error;

	config.generation = shard->segment.generation;
	config.header_crc = shard->segment.header_crc;
	config.ef = shard->segment.ef;
	if (shard->grant.length != shard->segment.image_size) {
		fail(one_sided, shard, now_ns, "the segment isn't the one of the directory");
		return;
	}
	if (!open_fetch(one_sided, shard, &shard->fetch, now_ns))
		return;
	error = reader_new(shard->fetch, shard->memory.start, shard->memory.size, &config,
			   &shard->reader);
	if (error)
		fail(one_sided, shard, now_ns, "a reader: %s", strerror(-error));
	else
		shard->state = SHARD_OPENING;
}

/* The next lease is asked for when half of this one is over. */
static void set_renewal(struct shard *shard)
{
	shard->renew_ns = shard->asked_ns + (uint64_t)shard->grant.lease_ms * 500000;
	shard->is_renewing = false;
}

static void opening_step(struct one_sided *one_sided, struct shard *shard, uint64_t now_ns)
{
	/* A large segment's outline takes its time; what counts is that something comes. */
	if (reader_turn(shard->reader, now_ns))
		shard->due_ns = now_ns + ONE_SIDED_STEP_NS;
	if (reader_state(shard->reader) == READER_READY) {
		shard->state = SHARD_READY;
		shard->opened++;
		shard->pause_ns = 0;
		shard->due_ns = UINT64_MAX;
		shard->reason[0] = 0;
		set_renewal(shard);
	}
}

/* A lease of the same segment takes over from the last one. */
static void renew_step(struct one_sided *one_sided, struct shard *shard, const struct route *route,
		       uint64_t now_ns)
{
	if (!shard->is_renewing && now_ns >= shard->renew_ns) {
		shard->is_renewing = true;
		ask_segment(one_sided, shard, route, now_ns);
		shard->due_ns = UINT64_MAX;
	}
	if (shard->has_grant && !shard->next_fetch) {
		if (shard->grant.generation != shard->segment.generation ||
		    shard->grant.length != shard->segment.image_size) {
			reader_fail(shard->reader, -ESTALE, "the shard has another segment now");
			return;
		}
		if (open_fetch(one_sided, shard, &shard->next_fetch, now_ns))
			reader_use(shard->reader, shard->next_fetch);
	}
	if (shard->next_fetch && reader_fetch(shard->reader) == shard->next_fetch) {
		close_fetch(shard, &shard->fetch);
		shard->fetch = shard->next_fetch;
		shard->next_fetch = NULL;
		set_renewal(shard);
	}
}

static void ready_step(struct one_sided *one_sided, struct shard *shard, const struct route *route,
		       uint64_t now_ns)
{
	(void)reader_turn(shard->reader, now_ns);
	if (reader_state(shard->reader) != READER_FAILED)
		renew_step(one_sided, shard, route, now_ns);
}

/* Sends the leg, and takes what it came to. */
static void leg_step(struct one_sided *one_sided, struct shard *shard, struct route *route,
		     const struct leg_ops *ops, void *context, uint64_t tag, uint64_t now_ns)
{
	if (!shard->is_asked || shard->leg.state == LEG_ASKED)
		return;
	leg_send(&shard->leg, route, ops, context, tag, now_ns + ONE_SIDED_STEP_NS, now_ns);
	if (shard->leg.state == LEG_ASKED) {
		one_sided->asked_count++;
	} else if (shard->leg.state == LEG_FAILED) {
		shard->is_asked = false;
		fail(one_sided, shard, now_ns, "asking the owner for memory: %s",
		     status_text(shard->leg.status));
	}
}

/* A reader that failed is kept for one run, in which its answers are taken. */
static void end_failed(struct one_sided *one_sided, struct shard *shard, uint64_t now_ns)
{
	snprintf(shard->reason, sizeof(shard->reason), "%s", reader_error(shard->reader));
	stop(one_sided, shard, now_ns);
}

static void step(struct one_sided *one_sided, struct shard *shard, const struct route *route,
		 uint64_t now_ns)
{
	switch (shard->state) {
	case SHARD_WAITING:
		connect_step(one_sided, shard, route, now_ns);
		break;
	case SHARD_CONNECTING:
		if (shard->tether.state == TETHER_READY)
			ask_directory(one_sided, shard, route, now_ns);
		break;
	case SHARD_ASKING_DIRECTORY:
		if (shard->has_grant)
			read_directory(one_sided, shard, now_ns);
		break;
	case SHARD_READING_DIRECTORY:
		take_directory(one_sided, shard, route, now_ns);
		break;
	case SHARD_ASKING_SEGMENT:
		if (shard->has_grant)
			open_reader(one_sided, shard, now_ns);
		break;
	case SHARD_OPENING:
		opening_step(one_sided, shard, now_ns);
		break;
	case SHARD_READY:
		ready_step(one_sided, shard, route, now_ns);
		break;
	}
}

/* What ends a shard's reading from outside. */
static void watch(struct one_sided *one_sided, struct shard *shard, uint64_t now_ns)
{
	tether_turn(&shard->tether, now_ns);
	if (shard->state == SHARD_WAITING)
		return;
	if (shard->reader && reader_state(shard->reader) == READER_FAILED) {
		end_failed(one_sided, shard, now_ns);
	} else if (shard->tether.state == TETHER_ENDED) {
		char why[TETHER_ERROR_MAX];

		snprintf(why, sizeof(why), "%s", tether_error(&shard->tether));
		if (shard->reader)
			reader_fail(shard->reader, -ENOTCONN, why);
		else
			fail(one_sided, shard, now_ns, "%s", why);
	} else if (now_ns >= shard->due_ns) {
		fail(one_sided, shard, now_ns, "the owner takes too long");
	}
}

void one_sided_run(struct one_sided *one_sided, struct route *route, const struct leg_ops *ops,
		   void *context, uint64_t tag_base, uint64_t now_ns)
{
	if (one_sided->config.hub)
		(void)link_hub_turn(one_sided->config.hub, now_ns);
	for (uint32_t i = 0; i < one_sided->count; i++) {
		struct shard *shard = &one_sided->shards[i];

		watch(one_sided, shard, now_ns);
		/* A request of an earlier try still borrows the buffers. */
		if (shard->state == SHARD_WAITING && shard->is_asked)
			continue;
		step(one_sided, shard, route, now_ns);
		leg_step(one_sided, shard, route, ops, context, tag_base + i, now_ns);
	}
}

/* Returns why there is no grant, or NULL. */
static const char *take_grant(struct shard *shard, char *text, size_t size)
{
	struct envelope envelope;
	struct region_answer grant;

	if (envelope_decode(shard->answer, shard->leg.answer_size, &envelope) != 0 ||
	    envelope.type != MESSAGE_VECTOR_MEM_REGION_RESPONSE ||
	    envelope.vshard != shard->vshard ||
	    region_answer_decode(envelope.payload, envelope.payload_size, &grant) != 0)
		return "the owner's answer is malformed";
	if (!grant.available) {
		snprintf(text, size, "the owner doesn't lend its memory: %.*s",
			 (int)MIN(grant.reason.length, 200), grant.reason.text);
		return text;
	}
	shard->grant = grant;
	shard->has_grant = true;
	return NULL;
}

void one_sided_take(struct one_sided *one_sided, struct route *route, uint32_t index,
		    const struct session_answer *answer, uint64_t now_ns)
{
	struct shard *shard = &one_sided->shards[index];
	char text[ONE_SIDED_REASON_MAX];
	const char *why = NULL;

	CHECK(index < one_sided->count && shard->leg.state == LEG_ASKED &&
	      one_sided->asked_count > 0);
	one_sided->asked_count--;
	leg_take(&shard->leg, route, answer, now_ns);
	if (shard->state == SHARD_WAITING) { /* failed meanwhile: nobody waits for it */
		shard->is_asked = false;
		shard->leg.state = LEG_FAILED;
		return;
	}
	if (!leg_is_over(&shard->leg))
		return;
	shard->is_asked = false;
	if (shard->leg.state == LEG_FAILED)
		why = status_text(shard->leg.status);
	else
		why = take_grant(shard, text, sizeof(text));
	if (why)
		fail(one_sided, shard, now_ns, "asking the owner for memory: %s", why);
}

int one_sided_ask(struct one_sided *one_sided, uint32_t shard, const float *query, uint32_t k,
		  uint32_t ef, uint64_t tag)
{
	CHECK(one_sided_is_ready(one_sided, shard));
	return reader_ask(one_sided->shards[shard].reader, query, k, ef, tag);
}

void one_sided_abandon(struct one_sided *one_sided, uint32_t shard, uint64_t tag)
{
	if (one_sided->shards[shard].reader)
		reader_abandon(one_sided->shards[shard].reader, tag);
}

unsigned one_sided_answers(struct one_sided *one_sided, uint32_t shard,
			   struct reader_answer *answers, unsigned count)
{
	struct reader *reader = one_sided->shards[shard].reader;

	return reader ? reader_take(reader, answers, count) : 0;
}

uint64_t one_sided_due_ns(const struct one_sided *one_sided, uint64_t now_ns)
{
	uint64_t due_ns = UINT64_MAX;

	for (uint32_t i = 0; i < one_sided->count; i++) {
		const struct shard *shard = &one_sided->shards[i];

		/* An answer, or a place that is learnt, brings the caller back by itself. */
		if (shard->state == SHARD_WAITING && (shard->is_lost || shard->is_asked))
			continue;
		if (shard->state == SHARD_WAITING)
			due_ns = MIN(due_ns, MAX(shard->due_ns, now_ns));
		else if (shard->state != SHARD_READY || shard->is_renewing ||
			 reader_running(shard->reader) > 0)
			return now_ns;
		else
			due_ns = MIN(due_ns, shard->renew_ns);
	}
	return due_ns;
}

bool one_sided_is_idle(const struct one_sided *one_sided)
{
	return one_sided->asked_count == 0;
}

struct one_sided_info one_sided_info(const struct one_sided *one_sided, uint32_t shard)
{
	const struct shard *it = &one_sided->shards[shard];
	struct one_sided_info info = {
		.is_ready = one_sided_is_ready(one_sided, shard),
		.fetch = it->fetched,
		.opened = it->opened,
		.failed = it->failed,
	};

	if (it->tether.state != TETHER_CLOSED)
		info.transport = it->tether.transport == REGION_TRANSPORT_VERBS ? "verbs" : "shm";
	add_stats(&info.fetch, it->fetch);
	add_stats(&info.fetch, it->next_fetch);
	info.reader = it->read;
	add_reader_stats(&info.reader, it->reader);
	return info;
}
