/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Topo - the machine's cores, memory and network cards, and who polls where
 *
 * A core here is what the kernel schedules on, a hardware thread, by the number
 * that taskset(1) and /proc/cpuinfo have. hwloc tells which cores there are,
 * which of them share a physical core, a cache or a NUMA node, and near which
 * node a network card sits; topo_plan() chooses the poll cores from that.
 *
 * Three sets matter. The cgroup's cpuset is hard: the kernel refuses other
 * cores. The affinity that the process was started with (taskset, systemd's
 * CPUAffinity=) binds the automatic choice only. Isolated cores (isolcpus=)
 * stand in no affinity by default, are made for polling, and are taken first.
 *
 * Memory follows the cores: topo_plan() gives each core's node, to which its
 * arena is bound (base/arena.h).
 *
 * Threads: one at a time; at start and in tools.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct topo;

/* Cores of a machine that are looked at. */
#define TOPO_CORE_MAX 4096

/* Poll cores of a plan. */
#define TOPO_PLAN_MAX 64

/* Bytes of an error of topo_plan(), final zero included. */
#define TOPO_ERROR_MAX 512

/* NUMA node of what has none, or more than one. */
#define TOPO_NODE_NONE (-1)

struct topo_options {
	const char *xml;      /* hwloc's XML of a machine; NULL: this machine */
	const char *isolated; /* isolated cores, "2-3", for an XML machine; NULL: none */
};

struct topo_core {
	uint32_t number;   /* the kernel's */
	uint32_t physical; /* index of its physical core, from 0 */
	uint32_t sibling;  /* 0: first hardware thread of its physical core */
	int numa_node;
	bool allowed;  /* in the cgroup's cpuset */
	bool affine;   /* in the process' affinity */
	bool isolated; /* kept free of other work by the kernel */
};

struct topo_summary {
	uint32_t package_count;
	uint32_t node_count;
	uint32_t physical_count;
	uint32_t core_count;
	uint32_t allowed_count;
	uint64_t l1d_size; /* of one cache, bytes; 0 when unknown */
	uint64_t l2_size;
	uint64_t l3_size;
};

struct topo_plan_options {
	uint32_t count;        /* cores wanted; not looked at when cores are listed */
	const uint16_t *cores; /* listed ones, 'core_count' of them */
	uint32_t core_count;   /* 0: choose */
	int nic_node;          /* of the network card, or TOPO_NODE_NONE */
};

struct topo_plan {
	uint32_t count;
	struct {
		uint16_t core;
		int numa_node;
	} polls[TOPO_PLAN_MAX];
};

/*
 * Looks at the machine. The caller owns '*ret_topo'.
 *
 * Returns 0, -EINVAL (the XML is none, or the list isn't), -ENOMEM, or what
 * hwloc said.
 */
int topo_new(const struct topo_options *options, struct topo **ret_topo);
void topo_free(struct topo *topo);

void topo_summarise(const struct topo *topo, struct topo_summary *ret_summary);

uint32_t topo_core_count(const struct topo *topo);

/* Writes the numbers of the cores in the cpuset as a list, "0-3,5". */
void topo_allowed(const struct topo *topo, char *to, size_t size);

/* Cores by number; 'index' is below topo_core_count(). Borrows until topo_free(). */
const struct topo_core *topo_core_at(const struct topo *topo, uint32_t index);

/* NULL when the machine has no core of that number. */
const struct topo_core *topo_core_find(const struct topo *topo, uint32_t number);

/*
 * The NUMA node near which a network card sits. 'device' is what port.device
 * has: a PCI address with or without domain and options ("3b:00.0,..."), or a
 * virtual device over an interface ("net_af_xdp0,iface=eth1"); an interface's
 * name alone does too. TOPO_NODE_NONE for what is near no node or not known.
 */
int topo_nic_node(const struct topo *topo, const char *device);

/*
 * Chooses the cores that poll. Listed ones are taken in their order when they
 * are there, allowed and listed once. Else: isolated cores first, then a thread
 * of each physical core before any sibling, then the card's node before others,
 * and core 0's physical core last, because the kernel's own work sits there.
 *
 * Returns 0; or -EINVAL, 'error' says which core is wrong and what to do, and
 * '*ret_plan' is as it was.
 */
int topo_plan(const struct topo *topo, const struct topo_plan_options *options,
	      struct topo_plan *ret_plan, char *error, size_t error_size);

/* Binds the calling thread to one core. Returns 0 or a negative errno. */
int topo_bind(uint32_t core);
