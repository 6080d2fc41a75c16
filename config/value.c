/* SPDX-License-Identifier: Apache-2.0 */
#include "config/value.h"

#include "base/clock.h"
#include "base/defs.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

/* Smallest first; a value is printed in the largest unit that divides it. */
static const struct unit {
	const char *name;
	uint64_t factor;
} byte_units[] = {{"B", 1},
		  {"KiB", UINT64_C(1) << 10},
		  {"MiB", UINT64_C(1) << 20},
		  {"GiB", UINT64_C(1) << 30},
		  {"TiB", UINT64_C(1) << 40},
		  {NULL, 0}},
  time_units[] = {{"ns", 1},       {"us", NS_PER_US},      {"ms", NS_PER_MS},
		  {"s", NS_PER_S}, {"min", 60 * NS_PER_S}, {NULL, 0}};

PRINTF_LIKE(2, 3)
static int refuse(char why[VALUE_WHY_MAX], const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(why, VALUE_WHY_MAX, format, arguments);
	va_end(arguments);
	return -EINVAL;
}

bool value_is_list(enum schema_type type)
{
	return type == SCHEMA_NUMBERS || type == SCHEMA_CORES || type == SCHEMA_PATHS ||
	       type == SCHEMA_PEERS;
}

/*
 * Reads the digits that 'text' begins with. Returns what follows them, or NULL
 * when there are none, when they are too large, or when a zero leads: YAML 1.1
 * reads that as octal and people don't.
 */
static const char *parse_digits(const char *text, uint64_t *ret_value)
{
	size_t count = strspn(text, "0123456789");
	uint64_t value = 0;

	if (count == 0 || (count > 1 && text[0] == '0'))
		return NULL;
	for (size_t i = 0; i < count; i++) {
		if (__builtin_mul_overflow(value, 10, &value) ||
		    __builtin_add_overflow(value, (uint64_t)(text[i] - '0'), &value))
			return NULL;
	}
	*ret_value = value;
	return text + count;
}

static const struct unit *find_unit(const struct unit *units, const char *name)
{
	for (; units->name; units++) {
		if (strcmp(units->name, name) == 0)
			return units;
	}
	return NULL;
}

static int parse_with_unit(const struct schema_row *row, const char *text, uint64_t *ret_value,
			   char why[VALUE_WHY_MAX])
{
	bool time = row->type == SCHEMA_TIME;
	const struct unit *units = time ? time_units : byte_units;
	uint64_t value;
	const char *name = parse_digits(text, &value);
	const struct unit *unit;

	if (!name)
		return refuse(why, "'%.40s' is no whole number with a unit; write it like %s", text,
			      time ? "5ms" : "64MiB");
	if (*name == '\0' && time && value > 0)
		return refuse(why, "%.20s has no unit; write ns, us, ms, s or min behind it", text);
	/* Bytes are what a size without a unit means, and zero is zero in all of them. */
	unit = *name == '\0' ? units : find_unit(units, name + strspn(name, " "));
	if (!unit)
		return refuse(why, "'%.20s' is no unit; write %s", name,
			      time ? "ns, us, ms, s or min" : "B, KiB, MiB, GiB or TiB");
	if (__builtin_mul_overflow(value, unit->factor, ret_value))
		return refuse(why, "%.40s is too large; write less", text);
	return 0;
}

const char *value_format(enum schema_type type, uint64_t value, char to[32])
{
	const struct unit *best = type == SCHEMA_BYTES  ? byte_units
				  : type == SCHEMA_TIME ? time_units
							: NULL;

	if (!best || value == 0 || (type == SCHEMA_BYTES && value < 1024)) {
		snprintf(to, 32, "%" PRIu64, value);
		return to;
	}
	for (const struct unit *unit = best; unit->name; unit++) {
		if (value % unit->factor == 0)
			best = unit;
	}
	snprintf(to, 32, best->factor == 1 && type == SCHEMA_BYTES ? "%" PRIu64 : "%" PRIu64 "%s",
		 value / best->factor, best->name);
	return to;
}

