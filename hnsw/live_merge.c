/* SPDX-License-Identifier: Apache-2.0 */
#include "base/check.h"
#include "hnsw/layout.h"
#include "hnsw/live_set.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/*
 * A merge is begun by the writer, who chooses the sources and the time; run by
 * live_build(), which copies the vectors that lived then and builds a segment of
 * them; and ended by the writer, who carries over who has died since and swaps the
 * result in.
 */

/* A segment is merged with newer ones that have at least one vector to so many of its own. */
#define MERGE_RATIO 4

/* Deaths carried over in one slice: each is a search by label, a fraction of a microsecond. */
#define CARRY_BATCH 256

static enum live_job_state job_state(const struct live *live)
{
	return atomic_load_explicit(&live->job.state, memory_order_acquire);
}

static void set_job_state(struct live *live, enum live_job_state state)
{
	atomic_store_explicit(&live->job.state, state, memory_order_release);
}

int live_merge_reserve(struct live *live)
{
	struct live_job *job = &live->job;
	uint32_t max = MAX(2 * job->late_max, CARRY_BATCH);
	uint32_t *late;

	if (job_state(live) == LIVE_JOB_NONE || job->late_count < job->late_max)
		return 0;
	late = realloc(job->late, max * sizeof(late[0]));
	if (!late)
		return -ENOMEM;
	job->late = late;
	job->late_max = max;
	return 0;
}

void live_merge_note(struct live *live, const struct live_member *member, uint32_t label)
{
	struct live_job *job = &live->job;

	if (!member->merging)
		return;
	CHECK(job->late_count < job->late_max);
	job->late[job->late_count++] = label;
}

/* Are more than 'percent' of the nodes dead? */
static bool is_rotten(uint64_t dead, uint64_t count, uint32_t percent)
{
	return dead * 100 > (uint64_t)percent * count;
}

static bool has_many_dead(const struct live *live)
{
	const struct live_set *set = live_current(live);
	uint64_t dead = 0, count = 0;

	for (uint32_t i = 0; i < set->member_count; i++) {
		dead += live_member_dead(set->members[i]);
		count += live_member_count(set->members[i]);
	}
	return is_rotten(dead, count, live->options.dead_percent);
}

static bool has_frozen(const struct live *live)
{
	const struct live_set *set = live_current(live);

	for (uint32_t i = 0; i + 1 < set->member_count; i++)
		if (set->members[i]->growing)
			return true;
	return false;
}

/* Is everything in one sealed segment, or in none? */
static bool is_settled(const struct live *live)
{
	const struct live_set *set = live_current(live);

	if (live_member_count(set->members[set->member_count - 1]) > 0)
		return false;
	return set->member_count == 1 || (set->member_count == 2 && !set->members[0]->growing &&
					  live_member_dead(set->members[0]) == 0);
}

/* Can no member be added? Then all are merged, whatever their sizes, so that there is room again.
 */
static bool is_crowded(const struct live *live)
{
	return live_current(live)->member_count == LIVE_MEMBER_MAX;
}

static void add_source(struct live_job *job, struct live_member *member)
{
	member->merging = true;
	job->sources[job->source_count++] = member;
}

/*
 * Frozen members, and sealed ones with many dead; then sealed ones that are not much larger than
 * what is merged anyway, the newest (smallest) first. All of them when everything is to be one.
 */
static void choose_sources(struct live *live)
{
	const struct live_set *set = live_current(live);
	struct live_job *job = &live->job;
	uint64_t vectors = 0;

	job->source_count = 0;
	job->everything = live->settling || is_crowded(live);
	for (uint32_t i = 0; i + 1 < set->member_count; i++) {
		struct live_member *member = set->members[i];

		if (!job->everything && !member->growing &&
		    !is_rotten(2 * (uint64_t)live_member_dead(member), live_member_count(member),
			       live->options.dead_percent))
			continue;
		add_source(job, member);
		vectors += live_member_alive(member);
	}
	for (uint32_t i = set->member_count - 1; i-- > 0;) {
		struct live_member *member = set->members[i];

		if (member->merging || live_member_alive(member) > MERGE_RATIO * vectors)
			continue;
		add_source(job, member);
		vectors += live_member_alive(member);
	}
}

