/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Dist exact - sums in f64, for exact search
 *
 * Plain loops over 16 lanes, included by each kernel file so that the compiler
 * vectorises them for that file's instructions. The lanes fix the order of the
 * additions, so these too give the same bits everywhere.
 *
 * Threads: any.
 */

#include <stddef.h>

#define DIST_EXACT_LANES 16

static inline double dist_exact_fold(double lanes[DIST_EXACT_LANES])
{
	for (unsigned half = DIST_EXACT_LANES / 2; half > 0; half /= 2)
		for (unsigned i = 0; i < half; i++)
			lanes[i] += lanes[i + half];
	return lanes[0];
}

static double exact_ip(const float *a, const float *b, size_t dim)
{
	double lanes[DIST_EXACT_LANES] = {0};
	size_t i = 0;

	for (; i + DIST_EXACT_LANES <= dim; i += DIST_EXACT_LANES)
		for (unsigned j = 0; j < DIST_EXACT_LANES; j++)
			lanes[j] += (double)a[i + j] * (double)b[i + j];
	for (unsigned j = 0; i + j < dim; j++)
		lanes[j] += (double)a[i + j] * (double)b[i + j];
	return dist_exact_fold(lanes);
}

static double exact_l2(const float *a, const float *b, size_t dim)
{
	double lanes[DIST_EXACT_LANES] = {0};
	size_t i = 0;

	for (; i + DIST_EXACT_LANES <= dim; i += DIST_EXACT_LANES) {
		for (unsigned j = 0; j < DIST_EXACT_LANES; j++) {
			double difference = (double)a[i + j] - (double)b[i + j];

			lanes[j] += difference * difference;
		}
	}
	for (unsigned j = 0; i + j < dim; j++) {
		double difference = (double)a[i + j] - (double)b[i + j];

		lanes[j] += difference * difference;
	}
	return dist_exact_fold(lanes);
}
