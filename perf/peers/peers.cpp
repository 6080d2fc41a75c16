/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Peers - Tern, hnswlib and FAISS in one process, asked in turns
 *
 * Machines are noisy, so that only what ran within the same seconds can be
 * compared: in each repetition, at each ef, every peer is warmed up and then
 * timed, one right after the other; who begins changes with the repetition.
 * Prints JSON lines; table.py makes tables of them.
 */

#include "perf/peers/peer.hpp"

#include <getopt.h>
#include <malloc.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cinttypes>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <stdexcept>

namespace
{

using peers::Options;
using peers::Peer;
using peers::Rows;
using peers::Way;

constexpr uint32_t ef_limit = 8192;

struct Request {
	set_paths paths = {};
	std::string name = "set";
	enum metric metric = METRIC_L2;
	std::vector<uint32_t> ef = {10, 12, 14,  16,  20,  24,  28,  32,  40,  48,  56,  64,
				    80, 96, 112, 128, 160, 200, 256, 320, 400, 512, 640, 800};
	std::string peers = "tern,hnswlib,faiss,faiss-sq8";
	uint32_t rep = 10;
	uint32_t k = 10;
	uint32_t queries = 2000;
	uint32_t warm_up = 200;
	Options options;
};

constexpr char usage[] =
	"usage: peers --base F --query F --truth F [--metric l2|ip|cosine] [--name NAME] [--ef "
	"LIST]\n"
	"             [--rep N] [--queries N] [--warm-up N] [--k N] [--threads N] [--in-flight N]\n"
	"             [--m N] [--ef-construction N] [--peers LIST]\n";

[[noreturn]] void die(int status, const std::string &what)
{
	fprintf(stderr, "peers: %s\n", what.c_str());
	exit(status);
}

uint32_t number(const char *name, const std::string &text, uint32_t max)
{
	char *end;
	unsigned long value = strtoul(text.c_str(), &end, 10);

	if (text.empty() || *end || value < 1 || value > max)
		die(2, std::string(name) + " is from 1 to " + std::to_string(max) + ", not '" +
			       text + "'");
	return uint32_t(value);
}

std::vector<std::string> split(const std::string &text)
{
	std::vector<std::string> words;
	size_t from = 0, comma;

	while ((comma = text.find(',', from)) != std::string::npos) {
		words.push_back(text.substr(from, comma - from));
		from = comma + 1;
	}
	words.push_back(text.substr(from));
	return words;
}

Request read_request(int argc, char **argv)
{
	enum {
		base,
		query,
		truth,
		metric_of,
		name,
		ef,
		rep,
		queries,
		warm_up,
		k,
		threads,
		in_flight,
		m,
		ef_construction,
		peers
	};
	const option options[] = {
		{"base", 1, nullptr, base},
		{"query", 1, nullptr, query},
		{"truth", 1, nullptr, truth},
		{"metric", 1, nullptr, metric_of},
		{"name", 1, nullptr, name},
		{"ef", 1, nullptr, ef},
		{"rep", 1, nullptr, rep},
		{"queries", 1, nullptr, queries},
		{"warm-up", 1, nullptr, warm_up},
		{"k", 1, nullptr, k},
		{"threads", 1, nullptr, threads},
		{"in-flight", 1, nullptr, in_flight},
		{"m", 1, nullptr, m},
		{"ef-construction", 1, nullptr, ef_construction},
		{"peers", 1, nullptr, peers},
		{},
	};
	Request request;
	int which;

	while ((which = getopt_long(argc, argv, "", options, nullptr)) != -1) {
		switch (which) {
		case base:
			request.paths.base = optarg;
			break;
		case query:
			request.paths.query = optarg;
			break;
		case truth:
			request.paths.truth = optarg;
			break;
		case metric_of:
			if (metric_parse(optarg, &request.metric))
				die(2, "--metric is l2, ip or cosine");
			break;
		case name:
			request.name = optarg;
			break;
		case ef:
			request.ef.clear();
			for (const std::string &word : split(optarg))
				request.ef.push_back(number("--ef", word, ef_limit));
			break;
		case rep:
			request.rep = number("--rep", optarg, 1000);
			break;
		case queries:
			request.queries = number("--queries", optarg, 1000000);
			break;
		case warm_up:
			request.warm_up = number("--warm-up", optarg, 1000000);
			break;
		case k:
			request.k = number("--k", optarg, 1000);
			break;
		case threads:
			request.options.threads = number("--threads", optarg, 256);
			break;
		case in_flight:
			request.options.in_flight = number("--in-flight", optarg, 64);
			break;
		case m:
			request.options.m = number("--m", optarg, 128);
			break;
		case ef_construction:
			request.options.ef_construction =
				number("--ef-construction", optarg, ef_limit);
			break;
		case peers:
			request.peers = optarg;
			break;
		default:
			fputs(usage, stderr);
			exit(2);
		}
	}
	if (!request.paths.base || !request.paths.query || !request.paths.truth || optind < argc) {
		fputs(usage, stderr);
		exit(2);
	}
	for (uint32_t one : request.ef)
		request.options.ef_max = std::max(request.options.ef_max, one);
	return request;
}

std::unique_ptr<Peer> new_peer(const std::string &name)
{
	if (name == "tern")
		return peers::new_tern();
	if (name == "hnswlib")
		return peers::new_hnswlib();
	if (name == "faiss")
		return peers::new_faiss_flat();
	if (name == "faiss-sq8")
		return peers::new_faiss_sq8();
	die(2, "no peer is called '" + name + "'; there are tern, hnswlib, faiss and faiss-sq8");
}

/* Rows of unit length; a zero row stays as it is. */
std::vector<float> unit_rows(const float *rows, size_t count, size_t dim)
{
	std::vector<float> unit(rows, rows + count * dim);

	for (size_t i = 0; i < count; i++) {
		float *row = unit.data() + i * dim;
		double sum = 0;

		for (size_t j = 0; j < dim; j++)
			sum += double(row[j]) * double(row[j]);
		for (size_t j = 0; j < dim && sum > 0; j++)
			row[j] = float(double(row[j]) / std::sqrt(sum));
	}
	return unit;
}

/* Bytes of memory that this process has, once the heap gave back what it can. */
int64_t resident()
{
	long long total = 0, pages = 0;
	FILE *file;

	malloc_trim(0);
	file = fopen("/proc/self/statm", "r");
	if (!file || fscanf(file, "%lld %lld", &total, &pages) != 2)
		die(1, "/proc/self/statm can't be read");
	fclose(file);
	return pages * sysconf(_SC_PAGESIZE);
}

double seconds_now()
{
	return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch())
		.count();
}

