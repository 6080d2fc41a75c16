/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Vectors internal - what the sources of vectors share
 *
 * Threads: the store's owner.
 */

#include "cluster/vectors.h"
#include "engine/feed.h"

#include <limits.h>

/* Characters of the name that an index's history is pinned under: "index-" and a hash. */
#define VECTORS_PIN_MAX 24

struct vectors {
	struct store *store; /* borrowed */
	struct live *live;
	struct feed *feed; /* from 'position' + 1 on */
	struct vectors_schema schema;
	struct vectors_options options; /* without the name, which is below */
	uint64_t position;
	float *values;           /* dim of them */
	uint8_t *row;            /* as it is stored */
	uint32_t row_size;       /* bytes in the store */
	struct feed_event event; /* taken from the feed, and not yet into the index */
	bool has_event;
	bool saved;
	uint8_t name_size;
	uint8_t name[KEYS_COLLECTION_MAX];
	char pin[VECTORS_PIN_MAX];
	char error[256];
	char unused[256]; /* vectors_unused() */
	bool damaged;     /* what is unused can't be read */
};

/* Keeps one line, and returns 'code'. */
int vectors_refuse(struct vectors *vectors, int code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

struct entry_bytes vectors_name(const struct vectors *vectors);

/* Gives the index a version of a label. Returns 0, VECTORS_E_BUSY, VECTORS_E_CORRUPT,
 * VECTORS_E_FULL or a negative errno. */
int vectors_take(struct vectors *vectors, struct entry_bytes key, struct entry_bytes value);

/* The name of a collection's pin, and its saved indexes' names' beginning. */
void vectors_pin_name(struct entry_bytes name, char pin[VECTORS_PIN_MAX]);

/* The number of the saved index that counts, if one does. */
bool vectors_find_pin(struct store *store, const char *pin, uint64_t *ret_number);

/* Opens the feed behind 'position'. Returns 0 or a negative errno. */
int vectors_open_feed(struct vectors *vectors);

/* Takes the saved index, if there is one of use: '*ret_found'. Returns 0, VECTORS_E_FULL or a
 * negative errno. */
int vectors_load(struct vectors *vectors, bool *ret_found);
