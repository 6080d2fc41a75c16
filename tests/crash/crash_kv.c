/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The key space on a disk that fails. The log isn't on that disk: whatever was begun is in the
 * list, from which an opening takes what tables don't have. So after any failure the key space is
 * what all of the list makes of it; what can be lost or come twice is in files.
 */

#include "engine/kv.h"

#include "base/check.h"
#include "tests/lib/crash.h"
#include "tests/lib/kv_rig.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHANGES 160

struct model {
	struct kv_rig rig;
	struct rand rand;
	uint64_t floor;
};

static struct model *begin(uint64_t seed)
{
	struct model *model = calloc(1, sizeof(*model));

	CHECK(model);
	kv_rig_init(&model->rig, NULL);
	model->rig.options.memtable_size = 14 << 10;
	model->rig.options.table_size = 5 << 10;
	model->rig.options.level_size = 16 << 10;
	rand_init(&model->rand, seed);
	return model;
}

static void *begin_kv(uint64_t seed)
{
	return begin(seed);
}

static void end_kv(void *model)
{
	kv_rig_deinit(&((struct model *)model)->rig);
	free(model);
}

/* The io's error; a key space that calls its own files corrupt is wrong. */
static int convert(struct kv_rig *rig, int result, char *error, size_t error_size)
{
	if (result <= 0)
		return result;
	snprintf(error, error_size, "%d: %s", result,
		 result == KV_E_CORRUPT && rig->kv ? kv_error(rig->kv) : rig->error);
	return CRASH_E_WRONG;
}

static int step(struct model *model)
{
	static uint8_t space[KV_RIG_SPACE];
	struct kv_rig *rig = &model->rig;
	uint64_t what = rand_below(&model->rand, 100);
	struct kv_change change;
	enum kv_need need;

	if (what < 3)
		return kv_rig_work(rig);
	if (what < 5) {
		(void)kv_flush(rig->kv);
	} else if (what < 7) {
		model->floor += rand_below(&model->rand, rig->count - model->floor + 1);
		kv_set_floor(rig->kv, model->floor);
	} else if (what < 8) {
		kv_compact(rig->kv);
	} else if (what < 20) {
		int result = kv_work(rig->kv, &need);

		if (!result && need == KV_NEED_JOB)
			result = kv_job(rig->kv, 5000);
		return result;
	} else if (what < 22) {
		rig->now += 3;
	}
	kv_rig_random(rig, &model->rand, &change, space);
	return kv_rig_put(rig, &change);
}

static int work(struct model *model)
{
	struct kv_rig *rig = &model->rig;
	int result = kv_rig_open(rig);

	while (!result && rig->count < CHANGES)
		result = step(model);
	if (!result) {
		kv_rig_close(rig);
		result = kv_rig_open(rig);
	}
	if (!result) {
		kv_compact(rig->kv);
		result = kv_rig_work(rig);
	}
	return result;
}

static int run_kv(void *context, struct io *io, char *error, size_t error_size)
{
	struct model *model = context;

	model->rig.io = io;
	int result = convert(&model->rig, work(model), error, error_size);
	kv_rig_close(&model->rig);
	return result;
}

static void report(void *context, const char *line)
{
	snprintf(context, 256, "%s", line);
}

static int compare(struct kv_rig *rig)
{
	uint64_t faults = 0;
	int result = rig->count > 0 ? kv_rig_check(rig, rig->count) : 0;

	if (!result)
		result = kv_verify(rig->kv, report, rig->error, &faults);
	return result ? result : faults > 0 ? KV_RIG_E_WRONG : 0;
}

/* The list is the run's: it is borrowed. */
static int check_kv(const void *context, struct io *io, char *error, size_t error_size)
{
	struct kv_rig rig = ((const struct model *)context)->rig;

	rig.io = io;
	rig.kv = NULL;
	rig.ledger = NULL;
	int result = kv_rig_open(&rig);
	if (!result)
		result = compare(&rig);
	result = convert(&rig, result, error, error_size);
	kv_rig_close(&rig);
	return result;
}

static const struct crash_workload workloads[] = {
	{.name = "kv", .begin = begin_kv, .run = run_kv, .check = check_kv, .end = end_kv},
};

int main(int argc, char **argv)
{
	return crash_main(argc, argv, workloads, sizeof(workloads) / sizeof(workloads[0]));
}