void print_set(const Request &request, const set &set)
{
	const char *tunables = getenv("GLIBC_TUNABLES");
	bool huge = tunables && strstr(tunables, "glibc.malloc.hugetlb=1");

	if (!huge)
		fprintf(stderr, "peers: the heap has small pages; set "
				"GLIBC_TUNABLES=glibc.malloc.hugetlb=1\n");
	printf("{\"event\":\"set\",\"set\":\"%s\",\"vectors\":%" PRIu32 ",\"dim\":%" PRIu32
	       ",\"metric\":\"%s\",\"queries\":%" PRIu32 ",\"k\":%" PRIu32 ",\"m\":%" PRIu32
	       ",\"ef_construction\":%" PRIu32 ",\"threads\":%" PRIu32 ",\"huge_pages\":%s}\n",
	       request.name.c_str(), set.base_count, set.dim, metric_name(set.metric),
	       set.query_count, set.k, request.options.m, request.options.ef_construction,
	       request.options.threads, huge ? "true" : "false");
	fflush(stdout);
}

std::unique_ptr<Peer> build(const Request &request, const std::string &name, const set &set,
			    const Rows &rows)
{
	std::unique_ptr<Peer> peer = new_peer(name);
	int64_t before = resident();
	double start = seconds_now(), took;

	fprintf(stderr, "peers: %s: building %s\n", request.name.c_str(), name.c_str());
	peer->build(set, rows, request.options);
	took = seconds_now() - start;
	printf("{\"event\":\"build\",\"set\":\"%s\",\"peer\":\"%s\",\"seconds\":%.3f,\"resident_"
	       "bytes\":%" PRId64 ",\"index_bytes\":%" PRIu64 "}\n",
	       request.name.c_str(), name.c_str(), took, resident() - before, peer->size());
	fflush(stdout);
	return peer;
}

void measure(const Request &request, const set &set, const Way &way, uint32_t ef, uint32_t rep,
	     int32_t *labels)
{
	double start, took;

	way.asker->ask(std::min(request.warm_up, set.query_count), ef, labels);
	start = seconds_now();
	way.asker->ask(set.query_count, ef, labels);
	took = seconds_now() - start;
	printf("{\"event\":\"search\",\"set\":\"%s\",\"peer\":\"%s\",\"rep\":%" PRIu32
	       ",\"ef\":%" PRIu32 ",\"k\":%" PRIu32 ",\"recall\":%.6f,\"qps\":%.1f}\n",
	       request.name.c_str(), way.name.c_str(), rep, ef, set.k, set_recall(&set, labels),
	       set.query_count / took);
	fflush(stdout);
}

void sweep(const Request &request, const set &set, const std::vector<Way> &ways)
{
	std::vector<int32_t> labels(size_t(set.query_count) * set.k);

	for (uint32_t rep = 0; rep < request.rep; rep++) {
		fprintf(stderr, "peers: %s: repetition %" PRIu32 " of %" PRIu32 "\n",
			request.name.c_str(), rep + 1, request.rep);
		for (uint32_t ef : request.ef)
			for (size_t i = 0; i < ways.size(); i++)
				measure(request, set, ways[(i + rep) % ways.size()], ef, rep,
					labels.data());
	}
}

void run(const Request &request, const set &set)
{
	std::vector<float> unit_base, unit_queries;
	std::vector<std::unique_ptr<Peer>> built;
	std::vector<Way> ways;
	Rows rows = {set.base, set.queries};

	if (set.metric == METRIC_COSINE) {
		unit_base = unit_rows(set.base, set.base_count, set.dim);
		unit_queries = unit_rows(set.queries, set.query_count, set.dim);
		rows = {unit_base.data(), unit_queries.data()};
	}
	print_set(request, set);
	for (const std::string &name : split(request.peers)) {
		built.push_back(build(request, name, set, rows));
		for (Way &way : built.back()->ways())
			ways.push_back(std::move(way));
	}
	sweep(request, set, ways);
}

}

int main(int argc, char **argv)
{
	const Request request = read_request(argc, argv);
	char error[SET_ERROR_MAX];
	struct set set;

	if (set_open(&request.paths, request.metric, request.k, request.queries, &set, error))
		die(1, error);
	try {
		run(request, set);
	} catch (const std::exception &failure) {
		die(1, failure.what());
	}
	set_close(&set);
	return 0;
}
