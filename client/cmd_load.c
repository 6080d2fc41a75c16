/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Cmd_load - many changes at once: vectors, keys and values, or edges from a file
 *
 * Changes go in transactions of --batch, each as durable as --durability says; all of them are when
 * the command ends with status 0. One that is cut short leaves whole transactions, and says how far
 * it came.
 */

#include "base/clock.h"
#include "client/cmd.h"
#include "client/cmd_store.h"
#include "client/cmd_vectors.h"
#include "cluster/vectors.h"
#include "engine/changes.h"
#include "hnsw/convert.h"
#include "hnsw/dist.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const char about[] =
	"Loads vectors (--base), lines of KEY, tab, VALUE (--pairs) or lines of SOURCE and TARGET\n"
	"(--edges) into the store in DIR, which is made if there is none. A vector's label is its "
	"row\n"
	"in the file, its payload the same line of --payloads. An edge that is there already is "
	"passed over. Files may be '-' for standard "
	"input,\n"
	"except vectors. While it runs, a batch that is committed survives a power cut at once\n"
	"(--durability sync), within --group-ms (group), or when the log is synced next (none).\n";

struct load {
	const char *folder, *base, *collection, *metric, *type, *payloads, *pairs, *graph,
		*durability_name;
	uint64_t batch, first, group_ms;
	enum store_durability durability;
	bool json;
	struct cmd_store store;
	struct edge_key *edges; /* read, and not yet staged; owned */
	uint64_t edge_count;
	uint64_t staged; /* in the transaction under way */
	uint64_t count;  /* loaded */
	uint64_t passed; /* over */
	uint64_t began_ns;
};

static int end_batch(struct load *load)
{
	if (load->staged == 0)
		return CMD_DONE;

	int status = cmd_store_commit_some(&load->store, load->durability);
	if (status != CMD_DONE)
		return status;
	load->count += load->staged;
	load->staged = 0;
	return CMD_DONE;
}

/* What a staged change returned. A transaction that is full is committed by the caller, which
 * stages the change again. */
static int note_staged(struct load *load, int r, const char *what, uint64_t number)
{
	char where[64];

	if (r == 0) {
		load->staged++;
		return load->staged >= load->batch ? end_batch(load) : CMD_DONE;
	}
	snprintf(where, sizeof(where), "%s %" PRIu64, what, number);
	return cmd_store_fail(&load->store, where, r);
}

/* Rows as they go: the file's, converted, and a line of the other file. */
struct row_source {
	const struct cmd_vectors *vectors;
	struct vectors_schema schema;
	FILE *payloads; /* or NULL */
	char *line;     /* owned */
	size_t capacity;
	uint8_t *row; /* owned */
};

static int next_payload(const struct load *load, struct row_source *rows, uint32_t number,
			struct entry_bytes *ret_payload)
{
	ssize_t length;

	*ret_payload = (struct entry_bytes){0};
	if (rows->payloads == NULL)
		return CMD_DONE;
	length = getline(&rows->line, &rows->capacity, rows->payloads);
	if (length < 0)
		return cmd_fail("%s has %u lines, %s %u vectors: a payload is a line",
				load->payloads, number, load->base, rows->vectors->count);
	length -= rows->line[length - 1] == '\n';
	if (length > VECTORS_PAYLOAD_MAX)
		return cmd_fail("%s: line %u has more than %u bytes, which is a payload's limit",
				load->payloads, number + 1, VECTORS_PAYLOAD_MAX);
	*ret_payload = (struct entry_bytes){(const uint8_t *)rows->line, (uint32_t)length};
	return CMD_DONE;
}

static int load_vector(struct load *load, struct row_source *rows, uint32_t number)
{
	const struct vectors_schema *schema = &rows->schema;
	struct store_vector vector = {
		.key = {.collection = {.bytes = (const uint8_t *)load->collection,
				       .size = (uint32_t)strlen(load->collection)},
			.label = load->first + number},
		.element_type = (uint8_t)schema->type,
		.vector = {.bytes = rows->row,
			   .size = (uint32_t)vector_type_size(schema->type, schema->dim)},
	};
	int status = next_payload(load, rows, number, &vector.payload);
	if (status != CMD_DONE)
		return status;

	convert_row(schema->type, rows->vectors->rows + (size_t)number * rows->vectors->dim,
		    schema->dim, rows->row);
	int r = store_vector_put(load->store.store, &vector);
	if (r == STORE_E_SIZE && load->staged > 0) {
		status = end_batch(load);
		if (status != CMD_DONE)
			return status;
		r = store_vector_put(load->store.store, &vector);
	}
	return note_staged(load, r, "vector", number);
}

