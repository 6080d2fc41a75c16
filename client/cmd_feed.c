/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Cmd_feed - prints the changes of a store, as JSON lines
 *
 * It reads as every command that only reads: beside others, and changing no file. A store that is
 * written to is its writer's alone, so with --follow the command takes turns: it opens the store,
 * prints what has come, closes it, and opens it again when its files have changed and nobody
 * writes. Between turns it prints a heartbeat every HEARTBEAT_NS.
 *
 * A reader with a name is moved after its lines have left the process, in a turn of its own that
 * writes: what is printed twice after a crash has the same token; nothing is left out.
 */

#include "base/clock.h"
#include "client/cmd.h"
#include "client/cmd_store.h"
#include "client/cmd_vectors.h"
#include "client/feed_json.h"
#include "engine/io.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define HEARTBEAT_NS  NS_PER_S
#define TURN_PAUSE_NS (100 * NS_PER_MS)

/* Events after which a named reader's position is kept, while there are more: a turn's. The next
 * turn has twice as many, as each may read all that is behind it. */
#define PIN_EVERY 100000

/* Of memory, unless the line says. */
#define MEMORY_MIB 64

/* Who wants so few events is served from memory, and has no file sorted for it. */
#define FEW_EVENTS 10000

static const char about[] =
	"Prints every change of the store in DIR from a position on, one JSON object a line: op c "
	"(written),\nm (merge operand), d (deleted), dr (a range deleted). Each has a token "
	"that goes on behind it.\nA named reader goes on where it was, and history is kept for "
	"it. Bytes that aren't text are hex,\nunder a name that ends in _hex.\n";

struct reading {
	const char *folder;
	const char *reader; /* NULL: none */
	const char *token;  /* NULL: none */
	uint64_t since;     /* 0: not given */
	uint64_t limit;     /* events; 0: no limit */
	uint64_t memory;    /* MiB */
	struct io *scratch; /* owned; NULL: nothing is sorted by a file */
	uint64_t turn;      /* events after which a named reader is moved */
	bool follow;
	bool begun;        /* the position is known */
	uint8_t store[16]; /* valid once begun */
	struct feed_position position;
	uint64_t printed;
	uint64_t unpinned;    /* events since the reader was moved */
	uint64_t lsn;         /* of the last change, when the store was read */
	struct store *opened; /* during a turn */
};

static uint64_t unix_seconds(void)
{
	return (uint64_t)time(NULL);
}

static bool is_over(const struct reading *reading)
{
	return reading->limit && reading->printed == reading->limit;
}

static int find_reader(struct reading *reading)
{
	struct retention_reader reader;

	if (retention_find(store_retention(reading->opened), reading->reader, unix_seconds(),
			   &reader) == 0)
		reading->position = reader.position;
	else
		reading->position.seqno = kv_history(store_kv(reading->opened));
	return 0;
}

/* Where it begins: what the line says, else the reader's place, else the oldest. */
static int begin(struct reading *reading)
{
	int rc = 0;

	memcpy(reading->store, store_uuid(reading->opened), sizeof(reading->store));
	if (reading->token)
		rc = feed_token_parse(reading->token, reading->store, &reading->position);
	else if (reading->since)
		reading->position.seqno = reading->since;
	else if (reading->reader)
		rc = find_reader(reading);
	else
		reading->position.seqno = kv_history(store_kv(reading->opened));
	if (rc == FEED_TOKEN_E_STORE)
		return cmd_fail("the token is another store's than %s", reading->folder);
	if (rc)
		return cmd_usage("--token: no token of 'tern feed'");
	reading->begun = true;
	return CMD_DONE;
}

static int pin(struct reading *reading)
{
	int rc;

	if (fflush(stdout) != 0)
		return cmd_fail("standard output: %s", strerror(errno));
	rc = retention_pin(store_retention(reading->opened), reading->reader, reading->position,
			   unix_seconds());
	if (rc == RETENTION_E_INVALID)
		return cmd_usage("--reader: a name has 1 to %d of the characters A-Z a-z 0-9 . _ -",
				 LEDGER_PIN_NAME_MAX);
	if (rc == RETENTION_E_FULL)
		return cmd_fail("%s has %d readers already", reading->folder, RETENTION_READER_MAX);
	if (!rc)
		rc = retention_sync(store_retention(reading->opened));
	if (rc)
		return cmd_fail("%s: can't keep the reader's position: %s", reading->folder,
				strerror(-rc));
	reading->turn = reading->unpinned == reading->turn ? 2 * reading->turn : PIN_EVERY;
	reading->unpinned = 0;
	return CMD_DONE;
}

