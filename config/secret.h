/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Secret - what proves that a node belongs to the cluster
 *
 * Threads: any.
 */

#include "config/config.h"
#include "config/value.h"

/*
 * Reads a file of 32 bytes, or of 64 hexadecimal digits and a line's end. A file
 * that everybody may read or write is no secret and refused.
 *
 * Returns 0; or -EINVAL, 'why' says what is wrong, and 'ret_secret' is as it was.
 */
int secret_load(const char *path, uint8_t ret_secret[CONFIG_SECRET_SIZE], char why[VALUE_WHY_MAX]);
