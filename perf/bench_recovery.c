/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Bench_recovery - opening a store that has a long log, beside reading that log's files
 *
 *      small    key space, random keys of 16 bytes, values of 100
 *      medium   the same, values of 1,000
 *      large    the same, values of 8,000, which go to blob files
 *      edges    pages: an edge changes two clusters and a key
 *      mixed    all of these
 *
 * "nothing flushed": the memtables hold it all, so recovery puts every record into them. "flushed":
 * tables were written meanwhile, as a node does it, and recovery skips what they have; pages it
 * does again from the last checkpoint, here the store's beginning. Each way has a copy of its own
 * in each repetition. The raw thing reads the same log in pieces of 1 MiB and does nothing with
 * them. Both find the files in the page cache, or, with --cold, neither does.
 *
 * Recovery takes memory, and a virtual machine's host may have taken back what is free: then new
 * memory costs more than all that is measured here. So each way begins with free memory that was
 * just in use, but for --fresh.
 *
 *      bench_recovery [--json] [--repeat N] [--folder F] [--size MIB] [--cold] [--fresh]
 *                     [--only NAME]
 */

#include "base/check.h"
#include "base/clock.h"
#include "base/rand.h"
#include "engine/store.h"
#include "perf/lib/paired.h"
#include "perf/store/peer.h"
#include "perf/store/place.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PIECE_SIZE   ((size_t)1 << 20)
#define TRANSACTION  64
#define VALUE_LARGE  8000
#define WORK_EVERY   16 /* transactions */
#define NODES        10000
#define REPEAT       5
#define SIZE_DEFAULT 200

/* Bytes of memory that are used before each way, for one of the log. */
#define MEMORY_SHARE 3
#define NAME_SIZE    600

struct load {
	const char *name;
	uint32_t value;      /* bytes of a key's value; 0: no keys */
	uint32_t edges;      /* of a transaction's changes */
	uint32_t large_each; /* every so many-th value is a large one; 0: none */
	bool flush;
};

static const struct load loads[] = {
	{.name = "small", .value = 100},
	{.name = "medium", .value = 1000},
	{.name = "large", .value = VALUE_LARGE},
	{.name = "edges", .edges = TRANSACTION},
	{.name = "mixed", .value = 100, .edges = TRANSACTION / 4, .large_each = 32},
	{.name = "small, flushed", .value = 100, .flush = true},
	{.name = "mixed, flushed",
	 .value = 100,
	 .edges = TRANSACTION / 4,
	 .large_each = 32,
	 .flush = true},
};

#define LOAD_COUNT (sizeof(loads) / sizeof(loads[0]))

struct options {
	const char *folder;
	const char *only;
	uint64_t size; /* of the log */
	unsigned repeat;
	bool cold;
	bool fresh;
	bool json;
};

static void need(int r, const char *what)
{
	if (r != 0)
		peer_die(what, r < 0 ? strerror(-r) : "refused");
}

/* ---- a store with a log ---- */

static struct store *open_store(const char *path, const struct options *options, bool flush,
				struct io **ret_io)
{
	struct store_options store_options = {
		.create = true,
		.log_size = UINT64_C(1) << 40,
		.kv.memtable_size = flush ? 0 : 4 * options->size,
	};
	struct store *store;
	char error[256];

	if (io_ring_new(path, /* create= */ true, ret_io) != 0)
		need(io_plain_new(path, /* create= */ true, ret_io), path);
	if (store_open(*ret_io, &store_options, &store, error, sizeof(error)) != 0)
		peer_die("store", error);
	return store;
}

static void put(struct store *store, struct rand *rand, uint32_t size)
{
	static uint8_t value[VALUE_LARGE];
	uint64_t key[2] = {rand_next(rand) | 1, rand_next(rand)}; /* not one of Tern's own */
	struct store_put put = {
		.key = {.bytes = (const uint8_t *)key, .size = sizeof(key)},
		.value = {.bytes = value, .size = size},
	};

	for (uint32_t i = 0; i + 8 <= size; i += 8) {
		uint64_t bits = rand_next(rand);
		memcpy(value + i, &bits, 8);
	}
	need(store_put(store, &put), "put");
}

