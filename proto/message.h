/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Message - the vShard message types, from messages.def
 *
 * Threads: any; everything here is constant.
 */

#include <stdint.h>

enum message_type {
#define MESSAGE(number, upper, name, direction, family, answer) MESSAGE_##upper = (number),
#include "proto/messages.def"
#undef MESSAGE
};

enum message_family {
	MESSAGE_FAMILY_MIGRATION,
	MESSAGE_FAMILY_GRAPH,
	MESSAGE_FAMILY_SERIES,
	MESSAGE_FAMILY_VECTOR,
	MESSAGE_FAMILY_REGION,
	MESSAGE_FAMILY_SPATIAL,
	MESSAGE_FAMILY_EVENT,
	MESSAGE_FAMILY_ARRAY,
	MESSAGE_FAMILY_COUNT
};

#define MESSAGE_COUNT 46

struct message_info {
	uint16_t number;
	uint16_t answer; /* the type that answers it, 0 when nothing does */
	enum message_family family;
	const char *name;      /* as in the protocol's documents */
	const char *direction; /* "C_S": from coordinator to shard */
};

/* All types in ascending order of their numbers. */
extern const struct message_info message_infos[MESSAGE_COUNT];

/* What is known of type 'number', or NULL when there is no such type. */
const struct message_info *message_find(uint16_t number);
