/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/test.h"

#include "client/feed_json.h"
#include "engine/keys.h"

#include <stdlib.h>
#include <string.h>

static const uint8_t store[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
static const struct feed_position after = {.seqno = 10};

static struct entry_bytes bytes(const char *from, size_t size)
{
	return (struct entry_bytes){(const uint8_t *)from, (uint32_t)size};
}

#define TEXT(literal) bytes(literal, sizeof(literal) - 1)

/* The event's line without what is the same in all: source and token. */
static void assert_event(const struct feed_event *event, const char *expected)
{
	json_t *object = feed_json_event(event, after, store);
	char *line;

	assert_non_null(object);
	json_object_del(object, "source");
	json_object_del(object, "token");
	line = json_dumps(object, JSON_COMPACT);
	assert_string_equal(line, expected);
	free(line);
	json_decref(object);
}

static void an_insert_has_value_type_and_expiry(void **state)
{
	(void)state;
	assert_event(&(struct feed_event){.kind = FEED_INSERT,
					  .seqno = 9,
					  .key = TEXT("k"),
					  .value = TEXT("v"),
					  .type = 2},
		     "{\"op\":\"c\",\"key\":\"k\",\"value\":\"v\",\"type\":2}");
	assert_event(
		&(struct feed_event){.kind = FEED_INSERT,
				     .key = TEXT("k"),
				     .value = TEXT(""),
				     .expires = 1700000060},
		"{\"op\":\"c\",\"key\":\"k\",\"value\":\"\",\"type\":0,\"expires\":1700000060}");
}

static void merges_and_deletions_have_words_of_their_own(void **state)
{
	(void)state;
	assert_event(&(struct feed_event){.kind = FEED_MERGE_OPERAND,
					  .key = TEXT("k"),
					  .value = TEXT("more"),
					  .type = 2},
		     "{\"op\":\"m\",\"key\":\"k\",\"value\":\"more\",\"operator\":2}");
	assert_event(&(struct feed_event){.kind = FEED_POINT_TOMBSTONE, .key = TEXT("k")},
		     "{\"op\":\"d\",\"key\":\"k\"}");
	assert_event(
		&(struct feed_event){.kind = FEED_POINT_TOMBSTONE, .key = TEXT("k"), .weak = true},
		"{\"op\":\"d\",\"key\":\"k\",\"weak\":true}");
	assert_event(&(struct feed_event){.kind = FEED_RANGE_TOMBSTONE,
					  .key = TEXT("a"),
					  .value = TEXT("c")},
		     "{\"op\":\"dr\",\"key\":\"a\",\"end\":\"c\"}");
}

static void what_is_no_text_is_hex_and_says_so(void **state)
{
	(void)state;
	assert_event(&(struct feed_event){.kind = FEED_INSERT,
					  .key = TEXT("\xff\x00"),
					  .value = TEXT("a\nb")},
		     "{\"op\":\"c\",\"key_hex\":\"ff00\",\"value_hex\":\"610a62\",\"type\":0}");
	assert_event(&(struct feed_event){.kind = FEED_RANGE_TOMBSTONE,
					  .key = TEXT("a"),
					  .value = TEXT("\x7f")},
		     "{\"op\":\"dr\",\"key\":\"a\",\"end_hex\":\"7f\"}");
	/* Half of a character, one that is too long, and a whole one. */
	assert_event(&(struct feed_event){.kind = FEED_POINT_TOMBSTONE, .key = TEXT("\xc3")},
		     "{\"op\":\"d\",\"key_hex\":\"c3\"}");
	assert_event(&(struct feed_event){.kind = FEED_POINT_TOMBSTONE, .key = TEXT("\xc0\xaf")},
		     "{\"op\":\"d\",\"key_hex\":\"c0af\"}");
	assert_event(&(struct feed_event){.kind = FEED_POINT_TOMBSTONE, .key = TEXT("\xc3\xa4")},
		     "{\"op\":\"d\",\"key\":\"\xc3\xa4\"}");
}

static void keys_of_edges_and_vectors_are_taken_apart(void **state)
{
	uint8_t key[KEYS_VECTOR_MAX];
	uint32_t size;

	(void)state;
	keys_edge((struct edge_key){.source = -1, .target = 2}, key);
	assert_event(
		&(struct feed_event){.kind = FEED_POINT_TOMBSTONE, .key = {key, KEYS_EDGE_SIZE}},
		"{\"op\":\"d\",\"key_hex\":\"00657fffffffffffffff8000000000000002\","
		"\"edge\":{\"source\":-1,\"target\":2}}");
	size = keys_vector((struct vector_key){.collection = TEXT("c"), .label = 7}, key);
	assert_event(&(struct feed_event){.kind = FEED_POINT_TOMBSTONE, .key = {key, size}},
		     "{\"op\":\"d\",\"key_hex\":\"007601630000000000000007\","
		     "\"vector\":{\"collection\":\"c\",\"label\":7}}");
}

static void source_and_token_say_where_it_is_from(void **state)
{
	struct feed_event event = {.kind = FEED_INSERT, .seqno = 9, .index = 3, .key = TEXT("k")};
	json_t *object = feed_json_event(&event, after, store), *source;
	struct feed_position position;

	(void)state;
	source = json_object_get(object, "source");
	assert_string_equal(json_string_value(json_object_get(source, "store")),
			    "000102030405060708090a0b0c0d0e0f");
	assert_int_equal(json_integer_value(json_object_get(source, "seqno")), 9);
	assert_int_equal(json_integer_value(json_object_get(source, "index")), 3);
	assert_int_equal(feed_token_parse(json_string_value(json_object_get(object, "token")),
					  store, &position),
			 0);
	assert_int_equal(position.seqno, 10);
	json_decref(object);
}

static void a_heartbeat_says_up_to_where_all_is_known(void **state)
{
	json_t *object = feed_json_heartbeat(after, store);
	struct feed_position position;

	(void)state;
	assert_string_equal(json_string_value(json_object_get(object, "op")), "heartbeat");
	assert_int_equal(json_integer_value(json_object_get(object, "resolved")), 10);
	assert_int_equal(feed_token_parse(json_string_value(json_object_get(object, "token")),
					  store, &position),
			 0);
	assert_int_equal(position.seqno, 10);
	json_decref(object);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_insert_has_value_type_and_expiry),
		cmocka_unit_test(merges_and_deletions_have_words_of_their_own),
		cmocka_unit_test(what_is_no_text_is_hex_and_says_so),
		cmocka_unit_test(keys_of_edges_and_vectors_are_taken_apart),
		cmocka_unit_test(source_and_token_say_where_it_is_from),
		cmocka_unit_test(a_heartbeat_says_up_to_where_all_is_known),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
