/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Sys client - asks a node everything and compares with a search in process
 *
 * A second process for the system tests, on the session layer and a port and
 * nothing above them. Every query goes to every shard of the manifest; an answer
 * is right when its hits, their order and their distances are bit for bit what
 * the same search over the same segment file gives here. What may be sent again
 * (proto/status.h), and what a lost session left open, is asked again with
 * --retry; else it is counted.
 *
 *      sys_client --config CLIENT.yaml --data FOLDER --queries FILE --to ADDRESS
 *                 [--ef N] [--k N] [--window N] [--rounds N] [--retry] [--timeout SECONDS] [--first
 * N] [--all]
 *
 * With --ef 0 the node chooses by its search.recall_target, which is the same in CLIENT.yaml.
 *
 * With --all each query goes to the node once, for all shards, and its answer is
 * right when it is the merged answer of all of them.
 *
 * The last line is one JSON object. Exit status 0 when every answer was right.
 */

#include "base/clock.h"
#include "base/defs.h"
#include "base/log.h"
#include "cluster/gather.h"
#include "cluster/manifest.h"
#include "config/config.h"
#include "dataplane/coordinator.h"
#include "dataplane/node.h"
#include "hnsw/search.h"
#include "proto/envelope.h"
#include "proto/message.h"
#include "proto/payload_vector.h"
#include "proto/session.h"
#include "proto/status.h"
#include "tests/lib/dataset.h"

#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { WINDOW_MAX = 32, NODE_CORE_MAX = 64, ANSWER_SIZE = 512 * 1024, REQUEST_SIZE = 32 * 1024 };

/* How long to wait before a node that refused or went away is asked again. */
#define RETRY_NS (20 * NS_PER_MS)

struct options {
	const char *config;
	const char *data;
	const char *queries;
	struct addr to;
	uint32_t ef;
	uint32_t k;
	uint32_t window;
	uint32_t rounds;
	uint32_t first; /* only so many queries; 0: all */
	uint64_t timeout_ns;
	bool retry;
	bool all;
};

/* One question: a query to a shard. */
struct task {
	uint32_t query;
	uint32_t shard;
	uint64_t not_before_ns;
};

/* A place for one question under way. */
struct place {
	struct task task;
	bool used;
	uint16_t udp_port; /* whom it was sent to */
	uint8_t *request;
	uint8_t *answer;
};

struct peer {
	uint16_t udp_port;
	struct session *session;
};

struct totals {
	uint64_t asked;
	uint64_t right;
	uint64_t wrong;
	uint64_t retried;
	uint64_t failed;
};

static struct options options;
static struct config config;
static struct manifest manifest;
static struct dataset_vectors queries;
static struct segment segments[MANIFEST_SHARD_MAX];
static uint16_t shard_ports[MANIFEST_SHARD_MAX];
static struct peer peers[NODE_CORE_MAX];
static struct place places[WINDOW_MAX];
static struct node node; /* its port, and the environment layer beneath it */
static struct endpoint *endpoint;
static struct port_queue *queue;
static struct search *search;
static struct task *tasks; /* a ring of all that has to be asked */
static uint32_t task_head, task_count, task_capacity;
static struct totals totals;
static struct gather_hit expected[MANIFEST_SHARD_MAX * 16];
static struct search_hit found[VECTOR_TOP_K_MAX];
static struct vector_hit hits[VECTOR_TOP_K_MAX];

static _Noreturn void PRINTF_LIKE(1, 2) die(const char *format, ...)
{
	va_list list;

	va_start(list, format);
	fputs("sys_client: ", stderr);
	vfprintf(stderr, format, list);
	fputc('\n', stderr);
	va_end(list);
	exit(1);
}

/* --- set-up --- */

static void send_frame(void *context, const struct addr *to, const void *head, size_t head_size,
		       const void *body, size_t body_size)
{
	port_send(context, to, head, head_size, body, body_size);
}

static const struct session_ops session_ops = {.send = send_frame};

static void open_data(void)
{
	struct segment_open_options memory = {.numa_node = -1};
	struct search_limits limits = {1, 1,
				       MAX(options.ef ? options.ef : SEARCH_EF_MAX, options.k)};
	char path[4096];
	char error[512];

	if (manifest_load(options.data, &manifest, error, sizeof(error)))
		die("%s", error);
	for (uint32_t i = 0; i < manifest.shard_count; i++) {
		snprintf(path, sizeof(path), "%s/%s", options.data, manifest.shards[i].segment);
		if (segment_open(path, &memory, &segments[i], error, sizeof(error)))
			die("%s: %s", path, error);
		limits.node_max = MAX(limits.node_max, segments[i].count);
		limits.dim_max = MAX(limits.dim_max, segments[i].dim);
		shard_ports[i] = options.to.port;
	}
	if (search_new(&limits, &search))
		die("no memory for a search");
	if (dataset_read(options.queries, &queries) || queries.dim != manifest.dim)
		die("%s: no queries of the collection's dimension", options.queries);
	if (options.first)
		queries.count = MIN(queries.count, options.first);
}

