/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/retention.h"

#include "base/check.h"
#include "base/defs.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FILE_NAME     "history"
#define FILE_NAME_NEW "history.new"

#define DAY UINT64_C(86400)

/* A reader that was set or taken away and isn't in the ledger like that. */
struct staged {
	struct ledger_pin pin;
	bool removed;
	bool handed; /* the job has it, and nothing came since */
};

enum job_state {
	JOB_IDLE,
	JOB_READY, /* the worker's */
	JOB_ENDED,
};

struct job {
	_Atomic int state; /* enum job_state; a release store by who hands it over pairs with an
			      acquire load by the other */
	struct ledger_pin pins[RETENTION_STAGED_MAX];
	char gone[RETENTION_STAGED_MAX][LEDGER_PIN_NAME_MAX + 1];
	uint32_t pin_count;
	uint32_t gone_count;
	bool writes; /* the file, too */
};

/* The file as it is to be. */
struct image {
	uint8_t *bytes; /* owned: HISTORY_SIZE_MAX */
	size_t size;    /* 0: none */
	uint64_t seqno; /* it is written when all up to here is durable */
	uint64_t taken; /* Unix seconds of the last one; 0: none so far */
};

struct retention {
	struct io *io;
	struct ledger *ledger;
	struct retention_options options;
	struct history history;
	bool dirty;         /* something was noted that is in no image */
	struct image image; /* the worker's while job.writes */
	struct job job;
	uint64_t floor; /* given out */
	uint32_t staged_count;
	struct staged staged[RETENTION_STAGED_MAX];
	uint32_t pin_count; /* as they were in the ledger when they were looked at last */
	struct ledger_pin pins[RETENTION_READER_MAX];
};

static struct retention_options with_defaults(const struct retention_options *options)
{
	struct retention_options full = *options;

	full.age = full.age ? full.age : DAY;
	full.size = full.size ? full.size : UINT64_C(1) << 30;
	full.pin_age = full.pin_age ? full.pin_age : 7 * DAY;
	full.pin_size = full.pin_size ? full.pin_size : UINT64_C(8) << 30;
	return full;
}

/* Of the limits that there are. */
static uint64_t largest(uint64_t a, uint64_t b)
{
	if (a == RETENTION_FOREVER || b == RETENTION_FOREVER)
		return MIN(a, b);
	return MAX(a, b);
}

static int read_bytes(struct retention *retention, struct io_file *file)
{
	uint64_t size;
	uint8_t *bytes;
	int rc = io_size(file, &size);

	if (rc)
		return rc;
	if (size > HISTORY_SIZE_MAX)
		return RETENTION_E_CORRUPT;
	bytes = malloc(size + 1);
	if (!bytes)
		return -ENOMEM;
	rc = io_read(file, 0, bytes, size);
	if (rc == IO_E_END)
		rc = -EIO; /* it had that size a moment ago */
	if (!rc &&
	    history_decode(&retention->history, ledger_store(retention->ledger), bytes, size))
		rc = RETENTION_E_CORRUPT;
	free(bytes);
	return rc;
}

static int read_file(struct retention *retention)
{
	struct io_file *file;
	int rc = io_open(retention->io, FILE_NAME, IO_READ_ONLY, &file);

	if (rc == IO_E_ABSENT)
		return 0;
	if (rc)
		return rc;
	rc = read_bytes(retention, file);
	io_close(file);
	return rc;
}

int retention_open(struct io *io, struct ledger *ledger, const struct retention_options *options,
		   struct retention **ret_retention)
{
	struct retention *retention = calloc(1, sizeof(*retention));
	int rc;

	if (!retention)
		return -ENOMEM;
	retention->io = io;
	retention->ledger = ledger;
	retention->options = with_defaults(options);
	retention->image.bytes = malloc(HISTORY_SIZE_MAX);
	if (!retention->image.bytes) {
		retention_close(retention);
		return -ENOMEM;
	}
	history_init(&retention->history,
		     largest(retention->options.age, retention->options.pin_age),
		     largest(retention->options.size, retention->options.pin_size));
	rc = read_file(retention);
	if (rc) {
		retention_close(retention);
		return rc;
	}
	*ret_retention = retention;
	return 0;
}

