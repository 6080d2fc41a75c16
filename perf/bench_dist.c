/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Bench dist - what a distance costs beside the memory that feeds it
 *
 *      bench_dist [--json] [TYPE]
 *
 * Each kernel of each type and instruction set, one row against many in random
 * order: from the first-level cache, the second-level one, and memory. A
 * distance's nanoseconds stand next to those of plainly reading the row, one word
 * of each line, and its GB/s are the row's bytes. Then kernels that need more than
 * AVX-512's first instructions, next to those that do without; and products of many queries with
 * many rows, next to those of one pair.
 */

#include "base/clock.h"
#include "base/defs.h"
#include "base/rand.h"
#include "hnsw/dist_batch.h"
#include "hnsw/dist_order.h"
#include "perf/lib/paired.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define MEMORY_SIZE ((size_t)256 << 20)
#define READ_BYTES  ((size_t)4 << 20) /* of one measurement */
#define READ_TURNS  32 /* measurements before rows are met again: no cache holds as much */
#define ORDER_MAX   (READ_TURNS * READ_BYTES / DIST_ALIGN)
#define VALUES_MAX  4096
#define AHEAD       4 /* rows that are asked for before they are needed */

static const size_t dims[] = {128, 768};

static const struct place {
	const char *name;
	size_t size;
} places[] = {{"L1", 16 << 10}, {"L2", 512 << 10}, {"memory", MEMORY_SIZE}};

static const struct {
	const char *name;
	bool mixed;
	enum metric metric;
} shapes[] = {
	{"pair l2", false, METRIC_L2},
	{"pair ip", false, METRIC_IP},
	{"mixed l2", true, METRIC_L2},
	{"mixed ip", true, METRIC_IP},
};

/* Rows of one type and length, and the order in which they are compared with the first one. */
struct rows {
	const struct place *place;
	enum vector_type type;
	size_t dim;
	size_t size;  /* of a row */
	size_t count; /* of one measurement */
	size_t turn;
	uint8_t *bytes;
	uint32_t order[ORDER_MAX];
	float query[VALUES_MAX];
};

static struct rows rows;

