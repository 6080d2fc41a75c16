/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * AMX model - the tile instructions in C, for processors without them
 *
 * What Intel's manual (Software Developer's Manual, volume 2) has the instructions of AMX-TILE and
 * AMX-INT8 do under palette 1: LDTILECFG with its general-protection conditions,
 * TILERELEASE, TILEZERO, TILELOADD, TILESTORED, and TDPB{SS,SU,US,UU}D with the
 * conditions under which they are undefined. Where an instruction would fault, it is
 * counted and changes nothing.
 *
 * A test compiles a kernel's own source against it:
 *
 *      #include "tests/lib/amx_model.h"        after that the intrinsics mean the model
 *      #include "hnsw/dist_batch_amx.c"
 *
 * The model is of what is computed. It doesn't tell that the compiler puts the right
 * operands into the real instructions, nor how fast these are.
 *
 * Threads: one, as there is one set of tiles.
 */

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

#define AMX_MODEL_TILES 8
#define AMX_MODEL_LINES 16
#define AMX_MODEL_BYTES 64

/* The tiles, and what happened. All of it may be looked at and changed by a test. */
struct amx_model {
	uint8_t data[AMX_MODEL_TILES][AMX_MODEL_LINES][AMX_MODEL_BYTES];
	uint16_t line_bytes[AMX_MODEL_TILES];
	uint8_t lines[AMX_MODEL_TILES];
	uint8_t start_row;
	uint8_t palette;     /* 0: tiles are not configured */
	unsigned faults;     /* since amx_model_reset() */
	const char *fault;   /* the last one's cause; NULL: none */
	unsigned configured; /* how often LDTILECFG succeeded */
	unsigned products;   /* and TDPB..D */
};

extern struct amx_model amx_model;

/* As a processor starts. */
void amx_model_reset(void);

void amx_model_ldtilecfg(const void *operand);
void amx_model_tilerelease(void);
void amx_model_tilezero(unsigned tile);
void amx_model_tileloadd(unsigned tile, const void *base, ptrdiff_t stride);
void amx_model_tilestored(unsigned tile, void *base, ptrdiff_t stride);

/* The signedness of the bytes of 'a' (the rows) and of 'b' (four values of each column a line). */
void amx_model_tdpb(unsigned sum, unsigned a, unsigned b, int a_signed, int b_signed);

#undef _tile_loadconfig
#undef _tile_release
#undef _tile_zero
#undef _tile_loadd
#undef _tile_stored
#undef _tile_dpbssd
#undef _tile_dpbsud
#undef _tile_dpbusd
#undef _tile_dpbuud
#define _tile_loadconfig(operand)        amx_model_ldtilecfg(operand)
#define _tile_release()                  amx_model_tilerelease()
#define _tile_zero(tile)                 amx_model_tilezero(tile)
#define _tile_loadd(tile, base, stride)  amx_model_tileloadd(tile, base, (ptrdiff_t)(stride))
#define _tile_stored(tile, base, stride) amx_model_tilestored(tile, base, (ptrdiff_t)(stride))
#define _tile_dpbssd(sum, a, b)          amx_model_tdpb(sum, a, b, 1, 1)
#define _tile_dpbsud(sum, a, b)          amx_model_tdpb(sum, a, b, 1, 0)
#define _tile_dpbusd(sum, a, b)          amx_model_tdpb(sum, a, b, 0, 1)
#define _tile_dpbuud(sum, a, b)          amx_model_tdpb(sum, a, b, 0, 0)
