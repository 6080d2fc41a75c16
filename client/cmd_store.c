/* SPDX-License-Identifier: Apache-2.0 */

#include "client/cmd_store.h"

#include "base/clock.h"
#include "base/hex.h"
#include "client/bytes_json.h"
#include "client/cmd.h"
#include "client/cmd_vectors.h"
#include "engine/io.h"
#include "engine/io_overlay.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Bytes of a segment of the log: every command begins one. */
#define SEGMENT_SIZE (UINT64_C(32) << 20)

/* The same for one that hardly writes. */
#define SEGMENT_SIZE_TURN (UINT64_C(4) << 20)

/* For a store that another process has. */
#define LOCK_WAIT_NS  (2 * NS_PER_S)
#define LOCK_PAUSE_NS (10 * NS_PER_MS)

int cmd_store_fail(const struct cmd_store *store, const char *what, int result)
{
	const char *why = "no";

	switch (result) {
	case STORE_E_INVALID:
		why = "a key has 1 to 4096 bytes and doesn't begin with a zero byte, a value up to "
		      "983040, a type is below 128";
		break;
	case STORE_E_SIZE:
		why = "too much for one transaction; split it";
		break;
	case STORE_E_CORRUPT:
		why = store_error(store->store);
		break;
	case STORE_E_STOPPED:
		why = "its log failed; see whether the disk is well, and try again";
		break;
	case STORE_E_BUSY:
		why = "it is busy; try again";
		break;
	default:
		if (result < 0)
			why = strerror(-result);
		break;
	}
	return cmd_fail("%s: %s: %s", store->folder, what, why);
}

/* How a store is opened. */
enum how {
	TO_WRITE,
	TO_READ, /* in memory only */
};

/* io_uring where the kernel lets us, else plain calls. */
static int open_io(const char *folder, bool create, enum how how, struct io **ret_io)
{
	struct io *base;
	int r = how == TO_WRITE ? io_ring_new(folder, create, ret_io) : -ENOSYS;
	if (r >= 0 || r == -ENOMEM)
		return r;
	r = io_plain_new(folder, create, &base);
	if (r != 0 || how == TO_WRITE) {
		*ret_io = base;
		return r;
	}
	r = io_overlay_new(base, ret_io);
	if (r < 0)
		io_free(base);
	return r;
}

/* What a newcomer should know of a recovery that did something. */
static void tell_recovery(const struct cmd_store *store)
{
	struct store_recovery recovery = store_stats(store->store).recovery;

	if (recovery.torn_lsn > 0)
		fprintf(stderr,
			"tern: %s: the log's end was torn by a crash: change %" PRIu64
			" and what followed had not been acknowledged, and is left out\n",
			store->folder, recovery.torn_lsn);
}

/* Whoever has the store may be about to end. */
static int open_waiting(struct cmd_store *store, const struct store_options *options, bool patient,
			char *error, size_t error_size)
{
	const struct timespec pause = {.tv_nsec = LOCK_PAUSE_NS};
	uint64_t until = clock_now_ns() + (patient ? 0 : LOCK_WAIT_NS);
	int r;

	while ((r = store_open(store->io, options, &store->store, error, error_size)) ==
		       STORE_E_LOCKED &&
	       clock_now_ns() < until)
		nanosleep(&pause, NULL);
	return r;
}

static int open_store(const char *folder, const struct store_options *options, enum how how,
		      bool patient, struct cmd_store *ret_store)
{
	struct cmd_store store = {.folder = folder};
	char error[256];
	int r = open_io(folder, options->create, how, &store.io);
	if (r == IO_E_ABSENT)
		return cmd_fail("%s: no such folder; 'tern put' or 'tern load' make one", folder);
	if (r < 0)
		return cmd_fail("%s: %s", folder, strerror(-r));

	r = open_waiting(&store, options, patient, error, sizeof(error));
	if (r != 0) {
		io_free(store.io);
		return patient && r == STORE_E_LOCKED ? CMD_STORE_LOCKED
						      : cmd_fail("%s: %s", folder, error);
	}
	tell_recovery(&store);
	*ret_store = store;
	return CMD_DONE;
}

