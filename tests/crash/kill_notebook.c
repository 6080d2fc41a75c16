/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/killed.h"
#include "tests/lib/notebook.h"

#include <stdio.h>
#include <string.h>

/* A notebook on real files, written by a process that is killed, through each io. */

#define TITLE_EVERY 16

static int open_io(const char *folder, int (*make)(const char *, bool, struct io **),
		   struct io **ret_io)
{
	int error = make(folder, /* create= */ true, ret_io);

	if (error)
		return error;
	error = io_lock(*ret_io);
	if (error)
		io_free(*ret_io);
	return error;
}

static int write_on(const char *folder, uint64_t seed, uint64_t done, int tell,
		    int (*make)(const char *, bool, struct io **))
{
	struct notebook notebook;
	struct io *io;
	int error = open_io(folder, make, &io);

	if (!error)
		error = notebook_open(io, seed, 0, &notebook);
	if (!error && done >= TITLE_EVERY) /* the one before may have died just before it */
		error = notebook_set_title(&notebook, done - done % TITLE_EVERY);
	while (!error) {
		error = notebook_add(&notebook);
		if (!error)
			error = notebook_sync(&notebook);
		if (!error && notebook.count % TITLE_EVERY == 0)
			error = notebook_set_title(&notebook, notebook.count);
		if (!error)
			killed_tell(tell, notebook.count);
	}
	return error;
}

static int run_plain(const char *folder, uint64_t seed, uint64_t done, int tell)
{
	return write_on(folder, seed, done, tell, io_plain_new);
}

static int run_ring(const char *folder, uint64_t seed, uint64_t done, int tell)
{
	return write_on(folder, seed, done, tell, io_ring_new);
}

static int check(const char *folder, uint64_t seed, uint64_t *ret_done, char *error,
		 size_t error_size)
{
	struct notebook notebook;
	struct io *io;
	int result = open_io(folder, io_plain_new, &io);

	if (result == 0)
		result = notebook_open(io, seed, 0, &notebook);
	if (result) {
		snprintf(error, error_size, "opening it: %s", strerror(-result));
		return 1;
	}
	notebook_close(&notebook);
	io_free(io);
	if (notebook.title > notebook.count || notebook.count - notebook.title > TITLE_EVERY + 1) {
		snprintf(error, error_size, "%llu lines and title %llu",
			 (unsigned long long)notebook.count, (unsigned long long)notebook.title);
		return 1;
	}
	*ret_done = notebook.count;
	return 0;
}

int main(void)
{
	static const struct killed_workload plain = {"plain", run_plain, check};
	static const struct killed_workload ring = {"ring", run_ring, check};
	struct io *io;
	int error = io_ring_new(".", false, &io);

	if (error) {
		printf("ring skipped: the kernel says %s\n", strerror(-error));
		return killed_loop(&plain, 1);
	}
	io_free(io);
	return killed_loop(&plain, 1) | killed_loop(&ring, 2);
}
