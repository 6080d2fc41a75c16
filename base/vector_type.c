/* SPDX-License-Identifier: Apache-2.0 */
#include "base/vector_type.h"

#include <errno.h>
#include <string.h>

static const struct {
	const char *name;
	unsigned bits;
} types[VECTOR_TYPE_COUNT] = {
	[VECTOR_F32] = {"f32", 32}, [VECTOR_F16] = {"f16", 16}, [VECTOR_BF16] = {"bf16", 16},
	[VECTOR_I8] = {"i8", 8},    [VECTOR_U8] = {"u8", 8},    [VECTOR_B1] = {"b1", 1},
};

const char *vector_type_name(uint32_t type)
{
	return type < VECTOR_TYPE_COUNT ? types[type].name : NULL;
}

int vector_type_parse(const char *name, enum vector_type *ret_type)
{
	for (unsigned i = 0; i < VECTOR_TYPE_COUNT; i++) {
		if (strcmp(name, types[i].name) == 0) {
			*ret_type = (enum vector_type)i;
			return 0;
		}
	}
	return -EINVAL;
}

unsigned vector_type_bits(enum vector_type type)
{
	return types[type].bits;
}

size_t vector_type_size(enum vector_type type, size_t dim)
{
	return (dim * types[type].bits + 7) / 8;
}
