/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Random structures, written by us and read by msgpack-c, and the other way
 * round. A structure is a list of tokens in the order of its bytes: a container
 * is followed by what it holds.
 *
 * A seed as the argument replays a run.
 */

#include "base/defs.h"
#include "base/rand.h"
#include "proto/pack.h"
#include "tests/lib/test.h"

#include <inttypes.h>
#include <msgpack.h>
#include <stdlib.h>
#include <string.h>

#define STRUCTURE_COUNT 100000
#define TOKEN_MAX       96
#define TOKEN_STOP      32 /* no container begins or grows beyond; what is promised still comes */
#define TEXT_MAX        300
#define BUFFER_SIZE     (64 * 1024)

struct token {
	enum pack_kind kind;
	uint64_t bits; /* of an integer or float; a bool's value */
	uint32_t size; /* of a string, byte string, array or map */
};

struct structure {
	struct token tokens[TOKEN_MAX];
	size_t count;
	bool has_signed_wide; /* a positive INT of 128 or more: where msgpack-c's bytes differ */
};

static uint64_t seed = 20260921;
static struct rand rand_state;

/* All strings are beginnings of this one; its characters take one to four bytes. */
static char text[TEXT_MAX + 1];

static void fill_text(void)
{
	static const char *const characters[] = {"a", "\xc3\xa4", "\xe2\x82\xac",
						 "\xf0\x9f\x8c\x8a"};
	size_t length = 0;

	for (size_t i = 0; length + 4 <= TEXT_MAX; i++) {
		const char *character = characters[i % ARRAY_COUNT(characters)];

		memcpy(text + length, character, strlen(character));
		length += strlen(character);
	}
}

/* A length at which 'text' can be cut between characters: a multiple of ten ends after four. */
static uint32_t random_text_length(void)
{
	static const uint32_t within[] = {0, 1, 3, 6};

	return (uint32_t)(10 * rand_below(&rand_state, TEXT_MAX / 10) +
			  within[rand_below(&rand_state, ARRAY_COUNT(within))]);
}

/* All widths equally often, with their edges. */
static uint64_t random_bits(void)
{
	uint64_t value = rand_next(&rand_state) >> rand_below(&rand_state, 64);

	switch (rand_below(&rand_state, 4)) {
	case 0:
		return UINT64_C(1) << rand_below(&rand_state, 64);
	case 1:
		return (UINT64_C(1) << rand_below(&rand_state, 64)) - 1;
	default:
		return value;
	}
}

static void add_value(struct structure *structure, unsigned depth);

static void add_elements(struct structure *structure, struct token *container, unsigned values,
			 unsigned depth)
{
	uint32_t wanted = (uint32_t)rand_below(&rand_state, depth < 6 ? 20 : 2);

	/* Each level leaves room for the elements that its parents still promise. */
	while (container->size < wanted && structure->count + values <= TOKEN_STOP) {
		for (unsigned i = 0; i < values; i++)
			add_value(structure, depth + 1);
		container->size++;
	}
}

static void add_value(struct structure *structure, unsigned depth)
{
	static const enum pack_kind kinds[] = {
		PACK_KIND_NIL, PACK_KIND_BOOL, PACK_KIND_UINT, PACK_KIND_INT,   PACK_KIND_F32,
		PACK_KIND_F64, PACK_KIND_STR,  PACK_KIND_BIN,  PACK_KIND_ARRAY, PACK_KIND_MAP};
	struct token *token = &structure->tokens[structure->count++];
	size_t kind_count = ARRAY_COUNT(kinds) - (structure->count > TOKEN_STOP ? 2 : 0);

	*token = (struct token){.kind = depth ? kinds[rand_below(&rand_state, kind_count)]
					      : PACK_KIND_ARRAY};
	token->bits = random_bits();
	switch (token->kind) {
	case PACK_KIND_BOOL:
		token->bits &= 1;
		break;
	case PACK_KIND_INT:
		if (rand_below(&rand_state, 2))
			token->bits = ~token->bits;
		if ((int64_t)token->bits >= 128)
			structure->has_signed_wide = true;
		break;
	case PACK_KIND_F32:
		token->bits &= UINT32_MAX;
		break;
	case PACK_KIND_STR:
	case PACK_KIND_BIN:
		token->size = random_text_length();
		break;
	case PACK_KIND_ARRAY:
		add_elements(structure, token, 1, depth);
		break;
	case PACK_KIND_MAP:
		add_elements(structure, token, 2, depth);
		break;
	default:
		break;
	}
}