int cmd_store_open(const char *folder, bool create, struct cmd_store *ret_store)
{
	const struct store_options options = {.create = create, .wal.segment_size = SEGMENT_SIZE};

	return open_store(folder, &options, TO_WRITE, /* patient= */ false, ret_store);
}

int cmd_store_make(const char *folder, uint64_t group_ns, struct cmd_store *ret_store)
{
	const struct store_options options = {
		.create = true, .group_ns = group_ns, .wal.segment_size = SEGMENT_SIZE};

	return open_store(folder, &options, TO_WRITE, /* patient= */ false, ret_store);
}

static const struct store_options turn_options = {
	.wal = {.segment_size = SEGMENT_SIZE_TURN, .buffer_size = SEGMENT_SIZE_TURN / 2},
};

int cmd_store_read(const char *folder, bool patient, struct cmd_store *ret_store)
{
	return open_store(folder, &turn_options, TO_READ, patient, ret_store);
}

int cmd_store_take_turn(const char *folder, bool patient, struct cmd_store *ret_store)
{
	return open_store(folder, &turn_options, TO_WRITE, patient, ret_store);
}

/* What salvage had to do; of a sound store nothing. */
static void tell_salvage(const struct cmd_store *store)
{
	struct store_recovery recovery = store_stats(store->store).recovery;

	if (recovery.holes > 0 || recovery.salvaged_bytes > 0 || recovery.missing > 0)
		fprintf(stderr,
			"tern: %s: %" PRIu64 " records and %" PRIu64
			" bytes of the log could not be read and are left out (holes: %" PRIu64
			"; records of transactions that they touch, left out too: %" PRIu64 ")\n",
			store->folder, recovery.missing, recovery.salvaged_bytes, recovery.holes,
			recovery.severed);
	if (recovery.graph_made && recovery.edges > 0)
		fprintf(stderr,
			"tern: %s: the graph is made anew, of the %" PRIu64
			" edges of the key space\n",
			store->folder, recovery.edges);
}

int cmd_store_salvage(const char *folder, struct cmd_store *ret_store)
{
	const struct store_options options = {.salvage = true, .wal.segment_size = SEGMENT_SIZE};
	struct cmd_store store;
	int status = open_store(folder, &options, TO_WRITE, /* patient= */ false, &store);
	if (status != CMD_DONE)
		return status;

	tell_salvage(&store);
	int r = store_checkpoint(store.store);
	if (r != 0)
		return cmd_store_close(&store, cmd_store_fail(&store, "checkpoint", r));
	*ret_store = store;
	return CMD_DONE;
}

/* The command has done what it was asked for, but a user wants to know. */
static void say_damage(const struct cmd_store *store)
{
	const struct kv_damage *damage = kv_damage(store_kv(store->store));

	if (damage->files > 0)
		fprintf(stderr,
			"tern: %s: %" PRIu32 " damaged files are left out of compaction: %s\n",
			store->folder, damage->files, damage->line);
}

int cmd_store_close_but_io(struct cmd_store *store, int status)
{
	say_damage(store);
	int r = store_close(store->store);

	if (r != 0 && status == CMD_DONE)
		return cmd_fail("%s: what was written isn't durable: %s", store->folder,
				r < 0 ? strerror(-r) : "the log failed");
	return status;
}

struct io *cmd_store_scratch(void)
{
	const char *folder = getenv("TMPDIR");
	struct io *io;

	if (!folder || !*folder)
		folder = "/var/tmp";
	return io_plain_new(folder, /* create= */ false, &io) == 0 ? io : NULL;
}

int cmd_store_close(struct cmd_store *store, int status)
{
	status = cmd_store_close_but_io(store, status);
	io_free(store->io);
	return status;
}

/* What the store asks for, so that it takes more. */
static int make_room(struct cmd_store *store)
{
	enum kv_need need;
	int r = store_work(store->store, clock_now_ns(), &need);

	if (r == 0 && need == KV_NEED_JOB)
		r = store_job(store->store);
	return r == STORE_E_IDLE ? 0 : r;
}

