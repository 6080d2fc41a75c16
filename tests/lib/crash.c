/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/crash.h"

#include "base/check.h"
#include "base/hash.h"
#include "tests/lib/faulty.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const mode_names[CRASH_MODE_COUNT] = {
	[CRASH_CUT] = "cut",   [CRASH_EIO] = "eio", [CRASH_ENOSPC] = "enospc",
	[CRASH_SYNC] = "sync", [CRASH_ROT] = "rot",
};

const char *crash_mode_name(enum crash_mode mode)
{
	return mode_names[mode];
}

static bool is_long(void)
{
	const char *value = getenv("TERN_LONG");

	return value && strcmp(value, "1") == 0;
}

/* One place in so many. */
static uint64_t sample(void)
{
	const char *value = getenv("TERN_SAMPLE");
	uint64_t number = value ? strtoull(value, NULL, 10) : 1;

	return number > 0 ? number : 1;
}

static struct faulty *new_disk(const struct crash_workload *workload, uint64_t seed)
{
	struct faulty *disk = faulty_new(seed);

	faulty_set_piece(disk, workload->piece_max);
	faulty_set_capacity(disk, workload->capacity);
	return disk;
}

static void set_fault(struct faulty *disk, const struct crash_point *point)
{
	switch (point->mode) {
	case CRASH_CUT:
		faulty_cut_at(disk, point->at);
		break;
	case CRASH_EIO:
		faulty_fail_at(disk, point->at, -EIO, 1);
		break;
	case CRASH_ENOSPC:
		faulty_fail_at(disk, point->at, -ENOSPC, 1);
		break;
	case CRASH_SYNC:
		faulty_fail_sync(disk, point->at);
		break;
	case CRASH_ROT: /* after the run */
		break;
	case CRASH_MODE_COUNT:
		CHECK(!"a mode");
	}
}

/* A result with which a try ends, if it isn't 0: without a fault an errno is wrong, too. */
static int judge(const char *when, int result, bool may_fail, char *error, size_t error_size)
{
	char text[200];

	if (result == 0 || (result < 0 && may_fail))
		return 0;
	if (result < 0)
		snprintf(error, error_size, "%s: %s", when, strerror(-result));
	else {
		snprintf(text, sizeof(text), "%.199s", error);
		snprintf(error, error_size, "%s: %s", when, text);
	}
	return CRASH_E_WRONG;
}

/* Recovers on a copy of the disk on which the power goes at one of the recovery's own steps, and
 * again. */
static int check_cut_recovery(const struct crash_workload *workload, const void *model,
			      const struct faulty *before, uint64_t steps, uint64_t tear,
			      char *error, size_t error_size)
{
	struct faulty *disk = faulty_clone(before, tear);
	int result;

	faulty_restart_process(disk);
	faulty_cut_at(disk, 1 + hash_mix64(tear) % steps);
	result = judge("recovery that was cut",
		       workload->check(model, faulty_io(disk), error, error_size),
		       /* may_fail= */ true, error, error_size);
	faulty_restart(disk, tear);
	if (result == 0)
		result = judge("recovery after one that was cut",
			       workload->check(model, faulty_io(disk), error, error_size),
			       /* may_fail= */ false, error, error_size);
	faulty_free(disk);
	return result;
}

/* Recovers what a disk has, again after a power cut, and after one in the midst of it. */
static int check_recovery(const struct crash_workload *workload, const void *model,
			  const struct faulty *before, uint64_t tear, char *error,
			  size_t error_size)
{
	struct faulty *disk = faulty_clone(before, tear);
	uint64_t steps;
	int result;

	faulty_restart_process(disk);
	result = judge("recovery", workload->check(model, faulty_io(disk), error, error_size),
		       /* may_fail= */ false, error, error_size);
	steps = faulty_steps(disk);
	if (result == 0) {
		faulty_restart(disk, tear + 1);
		result = judge("second recovery",
			       workload->check(model, faulty_io(disk), error, error_size),
			       /* may_fail= */ false, error, error_size);
	}
	if (result == 0 && steps > 0)
		result =
			check_cut_recovery(workload, model, before, steps, tear, error, error_size);
	faulty_free(disk);
	return result;
}