void retention_close(struct retention *retention)
{
	if (!retention)
		return;
	free(retention->image.bytes);
	free(retention);
}

void retention_note(struct retention *retention, uint64_t seqno, uint64_t now, uint64_t bytes)
{
	history_note(&retention->history, seqno, now, bytes);
	retention->dirty = true;
}

/* From where on both limits let history be. */
static uint64_t limit(const struct retention *retention, uint64_t now, uint64_t age, uint64_t size)
{
	uint64_t by_age = 0, by_size = 0;

	if (age != RETENTION_FOREVER)
		by_age = history_before(&retention->history, now, age);
	if (size != RETENTION_FOREVER)
		by_size = history_within(&retention->history, size);
	return MAX(by_age, by_size);
}

/* What lies before this is kept for nobody. */
static uint64_t pin_limit(const struct retention *retention, uint64_t now)
{
	return limit(retention, now, retention->options.pin_age, retention->options.pin_size);
}

static void look_at_pins(struct retention *retention)
{
	retention->pin_count =
		ledger_pins(retention->ledger, retention->pins, RETENTION_READER_MAX);
	CHECK(retention->pin_count <= RETENTION_READER_MAX);
}

uint64_t retention_floor(struct retention *retention, uint64_t now)
{
	uint64_t floor = limit(retention, now, retention->options.age, retention->options.size);

	look_at_pins(retention);
	for (uint32_t i = 0; i < retention->pin_count; i++)
		floor = MIN(floor, retention->pins[i].seqno);
	for (uint32_t i = 0; i < retention->staged_count; i++)
		if (!retention->staged[i].removed)
			floor = MIN(floor, retention->staged[i].pin.seqno);
	floor = MAX(floor, pin_limit(retention, now));
	retention->floor = MAX(retention->floor, floor);
	return retention->floor;
}

/* ---- the worker's side ---- */

static int write_new(struct retention *retention, const uint8_t *bytes, size_t size)
{
	struct io_file *file;
	int rc = io_open(retention->io, FILE_NAME_NEW, IO_CREATE, &file);

	if (rc)
		return rc;
	rc = io_truncate(file, 0);
	if (!rc)
		rc = io_write(file, 0, bytes, size);
	if (!rc)
		rc = io_sync(file);
	io_close(file);
	return rc;
}

static int write_file(struct retention *retention)
{
	int rc = write_new(retention, retention->image.bytes, retention->image.size);

	if (!rc)
		rc = io_rename(retention->io, FILE_NAME_NEW, FILE_NAME);
	if (!rc)
		rc = io_sync_folder(retention->io);
	return rc > 0 ? -EIO : rc;
}

static int commit(struct retention *retention)
{
	struct job *job = &retention->job;
	const char *gone[RETENTION_STAGED_MAX];
	const struct ledger_edit edit = {
		.pins = job->pins,
		.pin_count = job->pin_count,
		.pin_removes = gone,
		.pin_remove_count = job->gone_count,
	};
	int rc;

	for (uint32_t i = 0; i < job->gone_count; i++)
		gone[i] = job->gone[i];
	if (job->pin_count == 0 && job->gone_count == 0)
		return 0;
	rc = ledger_commit(retention->ledger, &edit);
	if (rc)
		return rc > 0 ? -EINVAL : rc;
	job->pin_count = job->gone_count = 0;
	return 0;
}

int retention_job(struct retention *retention)
{
	struct job *job = &retention->job;
	int rc;

	if (atomic_load_explicit(&job->state, memory_order_acquire) != JOB_READY)
		return RETENTION_E_IDLE;
	rc = commit(retention);
	if (!rc && job->writes)
		rc = write_file(retention);
	if (!rc)
		atomic_store_explicit(&job->state, JOB_ENDED, memory_order_release);
	return rc;
}

