/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/batch_check.h"

#include "base/rand.h"
#include "tests/lib/test.h"

#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>

#define PAGE      4096
#define ROWS_MAX  130
#define CANARY    0x5a5a5a5a
#define ROW_BYTES ((size_t)33 * (4096 + 64)) /* the most that any shape here takes */

/* Pages between two that can't be touched. */
struct fenced {
	uint8_t *bytes;
	size_t size;
};

static struct fenced fenced_new(size_t size)
{
	struct fenced fenced = {.size = align_up(size, PAGE)};
	uint8_t *map =
		mmap(NULL, fenced.size + 2 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_true(map != MAP_FAILED);
	fenced.bytes = map + PAGE;
	assert_int_equal(mprotect(fenced.bytes, fenced.size, PROT_READ | PROT_WRITE), 0);
	return fenced;
}

static void fenced_free(struct fenced *fenced)
{
	assert_int_equal(munmap(fenced->bytes - PAGE, fenced->size + 2 * PAGE), 0);
}

struct scene {
	const struct dist_batch_kernels *kernels;
	void (*look)(void);
	enum vector_type type;
	struct fenced rows, packed, products;
	uint8_t queries[DIST_BATCH_QUERIES][DIST_DIM_MAX];
	struct rand rand;
};

static struct scene scene;

/* Bytes of one shape: how many queries are set is part of it. */
struct shape {
	size_t dim;
	uint32_t rows;
	uint32_t queries;
	size_t gap; /* bytes between rows */
	bool at_end;
};

static int32_t value(uint8_t byte)
{
	return scene.type == VECTOR_I8 ? (int8_t)byte : byte;
}

static int64_t plain_product(const uint8_t *a, const uint8_t *b, size_t dim)
{
	int64_t sum = 0;

	for (size_t i = 0; i < dim; i++)
		sum += value(a[i]) * value(b[i]);
	return sum;
}

typedef uint8_t (*byte_fn)(void);

static uint8_t any_byte(void)
{
	return (uint8_t)rand_below(&scene.rand, 256);
}

/* Least, greatest, and what is next to them in either signedness. */
static uint8_t extreme_byte(void)
{
	static const uint8_t bytes[] = {0x00, 0x01, 0x7f, 0x80, 0x81, 0xfe, 0xff};

	return bytes[rand_below(&scene.rand, sizeof(bytes))];
}

static uint8_t byte_7f(void)
{
	return 0x7f;
}

static uint8_t byte_80(void)
{
	return 0x80;
}

static uint8_t byte_ff(void)
{
	return 0xff;
}

/* Padded with zeros. */
static void fill_row(uint8_t *row, size_t dim, byte_fn byte)
{
	memset(row, 0, dist_row_size(scene.type, dim));
	for (size_t i = 0; i < dim; i++)
		row[i] = byte();
}

/* What lies between rows must not count, so it isn't zero. */
static struct dist_batch_rows make_rows(const struct shape *shape, byte_fn byte)
{
	size_t size = dist_row_size(scene.type, shape->dim), stride = size + shape->gap;
	size_t span = shape->rows ? (shape->rows - 1) * stride + size : 0;
	uint8_t *first = scene.rows.bytes + (shape->at_end ? scene.rows.size - span : 0);