static void open_port(void)
{
	char error[NODE_ERROR_MAX];
	struct endpoint_config endpoint_config = {
		.session_count = NODE_CORE_MAX,
		.message_size_max = 1 << 20,
		.large_count = 2 * WINDOW_MAX,
		.secret = config.secret_loaded ? config.secret : NULL,
		.keepalive_ns = config.session.keepalive_ns,
		.lost_ns = config.session.lost_ns,
	};

	if (config_load(options.config, &config, error, sizeof(error)))
		die("%s", error);
	log_init(config.log_level, STDERR_FILENO);
	if (node_open(&config, &node, error, sizeof(error)))
		die("%s", error);
	if (config.secret_loaded)
		endpoint_config.secret = config.secret;
	queue = port_queue(node.port, 0);
	endpoint_config.frame_size = queue->frame_size;
	if (endpoint_new(&endpoint_config, &session_ops, queue, &endpoint))
		die("no memory for an endpoint");
	for (unsigned i = 0; i < options.window; i++) {
		places[i].request = malloc(REQUEST_SIZE);
		places[i].answer = malloc(ANSWER_SIZE);
		if (!places[i].request || !places[i].answer)
			die("no memory");
	}
}

/* --- tasks --- */

static void task_put(struct task task)
{
	tasks[(task_head + task_count++) % task_capacity] = task;
}

static void plan_tasks(void)
{
	uint32_t shard_count = options.all ? 1 : manifest.shard_count;

	task_capacity = queries.count * shard_count * options.rounds;
	tasks = calloc(task_capacity, sizeof(*tasks));
	if (!tasks)
		die("no memory");
	for (uint32_t round = 0; round < options.rounds; round++)
		for (uint32_t query = 0; query < queries.count; query++)
			for (uint32_t shard = 0; shard < shard_count; shard++)
				task_put((struct task){.query = query, .shard = shard});
}

static void task_again(struct task task, uint64_t now_ns, uint64_t wait_ns)
{
	totals.retried++;
	task.not_before_ns = now_ns + wait_ns;
	task_put(task);
}

/* --- asking --- */

static struct session *session_to(uint16_t udp_port, uint64_t now_ns)
{
	struct addr to = options.to;
	struct peer *peer = peers;

	while (peer < peers + NODE_CORE_MAX && peer->session && peer->udp_port != udp_port)
		peer++;
	if (peer == peers + NODE_CORE_MAX)
		die("the node has more cores than this client knows");
	if (peer->session && !session_is_open(peer->session)) {
		session_close(peer->session, now_ns);
		peer->session = NULL;
	}
	if (!peer->session) {
		to.port = udp_port;
		peer->udp_port = udp_port;
		if (endpoint_connect(endpoint, &to, now_ns, &peer->session))
			return NULL;
	}
	return peer->session;
}

static uint32_t vshard_of(const struct task *task)
{
	return options.all ? COORDINATOR_VSHARD : manifest.shards[task->shard].vshard;
}

static size_t request_encode(const struct task *task, uint8_t *to)
{
	struct vector_scatter scatter = {
		.collection = {manifest.collection, (uint32_t)strlen(manifest.collection)},
		.vector = queries.values + (size_t)task->query * queries.dim,
		.dim = queries.dim,
		.top_k = options.k,
		.ef_search = options.ef,
	};
	size_t size =
		vector_scatter_encode(&scatter, to + ENVELOPE_SIZE, REQUEST_SIZE - ENVELOPE_SIZE);
	struct envelope envelope = {
		.type = MESSAGE_VECTOR_SCATTER_REQUEST,
		.vshard = vshard_of(task),
		.payload_size = (uint32_t)size,
	};

	if (!size)
		die("a query does not fit");
	envelope_encode_header(&envelope, to);
	return ENVELOPE_SIZE + size;
}