int cmd_store_try_commit(struct cmd_store *store, enum store_durability durability,
			 uint64_t *ret_lsn)
{
	int r;

	/* The log's room comes with its next sync, which may be a second away. */
	while ((r = store_commit(store->store, durability, ret_lsn)) == STORE_E_BUSY) {
		r = store_sync(store->store);
		if (r == 0)
			r = make_room(store);
		if (r != 0)
			return r;
	}
	return r;
}

int cmd_store_sync(struct cmd_store *store)
{
	int r = store_sync(store->store);

	return r == 0 ? CMD_DONE : cmd_store_fail(store, "syncing the log", r);
}

int cmd_store_commit(struct cmd_store *store, uint64_t *ret_lsn)
{
	int r = cmd_store_try_commit(store, STORE_SYNC, ret_lsn);

	return r == 0 ? cmd_store_sync(store) : cmd_store_fail(store, "writing", r);
}

int cmd_store_commit_some(struct cmd_store *store, enum store_durability durability)
{
	uint64_t lsn;
	int r = cmd_store_try_commit(store, durability, &lsn);
	if (r != 0)
		return cmd_store_fail(store, "writing", r);
	if (durability == STORE_SYNC && cmd_store_sync(store) != CMD_DONE)
		return CMD_FAILED;
	r = store_poll(store->store, clock_now_ns());
	if (r == 0)
		r = make_room(store);
	return r == 0 ? CMD_DONE : cmd_store_fail(store, "working", r);
}

int cmd_bytes(const char *text, bool hex, uint8_t **ret_bytes, uint32_t *ret_size)
{
	size_t length = strlen(text);
	if (length > UINT32_MAX / 2 || (hex && length % 2 != 0))
		return cmd_usage("'%.32s' isn't a row of hex digits, two a byte", text);
	uint8_t *bytes = malloc(length + 1);
	if (bytes == NULL)
		return cmd_fail("no memory for %zu bytes", length);

	if (!hex) {
		memcpy(bytes, text, length);
		*ret_bytes = bytes;
		*ret_size = (uint32_t)length;
		return CMD_DONE;
	}
	if (!hex_read(text, length / 2, bytes)) {
		free(bytes);
		return cmd_usage("'%.32s' isn't a row of hex digits, two a byte", text);
	}
	*ret_bytes = bytes;
	*ret_size = (uint32_t)(length / 2);
	return CMD_DONE;
}

bool cmd_edge(const char *text, size_t length, struct edge_key *ret_edge)
{
	char *end;
	errno = 0;
	long long source = strtoll(text, &end, 10);
	if (end == text || (*end != ' ' && *end != '\t'))
		return false;
	char *second = end;
	long long target = strtoll(second, &end, 10);
	if (end == second || end != text + length || errno != 0)
		return false;
	*ret_edge = (struct edge_key){.source = source, .target = target};
	return true;
}

void cmd_print_entry(struct entry_bytes key, const struct entry *entry)
{
	json_t *object = json_object();

	bytes_json_set(object, "key", key);
	bytes_json_set(object, "value", entry->value);
	json_object_set_new(object, "type", json_integer(entry->type));
	json_object_set_new(object, "lsn", json_integer((json_int_t)entry->seqno));
	if (entry->expires > 0)
		json_object_set_new(object, "expires", json_integer((json_int_t)entry->expires));
	cmd_json(object);
}

static bool is_utf8(struct entry_bytes bytes)
{
	json_t *string = json_stringn((const char *)bytes.bytes, bytes.size);

	json_decref(string);
	return string != NULL;
}

/* Characters beyond ASCII stay, but the controls from U+0080 to U+009F, which a terminal obeys. */
void cmd_print_bytes(FILE *file, struct entry_bytes bytes)
{
	bool text = bytes.size > 0 && is_utf8(bytes);

	for (uint32_t i = 0; i < bytes.size; i++) {
		uint8_t byte = bytes.bytes[i];
		bool control = byte == 0xC2 && i + 1 < bytes.size && bytes.bytes[i + 1] < 0xA0;

		if (byte < 0x20 || byte == 0x7f || byte == '\\' || (byte >= 0x80 && !text))
			fprintf(file, "\\x%02x", byte);
		else if (control)
			fprintf(file, "\\xc2\\x%02x", bytes.bytes[++i]);
		else
			putc(byte, file);
	}
}
