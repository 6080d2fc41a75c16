/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Machine - what of this machine Tern can use, and what would mend the rest
 *
 * Reads /proc, /sys, /dev and the folder of DPDK's drivers, all below a root that
 * tests replace. Nothing is changed and no privilege is needed. What is missing
 * becomes a finding: what it is, why it matters, and the line that mends it.
 * Cores and caches are base/topo's.
 *
 * Threads: one at a time.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MACHINE_INTERFACE_MAX 64 /* network interfaces looked at */
#define MACHINE_RDMA_MAX      16 /* RDMA devices looked at */
#define MACHINE_FINDING_MAX   16 /* each of the checks finds at most one thing */
#define MACHINE_NAME_MAX      64 /* bytes of a device's name, the final zero included */
#define MACHINE_TEXT_MAX      192

/* DPDK drivers that Tern is tried with, and how they are usable. */
enum machine_driver_id {
	MACHINE_MEMIF,     /* to a process on this host: needs nothing */
	MACHINE_AF_PACKET, /* any interface, through the kernel */
	MACHINE_AF_XDP,    /* any interface, past most of the kernel */
	MACHINE_TAP,       /* an interface of its own */
	MACHINE_MLX5,      /* shares its port with the kernel */
	MACHINE_VFIO,      /* drivers that take a network card away from the kernel */
	MACHINE_DRIVER_COUNT
};

struct machine_driver {
	const char *name;
	bool usable;
	char why_not[MACHINE_TEXT_MAX]; /* "" when usable */
};

struct machine_interface {
	char name[MACHINE_NAME_MAX];
	char driver[MACHINE_NAME_MAX]; /* the kernel's; "" for a virtual one */
	int numa_node;                 /* -1: none or unknown */
	bool up;
};

struct machine_rdma {
	char name[MACHINE_NAME_MAX];
	char state[MACHINE_NAME_MAX]; /* of port 1: "ACTIVE", "DOWN", ... */
	bool usable;                  /* active, and its user-space side opens it */
};

struct machine_finding {
	const char *what;
	char why[MACHINE_TEXT_MAX];
	char mend[MACHINE_TEXT_MAX]; /* a line for a shell, or a sentence where there is none */
};

struct machine_pages {
	uint64_t total, free; /* pages reserved */
};

struct machine {
	struct machine_pages huge_2m, huge_1g;
	bool hugetlbfs;        /* mounted: DPDK processes can share huge pages */
	bool transparent_huge; /* madvise() or always: memory may be of huge pages */
	uint64_t memlock;      /* bytes; UINT64_MAX: no limit */
	bool waitpkg;          /* umwait: idle poll cores without burning */
	struct machine_driver drivers[MACHINE_DRIVER_COUNT];
	struct machine_interface interfaces[MACHINE_INTERFACE_MAX];
	uint32_t interface_count;
	struct machine_rdma rdma[MACHINE_RDMA_MAX];
	uint32_t rdma_count;
	struct machine_finding findings[MACHINE_FINDING_MAX];
	uint32_t finding_count;
};

/* An RDMA device that libibverbs knows. */
struct machine_verbs {
	const char *name;
	const char *why_not; /* it can't be used: why, and what to do; NULL: it can */
};

struct machine_options {
	const char *root;          /* in front of every path; "" for this machine */
	const char *driver_folder; /* has DPDK's pmds-VERSION folder */
	uint64_t memlock;          /* RLIMIT_MEMLOCK, bytes; UINT64_MAX: no limit */
	const struct machine_verbs *verbs;
	uint32_t verbs_count;
	uint32_t isolated_count; /* cores kept free by the kernel */
};

/* Looks around. What can't be read counts as not there. */
void machine_look(const struct machine_options *options, struct machine *ret_machine);
