/* SPDX-License-Identifier: Apache-2.0 */
#include "net/dpdk_env.h"

#include "base/check.h"
#include "net/port_error.h"

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <rte_alarm.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_lcore.h>

#define MEMORY_MIB_DEFAULT 512

/* "0@(" and a number and a comma for each possible processor. */
#define LCORES_TEXT_MAX (8 + 5 * CPU_SETSIZE)

static enum { CLOSED, OPEN, CLOSED_FOR_GOOD } state;

/* EAL has files, and a lock on them: nobody else has the prefix. */
static bool has_files;

struct arguments {
	int count;
	char *list[DPDK_ENV_ARGUMENT_MAX];
	char lcores[LCORES_TEXT_MAX];
	char memory[16];
};

/* EAL takes its arguments as char * but leaves the texts alone. */
static void add(struct arguments *arguments, const char *text)
{
	CHECK(arguments->count < DPDK_ENV_ARGUMENT_MAX);
	arguments->list[arguments->count++] = (char *)text;
}

static void add_pair(struct arguments *arguments, const char *name, const char *value)
{
	add(arguments, name);
	add(arguments, value);
}

/* One lcore that may run wherever the calling thread may. */
static int describe_affinity(char text[LCORES_TEXT_MAX])
{
	int at = snprintf(text, LCORES_TEXT_MAX, "0@(");
	cpu_set_t set;

	if (sched_getaffinity(0, sizeof(set), &set))
		return -errno;
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
		if (CPU_ISSET(cpu, &set))
			at += snprintf(text + at, (size_t)(LCORES_TEXT_MAX - at), "%d,", cpu);
	text[at - 1] = ')'; /* in place of the last comma */
	return 0;
}

static int describe(const struct dpdk_env_config *config, struct arguments *arguments)
{
	uint32_t memory = config->memory_mib ? config->memory_mib : MEMORY_MIB_DEFAULT;
	int r = describe_affinity(arguments->lcores);

	if (r != 0)
		return r;
	add(arguments, "tern");
	add_pair(arguments, "--file-prefix", config->file_prefix ? config->file_prefix : "tern");
	add_pair(arguments, "--lcores", config->lcores ? config->lcores : arguments->lcores);
	snprintf(arguments->memory, sizeof(arguments->memory), "%u", memory);
	add_pair(arguments, "-m", arguments->memory);
	if (config->huge_pages) {
		/* Anonymous huge pages need no mount; one segment is what memif's zero copy shares.
		 */
		add(arguments, "--in-memory");
		add(arguments, "--single-file-segments");
	} else {
		add(arguments, "--no-huge");
	}
	if (config->pci_device)
		add_pair(arguments, "-a", config->pci_device);
	else
		add(arguments, "--no-pci");
	if (config->telemetry) {
		add(arguments, "--telemetry");
	} else {
		/* Its socket is the only one of EAL's run-time files that anybody asks for. */
		add(arguments, "--no-telemetry");
		add(arguments, "--no-shconf");
	}
	add_pair(arguments, "--log-level", config->log_level ? config->log_level : "error");
	return 0;
}

/* Free huge pages in KiB, of the size that /proc/meminfo tells of. */
static uint64_t free_huge_kib(void)
{
	unsigned long long pages = 0, size = 0;
	FILE *file = fopen("/proc/meminfo", "re");
	char line[128];

	if (!file)
		return 0;
	while (fgets(line, sizeof(line), file)) {
		(void)sscanf(line, "HugePages_Free: %llu", &pages);
		(void)sscanf(line, "Hugepagesize: %llu", &size);
	}
	fclose(file);
	return (uint64_t)pages * size;
}

static int check_memory(const struct dpdk_env_config *config, char *error, size_t error_size)
{
	uint64_t wanted = config->memory_mib ? config->memory_mib : MEMORY_MIB_DEFAULT;
	uint64_t there = config->huge_pages ? free_huge_kib() / 1024 : wanted;
	uint64_t pages = wanted / 2 + 16; /* of 2 MiB, some to spare */

	if (there >= wanted)
		return 0;
	return port_error(error, error_size, -ENOMEM,
			  "%llu MiB of huge pages wanted, %llu MiB are free: "
			  "`sysctl -w vm.nr_hugepages=%llu`, or configure none",
			  (unsigned long long)wanted, (unsigned long long)there,
			  (unsigned long long)pages);
}

