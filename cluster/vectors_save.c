/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A saved index is a segment file whose name says of which collection it is, and as of which
 * number. The ledger's pin of that name says which number counts: a file is saved and synced before
 * the pin names it, and others are removed behind that. The pin also keeps the history that brings
 * the index up to date.
 */

#include "cluster/vectors_internal.h"
#include "hnsw/segment.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SUFFIX ".segment"

static int path_of(const struct vectors *vectors, uint64_t number, char path[PATH_MAX])
{
	int length = snprintf(path, PATH_MAX, "%s/%s-%016" PRIx64 SUFFIX, vectors->options.folder,
			      vectors->pin, number);

	return length < PATH_MAX ? 0 : -ENAMETOOLONG;
}

bool vectors_find_pin(struct store *store, const char *pin, uint64_t *ret_number)
{
	struct ledger *ledger = store_ledger(store);
	uint32_t count = ledger_pins(ledger, NULL, 0);
	struct ledger_pin *pins = calloc(count + 1, sizeof(*pins));
	bool found = false;
	if (pins == NULL)
		return false;

	uint32_t there = ledger_pins(ledger, pins, count);
	for (uint32_t i = 0; i < count && i < there && !found; i++) {
		found = strcmp(pins[i].name, pin) == 0;
		if (found)
			*ret_number = pins[i].seqno - 1;
	}
	free(pins);
	return found;
}

static bool fits(const struct vectors *vectors, const struct segment *segment)
{
	return segment->dim == vectors->schema.dim && segment->type == vectors->schema.type &&
	       segment->metric == vectors->schema.metric;
}

static void say_unused(struct vectors *vectors, const char *path, const char *why)
{
	snprintf(vectors->unused, sizeof(vectors->unused), "%.60s: %.180s", strrchr(path, '/') + 1,
		 why);
}

int vectors_load(struct vectors *vectors, bool *ret_found)
{
	struct segment_open_options memory = {.numa_node = -1};
	struct segment segment;
	char path[PATH_MAX];
	char why[256];
	uint64_t number;

	*ret_found = false;
	if (!vectors_find_pin(vectors->store, vectors->pin, &number))
		return 0;
	int r = path_of(vectors, number, path);
	if (r < 0)
		return r;
	r = segment_open(path, &memory, &segment, why, sizeof(why));
	if (r != 0) {
		vectors->damaged = true;
		say_unused(vectors, path, why);
		return 0;
	}
	if (!fits(vectors, &segment)) {
		segment_close(&segment);
		vectors->damaged = true;
		say_unused(vectors, path, "it isn't of the collection's vectors");
		return 0;
	}

	vectors->position = number;
	r = vectors_open_feed(vectors);
	/* Without the history between, the key space has to tell everything. */
	if (r == 0 && feed_oldest(vectors->feed) > number + 1)
		r = VECTORS_E_ABSENT;
	if (r == 0)
		r = live_adopt(vectors->live, &segment, NULL);
	if (r == 0) {
		*ret_found = true;
		return 0;
	}
	segment_close(&segment);
	feed_close(vectors->feed);
	vectors->feed = NULL;
	if (r != VECTORS_E_ABSENT)
		return r;
	say_unused(vectors, path, "the changes behind it are gone from the history");
	return 0;
}

/* Removes saved indexes of the collection that the pin doesn't name. */
static int remove_others(const struct vectors *vectors, uint64_t number)
{
	char keep[NAME_MAX + 1];
	size_t length = strlen(vectors->pin);
	DIR *folder = opendir(vectors->options.folder);
	if (folder == NULL)
		return -errno;

	snprintf(keep, sizeof(keep), "%s-%016" PRIx64 SUFFIX, vectors->pin, number);
	for (struct dirent *entry = readdir(folder); entry != NULL; entry = readdir(folder)) {
		if (strncmp(entry->d_name, vectors->pin, length) == 0 &&
		    entry->d_name[length] == '-' && strcmp(entry->d_name, keep) != 0)
			(void)unlinkat(dirfd(folder), entry->d_name, 0);
	}
	closedir(folder);
	return 0;
}

static int pin(struct vectors *vectors, uint64_t number)
{
	struct ledger_pin pin = {.seqno = number + 1, .updated = store_clock(vectors->store)};
	struct ledger_edit edit = {.pins = &pin, .pin_count = 1};

	snprintf(pin.name, sizeof(pin.name), "%s", vectors->pin);
	int r = ledger_commit(store_ledger(vectors->store), &edit);
	return r > 0 ? -EINVAL : r;
}

int vectors_save(struct vectors *vectors)
{
	char path[PATH_MAX];

	if (vectors->options.folder == NULL)
		return -EINVAL;
	/* What isn't durable may be another change after a crash. */
	int r = store_sync(vectors->store);
	if (r != 0)
		return r > 0 ? VECTORS_E_STOPPED : r;
	r = vectors_settle(vectors);
	if (r != 0)
		return r;
	live_settle(vectors->live);
	r = vectors_settle(vectors);
	if (r != 0)
		return r;

	const struct segment *segment = live_segment(vectors->live, 0);
	struct live_stats stats = live_stats(vectors->live);
	if (segment == NULL || stats.sealed != 1 || stats.dead != 0 ||
	    stats.vectors != segment->count)
		return stats.vectors == 0 ? 0 : -EAGAIN;
	struct build_image image = {.bytes = (void *)segment->image, .size = segment->image_size};
	uint64_t number = vectors->position;
	r = path_of(vectors, number, path);
	if (r == 0)
		r = build_image_save(&image, path);
	if (r == 0)
		r = pin(vectors, number);
	return r == 0 ? remove_others(vectors, number) : r;
}
