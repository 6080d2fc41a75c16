/* SPDX-License-Identifier: Apache-2.0 */
#include "config/walk.h"

#include "base/check.h"
#include "config/schema.h"
#include "config/value.h"

#include <errno.h>
#include <string.h>

struct walk {
	yaml_document_t *document;
	struct config *config;
	struct refusal *refusal;
};

static struct refusal_mark mark_of(const yaml_node_t *node)
{
	return (struct refusal_mark){node->start_mark.line + 1, node->start_mark.column + 1};
}

static yaml_node_t *node_at(struct walk *walk, int index)
{
	yaml_node_t *node = yaml_document_get_node(walk->document, index);

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

static int set_scalar(struct walk *walk, const struct schema_row *row, const char *name,
		      yaml_node_t *node, void *base,
		      int (*set)(const struct schema_row *, const char *, void *, char *))
{
	const char *text = text_of(node);
	char why[VALUE_WHY_MAX];

	if (is_null(node))
		return refusal_at(walk->refusal, mark_of(node),
				  "%s has no value; write one, or take the line out", name);
	if (!text)
		return refusal_at(walk->refusal, mark_of(node), "%s takes %s; write that", name,
				  row->type == SCHEMA_PEERS  ? "a list of peers"
				  : value_is_list(row->type) ? "a list"
							     : "a single value");
	if (set(row, text, base, why))
		return refusal_at(walk->refusal, mark_of(node), "%s: %s", name, why);
	return 0;
}

/* What tells a mapping's keys from each other and from strangers. */
static int refuse_key(struct walk *walk, yaml_node_t *node, const char *section, const char *name)
{
	char nearest[SCHEMA_KEY_MAX];

	if (schema_nearest(section, name, nearest))
		return refusal_at(walk->refusal, mark_of(node),
				  "unknown key '%.60s'; did you mean %s?", name, nearest);
	return refusal_at(walk->refusal, mark_of(node),
			  "unknown key '%.60s'; take it out (ternd --print-defaults lists all)",
			  name);
}

static int refuse_repeated(struct walk *walk, yaml_node_t *node, const char *name)
{
	return refusal_at(walk->refusal, mark_of(node),
			  "key '%.60s' is there twice; take one of them out", name);
}

/* Does 'name' stand in an earlier pair of the mapping? Earlier ones are all keys of the schema. */
static bool is_repeated(struct walk *walk, yaml_node_t *mapping, const yaml_node_pair_t *pair,
			const char *name)
{
	for (yaml_node_pair_t *at = mapping->data.mapping.pairs.start; at < pair; at++) {
		if (strcmp(text_of(node_at(walk, at->key)), name) == 0)
			return true;
	}
	return false;
}

/* The pair's key, or NULL when it is refused. */
static const char *key_of(struct walk *walk, yaml_node_t *mapping, const yaml_node_pair_t *pair)
{
	yaml_node_t *key = node_at(walk, pair->key);
	const char *name = text_of(key);

	if (!name) {
		(void)refusal_at(walk->refusal, mark_of(key),
				 "a key is a list or a mapping; write a name");
		return NULL;
	}
	if (is_repeated(walk, mapping, pair, name)) {
		(void)refuse_repeated(walk, key, name);
		return NULL;
	}
	return name;
}

static int set_peer(struct walk *walk, yaml_node_t *mapping, struct config_peer *peer)
{
	size_t given = 0;

	for (yaml_node_pair_t *pair = mapping->data.mapping.pairs.start;
	     pair < mapping->data.mapping.pairs.top; pair++) {
		const struct schema_row *row = schema_peer_rows;
		const char *name = key_of(walk, mapping, pair);
		int error;

		if (!name)
			return -EINVAL;
		while (row < schema_peer_rows + schema_peer_row_count &&
		       strcmp(row->key, name) != 0)
			row++;
		if (row == schema_peer_rows + schema_peer_row_count)
			return refusal_at(
				walk->refusal, mark_of(node_at(walk, pair->key)),
				"unknown key '%.60s' of a peer; a peer has node and address", name);
		error = set_scalar(walk, row, row->key, node_at(walk, pair->value), peer,
				   value_set);
		if (error)
			return error;
		given++;
	}
	if (given < schema_peer_row_count)
		return refusal_at(walk->refusal, mark_of(mapping),
				  "a peer lacks its node or its address; write both");
	return 0;
}

static int append_peer(struct walk *walk, yaml_node_t *mapping)
{
	struct config *config = walk->config;

	if (config->peer_count == CONFIG_PEER_MAX)
		return refusal_at(walk->refusal, mark_of(mapping),
				  "more than %d peers are listed; list fewer", CONFIG_PEER_MAX);
	return set_peer(walk, mapping, &config->peers[config->peer_count++]);
}

static int set_list(struct walk *walk, const struct schema_row *row, yaml_node_t *list)
{
	for (yaml_node_item_t *at = list->data.sequence.items.start;
	     at < list->data.sequence.items.top; at++) {
		yaml_node_t *item = node_at(walk, *at);
		int error;

		if (row->type == SCHEMA_PEERS && item->type == YAML_MAPPING_NODE)
			error = append_peer(walk, item);
		else
			error = set_scalar(walk, row, row->key, item, walk->config, value_append);
		if (error)
			return error;
	}
	return 0;
}

static int set_row(struct walk *walk, const struct schema_row *row, yaml_node_t *node)
{
	walk->refusal->marks[row - schema_rows] = mark_of(node);
	if (value_is_list(row->type) && node->type == YAML_SEQUENCE_NODE)
		return set_list(walk, row, node);
	return set_scalar(walk, row, row->key, node, walk->config, value_set);
}

static int set_section(struct walk *walk, const char *section, yaml_node_t *mapping);

static int set_pair(struct walk *walk, const char *section, const char *name,
		    const yaml_node_pair_t *pair)
{
	yaml_node_t *value = node_at(walk, pair->value);
	const struct schema_row *row;
	char key[SCHEMA_KEY_MAX];
	int length = snprintf(key, sizeof(key), "%s%s%s", section, section[0] ? "." : "", name);

	row = (size_t)length < sizeof(key) ? schema_find(key) : NULL;
	/* "port.listen" written at the top would give a key two ways to be there twice. */
	if (row && (section[0] || !strchr(name, '.')))
		return set_row(walk, row, value);
	if (section[0] || !schema_is_section(name))
		return refuse_key(walk, node_at(walk, pair->key), section, name);
	if (value->type == YAML_MAPPING_NODE)
		return set_section(walk, name, value);
	return refusal_at(walk->refusal, mark_of(value),
			  "%s is a section; write its keys below it, further to the right", name);
}

/* Goes at most one section deep: a section's own keys are rows of the schema. */
static int set_section(struct walk *walk, const char *section, yaml_node_t *mapping)
{
	for (yaml_node_pair_t *pair = mapping->data.mapping.pairs.start;
	     pair < mapping->data.mapping.pairs.top; pair++) {
		const char *name = key_of(walk, mapping, pair);
		int error = name ? set_pair(walk, section, name, pair) : -EINVAL;

		if (error)
			return error;
	}
	return 0;
}

int walk_document(yaml_document_t *document, struct config *config, struct refusal *refusal)
{
	struct walk walk = {.document = document, .config = config, .refusal = refusal};
	yaml_node_t *root = yaml_document_get_root_node(document);

	/* No root, or a null: the file is empty, or comments only. */
	if (!root || is_null(root))
		return 0;
	if (root->type != YAML_MAPPING_NODE)
		return refusal_at(
			refusal, mark_of(root),
			"the file is no list of keys; write lines of the form key: value");
	return set_section(&walk, "", root);
}
