/* SPDX-License-Identifier: Apache-2.0 */
#include "perf/lib/paired.h"

#include "base/check.h"

#include <stdio.h>
#include <stdlib.h>

static int compare(const void *a, const void *b)
{
	double left = *(const double *)a;
	double right = *(const double *)b;
	return (left > right) - (left < right);
}

double paired_quantile(double *values, unsigned count, double share)
{
	if (count == 0)
		return 0;
	qsort(values, count, sizeof(*values), compare);
	double place = share * (count - 1);
	unsigned below = (unsigned)place;
	unsigned above = below + 1 < count ? below + 1 : below;
	return values[below] + (values[above] - values[below]) * (place - below);
}

void paired_add(struct paired *paired, double raw, double ours)
{
	CHECK(paired->count < PAIRED_REPEAT_MAX && raw > 0 && ours > 0);
	paired->raw[paired->count] = raw;
	paired->ours[paired->count] = ours;
	paired->count++;
}

enum derived { RAW, OURS, RATIO, DIFFERENCE };

static double quantile(const struct paired *paired, enum derived what, double share)
{
	double values[PAIRED_REPEAT_MAX];
	for (unsigned i = 0; i < paired->count; i++) {
		double raw = paired->raw[i];
		double ours = paired->ours[i];
		values[i] = what == RAW     ? raw
			    : what == OURS  ? ours
			    : what == RATIO ? ours / raw
					    : ours - raw;
	}
	return paired_quantile(values, paired->count, share);
}

double paired_ratio(const struct paired *paired)
{
	return quantile(paired, RATIO, 0.5);
}

double paired_difference(const struct paired *paired)
{
	return quantile(paired, DIFFERENCE, 0.5);
}

void paired_print(const struct paired *paired, bool json)
{
	const char *format =
		json ? "{\"event\":\"perf\",\"name\":\"%s\",\"unit\":\"%s\",\"repeat\":%u,\"raw\":%"
		       ".6g,"
		       "\"ours\":%.6g,\"ratio\":%.4f,\"ratio_p10\":%.4f,\"ratio_p90\":%.4f,"
		       "\"difference\":%.6g}\n"
		     : "%-36s %-10s x%-3u raw %10.6g  ours %10.6g  ratio %.3f (%.3f to %.3f)  "
		       "difference %.4g\n";
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	printf(format, paired->name, paired->unit, paired->count, quantile(paired, RAW, 0.5),
	       quantile(paired, OURS, 0.5), quantile(paired, RATIO, 0.5),
	       quantile(paired, RATIO, 0.1), quantile(paired, RATIO, 0.9),
	       quantile(paired, DIFFERENCE, 0.5));
#pragma GCC diagnostic pop
	fflush(stdout);
}
