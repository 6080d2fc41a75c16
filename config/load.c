/* SPDX-License-Identifier: Apache-2.0 */
#include "config/config.h"

#include "base/check.h"
#include "config/refusal.h"
#include "config/schema.h"
#include "config/secret.h"
#include "config/semantic.h"
#include "config/value.h"
#include "config/walk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <yaml.h>

/*
 * From YAML to the struct in four steps: libyaml makes a tree with places, the
 * tree is walked along the schema, what was not given gets its default, and the
 * whole is checked.
 */

struct load {
	struct refusal refusal;
	struct config *config;
	yaml_document_t document;
};

/* Our own rows can't be wrong. */
static void set_default(const struct schema_row *row, struct config *config)
{
	char why[VALUE_WHY_MAX];

	if (!value_is_list(row->type) || strcmp(row->fallback, "[]") != 0)
		CHECK(value_set(row, row->fallback, config, why) == 0);
}

static void set_defaults(const struct refusal *refusal, struct config *config)
{
	for (size_t i = 0; i < schema_row_count; i++) {
		if (refusal->marks[i].line == 0)
			set_default(&schema_rows[i], config);
	}
	if (config->cores.count > 0)
		config->core_count = config->cores.count;
}

void config_defaults(struct config *ret_config)
{
	static const struct refusal nothing_given;

	memset(ret_config, 0, sizeof(*ret_config));
	set_defaults(&nothing_given, ret_config);
}

/* A path of the file starts at the file's folder; the default ones are absolute. */
static int resolve_path(struct load *load, const char *key, char path[CONFIG_TEXT_MAX])
{
	const char *file = load->refusal.file;
	const char *slash = strrchr(file, '/');
	size_t folder = slash ? (size_t)(slash - file) + 1 : 0;
	size_t length = strlen(path);

	if (length == 0 || path[0] == '/')
		return 0;
	if (folder + length >= CONFIG_TEXT_MAX)
		return refusal_at(&load->refusal, refusal_mark_of(&load->refusal, key),
				  "%s with this file's folder before it is longer than %d bytes; "
				  "shorten it",
				  key, CONFIG_TEXT_MAX - 1);
	memmove(path + folder, path, length + 1);
	memcpy(path, file, folder);
	return 0;
}

static int resolve_paths(struct load *load)
{
	int error = resolve_path(load, "secret_file", load->config->secret_file);

	for (uint32_t i = 0; !error && i < load->config->data_count; i++)
		error = resolve_path(load, "data", load->config->data[i]);
	return error;
}

static int load_secret(struct load *load)
{
	struct config *config = load->config;
	char why[VALUE_WHY_MAX];

	if (config->secret_file[0] == '\0')
		return 0;
	if (secret_load(config->secret_file, config->secret, why))
		return refusal_at(&load->refusal, refusal_mark_of(&load->refusal, "secret_file"),
				  "secret_file %.400s %s", config->secret_file, why);
	config->secret_loaded = true;
	return 0;
}

static int take(struct load *load)
{
	int error = walk_document(&load->document, load->config, &load->refusal);

	if (error)
		return error;
	set_defaults(&load->refusal, load->config);
	error = resolve_paths(load);
	if (!error)
		error = semantic_check(load->config, &load->refusal);
	return error ? error : load_secret(load);
}

/* Bad bytes have an offset instead of a place. */
static struct refusal_mark mark_of_offset(const char *bytes, size_t size, size_t offset)
{
	struct refusal_mark mark = {1, 1};

	for (size_t i = 0; i < size && i < offset; i++) {
		mark.column = bytes[i] == '\n' ? 1 : mark.column + 1;
		mark.line += bytes[i] == '\n';
	}
	return mark;
}

static int refuse_yaml(struct load *load, const yaml_parser_t *parser, const char *bytes,
		       size_t size)
{
	const char *problem = parser->problem ? parser->problem : "it can't be read";
	struct refusal_mark mark = {parser->problem_mark.line + 1, parser->problem_mark.column + 1};

	if (parser->error == YAML_MEMORY_ERROR)
		return -ENOMEM;
	if (parser->error == YAML_READER_ERROR)
		mark = mark_of_offset(bytes, size, parser->problem_offset);
	return refusal_at(&load->refusal, mark, "this is no YAML: %s; correct it", problem);
}

/* What follows the one document of a file. */
static int refuse_second(struct load *load, yaml_parser_t *parser, const char *bytes, size_t size)
{
	yaml_document_t second;
	yaml_node_t *root;
	int error = 0;

	if (!yaml_parser_load(parser, &second))
		return refuse_yaml(load, parser, bytes, size);
	root = yaml_document_get_root_node(&second);
	if (root)
		error = refusal_at(&load->refusal,
				   (struct refusal_mark){root->start_mark.line + 1,
							 root->start_mark.column + 1},
				   "a second document begins here; one file is one node, so take "
				   "it out");
	yaml_document_delete(&second);
	return error;
}

