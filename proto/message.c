/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/message.h"

#include "base/defs.h"

#define MESSAGE(number_, upper, name_, direction_, family_, answer_)                               \
	{                                                                                          \
		.number = (number_),                                                               \
		.answer = (answer_),                                                               \
		.name = #name_,                                                                    \
		.direction = #direction_,                                                          \
		.family = MESSAGE_FAMILY_##family_,                                                \
	},
const struct message_info message_infos[MESSAGE_COUNT] = {
#include "proto/messages.def"
};
#undef MESSAGE

/* Positions in message_infos: the list is in the order of the numbers. */
enum {
#define MESSAGE(number, upper, name, direction, family, answer) POSITION_##upper,
#include "proto/messages.def"
#undef MESSAGE
	POSITION_COUNT
};
_Static_assert(POSITION_COUNT == MESSAGE_COUNT, "the protocol has 46 types");

const struct message_info *message_find(uint16_t number)
{
	switch (number) {
#define MESSAGE(number, upper, name, direction, family, answer)                                    \
	case number:                                                                               \
		return &message_infos[POSITION_##upper];
#include "proto/messages.def"
#undef MESSAGE
	default:
		return NULL;
	}
}
