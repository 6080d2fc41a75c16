/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Io overlay - a folder that is read, and written in memory only
 *
 * What is opened through it is as in the folder; what is written, named and removed lies in memory
 * and ends with the overlay. So a store can be opened and recovered as always while its files stay
 * what they are: for those who only look, on a disk that is full or must not be written, and beside
 * others who look, too.
 *
 * It takes the memory of the blocks that were written (those of zeros cost nothing). Which
 * files there are is what the folder had when the overlay was made, or locked: before anything is
 * opened. Nobody else may change them meanwhile. An overlay's lock sees to that: it keeps writers
 * away, and is shared with others who read.
 *
 * Threads: as io.h says; its queues do what they are given at once, and block.
 */

#include "engine/io.h"

/* Owns 'base' from then on, unless it fails. Returns 0 or a negative errno. */
int io_overlay_new(struct io *base, struct io **ret_io);
