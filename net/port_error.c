/* SPDX-License-Identifier: Apache-2.0 */
#include "net/port_error.h"

#include <stdarg.h>
#include <stdio.h>

int port_error(char *error, size_t error_size, int code, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	(void)vsnprintf(error, error_size, format, arguments);
	va_end(arguments);
	return code;
}
