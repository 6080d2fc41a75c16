/* SPDX-License-Identifier: Apache-2.0 */
#include "base/metric.h"

#include "base/defs.h"

#include <errno.h>
#include <string.h>

static const char *const names[METRIC_COUNT] = {
	[METRIC_L2] = "l2",
	[METRIC_COSINE] = "cosine",
	[METRIC_IP] = "ip",
};

const char *metric_name(uint32_t metric)
{
	return metric < METRIC_COUNT ? names[metric] : NULL;
}

int metric_parse(const char *name, enum metric *ret_metric)
{
	for (unsigned i = 0; i < METRIC_COUNT; i++) {
		if (strcmp(name, names[i]) == 0) {
			*ret_metric = (enum metric)i;
			return 0;
		}
	}
	return -EINVAL;
}