static int print_line(json_t *object)
{
	if (!object)
		return cmd_fail("out of memory");
	cmd_json(object);
	if (ferror(stdout))
		return cmd_fail("standard output: %s", strerror(errno));
	return CMD_DONE;
}

static int feed_failed(const struct reading *reading, const struct feed *feed, int rc)
{
	if (rc == FEED_E_END)
		return CMD_DONE;
	if (rc == FEED_E_GAP)
		return cmd_fail("changes before number %" PRIu64
				" are gone: begin with --since %" PRIu64,
				feed_oldest(feed), feed_oldest(feed));
	if (rc == FEED_E_CORRUPT)
		return cmd_fail("%s: %s", reading->folder, feed_error(feed));
	return cmd_fail("%s: %s", reading->folder, strerror(-rc));
}

/* Whether a reader is to be moved before more is printed. */
static bool is_full(const struct reading *reading)
{
	return reading->reader && reading->unpinned == reading->turn;
}

static int print_events(struct reading *reading, struct feed *feed)
{
	while (!is_over(reading) && !is_full(reading)) {
		struct feed_event event;
		int rc = feed_next(feed, &event);

		reading->position = feed_position(feed);
		if (rc)
			return feed_failed(reading, feed, rc);
		rc = print_line(feed_json_event(&event, reading->position, reading->store));
		reading->printed++;
		reading->unpinned++;
		if (rc)
			return rc;
	}
	return CMD_DONE;
}

static int read_opened(struct reading *reading)
{
	struct feed_options options = {0};
	struct feed *feed;
	int rc = reading->begun ? CMD_DONE : begin(reading);

	if (rc)
		return rc;
	reading->lsn = store_stats(reading->opened).lsn;
	options.since = reading->position;
	options.memory = reading->memory << 20;
	if (reading->limit == 0 || reading->limit > FEW_EVENTS)
		options.scratch = reading->scratch;
	rc = feed_open(store_kv(reading->opened), &options, &feed);
	if (rc)
		return cmd_fail("%s: %s", reading->folder, strerror(-rc));
	rc = print_events(reading, feed);
	feed_close(feed);
	return rc;
}

/* Sums up names, sizes and times of the files: another sum, and somebody has written. */
static uint64_t sum_of_files(const char *path)
{
	DIR *folder = opendir(path);
	struct dirent *file;
	uint64_t sum = 0;
	struct stat stat;

	while (folder && (file = readdir(folder)))
		if (fstatat(dirfd(folder), file->d_name, &stat, 0) == 0)
			sum += (uint64_t)stat.st_ino * 31 + (uint64_t)stat.st_size * 17 +
			       (uint64_t)stat.st_mtim.tv_sec * NS_PER_S +
			       (uint64_t)stat.st_mtim.tv_nsec;
	if (folder)
		closedir(folder);
	return sum;
}

/* Prints what there is. The sum is of the files that were read, or 0 when there may be more. */
static int read_turn(struct reading *reading, uint64_t *ret_sum)
{
	struct cmd_store store;
	int rc = cmd_store_read(reading->folder, reading->follow, &store);

	*ret_sum = 0;
	if (rc == CMD_STORE_LOCKED)
		return CMD_DONE;
	if (rc != CMD_DONE)
		return rc;
	reading->opened = store.store;
	rc = read_opened(reading);
	*ret_sum = is_full(reading) ? 0 : sum_of_files(reading->folder);
	return cmd_store_close(&store, rc);
}

/* Moves the reader, or makes it. The sum is of the files as they are then, so that what this turn
 * wrote isn't taken for somebody's change, unless there was one in between. */
