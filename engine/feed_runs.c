/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A run is a row of chunks:
 *
 *      CRC-32C of the rest and the chunk's number | bytes used, these eight included | records
 *
 * and a record is
 *
 *      number | expires | size of the key | of the value | kind | type | key | value
 *
 * all up to the key's end in one chunk, so that entries can be compared where they lie; the value
 * may go on in the next ones. The number of the file's format is nobody's business: who reads it
 * is who wrote it.
 */

#include "engine/feed_runs.h"

#include "base/byteorder.h"
#include "base/check.h"
#include "base/crc.h"
#include "base/defs.h"
#include "engine/feed_window.h"

#include <assert.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define CHUNK_HEAD  8
#define RECORD_HEAD 26

/* Names that are tried: others have the same only if their processes have our number. */
#define NAME_TRIES 16

static_assert(CHUNK_HEAD + RECORD_HEAD + ENTRY_KEY_MAX <= FEED_RUNS_CHUNK,
	      "a record's head and key lie in one chunk");

/* A run that is read. */
struct run {
	uint32_t chunk; /* the next one */
	uint32_t end;   /* behind its last */
	uint32_t at;    /* in 'bytes': behind the entry's head and key */
	uint32_t used;
	uint8_t *bytes;     /* the chunk before 'chunk' */
	struct entry entry; /* its value's bytes are set when it is foremost */
};

struct feed_runs {
	struct io *io;
	struct io_file *file;
	uint32_t run_max;
	uint32_t run_count;
	struct run *runs; /* run_max of them; once it has begun a heap, the smallest foremost */
	uint32_t chunk_count;
	uint32_t used;   /* of 'chunk' */
	uint8_t *chunk;  /* that is being written */
	uint8_t *chunks; /* run_count of them, once it has begun */
	uint8_t *large;  /* a key and a value that reaches into the next chunk */
	uint64_t bytes;
};

bool feed_runs_is_name(const char *name)
{
	size_t length = strlen(name);

	return strncmp(name, "feed-", 5) == 0 && length > 9 &&
	       strcmp(name + length - 4, ".tmp") == 0;
}

/* A file that nobody else can have, and that has no name. */
static int make_file(struct io *io, struct io_file **ret_file)
{
	static _Atomic unsigned last;
	char name[IO_NAME_MAX + 1];
	struct io_file *file;
	int rc = IO_E_EXISTS;

	for (unsigned i = 0; rc == IO_E_EXISTS && i < NAME_TRIES; i++) {
		snprintf(name, sizeof(name), "feed-%ld-%u.tmp", (long)getpid(),
			 atomic_fetch_add_explicit(&last, 1, memory_order_relaxed));
		rc = io_open(io, name, IO_CREATE | IO_EXCLUSIVE, &file);
	}
	if (rc)
		return rc < 0 ? rc : -EEXIST;
	rc = io_remove(io, name);
	if (rc < 0) {
		io_close(file);
		return rc;
	}
	*ret_file = file;
	return 0;
}

int feed_runs_new(struct io *io, uint32_t run_max, struct feed_runs **ret_runs)
{
	struct feed_runs *runs = calloc(1, sizeof(*runs));
	int rc = -ENOMEM;

	CHECK(run_max > 0);
	if (!runs)
		return -ENOMEM;
	*runs = (struct feed_runs){
		.io = io,
		.run_max = run_max,
		.runs = calloc(run_max, sizeof(runs->runs[0])),
		.chunk = malloc(FEED_RUNS_CHUNK),
		.used = CHUNK_HEAD,
	};
	if (runs->runs && runs->chunk)
		rc = make_file(io, &runs->file);
	if (rc) {
		feed_runs_free(runs);
		return rc;
	}
	*ret_runs = runs;
	return 0;
}

void feed_runs_free(struct feed_runs *runs)
{
	if (!runs)
		return;
	io_close(runs->file);
	free(runs->runs);
	free(runs->chunk);
	free(runs->chunks);
	free(runs->large);
	free(runs);
}

static uint64_t place_of(uint32_t chunk)
{
	return (uint64_t)chunk * FEED_RUNS_CHUNK;
}

