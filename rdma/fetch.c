/* SPDX-License-Identifier: Apache-2.0 */
#include "rdma/fetch.h"

int fetch_check(const struct fetch *fetch, const struct fetch_piece *pieces, unsigned count)
{
	uint64_t memory = (uintptr_t)fetch->memory;

	if (fetch->error)
		return fetch->error;
	if (!count || count > FETCH_PIECE_MAX)
		return -EINVAL;
	for (unsigned i = 0; i < count; i++) {
		const struct fetch_piece *piece = &pieces[i];

		if (!piece->size || piece->size > FETCH_PIECE_SIZE_MAX ||
		    !fetch_is_within(piece->offset, piece->size, 0, fetch->size) ||
		    !fetch_is_within((uintptr_t)piece->to, piece->size, memory, fetch->memory_size))
			return -EINVAL;
	}
	return 0;
}

void fetch_hand_out(struct fetch *fetch, struct fetch_done *done, uint64_t cookie, int error)
{
	*done = (struct fetch_done){.cookie = cookie, .error = error};
	fetch->under_way--;
	fetch->stats.failures += error != 0;
}

void fetch_count_batch(struct fetch *fetch, const struct fetch_piece *pieces, unsigned count)
{
	fetch->under_way++;
	fetch->stats.batches++;
	fetch->stats.reads += count;
	for (unsigned i = 0; i < count; i++)
		fetch->stats.bytes += pieces[i].size;
}
