/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/link_reader.h"

#include "base/clock.h"
#include "tests/lib/test.h"

#include <stdlib.h>

enum { LINK_COUNT = 8, CONNECT_S = 10 };

struct reading {
	struct link_work work;
	bool done;
	enum ibv_wc_status status;
};

static char error[DEVICE_ERROR_MAX];

static void nothing(void *context, struct link *link)
{
}

void link_reader_open(struct link_reader *reader, const struct verbs_ops *ops, const char *device,
		      const uint8_t *secret)
{
	const struct device_options options = {.name = device, .gid_index = -1};
	const struct link_hub_config config = {
		.node = 77,
		.secret = secret,
		.link_max = LINK_COUNT,
		.send_depth = 8,
		.changed = nothing,
	};

	reader->ops = ops;
	reader->bytes = aligned_alloc(4096, LINK_READER_MAX);
	assert_non_null(reader->bytes);
	if (device_open(ops, &options, &reader->device, error, sizeof(error)) ||
	    link_hub_new(reader->device, &config, &reader->hub, error, sizeof(error)) ||
	    device_register(reader->device, reader->bytes, LINK_READER_MAX, IBV_ACCESS_LOCAL_WRITE,
			    &reader->bytes_mr, error, sizeof(error)))
		fail_msg("%s", error);
}

void link_reader_close(struct link_reader *reader)
{
	if (!reader->hub)
		return;
	link_hub_free(reader->hub);
	assert_int_equal(reader->ops->dereg_mr(reader->bytes_mr), 0);
	device_close(reader->device);
	free(reader->bytes);
	reader->hub = NULL;
}

struct link *link_reader_connect(struct link_reader *reader, const struct addr *to, uint64_t now_ns)
{
	const struct link_options options = {
		.to = *to, .shard = reader->shard, .deadline_ns = now_ns + CONNECT_S * NS_PER_S};
	struct link *link;

	if (link_connect(reader->hub, &options, now_ns, &link, error, sizeof(error)))
		fail_msg("%s", error);
	for (unsigned i = 0; i < reader->turn_max && link_state(link) < LINK_READY; i++)
		reader->turn(reader->context);
	if (link_state(link) != LINK_READY)
		fail_msg("%s", link_error(link));
	return link;
}

static void read_done(struct link_work *work, struct link *link, const struct ibv_wc *completion)
{
	struct reading *reading = (struct reading *)work;

	reading->done = true;
	reading->status = completion->status;
}

enum ibv_wc_status link_reader_read(struct link_reader *reader, struct link *link,
				    const struct region_answer *answer)
{
	static struct reading reading;
	struct ibv_sge sge = {
		.addr = (uintptr_t)reader->bytes,
		.length = (uint32_t)answer->length,
		.lkey = reader->bytes_mr->lkey,
	};
	struct ibv_send_wr wr = {
		.wr_id = (uintptr_t)&reading.work,
		.sg_list = &sge,
		.num_sge = 1,
		.opcode = IBV_WR_RDMA_READ,
		.send_flags = IBV_SEND_SIGNALED,
		.wr.rdma = {.remote_addr = answer->remote_addr, .rkey = answer->rkey},
	};
	struct ibv_send_wr *bad;

	assert_true(answer->length <= LINK_READER_MAX);
	reading = (struct reading){.work = {.done = read_done}};
	assert_int_equal(reader->ops->post_send(link_qp(link), &wr, &bad), 0);
	for (unsigned i = 0; i < reader->turn_max && !reading.done; i++)
		reader->turn(reader->context);
	assert_true(reading.done);
	return reading.status;
}
