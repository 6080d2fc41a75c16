/* SPDX-License-Identifier: Apache-2.0 */
#include "client/bytes_json.h"

#include "base/hex.h"

#include <stdio.h>
#include <stdlib.h>

static bool has_controls(struct entry_bytes bytes)
{
	for (uint32_t i = 0; i < bytes.size; i++)
		if (bytes.bytes[i] < ' ' || bytes.bytes[i] == 0x7F)
			return true;
	return false;
}

json_t *bytes_json_hex(const uint8_t *bytes, size_t size)
{
	char *text = malloc(2 * size + 1);
	json_t *string;

	if (!text)
		return NULL;
	hex_write(bytes, size, text);
	string = json_stringn(text, 2 * size);
	free(text);
	return string;
}

/* json_stringn() refuses what isn't UTF-8. */
int bytes_json_set(json_t *object, const char *name, struct entry_bytes bytes)
{
	json_t *text = NULL;
	char name_hex[32];

	if (bytes.size == 0)
		text = json_string("");
	else if (!has_controls(bytes))
		text = json_stringn((const char *)bytes.bytes, bytes.size);
	if (text)
		return json_object_set_new(object, name, text);
	snprintf(name_hex, sizeof(name_hex), "%s_hex", name);
	return json_object_set_new(object, name_hex, bytes_json_hex(bytes.bytes, bytes.size));
}
