/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/test.h"

#include "engine/feed.h"
#include "engine/ledger.h"
#include "tests/lib/faulty.h"
#include "tests/lib/kv_rig.h"

#include <stdlib.h>
#include <string.h>

/*
 * Random changes of all kinds, in transactions or alone, flushes, compactions, a rising floor and
 * reopening; the feed then gives out the rig's list of changes, from wherever it is asked.
 */

#define SEED   UINT64_C(53)
#define ROUNDS 6
#define STEPS  1200

struct world {
	struct kv_rig rig;
	struct rand rand;
	struct faulty *disk;
	uint8_t space[KV_RIG_SPACE];
};

static void open_world(struct world *world, uint64_t seed)
{
	rand_init(&world->rand, seed);
	world->disk = faulty_new(seed);
	kv_rig_init(&world->rig, faulty_io(world->disk));
	assert_int_equal(kv_rig_open(&world->rig), 0);
}

static void close_world(struct world *world)
{
	kv_rig_deinit(&world->rig);
	faulty_free(world->disk);
}

static void reopen(struct world *world)
{
	kv_rig_close(&world->rig);
	assert_int_equal(kv_rig_open(&world->rig), 0);
}

/* One change, or a transaction of some. */
static void change(struct world *world)
{
	uint64_t count = rand_below(&world->rand, 5) ? 1 : 1 + rand_below(&world->rand, 6);
	uint64_t index = world->rig.count;
	struct kv_change made;

	for (uint64_t i = 0; i < count; i++) {
		kv_rig_random(&world->rig, &world->rand, &made, world->space);
		made.more = i + 1 < count;
		kv_rig_note(&world->rig, &made);
	}
	assert_int_equal(kv_rig_apply(&world->rig, &index), 0);
}

static void work(struct world *world)
{
	int rc = kv_rig_work(&world->rig);

	assert_int_equal(rc, 0);
}

static void flush(struct world *world)
{
	int rc = kv_flush(world->rig.kv);

	assert_true(rc == 0 || rc == KV_E_BUSY);
	if (rand_below(&world->rand, 2))
		work(world);
}

static void compact(struct world *world)
{
	kv_compact(world->rig.kv);
	work(world);
}

/* Something that changes where changes lie, and none of them. */
static void stir(struct world *world)
{
	switch (rand_below(&world->rand, 40)) {
	case 0:
	case 1:
	case 2:
		flush(world);
		break;
	case 3:
		compact(world);
		break;
	case 4:
		reopen(world);
		break;
	case 5:
		world->rig.now += rand_below(&world->rand, 10);
		break;
	}
}

static void raise_floor(struct world *world, uint64_t most)
{
	if (most > 0 && rand_below(&world->rand, 30) == 0)
		kv_set_floor(world->rig.kv, 1 + rand_below(&world->rand, most));
}

static enum feed_event_kind kind_of(enum record_type type)
{
	switch (type) {
	case RECORD_KV_SET:
		return FEED_INSERT;
	case RECORD_KV_MERGE:
		return FEED_MERGE_OPERAND;
	case RECORD_KV_RANGE_DELETE:
		return FEED_RANGE_TOMBSTONE;
	default:
		return FEED_POINT_TOMBSTONE;
	}
}

static void assert_event(const struct world *world, const struct feed_event *event, uint64_t seqno)
{
	const struct kv_change *made = &world->rig.changes[seqno - 1];

	assert_int_equal(event->seqno, seqno);
	assert_int_equal(event->index, 0);
	assert_int_equal(event->kind, kind_of(made->type));
	assert_int_equal(event->weak, made->type == RECORD_KV_WEAK_DELETE);
	assert_int_equal(event->key.size, made->key_size);
	assert_memory_equal(event->key.bytes, made->key, made->key_size);
	if (event->kind == FEED_POINT_TOMBSTONE)
		return;
	assert_int_equal(event->value.size, made->value_size);
	if (made->value_size > 0)
		assert_memory_equal(event->value.bytes, made->value, made->value_size);
	if (event->kind != FEED_RANGE_TOMBSTONE)
		assert_int_equal(event->type, made->value_type);
	if (event->kind == FEED_INSERT)
		assert_int_equal(event->expires, made->ttl ? made->timestamp + made->ttl : 0);
}

