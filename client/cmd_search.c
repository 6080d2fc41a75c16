/* SPDX-License-Identifier: Apache-2.0 */

/* Cmd_search - the neighbours of vectors in a store's collection, with no node */

#include "base/clock.h"
#include "client/cmd.h"
#include "client/cmd_store.h"
#include "client/cmd_vectors.h"
#include "client/bytes_json.h"
#include "cluster/vectors.h"
#include "engine/io.h"
#include "hnsw/live_search.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static const char about[] = "Asks for the neighbours of each vector of a file among a collection's "
			    "in the store in DIR. The\n"
			    "index is read if one was saved (--save) and brought up to date by the "
			    "change feed, else it is\n"
			    "built anew.\n";

#define K_MAX  1000
#define EF_MAX 65536

struct search_request {
	const char *folder, *collection, *query;
	uint64_t k, ef, threads;
	bool payloads, save, json;
};

/* A hit's payload as it is now, which the search may not have seen: none if the vector is gone. */
static int payload_of(const struct search_request *request, struct cmd_store *store, uint32_t label,
		      struct entry_bytes *ret_payload)
{
	const struct vector_key vector = {.collection = {(const uint8_t *)request->collection,
							 (uint32_t)strlen(request->collection)},
					  .label = label};
	uint8_t bytes[KEYS_VECTOR_MAX];
	struct entry_bytes key = {.bytes = bytes, .size = keys_vector(vector, bytes)};
	struct vector_value value;
	struct entry entry;
	int r = kv_get(store_kv(store->store), key, 0, 0, &entry);

	*ret_payload = (struct entry_bytes){0};
	if (r == KV_E_ABSENT)
		return CMD_DONE;
	if (r != 0)
		return cmd_store_fail(store, "reading a payload", r < 0 ? r : STORE_E_CORRUPT);
	if (keys_vector_value_read(entry.value, &value))
		*ret_payload = value.payload;
	return CMD_DONE;
}

static int print_hit(const struct search_request *request, struct cmd_store *store,
		     const struct search_hit *hit, json_t *hits)
{
	json_t *object = json_pack("{s:I, s:f}", "id", (json_int_t)hit->label, "distance",
				   (double)hit->distance);
	struct entry_bytes payload = {0};
	int status = CMD_DONE;

	if (request->payloads)
		status = payload_of(request, store, hit->label, &payload);
	if (request->json) {
		if (request->payloads)
			bytes_json_set(object, "payload", payload);
		json_array_append(hits, object);
	} else if (status == CMD_DONE) {
		printf("  %10u  %.6g%s", hit->label, (double)hit->distance,
		       request->payloads ? "  " : "");
		cmd_print_bytes(stdout, payload);
		putchar('\n');
	}
	json_decref(object);
	return status;
}

static int print_hits(const struct search_request *request, struct cmd_store *store, uint32_t query,
		      const struct search_hit *hits, unsigned count)
{
	json_t *array = json_array();
	int status = CMD_DONE;

	if (!request->json)
		printf("query %u\n", query);
	for (unsigned i = 0; i < count && status == CMD_DONE; i++)
		status = print_hit(request, store, &hits[i], array);
	if (request->json && status == CMD_DONE)
		cmd_json(json_pack("{s:s, s:I, s:O}", "event", "result", "query", (json_int_t)query,
				   "hits", array));
	json_decref(array);
	return status;
}

static int ask_all(const struct search_request *request, struct cmd_store *store,
		   struct vectors *vectors, const struct cmd_vectors *queries)
{
	struct search_params params = {.k = (uint32_t)request->k, .ef = (uint32_t)request->ef};
	struct search_hit *hits = calloc(request->k, sizeof(*hits));
	struct live_search *search = NULL;
	int status = CMD_DONE;
	if (hits == NULL || live_search_new(vectors_live(vectors), EF_MAX, &search) != 0) {
		free(hits);
		return cmd_fail("no memory for a search");
	}