static int pin_turn(struct reading *reading, uint64_t *ret_sum)
{
	struct cmd_store store;
	int rc = cmd_store_take_turn(reading->folder, reading->follow, &store);

	if (rc == CMD_STORE_LOCKED) {
		*ret_sum = 0;
		return CMD_DONE;
	}
	if (rc != CMD_DONE)
		return rc;
	reading->opened = store.store;
	uint64_t lsn = store_stats(store.store).lsn;
	rc = reading->begun ? CMD_DONE : begin(reading);
	if (rc == CMD_DONE)
		rc = pin(reading);
	rc = cmd_store_close_but_io(&store, rc);
	*ret_sum = *ret_sum && lsn == reading->lsn ? sum_of_files(reading->folder) : 0;
	io_free(store.io);
	return rc;
}

/* A new reader's history is kept from its first turn on, whatever comes of it. */
static int take_turn(struct reading *reading, uint64_t *ret_sum)
{
	int rc = CMD_DONE;

	*ret_sum = 0;
	if (reading->reader && (!reading->begun || is_full(reading)))
		rc = pin_turn(reading, ret_sum);
	if (rc == CMD_DONE && (!reading->reader || (reading->begun && !is_full(reading))))
		rc = read_turn(reading, ret_sum);
	if (rc == CMD_DONE && reading->reader && reading->unpinned)
		rc = pin_turn(reading, ret_sum);
	return rc;
}

/* All there is. */
static int read_all(struct reading *reading)
{
	uint64_t before, turn, sum;
	int rc;

	do {
		before = reading->printed;
		turn = reading->turn;
		rc = take_turn(reading, &sum);
	} while (rc == CMD_DONE && reading->reader && !is_over(reading) &&
		 reading->printed - before == turn);
	return rc;
}

static void pause_ns(uint64_t ns)
{
	struct timespec time = {.tv_nsec = (long)ns};

	nanosleep(&time, NULL);
}

static int follow(struct reading *reading)
{
	uint64_t sum = 0, beat_at = clock_now_ns();

	for (;;) {
		uint64_t before = reading->printed;

		if (sum == 0 || sum_of_files(reading->folder) != sum) {
			int rc = take_turn(reading, &sum);

			if (rc != CMD_DONE || is_over(reading))
				return rc;
		}
		if (reading->printed != before)
			beat_at = clock_now_ns();
		if (reading->begun && clock_now_ns() - beat_at >= HEARTBEAT_NS) {
			beat_at = clock_now_ns();
			if (print_line(feed_json_heartbeat(reading->position, reading->store)))
				return CMD_FAILED;
		}
		pause_ns(TURN_PAUSE_NS);
	}
}

int cmd_feed(int argc, char **argv)
{
	struct reading reading = {.memory = MEMORY_MIB, .turn = PIN_EVERY};
	bool json = false;
	const struct cmd_option options[] = {
		{"DIR", NULL, "the store's folder", .text = &reading.folder, .positional = true,
		 .required = true},
		{"since", "N", "begin with the change of this number; default: the oldest there is",
		 .number = &reading.since, .min = 1, .max = UINT64_MAX},
		{"token", "T", "begin behind the line that had this token", .text = &reading.token},
		{"reader", "NAME", "begin where the reader of this name was, and keep its place",
		 .text = &reading.reader},
		{"limit", "N", "end after so many changes", .number = &reading.limit, .min = 1,
		 .max = UINT64_MAX},
		{"follow", NULL, "go on with what comes", .flag = &reading.follow},
		{"memory", "MIB", "memory for putting changes in order (64)",
		 .number = &reading.memory, .min = FEED_MEMORY_MIN >> 20,
		 .max = FEED_MEMORY_MAX >> 20},
		{"json", NULL, "one JSON object a line, as always", .flag = &json},
	};
	int status;

	if (!cmd_options("feed", about, options, ARRAY_COUNT(options), argc, argv, &status))
		return status;
	if (reading.token && reading.since)
		return cmd_usage("--since and --token: one of them");
	reading.scratch = cmd_store_scratch();
	status = reading.follow ? follow(&reading) : read_all(&reading);
	io_free(reading.scratch);
	return status;
}