	assert_true(span <= scene.rows.size);
	memset(first, 0x77, span);
	for (uint32_t i = 0; i < shape->rows; i++)
		fill_row(first + i * stride, shape->dim, byte);
	return (struct dist_batch_rows){first, stride, shape->rows};
}

static void pack_queries(const struct shape *shape, byte_fn byte, struct dist_batch *batch)
{
	size_t size = dist_row_size(scene.type, shape->dim);

	/* At the end of what may be read. */
	dist_batch_init(batch, scene.kernels, scene.type, size,
			scene.packed.bytes + scene.packed.size - dist_batch_size(size));
	for (uint32_t i = 0; i < shape->queries; i++) {
		fill_row(scene.queries[i], shape->dim, byte);
		dist_batch_set(batch, i, scene.queries[i]);
	}
}

static void check(const struct shape *shape, byte_fn query_byte, byte_fn row_byte)
{
	size_t count = (size_t)shape->rows * DIST_BATCH_QUERIES;
	int32_t *products = (int32_t *)(void *)(scene.products.bytes + scene.products.size) - count;
	struct dist_batch batch;
	struct dist_batch_rows rows = make_rows(shape, row_byte);

	pack_queries(shape, query_byte, &batch);
	products[-1] = CANARY;
	dist_batch_products(&batch, &rows, products);
	assert_int_equal(products[-1], CANARY);
	for (uint32_t i = 0; i < shape->rows; i++)
		for (uint32_t j = 0; j < shape->queries; j++)
			assert_int_equal(products[i * DIST_BATCH_QUERIES + j],
					 plain_product(scene.queries[j],
						       rows.first + i * rows.stride, shape->dim));
	if (scene.look)
		scene.look();
}

static void check_dims(void)
{
	static const size_t large[] = {320, 500, 768, 784, 831, 1000, 1536, 2049, 4095, 4096};

	for (uint32_t dim = 1; dim <= 260; dim++) {
		const struct shape shape = {.dim = dim,
					    .rows = 1 + dim % 37,
					    .queries = DIST_BATCH_QUERIES - dim % 5,
					    .gap = dim % 3 * 7,
					    .at_end = dim % 2};

		check(&shape, any_byte, any_byte);
	}
	for (size_t i = 0; i < ARRAY_COUNT(large); i++) {
		const struct shape shape = {.dim = large[i],
					    .rows = 33,
					    .queries = DIST_BATCH_QUERIES,
					    .gap = i % 2 * 64,
					    .at_end = true};

		check(&shape, extreme_byte, any_byte);
	}
}

static void check_row_counts(void)
{
	for (uint32_t rows = 0; rows <= ROWS_MAX; rows += rows < 70 ? 1 : 15) {
		const struct shape shape = {.dim = 65 + rows % 2 * 63,
					    .rows = rows,
					    .queries = rows % 4 ? DIST_BATCH_QUERIES : 1 + rows / 4,
					    .gap = rows % 5,
					    .at_end = true};

		check(&shape, any_byte, extreme_byte);
	}
}

/* The largest sums that there are: at the greatest length, 255 * 255 each nearly fill i32. */
static void check_extremes(void)
{
	static const byte_fn bytes[] = {byte_7f, byte_80, byte_ff, extreme_byte};
	const struct shape shape = {.dim = 4095, .rows = 9, .queries = 5, .at_end = true};
	const struct shape longest = {.dim = DIST_DIM_MAX, .rows = 3, .queries = 2, .at_end = true};

	for (size_t i = 0; i < ARRAY_COUNT(bytes) * ARRAY_COUNT(bytes); i++)
		check(&shape, bytes[i % ARRAY_COUNT(bytes)], bytes[i / ARRAY_COUNT(bytes)]);
	check(&longest, byte_80, byte_80);
	check(&longest, byte_7f, byte_80);
	check(&longest, byte_ff, byte_ff);
}

void batch_check(const struct dist_batch_kernels *kernels, void (*look)(void))
{
	scene.kernels = kernels;
	scene.look = look;
	scene.rows = fenced_new(ROW_BYTES);
	scene.packed = fenced_new(dist_batch_size(DIST_DIM_MAX));
	scene.products = fenced_new((ROWS_MAX + 1) * DIST_BATCH_QUERIES * sizeof(int32_t));
	rand_init(&scene.rand, 1);
	for (unsigned type = VECTOR_I8; type <= VECTOR_U8; type++) {
		scene.type = (enum vector_type)type;
		check_dims();
		check_row_counts();
		check_extremes();
	}
	fenced_free(&scene.rows);
	fenced_free(&scene.packed);
	fenced_free(&scene.products);
}
