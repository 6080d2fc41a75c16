/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/export.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/defs.h"
#include "base/log.h"
#include "base/stat.h"
#include "dataplane/catalog.h"
#include "dataplane/export_shm.h"
#include "dataplane/export_verbs.h"

#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* Events of one epoll_wait(); the others come with the next. */
#define EVENT_MAX 8

#define SECRET_SIZE 32

/* What a shard's regions are; main asks, the thread does the rest. */
enum shard_state {
	SHARD_GRANTING,
	SHARD_WITHDRAW, /* asked for */
	SHARD_ENDING,
	SHARD_ENDED,
};

struct export
{
	struct export_config config;
	uint8_t secret[SECRET_SIZE];
	struct export_info info;
	struct catalog *catalog;    /* owned, as all below */
	struct export_verbs *verbs; /* NULL: there are none */
	struct export_shm *shm;     /* NULL: there is none */
	struct export_desk *desks;  /* one a core */
	int wake_fd;                /* -1: none yet; so is the next */
	int epoll_fd;
	struct export_stats counts;    /* this file's own */
	struct export_stats shown;     /* all together, for other threads */
	_Atomic uint8_t *shard_states; /* enum shard_state, one a shard */
	uint32_t ending_count;         /* the thread's: shards that are SHARD_ENDING */
	_Atomic bool withdraws;        /* some shard is SHARD_WITHDRAW */
	pthread_t thread;
	bool started;
	_Atomic bool stopping;
};

/* --- desks --- */

static void wake(int fd)
{
	/* It fails only when the counter is full of wake-ups, and then the sleeper wakes up. */
	(void)!write(fd, &(uint64_t){1}, sizeof(uint64_t));
}

void export_desk_init(struct export_desk *desk, int export_fd)
{
	spsc_init(&desk->asks, desk->ask_slots, EXPORT_ASK_MAX);
	spsc_init(&desk->answers, desk->answer_slots, EXPORT_ASK_MAX);
	desk->export_fd = export_fd;
	desk->core_fd = -1;
}

bool export_ask(struct export_desk *desk, struct export_ask *ask)
{
	ask->desk = desk;
	if (!spsc_put_pointer(&desk->asks, ask))
		return false;
	/* A system call on a poll core, which doesn't block; a peer asks once in a lease. */
	wake(desk->export_fd);
	return true;
}

static void ask_answered(void *context, struct export_ask *ask)
{
	struct export *export = context;
	struct export_desk *desk = ask->desk;
	int core_fd = desk->core_fd;

	export->counts.grants += ask->answer.available;
	export->counts.refusals += !ask->answer.available;
	/* A core has no more under way than the ring has room for. */
	CHECK(spsc_put_pointer(&desk->answers, ask));
	if (core_fd >= 0)
		wake(core_fd);
}

static void refuse(struct export *export, struct export_ask *ask, const char *reason)
{
	ask->answer = region_refusal(reason);
	ask_answered(export, ask);
}

static uint8_t shard_state(const struct export *export, uint32_t shard)
{
	/* Acquire: who sees the end sees what was done for it. Pairs with withdraw_end(). */
	return atomic_load_explicit(&export->shard_states[shard], memory_order_acquire);
}

static void decide(struct export *export, struct export_ask *ask, uint64_t now_ns)
{
	uint32_t lease_ms =
		MAX(MIN(ask->lease_ms, export->config.lease_ms_max), (uint32_t)EXPORT_LEASE_MS_MIN);
	struct catalog_region region;

	export->counts.asks++;
	if (shard_state(export, catalog_shard_place(export->catalog, ask->shard)) != SHARD_GRANTING)
		refuse(export, ask, REGION_MOVED);
	else if (catalog_find(export->catalog, ask->shard, &ask->name, &region))
		refuse(export, ask, REGION_UNKNOWN);
	else if (ask->transport == REGION_TRANSPORT_VERBS && export->verbs)
		export_verbs_ask(export->verbs, ask, &region, lease_ms, now_ns);
	else if (ask->transport == REGION_TRANSPORT_SHM && export->shm)
		export_shm_ask(export->shm, ask, &region, lease_ms, now_ns);
	else
		refuse(export, ask, REGION_UNSUPPORTED);
}

static void take_asks(struct export *export, uint64_t now_ns)
{
	for (uint32_t i = 0; i < export->config.core_count; i++) {
		struct export_ask *ask;

		while ((ask = spsc_get_pointer(&export->desks[i].asks)))
			decide(export, ask, now_ns);
	}
}

/* --- withdrawing --- */

void export_withdraw(struct export *export, const struct shard *shard)
{
	uint32_t index = catalog_shard_place(export->catalog, shard);
	uint8_t granting = SHARD_GRANTING;

	if (!atomic_compare_exchange_strong_explicit(&export->shard_states[index], &granting,
						     SHARD_WITHDRAW, memory_order_relaxed,
						     memory_order_relaxed))
		return;
	/* Release: who sees the flag sees the state. Pairs with withdraw(). */
	atomic_store_explicit(&export->withdraws, true, memory_order_release);
	wake(export->wake_fd);
}