/* A collection that is there says what isn't asked for. */
static void take_schema(struct load *load)
{
	struct entry_bytes name = {.bytes = (const uint8_t *)load->collection,
				   .size = (uint32_t)strlen(load->collection)};
	struct vectors_schema there;

	if (vectors_schema_get(load->store.store, name, &there) == 0) {
		if (load->metric == NULL)
			load->metric = metric_name(there.metric);
		if (load->type == NULL)
			load->type = vector_type_name(there.type);
	} else if (load->metric == NULL) {
		load->metric = metric_name(METRIC_L2);
	}
}

static int make_collection(struct load *load, const struct vectors_schema *schema)
{
	struct entry_bytes name = {.bytes = (const uint8_t *)load->collection,
				   .size = (uint32_t)strlen(load->collection)};

	switch (vectors_create(load->store.store, name, schema)) {
	case 0:
		return CMD_DONE;
	case VECTORS_E_EXISTS:
		return cmd_fail("%s: collection %s has vectors of another dimension, metric or "
				"type; choose another name",
				load->folder, load->collection);
	case VECTORS_E_INVALID:
		return cmd_usage("a collection's name has 1 to 255 characters");
	default:
		return cmd_fail(
			"%s: collection %s could not be made; 'tern verify' shows what is wrong",
			load->folder, load->collection);
	}
}

static int load_rows(struct load *load, struct row_source *rows)
{
	uint32_t count = rows->vectors->count;
	int status = CMD_DONE;

	rows->row = malloc(dist_row_size(rows->schema.type, rows->schema.dim));
	if (rows->row == NULL)
		return cmd_fail("no memory for a vector of %u values", rows->schema.dim);
	if (load->payloads != NULL && (rows->payloads = fopen(load->payloads, "re")) == NULL)
		status = cmd_fail("%s: %s", load->payloads, strerror(errno));
	for (uint32_t i = 0; i < count && status == CMD_DONE; i++) {
		status = load_vector(load, rows, i);
		cmd_progress("loading", i + 1, count);
	}
	if (rows->payloads != NULL)
		fclose(rows->payloads);
	free(rows->line);
	free(rows->row);
	return status;
}

static int load_vectors(struct load *load)
{
	struct cmd_vectors vectors;
	struct cmd_storage storage;
	enum metric metric;
	take_schema(load);
	if (!cmd_metric(load->metric, &metric))
		return CMD_USAGE;
	int status = cmd_vectors_open(load->base, "train", &vectors);
	if (status != CMD_DONE)
		return status;

	status = cmd_storage(load->type, "auto", metric, &vectors, &storage);
	if (status == CMD_DONE && load->first + vectors.count - 1 > UINT32_MAX - 1)
		status = cmd_usage("labels from %" PRIu64 " on are beyond 32 bits", load->first);
	struct row_source rows = {
		.vectors = &vectors,
		.schema = {.dim = vectors.dim, .metric = metric, .type = storage.type},
	};
	if (status == CMD_DONE)
		status = make_collection(load, &rows.schema);
	if (status == CMD_DONE)
		status = load_rows(load, &rows);
	cmd_vectors_close(&vectors);
	return status;
}

static int stage_pair(struct load *load, char *line, size_t length, uint64_t number)
{
	char *tab = memchr(line, '\t', length);
	if (tab == NULL)
		return cmd_fail("%s: line %" PRIu64 " has no tab between key and value",
				load->pairs, number);

	struct store_put put = {
		.key = {.bytes = (const uint8_t *)line, .size = (uint32_t)(tab - line)},
		.value = {.bytes = (const uint8_t *)tab + 1,
			  .size = (uint32_t)(length - (size_t)(tab - line) - 1)},
	};
	int r = store_put(load->store.store, &put);
	if (r == STORE_E_SIZE && load->staged > 0) {
		int status = end_batch(load);
		if (status != CMD_DONE)
			return status;
		r = store_put(load->store.store, &put);
	}
	return note_staged(load, r, "line", number);
}

