/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/kv.h"

#include "tests/lib/kv_rig.h"
#include "tests/lib/test.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* An owner that writes and reads, and a worker that flushes and compacts, on real files. */

#define CHANGES 2000

struct worker {
	struct kv *kv;
	_Atomic bool stop;
	_Atomic int failed; /* what kv_job() returned */
	unsigned jobs;
};

static void *run_jobs(void *context)
{
	struct worker *worker = context;

	while (!atomic_load_explicit(&worker->stop, memory_order_relaxed)) {
		int result = kv_job(worker->kv, 20000);

		if (result == 0)
			worker->jobs++;
		else if (result == KV_E_IDLE)
			sched_yield();
		else
			atomic_store_explicit(&worker->failed, result, memory_order_relaxed);
	}
	return NULL;
}

static struct record record_of(const struct kv_change *change, uint64_t lsn)
{
	struct record record = {.type = change->type, .lsn = lsn, .timestamp = change->timestamp};

	record.kv.key = (struct record_bytes){.bytes = change->key, .size = change->key_size};
	record.kv.value = record.kv.end =
		(struct record_bytes){.bytes = change->value, .size = change->value_size};
	record.kv.value_type = change->value_type;
	record.kv.has_ttl = change->ttl > 0;
	record.kv.ttl_seconds = change->ttl;
	return record;
}

/* The worker makes the room that is missing. */
static void apply(struct kv_rig *rig, const struct kv_change *change)
{
	const struct record record = record_of(change, rig->count + 1);
	enum kv_need need;
	int result;

	kv_rig_note(rig, change);
	while ((result = kv_apply(rig->kv, &record, false)) == KV_E_BUSY) {
		assert_int_equal(kv_work(rig->kv, &need), 0);
		sched_yield();
	}
	assert_int_equal(result, 0);
	kv_set_visible(rig->kv, rig->count);
	kv_set_durable(rig->kv, rig->count);
	assert_int_equal(kv_work(rig->kv, &need), 0);
}

static void write_and_read(struct kv_rig *rig)
{
	static uint8_t space[KV_RIG_SPACE];
	struct rand rand;

	rand_init(&rand, 1);
	for (unsigned i = 0; i < CHANGES; i++) {
		struct kv_change change;

		kv_rig_random(rig, &rand, &change, space);
		apply(rig, &change);
		if (i % 8 == 0)
			assert_int_equal(kv_rig_check_key(rig, rand_below(&rand, KV_RIG_KEYS),
							  rig->count, 0),
					 0);
		if (i % 200 == 0) {
			kv_set_floor(rig->kv, rig->count);
			assert_int_equal(kv_rig_check(rig, rig->count), 0);
		}
		if (i % 700 == 0)
			kv_compact(rig->kv);
	}
}

static void settle(struct kv_rig *rig)
{
	enum kv_need need = KV_NEED_WORK;

	while (need != KV_NEED_NOTHING) {
		assert_int_equal(kv_work(rig->kv, &need), 0);
		sched_yield();
	}
}

static void remove_folder(const char *path)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -r '%s'", path);
	assert_int_equal(system(command), 0);
}

static void an_owner_and_a_worker_agree(void **state)
{
	char path[] = "/tmp/test_kv_thread.XXXXXX";
	struct worker worker = {0};
	struct kv_rig rig;
	struct io *io;
	pthread_t thread;

	(void)state;
	assert_non_null(mkdtemp(path));
	assert_int_equal(io_plain_new(path, true, &io), 0);
	kv_rig_init(&rig, io);
	assert_int_equal(kv_rig_open(&rig), 0);
	worker.kv = rig.kv;
	assert_int_equal(pthread_create(&thread, NULL, run_jobs, &worker), 0);
	write_and_read(&rig);
	settle(&rig);
	atomic_store_explicit(&worker.stop, true, memory_order_relaxed);
	pthread_join(thread, NULL);
	assert_int_equal(worker.failed, 0);
	assert_true(worker.jobs > 10);
	assert_int_equal(kv_rig_check(&rig, rig.count), 0);
	kv_rig_close(&rig);
	assert_int_equal(kv_rig_open(&rig), 0);
	assert_int_equal(kv_rig_check(&rig, rig.count), 0);
	kv_rig_deinit(&rig);
	io_free(io);
	remove_folder(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_owner_and_a_worker_agree),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