static float as_f32(uint64_t bits)
{
	uint32_t low = (uint32_t)bits;
	float value;

	memcpy(&value, &low, sizeof(value));
	return value;
}

static double as_f64(uint64_t bits)
{
	double value;

	memcpy(&value, &bits, sizeof(value));
	return value;
}

static size_t write_ours(const struct structure *structure, uint8_t *to)
{
	struct pack_writer writer = pack_writer(to, BUFFER_SIZE);

	for (size_t i = 0; i < structure->count; i++) {
		const struct token *token = &structure->tokens[i];

		switch (token->kind) {
		case PACK_KIND_NIL:
			pack_write_nil(&writer);
			break;
		case PACK_KIND_BOOL:
			pack_write_bool(&writer, token->bits);
			break;
		case PACK_KIND_UINT:
			pack_write_uint(&writer, token->bits);
			break;
		case PACK_KIND_INT:
			pack_write_int(&writer, (int64_t)token->bits);
			break;
		case PACK_KIND_F32:
			pack_write_f32(&writer, as_f32(token->bits));
			break;
		case PACK_KIND_F64:
			pack_write_f64(&writer, as_f64(token->bits));
			break;
		case PACK_KIND_STR:
			pack_write_str(&writer, text, token->size);
			break;
		case PACK_KIND_BIN:
			pack_write_bin(&writer, (const uint8_t *)text, token->size);
			break;
		case PACK_KIND_ARRAY:
			pack_write_array(&writer, token->size);
			break;
		default:
			pack_write_map(&writer, token->size);
		}
	}
	return pack_writer_end(&writer);
}

static void write_theirs(const struct structure *structure, msgpack_sbuffer *to)
{
	msgpack_packer packer;

	msgpack_packer_init(&packer, to, msgpack_sbuffer_write);
	for (size_t i = 0; i < structure->count; i++) {
		const struct token *token = &structure->tokens[i];

		switch (token->kind) {
		case PACK_KIND_NIL:
			msgpack_pack_nil(&packer);
			break;
		case PACK_KIND_BOOL:
			(void)(token->bits ? msgpack_pack_true(&packer)
					   : msgpack_pack_false(&packer));
			break;
		case PACK_KIND_UINT:
			msgpack_pack_uint64(&packer, token->bits);
			break;
		case PACK_KIND_INT:
			msgpack_pack_int64(&packer, (int64_t)token->bits);
			break;
		case PACK_KIND_F32:
			msgpack_pack_float(&packer, as_f32(token->bits));
			break;
		case PACK_KIND_F64:
			msgpack_pack_double(&packer, as_f64(token->bits));
			break;
		case PACK_KIND_STR:
			msgpack_pack_str_with_body(&packer, text, token->size);
			break;
		case PACK_KIND_BIN:
			msgpack_pack_bin_with_body(&packer, text, token->size);
			break;
		case PACK_KIND_ARRAY:
			msgpack_pack_array(&packer, token->size);
			break;
		default:
			msgpack_pack_map(&packer, token->size);
		}
	}
}