static int parse(struct load *load, const char *bytes, size_t size)
{
	yaml_parser_t parser;
	int error;

	if (!yaml_parser_initialize(&parser))
		return -ENOMEM;
	yaml_parser_set_input_string(&parser, (const unsigned char *)bytes, size);
	if (!yaml_parser_load(&parser, &load->document)) {
		error = refuse_yaml(load, &parser, bytes, size);
	} else {
		error = take(load);
		/* An empty stream has ended already. */
		if (!error && yaml_document_get_root_node(&load->document))
			error = refuse_second(load, &parser, bytes, size);
		yaml_document_delete(&load->document);
	}
	yaml_parser_delete(&parser);
	return error;
}

static int check_size(struct refusal *refusal, const char *bytes, size_t size)
{
	unsigned brackets = 0;

	if (size > CONFIG_FILE_SIZE_MAX)
		return refusal_at(refusal, (struct refusal_mark){1, 1},
				  "the file is larger than %d bytes; shorten it",
				  CONFIG_FILE_SIZE_MAX);
	for (size_t i = 0; i < size; i++) {
		brackets += bytes[i] == '[' || bytes[i] == '{';
		if (brackets > CONFIG_BRACKET_MAX)
			return refusal_at(
				refusal, mark_of_offset(bytes, size, i),
				"the file has more than %d opening brackets; write lists as "
				"lines with dashes",
				CONFIG_BRACKET_MAX);
	}
	return 0;
}

int config_parse(const char *name, const char *bytes, size_t size, struct config *ret_config,
		 char *error_text, size_t error_size)
{
	struct load load = {.refusal = {.file = name, .text = error_text, .size = error_size}};
	int error = check_size(&load.refusal, bytes, size);

	if (error)
		return error;
	load.config = calloc(1, sizeof(*load.config));
	error = load.config ? parse(&load, bytes, size) : -ENOMEM;
	if (error == -ENOMEM)
		refusal_at(&load.refusal, (struct refusal_mark){1, 1},
			   "there is no memory to read it; free some");
	if (!error)
		memcpy(ret_config, load.config, sizeof(*ret_config));
	config_deinit(load.config);
	free(load.config);
	return error;
}

/* One byte more than allowed, so that config_parse() sees a file that is too large. */
static int read_file(const char *path, char *bytes, size_t *ret_size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t size = 0;
	ssize_t got = 1;
	int error;

	if (fd < 0)
		return -errno;
	while (got > 0 && size <= CONFIG_FILE_SIZE_MAX) {
		got = read(fd, bytes + size, CONFIG_FILE_SIZE_MAX + 1 - size);
		size += got > 0 ? (size_t)got : 0;
	}
	error = got < 0 ? -errno : 0;
	close(fd);
	if (!error)
		*ret_size = size;
	return error;
}

int config_load(const char *path, struct config *ret_config, char *error_text, size_t error_size)
{
	struct refusal refusal = {.file = path, .text = error_text, .size = error_size};
	char *bytes = malloc(CONFIG_FILE_SIZE_MAX + 1);
	size_t size = 0;
	int error = bytes ? read_file(path, bytes, &size) : -ENOMEM;

	if (error)
		refusal_at(&refusal, (struct refusal_mark){1, 1},
			   "it can't be read: %s; check its path and owner", strerror(-error));
	else
		error = config_parse(path, bytes, size, ret_config, error_text, error_size);
	free(bytes);
	return error;
}

void config_where(const char *path, const char *key, char *to, size_t to_size)
{
	char text[CONFIG_ERROR_MAX];
	struct load load = {.refusal = {.file = path, .text = text, .size = sizeof(text)}};
	char *bytes = malloc(CONFIG_FILE_SIZE_MAX + 1);
	struct refusal_mark mark = {0};
	size_t size = 0;

	load.config = calloc(1, sizeof(*load.config));
	if (load.config && bytes && !read_file(path, bytes, &size) &&
	    !check_size(&load.refusal, bytes, size) && !parse(&load, bytes, size))
		mark = refusal_mark_of(&load.refusal, key);
	snprintf(to, to_size, "%s:%zu:%zu", path, MAX(mark.line, (size_t)1),
		 MAX(mark.column, (size_t)1));
	config_deinit(load.config);
	free(load.config);
	free(bytes);
}

void config_deinit(struct config *config)
{
	if (config) {
		explicit_bzero(config->secret, sizeof(config->secret));
		config->secret_loaded = false;
	}
}
