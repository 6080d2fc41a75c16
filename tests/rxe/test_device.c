/* SPDX-License-Identifier: Apache-2.0 */

/* The two devices that tests/rxe/devices makes are what the other tests here build on. */

#include "tests/lib/test.h"

#include <arpa/inet.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <infiniband/verbs.h>

#define GID_MAX 16
#define SIZE    (UINT32_C(2) << 20) /* one huge page */

/* One device with all that a read takes at either end. */
struct end {
	struct ibv_context *context;
	struct ibv_pd *pd;
	struct ibv_cq *cq;
	struct ibv_qp *qp;
	struct ibv_mr *mr;
	uint8_t *bytes; /* SIZE of them, in a huge page */
	struct ibv_gid_entry gid;
};

static const char *variable(const char *name)
{
	const char *value = getenv(name);

	if (!value)
		fail_msg("%s is not set", name);
	return value;
}

static struct ibv_context *open_device(const char *name)
{
	struct ibv_device **devices = ibv_get_device_list(NULL);
	struct ibv_context *context = NULL;

	assert_non_null(devices);
	for (uint32_t i = 0; devices[i] && !context; i++)
		if (!strcmp(ibv_get_device_name(devices[i]), name))
			context = ibv_open_device(devices[i]);
	ibv_free_device_list(devices);
	if (!context)
		fail_msg("no device %s", name);
	return context;
}

/* Whether the device has a RoCEv2 GID made of the address; IPv4 is mapped into IPv6. */
static bool find_gid(struct ibv_context *context, const char *address, struct ibv_gid_entry *ret)
{
	struct ibv_gid_entry entries[GID_MAX];
	ssize_t count = ibv_query_gid_table(context, entries, GID_MAX, 0);
	struct in6_addr wanted;
	char mapped[INET6_ADDRSTRLEN];

	snprintf(mapped, sizeof(mapped), "%s%s", strchr(address, ':') ? "" : "::ffff:", address);
	assert_int_equal(inet_pton(AF_INET6, mapped, &wanted), 1);
	for (ssize_t i = 0; i < count; i++) {
		if (entries[i].gid_type == IBV_GID_TYPE_ROCE_V2 &&
		    !memcmp(entries[i].gid.raw, &wanted, sizeof(wanted))) {
			*ret = entries[i];
			return true;
		}
	}
	return false;
}

static void test_both_devices_have_an_active_port(void **state)
{
	static const char *const names[] = {"RXE_DEVICE", "RXE_PEER_DEVICE"};

	for (uint32_t i = 0; i < 2; i++) {
		struct ibv_context *context = open_device(variable(names[i]));
		struct ibv_port_attr port;

		assert_int_equal(ibv_query_port(context, 1, &port), 0);
		assert_int_equal(port.state, IBV_PORT_ACTIVE);
		assert_int_equal(port.link_layer, IBV_LINK_LAYER_ETHERNET);
		assert_int_equal(port.active_mtu, IBV_MTU_4096);
		ibv_close_device(context);
	}
}

static void test_each_address_is_a_gid_of_its_own_device_alone(void **state)
{
	struct ibv_context *ours = open_device(variable("RXE_DEVICE"));
	struct ibv_context *peers = open_device(variable("RXE_PEER_DEVICE"));
	struct ibv_gid_entry gid;

	assert_true(find_gid(ours, variable("RXE_ADDRESS"), &gid));
	assert_true(find_gid(ours, variable("RXE_ADDRESS6"), &gid));
	assert_false(find_gid(ours, variable("RXE_PEER_ADDRESS"), &gid));
	assert_true(find_gid(peers, variable("RXE_PEER_ADDRESS"), &gid));
	assert_true(find_gid(peers, variable("RXE_PEER_ADDRESS6"), &gid));
	assert_false(find_gid(peers, variable("RXE_ADDRESS"), &gid));
	ibv_close_device(peers);
	ibv_close_device(ours);
}

static void test_the_devices_can_what_one_sided_search_needs(void **state)
{
	struct ibv_context *context = open_device(variable("RXE_DEVICE"));
	struct ibv_device_attr attr;

	assert_int_equal(ibv_query_device(context, &attr), 0);
	assert_true(attr.device_cap_flags & IBV_DEVICE_MEM_WINDOW_TYPE_2B);
	assert_true(attr.max_qp_rd_atom >= 16);
	assert_true(attr.max_qp_init_rd_atom >= 16);
	assert_true(attr.max_srq > 0);
	ibv_close_device(context);
}