/* ---- the owner's side ---- */

static enum job_state state_of(const struct retention *retention)
{
	return (enum job_state)atomic_load_explicit(&retention->job.state, memory_order_acquire);
}

/* What was handed over is in the ledger, unless something came since. */
static void take_in(struct retention *retention)
{
	uint32_t count = 0;

	if (state_of(retention) != JOB_ENDED)
		return;
	for (uint32_t i = 0; i < retention->staged_count; i++)
		if (!retention->staged[i].handed)
			retention->staged[count++] = retention->staged[i];
	retention->staged_count = count;
	if (retention->job.writes)
		retention->image.size = 0;
	retention->job.writes = false;
	atomic_store_explicit(&retention->job.state, JOB_IDLE, memory_order_relaxed);
}

static bool is_due(const struct retention *retention, uint64_t now)
{
	uint64_t taken = retention->image.taken;

	return retention->dirty && (now < taken || now - taken >= RETENTION_SAVE_SECONDS);
}

static void take_image(struct retention *retention, uint64_t now)
{
	struct image *image = &retention->image;

	image->size =
		history_encode(&retention->history, ledger_store(retention->ledger), image->bytes);
	image->seqno = retention->history.newest.seqno;
	image->taken = now;
	retention->dirty = false;
}

static const struct ledger_pin *find_lasting(const struct retention *retention, const char *name)
{
	for (uint32_t i = 0; i < retention->pin_count; i++)
		if (strcmp(retention->pins[i].name, name) == 0)
			return &retention->pins[i];
	return NULL;
}

/* Readers that come and go between two jobs aren't in the ledger. */
static void hand_over_pins(struct retention *retention)
{
	struct job *job = &retention->job;
	uint32_t count = 0;

	look_at_pins(retention);
	for (uint32_t i = 0; i < retention->staged_count; i++) {
		struct staged *staged = &retention->staged[i];

		if (!staged->removed)
			job->pins[job->pin_count++] = staged->pin;
		else if (find_lasting(retention, staged->pin.name))
			memcpy(job->gone[job->gone_count++], staged->pin.name,
			       sizeof(staged->pin.name));
		else
			continue;
		staged->handed = true;
		retention->staged[count++] = *staged;
	}
	retention->staged_count = count;
}

/* The next job, if there is something to do. */
static void begin(struct retention *retention, uint64_t durable)
{
	struct job *job = &retention->job;

	if (retention->staged_count > 0)
		hand_over_pins(retention);
	job->writes = retention->image.size > 0 && retention->image.seqno <= durable;
	if (retention->staged_count > 0 || job->writes)
		atomic_store_explicit(&job->state, JOB_READY, memory_order_release);
}

bool retention_work(struct retention *retention, uint64_t now, uint64_t durable)
{
	take_in(retention);
	if (retention->image.size == 0 && is_due(retention, now))
		take_image(retention, now);
	if (state_of(retention) == JOB_IDLE)
		begin(retention, durable);
	return state_of(retention) == JOB_READY;
}

/* Does what waits, on this thread. */
static int settle(struct retention *retention, uint64_t durable)
{
	for (;;) {
		int rc;

		take_in(retention);
		if (state_of(retention) == JOB_IDLE)
			begin(retention, durable);
		rc = retention_job(retention);
		if (rc)
			return rc == RETENTION_E_IDLE ? 0 : rc;
	}
}

int retention_sync(struct retention *retention)
{
	return settle(retention, 0);
}

int retention_save(struct retention *retention, uint64_t now, uint64_t durable)
{
	int rc = settle(retention, durable);

	if (rc || !retention->dirty || retention->history.newest.seqno > durable)
		return rc;
	take_image(retention, now);
	return settle(retention, durable);
}

static bool is_name(const char *name)
{
	static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				      "0123456789._-";
	size_t length = strlen(name);

	return length > 0 && length <= LEDGER_PIN_NAME_MAX && strspn(name, letters) == length;
}

