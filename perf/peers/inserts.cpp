/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Inserts - vectors a second that one thread adds to Tern's growing index and to
 * hnswlib's, M = 16 and ef_construction = 200 both
 *
 *      inserts FILE l2|ip|cosine [COUNT]
 *
 * Both grow beside each other, by turns of a 64th part each, so that a turn of one
 * and a turn of the other are of the same size and under the same load.
 * What is measured is processor time. hnswlib gets unit vectors for cosine.
 */

extern "C" {
#include "client/files.h"
#include "perf/lib/paired.h"
#include "perf/peers/ours_growing.h"
}

#include <hnswlib/hnswlib.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <memory>
#include <vector>

namespace
{

constexpr uint32_t m = 16, ef_construction = 200;

double cpu_seconds()
{
	timespec now;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return double(now.tv_sec) + double(now.tv_nsec) * 1e-9;
}

std::vector<float> unit_rows(const float *rows, uint32_t count, uint32_t dim)
{
	std::vector<float> units(rows, rows + size_t(count) * dim);

	for (uint32_t row = 0; row < count; row++) {
		float *values = &units[size_t(row) * dim];
		double sum = 0;

		for (uint32_t i = 0; i < dim; i++)
			sum += double(values[i]) * double(values[i]);
		for (uint32_t i = 0; sum > 0 && i < dim; i++)
			values[i] = float(double(values[i]) / std::sqrt(sum));
	}
	return units;
}

struct Both {
	const float *rows;      /* for Tern */
	const float *peer_rows; /* for hnswlib */
	uint32_t dim;
	ours_growing *ours;
	hnswlib::HierarchicalNSW<float> *peer;
};

double add_ours(const Both &both, uint32_t first, uint32_t count)
{
	double start = cpu_seconds();

	if (ours_growing_insert(both.ours, both.rows, first, count)) {
		std::fprintf(stderr, "inserts: a vector is refused\n");
		std::exit(1);
	}
	return count / (cpu_seconds() - start);
}

double add_peer(const Both &both, uint32_t first, uint32_t count)
{
	double start = cpu_seconds();

	for (uint32_t i = first; i < first + count; i++)
		both.peer->addPoint(both.peer_rows + size_t(i) * both.dim, i);
	return count / (cpu_seconds() - start);
}

void measure(const Both &both, uint32_t count)
{
	const uint32_t turn = count / PAIRED_REPEAT_MAX;
	paired rate = {};

	rate.name = "inserts, hnswlib and Tern";
	rate.unit = "vectors/s";
	for (uint32_t i = 0; i < PAIRED_REPEAT_MAX; i++) {
		double ours = i % 2 ? add_ours(both, i * turn, turn) : 0;
		double peer = add_peer(both, i * turn, turn);

		paired_add(&rate, peer, i % 2 ? ours : add_ours(both, i * turn, turn));
	}
	paired_print(&rate, false);
}

} /* namespace */

int main(int argc, char **argv)
{
	char error[FILES_ERROR_MAX];
	const float *rows;
	metric kind;
	files file;

	if (argc < 3 || metric_parse(argv[2], &kind)) {
		std::fprintf(stderr, "usage: inserts FILE l2|ip|cosine [COUNT]\n");
		return 2;
	}
	if (files_open(argv[1], "train", &file, error) || files_floats(&file, &rows, error)) {
		std::fprintf(stderr, "inserts: %s\n", error);
		return 1;
	}
	uint32_t count = argc > 3 ? uint32_t(std::strtoul(argv[3], nullptr, 10)) : file.count;
	count = std::max<uint32_t>(std::min(count, file.count), PAIRED_REPEAT_MAX);
	std::unique_ptr<hnswlib::SpaceInterface<float>> space;
	if (kind == METRIC_L2)
		space = std::make_unique<hnswlib::L2Space>(file.dim);
	else
		space = std::make_unique<hnswlib::InnerProductSpace>(file.dim);
	hnswlib::HierarchicalNSW<float> peer(space.get(), count, m, ef_construction);
	std::vector<float> units;
	if (kind == METRIC_COSINE)
		units = unit_rows(rows, count, file.dim);
	const ours_growing_options options = {kind, file.dim, count, m, ef_construction};
	Both both = {rows, units.empty() ? rows : units.data(), file.dim,
		     ours_growing_new(&options), &peer};
	if (!both.ours) {
		std::fprintf(stderr, "inserts: out of memory\n");
		return 1;
	}
	measure(both, count);
	ours_growing_free(both.ours);
	files_close(&file);
	return 0;
}
