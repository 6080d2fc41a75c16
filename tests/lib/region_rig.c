/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/region_rig.h"

#include "base/clock.h"
#include "rdma/fetch_verbs.h"
#include "tests/lib/test.h"

#include <stdlib.h>
#include <string.h>

#define STEP_NS (NS_PER_S / 1000)

/* Turns after which a fake device has answered, and time after which a real one has. */
#define TURNS_MAX   200
#define PATIENCE_NS (20 * NS_PER_S)

static const uint8_t secret[LINK_SECRET_SIZE] = "a secret of all the members";
static char error[DEVICE_ERROR_MAX];

static void owner_changed(void *context, struct link *link)
{
	struct rig *rig = context;

	if (link_state(link) != LINK_ENDED)
		return;
	rig->owner_ends++;
	for (unsigned i = 0; i < RIG_REGION_MAX; i++)
		if (rig->regions[i])
			region_link_closed(rig->regions[i], link);
	link_close(link);
}

static void reader_changed(void *context, struct link *link)
{
	(void)context;
	(void)link;
}

static void open_node(struct rig *rig, struct rig_node *node, const struct verbs_ops *ops,
		      uint64_t number, void (*changed)(void *context, struct link *link))
{
	const struct device_options options = {.gid_index = -1};
	const struct link_hub_config config = {
		.node = number,
		.secret = secret,
		.link_max = RIG_LINK_MAX,
		.send_depth = 2 * FETCH_VERBS_DEPTH_MIN,
		.seed = rig->real ? 0 : number,
		.changed = changed,
		.context = rig,
	};

	if (device_open(ops, &options, &node->device, error, sizeof(error)) ||
	    link_hub_new(node->device, &config, &node->hub, error, sizeof(error)))
		fail_msg("%s", error);
}

void rig_open(struct rig *rig, const struct verbs_ops *ops, bool real)
{
	struct addr addr;

	*rig = (struct rig){.real = real, .now_ns = real ? clock_now_ns() : NS_PER_S};
	open_node(rig, &rig->owner, ops, 1, owner_changed);
	open_node(rig, &rig->reader, ops, 2, reader_changed);
	assert_true(device_addr(rig->owner.device, 0, &addr));
	if (link_listen(rig->owner.hub, &addr, &rig->bound, error, sizeof(error)))
		fail_msg("%s", error);
	rig->to = aligned_alloc(4096, RIG_READ_MAX);
	assert_non_null(rig->to);
	if (device_register(rig->reader.device, rig->to, RIG_READ_MAX, IBV_ACCESS_LOCAL_WRITE,
			    &rig->to_mr, error, sizeof(error)))
		fail_msg("%s", error);
}

void rig_close(struct rig *rig)
{
	assert_int_equal(device_ops(rig->reader.device)->dereg_mr(rig->to_mr), 0);
	link_hub_free(rig->reader.hub);
	device_close(rig->reader.device);
	for (unsigned i = 0; i < RIG_REGION_MAX; i++)
		assert_null(rig->regions[i]);
	link_hub_free(rig->owner.hub);
	device_close(rig->owner.device);
	free(rig->to);
}

static void turn_once(struct rig *rig)
{
	rig->now_ns = rig->real ? clock_now_ns() : rig->now_ns + STEP_NS;
	(void)link_hub_turn(rig->owner.hub, rig->now_ns);
	(void)link_hub_turn(rig->reader.hub, rig->now_ns);
	for (unsigned i = 0; i < RIG_REGION_MAX; i++)
		if (rig->regions[i])
			region_tick(rig->regions[i], rig->now_ns);
}

void rig_turn(struct rig *rig, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		turn_once(rig);
}

void rig_pass(struct rig *rig, uint64_t ns)
{
	uint64_t until = rig->now_ns + ns;

	while (rig->now_ns < until)
		turn_once(rig);
}

