/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Requests of type 56 to a core whose node lends memory: byte 0 chooses the shard
 * (the core's own, another core's, or none), the rest is the payload. Whatever it
 * holds, it is answered once, with a status or with a type 57 that decodes; and
 * since nobody has a link here, nothing is granted.
 */

#include "base/check.h"
#include "base/clock.h"
#include "dataplane/export.h"
#include "proto/envelope.h"
#include "proto/message.h"
#include "proto/payload_region.h"
#include "proto/status.h"
#include "tests/lib/core_pair.h"

#include <stdio.h>
#include <unistd.h>

enum { SHARD_COUNT = 2, PAYLOAD_MAX = 1024 };

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static struct export *export;
static struct core_pair pair;

static void open_all(void)
{
	struct export_config config = {
		.core_count = 1,
		.node = CORE_PAIR_SERVER,
		.link_max = 2,
		.lease_max = 2,
		.lease_ms_max = 1000,
		.gid_index = -1,
	};
	uint32_t pid = (uint32_t)getpid();
	char text[EXPORT_ERROR_MAX];

	/* Shared memory's name has to be this process's own. */
	snprintf(text, sizeof(text), "127.%u.%u.%u:7400", pid >> 16 & 255, pid >> 8 & 255,
		 pid & 255);
	CHECK(!addr_parse(text, 0, &config.listen));
	config.shards = core_pair_shards(SHARD_COUNT);
	CHECK(!export_open(&config, &export, text, sizeof(text)));
	core_pair_init(&pair, config.shards, export_desk(export, 0));
}

static void export_turns(void *context, uint64_t now_ns)
{
	export_turn(context, now_ns);
}

static void check_answer(const struct core_pair_call *call)
{
	struct envelope envelope;
	struct region_answer answer;

	if (!call->answer_size) {
		CHECK(call->status != STATUS_OK);
		return;
	}
	CHECK(!envelope_decode(call->answer, call->answer_size, &envelope));
	CHECK(envelope.type == MESSAGE_VECTOR_MEM_REGION_RESPONSE);
	CHECK(!region_answer_decode(envelope.payload, envelope.payload_size, &answer));
	CHECK(!answer.available && answer.reason.length);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct core_pair_call *call;

	if (!export)
		open_all();
	if (size == 0 || size > PAYLOAD_MAX)
		return 0;
	call = core_pair_call(&pair, MESSAGE_VECTOR_MEM_REGION_REQUEST,
			      CORE_PAIR_VSHARD + bytes[0] % 3, bytes + 1, size - 1);
	core_pair_finish(&pair, export_turns, export);
	check_answer(call);
	return 0;
}