/* Reads one token, whoever wrote it. */
static void read_token(struct pack_reader *reader, const struct token *token)
{
	struct text_view view;
	struct bytes_view bytes;
	float f32;
	double f64;

	switch (token->kind) {
	case PACK_KIND_NIL:
		pack_read_nil(reader);
		break;
	case PACK_KIND_BOOL:
		assert_int_equal(pack_read_bool(reader), token->bits);
		break;
	case PACK_KIND_UINT:
		assert_true(pack_read_u64(reader) == token->bits);
		break;
	case PACK_KIND_INT:
		assert_true(pack_read_int(reader, 64) == (int64_t)token->bits);
		break;
	case PACK_KIND_F32:
		f32 = pack_read_f32(reader);
		assert_memory_equal(&f32, &token->bits, sizeof(f32));
		break;
	case PACK_KIND_F64:
		f64 = pack_read_f64(reader);
		assert_memory_equal(&f64, &token->bits, sizeof(f64));
		break;
	case PACK_KIND_STR:
		view = pack_read_str(reader);
		assert_int_equal(view.length, token->size);
		assert_memory_equal(view.text, text, token->size);
		break;
	case PACK_KIND_BIN:
		bytes = pack_read_bin(reader);
		assert_int_equal(bytes.size, token->size);
		assert_memory_equal(bytes.bytes, text, token->size);
		break;
	case PACK_KIND_ARRAY:
		assert_int_equal(pack_read_array(reader), token->size);
		break;
	default:
		assert_int_equal(pack_read_map(reader), token->size);
	}
	assert_int_equal(reader->error, PACK_OK);
}

static void read_ours(const struct structure *structure, const uint8_t *bytes, size_t size)
{
	struct pack_reader reader = pack_reader(bytes, size);

	for (size_t i = 0; i < structure->count; i++)
		read_token(&reader, &structure->tokens[i]);
	assert_int_equal(pack_reader_left(&reader), 0);
	reader = pack_reader(bytes, size);
	pack_read_skip(&reader);
	assert_int_equal(reader.error, PACK_OK);
	assert_int_equal(pack_reader_left(&reader), 0);
}

/* Compares what msgpack-c made of our bytes; returns the token behind the value. */
static const struct token *compare(const msgpack_object *object, const struct token *token)
{
	const struct token *next = token + 1;
	double f64 = as_f64(token->bits), f32 = (double)as_f32(token->bits);

	switch (token->kind) {
	case PACK_KIND_NIL:
		assert_int_equal(object->type, MSGPACK_OBJECT_NIL);
		break;
	case PACK_KIND_BOOL:
		assert_int_equal(object->type, MSGPACK_OBJECT_BOOLEAN);
		assert_int_equal(object->via.boolean, token->bits);
		break;
	case PACK_KIND_UINT:
		assert_int_equal(object->type, MSGPACK_OBJECT_POSITIVE_INTEGER);
		assert_true(object->via.u64 == token->bits);
		break;
	case PACK_KIND_INT:
		assert_int_equal(object->type, (int64_t)token->bits < 0
						       ? MSGPACK_OBJECT_NEGATIVE_INTEGER
						       : MSGPACK_OBJECT_POSITIVE_INTEGER);
		assert_true((uint64_t)object->via.i64 == token->bits);
		break;
	case PACK_KIND_F32:
		assert_int_equal(object->type, MSGPACK_OBJECT_FLOAT32);
		assert_true(object->via.f64 == f32 || (f32 != f32 && object->via.f64 != f32));
		break;
	case PACK_KIND_F64:
		assert_int_equal(object->type, MSGPACK_OBJECT_FLOAT64);
		assert_true(object->via.f64 == f64 || (f64 != f64 && object->via.f64 != f64));
		break;
	case PACK_KIND_STR:
		assert_int_equal(object->type, MSGPACK_OBJECT_STR);
		assert_int_equal(object->via.str.size, token->size);
		assert_memory_equal(object->via.str.ptr, text, token->size);
		break;
	case PACK_KIND_BIN:
		assert_int_equal(object->type, MSGPACK_OBJECT_BIN);
		assert_int_equal(object->via.bin.size, token->size);
		assert_memory_equal(object->via.bin.ptr, text, token->size);
		break;
	case PACK_KIND_ARRAY:
		assert_int_equal(object->type, MSGPACK_OBJECT_ARRAY);
		assert_int_equal(object->via.array.size, token->size);
		for (uint32_t i = 0; i < token->size; i++)
			next = compare(&object->via.array.ptr[i], next);
		break;
	default:
		assert_int_equal(object->type, MSGPACK_OBJECT_MAP);
		assert_int_equal(object->via.map.size, token->size);
		for (uint32_t i = 0; i < token->size; i++) {
			next = compare(&object->via.map.ptr[i].key, next);
			next = compare(&object->via.map.ptr[i].val, next);
		}
	}
	return next;
}