static void add_edge(struct store *store, struct rand *rand)
{
	struct edge_key edge = {.source = 1 + rand_below(rand, NODES),
				.target = 1 + rand_below(rand, UINT32_MAX)};
	int r = store_edge_add(store, edge);

	need(r == STORE_E_EXISTS ? 0 : r, "edge");
}

static void stage(struct store *store, const struct load *load, struct rand *rand)
{
	uint32_t count = load->value == 0     ? load->edges
			 : load->value > 1000 ? TRANSACTION / 8
					      : TRANSACTION;

	for (uint32_t i = 0; i < count; i++) {
		if (i < load->edges)
			add_edge(store, rand);
		else if (load->large_each != 0 && i % load->large_each == 0)
			put(store, rand, VALUE_LARGE);
		else
			put(store, rand, load->value);
	}
}

/* Flushes what waits, with its compactions. */
static void work(struct store *store, bool flush)
{
	enum kv_need need_of = KV_NEED_NOTHING;

	need(store_sync(store), "sync");
	if (!flush)
		return;
	need(store_work(store, clock_now_ns(), &need_of), "work");
	if (need_of == KV_NEED_JOB) {
		int r = store_job(store);
		need(r == STORE_E_IDLE ? 0 : r, "job");
	}
}

static void fill(const char *path, const struct load *load, const struct options *options)
{
	struct io *io;
	struct store *store = open_store(path, options, load->flush, &io);
	struct rand rand;
	uint32_t count = 0;
	uint64_t lsn;

	rand_init(&rand, 1);
	while (store_stats(store).wal.bytes < options->size) {
		int r;

		stage(store, load, &rand);
		while ((r = store_commit(store, STORE_NONE, &lsn)) == STORE_E_BUSY)
			work(store, load->flush);
		need(r, "commit");
		if (++count % WORK_EVERY == 0)
			work(store, load->flush);
	}
	need(store_close(store), "close");
	io_free(io);
}

/* ---- files ---- */

typedef void (*file_fn)(void *context, const char *path, const char *name);

static void each_file(const char *path, file_fn fn, void *context)
{
	DIR *folder = opendir(path);
	const struct dirent *entry;
	char full[NAME_SIZE];

	if (folder == NULL)
		peer_die(path, strerror(errno));
	while ((entry = readdir(folder)) != NULL) {
		if (entry->d_name[0] == '.')
			continue;
		if (snprintf(full, sizeof(full), "%s/%s", path, entry->d_name) >= NAME_SIZE)
			peer_die(path, "too long");
		fn(context, full, entry->d_name);
	}
	closedir(folder);
}

static int open_file(const char *path, int flags)
{
	int fd = open(path, flags | O_CLOEXEC, 0600);

	if (fd < 0)
		peer_die(path, strerror(errno));
	return fd;
}

struct files {
	const char *to;
	uint8_t *piece;
	uint64_t bytes;
	bool cold;
};

/* What the kernel has of it in memory is dropped, or is all of it. */
static void settle_file(const struct files *files, int fd)
{
	if (fsync(fd) != 0)
		peer_die("fsync", strerror(errno));
	if (files->cold)
		(void)posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
}

static void copy_file(void *context, const char *path, const char *name)
{
	struct files *files = context;
	char to[NAME_SIZE];
	ssize_t size;

	if (snprintf(to, sizeof(to), "%s/%s", files->to, name) >= NAME_SIZE)
		peer_die(path, "too long");
	int from_fd = open_file(path, O_RDONLY);
	int to_fd = open_file(to, O_WRONLY | O_CREAT | O_TRUNC);
	while ((size = read(from_fd, files->piece, PIECE_SIZE)) > 0)
		if (write(to_fd, files->piece, (size_t)size) != size)
			peer_die(to, "not written");
	settle_file(files, to_fd);
	close(from_fd);
	close(to_fd);
}

static void read_log(void *context, const char *path, const char *name)
{
	struct files *files = context;
	ssize_t size;

	if (strncmp(name, "wal-", 4) != 0)
		return;
	int fd = open_file(path, O_RDONLY);
	while ((size = read(fd, files->piece, PIECE_SIZE)) > 0)
		files->bytes += (uint64_t)size;
	settle_file(files, fd);
	close(fd);
}