static struct staged *find_staged(const struct retention *retention, const char *name)
{
	for (uint32_t i = 0; i < retention->staged_count; i++)
		if (strcmp(retention->staged[i].pin.name, name) == 0)
			return (struct staged *)&retention->staged[i];
	return NULL;
}

static const struct ledger_pin *find(struct retention *retention, const char *name)
{
	const struct staged *staged = find_staged(retention, name);

	look_at_pins(retention);
	if (staged)
		return staged->removed ? NULL : &staged->pin;
	return find_lasting(retention, name);
}

static uint32_t reader_count(const struct retention *retention)
{
	uint32_t count = retention->pin_count;

	for (uint32_t i = 0; i < retention->staged_count; i++) {
		const struct staged *staged = &retention->staged[i];
		bool lasting = find_lasting(retention, staged->pin.name) != NULL;

		count += !staged->removed && !lasting;
		count -= staged->removed && lasting;
	}
	return count;
}

static const struct ledger_pin *older(const struct ledger_pin *a, const struct ledger_pin *b)
{
	return !a || b->seqno < a->seqno ? b : a;
}

/* The one that lapsed first, or NULL. */
static const struct ledger_pin *find_lapsed(const struct retention *retention, uint64_t now)
{
	const struct ledger_pin *oldest = NULL;

	for (uint32_t i = 0; i < retention->staged_count; i++)
		if (!retention->staged[i].removed)
			oldest = older(oldest, &retention->staged[i].pin);
	for (uint32_t i = 0; i < retention->pin_count; i++)
		if (!find_staged(retention, retention->pins[i].name))
			oldest = older(oldest, &retention->pins[i]);
	return oldest && oldest->seqno < pin_limit(retention, now) ? oldest : NULL;
}

/* There is room, or the reader is staged already. */
static void stage(struct retention *retention, const struct ledger_pin *pin, bool removed)
{
	const struct staged staged = {.pin = *pin, .removed = removed};
	struct staged *at = find_staged(retention, pin->name);

	if (!at) {
		CHECK(retention->staged_count < RETENTION_STAGED_MAX);
		at = &retention->staged[retention->staged_count++];
	}
	*at = staged;
}

/* Whether 'count' more readers can be staged. */
static bool has_room(struct retention *retention, uint32_t count)
{
	take_in(retention);
	return retention->staged_count + count <= RETENTION_STAGED_MAX;
}

int retention_pin(struct retention *retention, const char *name, struct feed_position position,
		  uint64_t now)
{
	struct ledger_pin pin = {.seqno = position.seqno, .index = position.index, .updated = now};

	if (!is_name(name))
		return RETENTION_E_INVALID;
	if (!has_room(retention, 2))
		return RETENTION_E_BUSY;
	snprintf(pin.name, sizeof(pin.name), "%s", name);
	if (!find(retention, name) && reader_count(retention) == RETENTION_READER_MAX) {
		const struct ledger_pin *lapsed = find_lapsed(retention, now);

		if (!lapsed)
			return RETENTION_E_FULL;
		stage(retention, lapsed, /* removed= */ true);
	}
	stage(retention, &pin, /* removed= */ false);
	return 0;
}

int retention_unpin(struct retention *retention, const char *name)
{
	bool room = has_room(retention, 1);
	const struct ledger_pin *pin = find(retention, name);

	if (!pin)
		return RETENTION_E_ABSENT;
	if (!room)
		return RETENTION_E_BUSY;
	stage(retention, pin, /* removed= */ true);
	return 0;
}

bool retention_is_saved(const struct retention *retention, const char *name)
{
	return !find_staged(retention, name);
}

int retention_find(struct retention *retention, const char *name, uint64_t now,
		   struct retention_reader *ret_reader)
{
	const struct ledger_pin *pin = find(retention, name);

	if (!pin)
		return RETENTION_E_ABSENT;
	*ret_reader = (struct retention_reader){
		.position = {.seqno = pin->seqno, .index = pin->index},
		.updated = pin->updated,
		.lapsed = pin->seqno < pin_limit(retention, now),
	};
	return 0;
}
