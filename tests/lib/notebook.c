/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/notebook.h"

#include "base/hash.h"

#include <errno.h>
#include <stddef.h>

/* A quarter of a sector: lines that share a sector are torn together, others apart. */
struct line {
	uint64_t number;
	uint64_t durable; /* lines */
	uint64_t filling[13];
	uint64_t proof;
};

static uint64_t proof_of(const struct notebook *notebook, const struct line *line)
{
	uint64_t proof = hash_mix64(notebook->seed);
	const uint64_t *words = &line->number;

	for (size_t i = 0; i < offsetof(struct line, proof) / sizeof(*words); i++)
		proof = hash_mix64(proof + words[i]);
	return proof;
}

static bool is_line(const struct notebook *notebook, const struct line *line, uint64_t number)
{
	return line->number == number && line->proof == proof_of(notebook, line);
}

static int write_line(struct notebook *notebook, struct io_file *file, uint64_t offset,
		      uint64_t number)
{
	struct line line = {.number = number, .durable = notebook->durable};
	int error;

	line.proof = proof_of(notebook, &line);
	error = io_write(file, offset, &line, sizeof(line));
	return notebook->bugs & NOTEBOOK_DEAF ? 0 : error;
}

static int sync_file(struct notebook *notebook, struct io_file *file)
{
	int error = io_sync(file);

	if (error && (notebook->bugs & NOTEBOOK_SYNC_AGAIN))
		error = io_sync(file);
	return error;
}

static int sync_names(struct notebook *notebook)
{
	return notebook->bugs & NOTEBOOK_NAME_UNSYNCED ? 0 : io_sync_folder(notebook->io);
}

/* The index-th line, from 0. */
static int read_line(struct notebook *notebook, uint64_t index, struct line *ret_line)
{
	int error =
		io_read(notebook->notes, index * sizeof(*ret_line), ret_line, sizeof(*ret_line));

	return error > 0 ? -EIO : error;
}

/* Whether the line behind 'count' was durable once, as a later one knows. */
static int look_behind(struct notebook *notebook, uint64_t count, uint64_t line_count)
{
	struct line line;

	for (uint64_t index = count + 1; index < line_count; index++) {
		int error = read_line(notebook, index, &line);

		if (error)
			return error;
		if (is_line(notebook, &line, index + 1) && line.durable > count)
			return -EBADMSG;
	}
	return 0;
}

static int read_notes(struct notebook *notebook)
{
	uint64_t size, line_count;
	struct line line;
	int error = io_size(notebook->notes, &size);

	line_count = error ? 0 : size / sizeof(line);
	while (!error && notebook->count < line_count) {
		error = read_line(notebook, notebook->count, &line);
		if (!error && !is_line(notebook, &line, notebook->count + 1))
			break;
		notebook->count += !error;
	}
	if (!error && !(notebook->bugs & NOTEBOOK_BLIND))
		error = look_behind(notebook, notebook->count, line_count);
	if (!error && size != notebook->count * sizeof(line))
		error = io_truncate(notebook->notes, notebook->count * sizeof(line));
	/* What was there and not synced is about to be relied upon. */
	if (!error)
		error = sync_file(notebook, notebook->notes);
	if (!error)
		notebook->durable = notebook->count;
	return error;
}

static int read_title(struct notebook *notebook)
{
	struct io_file *file;
	struct line line;
	int error = io_open(notebook->io, "title", IO_READ_ONLY, &file);

	if (error)
		return error == IO_E_ABSENT ? 0 : error;
	error = io_read(file, 0, &line, sizeof(line));
	io_close(file);
	if (error)
		return error > 0 ? -EBADMSG : error;
	if (!is_line(notebook, &line, line.number))
		return -EBADMSG;
	notebook->title = line.number;
	return 0;
}

int notebook_open(struct io *io, uint64_t seed, unsigned bugs, struct notebook *ret_notebook)
{
	struct notebook notebook = {.io = io, .seed = seed, .bugs = bugs};
	int error = io_open(io, "notes", IO_CREATE, &notebook.notes);

	if (error)
		return error;
	error = sync_names(&notebook);
	if (!error)
		error = read_notes(&notebook);
	if (!error)
		error = read_title(&notebook);
	if (error) {
		io_close(notebook.notes);
		return error;
	}
	*ret_notebook = notebook;
	return 0;
}

void notebook_close(struct notebook *notebook)
{
	io_close(notebook->notes);
}

int notebook_add(struct notebook *notebook)
{
	int error = write_line(notebook, notebook->notes, notebook->count * sizeof(struct line),
			       notebook->count + 1);

	if (!error)
		notebook->count++;
	return error;
}

int notebook_sync(struct notebook *notebook)
{
	int error = notebook->bugs & NOTEBOOK_UNSYNCED ? 0 : sync_file(notebook, notebook->notes);

	if (!error)
		notebook->durable = notebook->count;
	return error;
}

int notebook_set_title(struct notebook *notebook, uint64_t title)
{
	struct io_file *file;
	int error = io_open(notebook->io, "title.new", IO_CREATE, &file);

	if (error)
		return error;
	error = write_line(notebook, file, 0, title);
	if (!error && !(notebook->bugs & NOTEBOOK_TITLE_UNSYNCED))
		error = sync_file(notebook, file);
	io_close(file);
	if (!error)
		error = io_rename(notebook->io, "title.new", "title");
	if (error)
		return error > 0 ? -EIO : error;
	return sync_names(notebook);
}
