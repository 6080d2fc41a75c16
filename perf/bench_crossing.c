/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Bench crossing - from which load of the owner on its memory is read rather than it asked
 *
 *      bench_crossing --server HOST:PORT --collection NAME --query FILE [--owner-pid PID]
 *                     [--window-ms N] [--repeat N] [the ports of tern bench net] [--json]
 *
 * One thread is all clients there are. As the background it asks the owner at a share of the rate
 * that saturates it: an open loop whose gaps are exponential (seeded), or, at 100 %, 64 questions
 * kept under way. As the probe it keeps 1 question under way, for latency, or 16, for rate; in
 * windows that take turns its questions go to the owner, or the owner's memory is read. What the
 * background costs this thread is so part of both.
 *
 * Latency is from submitting to the end of the poll that had the answer. With --owner-pid, what
 * the owner's threads ran meanwhile comes from /proc: a poll core that is idle sleeps.
 */

#include "base/clock.h"
#include "base/defs.h"
#include "base/hist.h"
#include "base/rand.h"
#include "client/far.h"
#include "client/online.h"
#include "perf/lib/paired.h"
#include "proto/status.h"

#include <dirent.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>

/* Under way at 100 % of load, and at most below it. */
#define FULL_UNDER_WAY       64
#define BACKGROUND_UNDER_WAY 1024

/* Tags: what a question is, above its number. */
#define TAG_SHIFT  32
#define RESULTS    64
#define WARM_UP    400
#define REPEAT_MAX PAIRED_REPEAT_MAX

static const unsigned loads[] = {0, 10, 25, 40, 50, 60, 70, 80, 90, 95, 100}; /* percent */
static const unsigned depths[] = {1, 16};

enum role { BACKGROUND, BY_OWNER, ONE_SIDED, ROLE_COUNT };

static const char *const role_names[] = {"background", "rpc", "one-sided"};

/* What one window came to. */
struct window {
	double seconds;
	double qps, p50_us, p99_us; /* of the probe */
	double reads;               /* a question of the probe */
	double background_qps, background_p50_us;
	double core_share, export_share; /* of the time, by the owner's threads */
};

/* Repetitions of one load, depth and role. */
struct cell {
	unsigned count;
	struct window windows[REPEAT_MAX];
};

struct bench {
	struct online_options options;
	struct online online;
	const char *owner_pid;
	uint64_t window_ms;
	uint64_t repeat;
	struct rand rand;
	uint64_t row; /* of the next question */
	uint64_t submitted_ns[ROLE_COUNT][CLIENT_IN_FLIGHT_MAX];
	uint64_t asked[ROLE_COUNT], answered[ROLE_COUNT]; /* in this window */
	struct hist latency[ROLE_COUNT];
	uint64_t failed;
	double saturation; /* questions a second */
	struct cell cells[ARRAY_COUNT(loads)][ARRAY_COUNT(depths)][ROLE_COUNT];
};

/* --- the owner's threads --- */

struct owner_time {
	uint64_t core_ns, export_ns;
};

static void add_thread(const char *pid, const char *task, struct owner_time *time)
{
	char path[300], name[32] = "";
	unsigned long long ns = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%s/task/%s/comm", pid, task);
	file = fopen(path, "re");
	if (!file)
		return;
	if (!fgets(name, sizeof(name), file))
		name[0] = 0;
	fclose(file);
	snprintf(path, sizeof(path), "/proc/%s/task/%s/schedstat", pid, task);
	file = fopen(path, "re");
	if (!file)
		return;
	if (fscanf(file, "%llu", &ns) != 1)
		ns = 0;
	fclose(file);
	if (strncmp(name, "tern-core", 9) == 0)
		time->core_ns += ns;
	else if (strncmp(name, "tern-export", 11) == 0)
		time->export_ns += ns;
}

/* What they have run so far. */
static struct owner_time owner_time(const struct bench *bench)
{
	struct owner_time time = {0};
	struct dirent *entry;
	char path[300];
	DIR *folder;

