/* SPDX-License-Identifier: Apache-2.0 */

#include "perf/store/place.h"

#include "perf/store/peer.h"

#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

void place_make(const char *parent, struct place *ret_place)
{
	snprintf(ret_place->path, sizeof(ret_place->path), "%s/tern-perf-XXXXXX",
		 parent != NULL ? parent : "/var/tmp");
	if (mkdtemp(ret_place->path) == NULL)
		peer_die(ret_place->path, strerror(errno));
}

void place_of(const struct place *place, const char *name, char path[PATH_MAX])
{
	if (snprintf(path, PATH_MAX, "%s/%s", place->path, name) >= PATH_MAX ||
	    (mkdir(path, 0700) != 0 && errno != EEXIST))
		peer_die(path, strerror(errno));
}

static int remove_one(const char *path, const struct stat *status, int kind, struct FTW *walk)
{
	return remove(path);
}

void place_remove(const struct place *place)
{
	if (nftw(place->path, remove_one, 16, FTW_DEPTH | FTW_PHYS) != 0)
		fprintf(stderr, "%s stays\n", place->path);
}
