/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Files_npy - NumPy's .npy, versions 1.0 to 3.0
 *
 *      offset  size    what
 *      0       6       0x93 "NUMPY"
 *      6       2       version: major, minor
 *      8       2 or 4  size of the text that follows, u16 (1.0) or u32 (2.0, 3.0)
 *      ..      ..      a Python dictionary in ASCII, padded with blanks, ended by '\n':
 *                      {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }
 *      ..      ..      values, row-major
 *
 * The dictionary is read by a small grammar of exactly these three keys, in any
 * order; no Python is evaluated.
 */

#include "client/files_format.h"

#include "base/byteorder.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define NPY_MAGIC      "\x93NUMPY"
#define NPY_MAGIC_SIZE 6
#define NPY_ALIGN      64 /* NumPy pads its headers to this, for mapping */

/* The dictionary while it is read; 'at' never passes 'end'. */
struct npy_text {
	const char *at, *end;
	bool have_descr, have_order, have_shape;
	enum files_element element;
	uint64_t count, dim;
};

static const struct npy_type {
	const char *descr;
	enum files_element element;
} npy_types[] = {
	{"<f4", FILES_F32}, {"<f8", FILES_F64}, {"|u1", FILES_U8},
	{"|i1", FILES_I8},  {"<i4", FILES_I32}, {"<i8", FILES_I64},
};

static void skip_blanks(struct npy_text *text)
{
	while (text->at < text->end && (*text->at == ' ' || *text->at == '\n'))
		text->at++;
}

/* Steps over 'word' if it comes next. */
static bool take(struct npy_text *text, const char *word)
{
	size_t length = strlen(word);

	skip_blanks(text);
	if ((size_t)(text->end - text->at) < length || memcmp(text->at, word, length) != 0)
		return false;
	text->at += length;
	return true;
}

static bool take_number(struct npy_text *text, uint64_t *ret_number)
{
	uint64_t number = 0;
	unsigned digits = 0;

	skip_blanks(text);
	for (; text->at < text->end && *text->at >= '0' && *text->at <= '9'; text->at++) {
		if (++digits > 18)
			return false;
		number = number * 10 + (uint64_t)(*text->at - '0');
	}
	*ret_number = number;
	return digits > 0;
}

static bool take_descr(struct npy_text *text)
{
	char word[8];

	for (size_t i = 0; i < ARRAY_COUNT(npy_types); i++) {
		snprintf(word, sizeof(word), "'%s'", npy_types[i].descr);
		if (take(text, word)) {
			text->element = npy_types[i].element;
			return true;
		}
	}
	return false;
}

static bool take_shape(struct npy_text *text)
{
	if (!take(text, "(") || !take_number(text, &text->count) || !take(text, ",") ||
	    !take_number(text, &text->dim))
		return false;
	(void)take(text, ",");
	return take(text, ")");
}

/* Returns NULL, or what is wrong with the dictionary. */
static const char *read_dictionary(struct npy_text *text)
{
	if (!take(text, "{"))
		return "the header is no dictionary";
	while (!take(text, "}")) {
		if (take(text, "'descr':")) {
			if (!take_descr(text))
				return "only the types '<f4', '<f8', '|u1', '|i1', '<i4' and '<i8' "
				       "are read: save it with astype('<f4')";
			text->have_descr = true;
		} else if (take(text, "'fortran_order':")) {
			if (!take(text, "False"))
				return "it is in Fortran order: save numpy.ascontiguousarray(it)";
			text->have_order = true;
		} else if (take(text, "'shape':")) {
			if (!take_shape(text))
				return "its shape is not (rows, values): save it with two "
				       "dimensions";
			text->have_shape = true;
		} else {
			return "the header has something else than descr, fortran_order and shape";
		}
		if (!take(text, ",") && text->at < text->end && *text->at != '}' &&
		    *text->at != ' ')
			return "the header's dictionary is malformed";
	}
	skip_blanks(text);
	if (text->at != text->end)
		return "something follows the header's dictionary";
	if (!text->have_descr || !text->have_order || !text->have_shape)
		return "the header lacks descr, fortran_order or shape";
	return NULL;
}

int files_npy_read(struct files *files, char *error)
{
	struct npy_text text = {0};
	const char *wrong;
	uint64_t head, size;

	if (files->size < 12 || memcmp(files->bytes, NPY_MAGIC, NPY_MAGIC_SIZE) != 0)
		return files_invalid(files, error, "offset 0: no .npy magic; is the ending right?");
	if (files->bytes[6] < 1 || files->bytes[6] > 3)
		return files_invalid(files, error, "offset 6: version %u, 1 to 3 are read",
				     files->bytes[6]);
	head = files->bytes[6] == 1 ? 10 : 12;
	size = head == 10 ? load_le16(files->bytes + 8) : load_le32(files->bytes + 8);
	if (size > files->size - head)
		return files_invalid(files, error,
				     "the header ends at offset %" PRIu64
				     ", behind the file's %zu bytes; the file is cut off",
				     head + size, files->size);
	text.at = (const char *)files->bytes + head;
	text.end = text.at + size;
	wrong = read_dictionary(&text);
	if (wrong)
		return files_invalid(files, error, "offset %td: %s",
				     (const uint8_t *)text.at - files->bytes, wrong);
	files->element = text.element;
	return files_shape(files, text.count, text.dim, head + size, 0, error);
}

size_t files_npy_head(uint8_t *to, enum files_element element, uint32_t count, uint32_t dim)
{
	char *text = (char *)to + 10;
	int length = snprintf(text, FILES_HEAD_MAX - 10,
			      "{'descr': '%s', 'fortran_order': False, 'shape': (%" PRIu32
			      ", %" PRIu32 "), }",
			      element == FILES_F32 ? "<f4" : "<i4", count, dim);
	size_t size = align_up(10 + (size_t)length + 1, NPY_ALIGN);

	memcpy(to, NPY_MAGIC, NPY_MAGIC_SIZE);
	to[6] = 1;
	to[7] = 0;
	store_le16(to + 8, (uint16_t)(size - 10));
	memset(text + length, ' ', size - 10 - (size_t)length);
	to[size - 1] = '\n';
	return size;
}
