/* SPDX-License-Identifier: Apache-2.0 */
#include "hnsw/live.h"

#include "base/check.h"
#include "hnsw/live_set.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static void set_free(struct live_set *set, struct live_member **trash)
{
	for (uint32_t i = 0; i < set->member_count; i++) {
		struct live_member *member = set->members[i];

		if (--member->set_count > 0)
			continue;
		member->next = *trash;
		*trash = member;
	}
	free(set);
}

/* Sequentially consistent: pairs with live_search_pin(). */
static bool is_pinned(const struct live *live, const struct live_set *set)
{
	for (uint32_t i = 0; i < LIVE_SEARCH_MAX; i++)
		if (atomic_load(&live->slots[i].pinned) == set)
			return true;
	return false;
}

/* Hands the members to live_build(). Release: what the writer knows of them. */
static void throw_away(struct live *live, struct live_member *members)
{
	struct live_member *last = members, *before;

	if (!members)
		return;
	while (last->next)
		last = last->next;
	before = atomic_load_explicit(&live->trash, memory_order_relaxed);
	do
		last->next = before;
	while (!atomic_compare_exchange_weak_explicit(&live->trash, &before, members,
						      memory_order_release, memory_order_relaxed));
}

/* Gives up sets that no search names. A set once given up can't be pinned any more. */
static void reclaim(struct live *live)
{
	struct live_set **link = &live->given_up;
	struct live_member *trash = NULL;

	while (*link) {
		struct live_set *set = *link;

		if (is_pinned(live, set)) {
			link = &set->next;
			continue;
		}
		*link = set->next;
		set_free(set, &trash);
	}
	throw_away(live, trash);
}

int live_publish(struct live *live, struct live_member *const *members, uint32_t count)
{
	struct live_set *set = calloc(1, sizeof(*set)), *before = live_current(live);

	CHECK(count >= 1 && count <= LIVE_MEMBER_MAX);
	if (!set)
		return -ENOMEM;
	set->member_count = count;
	for (uint32_t i = 0; i < count; i++) {
		set->members[i] = members[i];
		members[i]->set_count++;
	}
	/* Sequentially consistent, before the slots are looked at: pairs with live_search_pin(). */
	atomic_store(&live->current, set);
	if (before) {
		before->next = live->given_up;
		live->given_up = before;
	}
	return 0;
}

static int new_growing(struct live *live, struct live_member **ret_member)
{
	const struct build_options *build = &live->options.build;
	const struct growing_options options = {
		.metric = live->options.metric,
		.type = build->type,
		.dim = live->options.dim,
		.capacity = live->options.growing_max,
		.m = build->m,
		.ef_construction = build->ef_construction,
		.seed = build->seed + live->growing_number,
	};
	int error = live_member_new_growing(&options, ret_member);

	if (!error)
		live->growing_number++;
	return error;
}

int live_rotate(struct live *live)
{
	const struct live_set *set = live_current(live);
	uint32_t count = set ? set->member_count : 0;
	struct live_member *members[LIVE_MEMBER_MAX];
	int error;

	if (count == LIVE_MEMBER_MAX)
		return LIVE_E_BUSY;
	if (set)
		memcpy(members, set->members, count * sizeof(members[0]));
	error = new_growing(live, &members[count]);
	if (error)
		return error;
	error = live_publish(live, members, count + 1);
	if (error)
		live_member_free(members[count]);
	return error;
}

static int fill_options(const struct live_options *given, struct live_options *options)
{
	struct build_memory unused;

	*options = *given;
	options->build.metric = given->metric;
	if (!given->dead_percent)
		options->dead_percent = LIVE_DEAD_PERCENT;
	if (given->dim < 1 || given->dim > SEGMENT_DIM_MAX || given->vector_max < 1 ||
	    given->vector_max >= SEGMENT_COUNT_MAX || given->growing_max < 1 ||
	    given->growing_max > given->vector_max || given->dead_percent > 100)
		return -EINVAL;
	/* What a merge would refuse is better refused at once. */
	return build_memory(given->vector_max, given->dim, &options->build, &unused);
}

int live_new(const struct live_options *options, struct live **ret_live)
{
	struct live_options filled;
	struct live *live;
	int error = fill_options(options, &filled);

	if (error)
		return error;
	live = aligned_alloc(_Alignof(struct live), sizeof(*live));
	if (!live)
		return -ENOMEM;
	memset(live, 0, sizeof(*live));
	live->options = filled;
	error = live_rotate(live);
	if (error)
		live_free(live);
	else
		*ret_live = live;
	return error;
}

static void free_members(struct live_member *member)
{
	while (member) {
		struct live_member *next = member->next;

		live_member_free(member);
		member = next;
	}
}

void live_free(struct live *live)
{
	struct live_member *trash = NULL;

	if (!live)
		return;
	if (live_current(live))
		set_free(live_current(live), &trash);
	while (live->given_up) {
		struct live_set *next = live->given_up->next;

		set_free(live->given_up, &trash);
		live->given_up = next;
	}
	free_members(trash);
	free_members(atomic_load_explicit(&live->trash, memory_order_acquire));
	if (atomic_load_explicit(&live->job.state, memory_order_acquire) == LIVE_JOB_DONE)
		live_member_free(live->job.result);
	free(live->job.late);
	free(live);
}