bool export_withdrawn(const struct export *export, const struct shard *shard)
{
	return shard_state(export, catalog_shard_place(export->catalog, shard)) == SHARD_ENDED;
}

static void withdraw_begin(struct export *export, uint32_t shard, uint64_t now_ns)
{
	if (export->verbs)
		export_verbs_withdraw(export->verbs, shard, now_ns);
	if (export->shm)
		export_shm_withdraw(export->shm, shard);
	atomic_store_explicit(&export->shard_states[shard], SHARD_ENDING, memory_order_relaxed);
	export->ending_count++;
}

static void withdraw_end(struct export *export, uint32_t shard)
{
	if (export->verbs && !export_verbs_withdrawn(export->verbs, shard))
		return;
	export->ending_count--;
	/* Release: no key is left. Pairs with shard_state(). */
	atomic_store_explicit(&export->shard_states[shard], SHARD_ENDED, memory_order_release);
}

static void withdraw(struct export *export, uint64_t now_ns)
{
	/* Acquire: pairs with export_withdraw(). */
	bool asked = atomic_exchange_explicit(&export->withdraws, false, memory_order_acquire);

	if (!asked && !export->ending_count)
		return;
	for (uint32_t i = 0; i < export->config.shards->count; i++) {
		if (shard_state(export, i) == SHARD_WITHDRAW)
			withdraw_begin(export, i, now_ns);
		if (shard_state(export, i) == SHARD_ENDING)
			withdraw_end(export, i);
	}
}

/* --- counters --- */

/* Other threads see whole numbers: each is written once a turn. */
static void show_stats(struct export *export)
{
	struct export_stats now = export->counts;

	if (export->verbs)
		export_verbs_stats(export->verbs, &now);
	if (export->shm)
		export_shm_stats(export->shm, &now);
#define SHOW(name) stat_set(&export->shown.name, now.name);
	EXPORT_COUNTER_LIST(SHOW)
	EXPORT_GAUGE_LIST(SHOW)
#undef SHOW
}

struct export_stats export_stats(const struct export *export)
{
	struct export_stats stats;

#define READ(name) stats.name = stat_read(&export->shown.name);
	EXPORT_COUNTER_LIST(READ)
	EXPORT_GAUGE_LIST(READ)
#undef READ
	return stats;
}

/* --- turns --- */

static void rest_wake_fd(struct export *export)
{
	uint64_t count;

	/* Nothing to read is as good as something read. */
	(void)!read(export->wake_fd, &count, sizeof(count));
}

/* What the device counted stays counted. */
static void lose_verbs(struct export *export)
{
	log_warning("device %s is gone; regions are no longer exported by verbs",
		    export_verbs_device(export->verbs)->name);
	export_verbs_retire(export->verbs, &export->counts);
	export_verbs_close(export->verbs);
	export->verbs = NULL;
}

void export_turn(struct export *export, uint64_t now_ns)
{
	rest_wake_fd(export);
	take_asks(export, now_ns);
	if (export->verbs && !export_verbs_turn(export->verbs, now_ns))
		lose_verbs(export);
	if (export->shm)
		export_shm_turn(export->shm, now_ns);
	withdraw(export, now_ns);
	show_stats(export);
}

/* Milliseconds until something runs out, rounded up; -1: nothing does. */
static int timeout_ms(const struct export *export, uint64_t now_ns)
{
	uint64_t due_ns = UINT64_MAX;

	if (export->verbs)
		due_ns = export_verbs_due_ns(export->verbs);
	if (export->shm)
		due_ns = MIN(due_ns, export_shm_due_ns(export->shm));
	if (due_ns == UINT64_MAX)
		return -1;
	if (due_ns <= now_ns)
		return 0;
	return (int)MIN((due_ns - now_ns + NS_PER_MS - 1) / NS_PER_MS, (uint64_t)INT_MAX);
}

static void *thread_main(void *argument)
{
	struct export *export = argument;
	struct epoll_event events[EVENT_MAX];

	pthread_setname_np(pthread_self(), "tern-export");
	/* Acquire: pairs with export_close(). */
	while (!atomic_load_explicit(&export->stopping, memory_order_acquire)) {
		export_turn(export, clock_now_ns());
		/* Whoever has something looks for itself; interrupted is as good as woken. */
		(void)epoll_wait(export->epoll_fd, events, EVENT_MAX,
				 timeout_ms(export, clock_now_ns()));
		export->counts.wakeups++;
	}
	return NULL;
}

/* --- life --- */

static int watch(struct export *export, int fd)
{
	struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};

	return epoll_ctl(export->epoll_fd, EPOLL_CTL_ADD, fd, &event) ? -errno : 0;
}

static int open_wait(struct export *export)
{
	export->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	export->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (export->wake_fd < 0 || export->epoll_fd < 0)
		return -errno;
	return watch(export, export->wake_fd);
}

