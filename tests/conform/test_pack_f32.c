/* SPDX-License-Identifier: Apache-2.0 */
#include "base/byteorder.h"
#include "base/defs.h"
#include "base/rand.h"
#include "proto/pack_f32.h"
#include "tests/lib/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* Up to here every count is tried: several steps of the widest table, and every tail. */
#define COUNT_MAX 70

static const char *const isas[] = {"scalar", "avx2", "avx512"};

/* Elements as they stand on the wire, made without the code under test. */
static void make_elements(struct rand *rand, uint8_t *bytes, uint32_t *bits, size_t count)
{
	/* Markers as values too, so that a shifted read does not go unseen. */
	static const uint32_t hostile[] = {0xcacacaca, 0x7fc12345, 0x7f812345, 0xffffffff,
					   0x80000000, 1,          0xca000000, 0x000000ca};

	for (size_t i = 0; i < count; i++) {
		bits[i] = rand_below(rand, 2) ? (uint32_t)rand_next(rand)
					      : hostile[rand_below(rand, ARRAY_COUNT(hostile))];
		bytes[5 * i] = 0xca;
		bytes[5 * i + 1] = (uint8_t)(bits[i] >> 24);
		bytes[5 * i + 2] = (uint8_t)(bits[i] >> 16);
		bytes[5 * i + 3] = (uint8_t)(bits[i] >> 8);
		bytes[5 * i + 4] = (uint8_t)bits[i];
	}
}

/* Two pages, the second of which faults: what ends at the first's end is never overrun unseen. */
static uint8_t *map_before_fault(size_t *ret_size)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	uint8_t *pages =
		mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_true(pages != MAP_FAILED);
	assert_int_equal(mprotect(pages + page, page, PROT_NONE), 0);
	*ret_size = page;
	return pages;
}

static void check_every_count(const struct pack_f32_table *table)
{
	struct rand rand;
	size_t size;
	uint8_t *wire = map_before_fault(&size), *floats = map_before_fault(&size);
	uint8_t bytes[COUNT_MAX * PACK_F32_SIZE];
	uint32_t bits[COUNT_MAX];

	rand_init(&rand, 42);
	for (size_t count = 0; count <= COUNT_MAX; count++) {
		uint8_t *wire_at = wire + size - count * PACK_F32_SIZE;
		float *floats_at = (float *)(void *)(floats + size - count * sizeof(float));

		make_elements(&rand, bytes, bits, count);
		memcpy(wire_at, bytes, count * PACK_F32_SIZE);
		assert_true(table->decode(wire_at, floats_at, count));
		assert_memory_equal(floats_at, bits, count * sizeof(float));
		memset(wire_at, 0, count * PACK_F32_SIZE);
		table->encode(floats_at, wire_at, count);
		assert_memory_equal(wire_at, bytes, count * PACK_F32_SIZE);
	}
	munmap(wire, 2 * size);
	munmap(floats, 2 * size);
}

static void every_isa_reads_and_writes_the_same_bits_at_every_count(void **state)
{
	for (size_t i = 0; i < ARRAY_COUNT(isas); i++) {
		const struct pack_f32_table *table = pack_f32_find(isas[i]);

		if (table)
			check_every_count(table);
		else
			print_message("%s: not on this processor\n", isas[i]);
	}
}

/* Nothing in front of or behind the elements is written. */
static void every_isa_stays_inside_its_buffers(void **state)
{
	uint8_t bytes[COUNT_MAX * PACK_F32_SIZE + 2], canary[COUNT_MAX * PACK_F32_SIZE + 1];
	float floats[COUNT_MAX] = {0}, back[COUNT_MAX + 2];

	for (size_t i = 0; i < ARRAY_COUNT(isas); i++) {
		const struct pack_f32_table *table = pack_f32_find(isas[i]);

		for (size_t count = 0; table && count <= COUNT_MAX; count++) {
			memset(bytes, 0x55, sizeof(bytes));
			memset(back, 0x55, sizeof(back));
			memset(canary, 0x55, sizeof(canary));
			table->encode(floats, bytes + 1, count);
			assert_int_equal(bytes[0], 0x55);
			assert_memory_equal(bytes + 1 + count * PACK_F32_SIZE, canary,
					    sizeof(bytes) - 1 - count * PACK_F32_SIZE);
			assert_true(table->decode(bytes + 1, back + 1, count));
			assert_memory_equal(back, canary, sizeof(float));
			assert_memory_equal(back + 1 + count, canary, sizeof(float));
		}
	}
}

static void every_isa_refuses_every_wrong_marker_at_every_position(void **state)
{
	uint8_t bytes[COUNT_MAX * PACK_F32_SIZE];
	uint32_t bits[COUNT_MAX];
	float floats[COUNT_MAX];
	struct rand rand;

	rand_init(&rand, 43);
	make_elements(&rand, bytes, bits, COUNT_MAX);
	for (size_t i = 0; i < ARRAY_COUNT(isas); i++) {
		const struct pack_f32_table *table = pack_f32_find(isas[i]);

		for (size_t at = 0; table && at < COUNT_MAX; at++) {
			for (unsigned marker = 0; marker < 256; marker++) {
				bytes[at * PACK_F32_SIZE] = (uint8_t)marker;
				assert_int_equal(table->decode(bytes, floats, COUNT_MAX),
						 marker == 0xca);
			}
			bytes[at * PACK_F32_SIZE] = 0xca;
		}
	}
}

static void unknown_isas_are_not_found(void **state)
{
	assert_null(pack_f32_find("neon"));
	assert_null(pack_f32_find(""));
	assert_string_equal(pack_f32_find("scalar")->isa, "scalar");
}

/* The first use decides, so this program is told its ISA by main(). */
static void the_environment_names_the_table(void **state)
{
	assert_string_equal(pack_f32_table()->isa, "scalar");
	assert_ptr_equal(pack_f32_table(), pack_f32_find("scalar"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_environment_names_the_table),
		cmocka_unit_test(every_isa_reads_and_writes_the_same_bits_at_every_count),
		cmocka_unit_test(every_isa_stays_inside_its_buffers),
		cmocka_unit_test(every_isa_refuses_every_wrong_marker_at_every_position),
		cmocka_unit_test(unknown_isas_are_not_found),
	};

	setenv("TERN_ISA", "scalar", 1);
	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
