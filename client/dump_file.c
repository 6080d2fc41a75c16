/* SPDX-License-Identifier: Apache-2.0 */
#include "client/dump_file.h"

#include "client/cmd.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

bool dump_file_open(const char *path, struct io **ret_io, const char **ret_name, int *ret_status)
{
	const char *slash = strrchr(path, '/');
	int length = slash ? (int)(slash - path) : 0;
	char folder[4096];
	int result;

	snprintf(folder, sizeof(folder), "%.*s%s", length, path, slash ? "/" : ".");
	result = (size_t)length + 2 > sizeof(folder) ? -ENAMETOOLONG
						     : io_plain_new(folder, false, ret_io);
	if (result) {
		*ret_status =
			cmd_fail("%s: %s", path, result > 0 ? "no such folder" : strerror(-result));
		return false;
	}
	*ret_name = slash ? slash + 1 : path;
	return true;
}

int dump_file_failed(const char *path, int result, const char *text)
{
	const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
	size_t length = strlen(name);

	if (result < 0)
		return cmd_fail("%s: %s", path, strerror(-result));
	/* The text begins with the file's name, of which 'path' is more. */
	if (strncmp(text, name, length) == 0 && text[length] == ':')
		text += length + 2;
	return cmd_fail("%s: %s", path, text);
}

void dump_file_store(const uint8_t store[16], char text[DUMP_FILE_STORE_SIZE])
{
	size_t at = 0;

	for (unsigned i = 0; i < 16; i++)
		at += (size_t)snprintf(text + at, DUMP_FILE_STORE_SIZE - at, "%s%02x",
				       i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", store[i]);
}

void dump_file_key(struct entry_bytes key, char text[DUMP_FILE_KEY_SIZE])
{
	size_t at = 0;

	for (uint32_t i = 0; i < key.size; i++) {
		uint8_t byte = key.bytes[i];
		bool plain = byte < 0x80 && isprint(byte) && byte != '\\';

		if (at + sizeof("\\xHH...") > DUMP_FILE_KEY_SIZE) {
			at += (size_t)snprintf(text + at, DUMP_FILE_KEY_SIZE - at, "...");
			break;
		}
		at += (size_t)snprintf(text + at, DUMP_FILE_KEY_SIZE - at, plain ? "%c" : "\\x%02x",
				       byte);
	}
	text[at] = '\0';
}
