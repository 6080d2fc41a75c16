/* SPDX-License-Identifier: Apache-2.0 */
#include "config/config.h"

#include "base/check.h"
#include "config/refusal.h"
#include "config/schema.h"
#include "config/secret.h"
#include "config/semantic.h"
#include "config/value.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <yaml.h>

/*
 * From YAML to the struct in four steps: libyaml makes a tree with places, the
 * tree is walked along the schema, what was not given gets its default, and the
 * whole is checked. The tree's depth that matters is the schema's, so anchors
 * and aliases can do no harm here.
 */

struct load {
	struct refusal refusal;
	struct config *config;
	yaml_document_t document;
};

static struct refusal_mark mark_of(const yaml_node_t *node)
{
	return (struct refusal_mark){node->start_mark.line + 1, node->start_mark.column + 1};
}

static yaml_node_t *node_at(struct load *load, int index)
{
	yaml_node_t *node = yaml_document_get_node(&load->document, index);

	CHECK(node);
	return node;
}

/* A scalar's text, or NULL when it is none or holds a zero byte. */
static const char *text_of(const yaml_node_t *node)
{
	const char *text = (const char *)node->data.scalar.value;

	if (node->type != YAML_SCALAR_NODE || strlen(text) != node->data.scalar.length)
		return NULL;
	return text;
}

/* "key:" with nothing behind it, "~" and "null" are what YAML calls null. */
static bool is_null(const yaml_node_t *node)
{
	const char *text = text_of(node);

	return text && node->data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
	       (text[0] == '\0' || strcmp(text, "~") == 0 || strcmp(text, "null") == 0);
}

static int set_scalar(struct load *load, const struct schema_row *row, const char *name,
		      yaml_node_t *node, void *base,
		      int (*set)(const struct schema_row *, const char *, void *, char *))
{
	const char *text = text_of(node);
	char why[VALUE_WHY_MAX];

	if (is_null(node))
		return refusal_at(&load->refusal, mark_of(node),
				  "%s has no value; write one, or take the line out", name);
	if (!text)
		return refusal_at(&load->refusal, mark_of(node), "%s takes %s; write that", name,
				  row->type == SCHEMA_PEERS  ? "a list of peers"
				  : value_is_list(row->type) ? "a list"
							     : "a single value");
	if (set(row, text, base, why))
		return refusal_at(&load->refusal, mark_of(node), "%s: %s", name, why);
	return 0;
}

/* What tells a mapping's keys from each other and from strangers. */
static int refuse_key(struct load *load, yaml_node_t *node, const char *section, const char *name)
{
	char nearest[SCHEMA_KEY_MAX];

	if (schema_nearest(section, name, nearest))
		return refusal_at(&load->refusal, mark_of(node),
				  "unknown key '%.60s'; did you mean %s?", name, nearest);
	return refusal_at(&load->refusal, mark_of(node),
			  "unknown key '%.60s'; take it out (ternd --print-defaults lists all)",
			  name);
}

static int refuse_repeated(struct load *load, yaml_node_t *node, const char *name)
{
	return refusal_at(&load->refusal, mark_of(node),
			  "key '%.60s' is there twice; take one of them out", name);
}

/* Does 'name' stand in an earlier pair of the mapping? Earlier ones are all keys of the schema. */
static bool is_repeated(struct load *load, yaml_node_t *mapping, const yaml_node_pair_t *pair,
			const char *name)
{
	for (yaml_node_pair_t *at = mapping->data.mapping.pairs.start; at < pair; at++) {
		if (strcmp(text_of(node_at(load, at->key)), name) == 0)
			return true;
	}
	return false;
}

static int check_key(struct load *load, yaml_node_t *mapping, const yaml_node_pair_t *pair,
		     const char **ret_name)
{
	yaml_node_t *key = node_at(load, pair->key);
	const char *name = text_of(key);

	if (!name)
		return refusal_at(&load->refusal, mark_of(key),
				  "a key is a list or a mapping; write a name");
	if (is_repeated(load, mapping, pair, name))
		return refuse_repeated(load, key, name);
	*ret_name = name;
	return 0;
}

