/* SPDX-License-Identifier: Apache-2.0 */

#include "perf/peers/peer.hpp"

#include <hnswlib/hnswlib.h>

#include <algorithm>
#include <atomic>
#include <thread>

namespace peers
{
namespace
{

using Graph = hnswlib::HierarchicalNSW<float>;

class HnswlibAsker : public Asker
{
      public:
	HnswlibAsker(Graph &graph, const set &set, const float *queries)
	    : graph_(graph), set_(set), queries_(queries)
	{
	}
	void ask(uint32_t count, uint32_t ef, int32_t *labels) override
	{
		graph_.setEf(ef);
		for (uint32_t i = 0; i < count; i++) {
			auto hits = graph_.searchKnn(queries_ + size_t(i) * set_.dim, set_.k);
			int32_t *to = labels + size_t(i) * set_.k;

			std::fill(to + hits.size(), to + set_.k, -1);
			for (; !hits.empty(); hits.pop())
				to[hits.size() - 1] = int32_t(hits.top().second);
		}
	}

      private:
	Graph &graph_;
	const set &set_;
	const float *queries_;
};

class Hnswlib : public Peer
{
      public:
	void build(const set &set, const Rows &rows, const Options &options) override
	{
		set_ = &set;
		queries_ = rows.queries;
		if (set.metric == METRIC_L2)
			space_ = std::make_unique<hnswlib::L2Space>(set.dim);
		else
			space_ = std::make_unique<hnswlib::InnerProductSpace>(set.dim);
		graph_ = std::make_unique<Graph>(space_.get(), set.base_count, options.m,
						 options.ef_construction);
		/* The first point must be in before the others come from several threads. */
		graph_->addPoint(rows.base, 0);
		add_rest(rows.base, options.threads);
	}
	std::vector<Way> ways() override
	{
		std::vector<Way> ways;

		ways.push_back(
			{"hnswlib", std::make_unique<HnswlibAsker>(*graph_, *set_, queries_)});
		return ways;
	}

      private:
	void add_rest(const float *base, uint32_t thread_count)
	{
		std::atomic<uint32_t> next{1};
		std::vector<std::thread> threads;

		for (uint32_t i = 0; i < thread_count; i++)
			threads.emplace_back([&] {
				for (uint32_t row; (row = next++) < set_->base_count;)
					graph_->addPoint(base + size_t(row) * set_->dim, row);
			});
		for (std::thread &thread : threads)
			thread.join();
	}

	const set *set_ = nullptr;
	const float *queries_ = nullptr;
	std::unique_ptr<hnswlib::SpaceInterface<float>> space_;
	std::unique_ptr<Graph> graph_;
};

}

std::unique_ptr<Peer> new_hnswlib()
{
	return std::make_unique<Hnswlib>();
}

}
