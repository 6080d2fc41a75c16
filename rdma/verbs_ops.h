/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Verbs_ops - the verbs that Tern uses, as a table
 *
 * The seam between rdma/ and the devices: verbs_ops_real() calls libibverbs and
 * librdmacm, and tests put a provider in memory there, which drops, delays,
 * repeats and fails what hardware seldom does.
 *
 * Threads: as libibverbs says.
 */

#include <infiniband/verbs.h>
#include <rdma/rdma_cma.h>

struct verbs_ops;