static int set_peer(struct load *load, yaml_node_t *mapping, struct config_peer *peer)
{
	size_t given = 0;

	for (yaml_node_pair_t *pair = mapping->data.mapping.pairs.start;
	     pair < mapping->data.mapping.pairs.top; pair++) {
		const struct schema_row *row = schema_peer_rows;
		const char *name;
		int error = check_key(load, mapping, pair, &name);

		if (error)
			return error;
		while (row < schema_peer_rows + schema_peer_row_count &&
		       strcmp(row->key, name) != 0)
			row++;
		if (row == schema_peer_rows + schema_peer_row_count)
			return refusal_at(
				&load->refusal, mark_of(node_at(load, pair->key)),
				"unknown key '%.60s' of a peer; a peer has node and address", name);
		error = set_scalar(load, row, row->key, node_at(load, pair->value), peer,
				   value_set);
		if (error)
			return error;
		given++;
	}
	if (given < schema_peer_row_count)
		return refusal_at(&load->refusal, mark_of(mapping),
				  "a peer lacks its node or its address; write both");
	return 0;
}

static int append_peer(struct load *load, yaml_node_t *mapping)
{
	struct config *config = load->config;

	if (config->peer_count == CONFIG_PEER_MAX)
		return refusal_at(&load->refusal, mark_of(mapping),
				  "more than %d peers are listed; list fewer", CONFIG_PEER_MAX);
	return set_peer(load, mapping, &config->peers[config->peer_count++]);
}

static int set_list(struct load *load, const struct schema_row *row, yaml_node_t *list)
{
	for (yaml_node_item_t *at = list->data.sequence.items.start;
	     at < list->data.sequence.items.top; at++) {
		yaml_node_t *item = node_at(load, *at);
		int error;

		if (row->type == SCHEMA_PEERS && item->type == YAML_MAPPING_NODE)
			error = append_peer(load, item);
		else
			error = set_scalar(load, row, row->key, item, load->config, value_append);
		if (error)
			return error;
	}
	return 0;
}

static int set_row(struct load *load, const struct schema_row *row, yaml_node_t *node)
{
	load->refusal.marks[row - schema_rows] = mark_of(node);
	if (value_is_list(row->type) && node->type == YAML_SEQUENCE_NODE)
		return set_list(load, row, node);
	return set_scalar(load, row, row->key, node, load->config, value_set);
}

static int set_section(struct load *load, const char *section, yaml_node_t *mapping);

static int set_pair(struct load *load, const char *section, const char *name,
		    const yaml_node_pair_t *pair)
{
	yaml_node_t *value = node_at(load, pair->value);
	const struct schema_row *row;
	char key[SCHEMA_KEY_MAX];
	int length = snprintf(key, sizeof(key), "%s%s%s", section, section[0] ? "." : "", name);

	row = (size_t)length < sizeof(key) ? schema_find(key) : NULL;
	/* "port.listen" written at the top would give a key two ways to be there twice. */
	if (row && (section[0] || !strchr(name, '.')))
		return set_row(load, row, value);
	if (section[0] || !schema_is_section(name))
		return refuse_key(load, node_at(load, pair->key), section, name);
	if (value->type == YAML_MAPPING_NODE)
		return set_section(load, name, value);
	return refusal_at(&load->refusal, mark_of(value),
			  "%s is a section; write its keys below it, further to the right", name);
}

/* Goes at most one section deep: a section's own keys are rows of the schema. */
static int set_section(struct load *load, const char *section, yaml_node_t *mapping)
{
	for (yaml_node_pair_t *pair = mapping->data.mapping.pairs.start;
	     pair < mapping->data.mapping.pairs.top; pair++) {
		const char *name;
		int error = check_key(load, mapping, pair, &name);

		if (!error)
			error = set_pair(load, section, name, pair);
		if (error)
			return error;
	}
	return 0;
}

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

static int walk(struct load *load)
{
	yaml_node_t *root = yaml_document_get_root_node(&load->document);
	int error;

	/* No root: the file is empty, or comments only. */
	if (root && root->type != YAML_MAPPING_NODE && !is_null(root))
		return refusal_at(
			&load->refusal, mark_of(root),
			"the file is no list of keys; write lines of the form key: value");
	error = root && root->type == YAML_MAPPING_NODE ? set_section(load, "", root) : 0;
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
		error = refusal_at(&load->refusal, mark_of(root),
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
		error = walk(load);
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

void config_deinit(struct config *config)
{
	if (config) {
		explicit_bzero(config->secret, sizeof(config->secret));
		config->secret_loaded = false;
	}
}
