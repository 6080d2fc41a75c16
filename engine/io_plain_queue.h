/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Io plain queue - a queue whose operations a helper thread does
 *
 * The owner puts an operation into one ring, the helper does it by blocking calls,
 * in order, and puts it into another, from which the owner polls it.
 *
 * Threads: as io.h says of queues; the helper is the queue's own.
 */

#include "engine/io.h"

int io_plain_queue_new(struct io *io, uint32_t depth, struct io_queue **ret_queue);
void io_plain_queue_free(struct io_queue *queue);
int io_plain_queue_register(struct io_queue *queue, void *bytes, size_t size);
void io_plain_queue_submit(struct io_queue *queue, struct io_op *op);
uint32_t io_plain_queue_poll(struct io_queue *queue, struct io_op **ret_ops, uint32_t max);
void io_plain_queue_wait(struct io_queue *queue);
