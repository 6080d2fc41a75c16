/* SPDX-License-Identifier: Apache-2.0 */

/* What users read about the configuration is what the loader takes. */

#include "config/config.h"
#include "config/schema.h"
#include "tests/lib/test.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[] = "/tmp/test_config_docs.XXXXXX";
static struct config config;

static const char *source_path(const char *name)
{
	static char path[4096];
	const char *source = getenv("TERN_SOURCE");

	snprintf(path, sizeof(path), "%s/%s", source ? source : ".", name);
	return path;
}

/* The caller frees the text. */
static char *read_file(const char *path)
{
	FILE *file = fopen(path, "r");
	char *text = calloc(1, CONFIG_FILE_SIZE_MAX + 1);

	assert_non_null(text);
	if (!file)
		fail_msg("%s can't be read", path);
	assert_true(fread(text, 1, CONFIG_FILE_SIZE_MAX, file) > 0);
	fclose(file);
	return text;
}

/* The part of the man page that tells about a key: up to the next key or heading. */
static char *paragraph_of(const char *page, const char *key)
{
	char head[64];
	const char *from, *end;

	snprintf(head, sizeof(head), "\n*%s* _", key);
	from = strstr(page, head);
	if (!from)
		fail_msg("tern.yaml(5) says nothing about %s", key);
	assert_null(strstr(from + 1, head));
	end = from + 1 + strcspn(from + 1, "\n");
	while (end[1] == '\t')
		end += 1 + strcspn(end + 1, "\n");
	return strndup(from, (size_t)(end - from));
}

static void the_man_page_has_every_key_with_its_default(void **state)
{
	char *page = read_file(source_path("docs/man/tern.yaml.5.scd"));

	for (size_t i = 0; i < schema_row_count; i++) {
		const struct schema_row *row = &schema_rows[i];
		char *text = paragraph_of(page, row->key);
		char wanted[128];

		snprintf(wanted, sizeof(wanted), "Default: %s",
			 row->fallback[0] ? row->fallback : "none");
		if (strlen(text) < strlen(wanted) ||
		    strcmp(text + strlen(text) - strlen(wanted), wanted) != 0)
			fail_msg("tern.yaml(5) does not end with '%s' for %s", wanted, row->key);
		free(text);
	}
	free(page);
}

static void the_man_page_has_no_other_keys(void **state)
{
	char *page = read_file(source_path("docs/man/tern.yaml.5.scd"));
	unsigned count = 0;

	for (const char *at = page; (at = strstr(at, "\n*")); at++) {
		const char *end = strstr(at, "* _");
		char key[64];

		if (!end || end - at - 2 >= (long)sizeof(key) || memchr(at + 1, '\n', end - at - 1))
			continue;
		snprintf(key, sizeof(key), "%.*s", (int)(end - at - 2), at + 2);
		if (strchr(key, ' '))
			continue;
		if (!schema_find(key))
			fail_msg("tern.yaml(5) tells about %s, which is no key", key);
		count++;
	}
	assert_int_equal(count, schema_row_count);
	free(page);
}

/* A copy beside a secret, as it is installed; 'from' is replaced by 'to' when given. */
static int load_copy(const char *text, const char *from, const char *to, char *error)
{
	const char *at = from ? strstr(text, from) : NULL;
	char path[128];
	FILE *file;

	if (from && !at)
		fail_msg("'%s' is not in the file", from);
	snprintf(path, sizeof(path), "%s/tern.yaml", folder);
	file = fopen(path, "w");
	assert_non_null(file);
	if (at)
		fprintf(file, "%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
	else
		fprintf(file, "%s", text);
	assert_int_equal(fclose(file), 0);
	return config_load(path, &config, error, CONFIG_ERROR_MAX);
}

static void assert_loads(const char *text, const char *from, const char *to)
{
	char error[CONFIG_ERROR_MAX];

	if (load_copy(text, from, to, error))
		fail_msg("%s", error);
}

static void the_file_for_one_node_loads_to_the_defaults(void **state)
{
	static struct config defaults;
	char *text = read_file(source_path("dist/tern.yaml"));

	assert_loads(text, NULL, NULL);
	config_defaults(&defaults);
	assert_memory_equal(&config, &defaults, sizeof(config));
	free(text);
}

/* What stands commented out in the file works when it is taken in. */
static void the_choices_of_the_file_for_one_node_load(void **state)
{
	char *text = read_file(source_path("dist/tern.yaml"));

	assert_loads(text, "#secret_file", "secret_file");
	assert_true(config.secret_loaded);
	assert_loads(text, "#dpdk:\n#  huge", "dpdk:\n  huge");
	assert_true(config.dpdk.huge);
	assert_loads(text, "  kind: socket\n  listen: 127.0.0.1:7400\n",
		     "  kind: dpdk\n  listen: 127.0.0.1:7400\n  device: 0000:3b:00.0\n"
		     "  prefix_length: 24\n");
	assert_int_equal(config.port.kind, CONFIG_PORT_DPDK);
	free(text);
}

static void the_file_for_four_nodes_loads_and_needs_its_secret(void **state)
{
	char *text = read_file(source_path("dist/tern-4nodes.yaml"));
	char error[CONFIG_ERROR_MAX];

	assert_loads(text, NULL, NULL);
	assert_true(config.secret_loaded);
	assert_int_equal(config.core_count, 2);
	assert_int_equal(config.shards.count, 2);
	assert_int_equal(config.peer_count, 3);
	assert_int_equal(config.peers[0].node, 2);
	assert_int_equal(load_copy(text, "secret_file: secret", "", error), -EINVAL);
	assert_non_null(strstr(error, "there is no secret_file"));
	free(text);
}

static void the_file_for_four_nodes_serves_the_others_by_its_marked_lines(void **state)
{
	char *text = read_file(source_path("dist/tern-4nodes.yaml"));
	unsigned marks = 0;

	for (const char *at = text; (at = strstr(at, "# here")); at++)
		marks++;
	assert_int_equal(marks, 3);
	assert_loads(text, "\nnode: 1 ", "\nnode: 4 ");
	assert_int_equal(config.node, 4);
	assert_int_equal(config.peer_count, 3);
	assert_int_equal(config.peers[0].node, 1);
	free(text);
}

static int make_folder(void **state)
{
	char path[128];
	FILE *file;

	if (!mkdtemp(folder))
		return -1;
	snprintf(path, sizeof(path), "%s/secret", folder);
	file = fopen(path, "w");
	if (!file || fputs("0123456789abcdef0123456789abcdef", file) < 0 || fclose(file))
		return -1;
	return chmod(path, 0600);
}

static int remove_folder(void **state)
{
	static const char *const names[] = {"secret", "tern.yaml"};
	char path[128];

	for (unsigned i = 0; i < 2; i++) {
		snprintf(path, sizeof(path), "%s/%s", folder, names[i]);
		(void)unlink(path);
	}
	return rmdir(folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_man_page_has_every_key_with_its_default),
		cmocka_unit_test(the_man_page_has_no_other_keys),
		cmocka_unit_test(the_file_for_one_node_loads_to_the_defaults),
		cmocka_unit_test(the_choices_of_the_file_for_one_node_load),
		cmocka_unit_test(the_file_for_four_nodes_loads_and_needs_its_secret),
		cmocka_unit_test(the_file_for_four_nodes_serves_the_others_by_its_marked_lines),
	};

	return cmocka_run_group_tests(tests, make_folder, remove_folder) != 0;
}
