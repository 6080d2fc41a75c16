/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Schema - the one list of configuration keys
 *
 * Each key has its type, place in struct config, default, range and sentence in
 * one row; defaults, checks, the printed file and the messages come from it.
 *
 * Threads: any; nothing here has state.
 */

#include "config/config.h"

#include <stddef.h>
#include <stdint.h>

enum schema_type {
	SCHEMA_NUMBER,
	SCHEMA_BYTES, /* "64MiB"; bytes in the struct */
	SCHEMA_TIME,  /* "5ms"; nanoseconds in the struct */
	SCHEMA_BOOL,
	SCHEMA_ENUM, /* one of 'names'; its index in the struct */
	SCHEMA_TEXT,
	SCHEMA_PATH,    /* relative to the configuration file's folder */
	SCHEMA_ADDRESS, /* with a port */
	SCHEMA_HOST,    /* without one; may be empty */
	SCHEMA_NUMBERS, /* list, "0-3,5"; 'max' is the largest number */
	SCHEMA_CORES,   /* a count, or a list as SCHEMA_NUMBERS */
	SCHEMA_PATHS,   /* list; the field is config.data */
	SCHEMA_PEERS,   /* list of mappings by schema_peer_rows; the field is config.peers */
};

/* The port of an address that names none. */
#define SCHEMA_PORT_DEFAULT 7400

struct schema_row {
	const char *key; /* "session.keepalive"; at most one dot */
	enum schema_type type;
	uint32_t offset;      /* of the field in struct config; in struct config_peer for peers */
	uint32_t size;        /* of the field */
	const char *fallback; /* the default as the file would have it; NULL: has to be given */
	uint64_t min;
	uint64_t max;
	const char *const *names; /* of SCHEMA_ENUM, NULL behind the last */
	const char *doc;          /* sentences for the printed file */
};

/* Rows of the schema, so that what is kept for each row has a size. */
#define SCHEMA_ROW_MAX 64

extern const struct schema_row schema_rows[];
extern const size_t schema_row_count;

/* What an entry of 'peers' holds. */
extern const struct schema_row schema_peer_rows[];
extern const size_t schema_peer_row_count;

/* The row of a whole key, or NULL. */
const struct schema_row *schema_find(const char *key);

/* Is 'name' the part of a key before its dot? */
bool schema_is_section(const char *name);

/* Bytes of a key's name, final zero included. */
#define SCHEMA_KEY_MAX 32

/*
 * Writes the key (or the section) that was most likely meant by 'name' in
 * section 'section', "" for the top; the same section's keys are preferred.
 *
 * Returns false when none comes near.
 */
bool schema_nearest(const char *section, const char *name, char to[SCHEMA_KEY_MAX]);