/* What a power cut leaves of the disk. */
static int check_torn(const struct crash_workload *workload, const void *model,
		      const struct faulty *disk, uint64_t tear, const char *save, char *error,
		      size_t error_size)
{
	struct faulty *torn = faulty_clone(disk, tear);
	int result = 0;

	faulty_restart(torn, tear);
	if (save)
		result = judge("saving", faulty_save(torn, save), false, error, error_size);
	if (result == 0)
		result = check_recovery(workload, model, torn, tear, error, error_size);
	faulty_free(torn);
	return result;
}

/* What a process leaves that ends there: all that it wrote is seen, and what it had not synced
 * yet is still to be lost. */
static int check_killed(const struct crash_workload *workload, const void *model,
			const struct faulty *disk, uint64_t tear, char *error, size_t error_size)
{
	char text[200];
	int result = check_recovery(workload, model, disk, tear, error, error_size);

	if (result != 0) {
		snprintf(text, sizeof(text), "%.199s", error);
		snprintf(error, error_size, "of the process alone: %s", text);
	}
	return result;
}

/* Of a file, the bits in sectors that aren't all zeros are counted up to 'wanted', from 1. Returns
 * their count; '*ret_bit' is the one wanted, if it is among them. */
static uint64_t count_bits(const struct faulty *disk, const char *name, uint64_t wanted,
			   uint64_t *ret_bit)
{
	static const uint8_t zeros[IO_SECTOR];
	size_t size = 0;
	uint8_t *bytes = faulty_file_bytes(disk, name, &size);
	uint64_t count = 0;

	for (size_t at = 0; at < size; at += IO_SECTOR) {
		size_t sector = MIN(size - at, IO_SECTOR);

		if (memcmp(bytes + at, zeros, sector) == 0)
			continue;
		if (wanted > count && wanted <= count + 8 * sector)
			*ret_bit = 8 * at + (wanted - count - 1);
		count += 8 * sector;
	}
	free(bytes);
	return count;
}

/* Flips the wanted bit, counted over all files; 0: none. Returns the count of bits. */
static uint64_t rot(struct faulty *disk, uint64_t wanted)
{
	char(*names)[IO_NAME_MAX + 1];
	uint32_t file_count = faulty_files(disk, &names);
	uint64_t count = 0, bit = 0;

	for (uint32_t i = 0; i < file_count; i++) {
		uint64_t bits =
			count_bits(disk, names[i], wanted > count ? wanted - count : 0, &bit);

		if (wanted > count && wanted <= count + bits)
			faulty_flip(disk, names[i], bit);
		count += bits;
	}
	free(names);
	return count;
}

static int check_rotten(const struct crash_workload *workload, const void *model,
			const struct faulty *disk, const struct crash_point *point,
			const char *save, char *error, size_t error_size)
{
	struct faulty *rotten = faulty_clone(disk, point->seed);
	int result = 0;

	rot(rotten, point->at);
	if (save)
		result = judge("saving", faulty_save(rotten, save), false, error, error_size);
	if (result == 0)
		result = workload->check(model, faulty_io(rotten), error, error_size);
	if (result != CRASH_E_DETECTED)
		result = judge("a flipped bit", result, /* may_fail= */ false, error, error_size);
	faulty_free(rotten);
	return result == CRASH_E_DETECTED ? 0 : result;
}

/* Tries from 'tear' to 'tear_end', all on what one run left. Counts into 'tally'. */
static void try_tears(const struct crash_workload *workload, struct crash_point point,
		      uint64_t tear_end, const char *save, struct crash_result *tally)
{
	struct faulty *disk = new_disk(workload, point.seed);
	void *model = workload->begin(point.seed);
	char error[sizeof(tally->error)] = "", step[96];
	int result;

	set_fault(disk, &point);
	result = judge("run", workload->run(model, faulty_io(disk), error, sizeof(error)),
		       /* may_fail= */ true, error, sizeof(error));
	if (result == 0 && point.mode != CRASH_ROT)
		result = check_killed(workload, model, disk, point.tear, error, sizeof(error));
	do {
		tally->tries++;
		if (result == 0 && point.mode == CRASH_ROT)
			result = check_rotten(workload, model, disk, &point, save, error,
					      sizeof(error));
		else if (result == 0)
			result = check_torn(workload, model, disk, point.tear, save, error,
					    sizeof(error));
		if (result != 0 && tally->failures++ == 0) {
			tally->first = point;
			faulty_describe(disk, point.mode == CRASH_CUT ? point.at : 0, step,
					sizeof(step));
			snprintf(tally->error, sizeof(tally->error), "%.150s%s%s", error,
				 step[0] ? "; cut at: " : "", step);
		}
	} while (result == 0 && ++point.tear < tear_end);
	workload->end(model);
	faulty_free(disk);
}

