/* SPDX-License-Identifier: Apache-2.0 */
#include "hnsw/live_member.h"

#include "base/check.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

static int new_member(uint32_t capacity, struct live_member **ret_member)
{
	struct live_member *member = calloc(1, sizeof(*member));

	if (!member)
		return -ENOMEM;
	member->died_size = ((size_t)capacity + 1) * sizeof(member->died[0]);
	member->died = mmap(NULL, member->died_size, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (member->died == MAP_FAILED) {
		free(member);
		return -ENOMEM;
	}
	*ret_member = member;
	return 0;
}

int live_member_new_growing(const struct growing_options *options, struct live_member **ret_member)
{
	struct live_member *member;
	int error = new_member(options->capacity, &member);

	if (error)
		return error;
	error = growing_new(options, &member->growing);
	if (error)
		live_member_free(member);
	else
		*ret_member = member;
	return error;
}

int live_member_new_sealed(const struct segment *segment, const struct build_image *image,
			   struct live_member **ret_member)
{
	struct live_member *member;
	int error = new_member(segment->count, &member);

	if (error)
		return error;
	member->segment = *segment;
	if (image)
		member->image = *image;
	*ret_member = member;
	return 0;
}

void live_member_free(struct live_member *member)
{
	if (!member)
		return;
	growing_free(member->growing);
	segment_close(&member->segment);
	build_image_free(&member->image);
	munmap(member->died, member->died_size);
	free(member);
}

uint32_t live_member_count(const struct live_member *member)
{
	return member->growing ? growing_count(member->growing) : member->segment.count;
}

uint64_t live_member_size(const struct live_member *member)
{
	uint64_t died =
		live_member_dead(member) ? live_member_count(member) * sizeof(member->died[0]) : 0;

	return died +
	       (member->growing ? growing_size(member->growing) : member->segment.image_size);
}

bool live_member_find(const struct live_member *member, uint32_t label, uint32_t *ret_node)
{
	uint32_t node = member->growing ? growing_find(member->growing, label)
					: segment_find(&member->segment, label);

	if (node == UINT32_MAX || member->died[node])
		return false;
	*ret_node = node;
	return true;
}

void live_member_kill(struct live_member *member, uint32_t node, uint64_t time)
{
	DCHECK(!member->died[node]);
	__atomic_store_n(&member->died[node], time, __ATOMIC_RELAXED);
	/* Relaxed both: the release of the time orders them before it. */
	atomic_store_explicit(&member->has_dead, true, memory_order_relaxed);
}

/* Release: the time was released before; pairs with the search's acquire. */
void live_member_count_dead(struct live_member *member)
{
	atomic_store_explicit(&member->dead_count, live_member_dead(member) + 1,
			      memory_order_release);
}

void live_member_view(const struct live_member *member, uint64_t time, struct segment *ret_view)
{
	if (member->growing)
		growing_view(member->growing, time, ret_view);
	else
		*ret_view = member->segment;
}
