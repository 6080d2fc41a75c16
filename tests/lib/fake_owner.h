/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Fake owner - lends one shard's segment over shared memory, for tests of who reads it
 *
 * An owner's part of docs/format/region.md in a few lines, so that it can refuse, forget
 * and vanish as no node would. Shared memory is real; what carries types 56 and 57 is the
 * test's affair. Links come through a door, which owners may share as a node's shards do.
 *
 * Threads: an owner and its door belong to one thread.
 */

#include "base/addr.h"
#include "base/memory.h"
#include "hnsw/segment.h"
#include "proto/envelope.h"
#include "rdma/shm_link.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FAKE_OWNER_LINK_MAX 16

/* What the owner's searches get that leave it open. */
#define FAKE_OWNER_EF 24

struct fake_door {
	int listen_fd;
	const uint8_t *secret; /* borrowed; NULL: none */
	struct shm_link *links[FAKE_OWNER_LINK_MAX];
	unsigned link_count;
};

void fake_door_open(struct fake_door *door, const struct addr *at, const uint8_t *secret);

/* Links come, and go. */
void fake_door_turn(struct fake_door *door, uint64_t now_ns);

/* All links end at once. */
void fake_door_slam(struct fake_door *door);

void fake_door_close(struct fake_door *door);

struct fake_owner {
	struct memory segment;
	struct memory directory;
	uint64_t directory_size;
	uint64_t generation;
	uint32_t header_crc;
	uint64_t image_size;
	uint64_t lease; /* the last one given */
	uint32_t lease_ms;
	const char *refusal; /* NULL: grants */
	unsigned asked;
	/* What no node would do. */
	uint16_t answer_type;  /* 0: the right one */
	uint32_t answer_shard; /* added to the shard's number */
	uint64_t short_grant;  /* bytes that a segment's grant is short of */
	uint64_t short_lent;   /* bytes that the memory lent is short of the grant */
	unsigned strays;       /* leases of other memory, passed before each that was granted */
};

/* Copies the segment's image, and lists it for 'vshard'. */
void fake_owner_init(struct fake_owner *owner, const struct segment *segment, uint32_t vshard);
void fake_owner_deinit(struct fake_owner *owner);

/* Another directory: of 'count' segments (0 or 1), for any shard. */
void fake_owner_list(struct fake_owner *owner, const struct segment *segment, uint32_t vshard,
		     uint32_t count);

/* Writes the message that answers a request of type 56; returns its size. */
size_t fake_owner_answer(struct fake_owner *owner, struct fake_door *door,
			 const struct envelope *request, uint8_t *to, size_t capacity);