static int parse_number(const struct schema_row *row, const char *text, uint64_t *ret_value,
			char why[VALUE_WHY_MAX])
{
	const char *rest = parse_digits(text, ret_value);

	if (!rest || *rest != '\0')
		return refuse(why, "'%.40s' is no whole number; write digits only", text);
	return 0;
}

static int set_number(const struct schema_row *row, const char *text, void *field,
		      char why[VALUE_WHY_MAX])
{
	char min[32], max[32];
	uint64_t value = 0;
	int error = row->type == SCHEMA_NUMBER ? parse_number(row, text, &value, why)
					       : parse_with_unit(row, text, &value, why);

	if (error)
		return error;
	if (value < row->min || value > row->max)
		return refuse(why, "%.40s is out of range; write %s to %s", text,
			      value_format(row->type, row->min, min),
			      value_format(row->type, row->max, max));
	if (row->size == sizeof(uint64_t))
		memcpy(field, &value, sizeof(value));
	else
		*(uint32_t *)field = (uint32_t)value;
	return 0;
}

static int set_bool(const char *text, bool *field, char why[VALUE_WHY_MAX])
{
	if (strcmp(text, "true") != 0 && strcmp(text, "false") != 0)
		return refuse(why, "'%.40s' is neither; write true or false", text);
	*field = text[0] == 't';
	return 0;
}

static int set_enum(const struct schema_row *row, const char *text, void *field,
		    char why[VALUE_WHY_MAX])
{
	size_t length;

	for (uint32_t i = 0; row->names[i]; i++) {
		if (strcmp(row->names[i], text) == 0) {
			memcpy(field, &i, sizeof(i));
			return 0;
		}
	}
	refuse(why, "'%.40s' is none of the choices; write", text);
	for (size_t i = 0; row->names[i]; i++) {
		length = strlen(why);
		snprintf(why + length, VALUE_WHY_MAX - length, "%s %s", i ? " or" : "",
			 row->names[i]);
	}
	return -EINVAL;
}
_Static_assert(sizeof(enum config_port_kind) == 4 && sizeof(enum config_auth) == 4 &&
		       sizeof(enum log_level) == 4 && sizeof(enum config_recall) == 4,
	       "set_enum() writes 32 bits");

static int set_text(const struct schema_row *row, const char *text, char *field, size_t size,
		    char why[VALUE_WHY_MAX])
{
	size_t length = strlen(text);

	if (length < row->min)
		return refuse(why, "is empty; write at least one character");
	if (length >= size)
		return refuse(why, "is longer than %zu bytes; shorten it", size - 1);
	memcpy(field, text, length + 1);
	return 0;
}

static int set_address(const char *text, struct addr *field, char why[VALUE_WHY_MAX])
{
	if (addr_parse(text, SCHEMA_PORT_DEFAULT, field))
		return refuse(why,
			      "'%.60s' is no address; write it like 10.0.0.1:7400 or "
			      "'[2001:db8::1]:7400' (names are not looked up)",
			      text);
	if (field->port == 0)
		return refuse(why, "port 0 can't be reached; write 1 to 65535");
	return 0;
}

/* Two default ports that give two results show that the text has no port of its own. */
static int set_host(const char *text, struct addr *field, char why[VALUE_WHY_MAX])
{
	struct addr zero, one;

	if (text[0] == '\0')
		return 0;
	if (addr_parse(text, 0, &zero) || addr_parse(text, 1, &one) || addr_equal(&zero, &one))
		return refuse(why,
			      "'%.60s' is no address without a port; write it like 10.0.0.1 or "
			      "'2001:db8::1'",
			      text);
	*field = zero;
	return 0;
}

static bool is_listed(const struct config_numbers *numbers, uint64_t number)
{
	for (uint32_t i = 0; i < numbers->count; i++) {
		if (numbers->values[i] == number)
			return true;
	}
	return false;
}

static int append_range(const struct schema_row *row, uint64_t first, uint64_t last,
			struct config_numbers *numbers, char why[VALUE_WHY_MAX])
{
	uint32_t count_max = row->type == SCHEMA_CORES ? CONFIG_CORE_MAX : CONFIG_SHARD_MAX;