	uint64_t began_ns = clock_now_ns();
	for (uint32_t i = 0; i < queries->count && status == CMD_DONE; i++) {
		live_search_begin(search, queries->rows + (size_t)i * queries->dim, &params);
		while (!live_search_step(search)) {
		}
		status = print_hits(request, store, i, hits,
				    live_search_hits(search, hits, (unsigned)request->k));
	}
	fprintf(stderr, "tern: %u queries in %.3f s\n", queries->count,
		(double)(clock_now_ns() - began_ns) / 1e9);
	live_search_free(search);
	free(hits);
	return status;
}

static void show_reading(void *context, uint64_t done)
{
	const uint64_t *total = context;

	cmd_progress("indexing", done < *total ? done : *total - 1, *total);
}

/* Opens the collection's index, and asks it. */
static int search_store(const struct search_request *request, struct cmd_store *store,
			const struct cmd_vectors *queries, struct io *scratch)
{
	struct vectors_options options = {
		.name = {.bytes = (const uint8_t *)request->collection,
			 .size = (uint32_t)strlen(request->collection)},
		.folder = request->folder,
		.threads = (uint32_t)request->threads,
		.scratch = scratch,
	};
	struct vectors *vectors;
	uint64_t changes = store_stats(store->store).lsn + 1;
	char error[256] = "";
	int r = vectors_open(store->store, &options, show_reading, &changes, &vectors, error,
			     sizeof(error));
	if (r != 0)
		return cmd_fail("%s: collection %s: %s", request->folder, request->collection,
				error);

	if (vectors_unused(vectors)[0] != '\0')
		fprintf(stderr, "tern: %s; the index was built anew%s\n", vectors_unused(vectors),
			request->save ? "" : ", and --save keeps it");

	int status = CMD_DONE;
	r = request->save ? vectors_save(vectors) : vectors_settle(vectors);
	if (r != 0)
		status = cmd_fail("%s: collection %s: %s", request->folder, request->collection,
				  r < 0 ? strerror(-r) : vectors_error(vectors));
	else if (queries->dim != vectors_schema(vectors)->dim)
		status = cmd_fail("%s has vectors of %u values, the collection of %u",
				  request->query, queries->dim, vectors_schema(vectors)->dim);
	else
		status = ask_all(request, store, vectors, queries);
	vectors_close(vectors);
	return status;
}

int cmd_search(int argc, char **argv)
{
	struct search_request request = {.k = 10, .threads = cmd_cores()};
	const struct cmd_option options[] = {
		{"DIR", NULL, "the store's folder", .text = &request.folder, .positional = true,
		 .required = true},
		{"collection", "NAME", "the collection", .text = &request.collection,
		 .required = true},
		{"query", "FILE", "vectors to ask for", .text = &request.query, .required = true},
		{"k", "N", "neighbours a query (10)", .number = &request.k, .min = 1, .max = K_MAX},
		{"ef", "N", "candidates a search keeps (what the index was tuned to)",
		 .number = &request.ef, .max = EF_MAX},
		{"threads", "N", "that build the index (all cores)", .number = &request.threads,
		 .min = 1, .max = 256},
		{"payloads", NULL, "print what goes with each vector, too",
		 .flag = &request.payloads},
		{"save", NULL, "save the index, so that the next start is quick",
		 .flag = &request.save},
		{"json", NULL, "one JSON object a line", .flag = &request.json},
	};
	struct cmd_vectors queries;
	struct cmd_store store;
	int status;

	if (!cmd_options("search", about, options, ARRAY_COUNT(options), argc, argv, &status))
		return status;
	status = cmd_vectors_open(request.query, "test", &queries);
	if (status != CMD_DONE)
		return status;
	status = request.save ? cmd_store_open(request.folder, /* create= */ false, &store)
			      : cmd_store_read(request.folder, /* patient= */ false, &store);
	if (status == CMD_DONE) {
		struct io *scratch = cmd_store_scratch();

		status = search_store(&request, &store, &queries, scratch);
		status = cmd_store_close(&store, status);
		io_free(scratch);
	}
	cmd_vectors_close(&queries);
	return status;
}