static int next(struct world *world, struct feed *feed, struct feed_event *ret_event)
{
	int rc;

	while ((rc = feed_next(feed, ret_event)) == FEED_E_WAIT)
		kv_poll(world->rig.kv);
	return rc;
}

static struct feed_options random_options(struct world *world, struct feed_position since)
{
	struct feed_options options = {
		.since = since,
		.wait_never = rand_below(&world->rand, 2),
		.distrust_bounds = rand_below(&world->rand, 4) == 0,
		/* More than there are tables, that is pieces of a range tombstone. */
		.window = 200 + (uint32_t)rand_below(&world->rand, 300),
	};

	if (rand_below(&world->rand, 2)) {
		options.scratch = world->rig.io;
		if (!options.wait_never)
			options.window = 1 + (uint32_t)rand_below(&world->rand, 100);
	}
	return options;
}

/* From a number on to the end, in one go or in several with a token and a reopening between. */
static void check_from(struct world *world, uint64_t seqno)
{
	static const uint8_t store[16] = "store";
	struct feed_position position = {.seqno = seqno};
	struct feed_event event;
	struct feed *feed;
	uint64_t expected = seqno ? seqno : 1;
	int rc = 0;

	while (!rc) {
		struct feed_options options = random_options(world, position);
		uint64_t count = rand_below(&world->rand, 2) ? UINT64_MAX
							     : rand_below(&world->rand, 200) + 1;
		uint8_t token[FEED_TOKEN_SIZE];

		assert_int_equal(feed_open(world->rig.kv, &options, &feed), 0);
		for (; count > 0 && !(rc = next(world, feed, &event)); count--)
			assert_event(world, &event, expected++);
		assert_int_equal(feed_resolved(feed), expected);
		feed_token_encode(feed_position(feed), store, token);
		assert_int_equal(feed_token_decode(token, store, &position), 0);
		feed_close(feed);
		if (rand_below(&world->rand, 4) == 0)
			reopen(world);
	}
	assert_int_equal(rc, FEED_E_END);
	assert_int_equal(expected, world->rig.count + 1);
}

static void check_gap(struct world *world, uint64_t seqno)
{
	struct feed_options options = random_options(world, (struct feed_position){.seqno = seqno});
	struct feed_event event;
	struct feed *feed;

	assert_int_equal(feed_open(world->rig.kv, &options, &feed), 0);
	assert_int_equal(next(world, feed, &event), FEED_E_GAP);
	assert_int_equal(feed_oldest(feed), kv_history(world->rig.kv));
	feed_close(feed);
}

static void every_change_from_the_history_on_comes_once_in_order(void **state)
{
	struct world *world = malloc(sizeof(*world));

	(void)state;
	assert_non_null(world);
	for (uint64_t round = 0; round < ROUNDS; round++) {
		print_message("seed %u\n", (unsigned)(SEED + round));
		open_world(world, SEED + round);
		for (unsigned step = 0; step < STEPS; step++) {
			uint64_t history;

			change(world);
			stir(world);
			/* The first round keeps all. */
			raise_floor(world, round ? world->rig.count : 0);
			if (step % 40 != 39)
				continue;
			history = kv_history(world->rig.kv);
			assert_true(history <= world->rig.count + 1);
			check_from(world, history);
			check_from(world, history + rand_below(&world->rand,
							       world->rig.count + 2 - history));
			if (history > 1)
				check_gap(world, rand_below(&world->rand, history));
			if (history > 1)
				check_gap(world, history - 1);
		}
		assert_true(round == 0 || kv_history(world->rig.kv) > 1);
		close_world(world);
	}
	free(world);
}