static struct live_member *find(const struct live *live, uint32_t label, uint32_t *ret_node)
{
	const struct live_set *set = live_current(live);

	for (uint32_t i = set->member_count; i-- > 0;)
		if (live_member_find(set->members[i], label, ret_node))
			return set->members[i];
	return NULL;
}

bool live_has(const struct live *live, uint32_t label)
{
	uint32_t node;

	return find(live, label, &node) != NULL;
}

/* The time that the change under way will have. */
static uint64_t next_time(const struct live *live)
{
	return atomic_load_explicit(&live->time, memory_order_relaxed) + 1;
}

/* Makes the change under way visible, and a death that belongs to it counted: see live_member.h. */
static void commit(struct live *live, struct live_member *killed)
{
	atomic_store_explicit(&live->time, next_time(live), memory_order_release);
	if (killed)
		live_member_count_dead(killed);
}

static void kill(struct live *live, struct live_member *member, uint32_t node, uint32_t label)
{
	live_member_kill(member, node, next_time(live));
	live_merge_note(live, member, label);
}

static struct live_member *active_of(const struct live *live)
{
	const struct live_set *set = live_current(live);

	return set->members[set->member_count - 1];
}

/* Room for one vector more. Returns 0, LIVE_E_BUSY or -ENOMEM. */
static int take_room(struct live *live)
{
	int error = live_merge_reserve(live);

	if (!error && live_member_count(active_of(live)) == live->options.growing_max)
		error = live_rotate(live);
	return error;
}

int live_put(struct live *live, uint32_t label, const float *vector)
{
	uint32_t old_node = 0, node;
	struct live_member *old = find(live, label, &old_node);
	int error;

	if (!old && live->vectors == live->options.vector_max)
		return LIVE_E_FULL;
	error = take_room(live);
	if (error)
		return error;
	error = growing_insert(active_of(live)->growing, label, vector, next_time(live), &node);
	if (error) {
		CHECK(error == GROWING_E_VALUE);
		return LIVE_E_VALUE;
	}
	if (old)
		kill(live, old, old_node, label);
	else
		live->vectors++;
	commit(live, old);
	return 0;
}

int live_delete(struct live *live, uint32_t label)
{
	uint32_t node;
	struct live_member *member = find(live, label, &node);
	int error;

	if (!member)
		return LIVE_E_ABSENT;
	error = live_merge_reserve(live);
	if (error)
		return error;
	kill(live, member, node, label);
	live->vectors--;
	commit(live, member);
	return 0;
}

static bool fits(const struct live *live, const struct segment *segment)
{
	if (segment->dim != live->options.dim || segment->metric != live->options.metric ||
	    segment->type != live->options.build.type)
		return false;
	for (uint32_t i = 0; i < segment->count; i++)
		if (live_has(live, segment->labels[i]))
			return false;
	return true;
}

int live_adopt(struct live *live, const struct segment *segment, const struct build_image *image)
{
	const struct live_set *set = live_current(live);
	struct live_member *members[LIVE_MEMBER_MAX];
	uint32_t count = set->member_count;
	int error;

	if (!fits(live, segment))
		return -EINVAL;
	if (segment->count > live->options.vector_max - live->vectors)
		return LIVE_E_FULL;
	if (count == LIVE_MEMBER_MAX)
		return LIVE_E_BUSY;
	memcpy(members + 1, set->members, count * sizeof(members[0]));
	error = live_member_new_sealed(segment, image, &members[0]);
	if (error)
		return error;
	error = live_publish(live, members, count + 1);
	if (error) {
		/* The caller keeps what was not taken. */
		members[0]->segment = (struct segment){0};
		members[0]->image = (struct build_image){0};
		live_member_free(members[0]);
		return error;
	}
	live->vectors += segment->count;
	return 0;
}

int live_work(struct live *live, enum live_need *ret_need)
{
	enum live_need need = LIVE_NEED_NOTHING;
	int error;

	reclaim(live);
	error = live_merge_step(live, &need);
	if (error)
		return error;
	/* What was thrown away waits for live_build() too. */
	if (need == LIVE_NEED_NOTHING && atomic_load_explicit(&live->trash, memory_order_relaxed))
		need = LIVE_NEED_BUILD;
	*ret_need = need;
	return 0;
}

void live_settle(struct live *live)
{
	live->settling = true;
}

struct live_stats live_stats(const struct live *live)
{
	struct live_stats stats = {.vectors = live->vectors, .merges = live->merges};
	const struct live_set *set = live_current(live);

	for (uint32_t i = 0; i < set->member_count; i++) {
		const struct live_member *member = set->members[i];

		stats.dead += live_member_dead(member);
		stats.size += live_member_size(member);
		if (member->growing)
			stats.growing++;
		else
			stats.sealed++;
	}
	for (uint32_t i = 0; i < LIVE_SEARCH_MAX; i++)
		stats.searches +=
			atomic_load_explicit(&live->slots[i].pinned, memory_order_relaxed) != NULL;
	return stats;
}

const struct segment *live_segment(const struct live *live, uint32_t index)
{
	const struct live_set *set = live_current(live);

	for (uint32_t i = 0; i < set->member_count; i++)
		if (!set->members[i]->growing && index-- == 0)
			return &set->members[i]->segment;
	return NULL;
}
