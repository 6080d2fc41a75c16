/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/test.h"

#include "base/crc.h"
#include "base/defs.h"
#include "hnsw/dist.h"
#include "tests/lib/kinds.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/*
 * The kernels are chosen once a process, so each instruction set gets a child
 * of its own, which tells the checksum of what it has built.
 */

#define ROWS 300
#define DIM  37

#define KINDS_MAX 64

struct built {
	char isa[16];
	uint32_t crcs[KINDS_MAX];  /* of a segment of each kind */
	uint32_t huges[KINDS_MAX]; /* of one of f32 whose sums leave their range */
};

/* Rows of f32 are of up to 'scale'; others stay as they are. */
static uint32_t crc_of_kind(const struct kind *kind, float scale)
{
	float *rows = kinds_vectors(kind->type, ROWS, DIM, 1);
	const struct kinds_input input = {.rows = rows, .count = ROWS, .dim = DIM};
	struct build_image image;
	struct segment segment;
	uint32_t crc;

	for (uint32_t i = 0; kind->type == VECTOR_F32 && i < ROWS * DIM; i++)
		rows[i] = fmodf(rows[i], 1) * scale;
	kinds_build(kind, &input, &image, &segment);
	crc = crc32c(image.bytes, image.size);
	build_image_free(&image);
	free(rows);
	return crc;
}

static void build_and_tell(const char *isa, int to)
{
	struct built built = {0};

	setenv("TERN_ISA", isa, 1);
	snprintf(built.isa, sizeof(built.isa), "%s", dist_best()->isa);
	for (unsigned i = 0; i < kinds_count; i++) {
		built.crcs[i] = crc_of_kind(&kinds[i], 1);
		if (kinds[i].type == VECTOR_F32)
			built.huges[i] = crc_of_kind(&kinds[i], FLT_MAX);
	}
	_exit(write(to, &built, sizeof(built)) == sizeof(built) ? 0 : 1);
}

static struct built build_under(const char *isa)
{
	struct built built;
	int pipes[2], status;
	pid_t child;

	assert_int_equal(pipe(pipes), 0);
	child = fork();
	assert_true(child >= 0);
	if (child == 0)
		build_and_tell(isa, pipes[1]);
	close(pipes[1]);
	assert_int_equal(read(pipes[0], &built, sizeof(built)), sizeof(built));
	close(pipes[0]);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	return built;
}

static void every_instruction_set_builds_the_same_bytes(void **state)
{
	static const char *const isas[] = {"avx2", "avx512", "amx"};
	struct built scalar = build_under("scalar");

	assert_true(kinds_count <= KINDS_MAX);
	assert_string_equal(scalar.isa, "scalar");
	for (size_t i = 0; i < ARRAY_COUNT(isas); i++) {
		struct built built;

		if (!dist_find(isas[i]))
			continue;
		built = build_under(isas[i]);
		assert_string_equal(built.isa, isas[i]);
		assert_memory_equal(built.crcs, scalar.crcs, sizeof(built.crcs));
		assert_memory_equal(built.huges, scalar.huges, sizeof(built.huges));
	}
}

static void an_unknown_instruction_set_is_passed_over(void **state)
{
	struct built built = build_under("sse9");

	assert_non_null(dist_find(built.isa));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_instruction_set_builds_the_same_bytes),
		cmocka_unit_test(an_unknown_instruction_set_is_passed_over),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
