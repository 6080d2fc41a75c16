/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A frame of every kind and its bytes, made by a second implementation of
 * docs/format/frame.md (Python, with a CRC computed bit by bit). Bodies of the
 * handshake are the sequence 1, 8, 15, ... modulo 256.
 */

#include "proto/frame.h"

#define TOKEN UINT64_C(0x1122334455660007)

static const struct {
	struct frame frame;
	const char *hex;
} golden_frames[] = {
	{{.kind = FRAME_HELLO,
	  .token = 0,
	  .number = 0,
	  .message_size = 0,
	  .deadline_us = 0,
	  .hint = 0,
	  .index = 0,
	  .status = 0,
	  .epoch = 3,
	  .body_size = 56},
	 "98f300ea546e01010000000000000000000000000000000000000000000000000000000000000000030000000"
	 "0000000"
	 "01080f161d242b323940474e555c636a71787f868d949ba2a9b0b7bec5ccd3dae1e8eff6fd040b121920272e3"
	 "53c434a"
	 "51585f666d747b82"},
	{{.kind = FRAME_CHALLENGE,
	  .token = TOKEN,
	  .number = 0,
	  .message_size = 0,
	  .deadline_us = 0,
	  .hint = 0,
	  .index = 0,
	  .status = 0,
	  .epoch = 3,
	  .body_size = 56},
	 "e043c1ac546e01020700665544332211000000000000000000000000000000000000000000000000030000000"
	 "0000000"
	 "01080f161d242b323940474e555c636a71787f868d949ba2a9b0b7bec5ccd3dae1e8eff6fd040b121920272e3"
	 "53c434a"
	 "51585f666d747b82"},
	{{.kind = FRAME_PROVE,
	  .token = 0,
	  .number = 0,
	  .message_size = 0,
	  .deadline_us = 0,
	  .hint = 0,
	  .index = 0,
	  .status = 0,
	  .epoch = 3,
	  .body_size = 128},
	 "9dbdb5ec546e01030000000000000000000000000000000000000000000000000000000000000000030000000"
	 "0000000"
	 "01080f161d242b323940474e555c636a71787f868d949ba2a9b0b7bec5ccd3dae1e8eff6fd040b121920272e3"
	 "53c434a"
	 "51585f666d747b828990979ea5acb3bac1c8cfd6dde4ebf2f900070e151c232a31383f464d545b626970777e8"
	 "58c939a"
	 "a1a8afb6bdc4cbd2d9e0e7eef5fc030a11181f262d343b424950575e656c737a"},
	{{.kind = FRAME_ACCEPT,
	  .token = TOKEN,
	  .number = 0,
	  .message_size = 0,
	  .deadline_us = 0,
	  .hint = 0,
	  .index = 0,
	  .status = 0,
	  .epoch = 3,
	  .body_size = 96},
	 "055848b7546e01040700665544332211000000000000000000000000000000000000000000000000030000000"
	 "0000000"
	 "01080f161d242b323940474e555c636a71787f868d949ba2a9b0b7bec5ccd3dae1e8eff6fd040b121920272e3"
	 "53c434a"
	 "51585f666d747b828990979ea5acb3bac1c8cfd6dde4ebf2f900070e151c232a31383f464d545b626970777e8"
	 "58c939a"},
	{{.kind = FRAME_REFUSE,
	  .token = TOKEN,
	  .number = 0,
	  .message_size = 0,
	  .deadline_us = 0,
	  .hint = 0,
	  .index = 0,
	  .status = 202,
	  .epoch = 3,
	  .body_size = 0},
	 "1345c7ae546e0105070066554433221100000000000000000000000000000000000000000000ca00030000000"
	 "0000000"},
	{{.kind = FRAME_REQUEST,
	  .token = TOKEN,
	  .number = 33,
	  .message_size = 5,
	  .deadline_us = 250000,
	  .hint = 7,
	  .index = 0,
	  .status = 0,
	  .epoch = 3,
	  .body_size = 5},
	 "3cacb66f546e0106070066554433221121000000000000000500000090d003000700000000000000030000000"
	 "0000000"
	 "68656c6c6f"},
	{{.kind = FRAME_CREDIT,
	  .token = TOKEN,
	  .number = 33,
	  .message_size = 0,
	  .deadline_us = 0,
	  .hint = 12,
	  .index = 13,
	  .status = 0,
	  .epoch = 3,
	  .body_size = 0},
	 "3015beef546e01070700665544332211210000000000000000000000000000000c0000000d000000030000000"
	 "0000000"},
	{{.kind = FRAME_PULL,
	  .token = TOKEN,
	  .number = 33,
	  .message_size = 0,
	  .deadline_us = 0,
	  .hint = 7,
	  .index = 2,
	  .status = 0,
	  .epoch = 3,
	  .body_size = 0},
	 "73012f93546e01080700665544332211210000000000000000000000000000000700000002000000030000000"
	 "0000000"},
	{{.kind = FRAME_ANSWER,
	  .token = TOKEN,
	  .number = 33,
	  .message_size = 6,
	  .deadline_us = 0,
	  .hint = 1200,
	  .index = 0,
	  .status = 400,
	  .epoch = 4,
	  .body_size = 6},
	 "a7a23fa8546e0109070066554433221121000000000000000600000000000000b004000000009001040000000"
	 "0000000"
	 "616e73776572"},
	{{.kind = FRAME_RELEASE,
	  .token = TOKEN,
	  .number = 33,
	  .message_size = 0,
	  .deadline_us = 0,
	  .hint = 7,
	  .index = 0,
	  .status = 0,
	  .epoch = 3,
	  .body_size = 0},
	 "0214f387546e010a0700665544332211210000000000000000000000000000000700000000000000030000000"
	 "0000000"},
	{{.kind = FRAME_RELEASED,
	  .token = TOKEN,
	  .number = 33,
	  .message_size = 0,
	  .deadline_us = 0,
	  .hint = 0,
	  .index = 0,
	  .status = 0,
	  .epoch = 4,
	  .body_size = 0},
	 "ee38bf11546e010b0700665544332211210000000000000000000000000000000000000000000000040000000"
	 "0000000"},
	{{.kind = FRAME_PING,
	  .token = TOKEN,
	  .number = 123456789,
	  .message_size = 0,
	  .deadline_us = 0,
	  .hint = 7,
	  .index = 0,
	  .status = 0,
	  .epoch = 3,
	  .body_size = 0},
	 "66ddd077546e010c070066554433221115cd5b070000000000000000000000000700000000000000030000000"
	 "0000000"},
	{{.kind = FRAME_PONG,
	  .token = TOKEN,
	  .number = 123456789,
	  .message_size = 0,
	  .deadline_us = 0,
	  .hint = 0,
	  .index = 0,
	  .status = 0,
	  .epoch = 4,
	  .body_size = 0},
	 "8af19ce1546e010d070066554433221115cd5b070000000000000000000000000000000000000000040000000"
	 "0000000"},
	{{.kind = FRAME_CLOSE,
	  .token = TOKEN,
	  .number = 0,
	  .message_size = 0,
	  .deadline_us = 0,
	  .hint = 7,
	  .index = 0,
	  .status = 0,
	  .epoch = 3,
	  .body_size = 0},
	 "5ce775fb546e010e0700665544332211000000000000000000000000000000000700000000000000030000000"
	 "0000000"},
	{{.kind = FRAME_RESET,
	  .token = TOKEN,
	  .number = 0,
	  .message_size = 0,
	  .deadline_us = 0,
	  .hint = 7,
	  .index = 0,
	  .status = 0,
	  .epoch = 5,
	  .body_size = 0},
	 "8f7af9f1546e010f0700665544332211000000000000000000000000000000000700000000000000050000000"
	 "0000000"},
};
