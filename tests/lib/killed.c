/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/killed.h"

#include "base/check.h"
#include "base/rand.h"
#include "tests/lib/folder.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

void killed_tell(int tell, uint64_t done)
{
	ssize_t count;

	do
		count = write(tell, &done, sizeof(done));
	while (count < 0 && errno == EINTR);
	if (count != sizeof(done))
		_exit(1);
}

static void sleep_us(uint64_t us)
{
	struct timespec time = {.tv_sec = (time_t)(us / 1000000),
				.tv_nsec = (long)(us % 1000000 * 1000)};

	while (nanosleep(&time, &time) < 0)
		CHECK(errno == EINTR);
}

/* The last number in the pipe; 'done' if there is none. */
static uint64_t last_told(int pipe, uint64_t done)
{
	uint64_t told;

	/* Numbers are written whole: a pipe doesn't split what is that small. */
	while (read(pipe, &told, sizeof(told)) == sizeof(told))
		done = told;
	return done;
}

/* A full pipe would stop the child where it tells, and it would always be killed there. */
static uint64_t listen_until_killed(pid_t child, int pipe, uint64_t life_us, uint64_t done)
{
	const uint64_t slice_us = 1000;

	for (; life_us > slice_us; life_us -= slice_us) {
		sleep_us(slice_us);
		done = last_told(pipe, done);
	}
	sleep_us(life_us);
	kill(child, SIGKILL);
	return done;
}

/* A child's life. Returns whether it was ended by the kill, and what it told. */
static bool live_and_die(const struct killed_workload *workload, const char *folder, uint64_t seed,
			 uint64_t life_us, uint64_t *done)
{
	int pipe[2], status;
	pid_t child;

	CHECK(pipe2(pipe, O_CLOEXEC) == 0);
	fflush(stdout);
	child = fork();
	CHECK(child >= 0);
	if (child == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(pipe[0]);
		status = workload->run(folder, seed, *done, pipe[1]);
		fprintf(stderr, "the child ended: %s\n", strerror(-status));
		_exit(1);
	}
	close(pipe[1]);
	CHECK(fcntl(pipe[0], F_SETFL, O_NONBLOCK) == 0);
	*done = listen_until_killed(child, pipe[0], life_us, *done);
	CHECK(waitpid(child, &status, 0) == child);
	*done = last_told(pipe[0], *done);
	close(pipe[0]);
	return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
}

int killed_loop(const struct killed_workload *workload, uint64_t seed)
{
	const char *is_long = getenv("TERN_LONG");
	unsigned rounds = KILLED_ROUNDS * (is_long && strcmp(is_long, "1") == 0 ? 50 : 1), round;
	char folder[] = "killed.XXXXXX", error[256] = "";
	uint64_t done = 0;
	struct rand rand;

	rand_init(&rand, seed);
	CHECK(mkdtemp(folder));
	for (round = 0; round < rounds && !error[0]; round++) {
		uint64_t told = done;

		if (!live_and_die(workload, folder, seed,
				  rand_below(&rand, KILLED_LIFE_MS_MAX * UINT64_C(1000)), &told))
			snprintf(error, sizeof(error), "it ended by itself");
		else if (workload->check(folder, seed, &done, error, sizeof(error)) == 0 &&
			 done < told)
			snprintf(error, sizeof(error), "%llu of %llu that were told are there",
				 (unsigned long long)done, (unsigned long long)told);
	}
	printf("%s, seed %llu: %u children killed, %llu operations\n", workload->name,
	       (unsigned long long)seed, round, (unsigned long long)done);
	if (error[0]) {
		printf("  child %u: %s; its folder is %s\n", round, error, folder);
		return 1;
	}
	folder_remove(folder);
	return 0;
}
