/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Replace - a file that is there whole, or as it was
 *
 * Bytes go to a temporary beside the file; replace_commit() syncs it, renames it
 * over the file and syncs the folder, so that a crash at any point leaves either
 * the old file or the new one.
 *
 * Threads: a replacement belongs to one thread.
 */

#include <limits.h>
#include <stddef.h>
#include <stdio.h>

struct replace {
	FILE *file; /* to be written to; owned */
	char path[PATH_MAX];
	char temporary[PATH_MAX];
};

/* Returns 0 or a negative errno; on failure there is nothing to abort. */
int replace_begin(struct replace *replace, const char *path);

/*
 * Puts the file in place. Returns 0, or a negative errno (an error of an earlier
 * write to the stream included): then the file is as it was, unless only the
 * folder could not be synced: then it is the one put in place, but a crash may
 * undo that.
 */
int replace_commit(struct replace *replace);

/* Forgets what was written. */
void replace_abort(struct replace *replace);

/* All of it at once: 'size' bytes. Returns 0 or a negative errno. */
int replace_file(const char *path, const void *bytes, size_t size);
