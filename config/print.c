/* SPDX-License-Identifier: Apache-2.0 */
#include "config/config.h"

#include "config/schema.h"
#include "config/value.h"

#include <errno.h>
#include <string.h>

#define LINE_WIDTH 96

/* Breaks sentences at spaces into comment lines. */
static void print_comment(FILE *file, const char *indent, const char *text)
{
	size_t room = LINE_WIDTH - strlen(indent) - 2;

	while (*text) {
		size_t length = strlen(text);

		if (length > room) {
			length = room;
			while (length > 0 && text[length] != ' ')
				length--;
			if (length == 0)
				length = strcspn(text, " ");
		}
		fprintf(file, "%s# %.*s\n", indent, (int)length, text);
		text += length + (text[length] == ' ');
	}
}

static void print_choices(FILE *file, const char *indent, const struct schema_row *row)
{
	fprintf(file, "%s# Choices:", indent);
	for (size_t i = 0; row->names[i]; i++)
		fprintf(file, "%s %s", i ? "," : "", row->names[i]);
	fprintf(file, ".\n");
}

static void print_range(FILE *file, const char *indent, const struct schema_row *row)
{
	char min[32], max[32];

	if (row->type == SCHEMA_ENUM)
		print_choices(file, indent, row);
	else if (row->type == SCHEMA_BOOL)
		fprintf(file, "%s# Choices: true, false.\n", indent);
	else if (row->type == SCHEMA_NUMBER || row->type == SCHEMA_BYTES ||
		 row->type == SCHEMA_TIME)
		fprintf(file, "%s# Range: %s to %s.\n", indent,
			value_format(row->type, row->min, min),
			value_format(row->type, row->max, max));
}

int config_print_defaults(FILE *file)
{
	const char *section = "";
	size_t section_length = 0;

	fprintf(file, "# Configuration of one Tern node: every key with its default; tern.yaml(5) "
		      "tells more.\n# All of it is read once, at start.\n");
	for (size_t i = 0; i < schema_row_count; i++) {
		const struct schema_row *row = &schema_rows[i];
		const char *dot = strchr(row->key, '.');
		size_t length = dot ? (size_t)(dot - row->key) : 0;
		const char *indent = dot ? "  " : "";

		fprintf(file, "\n");
		if (dot && (length != section_length || memcmp(section, row->key, length) != 0))
			fprintf(file, "%.*s:\n", (int)length, row->key);
		section = row->key;
		section_length = length;
		print_comment(file, indent, row->doc);
		print_range(file, indent, row);
		fprintf(file, "%s%s: %s\n", indent, dot ? dot + 1 : row->key,
			row->fallback[0] ? row->fallback : "\"\"");
	}
	return fflush(file) || ferror(file) ? -EIO : 0;
}
