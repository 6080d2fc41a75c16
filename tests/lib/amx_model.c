/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/amx_model.h"

#include <stdbool.h>
#include <string.h>

struct amx_model amx_model;

void amx_model_reset(void)
{
	memset(&amx_model, 0, sizeof(amx_model));
}

/* A condition of the manual: false, and counted, where it doesn't hold. */
static bool holds(bool condition, const char *otherwise)
{
	if (!condition) {
		amx_model.faults++;
		amx_model.fault = otherwise;
	}
	return condition;
}

static bool all_zero(const uint8_t *bytes, size_t size)
{
	uint8_t any = 0;

	for (size_t i = 0; i < size; i++)
		any |= bytes[i];
	return any == 0;
}

/*
 * The operand: byte 0 the palette, 1 the first line of an interrupted load, from 16 on
 * the bytes a line of each tile in 16 bits, from 48 on its lines. Everything else is reserved.
 */
static bool parse(const uint8_t *operand, struct amx_model *next)
{
	bool good = holds(operand[0] <= 1, "LDTILECFG: palette") &&
		    holds(all_zero(operand + 2, 14), "LDTILECFG: bytes 2 to 15") &&
		    holds(all_zero(operand + 32, 16), "LDTILECFG: bytes a line of tiles above 7") &&
		    holds(all_zero(operand + 56, 8), "LDTILECFG: lines of tiles above 7");

	next->palette = operand[0];
	next->start_row = operand[1];
	for (unsigned i = 0; good && i < AMX_MODEL_TILES; i++) {
		uint16_t line_bytes = (uint16_t)(operand[16 + 2 * i] | operand[17 + 2 * i] << 8);
		uint8_t lines = operand[48 + i];

		good = holds(line_bytes <= AMX_MODEL_BYTES, "LDTILECFG: bytes a line") &&
		       holds(lines <= AMX_MODEL_LINES, "LDTILECFG: lines") &&
		       holds((line_bytes == 0) == (lines == 0), "LDTILECFG: half a tile");
		next->line_bytes[i] = line_bytes;
		next->lines[i] = lines;
	}
	return good;
}

void amx_model_ldtilecfg(const void *operand)
{
	struct amx_model next = amx_model;

	if (*(const uint8_t *)operand == 0) {
		amx_model_tilerelease();
		return;
	}
	if (!parse(operand, &next))
		return;
	next.configured++;
	memset(next.data, 0, sizeof(next.data));
	amx_model = next;
}

void amx_model_tilerelease(void)
{
	amx_model.palette = 0;
	amx_model.start_row = 0;
	memset(amx_model.line_bytes, 0, sizeof(amx_model.line_bytes));
	memset(amx_model.lines, 0, sizeof(amx_model.lines));
	memset(amx_model.data, 0, sizeof(amx_model.data));
}

static bool usable(unsigned tile)
{
	return holds(amx_model.palette == 1, "tiles are not configured") &&
	       holds(tile < AMX_MODEL_TILES, "no such tile") &&
	       holds(amx_model.lines[tile] > 0, "a tile is not configured");
}

/* Whatever writes a line zeroes what is beyond its bytes, and in the end the lines below. */
static void write_line(unsigned tile, unsigned line, const void *bytes)
{
	uint8_t *to = amx_model.data[tile][line];

	memset(to, 0, AMX_MODEL_BYTES);
	memcpy(to, bytes, amx_model.line_bytes[tile]);
}

static void zero_below(unsigned tile)
{
	for (unsigned line = amx_model.lines[tile]; line < AMX_MODEL_LINES; line++)
		memset(amx_model.data[tile][line], 0, AMX_MODEL_BYTES);
}

void amx_model_tilezero(unsigned tile)
{
	if (!usable(tile))
		return;
	memset(amx_model.data[tile], 0, sizeof(amx_model.data[tile]));
	amx_model.start_row = 0;
}

void amx_model_tileloadd(unsigned tile, const void *base, ptrdiff_t stride)
{
	if (!usable(tile))
		return;
	for (unsigned line = amx_model.start_row; line < amx_model.lines[tile]; line++)
		write_line(tile, line, (const uint8_t *)base + (ptrdiff_t)line * stride);
	zero_below(tile);
	amx_model.start_row = 0;
}

void amx_model_tilestored(unsigned tile, void *base, ptrdiff_t stride)
{
	if (!usable(tile))
		return;
	for (unsigned line = amx_model.start_row; line < amx_model.lines[tile]; line++)
		memcpy((uint8_t *)base + (ptrdiff_t)line * stride, amx_model.data[tile][line],
		       amx_model.line_bytes[tile]);
	amx_model.start_row = 0;
}

static bool can_multiply(unsigned sum, unsigned a, unsigned b)
{
	const uint16_t *line_bytes = amx_model.line_bytes;
	const uint8_t *lines = amx_model.lines;

	return usable(sum) && usable(a) && usable(b) &&
	       holds(sum != a && sum != b && a != b, "TDPB: one tile twice") &&
	       holds((line_bytes[sum] | line_bytes[a] | line_bytes[b]) % 4 == 0,
		     "TDPB: bytes a line are no multiple of 4") &&
	       holds(lines[sum] == lines[a], "TDPB: lines of the sum and of a") &&
	       holds(line_bytes[a] / 4 == lines[b], "TDPB: values of a and lines of b") &&
	       holds(line_bytes[sum] == line_bytes[b], "TDPB: columns of the sum and of b");
}

static uint32_t value(uint8_t byte, int is_signed)
{
	return is_signed ? (uint32_t)(int8_t)byte : byte;
}

/* Sums wrap around: these instructions don't saturate. */
static uint32_t add_four(uint32_t sum, const uint8_t *a, const uint8_t *b, int a_signed,
			 int b_signed)
{
	for (unsigned i = 0; i < 4; i++)
		sum += value(a[i], a_signed) * value(b[i], b_signed);
	return sum;
}

void amx_model_tdpb(unsigned sum, unsigned a, unsigned b, int a_signed, int b_signed)
{
	if (!can_multiply(sum, a, b))
		return;
	amx_model.products++;
	for (unsigned m = 0; m < amx_model.lines[sum]; m++) {
		uint32_t line[AMX_MODEL_BYTES / 4];

		memcpy(line, amx_model.data[sum][m], sizeof(line));
		for (unsigned k = 0; k < amx_model.line_bytes[a] / 4U; k++)
			for (unsigned n = 0; n < amx_model.line_bytes[sum] / 4U; n++)
				line[n] =
					add_four(line[n], &amx_model.data[a][m][4 * k],
						 &amx_model.data[b][k][4 * n], a_signed, b_signed);
		write_line(sum, m, line);
	}
	zero_below(sum);
	amx_model.start_row = 0;
}