	if (!bench->owner_pid)
		return time;
	snprintf(path, sizeof(path), "/proc/%s/task", bench->owner_pid);
	folder = opendir(path);
	while (folder && (entry = readdir(folder)))
		if (entry->d_name[0] != '.')
			add_thread(bench->owner_pid, entry->d_name, &time);
	if (folder)
		closedir(folder);
	return time;
}

/* --- asking --- */

static bool submit(struct bench *bench, enum role role)
{
	struct online *online = &bench->online;
	const uint64_t now_ns = clock_now_ns(), number = bench->asked[role];
	struct client_question question = online_question(
		&bench->options, online, (uint32_t)(bench->row % online->row_count), now_ns);

	question.by_owners = role != ONE_SIDED;
	question.tag = (uint64_t)role << TAG_SHIFT | number;
	if (client_submit(online->client, &question, now_ns))
		return false;
	bench->submitted_ns[role][number % CLIENT_IN_FLIGHT_MAX] = now_ns;
	bench->asked[role]++;
	bench->row++;
	return true;
}

/* What is answered after 'until_ns' counts for the latency alone. */
static void poll_once(struct bench *bench, uint64_t until_ns)
{
	struct client_result results[RESULTS];
	unsigned count = client_poll(bench->online.client, results, RESULTS, clock_now_ns());
	const uint64_t now_ns = clock_now_ns();

	for (unsigned i = 0; i < count; i++) {
		enum role role = (enum role)(results[i].tag >> TAG_SHIFT);
		uint64_t number = results[i].tag & UINT32_MAX;

		/* Not answered, or not in the way that was asked for. */
		bench->failed += results[i].status != STATUS_OK ||
				 (role == ONE_SIDED) != (results[i].far_count > 0);
		bench->answered[role] += now_ns <= until_ns;
		hist_add(&bench->latency[role],
			 now_ns - bench->submitted_ns[role][number % CLIENT_IN_FLIGHT_MAX]);
	}
}

static uint64_t gap_ns(struct bench *bench, double rate)
{
	return (uint64_t)(-log(1 - rand_unit(&bench->rand)) * 1e9 / rate);
}

static uint64_t under_way(const struct bench *bench, const uint64_t *ended, enum role role)
{
	return bench->asked[role] - ended[role];
}

static uint64_t reads_of(const struct bench *bench)
{
	struct far_stats stats;

	return client_far(bench->online.client, &stats) ? stats.reads - stats.opening_reads : 0;
}

static void begin_window(struct bench *bench)
{
	for (unsigned role = 0; role < ROLE_COUNT; role++) {
		bench->asked[role] = bench->answered[role] = 0;
		hist_init(&bench->latency[role]);
	}
}

/*
 * One window with 'depth' questions of 'probe' under way, none for 0, and the background at
 * 'percent' of saturation. Afterwards nothing is under way.
 */
static struct window run_window(struct bench *bench, unsigned percent, unsigned depth,
				enum role probe)
{
	const double rate = bench->saturation * percent / 100;
	const uint64_t reads = reads_of(bench);
	struct owner_time before = owner_time(bench), after;
	struct window window = {.seconds = (double)bench->window_ms / 1e3};
	uint64_t start_ns, end_ns, due_ns;

