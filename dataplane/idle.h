/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Idle - how a core waits when there is nothing to do
 *
 * Each empty turn of the loop waits once; the longer it has been empty, the
 * deeper, so that a loaded core answers at once and an idle node burns nothing:
 *
 *      busy_ns         poll again at once (one pause instruction)
 *      then relax_ns   pause for some microseconds: umwait's sibling tpause where
 *                      the processor has it (WAITPKG), else a run of pauses
 *      then            sleep: epoll on the port's descriptor and the core's box
 *                      until the next thing is due; a port without a descriptor
 *                      is looked at every IDLE_SLEEP_NS_MIN to IDLE_SLEEP_NS_MAX
 *
 * Any work starts over.
 *
 * Threads: belongs to one core.
 */

#include <stdbool.h>
#include <stdint.h>

#define IDLE_SLEEP_NS_MIN UINT64_C(50000)
#define IDLE_SLEEP_NS_MAX UINT64_C(1000000)

struct idle_config {
	uint64_t busy_ns;
	uint64_t relax_ns;
	int port_fd; /* -1: the port can only be polled */
	int wake_fd; /* of the core's box; -1: none */
};

#define IDLE_STAT_LIST(IDLE_STAT)                                                                  \
	IDLE_STAT(idle_polls)  /* empty turns, polled on */                                        \
	IDLE_STAT(idle_pauses) /* empty turns, paused */                                           \
	IDLE_STAT(idle_sleeps) /* empty turns, slept */                                            \
	IDLE_STAT(idle_slept_ns)

struct idle_stats {
#define IDLE_STAT_FIELD(name) uint64_t name;
	IDLE_STAT_LIST(IDLE_STAT_FIELD)
#undef IDLE_STAT_FIELD
};

struct idle {
	struct idle_config config;
	struct idle_stats stats;
	uint64_t since_ns; /* when the last work was */
	uint64_t sleep_ns; /* how long the next blind sleep is */
	int epoll_fd;      /* owned; -1 when the port has no descriptor */
	bool tpause;
};

/* Returns 0 or a negative errno. */
int idle_init(struct idle *idle, const struct idle_config *config, uint64_t now_ns);
void idle_deinit(struct idle *idle);

/* There was work: the next wait is a short one again. */
static inline void idle_reset(struct idle *idle, uint64_t now_ns)
{
	idle->since_ns = now_ns;
	idle->sleep_ns = IDLE_SLEEP_NS_MIN;
}

/* Is idle_wait() going to sleep? The port has to know before: see port_wait_fd(). */
static inline bool idle_will_sleep(const struct idle *idle, uint64_t now_ns, uint64_t due_ns)
{
	return due_ns > now_ns &&
	       now_ns - idle->since_ns >= idle->config.busy_ns + idle->config.relax_ns;
}

/* Waits once, at most until 'due_ns'. Returns true when it slept. */
bool idle_wait(struct idle *idle, uint64_t now_ns, uint64_t due_ns);
