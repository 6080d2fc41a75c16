/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Fuzz link: what strangers send while a link is being made
 *
 *      0  u8  which message is replaced: 0 the request's private data, 1 the answer's, 2 the
 *             connecting side's first SEND, 3 the listening side's. Bit 2: the bytes are
 *             xored onto the message instead, and its size stays. Bit 3: the link is for a shard
 *      1      bytes of the message, 255 at most
 *
 * Whatever comes, both hubs stay whole, a link is ready only when the message was as it
 * should be, nothing is left behind, and the next link becomes ready.
 */

#include "base/check.h"
#include "base/defs.h"
#include "rdma/link.h"
#include "rdma/link_handshake.h"
#include "tests/lib/fake_verbs.h"

#include <stdlib.h>
#include <string.h>

/* Turns that a link takes at most to become ready, or to be refused; then its deadline comes. */
#define STEPS   20
#define SHARD   5 /* that links are for */
#define STEP_NS UINT64_C(1000000)

static const uint8_t *input;
static size_t input_size;
static bool input_xor;
static uint16_t input_shard;
static bool changed_bytes; /* of those that count */

static struct link_hub *hubs[2];
static struct link *ready[2];

static bool has_shard(void *context, uint32_t vshard)
{
	(void)context;
	return vshard == SHARD;
}

static void changed(void *context, struct link *link)
{
	struct link **place = context;

	if (link_state(link) == LINK_READY)
		*place = link;
	if (link_state(link) == LINK_ENDED) {
		if (*place == link)
			*place = NULL;
		link_close(link);
	}
}

static uint8_t replace(void *context, uint8_t bytes[255], uint8_t size)
{
	size_t matters = *(const size_t *)context;
	uint8_t old[255];
	uint8_t new_size = input_xor ? size : (uint8_t)input_size;

	memcpy(old, bytes, sizeof(old));
	for (size_t i = 0; i < MIN(input_size, 255); i++)
		bytes[i] = input_xor ? bytes[i] ^ input[i] : input[i];
	/* Behind private data there may be anything; a SEND has one size. */
	changed_bytes = new_size < matters || memcmp(old, bytes, matters) != 0 ||
			(matters == LINK_FIRST_SIZE && new_size != matters);
	return new_size;
}

/* Lets the request pass and waits for the answer. */
static uint8_t pass(void *context, uint8_t bytes[255], uint8_t size)
{
	(void)bytes;
	fake_verbs_mangle(replace, context);
	return size;
}

static uint8_t pass_send(void *context, uint8_t bytes[255], uint8_t size)
{
	(void)bytes;
	fake_verbs_mangle_send(replace, context);
	return size;
}

static uint64_t turn(uint64_t now_ns)
{
	for (unsigned i = 0; i < STEPS; i++, now_ns += STEP_NS)
		for (size_t j = 0; j < ARRAY_COUNT(hubs); j++)
			(void)link_hub_turn(hubs[j], now_ns);
	return now_ns;
}

static uint64_t connect_one(const struct addr *to, uint64_t now_ns)
{
	const struct link_options options = {
		.to = *to, .shard = input_shard, .deadline_ns = now_ns + LINK_PROVE_NS};
	char error[DEVICE_ERROR_MAX];
	struct link *link;

	CHECK(link_connect(hubs[1], &options, now_ns, &link, error, sizeof(error)) == 0);
	return turn(now_ns);
}

static void arm(unsigned which)
{
	static size_t matters[] = {LINK_HELLO_SIZE, LINK_ACCEPT_SIZE, LINK_FIRST_SIZE,
				   LINK_FIRST_SIZE};
	static const fake_verbs_mangle_fn first[] = {replace, pass, replace, pass_send};

	if (which < 2)
		fake_verbs_mangle(first[which], &matters[which]);
	else
		fake_verbs_mangle_send(first[which], &matters[which]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t secret[LINK_SECRET_SIZE] = "fuzz";
	const struct verbs_ops *ops =
		fake_verbs_new(&(struct fake_verbs_config){.devices = 1, .seed = 1});
	struct device *devices[ARRAY_COUNT(hubs)];
	struct addr addr, bound;
	char error[DEVICE_ERROR_MAX];
	uint64_t now_ns = STEP_NS;

	if (size < 1 || size > 256)
		return 0;
	input = data + 1;
	input_size = size - 1;
	input_xor = (data[0] & 4) != 0;
	input_shard = data[0] & 8 ? link_shard_name(SHARD) : LINK_NO_SHARD;
	for (size_t i = 0; i < ARRAY_COUNT(hubs); i++) {
		const struct link_hub_config config = {.node = 7 - 7 * i,
						       .secret = secret,
						       .link_max = 2,
						       .send_depth = 4,
						       .seed = i + 1,
						       .changed = changed,
						       .has_shard = has_shard,
						       .context = &ready[i]};

		CHECK(device_open(ops, &(struct device_options){.gid_index = -1}, &devices[i],
				  error, sizeof(error)) == 0);
		CHECK(link_hub_new(devices[i], &config, &hubs[i], error, sizeof(error)) == 0);
		ready[i] = NULL;
	}
	CHECK(addr_parse("10.77.0.1:0", 0, &addr) == 0);
	CHECK(link_listen(hubs[0], &addr, &bound, error, sizeof(error)) == 0);

	changed_bytes = false;
	arm(data[0] & 3);
	now_ns = turn(connect_one(&bound, now_ns) + LINK_PROVE_NS);
	/* All of a hello is part of the proofs; a first SEND has bytes that nobody reads. */
	CHECK((data[0] & 3) >= 2 || !changed_bytes || (!ready[0] && !ready[1]));
	CHECK(changed_bytes || (ready[0] && ready[1]));
	for (size_t i = 0; i < ARRAY_COUNT(hubs); i++)
		link_close(ready[i]);
	memset(ready, 0, sizeof(ready));
	now_ns = turn(now_ns);
	CHECK(link_hub_stats(hubs[0]).links == 0 && link_hub_stats(hubs[1]).links == 0);

	fake_verbs_mangle(NULL, NULL);
	fake_verbs_mangle_send(NULL, NULL);
	(void)connect_one(&bound, now_ns);
	CHECK(ready[0] && ready[1]);
	for (size_t i = 0; i < ARRAY_COUNT(hubs); i++) {
		link_hub_free(hubs[i]);
		device_close(devices[i]);
	}
	CHECK(fake_verbs_live() == 0);
	return 0;
}
