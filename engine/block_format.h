/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Block format - the numbers in a block (docs/format/table.md)
 *
 * Threads: any.
 */

/* The flags byte of an entry: its kind, and what follows. */
#define BLOCK_KIND_MASK  7
#define BLOCK_HAS_TYPE   8
#define BLOCK_HAS_EXPIRY 16
#define BLOCK_FLAGS      (BLOCK_KIND_MASK | BLOCK_HAS_TYPE | BLOCK_HAS_EXPIRY)

/* Bytes of a restart, and of their count. */
#define BLOCK_RESTART_SIZE 4
