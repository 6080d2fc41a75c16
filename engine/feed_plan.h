/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Feed plan - up to which number a pass that sorts goes
 *
 * Tables as they are flushed have numbers of their own: a pass to where one ends, and the next
 * begins, reads each once and holds little. Compaction mixes what it joins: such tables are read
 * together, by one pass over all their numbers.
 *
 *      number   ------------------------------------------>
 *      tables   [  ]    [      ]      [   ]   [     ]
 *                    [     ]             [  ]
 *      passes   |--|  |---------|     |------||-----|     memtables
 *
 * Threads: the key space's owner.
 */

#include "engine/kv.h"

/*
 * The end of a pass over the view that begins at 'from': no table has numbers on both sides. It is
 * larger, over several such groups, while their tables have no more than 'size_max' bytes, of which
 * an entry by itself takes 'entry_size'. Returns false if no table has numbers from there on.
 */
bool feed_plan_end(const struct kv_view *view, uint64_t from, uint64_t size_max,
		   uint64_t entry_size, uint64_t *ret_end);
