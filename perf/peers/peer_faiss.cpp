/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Debian compiles FAISS for the oldest x86-64, where its distances are one float
 * at a time. A graph over those would be beaten by anything, so the storage
 * under FAISS's graph has distances that are compiled here, for this processor.
 */

#include "perf/peers/peer.hpp"

#include <faiss/IndexHNSW.h>
#include <faiss/IndexScalarQuantizer.h>
#include <faiss/impl/DistanceComputer.h>

#include <omp.h>

#include <algorithm>

namespace peers
{
namespace
{

/* The sum of term(0) to term(dim - 1), in as many lanes as keep an adder busy. */
template <class Term> inline float sum_of(size_t dim, Term term)
{
	constexpr size_t lane_count = 64;
	float lanes[lane_count] = {}, sum = 0;
	size_t i = 0;

	for (; i + lane_count <= dim; i += lane_count)
		for (size_t j = 0; j < lane_count; j++)
			lanes[j] += term(i + j);
	for (size_t j = 0; i + j < dim; j++)
		lanes[j] += term(i + j);
#pragma omp simd reduction(+ : sum)
	for (size_t j = 0; j < lane_count; j++)
		sum += lanes[j];
	return sum;
}

template <bool is_l2> inline float term_of(float a, float b)
{
	return is_l2 ? (a - b) * (a - b) : a * b;
}

/* The metric is a template argument, so that the loop is inlined: FAISS does the same. */
template <bool is_l2> class FlatDistances : public faiss::FlatCodesDistanceComputer
{
      public:
	explicit FlatDistances(const faiss::IndexFlat &flat)
	    : FlatCodesDistanceComputer(flat.codes.data(), flat.code_size), dim_(flat.d)
	{
	}
	void set_query(const float *query) override
	{
		query_ = query;
	}
	float distance_to_code(const uint8_t *code) override
	{
		return between(query_, reinterpret_cast<const float *>(code));
	}
	float symmetric_dis(idx_t i, idx_t j) override
	{
		return between(row(i), row(j));
	}

      private:
	const float *row(idx_t i) const
	{
		return reinterpret_cast<const float *>(codes + i * code_size);
	}
	float between(const float *a, const float *b) const
	{
		return sum_of(dim_, [&](size_t i) { return term_of<is_l2>(a[i], b[i]); });
	}

	size_t dim_;
	const float *query_ = nullptr;
};

class Flat : public faiss::IndexFlat
{
      public:
	using faiss::IndexFlat::IndexFlat;
	faiss::FlatCodesDistanceComputer *get_FlatCodesDistanceComputer() const override
	{
		if (metric_type == faiss::METRIC_L2)
			return new FlatDistances<true>(*this);
		return new FlatDistances<false>(*this);
	}
};

/* A byte a value, spread evenly over what is between each dimension's least and greatest. */
template <bool is_l2> class ByteDistances : public faiss::FlatCodesDistanceComputer
{
      public:
	explicit ByteDistances(const faiss::IndexScalarQuantizer &index)
	    : FlatCodesDistanceComputer(index.codes.data(), index.code_size), dim_(index.d),
	      low_(dim_), step_(dim_)
	{
		const float *low = index.sq.trained.data(), *range = low + dim_;

		for (size_t i = 0; i < dim_; i++) {
			step_[i] = range[i] / 255;
			low_[i] = low[i] + step_[i] / 2;
		}
	}
	void set_query(const float *query) override
	{
		query_ = query;
	}
	float distance_to_code(const uint8_t *code) override
	{
		const float *query = query_, *low = low_.data(), *step = step_.data();

		return sum_of(dim_, [=](size_t i) {
			return term_of<is_l2>(query[i], low[i] + step[i] * float(code[i]));
		});
	}
	float symmetric_dis(idx_t i, idx_t j) override
	{
		const uint8_t *a = codes + i * code_size, *b = codes + j * code_size;
		const float *low = low_.data(), *step = step_.data();

		return sum_of(dim_, [=](size_t n) {
			return term_of<is_l2>(low[n] + step[n] * float(a[n]),
					      low[n] + step[n] * float(b[n]));
		});
	}

      private:
	size_t dim_;
	std::vector<float> low_; /* what code 0 stands for */
	std::vector<float> step_;
	const float *query_ = nullptr;
};

class Bytes : public faiss::IndexScalarQuantizer
{
      public:
	Bytes(int dim, faiss::MetricType metric)
	    : IndexScalarQuantizer(dim, faiss::ScalarQuantizer::QT_8bit, metric)
	{
	}
	faiss::FlatCodesDistanceComputer *get_FlatCodesDistanceComputer() const override
	{
		if (metric_type == faiss::METRIC_L2)
			return new ByteDistances<true>(*this);
		return new ByteDistances<false>(*this);
	}
};

/* All queries in one call, so that what FAISS prepares for a call is shared by all of them. */
class FaissAsker : public Asker
{
      public:
	FaissAsker(faiss::IndexHNSW &graph, const set &set, const float *queries)
	    : graph_(graph), set_(set), queries_(queries),
	      distances_(size_t(set.query_count) * set.k), labels_(distances_.size())
	{
	}
	void ask(uint32_t count, uint32_t ef, int32_t *labels) override
	{
		omp_set_num_threads(1);
		graph_.hnsw.efSearch = int(ef);
		graph_.search(count, queries_, set_.k, distances_.data(), labels_.data());
		std::copy_n(labels_.begin(), size_t(count) * set_.k, labels);
	}

      private:
	faiss::IndexHNSW &graph_;
	const set &set_;
	const float *queries_;
	std::vector<float> distances_;
	std::vector<faiss::Index::idx_t> labels_;
};

template <class Storage> class Faiss : public Peer
{
      public:
	explicit Faiss(const char *name) : name_(name)
	{
	}
	void build(const set &set, const Rows &rows, const Options &options) override
	{
		set_ = &set;
		queries_ = rows.queries;
		storage_ = std::make_unique<Storage>(
			int(set.dim),
			set.metric == METRIC_L2 ? faiss::METRIC_L2 : faiss::METRIC_INNER_PRODUCT);
		graph_ = std::make_unique<faiss::IndexHNSW>(storage_.get(), int(options.m));
		graph_->hnsw.efConstruction = int(options.ef_construction);
		omp_set_num_threads(int(options.threads));
		graph_->train(set.base_count, rows.base);
		graph_->add(set.base_count, rows.base);
	}
	std::vector<Way> ways() override
	{
		std::vector<Way> ways;

		ways.push_back({name_, std::make_unique<FaissAsker>(*graph_, *set_, queries_)});
		return ways;
	}

      private:
	const char *name_;
	const set *set_ = nullptr;
	const float *queries_ = nullptr;
	std::unique_ptr<Storage> storage_;
	std::unique_ptr<faiss::IndexHNSW> graph_;
};

}

std::unique_ptr<Peer> new_faiss_flat()
{
	return std::make_unique<Faiss<Flat>>("faiss");
}

std::unique_ptr<Peer> new_faiss_sq8()
{
	return std::make_unique<Faiss<Bytes>>("faiss-sq8");
}

}
