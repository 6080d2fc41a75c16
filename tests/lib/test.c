/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/test.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

static unsigned digit(char c)
{
	return (unsigned)(isdigit((unsigned char)c) ? c - '0'
						    : tolower((unsigned char)c) - 'a' + 10);
}

size_t test_unhex(const char *hex, uint8_t *to, size_t capacity)
{
	size_t size = 0;

	for (; *hex; hex++) {
		if (isspace((unsigned char)*hex))
			continue;
		if (!isxdigit((unsigned char)hex[0]) || !isxdigit((unsigned char)hex[1]) ||
		    size == capacity) {
			fprintf(stderr, "bad hex in a test at \"%.8s\"\n", hex);
			abort();
		}
		to[size++] = (uint8_t)(digit(hex[0]) << 4 | digit(hex[1]));
		hex++;
	}
	return size;
}