static void end_open(struct end *end, const char *device, const char *address)
{
	struct ibv_qp_init_attr attr = {
		.qp_type = IBV_QPT_RC,
		.cap = {.max_send_wr = 4, .max_recv_wr = 1, .max_send_sge = 1, .max_recv_sge = 1},
	};

	end->context = open_device(device);
	assert_true(find_gid(end->context, address, &end->gid));
	end->pd = ibv_alloc_pd(end->context);
	assert_non_null(end->pd);
	end->cq = ibv_create_cq(end->context, 4, NULL, NULL, 0);
	assert_non_null(end->cq);
	attr.send_cq = attr.recv_cq = end->cq;
	end->qp = ibv_create_qp(end->pd, &attr);
	assert_non_null(end->qp);
	end->bytes = mmap(NULL, SIZE, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
	assert_ptr_not_equal(end->bytes, MAP_FAILED);
	end->mr = ibv_reg_mr(end->pd, end->bytes, SIZE,
			     IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_READ | IBV_ACCESS_MW_BIND);
	assert_non_null(end->mr);
}

static void end_close(struct end *end)
{
	assert_int_equal(ibv_destroy_qp(end->qp), 0);
	assert_int_equal(ibv_dereg_mr(end->mr), 0);
	assert_int_equal(munmap(end->bytes, SIZE), 0);
	assert_int_equal(ibv_destroy_cq(end->cq), 0);
	assert_int_equal(ibv_dealloc_pd(end->pd), 0);
	assert_int_equal(ibv_close_device(end->context), 0);
}

/* Takes the queue pair from RESET to ready to send, joined to the peer's. */
static void end_join(struct end *end, const struct end *peer)
{
	struct ibv_qp_attr attr = {
		.qp_state = IBV_QPS_INIT,
		.port_num = 1,
		.qp_access_flags = IBV_ACCESS_REMOTE_READ,
	};

	assert_int_equal(
		ibv_modify_qp(end->qp, &attr,
			      IBV_QP_STATE | IBV_QP_PKEY_INDEX | IBV_QP_PORT | IBV_QP_ACCESS_FLAGS),
		0);
	attr = (struct ibv_qp_attr){
		.qp_state = IBV_QPS_RTR,
		.path_mtu = IBV_MTU_4096,
		.dest_qp_num = peer->qp->qp_num,
		.max_dest_rd_atomic = 4,
		.min_rnr_timer = 12,
		.ah_attr = {.is_global = 1,
			    .port_num = 1,
			    .grh = {.dgid = peer->gid.gid,
				    .sgid_index = (uint8_t)end->gid.gid_index,
				    .hop_limit = 1}},
	};
	assert_int_equal(ibv_modify_qp(end->qp, &attr,
				       IBV_QP_STATE | IBV_QP_AV | IBV_QP_PATH_MTU |
					       IBV_QP_DEST_QPN | IBV_QP_RQ_PSN |
					       IBV_QP_MAX_DEST_RD_ATOMIC | IBV_QP_MIN_RNR_TIMER),
			 0);
	attr = (struct ibv_qp_attr){
		.qp_state = IBV_QPS_RTS,
		.timeout = 14,
		.retry_cnt = 7,
		.rnr_retry = 7,
		.max_rd_atomic = 4,
	};
	assert_int_equal(ibv_modify_qp(end->qp, &attr,
				       IBV_QP_STATE | IBV_QP_TIMEOUT | IBV_QP_RETRY_CNT |
					       IBV_QP_RNR_RETRY | IBV_QP_SQ_PSN |
					       IBV_QP_MAX_QP_RD_ATOMIC),
			 0);
}

/* Posts it, signalled; the status that the device reports. */
static enum ibv_wc_status post(struct end *end, struct ibv_send_wr wr)
{
	struct ibv_send_wr *bad;
	struct ibv_wc wc;
	int count;

	wr.send_flags = IBV_SEND_SIGNALED;
	assert_int_equal(ibv_post_send(end->qp, &wr, &bad), 0);
	do
		count = ibv_poll_cq(end->cq, 1, &wc);
	while (count == 0);
	assert_int_equal(count, 1);
	return wc.status;
}

/* Reads all of the peer's page. */
static enum ibv_wc_status read_all(struct end *end, const struct end *peer, uint32_t rkey)
{
	struct ibv_sge sge = {.addr = (uintptr_t)end->bytes, .length = SIZE, .lkey = end->mr->lkey};

	return post(end, (struct ibv_send_wr){
				 .sg_list = &sge,
				 .num_sge = 1,
				 .opcode = IBV_WR_RDMA_READ,
				 .wr.rdma = {.remote_addr = (uintptr_t)peer->bytes, .rkey = rkey},
			 });
}

static void read_over_the_wire(const char *address, const char *peer_address)
{
	struct end ours, peers;

	end_open(&ours, variable("RXE_DEVICE"), address);
	end_open(&peers, variable("RXE_PEER_DEVICE"), peer_address);
	end_join(&ours, &peers);
	end_join(&peers, &ours);
	for (uint32_t i = 0; i < SIZE; i++)
		peers.bytes[i] = (uint8_t)(i * 7 + i / 256);
	assert_int_equal(read_all(&ours, &peers, peers.mr->rkey), IBV_WC_SUCCESS);
	assert_memory_equal(ours.bytes, peers.bytes, SIZE);
	assert_int_equal(read_all(&ours, &peers, peers.mr->rkey ^ 0xff), IBV_WC_REM_ACCESS_ERR);
	end_close(&peers);
	end_close(&ours);
}

static void test_huge_pages_are_read_over_ipv4_and_a_wrong_key_is_refused(void **state)
{
	read_over_the_wire(variable("RXE_ADDRESS"), variable("RXE_PEER_ADDRESS"));
}

static void test_huge_pages_are_read_over_ipv6_and_a_wrong_key_is_refused(void **state)
{
	read_over_the_wire(variable("RXE_ADDRESS6"), variable("RXE_PEER_ADDRESS6"));
}

static void test_a_window_of_type_2_ends_when_its_owner_invalidates_it(void **state)
{
	struct end ours, peers;
	struct ibv_mw *window;
	uint32_t rkey;

	end_open(&ours, variable("RXE_DEVICE"), variable("RXE_ADDRESS"));
	end_open(&peers, variable("RXE_PEER_DEVICE"), variable("RXE_PEER_ADDRESS"));
	end_join(&ours, &peers);
	end_join(&peers, &ours);
	window = ibv_alloc_mw(peers.pd, IBV_MW_TYPE_2);
	assert_non_null(window);
	rkey = ibv_inc_rkey(window->rkey);
	assert_int_equal(
		post(&peers,
		     (struct ibv_send_wr){
			     .opcode = IBV_WR_BIND_MW,
			     .bind_mw = {.mw = window,
					 .rkey = rkey,
					 .bind_info =
						 {
							 .mr = peers.mr,
							 .addr = (uintptr_t)peers.bytes,
							 .length = SIZE,
							 .mw_access_flags = IBV_ACCESS_REMOTE_READ,
						 }},
		     }),
		IBV_WC_SUCCESS);
	memset(peers.bytes, 0x5a, SIZE);
	assert_int_equal(read_all(&ours, &peers, rkey), IBV_WC_SUCCESS);
	assert_memory_equal(ours.bytes, peers.bytes, SIZE);
	assert_int_equal(post(&peers, (struct ibv_send_wr){.opcode = IBV_WR_LOCAL_INV,
							   .invalidate_rkey = rkey}),
			 IBV_WC_SUCCESS);
	assert_int_equal(read_all(&ours, &peers, rkey), IBV_WC_REM_ACCESS_ERR);
	assert_int_equal(ibv_dealloc_mw(window), 0);
	end_close(&peers);
	end_close(&ours);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_both_devices_have_an_active_port),
		cmocka_unit_test(test_each_address_is_a_gid_of_its_own_device_alone),
		cmocka_unit_test(test_the_devices_can_what_one_sided_search_needs),
		cmocka_unit_test(test_huge_pages_are_read_over_ipv4_and_a_wrong_key_is_refused),
		cmocka_unit_test(test_huge_pages_are_read_over_ipv6_and_a_wrong_key_is_refused),
		cmocka_unit_test(test_a_window_of_type_2_ends_when_its_owner_invalidates_it),
	};

	if (!getenv("RXE_DEVICE")) {
		printf("skipped: no verbs devices; start it with tests/rxe/run\n");
		return TEST_SKIP;
	}
	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
