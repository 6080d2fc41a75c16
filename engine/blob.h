/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Blob - large values, out of line
 *
 * A blob file is a row of frames, each a value with its key and number; tables point to frames.
 * It is written once, from front to back, and never changes; when most of what it holds isn't
 * pointed to any more, the rest is written to a new one (blob_walk) and the file goes.
 *
 * A frame has a CRC-32C of the file's identity, its own offset and all its bytes, and the pointer
 * has that CRC too. docs/format/blob.md has the bytes.
 *
 * Threads: a writer by one; a reader by one at a time.
 */

#include "engine/entry.h"
#include "engine/io.h"
#include "engine/table.h"

/* Bytes of a blob_place where an entry has its value (ENTRY_BLOB). */
#define BLOB_PLACE_SIZE 24

/* Bytes of a value: more than a log record holds, since folding merges makes values longer. */
#define BLOB_VALUE_MAX (UINT32_C(64) << 20)

enum {
	BLOB_E_CORRUPT = 1, /* blob_error() */
	BLOB_E_END,         /* blob_walk_next(): that was the last */
	BLOB_E_WAIT,        /* with TABLE_WAIT_NEVER: again after block_cache_poll() */
};

/* Where a value is. */
struct blob_place {
	uint64_t file; /* number */
	uint64_t offset;
	uint32_t size; /* of the frame: what is dead when nobody points to it */
	uint32_t crc;  /* of the frame */
};

void blob_place_encode(const struct blob_place *place, uint8_t bytes[BLOB_PLACE_SIZE]);

/* Returns 0 or BLOB_E_CORRUPT: not BLOB_PLACE_SIZE bytes, or no frame can be there. */
int blob_place_decode(struct entry_bytes bytes, struct blob_place *ret_place);

struct blob_options {
	uint8_t store[16];
	uint64_t number;
	bool compress;             /* writer: try zstd, as for blocks */
	struct block_cache *cache; /* reader: borrowed; NULL: frames are read for each use */
};

/* What the manifest remembers of a blob file. */
struct blob_summary {
	uint64_t size;
	uint64_t frames;
	uint64_t frame_bytes; /* of all frames: the places' sizes */
	uint64_t value_bytes; /* uncompressed */
};

struct blob_writer;

int blob_writer_new(struct io *io, const char *name, const struct blob_options *options,
		    struct blob_writer **ret_writer);

/* Returns 0, -EINVAL (key or value too long, or an empty key) or another negative errno, after
 * which the writer is only good for blob_writer_abort(). */
int blob_writer_add(struct blob_writer *writer, struct entry_bytes key, uint64_t seqno,
		    struct entry_bytes value, struct blob_place *ret_place);
uint64_t blob_writer_size(const struct blob_writer *writer);

/* Writes the rest and syncs (the folder is the caller's). Frees the writer, whatever it returns;
 * unless that is 0 the file is removed. */
int blob_writer_finish(struct blob_writer *writer, struct blob_summary *ret_summary);

/* Removes the file. NULL is fine. */
void blob_writer_abort(struct blob_writer *writer);

struct blob;

/* Checks head and foot. Returns 0, BLOB_E_CORRUPT ('error'), -ENOENT or another negative errno. */
int blob_open(struct io *io, const char *name, const struct blob_options *options,
	      struct blob **ret_blob, char *error, size_t error_size);

/* For tools: sets store and number to what the file says that it is. Returns 0, BLOB_E_CORRUPT (no
 * blob file), -ENOENT or another negative errno. */
int blob_identify(struct io *io, const char *name, struct blob_options *options);

/* As table_set_cache() and table_is_read(). */
void blob_set_cache(struct blob *blob, struct block_cache *cache);
bool blob_is_read(const struct blob *blob);

/* Waits for reads of it that are under way. No pin is left. NULL is fine. */
void blob_close(struct blob *blob);
const struct blob_summary *blob_summary(const struct blob *blob);
const char *blob_error(const struct blob *blob);

/*
 * The value that 'place' points to. 'key' has to be its key. 'pin' is zeros or another get's, of
 * tables too, and is then reused; the value borrows until the pin's release or next use.
 *
 * Returns 0, BLOB_E_CORRUPT, BLOB_E_WAIT or a negative errno.
 */
int blob_get(struct blob *blob, const struct blob_place *place, struct entry_bytes key,
	     unsigned flags, struct table_pin *pin, struct entry_bytes *ret_value);

/* One frame. */
struct blob_frame {
	struct blob_place place;
	struct entry_bytes key;
	struct entry_bytes value;
	uint64_t seqno;
	bool compressed; /* in the file */
};

/* From the first frame on, past the cache; 'blob' stays. One walk at a time. */
void blob_walk_begin(struct blob *blob);

/* The frame borrows until the next call. Returns 0, BLOB_E_END, BLOB_E_CORRUPT or a negative errno.
 */
int blob_walk_next(struct blob *blob, struct blob_frame *ret_frame);