static int start(struct arguments *arguments, const struct dpdk_env_config *config, char *error,
		 size_t error_size)
{
	cpu_set_t affinity;
	sigset_t all, before;
	int r = sched_getaffinity(0, sizeof(affinity), &affinity) ? -errno : 0;

	/* DPDK's own threads take no signals: one that they don't block would end a process whose
	 * other threads wait for it. */
	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, &before);
	if (r == 0 && rte_eal_init(arguments->count, arguments->list) < 0)
		r = rte_errno > 0 ? -rte_errno : -EBUSY; /* not told when the prefix is taken */
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	(void)sched_setaffinity(0, sizeof(affinity), &affinity);
	if (r == 0)
		return 0;
	state = CLOSED_FOR_GOOD;
	if (r == -EALREADY)
		return port_error(error, error_size, r, "DPDK is up already in this process");
	return port_error(error, error_size, r,
			  "DPDK doesn't start (file prefix %s, %s MiB): %s. Is another process "
			  "using the prefix? With huge pages, does `ulimit -l` allow them? "
			  "Log level debug tells more",
			  config->file_prefix ? config->file_prefix : "tern", arguments->memory,
			  strerror(-r));
}

int dpdk_env_open(const struct dpdk_env_config *config, char *error, size_t error_size)
{
	struct arguments arguments = {0};
	int r;

	if (state == OPEN)
		return 0;
	if (state == CLOSED_FOR_GOOD)
		return port_error(error, error_size, -EALREADY,
				  "DPDK can't start twice in one process: start a new one");
	r = check_memory(config, error, error_size);
	if (r != 0)
		return r;
	r = describe(config, &arguments);
	if (r != 0)
		return port_error(error, error_size, r, "no affinity to be had: %s", strerror(-r));
	r = start(&arguments, config, error, error_size);
	has_files = config->telemetry && !config->huge_pages;
	if (r == 0)
		state = OPEN;
	return r;
}

struct errand {
	void (*function)(void *context);
	void *context;
	sem_t done;
};

static void run_errand(void *argument)
{
	struct errand *errand = argument;

	errand->function(errand->context);
	sem_post(&errand->done);
}

void dpdk_env_control(void (*function)(void *context), void *context)
{
	struct errand errand = {.function = function, .context = context};

	CHECK(sem_init(&errand.done, 0, 0) == 0);
	if (rte_eal_alarm_set(1, run_errand, &errand) != 0)
		run_errand(&errand); /* no memory for it: here is better than never */
	while (sem_wait(&errand.done) != 0)
		; /* interrupted by a signal */
	sem_destroy(&errand.done);
}

/* EAL leaves its files behind in either case; they are of no use to anybody else. */
static void remove_files(const char *folder)
{
	DIR *directory = opendir(folder);
	struct dirent *entry;

	if (!directory)
		return;
	while ((entry = readdir(directory)))
		if (entry->d_name[0] != '.')
			(void)unlinkat(dirfd(directory), entry->d_name, 0);
	closedir(directory);
	(void)rmdir(folder);
}

/*
 * rte_eal_cleanup() unmaps EAL's memory while its control thread still runs,
 * which reads there after each change of its descriptors; memif leaves some
 * behind, and one in ten processes ended in a segmentation fault (DPDK 22.11).
 * The memory goes with the process, which can't start EAL again anyway.
 */
void dpdk_env_close(void)
{
	if (state != OPEN)
		return;
	if (has_files)
		remove_files(rte_eal_get_runtime_dir());
	else
		(void)rmdir(rte_eal_get_runtime_dir()); /* unless others have files there */
	state = CLOSED_FOR_GOOD;
}

bool dpdk_env_is_open(void)
{
	return state == OPEN;
}

int dpdk_env_enter(void)
{
	if (rte_lcore_id() != LCORE_ID_ANY)
		return 0;
	return rte_thread_register() ? -rte_errno : 0;
}

void dpdk_env_leave(void)
{
	rte_thread_unregister();
}
