/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Bytes json - keys and values, which may be text or not, in JSON objects
 *
 * Threads: any.
 */

#include "engine/entry.h"

#include <jansson.h>

/* A new string of hex digits; NULL when there is no memory. */
json_t *bytes_json_hex(const uint8_t *bytes, size_t size);

/* Sets object[name] when the bytes are UTF-8 without control characters, else object[name_hex].
 * Returns 0, or -1 when there is no memory. */
int bytes_json_set(json_t *object, const char *name, struct entry_bytes bytes);
