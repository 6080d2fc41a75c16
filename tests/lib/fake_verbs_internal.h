/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Fake_verbs_internal - what the three files of the fake provider share
 *
 *      fake_verbs.c        the world, devices, memory
 *      fake_verbs_queue.c  queues, and carrying out what is posted
 *      fake_verbs_cm.c     connections
 *
 * Threads: one.
 */

#include "base/rand.h"
#include "tests/lib/fake_verbs.h"

#define FAKE_SGE_MAX 32

/* Ends the program: a device would corrupt memory, or hang. */
#define FAKE_REQUIRE(condition)                                                                    \
	do {                                                                                       \
		if (!(condition))                                                                  \
			fake_breach(__FILE__, __LINE__, #condition);                               \
	} while (0)
_Noreturn void fake_breach(const char *file, int line, const char *condition);

struct fake_async {
	struct fake_async *next;
	struct ibv_async_event event;
};

struct fake_context {
	struct ibv_context base;
	struct fake_context *next;
	struct fake_async *events;
	unsigned children; /* protection domains, completion queues and channels */
};

struct fake_pd {
	struct ibv_pd base;
	unsigned children;
};

struct fake_mr {
	struct ibv_mr base;
	struct fake_mr *next;
	int access;
	unsigned windows; /* bound to it */
};

struct fake_mw {
	struct ibv_mw base;
	struct fake_mw *next;
	struct fake_mr *mr; /* NULL: not bound */
	struct ibv_qp *qp;
	uint32_t rkey; /* as bound */
	uint64_t addr;
	uint64_t length;
	unsigned access;
};

struct fake_channel {
	struct ibv_comp_channel base;
	unsigned pending; /* events */
	unsigned children;
	struct ibv_cq *cq; /* the only one, or NULL */
};

struct fake_completion {
	struct ibv_wc wc;
	uint64_t send_number; /* of a send request: frees its place and all before; else 0 */
};

struct fake_cq {
	struct ibv_cq base;
	struct fake_cq *next;
	struct fake_completion *ring;
	unsigned head, count;
	unsigned children;
	unsigned unacked;
	bool armed;
};

struct fake_recv {
	uint64_t wr_id;
	unsigned sge_count;
	struct ibv_sge sges[FAKE_SGE_MAX];
};

struct fake_recv_queue {
	struct fake_recv *ring;
	unsigned head, count, max;
	unsigned sge_max;
};

struct fake_srq {
	struct ibv_srq base;
	struct fake_recv_queue queue;
	unsigned children;
};

struct fake_send {
	struct ibv_send_wr wr;
	struct ibv_sge sges[FAKE_SGE_MAX];
	uint64_t number;
};

struct fake_qp {
	struct ibv_qp base;
	struct fake_qp *next;
	struct ibv_qp_init_attr init;
	enum ibv_qp_state state;
	unsigned access;
	uint32_t dest_qp_num;
	uint8_t reads_out, reads_in;
	struct fake_send *ring; /* posted, not carried out */
	unsigned head, count;
	uint64_t posted;    /* number of the last one posted, from 1 */
	uint64_t retired;   /* number of the last one whose place is free again */
	unsigned delay;     /* looks */
	unsigned windows;   /* bound to it */
	bool delayed_front; /* the first one was delayed already */
	struct fake_recv_queue recvs;
};

struct fake_event {
	struct fake_event *next;
	struct rdma_cm_event event;
	uint8_t bytes[256];
};

struct fake_event_channel {
	struct rdma_event_channel base;
	struct fake_event *events;
	unsigned ids;
};

struct fake_id {
	struct rdma_cm_id base;
	struct fake_id *next;
	struct fake_id *peer;
	enum {
		FAKE_ID_IDLE,
		FAKE_ID_LISTENING,
		FAKE_ID_ASKING,
		FAKE_ID_ASKED,
		FAKE_ID_CONNECTED,
		FAKE_ID_OVER
	} state;
	bool bound_any;
	uint32_t qp_num, peer_qp_num;
	uint8_t reads_in, reads_out;
	unsigned unacked;
};

struct fake_world {
	struct fake_verbs_config config;
	struct rand rand;
	struct fake_verbs_faults faults;
	struct ibv_device devices[FAKE_VERBS_DEVICE_MAX];
	struct fake_context cm_contexts[FAKE_VERBS_DEVICE_MAX]; /* librdmacm's own */
	bool removed[FAKE_VERBS_DEVICE_MAX];
	bool cut;
	unsigned slow_addresses;
	unsigned live;
	unsigned calls;
	unsigned fail_at;
	uint64_t not_ready;
	uint32_t next_key;
	uint16_t next_port;
	struct fake_context *contexts;
	struct fake_mr *mrs;
	struct fake_mw *mws;
	struct fake_cq *cqs;
	struct fake_qp *qps;
	struct fake_id *ids;
	fake_verbs_mangle_fn mangle;
	void *mangle_context;
	fake_verbs_mangle_fn mangle_send;
	void *mangle_send_context;
};

extern struct fake_world fake_world;

/* Counts a call; true when it is to fail, with errno set. */
bool fake_fails(void);

/* Memory of an object, counted as live. */
void *fake_make(size_t size);
void fake_unmake(void *object);

unsigned fake_device_index(const struct ibv_device *device);

/* A descriptor that is readable while 'raise' is told true. */
int fake_fd_make(void);
void fake_fd_set(int fd, bool readable);

void fake_async_push(struct fake_context *context, struct ibv_async_event event);

/* The bytes of a local piece, or NULL when its key doesn't allow that. */
uint8_t *fake_local(const struct ibv_pd *pd, const struct ibv_sge *sge, int access);

/* Those of a remote one, read through 'qp'. */
const uint8_t *fake_remote(const struct fake_qp *qp, uint64_t addr, uint64_t size, uint32_t rkey);

/* Of windows; the status of the completion. */
enum ibv_wc_status fake_bind(struct fake_qp *qp, const struct ibv_send_wr *wr);
enum ibv_wc_status fake_invalidate(struct fake_qp *qp, uint32_t rkey);

/* Into the error state: everything posted is flushed. */
void fake_qp_break(struct fake_qp *qp);
struct fake_qp *fake_qp_find(uint32_t qp_num);

/* Carries out what is posted, as far as it goes at one look. */
void fake_run(void);

/* An event for every connection of a device. */
void fake_cm_remove(unsigned device);

/* Parts of the table. */
void fake_queue_ops(struct verbs_ops *ops);
void fake_cm_ops(struct verbs_ops *ops);