int crash_try(const struct crash_workload *workload, const struct crash_point *point,
	      const char *save, char *error, size_t error_size)
{
	struct crash_result tally = {0};

	try_tears(workload, *point, point->tear + 1, save, &tally);
	if (tally.failures == 0)
		return 0;
	snprintf(error, error_size, "%s", tally.error);
	return CRASH_E_WRONG;
}

static uint64_t places_of(struct faulty *disk, enum crash_mode mode)
{
	switch (mode) {
	case CRASH_CUT:
		return faulty_steps(disk);
	case CRASH_SYNC:
		return faulty_syncs(disk);
	case CRASH_ROT:
		return rot(disk, 0);
	default:
		return faulty_calls(disk);
	}
}

/* Runs undisturbed, and counts. What is wrong then is wrong without any crash. */
static void count_places(const struct crash_workload *workload, enum crash_mode mode, uint64_t seed,
			 struct crash_result *result)
{
	struct faulty *disk = new_disk(workload, seed);
	void *model = workload->begin(seed);
	char *error = result->error;
	size_t error_size = sizeof(result->error);
	int wrong =
		judge("undisturbed run", workload->run(model, faulty_io(disk), error, error_size),
		      /* may_fail= */ workload->capacity > 0, error, error_size);

	if (wrong == 0 && workload->complete && seed == 1)
		wrong = judge("undisturbed run", workload->complete(model, error, error_size),
			      /* may_fail= */ false, error, error_size);
	result->steps = places_of(disk, mode);
	faulty_restart_process(disk);
	if (wrong == 0)
		wrong = judge("undisturbed",
			      workload->check(model, faulty_io(disk), error, error_size),
			      /* may_fail= */ false, error, error_size);
	result->tries++;
	result->failures += wrong != 0;
	result->first = (struct crash_point){.mode = mode, .seed = seed};
	workload->end(model);
	faulty_free(disk);
}

struct crash_result crash_sweep(const struct crash_workload *workload, enum crash_mode mode,
				uint64_t seed)
{
	struct crash_result result = {0};
	uint64_t tears = mode == CRASH_CUT ? CRASH_TEARS : 1;
	uint64_t at_max = mode == CRASH_ROT ? CRASH_BITS : workload->at_max;
	uint64_t stride = 1;
	struct crash_point point = {.mode = mode, .seed = seed};

	count_places(workload, mode, seed, &result);
	if (result.failures > 0)
		return result;
	if (is_long() && mode != CRASH_ROT)
		tears *= 4;
	if (is_long() && mode == CRASH_ROT)
		at_max = CRASH_BITS_MAX;
	else if (is_long())
		at_max = 0;
	if (at_max > 0)
		stride = (result.steps + at_max - 1) / at_max;
	else
		stride = sample();
	if (mode == CRASH_ROT)
		stride |= 1; /* every bit of a byte has its turn */
	/* The seed moves the sample, so that several seeds find what lies between. */
	for (point.at = 1 + (stride > 0 ? seed % stride : 0);
	     point.at <= result.steps && result.failures < CRASH_FAILURE_MAX; point.at += stride) {
		point.tear = seed * 1000 + point.at;
		try_tears(workload, point, point.tear + tears, NULL, &result);
	}
	return result;
}

struct arguments {
	const char *program;
	const char *workload; /* NULL: all */
	int mode;             /* -1: all */
	uint64_t seed;        /* 0: those of the frame */
	struct crash_point point;
	const char *save;
};

static int find_mode(const char *name)
{
	for (int i = 0; i < CRASH_MODE_COUNT; i++) {
		if (strcmp(name, mode_names[i]) == 0)
			return i;
	}
	return -2;
}