static uint32_t crc_of(const uint8_t *bytes, uint32_t chunk)
{
	uint8_t number[4];

	store_le32(number, chunk);
	return crc32c_extend(crc32c(number, sizeof(number)), bytes + 4, FEED_RUNS_CHUNK - 4);
}

static int write_chunk(struct feed_runs *runs)
{
	int rc;

	if (runs->chunk_count == UINT32_MAX)
		return -EFBIG;
	memset(runs->chunk + runs->used, 0, FEED_RUNS_CHUNK - runs->used);
	store_le32(runs->chunk + 4, runs->used);
	store_le32(runs->chunk, crc_of(runs->chunk, runs->chunk_count));
	rc = io_write(runs->file, place_of(runs->chunk_count), runs->chunk, FEED_RUNS_CHUNK);
	if (rc)
		return rc;
	runs->bytes += FEED_RUNS_CHUNK;
	runs->chunk_count++;
	runs->used = CHUNK_HEAD;
	return 0;
}

static void write_head(struct feed_runs *runs, const struct entry *entry)
{
	uint8_t *to = runs->chunk + runs->used;

	store_le64(to, entry->seqno);
	store_le64(to + 8, entry->expires);
	store_le32(to + 16, entry->key.size);
	store_le32(to + 20, entry->value.size);
	to[24] = (uint8_t)entry->kind;
	to[25] = entry->type;
	if (entry->key.size > 0)
		memcpy(to + RECORD_HEAD, entry->key.bytes, entry->key.size);
	runs->used += RECORD_HEAD + entry->key.size;
}

static int write_entry(struct feed_runs *runs, const struct entry *entry)
{
	uint32_t done = 0;
	int rc = 0;

	if (runs->used + RECORD_HEAD + entry->key.size > FEED_RUNS_CHUNK)
		rc = write_chunk(runs);
	if (rc)
		return rc;
	write_head(runs, entry);
	while (done < entry->value.size) {
		uint32_t size = MIN(entry->value.size - done, FEED_RUNS_CHUNK - runs->used);

		memcpy(runs->chunk + runs->used, entry->value.bytes + done, size);
		runs->used += size;
		done += size;
		if (done < entry->value.size)
			rc = write_chunk(runs);
		if (rc)
			return rc;
	}
	return 0;
}

int feed_runs_add(struct feed_runs *runs, const struct entry *entries, uint32_t count)
{
	struct run *run = &runs->runs[runs->run_count];

	CHECK(!runs->chunks && count > 0);
	if (runs->run_count == runs->run_max)
		return FEED_RUNS_E_FULL;
	run->chunk = runs->chunk_count;
	for (uint32_t i = 0; i < count; i++) {
		int rc = write_entry(runs, &entries[i]);

		if (rc)
			return rc;
	}
	int rc = write_chunk(runs);
	if (rc)
		return rc;
	run->end = runs->chunk_count;
	runs->run_count++;
	return 0;
}

static int read_chunk(struct feed_runs *runs, struct run *run)
{
	int rc = run->chunk < run->end
			 ? io_read(runs->file, place_of(run->chunk), run->bytes, FEED_RUNS_CHUNK)
			 : IO_E_END;

	if (rc)
		return rc < 0 ? rc : FEED_RUNS_E_CORRUPT;
	runs->bytes += FEED_RUNS_CHUNK;
	run->used = load_le32(run->bytes + 4);
	if (load_le32(run->bytes) != crc_of(run->bytes, run->chunk) || run->used < CHUNK_HEAD ||
	    run->used > FEED_RUNS_CHUNK)
		return FEED_RUNS_E_CORRUPT;
	run->chunk++;
	run->at = CHUNK_HEAD;
	return 0;
}

static bool is_entry(const struct entry *entry)
{
	uint32_t value_max = entry->kind == ENTRY_RANGE_TOMBSTONE ? ENTRY_KEY_MAX : ENTRY_VALUE_MAX;

	return entry->kind >= ENTRY_VALUE && entry->kind <= ENTRY_RANGE_TOMBSTONE &&
	       entry->key.size <= ENTRY_KEY_MAX && entry->value.size <= value_max;
}

