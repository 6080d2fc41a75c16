/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Vector type - what the values of a stored vector are
 *
 * The numbers stand in files. Bits (b1) are packed, value i in bit i % 8 of byte
 * i / 8, the lowest bit first.
 *
 * Threads: any.
 */

#include <stddef.h>
#include <stdint.h>

enum vector_type {
	VECTOR_F32 = 0,
	VECTOR_F16 = 1,  /* IEEE 754 binary16 */
	VECTOR_BF16 = 2, /* the upper half of an f32 */
	VECTOR_I8 = 3,
	VECTOR_U8 = 4,
	VECTOR_B1 = 5,
	VECTOR_TYPE_COUNT
};

/* "f32", "f16", "bf16", "i8", "u8" or "b1"; NULL for what is no type. */
const char *vector_type_name(uint32_t type);

/* Returns 0, or -EINVAL when 'name' is none of them. */
int vector_type_parse(const char *name, enum vector_type *ret_type);

/* Bits of one value. */
unsigned vector_type_bits(enum vector_type type);

/* Bytes of 'dim' values, the last one's bits filled up to a byte. */
size_t vector_type_size(enum vector_type type, size_t dim);