static void remove_file(void *context, const char *path, const char *name)
{
	if (unlink(path) != 0)
		peer_die(path, strerror(errno));
}

/* ---- measuring ---- */

/* MB/s. */
static double rate(uint64_t bytes, uint64_t ns)
{
	return (double)bytes * 1e3 / (double)ns;
}

static double raw_read(const char *path, struct files *files)
{
	uint64_t began_ns = clock_now_ns();

	files->bytes = 0;
	each_file(path, read_log, files);
	return rate(files->bytes, clock_now_ns() - began_ns);
}

static double recover(const char *path, const struct load *load, const struct options *options)
{
	struct io *io;
	struct store *store = open_store(path, options, load->flush, &io);
	struct store_recovery recovery = store_stats(store).recovery;

	need(store_close(store), "close");
	io_free(io);
	return rate(recovery.bytes, recovery.ns);
}

static void use_memory(uint64_t size)
{
	uint8_t *bytes =
		mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (bytes == MAP_FAILED)
		peer_die("memory", strerror(errno));
	(void)madvise(bytes, size, MADV_HUGEPAGE);
	memset(bytes, 1, size);
	munmap(bytes, size);
}

static void measure(const struct place *place, const struct load *load,
		    const struct options *options)
{
	struct files files = {.piece = malloc(PIECE_SIZE), .cold = options->cold};
	char name[64], from[PATH_MAX], to[PATH_MAX];
	struct paired paired = {.name = name, .unit = "MB/s"};

	if (files.piece == NULL)
		peer_die("memory", "none");
	snprintf(name, sizeof(name), "recovery, %s", load->name);
	place_of(place, "from", from);
	place_of(place, "to", to);
	files.to = to;
	fill(from, load, options);
	for (unsigned i = 0; i < options->repeat; i++) {
		double rates[2];
		for (unsigned j = 0; j < 2; j++) {
			bool raw = (i + j) % 2 == 0;
			each_file(from, copy_file, &files);
			if (!options->fresh)
				use_memory(MEMORY_SHARE * options->size);
			rates[raw] = raw ? raw_read(to, &files) : recover(to, load, options);
			each_file(to, remove_file, NULL);
		}
		paired_add(&paired, rates[true], rates[false]);
	}
	paired_print(&paired, options->json);
	each_file(from, remove_file, NULL);
	free(files.piece);
}

static bool parse(int argc, char **argv, struct options *options)
{
	static const struct option names[] = {
		{"json", no_argument, NULL, 'j'},         {"cold", no_argument, NULL, 'c'},
		{"fresh", no_argument, NULL, 'n'},        {"folder", required_argument, NULL, 'f'},
		{"only", required_argument, NULL, 'o'},   {"size", required_argument, NULL, 's'},
		{"repeat", required_argument, NULL, 'r'}, {0}};
	int option;

	while ((option = getopt_long(argc, argv, "", names, NULL)) != -1) {
		if (option == 'j')
			options->json = true;
		else if (option == 'c')
			options->cold = true;
		else if (option == 'n')
			options->fresh = true;
		else if (option == 'f')
			options->folder = optarg;
		else if (option == 'o')
			options->only = optarg;
		else if (option == 's')
			options->size = strtoull(optarg, NULL, 10);
		else if (option == 'r')
			options->repeat = (unsigned)strtoul(optarg, NULL, 10);
		else
			return false;
	}
	options->size <<= 20;
	return options->repeat > 0 && options->repeat <= PAIRED_REPEAT_MAX && options->size > 0 &&
	       options->size <= UINT64_C(512) << 20;
}

int main(int argc, char **argv)
{
	struct options options = {.size = SIZE_DEFAULT, .repeat = REPEAT};
	struct place place;
	unsigned count = 0;

	if (!parse(argc, argv, &options))
		return 2;
	place_make(options.folder, &place);
	for (unsigned i = 0; i < LOAD_COUNT; i++)
		if (options.only == NULL || strcmp(options.only, loads[i].name) == 0) {
			measure(&place, &loads[i], &options);
			count++;
		}
	place_remove(&place);
	if (count == 0)
		fprintf(stderr, "bench_recovery: no load \"%s\"\n", options.only);
	return count > 0 ? 0 : 2;
}
