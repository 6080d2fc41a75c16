/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Salvage model - transactions that can be told apart in what salvage leaves
 *
 * Each transaction puts keys, vectors and edges that no other one puts, and may take back some of
 * those before. So of any subset of the transactions it is known what a store holds that has just
 * these, each whole: what its first keys say is there decides what else has to be. Some are a
 * single key, outside of any transaction of the log.
 *
 * Equal seeds make equal transactions.
 *
 * Threads: one.
 */

#include "base/rand.h"
#include "engine/store.h"

#include <stdbool.h>
#include <stdint.h>

#define SALVAGE_TX_MAX     400
#define SALVAGE_KEY_MAX    5
#define SALVAGE_VECTOR_MAX 2
#define SALVAGE_EDGE_MAX   4
#define SALVAGE_NODES      8

/* Transactions are numbered from 1. */
struct salvage_tx {
	uint64_t lsn;       /* of its commit, or of the single record */
	uint32_t key_count; /* at least 1; the first is never taken back */
	uint32_t vector_count;
	uint32_t edge_count;
	uint32_t sources[SALVAGE_EDGE_MAX];
	uint32_t key_gone[SALVAGE_KEY_MAX]; /* the transaction that takes it back, or 0 */
	uint32_t edge_gone[SALVAGE_EDGE_MAX];
};

struct salvage_model {
	struct rand rand;
	struct salvage_tx txs[SALVAGE_TX_MAX + 1];
	uint32_t count;
	bool only_adds; /* since nobody knows what is there to be taken back */
};

void salvage_model_init(struct salvage_model *model, uint64_t seed);

/* Makes one transaction and commits it; a failure fails the test. */
void salvage_model_step(struct salvage_model *model, struct store *store);

/* Fails the test unless the store holds each transaction whole or not at all, in key space and
 * graph, the neighbours in the order of the transactions. 'applied' is of count + 1. */
void salvage_model_check(const struct salvage_model *model, struct store *store, bool *applied);
