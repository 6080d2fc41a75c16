/* SPDX-License-Identifier: Apache-2.0 */

#include "perf/peers/peer.hpp"

extern "C" {
#include "perf/peers/ours.h"
}

#include <stdexcept>

namespace peers
{
namespace
{

class TernAsker : public Asker
{
      public:
	TernAsker(ours *index, const set &set, uint32_t in_flight)
	    : index_(index), set_(set), in_flight_(in_flight)
	{
	}
	void ask(uint32_t count, uint32_t ef, int32_t *labels) override
	{
		const ours_params params = {count, set_.k, ef, in_flight_};

		ours_search(index_, set_.queries, &params, labels);
	}

      private:
	ours *index_;
	const set &set_;
	uint32_t in_flight_;
};

class Tern : public Peer
{
      public:
	~Tern() override
	{
		ours_free(index_);
	}
	void build(const set &set, const Rows &, const Options &options) override
	{
		const ours_options ours = {options.m, options.ef_construction, options.threads,
					   options.ef_max, options.in_flight};

		set_ = &set;
		in_flight_ = options.in_flight;
		if (ours_build(&set, &ours, &index_))
			throw std::runtime_error("tern has no index");
	}
	uint64_t size() const override
	{
		return ours_size(index_);
	}
	std::vector<Way> ways() override
	{
		std::vector<Way> ways;

		ways.push_back({"tern", std::make_unique<TernAsker>(index_, *set_, 1)});
		if (in_flight_ > 1)
			ways.push_back({"tern-x" + std::to_string(in_flight_),
					std::make_unique<TernAsker>(index_, *set_, in_flight_)});
		return ways;
	}

      private:
	ours *index_ = nullptr;
	const set *set_ = nullptr;
	uint32_t in_flight_ = 1;
};

}

std::unique_ptr<Peer> new_tern()
{
	return std::make_unique<Tern>();
}

}