static bool parse(int argc, char **argv, struct arguments *arguments)
{
	static const struct option options[] = {
		{"workload", required_argument, NULL, 'w'},
		{"mode", required_argument, NULL, 'm'},
		{"seed", required_argument, NULL, 's'},
		{"at", required_argument, NULL, 'a'},
		{"tear", required_argument, NULL, 't'},
		{"save", required_argument, NULL, 'f'},
		{NULL, 0, NULL, 0},
	};
	int option;

	*arguments = (struct arguments){.program = argv[0], .mode = -1};
	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		uint64_t number = optarg ? strtoull(optarg, NULL, 10) : 0;

		switch (option) {
		case 'w':
			arguments->workload = optarg;
			break;
		case 'm':
			arguments->mode = find_mode(optarg);
			break;
		case 's':
			arguments->seed = number;
			break;
		case 'a':
			arguments->point.at = number;
			break;
		case 't':
			arguments->point.tear = number;
			break;
		case 'f':
			arguments->save = optarg;
			break;
		default:
			return false;
		}
	}
	/* A try is one of one workload, mode and seed. */
	return optind == argc && arguments->mode != -2 &&
	       (arguments->point.at == 0 ||
		(arguments->workload && arguments->mode >= 0 && arguments->seed > 0));
}

static bool report(const struct arguments *arguments, const struct crash_workload *workload,
		   const struct crash_result *result)
{
	const struct crash_point *first = &result->first;

	printf("%s, %s, seed %llu: %llu places, %llu tries, %llu failures\n", workload->name,
	       mode_names[first->mode], (unsigned long long)first->seed,
	       (unsigned long long)result->steps, (unsigned long long)result->tries,
	       (unsigned long long)result->failures);
	if (result->failures == 0)
		return true;
	printf("  %s\n  replay: %s --workload %s --mode %s --seed %llu --at %llu --tear %llu\n",
	       result->error, arguments->program, workload->name, mode_names[first->mode],
	       (unsigned long long)first->seed, (unsigned long long)first->at,
	       (unsigned long long)first->tear);
	return false;
}

static bool run_one(const struct arguments *arguments, const struct crash_workload *workload,
		    enum crash_mode mode, uint64_t seed)
{
	struct crash_result result;

	if (arguments->point.at > 0) {
		struct crash_point point = arguments->point;

		point.mode = mode;
		point.seed = seed;
		result = (struct crash_result){.tries = 1, .first = point};
		result.failures = crash_try(workload, &point, arguments->save, result.error,
					    sizeof(result.error)) != 0;
	} else {
		result = crash_sweep(workload, mode, seed);
	}
	return report(arguments, workload, &result);
}

static bool run_workload(const struct arguments *arguments, const struct crash_workload *workload)
{
	uint64_t seeds = is_long() ? CRASH_SEEDS_LONG : workload->seeds;
	bool good = true;

	if (seeds == 0)
		seeds = CRASH_SEEDS;
	for (int mode = 0; mode < CRASH_MODE_COUNT; mode++) {
		if ((arguments->mode >= 0 && arguments->mode != mode) ||
		    (mode == CRASH_ROT && !workload->rots))
			continue;
		for (uint64_t seed = 1; seed <= seeds; seed++) {
			uint64_t wanted = arguments->seed > 0 ? arguments->seed : seed;

			good &= run_one(arguments, workload, (enum crash_mode)mode, wanted);
			if (arguments->seed > 0)
				break;
		}
	}
	return good;
}

int crash_main(int argc, char **argv, const struct crash_workload *workloads, size_t count)
{
	struct arguments arguments;
	bool good = true;
	size_t found = 0;

	if (!parse(argc, argv, &arguments)) {
		fprintf(stderr,
			"usage: %s [--workload NAME] [--mode cut|eio|enospc|sync|rot] [--seed N] "
			"[--at N --tear N [--save FOLDER]]\n",
			argv[0]);
		return 2;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	for (size_t i = 0; i < count; i++) {
		if (arguments.workload && strcmp(arguments.workload, workloads[i].name) != 0)
			continue;
		found++;
		good &= run_workload(&arguments, &workloads[i]);
	}
	if (found == 0)
		fprintf(stderr, "no workload of that name\n");
	return good && found > 0 ? 0 : 1;
}
