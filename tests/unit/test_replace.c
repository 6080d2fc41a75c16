/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/test.h"

#include "cluster/replace.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[] = "/tmp/test_replace.XXXXXX";
static char file[64];

static void expect_content(const char *expected)
{
	char content[64] = "";
	FILE *stream = fopen(file, "r");

	assert_non_null(stream);
	assert_int_equal(fread(content, 1, sizeof(content) - 1, stream), strlen(expected));
	assert_string_equal(content, expected);
	fclose(stream);
}

static void a_file_is_made_and_replaced(void **state)
{
	assert_int_equal(replace_file(file, "one", 3), 0);
	expect_content("one");
	assert_int_equal(replace_file(file, "second", 6), 0);
	expect_content("second");
}

static void until_the_commit_the_old_file_is_there(void **state)
{
	struct replace replace;

	assert_int_equal(replace_file(file, "old", 3), 0);
	assert_int_equal(replace_begin(&replace, file), 0);
	fputs("new", replace.file);
	fflush(replace.file);
	expect_content("old");
	assert_int_equal(replace_commit(&replace), 0);
	expect_content("new");
}

static void an_abort_leaves_everything_as_it_was(void **state)
{
	struct replace replace;

	assert_int_equal(replace_file(file, "old", 3), 0);
	assert_int_equal(replace_begin(&replace, file), 0);
	fputs("new", replace.file);
	replace_abort(&replace);
	expect_content("old");
}

static void a_write_that_failed_is_not_committed(void **state)
{
	struct replace replace;

	assert_int_equal(replace_file(file, "old", 3), 0);
	assert_int_equal(replace_begin(&replace, file), 0);
	fputs("new", replace.file);
	/* As a full disk does: the stream's descriptor takes nothing more. */
	assert_non_null(freopen("/dev/full", "w", replace.file));
	fputs("new", replace.file);
	assert_int_equal(replace_commit(&replace), -ENOSPC);
	expect_content("old");
}

/* Far more than a stream buffers, so that the failure comes long before the commit. */
static void a_write_that_failed_early_says_why(void **state)
{
	static const char much[100000];
	struct replace replace;

	assert_int_equal(replace_file(file, "old", 3), 0);
	assert_int_equal(replace_begin(&replace, file), 0);
	assert_non_null(freopen("/dev/full", "w", replace.file));
	for (size_t i = 0; i < sizeof(much); i += 100)
		(void)fwrite(much + i, 1, 100, replace.file);
	assert_true(ferror(replace.file));
	assert_int_equal(replace_commit(&replace), -ENOSPC);
	expect_content("old");
}

static void a_folder_is_not_replaced(void **state)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/sub", folder);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(replace_file(path, "x", 1), -EISDIR);
	assert_int_equal(rmdir(path), 0);
}

static void a_path_that_is_not_there_or_too_long_is_refused(void **state)
{
	char path[PATH_MAX];

	assert_int_equal(replace_file("/nowhere/x", "x", 1), -ENOENT);
	memset(path, 'x', sizeof(path) - 1);
	path[sizeof(path) - 1] = 0;
	assert_int_equal(replace_file(path, "x", 1), -ENAMETOOLONG);
}

static int make_folder(void **state)
{
	if (!mkdtemp(folder))
		return -1;
	snprintf(file, sizeof(file), "%s/file", folder);
	return 0;
}

/* Fails when a temporary was left behind. */
static int remove_folder(void **state)
{
	(void)unlink(file);
	return rmdir(folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_file_is_made_and_replaced),
		cmocka_unit_test(until_the_commit_the_old_file_is_there),
		cmocka_unit_test(an_abort_leaves_everything_as_it_was),
		cmocka_unit_test(a_write_that_failed_is_not_committed),
		cmocka_unit_test(a_write_that_failed_early_says_why),
		cmocka_unit_test(a_folder_is_not_replaced),
		cmocka_unit_test(a_path_that_is_not_there_or_too_long_is_refused),
	};

	return cmocka_run_group_tests(tests, make_folder, remove_folder) != 0;
}
