/* SPDX-License-Identifier: Apache-2.0 */
#include "hnsw/dist_exact.h"
#include "hnsw/dist_order.h"

struct lanes {
	float of[DIST_ACCUMULATORS][DIST_PAD];
};

static float fold(const struct lanes *lanes)
{
	float sum[DIST_PAD];

	for (unsigned i = 0; i < DIST_PAD; i++)
		sum[i] = (lanes->of[0][i] + lanes->of[1][i]) + (lanes->of[2][i] + lanes->of[3][i]);
	for (unsigned half = DIST_PAD / 2; half > 0; half /= 2)
		for (unsigned i = 0; i < half; i++)
			sum[i] += sum[i + half];
	return sum[0];
}

static float l2(const float *a, const float *b, size_t padded_dim)
{
	struct lanes lanes = {0};

	for (size_t i = 0; i < padded_dim; i += DIST_PAD) {
		float *sum = lanes.of[i / DIST_PAD % DIST_ACCUMULATORS];

		for (unsigned j = 0; j < DIST_PAD; j++) {
			float difference = a[i + j] - b[i + j];
			float square = difference * difference;

			sum[j] += square;
		}
	}
	return fold(&lanes);
}

static float ip(const float *a, const float *b, size_t padded_dim)
{
	struct lanes lanes = {0};

	for (size_t i = 0; i < padded_dim; i += DIST_PAD) {
		float *sum = lanes.of[i / DIST_PAD % DIST_ACCUMULATORS];

		for (unsigned j = 0; j < DIST_PAD; j++) {
			float product = a[i + j] * b[i + j];

			sum[j] += product;
		}
	}
	return fold(&lanes);
}

const struct dist_table dist_scalar = {
	.isa = "scalar",
	.l2 = l2,
	.ip = ip,
	.exact_l2 = exact_l2,
	.exact_ip = exact_ip,
};
