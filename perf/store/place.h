/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Place - the folders that the peers of a benchmark write in
 *
 * Threads: one.
 */

#include <limits.h>

struct place {
	char path[PATH_MAX];
};

/* A new folder below 'parent' (NULL: /var/tmp, which is on a disk where /tmp may not be). */
void place_make(const char *parent, struct place *ret_place);

/* A folder in it for one peer. */
void place_of(const struct place *place, const char *name, char path[PATH_MAX]);

/* Removes it with all that is in it, or says that it stays. */
void place_remove(const struct place *place);
