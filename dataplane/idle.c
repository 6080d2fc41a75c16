/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/idle.h"

#include "base/clock.h"
#include "base/defs.h"

#include <errno.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#ifdef __x86_64__
#include <cpuid.h>
#include <immintrin.h>
#endif

/* A pause of the middle stage: some microseconds, so that a frame hardly waits for it. */
#define TPAUSE_TICKS 8192
#define PAUSE_COUNT  64

/* An epoll lasts at most this long, whatever is due. */
#define SLEEP_MS_MAX 1000

#ifdef __x86_64__
static bool tpause_supported(void)
{
	unsigned a;
	unsigned b;
	unsigned c;
	unsigned d;

	return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (c & bit_WAITPKG);
}

/* C0.2, the deeper of the two states; the counter's deadline ends it. */
__attribute__((target("waitpkg"))) static void tpause_once(void)
{
	(void)_tpause(0, __builtin_ia32_rdtsc() + TPAUSE_TICKS);
}

static inline void pause_once(void)
{
	_mm_pause();
}
#else
static bool tpause_supported(void)
{
	return false;
}

static void tpause_once(void)
{
}

static inline void pause_once(void)
{
	__asm__ volatile("" ::: "memory");
}
#endif

static int epoll_add(int epoll_fd, int fd)
{
	struct epoll_event event = {.events = EPOLLIN};

	return epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) ? -errno : 0;
}

int idle_init(struct idle *idle, const struct idle_config *config, uint64_t now_ns)
{
	int r;

	*idle = (struct idle){
		.config = *config,
		.epoll_fd = -1,
		.tpause = tpause_supported(),
	};
	idle_reset(idle, now_ns);
	if (config->port_fd < 0)
		return 0;
	idle->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (idle->epoll_fd < 0)
		return -errno;
	r = epoll_add(idle->epoll_fd, config->port_fd);
	if (!r && config->wake_fd >= 0)
		r = epoll_add(idle->epoll_fd, config->wake_fd);
	if (r)
		idle_deinit(idle);
	return r;
}

void idle_deinit(struct idle *idle)
{
	if (idle->epoll_fd >= 0)
		close(idle->epoll_fd);
	idle->epoll_fd = -1;
}

static void pause_some(const struct idle *idle)
{
	if (idle->tpause) {
		tpause_once();
		return;
	}
	for (unsigned i = 0; i < PAUSE_COUNT; i++)
		pause_once();
}

/* Rounded up: sleeping a millisecond too short would be a turn for nothing. */
static int sleep_ms(uint64_t now_ns, uint64_t due_ns)
{
	uint64_t ms = (due_ns - now_ns + NS_PER_MS - 1) / NS_PER_MS;

	return (int)MIN(ms, (uint64_t)SLEEP_MS_MAX);
}

static void sleep_some(struct idle *idle, uint64_t now_ns, uint64_t due_ns)
{
	struct epoll_event events[2];
	struct timespec pause;

	if (idle->epoll_fd >= 0) {
		/* What is readable is found by the next turn; an interruption is a turn too early.
		 */
		(void)epoll_wait(idle->epoll_fd, events, ARRAY_COUNT(events),
				 sleep_ms(now_ns, due_ns));
		return;
	}
	pause = (struct timespec){.tv_nsec = (long)MIN(idle->sleep_ns, due_ns - now_ns)};
	nanosleep(&pause, NULL);
	idle->sleep_ns = MIN(idle->sleep_ns * 2, IDLE_SLEEP_NS_MAX);
}

bool idle_wait(struct idle *idle, uint64_t now_ns, uint64_t due_ns)
{
	uint64_t idle_ns = now_ns - idle->since_ns;

	if (idle_ns < idle->config.busy_ns || due_ns <= now_ns) {
		idle->stats.idle_polls++;
		pause_once();
		return false;
	}
	if (idle_ns < idle->config.busy_ns + idle->config.relax_ns) {
		idle->stats.idle_pauses++;
		pause_some(idle);
		return false;
	}
	sleep_some(idle, now_ns, due_ns);
	idle->stats.idle_sleeps++;
	idle->stats.idle_slept_ns += clock_now_ns() - now_ns;
	return true;
}
