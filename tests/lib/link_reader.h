/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Link reader - who reads granted regions over verbs, for tests of the owner
 *
 * On a fake device or on a real one: 'turn' gives everybody a turn, the reader's hub
 * included, and lets a little time pass.
 *
 * Threads: one.
 */

#include "proto/payload_region.h"
#include "rdma/device.h"
#include "rdma/link.h"

#include <stdint.h>

/* Bytes of one READ. */
#define LINK_READER_MAX (1 << 17)

struct link_reader {
	const struct verbs_ops *ops;
	struct device *device;
	struct link_hub *hub;
	uint8_t *bytes; /* where READs go */
	struct ibv_mr *bytes_mr;
	uint16_t shard;    /* that the next link is for: link_shard_name() */
	unsigned turn_max; /* turns after which it isn't going to happen */
	void (*turn)(void *context);
	void *context;
};

/* 'device' NULL: the first. Fails the test when it can't, as all below do. */
void link_reader_open(struct link_reader *reader, const struct verbs_ops *ops, const char *device,
		      const uint8_t *secret);

/* Nothing happens if it isn't open. */
void link_reader_close(struct link_reader *reader);

/* A link that is ready. */
struct link *link_reader_connect(struct link_reader *reader, const struct addr *to,
				 uint64_t now_ns);

/* Reads what was granted, all of it, into 'bytes'; returns what the device says. */
enum ibv_wc_status link_reader_read(struct link_reader *reader, struct link *link,
				    const struct region_answer *answer);
