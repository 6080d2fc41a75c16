/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Hex - bytes as text, two digits a byte
 *
 * Written in lower case, read in either.
 *
 * Threads: any.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Writes 2 * size digits to 'text', and no final zero. */
void hex_write(const uint8_t *bytes, size_t size, char *text);

/* Reads 2 * size digits. False when one of them is none; what 'bytes' has then is of no use. */
bool hex_read(const char *text, size_t size, uint8_t *bytes);