/* Stages and commits them. Unless 0 they are to be rolled back. */
static int try_edges(struct load *load, const struct edge_key *edges, uint64_t count,
		     uint64_t *ret_passed)
{
	uint64_t passed = 0;
	uint64_t lsn;

	for (uint64_t i = 0; i < count; i++) {
		int r = store_edge_add(load->store.store, edges[i]);
		if (r != 0 && r != STORE_E_EXISTS)
			return r;
		passed += r == STORE_E_EXISTS;
	}
	*ret_passed = passed;
	return cmd_store_try_commit(&load->store, load->durability, &lsn);
}

/*
 * How many pages a transaction changes is known when it is staged. One that changes too many is
 * done in halves, with all pages of before free to be written.
 */
static int load_edges(struct load *load, const struct edge_key *edges, uint64_t count, bool again)
{
	uint64_t passed;
	int r = try_edges(load, edges, count, &passed);
	if (r == 0) {
		load->count += count - passed;
		load->passed += passed;
		return cmd_store_commit_some(&load->store, load->durability);
	}
	store_rollback(load->store.store);
	if ((r != STORE_E_SIZE && r != STORE_E_BUSY) || (count == 1 && again))
		return cmd_store_fail(&load->store, "edges", r);

	r = store_sync(load->store.store);
	if (r != 0)
		return cmd_store_fail(&load->store, "syncing the log", r);
	if (count == 1)
		return load_edges(load, edges, count, /* again= */ true);
	int status = load_edges(load, edges, count / 2, /* again= */ false);
	if (status != CMD_DONE)
		return status;
	return load_edges(load, edges + count / 2, count - count / 2, /* again= */ false);
}

static int end_edges(struct load *load)
{
	uint64_t count = load->edge_count;

	load->edge_count = 0;
	return count == 0 ? CMD_DONE : load_edges(load, load->edges, count, /* again= */ false);
}

static int take_edge(struct load *load, char *line, size_t length, uint64_t number)
{
	if (!cmd_edge(line, length, &load->edges[load->edge_count]))
		return cmd_fail("%s: line %" PRIu64 " isn't two whole numbers", load->graph,
				number);
	return ++load->edge_count < load->batch ? CMD_DONE : end_edges(load);
}

/* Bytes of a regular file, else 0. */
static uint64_t size_of(FILE *file)
{
	struct stat status;

	return fstat(fileno(file), &status) == 0 && S_ISREG(status.st_mode)
		       ? (uint64_t)status.st_size
		       : 0;
}

/* Nothing polls the store while a line is waited for, so a group's time is waited for before. Lines
 * that stdio has are not seen: then a group ends early. */
static int wait_for_line(struct load *load, FILE *file)
{
	struct store_stats stats = store_stats(load->store.store);
	struct pollfd ready = {.fd = fileno(file), .events = POLLIN};

	if (load->durability != STORE_GROUP || stats.durable == stats.lsn)
		return CMD_DONE;
	return poll(&ready, 1, (int)load->group_ms) == 0 ? cmd_store_sync(&load->store) : CMD_DONE;
}

typedef int (*stage_fn)(struct load *load, char *line, size_t length, uint64_t number);

static int load_lines(struct load *load, const char *path, stage_fn stage)
{
	FILE *file = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
	if (file == NULL)
		return cmd_fail("%s: %s", path, strerror(errno));

	uint64_t size = size_of(file);
	uint64_t done = 0;
	uint64_t number = 0;
	int status = CMD_DONE;
	char *line = NULL;
	size_t capacity = 0;
	ssize_t length;
	while (status == CMD_DONE && (status = wait_for_line(load, file)) == CMD_DONE &&
	       (length = getline(&line, &capacity, file)) >= 0) {
		done += (uint64_t)length;
		if (length > 0 && line[length - 1] == '\n')
			line[--length] = '\0';
		status = stage(load, line, (size_t)length, ++number);
		if (size > 0)
			cmd_progress("loading", done, size);
	}
	if (status == CMD_DONE && ferror(file))
		status = cmd_fail("%s: %s", path, strerror(errno));
	free(line);
	if (file != stdin)
		fclose(file);
	return status;
}

static int load_graph(struct load *load)
{
	struct edge_key *edges = calloc(load->batch, sizeof(*edges));
	if (edges == NULL)
		return cmd_fail("no memory for %" PRIu64 " edges", load->batch);

	load->edges = edges;
	int status = load_lines(load, load->graph, take_edge);
	if (status == CMD_DONE)
		status = end_edges(load);
	free(edges);
	return status;
}

