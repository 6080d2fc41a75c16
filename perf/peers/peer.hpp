/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Peer - one library's index as the driver sees it
 *
 * All get the same: a graph of M = 16 and ef_construction = 200, and queries as
 * f32. Cosine is unit vectors and the inner product for those that have no
 * cosine of their own.
 *
 * Threads: build() starts and joins its own; the rest belongs to one.
 */

extern "C" {
#include "perf/peers/set.h"
}

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace peers
{

struct Options {
	uint32_t m = 16;
	uint32_t ef_construction = 200;
	uint32_t threads = 2;
	uint32_t ef_max = 0;
	uint32_t in_flight = 8;
};

/* The rows that a peer with an inner product only is given: of unit length under cosine. */
struct Rows {
	const float *base;
	const float *queries;
};

/* One way of asking an index. */
class Asker
{
      public:
	virtual ~Asker() = default;
	/* Asks the first 'count' queries on this thread; k labels each, -1 for none. */
	virtual void ask(uint32_t count, uint32_t ef, int32_t *labels) = 0;
};

struct Way {
	std::string name;
	std::unique_ptr<Asker> asker;
};

/* An index, with the ways in which it is asked: Tern has two, the others one. */
class Peer
{
      public:
	virtual ~Peer() = default;
	virtual void build(const set &set, const Rows &rows, const Options &options) = 0;
	/* Bytes that the index itself says it has; 0: it doesn't say. */
	virtual uint64_t size() const
	{
		return 0;
	}
	virtual std::vector<Way> ways() = 0;
};

std::unique_ptr<Peer> new_tern();
std::unique_ptr<Peer> new_hnswlib();
std::unique_ptr<Peer> new_faiss_flat();
std::unique_ptr<Peer> new_faiss_sq8();

}
