/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/crash.h"
#include "tests/lib/notebook.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/* That the frame finds what is wrong, and nothing else: a notebook, and six with a bug each. */

#define LINES 60

struct model {
	uint64_t seed;
	unsigned bugs;
	uint64_t begun, durable;             /* lines */
	uint64_t title_begun, title_durable; /* titles only rise */
};

static unsigned bugs; /* of the notebooks that begin */

static void *begin(uint64_t seed)
{
	struct model *model = calloc(1, sizeof(*model));

	if (!model)
		abort();
	model->seed = seed;
	model->bugs = bugs;
	return model;
}

static int write_notes(struct model *model, struct notebook *notebook)
{
	int error = 0;

	for (uint64_t i = 1; i <= LINES && !error; i++) {
		model->begun = i;
		error = notebook_add(notebook);
		if (!error && i % 5 == 0) {
			error = notebook_sync(notebook);
			if (!error)
				model->durable = i;
		}
		if (!error && i % 20 == 0) {
			model->title_begun = i;
			error = notebook_set_title(notebook, i);
			if (!error)
				model->title_durable = i;
		}
	}
	return error;
}

static int run(void *context, struct io *io, char *text, size_t text_size)
{
	struct model *model = context;
	struct notebook notebook;
	int error = notebook_open(io, model->seed, model->bugs, &notebook);

	if (error)
		return error;
	error = write_notes(model, &notebook);
	if (!error) {
		/* One more, which knows that the others are durable. */
		model->begun++;
		error = notebook_add(&notebook);
	}
	notebook_close(&notebook);
	return error;
}

static int check(const void *context, struct io *io, char *text, size_t text_size)
{
	const struct model *model = context;
	struct notebook notebook;
	int error = notebook_open(io, model->seed, model->bugs, &notebook);

	if (error == -EBADMSG) {
		snprintf(text, text_size, "refused as corrupt");
		return CRASH_E_DETECTED;
	}
	if (error)
		return error;
	notebook_close(&notebook);
	if (notebook.count >= model->durable && notebook.count <= model->begun &&
	    notebook.title >= model->title_durable && notebook.title <= model->title_begun)
		return 0;
	snprintf(text, text_size, "%llu lines of %llu to %llu, title %llu of %llu to %llu",
		 (unsigned long long)notebook.count, (unsigned long long)model->durable,
		 (unsigned long long)model->begun, (unsigned long long)notebook.title,
		 (unsigned long long)model->title_durable, (unsigned long long)model->title_begun);
	return CRASH_E_WRONG;
}

static const struct crash_workload workloads[] = {
	{.name = "notebook", .begin = begin, .run = run, .check = check, .end = free, .rots = true},
	{.name = "pieces", .begin = begin, .run = run, .check = check, .end = free, .piece_max = 1},
	{.name = "full",
	 .begin = begin,
	 .run = run,
	 .check = check,
	 .end = free,
	 .capacity = 12288},
};

/* Each bug, and a mode in which it shows. */
static const struct {
	unsigned bug;
	enum crash_mode mode;
} bugs_found[] = {
	{NOTEBOOK_UNSYNCED, CRASH_CUT},       {NOTEBOOK_NAME_UNSYNCED, CRASH_CUT},
	{NOTEBOOK_TITLE_UNSYNCED, CRASH_CUT}, {NOTEBOOK_SYNC_AGAIN, CRASH_SYNC},
	{NOTEBOOK_DEAF, CRASH_EIO},           {NOTEBOOK_DEAF, CRASH_ENOSPC},
	{NOTEBOOK_BLIND, CRASH_ROT},
};

/* What is found once is found again at the same place with the same words. */
static int find_bug(unsigned bug, enum crash_mode mode)
{
	struct crash_result result;
	char again[sizeof(result.error)] = "";

	bugs = bug;
	result = crash_sweep(&workloads[0], mode, 1);
	if (result.failures == 0) {
		printf("bug %u is not found by mode %s\n", bug, crash_mode_name(mode));
		return 1;
	}
	if (result.first.at == 0 ||
	    crash_try(&workloads[0], &result.first, NULL, again, sizeof(again)) != CRASH_E_WRONG) {
		printf("bug %u doesn't replay: %s\n", bug, result.error);
		return 1;
	}
	printf("bug %u by mode %s: %s\n", bug, crash_mode_name(mode), result.error);
	return 0;
}

int main(int argc, char **argv)
{
	int failed = crash_main(argc, argv, workloads, sizeof(workloads) / sizeof(workloads[0]));

	for (size_t i = 0; argc == 1 && i < sizeof(bugs_found) / sizeof(bugs_found[0]); i++)
		failed |= find_bug(bugs_found[i].bug, bugs_found[i].mode);
	return failed;
}