static int open_desks(struct export *export)
{
	uint32_t count = export->config.core_count;

	export->shard_states = calloc(export->config.shards->count + 1, sizeof(_Atomic uint8_t));
	if (!export->shard_states)
		return -ENOMEM;

	export->desks =
		aligned_alloc(CACHE_LINE, align_up(count * sizeof(*export->desks), CACHE_LINE));
	if (!export->desks)
		return -ENOMEM;
	for (uint32_t i = 0; i < count; i++)
		export_desk_init(&export->desks[i], export->wake_fd);
	return 0;
}

/* No verbs are no failure: what is exported then is shared memory. */
static int open_verbs(struct export *export)
{
	struct export_info *info = &export->info;
	int fds[EXPORT_VERBS_FD_COUNT];
	int r;

	if (!export->config.ops) {
		snprintf(info->why_not, sizeof(info->why_not), "not asked for");
		return 0;
	}
	r = export_verbs_open(&export->config, export->catalog, ask_answered, export,
			      &export->verbs, info->why_not, sizeof(info->why_not));
	if (r)
		return 0;
	info->why_not[0] = '\0';
	info->verbs = true;
	export_verbs_fds(export->verbs, fds);
	for (unsigned i = 0; i < EXPORT_VERBS_FD_COUNT && !r; i++)
		r = watch(export, fds[i]);
	return r;
}

/* The same of shared memory. */
static int open_shm(struct export *export)
{
	char error[EXPORT_ERROR_MAX];
	int r;

	r = export_shm_open(&export->config, export->catalog, ask_answered, export, &export->shm,
			    error, sizeof(error));
	if (r) {
		log_warning("segments are not shared with processes on this host: %s", error);
		return 0;
	}
	export->info.shm = true;
	return watch(export, export_shm_fd(export->shm));
}

/* Once, at start: what there is, and why something isn't. */
static void tell(struct export *export)
{
	struct export_info *info = &export->info;
	struct export_stats stats;

	show_stats(export);
	stats = export_stats(export);
	if (export->verbs) {
		const struct device_info *device = export_verbs_device(export->verbs);

		snprintf(info->device, sizeof(info->device), "%s", device->name);
		snprintf(info->netdev, sizeof(info->netdev), "%s", device->netdev);
		(void)inet_ntop(AF_INET6, device->gid, info->gid, sizeof(info->gid));
		info->gid_index = device->gid_index;
		log_info("exporting by verbs: device %s port %u, %s, gid %u %s, netdev %s, "
			 "%s; %llu regions of %llu bytes registered",
			 device->name, device->port, device_transport_name(device->transport),
			 device->gid_index, info->gid, device->netdev,
			 device->has_windows ? "a memory window a lease" : "a registration a lease",
			 (unsigned long long)stats.regions,
			 (unsigned long long)stats.bytes_registered);
	} else {
		log_info("not exporting by verbs: %s", info->why_not);
	}
	if (export->shm)
		log_info("exporting by shared memory on this host: %llu regions of %llu bytes",
			 (unsigned long long)stats.regions_shared,
			 (unsigned long long)stats.bytes_shared);
}

int export_open(const struct export_config *config, struct export **ret_export, char *error,
		size_t error_size)
{
	struct export *export;
	int r;

	CHECK(config->core_count && config->link_max && config->lease_max);
	export = calloc(1, sizeof(*export));
	if (!export) {
		snprintf(error, error_size, "export: no memory");
		return -ENOMEM;
	}
	export->config = *config;
	export->wake_fd = export->epoll_fd = -1;
	if (config->secret) {
		memcpy(export->secret, config->secret, SECRET_SIZE);
		export->config.secret = export->secret;
	}
	r = catalog_new(config->shards, &config->ef, &export->catalog);
	if (!r)
		r = open_wait(export);
	if (!r)
		r = open_desks(export);
	if (!r)
		r = open_verbs(export);
	if (!r)
		r = open_shm(export);
	if (r) {
		snprintf(error, error_size,
			 "export.enabled: regions can't be exported: %s; "
			 "write false to go without",
			 strerror(-r));
		export_close(export);
		return r;
	}
	tell(export);
	*ret_export = export;
	return 0;
}

int export_start(struct export *export)
{
	int r = -pthread_create(&export->thread, NULL, thread_main, export);

	export->started = !r;
	return r;
}

void export_close(struct export *export)
{
	if (!export)
		return;
	if (export->started) {
		/* Release: pairs with thread_main(). */
		atomic_store_explicit(&export->stopping, true, memory_order_release);
		wake(export->wake_fd);
		pthread_join(export->thread, NULL);
	}
	export_verbs_close(export->verbs);
	export_shm_close(export->shm);
	catalog_free(export->catalog);
	if (export->epoll_fd >= 0)
		close(export->epoll_fd);
	if (export->wake_fd >= 0)
		close(export->wake_fd);
	free((void *)export->shard_states);
	free(export->desks);
	explicit_bzero(export->secret, sizeof(export->secret));
	free(export);
}

struct export_desk *export_desk(struct export *export, uint32_t core)
{
	CHECK(core < export->config.core_count);
	return &export->desks[core];
}

const struct export_info *export_info(const struct export *export)
{
	return &export->info;
}
