/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Cmd_dump_pages - shows a file of pages, one after the other, each checked by itself
 *
 * Where the chain of free pages begins stands in the store's last checkpoint, not here; a free page
 * that no other one links to begins one. How the trees hang together is for 'tern
 * verify' to say.
 */

#include "base/hex.h"
#include "client/cmd.h"
#include "client/cmd_vectors.h"
#include "engine/page.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static const char about[] =
	"Checks every page of a store's file 'pages' and prints what each is and holds, and the "
	"chains "
	"of\nfree pages. Pages that were allocated ahead and never written are only counted.\n";

#define ENTRY_SIZE 16

/* A page on the way along a chain. */
struct free_page {
	uint64_t number;
	uint64_t link;
	bool linked; /* by another free page */
	bool shown;
};

struct dump {
	const char *path;
	bool json;
	FILE *file;
	uint64_t pages; /* that were shown */
	uint64_t bad;
	uint64_t unwritten;
	struct free_page *free;
	size_t free_count;
	size_t free_capacity;
};

/* JSON has no place for the upper half of a u64 but a text. */
static json_t *u64_json(uint64_t value)
{
	char text[24];

	if (value <= INT64_MAX)
		return json_integer((json_int_t)value);
	snprintf(text, sizeof(text), "%" PRIu64, value);
	return json_string(text);
}

static bool is_tree(const uint8_t *page)
{
	return page_kind(page) == PAGE_BTREE_LEAF || page_kind(page) == PAGE_BTREE_INTERNAL;
}

static uint64_t word(const uint8_t *page, unsigned entry, unsigned offset)
{
	return load_le64(page + PAGE_HEADER + entry * ENTRY_SIZE + offset);
}

static void show_file_page(const struct dump *dump, const uint8_t *page)
{
	char store[2 * PAGE_STORE_SIZE + 1] = "";

	hex_write(page + PAGE_AT_STORE, PAGE_STORE_SIZE, store);
	if (dump->json)
		cmd_json(json_pack(
			"{s:s, s:s, s:I, s:I, s:s}", "event", "pages", "file", dump->path,
			"version", (json_int_t)load_le32(page + PAGE_AT_VERSION), "page_size",
			(json_int_t)load_le32(page + PAGE_AT_PAGE_SIZE), "store", store));
	else
		printf("%s: version %" PRIu32 ", store %s\n", dump->path,
		       load_le32(page + PAGE_AT_VERSION), store);
}

static json_t *entries_json(const uint8_t *page)
{
	json_t *entries = json_array();

	for (unsigned i = 0; i < page_count(page); i++)
		json_array_append_new(entries, json_pack("[o, o]", u64_json(word(page, i, 0)),
							 u64_json(word(page, i, 8))));
	return entries;
}

static void show_page_json(const uint8_t *page)
{
	json_t *line =
		json_pack("{s:s, s:o, s:s, s:o, s:i, s:i, s:o}", "event", "page", "number",
			  u64_json(page_number(page)), "kind", page_kind_name(page_kind(page)),
			  "lsn", u64_json(page_lsn(page)), "level", page_level(page), "count",
			  page_count(page), "link", u64_json(page_link(page)));

	if (is_tree(page))
		json_object_set_new(line, "entries", entries_json(page));
	cmd_json(line);
}

static void show_page_text(const uint8_t *page)
{
	unsigned count = page_count(page);

	printf("page %" PRIu64 ": %s, lsn %" PRIu64 ", level %u, %u entries, link %" PRIu64,
	       page_number(page), page_kind_name(page_kind(page)), page_lsn(page), page_level(page),
	       count, page_link(page));
	if (is_tree(page) && count > 0)
		printf(", keys %" PRIu64 " to %" PRIu64, word(page, 0, 0),
		       word(page, count - 1, 0));
	putchar('\n');
}

static void show_bad(struct dump *dump, uint64_t number, const char *error)
{
	dump->bad++;
	if (dump->json)
		cmd_json(json_pack("{s:s, s:o, s:s}", "event", "bad_page", "number",
				   u64_json(number), "error", error));
	else
		printf("bad: %s\n", error);
}

static int note_free(struct dump *dump, const uint8_t *page)
{
	if (dump->free_count == dump->free_capacity) {
		size_t capacity = dump->free_capacity * 2 + 64;
		struct free_page *more = realloc(dump->free, capacity * sizeof(*more));

		if (!more)
			return -ENOMEM;
		dump->free = more;
		dump->free_capacity = capacity;
	}
	dump->free[dump->free_count++] =
		(struct free_page){.number = page_number(page), .link = page_link(page)};
	return 0;
}