/*
 * Returns 0 or -ENOMEM. Whatever is active is frozen and merged along, so that its dead go too;
 * when there is no room for another member it stays.
 */
static int begin(struct live *live)
{
	const struct live_set *set = live_current(live);
	struct live_job *job = &live->job;
	int error = 0;

	if (live->settling && is_settled(live))
		live->settling = false;
	if (!live->settling && !has_many_dead(live) && !has_frozen(live) && !is_crowded(live))
		return 0;
	if (live_member_count(set->members[set->member_count - 1]) > 0)
		error = live_rotate(live);
	if (error < 0)
		return error;
	choose_sources(live);
	if (job->source_count == 0)
		return 0;
	job->time = atomic_load_explicit(&live->time, memory_order_relaxed);
	job->generation = live->options.build.generation + live->merges;
	job->result = NULL;
	job->error = 0;
	job->late_count = 0;
	job->late_done = 0;
	set_job_state(live, LIVE_JOB_READY);
	return 0;
}

static void end(struct live *live)
{
	struct live_job *job = &live->job;

	for (uint32_t i = 0; i < job->source_count; i++)
		job->sources[i]->merging = false;
	set_job_state(live, LIVE_JOB_NONE);
}

/* The others as they stand, the result where the first source was. */
static int swap_in(struct live *live)
{
	const struct live_set *set = live_current(live);
	struct live_member *members[LIVE_MEMBER_MAX + 1], *result = live->job.result;
	uint32_t count = 0;
	int error;

	for (uint32_t i = 0; i < set->member_count; i++) {
		if (!set->members[i]->merging) {
			members[count++] = set->members[i];
		} else if (result) {
			members[count++] = result;
			result = NULL;
		}
	}
	error = live_publish(live, members, count);
	if (error)
		return error;
	live->job.result = NULL;
	if (live->job.everything)
		live->settling = false;
	live->merges++;
	end(live);
	return 0;
}

/* Returns true when all deaths are carried over. */
static bool carry_over(struct live *live)
{
	struct live_job *job = &live->job;
	uint64_t time = atomic_load_explicit(&live->time, memory_order_relaxed);
	uint32_t end_at = MIN(job->late_count, job->late_done + CARRY_BATCH);

	for (; job->late_done < end_at; job->late_done++) {
		uint32_t node;

		/*
		 * Who searches the result began after it was published, so at this time or
		 * later: that the death was a little earlier makes no difference.
		 */
		CHECK(job->result &&
		      live_member_find(job->result, job->late[job->late_done], &node));
		live_member_kill(job->result, node, time);
		live_member_count_dead(job->result);
	}
	return job->late_done == job->late_count;
}

static int finish(struct live *live)
{
	int error = live->job.error;

	if (error)
		end(live);
	else if (carry_over(live))
		error = swap_in(live);
	return error;
}

int live_merge_step(struct live *live, enum live_need *ret_need)
{
	int error = 0;

	switch (job_state(live)) {
	case LIVE_JOB_NONE:
		error = begin(live);
		break;
	case LIVE_JOB_DONE:
		error = finish(live);
		*ret_need = LIVE_NEED_WORK;
		return error;
	case LIVE_JOB_READY:
	case LIVE_JOB_RUNNING:
		break;
	}
	if (job_state(live) != LIVE_JOB_NONE)
		*ret_need = LIVE_NEED_BUILD;
	return error;
}

/* The vectors of all sources that lived at the merge's time: bytes as bytes, others as f32. */
struct harvest {
	struct vector_source vectors; /* of 'rows' */
	uint8_t *rows;                /* owned */
	uint32_t *labels;             /* owned */
	uint32_t count;
};