static bool ask_next(struct place *place, uint64_t now_ns)
{
	struct task task = tasks[task_head % task_capacity];
	struct session *session;
	struct session_call call;

	if (!task_count || task.not_before_ns > now_ns)
		return false;
	session = session_to(shard_ports[task.shard], now_ns);
	if (!session)
		return false;
	call = (struct session_call){
		.bytes = place->request,
		.size = (uint32_t)request_encode(&task, place->request),
		.answer = place->answer,
		.answer_capacity = ANSWER_SIZE,
		.deadline_ns = UINT64_MAX,
		.tag = (uint64_t)(place - places),
	};
	if (session_call(session, &call, now_ns))
		return false;
	task_head = (task_head + 1) % task_capacity;
	task_count--;
	place->task = task;
	place->udp_port = shard_ports[task.shard];
	place->used = true;
	totals.asked++;
	return true;
}

/* --- judging --- */

/* What the shard answers, behind what is in 'expected'. */
static unsigned expect_shard(uint32_t query, uint32_t shard, unsigned count)
{
	struct search_params params = {.k = options.k, .ef = options.ef};
	unsigned more;

	if (!params.ef)
		params.ef =
			segment_ef(&segments[shard], segment_recalls[config.search.recall_target]);
	search_begin(search, &segments[shard], queries.values + (size_t)query * queries.dim,
		     &params);
	search_burst(&search, 1);
	more = search_hits(search, found, options.k);
	if (count + more > ARRAY_COUNT(expected))
		die("too many hits to compare; ask with a smaller --k");
	for (unsigned i = 0; i < more; i++)
		expected[count + i] = (struct gather_hit){
			.distance = found[i].distance,
			.vector_id = found[i].label,
			.vshard = manifest.shards[shard].vshard,
		};
	return count + more;
}

static int hit_order(const void *a, const void *b)
{
	const struct gather_hit *x = a;
	const struct gather_hit *y = b;

	if (x->distance != y->distance)
		return x->distance < y->distance ? -1 : 1;
	return x->vector_id < y->vector_id ? -1 : x->vector_id > y->vector_id;
}

static unsigned expect(const struct task *task)
{
	unsigned count = 0;

	if (!options.all)
		return expect_shard(task->query, task->shard, 0);
	for (uint32_t shard = 0; shard < manifest.shard_count; shard++)
		count = expect_shard(task->query, shard, count);
	qsort(expected, count, sizeof(expected[0]), hit_order);
	return MIN(count, options.k);
}

static bool answer_right(const struct place *place, uint32_t size)
{
	struct vector_answer answer;
	struct envelope envelope;
	unsigned count;

	if (envelope_decode(place->answer, size, &envelope) ||
	    envelope.type != MESSAGE_VECTOR_SCATTER_RESPONSE ||
	    vector_answer_decode(envelope.payload, envelope.payload_size, hits, VECTOR_TOP_K_MAX,
				 &answer))
		return false;
	count = expect(&place->task);
	if (!answer.success || answer.has_error || answer.hit_count != count ||
	    answer.shard_id != vshard_of(&place->task))
		return false;
	for (unsigned i = 0; i < count; i++)
		if (answer.hits[i].vector_id != expected[i].vector_id ||
		    answer.hits[i].shard_id != expected[i].vshard ||
		    memcmp(&answer.hits[i].distance, &expected[i].distance, sizeof(float)) != 0)
			return false;
	return true;
}

static void answered(const struct session_answer *answer, uint64_t now_ns)
{
	struct place *place = &places[answer->tag];
	struct task task = place->task;

	place->used = false;
	switch (answer->status) {
	case STATUS_OK:
		if (answer_right(place, answer->size))
			totals.right++;
		else
			totals.wrong++;
		return;
	case STATUS_SHARD_ELSEWHERE:
		shard_ports[task.shard] = (uint16_t)answer->hint;
		task_again(task, now_ns, 0);
		return;
	default:
		break;
	}
	if (options.retry &&
	    (status_retry(answer->status) || answer->status == STATUS_SESSION_LOST)) {
		task_again(task, now_ns,
			   answer->status == STATUS_OVERLOADED ? answer->hint * NS_PER_US
							       : RETRY_NS);
		return;
	}
	if (!totals.failed++)
		fprintf(stderr, "sys_client: query %u, shard %u: %s\n", task.query, task.shard,
			status_text(answer->status));
}

static void receive(uint64_t now_ns)
{
	struct port_frame frames[PORT_BURST_MAX];
	unsigned count;

	while ((count = port_receive(queue, frames, PORT_BURST_MAX))) {
		for (unsigned i = 0; i < count; i++)
			endpoint_input(endpoint, &frames[i].from, frames[i].bytes, frames[i].size,
				       now_ns);
		port_release(queue, frames, count);
	}
}