static int show_page(struct dump *dump, uint64_t number, const uint8_t *page, size_t size)
{
	char error[PAGE_ERROR_MAX];

	if (size < PAGE_SIZE)
		snprintf(error, sizeof(error), "page %" PRIu64 ": the file ends within it", number);
	if (size < PAGE_SIZE || !page_check(page, number, error)) {
		show_bad(dump, number, error);
		return 0;
	}
	if (dump->json)
		show_page_json(page);
	else
		show_page_text(page);
	return page_kind(page) == PAGE_FREE ? note_free(dump, page) : 0;
}

static bool is_zero(const uint8_t *page)
{
	return page[0] == 0 && memcmp(page, page + 1, PAGE_SIZE - 1) == 0;
}

/* Returns 0 or a negative errno. */
static int show_pages(struct dump *dump)
{
	uint8_t page[PAGE_SIZE];
	uint64_t number = 1;
	int result = 0;

	while (result == 0) {
		size_t size = fread(page, 1, PAGE_SIZE, dump->file);

		if (size == 0)
			break;
		if (size == PAGE_SIZE && is_zero(page)) {
			dump->unwritten++;
		} else {
			result = show_page(dump, number, page, size);
			dump->pages++;
		}
		number++;
	}
	return ferror(dump->file) ? -EIO : result;
}

static struct free_page *find_free(const struct dump *dump, uint64_t number)
{
	size_t low = 0, count = dump->free_count;

	while (count > 0) {
		size_t half = count / 2;

		if (dump->free[low + half].number < number) {
			low += half + 1;
			count -= half + 1;
		} else {
			count = half;
		}
	}
	return low < dump->free_count && dump->free[low].number == number ? &dump->free[low] : NULL;
}

static void show_chain(struct dump *dump, struct free_page *page)
{
	json_t *chain = json_array();

	if (!dump->json)
		printf("free:");
	while (page && !page->shown) {
		page->shown = true;
		json_array_append_new(chain, u64_json(page->number));
		if (!dump->json)
			printf(" %" PRIu64, page->number);
		page = find_free(dump, page->link);
	}
	if (dump->json)
		cmd_json(json_pack("{s:s, s:O}", "event", "free", "chain", chain));
	else
		putchar('\n');
	json_decref(chain);
}

/* Chains from their beginnings; then what goes round and has none. */
static void show_chains(struct dump *dump)
{
	for (size_t i = 0; i < dump->free_count; i++) {
		struct free_page *next = find_free(dump, dump->free[i].link);

		if (next)
			next->linked = true;
	}
	for (size_t i = 0; i < dump->free_count; i++)
		if (!dump->free[i].linked)
			show_chain(dump, &dump->free[i]);
	for (size_t i = 0; i < dump->free_count; i++)
		if (!dump->free[i].shown) {
			char error[PAGE_ERROR_MAX];

			snprintf(error, sizeof(error),
				 "page %" PRIu64 ": the chain of free pages goes round",
				 dump->free[i].number);
			show_bad(dump, dump->free[i].number, error);
		}
}

static void show_end(const struct dump *dump)
{
	if (dump->json)
		cmd_json(json_pack("{s:s, s:I, s:I, s:I, s:I}", "event", "end", "pages",
				   (json_int_t)dump->pages, "free", (json_int_t)dump->free_count,
				   "unwritten", (json_int_t)dump->unwritten, "bad",
				   (json_int_t)dump->bad));
	else
		printf("%" PRIu64 " pages, %zu free, %" PRIu64 " bad; %" PRIu64 " never written\n",
		       dump->pages, dump->free_count, dump->bad, dump->unwritten);
}

static int dump_open(struct dump *dump)
{
	uint8_t page[PAGE_SIZE];
	char error[PAGE_ERROR_MAX];
	int result;

	if (fread(page, 1, PAGE_SIZE, dump->file) != PAGE_SIZE)
		return cmd_fail("%s: it ends within its first page; give a store's file 'pages'",
				dump->path);
	if (!page_check_file(page, error))
		return cmd_fail("%s: %s; give a store's file 'pages'", dump->path, error);
	show_file_page(dump, page);
	result = show_pages(dump);
	if (result)
		return cmd_fail("%s: %s", dump->path, strerror(-result));
	show_chains(dump);
	show_end(dump);
	return dump->bad ? CMD_FAILED : CMD_DONE;
}

int cmd_dump_pages(int argc, char **argv)
{
	struct dump dump = {0};
	const struct cmd_option options[] = {
		{"FILE", NULL, "a store's file 'pages'", .text = &dump.path, .positional = true,
		 .required = true},
		{"json", NULL, "print JSON objects, one a page", .flag = &dump.json},
	};
	int status;

	if (!cmd_options("dump pages", about, options, ARRAY_COUNT(options), argc, argv, &status))
		return status;
	dump.file = fopen(dump.path, "rb");
	if (!dump.file)
		return cmd_fail("%s: %s", dump.path, strerror(errno));
	status = dump_open(&dump);
	fclose(dump.file);
	free(dump.free);
	return status;
}