static uint64_t count_nodes(const struct live_job *job)
{
	uint64_t count = 0;

	for (uint32_t i = 0; i < job->source_count; i++)
		count += live_member_count(job->sources[i]);
	return count;
}

static void harvest_vector(const struct segment *view, uint32_t node, struct harvest *harvest)
{
	uint8_t *row = harvest->rows + harvest->count * harvest->vectors.stride;

	if (harvest->vectors.type == VECTOR_F32)
		segment_vector(view, node, (float *)(void *)row);
	else
		memcpy(row, layout_vector(view, node), harvest->vectors.stride);
	harvest->labels[harvest->count++] = view->labels[node];
}

static void harvest_member(const struct live_member *member, uint64_t time, struct harvest *harvest)
{
	struct segment view;

	live_member_view(member, time, &view);
	for (uint32_t node = 0; node < view.count; node++)
		if (live_member_lived(member, node, time))
			harvest_vector(&view, node, harvest);
}

static int build_result(struct live *live, const struct harvest *harvest)
{
	const struct build_input input = {
		.vectors = harvest->vectors,
		.labels = harvest->labels,
		.count = harvest->count,
	};
	struct build_options options = live->options.build;
	struct build_image image;
	struct segment segment;
	uint64_t bad_row;
	char error[256];
	int result;

	options.generation = live->job.generation;
	result = build_index(&input, &options, &image, &bad_row);
	CHECK(result <= 0);
	if (result)
		return result;
	/* Ours and just made: there is nothing to refuse but for lack of memory. */
	result = segment_attach(image.bytes, image.size, &segment, error, sizeof(error));
	CHECK(result <= 0);
	if (!result)
		result = live_member_new_sealed(&segment, &image, &live->job.result);
	if (result)
		build_image_free(&image);
	return result;
}

/* Takes room for all nodes. Returns 0 or -ENOMEM. */
static int harvest_init(struct harvest *harvest, const struct live *live)
{
	enum vector_type type = live->options.build.type;
	bool bytes = type == VECTOR_I8 || type == VECTOR_U8;
	uint64_t nodes = count_nodes(&live->job);

	harvest->vectors = (struct vector_source){
		.type = bytes ? type : VECTOR_F32,
		.dim = live->options.dim,
		.stride = live->options.dim * (bytes ? 1 : sizeof(float)),
	};
	harvest->rows = malloc(nodes * harvest->vectors.stride + 1);
	harvest->labels = malloc((nodes + 1) * sizeof(harvest->labels[0]));
	harvest->vectors.first = harvest->rows;
	harvest->count = 0;
	return harvest->rows && harvest->labels ? 0 : -ENOMEM;
}

static int run(struct live *live)
{
	const struct live_job *job = &live->job;
	struct harvest harvest;
	int error = harvest_init(&harvest, live);

	for (uint32_t i = 0; !error && i < job->source_count; i++)
		harvest_member(job->sources[i], job->time, &harvest);
	if (!error && harvest.count > 0)
		error = build_result(live, &harvest);
	free(harvest.rows);
	free(harvest.labels);
	return error;
}

int live_build(struct live *live)
{
	/* Acquire: what the writer knew of them; pairs with throw_away(). */
	struct live_member *trash =
		atomic_exchange_explicit(&live->trash, NULL, memory_order_acquire);
	enum live_job_state ready = LIVE_JOB_READY;
	int result = trash ? 0 : LIVE_E_IDLE;

	while (trash) {
		struct live_member *next = trash->next;

		live_member_free(trash);
		trash = next;
	}
	if (!atomic_compare_exchange_strong_explicit(&live->job.state, &ready, LIVE_JOB_RUNNING,
						     memory_order_acquire, memory_order_relaxed))
		return result;
	live->job.error = run(live);
	set_job_state(live, LIVE_JOB_DONE);
	return 0;
}