	begin_window(bench);
	start_ns = clock_now_ns();
	end_ns = start_ns + bench->window_ms * NS_PER_MS;
	due_ns = percent && percent < 100 ? start_ns + gap_ns(bench, rate) : UINT64_MAX;
	for (uint64_t now_ns = start_ns; now_ns < end_ns; now_ns = clock_now_ns()) {
		const uint64_t *ended = bench->answered;

		while (percent == 100 && under_way(bench, ended, BACKGROUND) < FULL_UNDER_WAY &&
		       submit(bench, BACKGROUND))
			;
		while (due_ns <= now_ns &&
		       under_way(bench, ended, BACKGROUND) < BACKGROUND_UNDER_WAY &&
		       submit(bench, BACKGROUND))
			due_ns += gap_ns(bench, rate);
		while (under_way(bench, ended, probe) < depth && submit(bench, probe))
			;
		poll_once(bench, end_ns);
	}
	after = owner_time(bench);
	while (client_in_flight(bench->online.client) > 0)
		poll_once(bench, end_ns);
	window.qps = (double)bench->answered[probe] / window.seconds;
	window.p50_us = (double)hist_percentile(&bench->latency[probe], 50) / 1e3;
	window.p99_us = (double)hist_percentile(&bench->latency[probe], 99) / 1e3;
	window.background_qps = (double)bench->answered[BACKGROUND] / window.seconds;
	window.background_p50_us = (double)hist_percentile(&bench->latency[BACKGROUND], 50) / 1e3;
	if (probe == ONE_SIDED && bench->asked[probe])
		window.reads = (double)(reads_of(bench) - reads) / (double)bench->asked[probe];
	window.core_share = (double)(after.core_ns - before.core_ns) / 1e9 / window.seconds;
	window.export_share = (double)(after.export_ns - before.export_ns) / 1e9 / window.seconds;
	return window;
}

/* The first questions open what there is to open. */
static int warm_up(struct bench *bench)
{
	for (enum role role = BY_OWNER; role <= ONE_SIDED; role++) {
		begin_window(bench);
		while (bench->asked[role] < WARM_UP || client_in_flight(bench->online.client)) {
			if (bench->asked[role] < WARM_UP &&
			    client_in_flight(bench->online.client) < 4)
				(void)submit(bench, role);
			poll_once(bench, UINT64_MAX);
		}
		if (bench->failed) {
			struct far_stats stats = {.reason = "asked for without --one-sided"};

			(void)client_far(bench->online.client, &stats);
			return cmd_fail("%s: %" PRIu64 " of %d questions weren't answered: %s",
					role_names[role], bench->failed, WARM_UP,
					role == ONE_SIDED ? stats.reason : "is ternd there?");
		}
	}
	return CMD_DONE;
}

static int saturate(struct bench *bench)
{
	double rates[5];

	for (unsigned i = 0; i < ARRAY_COUNT(rates); i++)
		rates[i] = run_window(bench, 100, 0, BY_OWNER).background_qps;
	bench->saturation = paired_quantile(rates, ARRAY_COUNT(rates), 0.5);
	return bench->saturation > 0
		       ? CMD_DONE
		       : cmd_fail("no answers within --window-ms; is the machine busy?");
}

/* --- the report --- */

static double quantile(const struct cell *cell, size_t offset, double share)
{
	double values[REPEAT_MAX];

	for (unsigned i = 0; i < cell->count; i++)
		memcpy(&values[i], (const char *)&cell->windows[i] + offset, sizeof(values[i]));
	return paired_quantile(values, cell->count, share);
}

#define MEDIAN(cell, member) quantile(cell, offsetof(struct window, member), 0.5)
#define TENTH(cell, member)  quantile(cell, offsetof(struct window, member), 0.1)
#define NINTH(cell, member)  quantile(cell, offsetof(struct window, member), 0.9)