static int load_all(struct load *load)
{
	int status;

	if (load->base != NULL)
		status = load_vectors(load);
	else if (load->pairs != NULL)
		status = load_lines(load, load->pairs, stage_pair);
	else
		status = load_graph(load);
	if (status == CMD_DONE)
		status = end_batch(load);
	if (status != CMD_DONE && load->count > 0)
		fprintf(stderr, "tern: %s: %" PRIu64 " changes before that are loaded\n",
			load->folder, load->count);
	return status;
}

static void tell(const struct load *load, uint64_t lsn)
{
	double seconds = (double)(clock_now_ns() - load->began_ns) / 1e9;

	if (load->json)
		printf("{\"event\": \"load\", \"count\": %" PRIu64 ", \"passed_over\": %" PRIu64
		       ", \"lsn\": %" PRIu64 ", \"seconds\": %.3f}\n",
		       load->count, load->passed, lsn, seconds);
	else
		printf("%" PRIu64 " loaded, %" PRIu64 " passed over, in %.1f s; change %" PRIu64
		       "\n",
		       load->count, load->passed, seconds, lsn);
}

static bool read_durability(struct load *load)
{
	static const char *const names[] = {
		[STORE_SYNC] = "sync", [STORE_GROUP] = "group", [STORE_NONE] = "none"};

	for (size_t i = 0; i < ARRAY_COUNT(names); i++)
		if (strcmp(load->durability_name, names[i]) == 0) {
			load->durability = (enum store_durability)i;
			return true;
		}
	(void)cmd_usage("--durability is sync, group or none, not '%s'", load->durability_name);
	return false;
}

int cmd_load(int argc, char **argv)
{
	struct load load = {
		.batch = 1000,
		.group_ms = 2,
		.durability_name = "none",
		.began_ns = clock_now_ns(),
	};
	const struct cmd_option options[] = {
		{"DIR", NULL, "the store's folder", .text = &load.folder, .positional = true,
		 .required = true},
		{"base", "FILE", "vectors", .text = &load.base},
		{"collection", "NAME", "the collection they belong to", .text = &load.collection},
		{"metric", "NAME", "l2, cosine or ip (what the collection has, else l2)",
		 .text = &load.metric},
		{"type", "TYPE", "what it stores (what the collection has, else what the file has)",
		 .text = &load.type},
		{"first", "N", "the label of row 0 (0)", .number = &load.first,
		 .max = UINT32_MAX - 1},
		{"payloads", "FILE", "lines: what goes with each vector, up to 65536 bytes",
		 .text = &load.payloads},
		{"pairs", "FILE", "lines of a key, a tab and a value", .text = &load.pairs},
		{"edges", "FILE", "lines of two node ids", .text = &load.graph},
		{"batch", "N", "changes of a transaction (1000)", .number = &load.batch, .min = 1,
		 .max = CHANGES_COUNT_MAX},
		{"durability", "NAME", "of each transaction: sync, group or none (none)",
		 .text = &load.durability_name},
		{"group-ms", "MS", "a group's time, milliseconds (2)", .number = &load.group_ms,
		 .min = 1, .max = 60000},
		{"json", NULL, "print one JSON object", .flag = &load.json},
	};
	int status;

	if (!cmd_options("load", about, options, ARRAY_COUNT(options), argc, argv, &status))
		return status;
	if ((load.base != NULL) + (load.pairs != NULL) + (load.graph != NULL) != 1)
		return cmd_usage("load takes one of --base, --pairs and --edges");
	if (load.base != NULL && load.collection == NULL)
		return cmd_usage("load --base takes a --collection");
	if (load.base == NULL && load.payloads != NULL)
		return cmd_usage("--payloads goes with --base");
	if (!read_durability(&load))
		return CMD_USAGE;
	status = cmd_store_make(load.folder, load.group_ms * UINT64_C(1000000), &load.store);
	if (status != CMD_DONE)
		return status;

	status = load_all(&load);
	store_rollback(load.store.store);
	uint64_t lsn = store_stats(load.store.store).lsn;
	status = cmd_store_close(&load.store, status);
	if (status == CMD_DONE)
		tell(&load, lsn);
	return status;
}
