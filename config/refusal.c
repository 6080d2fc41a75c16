/* SPDX-License-Identifier: Apache-2.0 */
#include "config/refusal.h"

#include "base/check.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

int refusal_at(struct refusal *refusal, struct refusal_mark mark, const char *format, ...)
{
	va_list arguments;
	int length;

	length = snprintf(refusal->text, refusal->size, "%.1000s:%zu:%zu: ", refusal->file,
			  MAX(mark.line, (size_t)1), MAX(mark.column, (size_t)1));
	if (length >= 0 && (size_t)length < refusal->size) {
		va_start(arguments, format);
		vsnprintf(refusal->text + length, refusal->size - (size_t)length, format,
			  arguments);
		va_end(arguments);
	}
	for (char *at = refusal->text; refusal->size > 0 && *at; at++) {
		if ((unsigned char)*at < ' ' || *at == 0x7f)
			*at = '?';
	}
	return -EINVAL;
}

struct refusal_mark refusal_mark_of(const struct refusal *refusal, const char *key)
{
	const struct schema_row *row = schema_find(key);

	CHECK(row);
	return refusal->marks[row - schema_rows];
}
