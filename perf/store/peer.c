/* SPDX-License-Identifier: Apache-2.0 */

#include "perf/store/peer.h"

#include <stdio.h>
#include <stdlib.h>

void peer_die(const char *what, const char *why)
{
	fprintf(stderr, "bench: %s: %s\n", what, why);
	exit(1);
}