/* Turns until '*done', or for as long as anything may take. */
static bool turn_until(struct rig *rig, const bool *done)
{
	uint64_t until = rig->now_ns + (rig->real ? PATIENCE_NS : TURNS_MAX * STEP_NS);

	while (!*done && rig->now_ns < until)
		turn_once(rig);
	return *done;
}

struct link *rig_connect(struct rig *rig)
{
	uint64_t until = rig->now_ns + PATIENCE_NS;
	const struct link_options options = {.to = rig->bound, .deadline_ns = until};
	struct link *link;

	if (link_connect(rig->reader.hub, &options, rig->now_ns, &link, error, sizeof(error)))
		fail_msg("%s", error);
	while (link_state(link) < LINK_READY && rig->now_ns < until)
		turn_once(rig);
	if (link_state(link) != LINK_READY)
		fail_msg("%s", link_error(link));
	assert_non_null(rig_owner_side(rig, link));
	return link;
}

struct link *rig_owner_side(struct rig *rig, const struct link *link)
{
	uint8_t proof[LINK_PROOF_SIZE];

	link_proof(link, proof);
	return link_find(rig->owner.hub, proof);
}

void rig_disconnect(struct rig *rig, struct link *link)
{
	link_close(link);
	rig_turn(rig, 20);
}

static void read_done(struct link_work *work, struct link *link, const struct ibv_wc *completion)
{
	struct rig_read *read = (struct rig_read *)work;

	(void)link;
	read->done = true;
	read->status = completion->status;
}

bool rig_post(struct rig *rig, struct link *link, uint64_t remote_addr, uint32_t rkey,
	      uint32_t size, struct rig_read *read)
{
	struct ibv_sge sge = {.addr = (uintptr_t)rig->to, .length = size, .lkey = rig->to_mr->lkey};
	struct ibv_send_wr *bad, wr = {.wr_id = (uintptr_t)&read->work,
				       .sg_list = &sge,
				       .num_sge = 1,
				       .opcode = IBV_WR_RDMA_READ,
				       .send_flags = IBV_SEND_SIGNALED};

	assert_true(size <= RIG_READ_MAX);
	wr.wr.rdma.remote_addr = remote_addr;
	wr.wr.rdma.rkey = rkey;
	*read = (struct rig_read){.work = {.done = read_done}};
	return device_ops(rig->reader.device)->post_send(link_qp(link), &wr, &bad) == 0;
}

int rig_read(struct rig *rig, struct link *link, uint64_t remote_addr, uint32_t rkey, uint32_t size)
{
	/* Static, as a completion may come after the answer was given up. */
	static struct rig_read read;

	if (!rig_post(rig, link, remote_addr, rkey, size, &read))
		return RIG_NO_ANSWER;
	return turn_until(rig, &read.done) ? (int)read.status : RIG_NO_ANSWER;
}

static void granted(void *context, const struct lease *lease, int status)
{
	struct rig_grant *grant = context;

	assert_false(grant->done);
	assert_true(status <= 0);
	assert_true((lease == NULL) == (status != 0));
	grant->done = true;
	grant->error = status;
	if (lease)
		grant->lease = lease_info(lease);
}

int rig_grant(struct rig *rig, struct region *region, struct link *link, uint64_t offset,
	      uint64_t size, uint32_t lease_ms, struct rig_grant *grant)
{
	int result;

	*grant = (struct rig_grant){0};
	result = region_grant(region, link, offset, size, lease_ms, rig->now_ns, granted, grant);
	assert_false(grant->done);
	return result;
}

struct lease_info rig_granted(struct rig *rig, struct region *region, struct link *link,
			      uint64_t offset, uint64_t size, uint32_t lease_ms)
{
	struct rig_grant grant;

	assert_int_equal(rig_grant(rig, region, link, offset, size, lease_ms, &grant), 0);
	assert_true(turn_until(rig, &grant.done));
	assert_int_equal(grant.error, 0);
	return grant.lease;
}