/* A reader that stops and goes on, and for which history is kept. */
static void a_follower_misses_nothing_whatever_happens_meanwhile(void **state)
{
	struct world *world = malloc(sizeof(*world));

	(void)state;
	assert_non_null(world);
	for (uint64_t round = 0; round < ROUNDS; round++) {
		struct feed_options options = {.follow = true};
		struct feed *feed = NULL;
		uint64_t expected = 1;

		print_message("seed %u\n", (unsigned)(SEED + 100 + round));
		open_world(world, SEED + 100 + round);
		for (unsigned step = 0; step < 2 * STEPS; step++) {
			uint64_t count = rand_below(&world->rand, 60);
			struct feed_event event;

			change(world);
			if (feed && rand_below(&world->rand, 30) == 0) {
				options = random_options(world, feed_position(feed));
				options.follow = true;
				feed_close(feed);
				feed = NULL;
				stir(world);
			}
			if (rand_below(&world->rand, 10) == 0)
				flush(world);
			if (rand_below(&world->rand, 40) == 0)
				compact(world);
			raise_floor(world, expected);
			if (!feed)
				assert_int_equal(feed_open(world->rig.kv, &options, &feed), 0);
			if (rand_below(&world->rand, 8))
				continue;
			for (; count > 0; count--) {
				int rc = next(world, feed, &event);

				if (rc == FEED_E_END)
					break;
				assert_int_equal(rc, 0);
				assert_event(world, &event, expected++);
			}
			if (count > 0)
				assert_int_equal(expected, world->rig.count + 1);
		}
		assert_true(kv_history(world->rig.kv) > 1);
		feed_close(feed);
		close_world(world);
	}
	free(world);
}

static struct kv_change change_of(const struct feed_event *event, uint64_t now)
{
	struct kv_change made = {
		.key = (uint8_t *)(uintptr_t)event->key.bytes,
		.key_size = event->key.size,
		.value = (uint8_t *)(uintptr_t)event->value.bytes,
		.value_size = event->value.size,
		.value_type = event->type,
		.timestamp = now,
	};

	switch (event->kind) {
	case FEED_INSERT:
		made.type = RECORD_KV_SET;
		/* 1: before anything may expire. */
		made.timestamp = 1;
		made.ttl = event->expires ? event->expires - 1 : 0;
		break;
	case FEED_MERGE_OPERAND:
		made.type = RECORD_KV_MERGE;
		break;
	case FEED_POINT_TOMBSTONE:
		made.type = event->weak ? RECORD_KV_WEAK_DELETE : RECORD_KV_DELETE;
		break;
	case FEED_RANGE_TOMBSTONE:
		made.type = RECORD_KV_RANGE_DELETE;
		break;
	}
	return made;
}

static void assert_replica(struct world *replica, const struct world *world, uint64_t seqno)
{
	for (uint64_t i = 0; i < KV_RIG_KEYS; i++) {
		uint8_t key[16];
		uint32_t size = kv_rig_key(i, key);
		struct kv_expected expected = kv_rig_expected(&world->rig, key, size, seqno);
		struct entry entry;
		int rc = kv_get(replica->rig.kv, (struct entry_bytes){key, size}, 0, 0, &entry);

		assert_int_equal(rc, expected.there ? 0 : KV_E_ABSENT);
		if (!rc) {
			assert_int_equal(entry.type, expected.type);
			assert_int_equal(entry.value.size, expected.size);
			assert_memory_equal(entry.value.bytes, expected.value, expected.size);
		}
		free(expected.value);
	}
}

static void applied_to_an_empty_key_space_it_makes_the_same(void **state)
{
	struct world *world = malloc(sizeof(*world)), *replica = malloc(sizeof(*replica));
	struct feed_event event;
	struct feed *feed;
	int rc;

	(void)state;
	assert_true(world && replica);
	open_world(world, SEED + 200);
	open_world(replica, SEED + 201);
	for (unsigned step = 0; step < 2 * STEPS; step++) {
		change(world);
		stir(world);
	}
	replica->rig.now = world->rig.now;
	assert_int_equal(feed_open(world->rig.kv, &(struct feed_options){.window = 100}, &feed), 0);
	while (!(rc = next(world, feed, &event))) {
		struct kv_change made = change_of(&event, world->rig.now);

		assert_int_equal(kv_rig_put(&replica->rig, &made), 0);
		assert_int_equal(event.seqno, replica->rig.count);
		/* It goes its own way, and keeps no history. */
		kv_set_floor(replica->rig.kv, event.seqno);
		if (event.seqno % 50 == 0)
			flush(replica);
		if (event.seqno % 100 == 0)
			assert_replica(replica, world, event.seqno);
	}
	assert_int_equal(rc, FEED_E_END);
	assert_replica(replica, world, world->rig.count);
	feed_close(feed);
	close_world(replica);
	close_world(world);
	free(replica);
	free(world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_change_from_the_history_on_comes_once_in_order),
		cmocka_unit_test(a_follower_misses_nothing_whatever_happens_meanwhile),
		cmocka_unit_test(applied_to_an_empty_key_space_it_makes_the_same),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