	if (first > last || last > row->max)
		return refuse(why,
			      "%" PRIu64 "-%" PRIu64 " is no range in 0 to %" PRIu64
			      "; write the smaller number first",
			      first, last, row->max);
	for (uint64_t number = first; number <= last; number++) {
		if (is_listed(numbers, number))
			return refuse(why, "%" PRIu64 " is listed twice; list it once", number);
		if (numbers->count == count_max)
			return refuse(why, "more than %" PRIu32 " are listed; list fewer",
				      count_max);
		numbers->values[numbers->count++] = (uint16_t)number;
	}
	return 0;
}

/* "0-3,5": ranges by commas. */
static int append_numbers(const struct schema_row *row, const char *text,
			  struct config_numbers *numbers, char why[VALUE_WHY_MAX])
{
	const char *at = text;

	for (;; at++) {
		uint64_t first, last;
		int error;

		at = parse_digits(at, &first);
		if (at && *at == '-')
			at = parse_digits(at + 1, &last);
		else if (at)
			last = first;
		if (!at || (*at != '\0' && *at != ','))
			return refuse(why, "'%.40s' is no list of numbers; write it like 0-3,5",
				      text);
		error = append_range(row, first, last, numbers, why);
		if (error || *at == '\0')
			return error;
	}
}

static int append_folder(const struct schema_row *row, const char *text, struct config *config,
			 char why[VALUE_WHY_MAX])
{
	if (text[0] == '\0')
		return refuse(why, "a folder's name is empty; write one or take it out");
	if (config->data_count == CONFIG_DATA_MAX)
		return refuse(why, "more than %d folders are listed; list fewer", CONFIG_DATA_MAX);
	if (set_text(row, text, config->data[config->data_count], CONFIG_TEXT_MAX, why))
		return -EINVAL;
	config->data_count++;
	return 0;
}

int value_append(const struct schema_row *row, const char *text, void *base,
		 char why[VALUE_WHY_MAX])
{
	void *field = (char *)base + row->offset;

	if (row->type == SCHEMA_PATHS)
		return append_folder(row, text, base, why);
	if (row->type == SCHEMA_PEERS)
		return refuse(why, "'%.40s' is no peer; write { node: 2, address: 10.0.0.2:7400 }",
			      text);
	return append_numbers(row, text, field, why);
}

/* A bare number is a count, everything else a list. */
static int set_cores(const struct schema_row *row, const char *text, struct config *config,
		     char why[VALUE_WHY_MAX])
{
	uint64_t count;
	const char *rest = parse_digits(text, &count);

	if (!rest || *rest != '\0')
		return append_numbers(row, text, &config->cores, why);
	if (count < 1 || count > CONFIG_CORE_MAX)
		return refuse(why, "%.20s is out of range; write 1 to %d cores", text,
			      CONFIG_CORE_MAX);
	config->core_count = (uint32_t)count;
	return 0;
}

int value_set(const struct schema_row *row, const char *text, void *base, char why[VALUE_WHY_MAX])
{
	void *field = (char *)base + row->offset;

	switch (row->type) {
	case SCHEMA_NUMBER:
	case SCHEMA_BYTES:
	case SCHEMA_TIME:
		return set_number(row, text, field, why);
	case SCHEMA_BOOL:
		return set_bool(text, field, why);
	case SCHEMA_ENUM:
		return set_enum(row, text, field, why);
	case SCHEMA_TEXT:
	case SCHEMA_PATH:
		return set_text(row, text, field, row->size, why);
	case SCHEMA_ADDRESS:
		return set_address(text, field, why);
	case SCHEMA_HOST:
		return set_host(text, field, why);
	case SCHEMA_CORES:
		return set_cores(row, text, base, why);
	case SCHEMA_NUMBERS:
	case SCHEMA_PATHS:
	case SCHEMA_PEERS:
		return value_append(row, text, base, why);
	}
	return refuse(why, "has a type that nobody reads; report this");
}
