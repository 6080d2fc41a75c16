/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/retention.h"

#include "base/check.h"
#include "base/defs.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FILE_NAME     "history"
#define FILE_NAME_NEW "history.new"

#define DAY UINT64_C(86400)

struct retention {
	struct io *io;
	struct ledger *ledger;
	struct retention_options options;
	struct history history;
	bool dirty;         /* something was noted that isn't in the file */
	uint64_t saved_at;  /* Unix seconds; 0: not yet */
	uint64_t floor;     /* given out */
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
	floor = MAX(floor, pin_limit(retention, now));
	retention->floor = MAX(retention->floor, floor);
	return retention->floor;
}

bool retention_is_due(const struct retention *retention, uint64_t now)
{
	return retention->dirty &&
	       (now < retention->saved_at || now - retention->saved_at >= RETENTION_SAVE_SECONDS);
}

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

int retention_save(struct retention *retention, uint64_t now)
{
	uint8_t *bytes;
	size_t size;
	int rc;

	if (!retention->dirty)
		return 0;
	bytes = malloc(HISTORY_SIZE_MAX);
	if (!bytes)
		return -ENOMEM;
	size = history_encode(&retention->history, ledger_store(retention->ledger), bytes);
	rc = write_new(retention, bytes, size);
	free(bytes);
	if (!rc)
		rc = io_rename(retention->io, FILE_NAME_NEW, FILE_NAME);
	if (!rc)
		rc = io_sync_folder(retention->io);
	if (rc)
		return rc < 0 ? rc : -EIO;
	retention->dirty = false;
	retention->saved_at = now;
	return 0;
}

static bool is_name(const char *name)
{
	static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				      "0123456789._-";
	size_t length = strlen(name);

	return length > 0 && length <= LEDGER_PIN_NAME_MAX && strspn(name, letters) == length;
}

static const struct ledger_pin *find(struct retention *retention, const char *name)
{
	look_at_pins(retention);
	for (uint32_t i = 0; i < retention->pin_count; i++)
		if (strcmp(retention->pins[i].name, name) == 0)
			return &retention->pins[i];
	return NULL;
}

/* The one that lapsed first, or NULL. */
static const struct ledger_pin *find_lapsed(const struct retention *retention, uint64_t now)
{
	uint64_t before = pin_limit(retention, now);
	const struct ledger_pin *lapsed = NULL;

	for (uint32_t i = 0; i < retention->pin_count; i++) {
		const struct ledger_pin *pin = &retention->pins[i];

		if (pin->seqno < before && (!lapsed || pin->seqno < lapsed->seqno))
			lapsed = pin;
	}
	return lapsed;
}

static int commit(struct retention *retention, const struct ledger_edit *edit)
{
	int rc = ledger_commit(retention->ledger, edit);

	return rc > 0 ? -EINVAL : rc;
}

int retention_pin(struct retention *retention, const char *name, struct feed_position position,
		  uint64_t now)
{
	struct ledger_pin pin = {.seqno = position.seqno, .index = position.index, .updated = now};
	struct ledger_edit edit = {.pins = &pin, .pin_count = 1};
	const struct ledger_pin *lapsed;
	const char *gone;

	if (!is_name(name))
		return RETENTION_E_INVALID;
	snprintf(pin.name, sizeof(pin.name), "%s", name);
	if (!find(retention, name) && retention->pin_count == RETENTION_READER_MAX) {
		lapsed = find_lapsed(retention, now);
		if (!lapsed)
			return RETENTION_E_FULL;
		gone = lapsed->name;
		edit.pin_removes = &gone;
		edit.pin_remove_count = 1;
	}
	return commit(retention, &edit);
}

int retention_unpin(struct retention *retention, const char *name)
{
	const struct ledger_edit edit = {.pin_removes = &name, .pin_remove_count = 1};

	return find(retention, name) ? commit(retention, &edit) : RETENTION_E_ABSENT;
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
