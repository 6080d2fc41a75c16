/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Value - one scalar of the file against its row of the schema
 *
 * Threads: any; nothing here has state.
 */

#include "config/schema.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes of a refusal, "what; what to do", final zero included. */
#define VALUE_WHY_MAX 256

/* Does the type take a list? */
bool value_is_list(enum schema_type type);

/*
 * Reads 'text' as the value of 'row' into its field of 'base' (a struct config,
 * or a struct config_peer for a row of peers). A list is added to, so that one
 * scalar stands for a list of one.
 *
 * Returns 0, or -EINVAL and 'why' says what is wrong with it.
 */
int value_set(const struct schema_row *row, const char *text, void *base, char why[VALUE_WHY_MAX]);

/* The same of one item of a list in the file. */
int value_append(const struct schema_row *row, const char *text, void *base,
		 char why[VALUE_WHY_MAX]);

/* Writes a number of the row's unit as the file would have it, "64MiB". */
const char *value_format(enum schema_type type, uint64_t value, char to[32]);
