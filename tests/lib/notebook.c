/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/notebook.h"

#include "base/hash.h"

#include <errno.h>

/* A quarter of a sector: lines that share a sector are torn together, others apart. */
struct line {
	uint64_t number;
	uint64_t proof;
	uint64_t filling[14];
};

static uint64_t proof_of(const struct notebook *notebook, uint64_t number)
{
	return hash_mix64(notebook->seed * 1000003 + number);
}

static bool is_line(const struct notebook *notebook, const struct line *line, uint64_t number)
{
	return line->number == number && line->proof == proof_of(notebook, number);
}

static int write_line(struct notebook *notebook, struct io_file *file, uint64_t offset,
		      uint64_t number)
{
	struct line line = {.number = number, .proof = proof_of(notebook, number)};
	int error = io_write(file, offset, &line, sizeof(line));

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

static int read_notes(struct notebook *notebook)
{
	uint64_t size;
	struct line line;
	int error = io_size(notebook->notes, &size);

	if (error)
		return error;
	while (size >= (notebook->count + 1) * sizeof(line)) {
		error = io_read(notebook->notes, notebook->count * sizeof(line), &line,
				sizeof(line));
		if (error)
			return error > 0 ? -EIO : error;
		if (!is_line(notebook, &line, notebook->count + 1))
			break;
		notebook->count++;
	}
	if (size == notebook->count * sizeof(line))
		return 0;
	error = io_truncate(notebook->notes, notebook->count * sizeof(line));
	return error ? error : sync_file(notebook, notebook->notes);
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
	return notebook->bugs & NOTEBOOK_UNSYNCED ? 0 : sync_file(notebook, notebook->notes);
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