/* The run's next record's head and key. The run has one. */
static int read_head(struct run *run)
{
	const uint8_t *from = run->bytes + run->at;

	if (run->used - run->at < RECORD_HEAD)
		return FEED_RUNS_E_CORRUPT;
	run->entry = (struct entry){
		.seqno = load_le64(from),
		.expires = load_le64(from + 8),
		.key = {from + RECORD_HEAD, load_le32(from + 16)},
		.value = {NULL, load_le32(from + 20)},
		.kind = (enum entry_kind)from[24],
		.type = from[25],
	};
	if (!is_entry(&run->entry) || run->used - run->at - RECORD_HEAD < run->entry.key.size)
		return FEED_RUNS_E_CORRUPT;
	run->at += RECORD_HEAD + run->entry.key.size;
	return 0;
}

/* To the run's next record. '*ret_ended': it has none. */
static int advance(struct feed_runs *runs, struct run *run, bool *ret_ended)
{
	*ret_ended = run->at == run->used && run->chunk == run->end;
	if (*ret_ended)
		return 0;
	if (run->at == run->used) {
		int rc = read_chunk(runs, run);

		if (rc)
			return rc;
	}
	return read_head(run);
}

/* The foremost entry's value, and its key, as the chunk doesn't stay. */
static int gather(struct feed_runs *runs, struct run *run)
{
	struct entry *entry = &run->entry;
	uint8_t *to = runs->large;
	uint32_t done = 0;

	if (entry->key.size > 0)
		memcpy(to, entry->key.bytes, entry->key.size);
	entry->key.bytes = to;
	to += entry->key.size;
	entry->value.bytes = to;
	for (;;) {
		uint32_t size = MIN(entry->value.size - done, run->used - run->at);
		int rc;

		memcpy(to + done, run->bytes + run->at, size);
		run->at += size;
		done += size;
		if (done == entry->value.size)
			return 0;
		rc = read_chunk(runs, run);
		if (rc)
			return rc;
	}
}

/* Finds the foremost entry's value. */
static int stand(struct feed_runs *runs)
{
	struct run *run = &runs->runs[0];

	if (runs->run_count == 0)
		return 0;
	if (run->entry.value.size > run->used - run->at)
		return gather(runs, run);
	run->entry.value.bytes = run->bytes + run->at;
	run->at += run->entry.value.size;
	return 0;
}

static void sift_down(struct feed_runs *runs, uint32_t index)
{
	struct run *heap = runs->runs, moved = heap[index];

	for (;;) {
		uint32_t child = 2 * index + 1;

		if (child >= runs->run_count)
			break;
		if (child + 1 < runs->run_count &&
		    feed_window_compare(&heap[child + 1].entry, &heap[child].entry) < 0)
			child++;
		if (feed_window_compare(&moved.entry, &heap[child].entry) <= 0)
			break;
		heap[index] = heap[child];
		index = child;
	}
	heap[index] = moved;
}

int feed_runs_begin(struct feed_runs *runs)
{
	bool ended;

	runs->chunks = malloc((size_t)MAX(runs->run_count, 1) * FEED_RUNS_CHUNK);
	runs->large = malloc(ENTRY_KEY_MAX + ENTRY_VALUE_MAX);
	if (!runs->chunks || !runs->large)
		return -ENOMEM;
	for (uint32_t i = 0; i < runs->run_count; i++) {
		int rc;

		runs->runs[i].bytes = runs->chunks + (size_t)i * FEED_RUNS_CHUNK;
		rc = advance(runs, &runs->runs[i], &ended);
		if (rc)
			return rc;
		CHECK(!ended);
	}
	for (uint32_t i = runs->run_count / 2; i-- > 0;)
		sift_down(runs, i);
	return stand(runs);
}

const struct entry *feed_runs_entry(const struct feed_runs *runs)
{
	return runs->run_count > 0 ? &runs->runs[0].entry : NULL;
}

int feed_runs_next(struct feed_runs *runs)
{
	bool ended;
	int rc;

	CHECK(runs->run_count > 0);
	rc = advance(runs, &runs->runs[0], &ended);
	if (rc)
		return rc;
	if (ended)
		runs->runs[0] = runs->runs[--runs->run_count];
	if (runs->run_count > 0)
		sift_down(runs, 0);
	return stand(runs);
}

uint64_t feed_runs_bytes(const struct feed_runs *runs)
{
	return runs->bytes;
}