static void turn(uint64_t now_ns)
{
	struct session_answer answers[WINDOW_MAX];
	unsigned count;

	receive(now_ns);
	endpoint_tick(endpoint, now_ns);
	count = endpoint_take_answers(endpoint, answers, WINDOW_MAX);
	for (unsigned i = 0; i < count; i++)
		answered(&answers[i], now_ns);
	for (unsigned i = 0; i < options.window; i++)
		if (!places[i].used && !ask_next(&places[i], now_ns))
			break;
	port_flush(queue);
}

static bool under_way(void)
{
	for (unsigned i = 0; i < options.window; i++)
		if (places[i].used)
			return true;
	return task_count > 0;
}

static void run(void)
{
	uint64_t end_ns = clock_now_ns() + options.timeout_ns;

	while (under_way()) {
		uint64_t now_ns = clock_now_ns();

		if (now_ns > end_ns)
			die("not done in time: %u to ask, %llu right so far", task_count,
			    (unsigned long long)totals.right);
		turn(now_ns);
	}
}

static void close_all(void)
{
	uint64_t now_ns = clock_now_ns();

	for (unsigned i = 0; i < NODE_CORE_MAX; i++)
		if (peers[i].session)
			session_close(peers[i].session, now_ns);
	port_flush(queue);
	endpoint_free(endpoint);
	node_close(&node);
	for (unsigned i = 0; i < options.window; i++) {
		free(places[i].request);
		free(places[i].answer);
	}
	for (uint32_t i = 0; i < manifest.shard_count; i++)
		segment_close(&segments[i]);
	search_free(search);
	manifest_deinit(&manifest);
	free(queries.values);
	free(tasks);
	config_deinit(&config);
}

/* --- options --- */

static uint32_t number(const char *text)
{
	char *end;
	unsigned long value = strtoul(text, &end, 10);

	if (*end || !*text || value > UINT32_MAX)
		die("\"%s\" is no number", text);
	return (uint32_t)value;
}

static void read_options(int argc, char **argv)
{
	static const struct option names[] = {
		{"config", required_argument, NULL, 'c'},
		{"data", required_argument, NULL, 'd'},
		{"queries", required_argument, NULL, 'q'},
		{"to", required_argument, NULL, 't'},
		{"ef", required_argument, NULL, 'e'},
		{"k", required_argument, NULL, 'k'},
		{"window", required_argument, NULL, 'w'},
		{"rounds", required_argument, NULL, 'r'},
		{"first", required_argument, NULL, 'f'},
		{"all", no_argument, NULL, 'a'},
		{"retry", no_argument, NULL, 'y'},
		{"timeout", required_argument, NULL, 'o'},
		{0},
	};
	int option;

	options = (struct options){
		.ef = 64, .k = 10, .window = 8, .rounds = 1, .timeout_ns = 60 * NS_PER_S};
	while ((option = getopt_long(argc, argv, "", names, NULL)) != -1) {
		switch (option) {
		case 'c':
			options.config = optarg;
			break;
		case 'd':
			options.data = optarg;
			break;
		case 'q':
			options.queries = optarg;
			break;
		case 't':
			if (addr_parse(optarg, 7400, &options.to))
				die("\"%s\" is no address", optarg);
			break;
		case 'e':
			options.ef = number(optarg);
			break;
		case 'k':
			options.k = number(optarg);
			break;
		case 'w':
			options.window = MIN(MAX(number(optarg), 1u), (uint32_t)WINDOW_MAX);
			break;
		case 'r':
			options.rounds = number(optarg);
			break;
		case 'f':
			options.first = number(optarg);
			break;
		case 'a':
			options.all = true;
			break;
		case 'y':
			options.retry = true;
			break;
		case 'o':
			options.timeout_ns = number(optarg) * NS_PER_S;
			break;
		default:
			die("unknown option");
		}
	}
	if (!options.config || !options.data || !options.queries || !options.to.port)
		die("--config, --data, --queries and --to are needed");
	if (!options.k || options.k > VECTOR_TOP_K_MAX || options.ef > SEARCH_EF_MAX)
		die("--k or --ef is out of range");
}

int main(int argc, char **argv)
{
	read_options(argc, argv);
	open_data();
	open_port();
	plan_tasks();
	printf("asking\n");
	fflush(stdout);
	run();
	printf("{\"asked\":%llu,\"right\":%llu,\"wrong\":%llu,\"retried\":%llu,\"failed\":%llu}\n",
	       (unsigned long long)totals.asked, (unsigned long long)totals.right,
	       (unsigned long long)totals.wrong, (unsigned long long)totals.retried,
	       (unsigned long long)totals.failed);
	close_all();
	return totals.wrong || totals.failed || !totals.right;
}