/* Any type sees tame values in these bytes: no NaN, no subnormal. */
static void fill_memory(void)
{
	struct rand rand;

	rows.bytes =
		mmap(NULL, MEMORY_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (rows.bytes == MAP_FAILED) {
		fprintf(stderr, "bench_dist: out of memory\n");
		exit(1);
	}
	(void)madvise(rows.bytes, MEMORY_SIZE, MADV_HUGEPAGE);
	for (size_t i = 0; i < MEMORY_SIZE; i++)
		rows.bytes[i] = i % 2 ? 0x3d : (uint8_t)(i * 37 >> 1);
	rand_init(&rand, 1);
	for (size_t i = 0; i < VALUES_MAX; i++)
		rows.query[i] = (float)rand_unit(&rand);
}

static void choose_rows(const struct place *place, enum vector_type type, size_t dim)
{
	struct rand rand;

	rows.place = place;
	rows.type = type;
	rows.dim = dim;
	rows.size = dist_row_size(type, dim);
	rows.count = READ_BYTES / rows.size;
	rand_init(&rand, 1);
	for (size_t i = 0; i < READ_TURNS * rows.count; i++)
		rows.order[i] = (uint32_t)rand_below(&rand, place->size / rows.size);
}

/* Keeps the compiler from leaving the work out. */
static volatile float sink;

static inline const uint8_t *row_at(size_t index)
{
	return rows.bytes + rows.order[rows.turn * rows.count + index] * rows.size;
}

static void next_turn(void)
{
	rows.turn = (rows.turn + 1) % READ_TURNS;
}

/* What lies in the caches needs no asking for. */
static inline void prefetch_row(size_t index)
{
	if (rows.place->size < MEMORY_SIZE || index >= rows.count)
		return;
	for (size_t i = 0; i < rows.size; i += CACHE_LINE)
		__builtin_prefetch(row_at(index) + i);
}

/* Nanoseconds of reading a row and of nothing done with it but adding one word a line. */
static double read_ns(void)
{
	uint64_t start = clock_now_ns();
	uint64_t sum = 0;

	for (size_t i = 0; i < rows.count; i++) {
		const uint8_t *row = row_at(i);

		prefetch_row(i + AHEAD);
		for (size_t j = 0; j < rows.size; j += CACHE_LINE)
			sum += *(const volatile uint64_t *)(const volatile void *)(row + j);
	}
	sink = (float)sum;
	next_turn();
	return (double)(clock_now_ns() - start) / (double)rows.count;
}

static double kernel_ns(dist_row_fn kernel, bool mixed)
{
	const void *query = mixed ? (const void *)rows.query : rows.bytes;
	uint64_t start = clock_now_ns();
	float sum = 0;

	for (size_t i = 0; i < rows.count; i++) {
		prefetch_row(i + AHEAD);
		sum += kernel(query, row_at(i), rows.size);
	}
	sink = sum;
	next_turn();
	return (double)(clock_now_ns() - start) / (double)rows.count;
}

/* Bytes a nanosecond are GB/s. */
static void print(struct paired *ns, const char *beside, bool json)
{
	double ratio = paired_ratio(ns);
	double raw = paired_quantile(ns->raw, ns->count, 0.5);
	double ours = paired_quantile(ns->ours, ns->count, 0.5);
	const char *format =
		json ? "{\"event\":\"perf\",\"name\":\"%s, %zu %s from %s\",\"beside\":\"%s\","
		       "\"ns\":%.4g,\"gb_s\":%.4g,\"beside_ns\":%.4g,\"ratio\":%.4f}\n"
		     : "%-16s %4zu %-4s from %-6s  beside %-8s %7.2f ns %7.2f GB/s  "
		       "(%.2f ns, ratio %.3f)\n";

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	printf(format, ns->name, rows.dim, vector_type_name(rows.type), rows.place->name, beside,
	       ours, (double)rows.size / ours, raw, ratio);
#pragma GCC diagnostic pop
	fflush(stdout);
}

static dist_row_fn find_kernel(const struct dist_table *table, size_t shape)
{
	struct dist_row_measure measure = dist_row_measure(table, rows.type, shapes[shape].metric);

	return shapes[shape].mixed ? measure.mixed : measure.pair;
}

/* The same kernel on each instruction set. */
static void bench_shape(size_t shape, bool json)
{
	static const char *const isas[] = {"scalar", "avx2", "avx512"};

	for (size_t i = 0; i < ARRAY_COUNT(isas); i++) {
		const struct dist_table *table = dist_find(isas[i]);
		dist_row_fn kernel = table ? find_kernel(table, shape) : NULL;
		char name[40];
		struct paired ns = {.name = name};

		if (!kernel)
			continue;
		snprintf(name, sizeof(name), "%s %s", shapes[shape].name, isas[i]);
		for (unsigned repeat = 0; repeat < PAIRED_REPEAT; repeat++)
			paired_add(&ns, read_ns(), kernel_ns(kernel, shapes[shape].mixed));
		print(&ns, "reading", json);
	}
}

/* AVX-512 as this processor has it, next to what all that have it can do. */
static void bench_extension(size_t shape, bool json)
{
#if defined(__x86_64__)
	const struct dist_table *table = dist_find("avx512");
	dist_row_fn plain = find_kernel(&dist_avx512, shape);
	struct paired ns = {.name = shapes[shape].name};

	if (!table || !plain || find_kernel(table, shape) == plain)
		return;
	for (unsigned repeat = 0; repeat < PAIRED_REPEAT; repeat++)
		paired_add(&ns, kernel_ns(plain, shapes[shape].mixed),
			   kernel_ns(find_kernel(table, shape), shapes[shape].mixed));
	print(&ns, "avx512bw", json);
#endif
}

#define BATCH_ROWS 32

/* Nanoseconds of a pair: rows in turn, BATCH_ROWS of them beside all queries of a batch. */
static double batch_ns(const struct dist_batch *batch)
{
	const size_t blocks = MAX(1U, rows.place->size / rows.size / BATCH_ROWS);
	const size_t count = READ_BYTES / rows.size / BATCH_ROWS;
	int32_t products[BATCH_ROWS * DIST_BATCH_QUERIES];
	uint64_t start = clock_now_ns();

	for (size_t i = 0; i < count; i++) {
		const struct dist_batch_rows block = {
			rows.bytes + i % blocks * BATCH_ROWS * rows.size, rows.size, BATCH_ROWS};

		dist_batch_products(batch, &block, products);
		sink = (float)products[0];
	}
	return (double)(clock_now_ns() - start) / (double)(count * BATCH_ROWS * DIST_BATCH_QUERIES);
}

/* The dot product of a pair in a batch of many, beside that of the same instructions alone. */
static void bench_batch(bool json)
{
	static const char *const isas[] = {"scalar", "avx2", "avx512", "amx"};
	static uint8_t packed[2 * DIST_BATCH_QUERIES * VALUES_MAX]
		__attribute__((aligned(DIST_ALIGN)));

	for (size_t i = 0; i < ARRAY_COUNT(isas); i++) {
		char name[40];
		struct paired ns = {.name = name};
		struct dist_batch batch;

		if (!dist_batch_find(isas[i]))
			continue;
		snprintf(name, sizeof(name), "batch ip %s", isas[i]);
		dist_batch_init(&batch, dist_batch_find(isas[i]), rows.type, rows.size, packed);
		for (uint32_t j = 0; j < DIST_BATCH_QUERIES; j++)
			dist_batch_set(&batch, j, rows.bytes + j * rows.size);
		for (unsigned repeat = 0; repeat < PAIRED_REPEAT; repeat++)
			paired_add(&ns,
				   kernel_ns(dist_find(isas[i])->kernels[rows.type].pair_ip, false),
				   batch_ns(&batch));
		print(&ns, "alone", json);
	}
}

static void bench_type(enum vector_type type, bool json)
{
	for (size_t i = 0; i < ARRAY_COUNT(places) * ARRAY_COUNT(dims); i++) {
		choose_rows(&places[i / ARRAY_COUNT(dims)], type, dims[i % ARRAY_COUNT(dims)]);
		for (size_t shape = 0; shape < ARRAY_COUNT(shapes); shape++) {
			bench_shape(shape, json);
			bench_extension(shape, json);
		}
		if (dist_batch_can(type))
			bench_batch(json);
	}
}

int main(int argc, char **argv)
{
	bool json = argc > 1 && strcmp(argv[1], "--json") == 0;
	enum vector_type only = VECTOR_TYPE_COUNT;

	argc -= json;
	argv += json;
	if (argc > 2 || (argc == 2 && vector_type_parse(argv[1], &only))) {
		fprintf(stderr, "usage: bench_dist [--json] [f32|f16|bf16|i8|u8|b1]\n");
		return 2;
	}
	fill_memory();
	for (unsigned type = 0; type < VECTOR_TYPE_COUNT; type++)
		if (only == VECTOR_TYPE_COUNT || only == type)
			bench_type(type, json);
	return 0;
}
