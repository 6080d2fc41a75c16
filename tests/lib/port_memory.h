/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Port memory - two queues joined in memory, for tests
 *
 * What one sends the other receives, in order, nothing lost. A frame that was
 * released is overwritten, so that whoever still reads it reads nonsense.
 * Frames that are out are counted: at the end of a test it must be none.
 * port_memory_rdma.c has the same functions over a port on verbs devices in memory.
 *
 * Threads: both queues belong to one thread.
 */

#include "proto/port.h"

#include <stdint.h>

#define PORT_MEMORY_FRAME_MAX  4096
#define PORT_MEMORY_FRAME_SIZE 1452

struct port_memory_frame {
	uint32_t size;
	uint8_t bytes[PORT_MEMORY_FRAME_SIZE];
};

struct port_memory {
	struct port_queue queue; /* first, so that a queue is cast to its port */
	struct port_memory *peer;
	uint32_t head;                    /* next to hand out */
	uint32_t tail;                    /* next free; frames between them wait here */
	uint32_t out;                     /* handed out and not released */
	uint32_t dropped;                 /* sent to a peer that was full */
	struct port_memory_frame *frames; /* owned */
	struct port *carrier;             /* over RDMA alone; owned */
};

/* Joins 'a' and 'b', which have the addresses 127.0.0.1:1 and 127.0.0.1:2. */
void port_memory_init(struct port_memory *a, struct port_memory *b);
void port_memory_deinit(struct port_memory *port);