static void read_theirs(const struct structure *structure, const uint8_t *bytes, size_t size)
{
	msgpack_unpacked unpacked;
	size_t offset = 0;

	msgpack_unpacked_init(&unpacked);
	assert_int_equal(msgpack_unpack_next(&unpacked, (const char *)bytes, size, &offset),
			 MSGPACK_UNPACK_SUCCESS);
	assert_int_equal(offset, size);
	assert_ptr_equal(compare(&unpacked.data, structure->tokens),
			 structure->tokens + structure->count);
	msgpack_unpacked_destroy(&unpacked);
}

static void check_structure(const struct structure *structure, msgpack_sbuffer *theirs)
{
	static uint8_t ours[BUFFER_SIZE];
	size_t size = write_ours(structure, ours);

	assert_true(size > 0);
	read_ours(structure, ours, size);
	read_theirs(structure, ours, size);
	msgpack_sbuffer_clear(theirs);
	write_theirs(structure, theirs);
	if (structure->has_signed_wide)
		return;
	assert_int_equal(theirs->size, size);
	assert_memory_equal(theirs->data, ours, size);
	read_ours(structure, (const uint8_t *)theirs->data, theirs->size);
}

static void random_structures_read_the_same_on_both_sides(void **state)
{
	unsigned same_count = 0, token_count = 0;
	msgpack_sbuffer theirs;

	print_message("seed %" PRIu64 "\n", seed);
	rand_init(&rand_state, seed);
	fill_text();
	msgpack_sbuffer_init(&theirs);
	for (unsigned i = 0; i < STRUCTURE_COUNT; i++) {
		struct structure structure = {0};

		add_value(&structure, 0);
		check_structure(&structure, &theirs);
		same_count += !structure.has_signed_wide;
		token_count += (unsigned)structure.count;
	}
	msgpack_sbuffer_destroy(&theirs);
	/* The mix is what it is meant to be: enough of each sort, and not all tiny. */
	assert_true(same_count > STRUCTURE_COUNT / 10);
	assert_true(same_count < STRUCTURE_COUNT);
	assert_true(token_count > 5 * STRUCTURE_COUNT);
}

/* What a common library writes for a positive signed number, no signed reader takes. */
static void unsigned_bytes_for_signed_numbers_are_refused(void **state)
{
	rand_init(&rand_state, 5);
	for (unsigned i = 0; i < 1000; i++) {
		int64_t value = (int64_t)(random_bits() >> 1);
		msgpack_sbuffer theirs;
		msgpack_packer packer;
		struct pack_reader reader;

		msgpack_sbuffer_init(&theirs);
		msgpack_packer_init(&packer, &theirs, msgpack_sbuffer_write);
		msgpack_pack_int64(&packer, value);
		reader = pack_reader((const uint8_t *)theirs.data, theirs.size);
		(void)pack_read_int(&reader, 64);
		assert_int_equal(reader.error, value < 128 ? PACK_OK : PACK_E_TYPE);
		msgpack_sbuffer_destroy(&theirs);
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_structures_read_the_same_on_both_sides),
		cmocka_unit_test(unsigned_bytes_for_signed_numbers_are_refused),
	};

	if (argc > 1)
		seed = strtoull(argv[1], NULL, 0);
	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
