/* SPDX-License-Identifier: Apache-2.0 */
#include "base/hist.h"

#include "base/defs.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>

/* Lines of the table for each halving of what is left up to 100%: HdrHistogram's default. */
#define TICKS_PER_HALF 5

void hist_init(struct hist *hist)
{
	memset(hist, 0, sizeof(*hist));
	hist->min = UINT64_MAX;
}

void hist_merge(struct hist *to, const struct hist *from)
{
	uint64_t min = stat_read(&from->min);
	uint64_t max = stat_read(&from->max);

	for (uint32_t i = 0; i < HIST_BUCKET_COUNT; i++) {
		uint64_t count = stat_read(&from->counts[i]);

		to->counts[i] += count;
		to->total += count;
	}
	to->sum += stat_read(&from->sum);
	to->saturated += stat_read(&from->saturated);
	to->min = MIN(to->min, min);
	to->max = MAX(to->max, max);
}

/*
 * Of 'total' values, how many make up 'percentile' percent; at least one. The
 * next smaller percentile is taken, so that 99.9% of 1000 are 999 although the
 * product comes out as 999.0000000000001.
 */
static uint64_t rank_of(uint64_t total, double percentile)
{
	double rank;

	if (percentile >= 100)
		return total;
	rank = ceil(nextafter(fmax(percentile, 0), -INFINITY) * (double)total / 100);
	return MIN((uint64_t)fmax(rank, 1), total);
}

/* Walks on from bucket '*index' until 'rank' values were seen; '*seen' includes that bucket. */
static uint64_t walk_to_rank(const struct hist *hist, uint64_t rank, uint32_t *index,
			     uint64_t *seen)
{
	while (*seen < rank && *index < HIST_BUCKET_COUNT)
		*seen += hist->counts[(*index)++];
	return *index ? MIN(hist_bucket_last(*index - 1), hist->max) : 0;
}

uint64_t hist_percentile(const struct hist *hist, double percentile)
{
	uint64_t seen = 0;
	uint32_t index = 0;

	if (hist->total == 0)
		return 0;
	return walk_to_rank(hist, rank_of(hist->total, percentile), &index, &seen);
}

double hist_mean(const struct hist *hist)
{
	return hist->total ? (double)hist->sum / (double)hist->total : 0;
}

/* A bucket stands for its middle. */
static double deviation(const struct hist *hist)
{
	double mean = hist_mean(hist);
	double squares = 0;

	for (uint32_t i = 0; i < HIST_BUCKET_COUNT; i++) {
		uint64_t first = i ? hist_bucket_last(i - 1) + 1 : 0;
		double middle = ((double)first + (double)hist_bucket_last(i)) / 2;

		squares += (double)hist->counts[i] * (middle - mean) * (middle - mean);
	}
	return hist->total ? sqrt(squares / (double)hist->total) : 0;
}

static void print_row(FILE *file, double value, double share, uint64_t seen)
{
	if (share < 1)
		fprintf(file, "%12.3f %14.12f %10" PRIu64 " %14.2f\n", value, share, seen,
			1 / (1 - share));
	else
		fprintf(file, "%12.3f %14.12f %10" PRIu64 "\n", value, share, seen);
}

/*
 * The share of values that row number 'row' stands for. The step between rows
 * halves whenever what is left up to 1 halves, so that the tail is drawn as
 * finely as there are values in it.
 */
static double share_of(unsigned row)
{
	unsigned halvings = row / TICKS_PER_HALF;
	double left = exp2(-(double)halvings);

	return 1 - left * (1 - (double)(row % TICKS_PER_HALF) / (2 * TICKS_PER_HALF));
}

int hist_print_hgrm(const struct hist *hist, double unit, FILE *file)
{
	uint64_t seen = 0;
	uint32_t index = 0;

	fprintf(file, "%12s %14s %10s %14s\n\n", "Value", "Percentile", "TotalCount",
		"1/(1-Percentile)");
	for (unsigned row = 0; hist->total > 0; row++) {
		double share = share_of(row);
		uint64_t rank = rank_of(hist->total, share * 100);
		uint64_t value = walk_to_rank(hist, rank, &index, &seen);

		if (seen >= hist->total)
			break;
		print_row(file, (double)value / unit, share, seen);
	}
	print_row(file, (double)hist->max / unit, 1, hist->total);
	fprintf(file, "#[Mean    = %12.3f, StdDeviation   = %12.3f]\n", hist_mean(hist) / unit,
		deviation(hist) / unit);
	fprintf(file, "#[Max     = %12.3f, Total count    = %12" PRIu64 "]\n",
		(double)hist->max / unit, hist->total);
	fprintf(file, "#[Buckets = %12d, SubBuckets     = %12d]\n",
		HIST_BUCKET_COUNT >> HIST_SUB_BITS, 1 << HIST_SUB_BITS);
	return fflush(file) || ferror(file) ? -EIO : 0;
}