static void print_cell(const struct bench *bench, unsigned load, unsigned depth, enum role role,
		       const struct cell *cell)
{
	struct far_stats stats = {.transport = "none"};

	if (!bench->options.json) {
		printf("%4u %%  %2u  %-9s %8.0f (%.0f to %.0f) %8.1f (%.1f to %.1f) %8.1f (%.1f to "
		       "%.1f) %7.1f %8.0f %6.1f %% %6.2f %%\n",
		       load, depth, role_names[role], MEDIAN(cell, qps), TENTH(cell, qps),
		       NINTH(cell, qps), MEDIAN(cell, p50_us), TENTH(cell, p50_us),
		       NINTH(cell, p50_us), MEDIAN(cell, p99_us), TENTH(cell, p99_us),
		       NINTH(cell, p99_us), MEDIAN(cell, reads), MEDIAN(cell, background_qps),
		       100 * MEDIAN(cell, core_share), 100 * MEDIAN(cell, export_share));
		return;
	}
	(void)client_far(bench->online.client, &stats);
	printf("{\"event\":\"crossing\",\"port\":\"%s\",\"transport\":\"%s\",\"load\":%u,"
	       "\"under_way\":%u,\"way\":\"%s\",\"repeat\":%u,\"saturation\":%.0f,"
	       "\"qps\":%.1f,\"qps_p10\":%.1f,\"qps_p90\":%.1f,\"p50_us\":%.1f,\"p50_us_p10\":%.1f,"
	       "\"p50_us_p90\":%.1f,\"p99_us\":%.1f,\"p99_us_p10\":%.1f,\"p99_us_p90\":%.1f,"
	       "\"reads\":%.2f,\"background_qps\":%.1f,\"background_p50_us\":%.1f,"
	       "\"owner_core\":%.4f,\"owner_export\":%.6f}\n",
	       bench->options.port, stats.transport ? stats.transport : "none", load, depth,
	       role_names[role], cell->count, bench->saturation, MEDIAN(cell, qps),
	       TENTH(cell, qps), NINTH(cell, qps), MEDIAN(cell, p50_us), TENTH(cell, p50_us),
	       NINTH(cell, p50_us), MEDIAN(cell, p99_us), TENTH(cell, p99_us), NINTH(cell, p99_us),
	       MEDIAN(cell, reads), MEDIAN(cell, background_qps), MEDIAN(cell, background_p50_us),
	       MEDIAN(cell, core_share), MEDIAN(cell, export_share));
}

static void print_all(const struct bench *bench)
{
	if (!bench->options.json)
		printf("saturated at %.0f queries/s\n\nload, probes under way, way; queries/s, p50 "
		       "us, p99 us (10th to 90th percentile); READs a query, background "
		       "queries/s, owner's core and export thread\n",
		       bench->saturation);
	for (unsigned depth = 0; depth < ARRAY_COUNT(depths); depth++)
		for (unsigned load = 0; load < ARRAY_COUNT(loads); load++)
			for (enum role role = BY_OWNER; role <= ONE_SIDED; role++)
				print_cell(bench, loads[load], depths[depth], role,
					   &bench->cells[load][depth][role]);
}

/* --- all of it --- */

static int run(struct bench *bench)
{
	int status = warm_up(bench);

	if (status == CMD_DONE)
		status = saturate(bench);
	if (status != CMD_DONE)
		return status;
	for (unsigned repetition = 0; repetition < bench->repeat; repetition++)
		for (unsigned load = 0; load < ARRAY_COUNT(loads); load++)
			for (unsigned depth = 0; depth < ARRAY_COUNT(depths); depth++)
				for (enum role role = BY_OWNER; role <= ONE_SIDED; role++) {
					struct cell *cell = &bench->cells[load][depth][role];

					cell->windows[cell->count++] =
						run_window(bench, loads[load], depths[depth], role);
				}
	print_all(bench);
	if (bench->failed)
		return cmd_fail("%" PRIu64 " questions failed, or were answered the other way",
				bench->failed);
	return CMD_DONE;
}

int main(int argc, char **argv)
{
	static struct bench bench = {.options = ONLINE_OPTIONS_INIT, .window_ms = 150, .repeat = 7};
	const struct cmd_option options[] = {
		ONLINE_OPTIONS(bench.options),
		{"owner-pid", "PID", "ternd's process, for its threads' time",
		 .text = &bench.owner_pid},
		{"window-ms", "N", "each measurement takes (default 150)",
		 .number = &bench.window_ms, .min = 10, .max = 60000},
		{"repeat", "N", "repetitions (default 7)", .number = &bench.repeat, .min = 1,
		 .max = REPEAT_MAX},
	};
	int status;

	if (!cmd_options("bench_crossing",
			 "Asks an owner, and reads its memory, under different loads of it.\n",
			 options, ARRAY_COUNT(options), argc, argv, &status))
		return status;
	bench.options.one_sided = true;
	rand_init(&bench.rand, 1);
	status = online_open(&bench.options, CLIENT_IN_FLIGHT_MAX, &bench.online);
	if (status != CMD_DONE)
		return status;
	status = run(&bench);
	online_close(&bench.online);
	return status;
}
