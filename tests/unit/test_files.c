/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/test.h"

#include "client/files.h"

#include <errno.h>
#include <hdf5.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[] = "/tmp/test_files.XXXXXX";
static char error[FILES_ERROR_MAX];

static const char *path_of(const char *name)
{
	static char path[256];

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	return path;
}

/* Attaches hex bytes under 'name'; the bytes stay until the next call. */
static int attach(const char *name, const char *hex, struct files *files)
{
	static uint8_t bytes[4096];
	size_t size = test_unhex(hex, bytes, sizeof(bytes));

	error[0] = 0;
	return files_attach(name, bytes, size, files, error);
}

/* The text must name the file and say each of the words. */
static void expect_error(const char *name, const char *words)
{
	assert_ptr_equal(strstr(error, name), error);
	if (!strstr(error, words))
		fail_msg("'%s' doesn't say '%s'", error, words);
	assert_null(strchr(error, '\n'));
}

static void expect_refused(const char *name, const char *hex, const char *words)
{
	struct files files;

	assert_int_equal(attach(name, hex, &files), FILES_E_INVALID);
	expect_error(name, words);
}

static void expect_floats(struct files *files, uint32_t count, uint32_t dim, const float *expected)
{
	const float *rows;

	assert_int_equal(files->count, count);
	assert_int_equal(files->dim, dim);
	assert_int_equal(files_floats(files, &rows, error), 0);
	for (uint32_t i = 0; i < count * dim; i++)
		assert_float_equal(rows[i], expected[i], 0);
	files_close(files);
}

static void an_fvecs_gives_its_rows(void **state)
{
	struct files files;

	assert_int_equal(
		attach("a.fvecs", "02000000 0000803f 000000c0  02000000 00004040 0000a040", &files),
		0);
	expect_floats(&files, 2, 2, (float[]){1, -2, 3, 5});
}

static void a_bvecs_and_the_bin_files_of_bytes_give_their_rows(void **state)
{
	struct files files;

	assert_int_equal(attach("a.bvecs", "03000000 0180ff 03000000 000203", &files), 0);
	expect_floats(&files, 2, 3, (float[]){1, 128, 255, 0, 2, 3});
	assert_int_equal(attach("a.u8bin", "01000000 03000000 0180ff", &files), 0);
	expect_floats(&files, 1, 3, (float[]){1, 128, 255});
	assert_int_equal(attach("a.i8bin", "01000000 03000000 0180ff", &files), 0);
	expect_floats(&files, 1, 3, (float[]){1, -128, -1});
}

static void an_fbin_is_lent_without_a_copy(void **state)
{
	_Alignas(8) static const uint8_t bytes[] = {1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0x80, 0x3f};
	const float *rows;
	struct files files;

	assert_int_equal(files_attach("a.fbin", bytes, sizeof(bytes), &files, error), 0);
	assert_int_equal(files_floats(&files, &rows, error), 0);
	assert_ptr_equal(rows, bytes + 8);
	assert_float_equal(rows[0], 1, 0);
	files_close(&files);
}

static void an_ivecs_gives_whole_numbers(void **state)
{
	const int32_t *rows;
	struct files files;

	assert_int_equal(attach("t.ivecs", "02000000 07000000 ffffffff", &files), 0);
	assert_int_equal(files_ints(&files, &rows, error), 0);
	assert_int_equal(rows[0], 7);
	assert_int_equal(rows[1], -1);
	files_close(&files);
}

/* A .npy with the given dictionary and 'values' bytes of zeros behind it. */
static int attach_npy(const char *dictionary, unsigned version, size_t values, struct files *files)
{
	static uint8_t bytes[4096];
	size_t length = strlen(dictionary), head = version == 1 ? 10 : 12;

	memset(bytes, 0, sizeof(bytes));
	memcpy(bytes, "\x93NUMPY", 6);
	bytes[6] = (uint8_t)version;
	bytes[8] = (uint8_t)length;
	bytes[9] = (uint8_t)(length >> 8);
	memcpy(bytes + head, dictionary, length);
	return files_attach("a.npy", bytes, head + length + values, files, error);
}

static void a_npy_of_each_version_and_type_is_read(void **state)
{
	static const struct {
		const char *descr;
		size_t size;
	} types[] = {{"<f4", 4}, {"<f8", 8}, {"|u1", 1}, {"|i1", 1}, {"<i4", 4}, {"<i8", 8}};
	struct files files;
	char text[128];

	for (unsigned i = 0; i < 6; i++)
		for (unsigned version = 1; version <= 3; version++) {
			snprintf(text, sizeof(text),
				 "{'descr': '%s', 'fortran_order': False, 'shape': (2, 3), }   \n",
				 types[i].descr);
			assert_int_equal(attach_npy(text, version, 6 * types[i].size, &files), 0);
			expect_floats(&files, 2, 3, (float[6]){0});
			assert_int_equal(attach_npy(text, version, 6 * types[i].size - 1, &files),
					 FILES_E_INVALID);
			expect_error("a.npy", "cut off");
		}
}

static void a_npy_that_is_not_plain_rows_says_what_to_save_instead(void **state)
{
	static const char *const cases[][2] = {
		{"{'descr': '>f4', 'fortran_order': False, 'shape': (1, 1), }", "astype('<f4')"},
		{"{'descr': '|O', 'fortran_order': False, 'shape': (1, 1), }", "astype('<f4')"},
		{"{'descr': '<f4', 'fortran_order': True, 'shape': (1, 1), }", "ascontiguousarray"},
		{"{'descr': '<f4', 'fortran_order': False, 'shape': (1,), }", "two dimensions"},
		{"{'descr': '<f4', 'fortran_order': False, 'shape': (1, 1, 1), }",
		 "two dimensions"},
		{"{'descr': '<f4', 'fortran_order': False, 'shape': (-1, 1), }", "two dimensions"},
		{"{'descr': '<f4', 'fortran_order': False, 'shape': (1234567890123456789, 1), }",
		 "two dimensions"},
		{"{'descr': '<f4', 'fortran_order': False, 'shape': (123456789012345678, 1), }",
		 "at most"},
		{"{'descr': '<f4', 'fortran_order': False, 'shape': (1, 0), }", "values"},
		{"{'descr': '<f4', 'fortran_order': False, }", "lacks"},
		{"{'descr': '<f4', 'x': 1, }", "something else"},
		{"{'descr': '<f4', 'fortran_order': False, 'shape': (1, 1), } x", "follows"},
		{"{'descr': '<f4'", "something else"},
		{"", "no dictionary"},
	};
	struct files files;

	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(attach_npy(cases[i][0], 1, 64, &files), FILES_E_INVALID);
		expect_error("a.npy", cases[i][1]);
	}
}

static void broken_headers_are_refused_with_the_place(void **state)
{
	expect_refused("a.fvecs", "0200", "cut off");
	expect_refused("a.fvecs", "00000000 0000803f", "row 0");
	expect_refused("a.fvecs", "ffffffff 0000803f", "row 0");
	expect_refused("a.fvecs", "01000000 0000803f 01000000", "cut off at row 1");
	expect_refused("a.fbin", "01000000", "cut off");
	expect_refused("a.fbin", "01000000 00000000", "0 values");
	expect_refused("a.fbin", "ffffffff ffffffff", "values");
	expect_refused("a.fbin", "ffffffff 01000000", "at most");
	expect_refused("a.fbin", "02000000 01000000 0000803f", "cut off");
	expect_refused("a.u8bin", "01000000 01000000 0000803f", "ending");
	expect_refused("a.npy", "00", "magic");
	expect_refused("a.npy", "934e554d5059 0400 0000 0000", "version 4");
	expect_refused("a.npy", "934e554d5059 0100 ffff 0000", "cut off");
	expect_refused("a.txt", "00", "ending");
	expect_refused("a.hdf5", "00", "HDF5");
}

static void a_row_of_another_length_is_found_when_it_is_taken(void **state)
{
	const float *rows;
	const int32_t *ints;
	struct files files;

	assert_int_equal(attach("a.fvecs", "01000000 0000803f 02000000 00004040", &files), 0);
	assert_int_equal(files_floats(&files, &rows, error), FILES_E_INVALID);
	expect_error("a.fvecs", "row 1 at offset 8");
	files_close(&files);
	assert_int_equal(attach("a.ivecs", "01000000 0000803f 02000000 00004040", &files), 0);
	assert_int_equal(files_ints(&files, &ints, error), FILES_E_INVALID);
	expect_error("a.ivecs", "row 1 at offset 8");
	files_close(&files);
}

static void values_that_are_not_finite_are_refused(void **state)
{
	static const char *const cases[][2] = {
		{"a.fvecs", "02000000 0000803f 0000c07f"},         /* NaN, converted */
		{"a.fbin", "01000000 02000000 0000803f 000080ff"}, /* -infinity, lent */
	};
	const float *rows;
	struct files files;

	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(attach(cases[i][0], cases[i][1], &files), 0);
		assert_int_equal(files_floats(&files, &rows, error), FILES_E_INVALID);
		expect_error(cases[i][0], "row 0, value 1");
		files_close(&files);
	}
}

static void floats_are_no_row_numbers(void **state)
{
	const int32_t *rows;
	struct files files;

	assert_int_equal(attach("a.fvecs", "01000000 0000803f", &files), 0);
	assert_int_equal(files_ints(&files, &rows, error), FILES_E_INVALID);
	expect_error("a.fvecs", "whole numbers");
	files_close(&files);
}

static void a_long_beyond_32_bits_is_refused(void **state)
{
	static uint8_t bytes[10 + 64 + 8];
	const char *text = "{'descr': '<i8', 'fortran_order': False, 'shape': (1, 1), }";
	const int32_t *rows;
	struct files files;

	memcpy(bytes, "\x93NUMPY\x01\x00\x40\x00", 10);
	memset(bytes + 10, ' ', 64);
	memcpy(bytes + 10, text, strlen(text));
	bytes[74 + 4] = 1;
	assert_int_equal(files_attach("a.npy", bytes, sizeof(bytes), &files, error), 0);
	assert_int_equal(files_ints(&files, &rows, error), FILES_E_INVALID);
	expect_error("a.npy", "4294967296");
	files_close(&files);
}

static void an_empty_file_has_no_rows(void **state)
{
	static const char *const cases[][2] = {{"a.fvecs", ""}, {"a.fbin", "00000000 03000000"}};
	const float *rows;
	struct files files;

	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(attach(cases[i][0], cases[i][1], &files), 0);
		assert_int_equal(files.count, 0);
		assert_int_equal(files_floats(&files, &rows, error), 0);
		files_close(&files);
	}
}

static void what_is_written_is_read_again(void **state)
{
	static const char *const float_names[] = {"w.fvecs", "w.fbin", "w.npy"};
	static const char *const int_names[] = {"w.ivecs", "w.npy"};
	const float floats[] = {1, -2.5f, 3, 4, 1e30f, 0};
	const int32_t ints[] = {1, -2, 3, 4, INT32_MAX, INT32_MIN}, *rows;
	struct files files;

	for (unsigned i = 0; i < 3; i++) {
		const char *path = path_of(float_names[i]);

		assert_int_equal(files_write_floats(path, floats, 2, 3, error), 0);
		assert_int_equal(files_open(path, NULL, &files, error), 0);
		expect_floats(&files, 2, 3, floats);
	}
	for (unsigned i = 0; i < 2; i++) {
		const char *path = path_of(int_names[i]);

		assert_int_equal(files_write_ints(path, ints, 3, 2, error), 0);
		assert_int_equal(files_open(path, NULL, &files, error), 0);
		assert_int_equal(files.count, 3);
		assert_int_equal(files_ints(&files, &rows, error), 0);
		assert_memory_equal(rows, ints, sizeof(ints));
		files_close(&files);
	}
}

static void writing_to_a_wrong_ending_or_folder_says_so(void **state)
{
	const float floats[] = {1};
	const int32_t ints[] = {1};

	assert_int_equal(files_write_floats("x.ivecs", floats, 1, 1, error), FILES_E_INVALID);
	expect_error("x.ivecs", ".fvecs");
	assert_int_equal(files_write_ints("x.fbin", ints, 1, 1, error), FILES_E_INVALID);
	expect_error("x.fbin", ".ivecs");
	assert_int_equal(files_write_ints("/nowhere/x.ivecs", ints, 1, 1, error), -ENOENT);
	expect_error("/nowhere/x.ivecs", "No such file");
}

static void files_that_are_not_there_or_no_files_are_named(void **state)
{
	struct files files;

	assert_int_equal(files_open("/nowhere.fvecs", NULL, &files, error), -ENOENT);
	expect_error("/nowhere.fvecs", "No such file");
	assert_int_equal(files_open("/nowhere.hdf5:train", NULL, &files, error), -ENOENT);
	expect_error("/nowhere.hdf5", "No such file");
	assert_int_equal(files_open("/nowhere", NULL, &files, error), FILES_E_INVALID);
	expect_error("/nowhere", "ending");
	assert_int_equal(mkdir(path_of("folder.fvecs"), 0700), 0);
	assert_int_equal(files_open(path_of("folder.fvecs"), NULL, &files, error), FILES_E_INVALID);
	assert_non_null(strstr(error, "regular file"));
	assert_int_equal(rmdir(path_of("folder.fvecs")), 0);
}

static void hdf5_write(hid_t file, const char *name, hid_t disk, hid_t memory, int ranks,
		       const hsize_t *shape, const void *values)
{
	hid_t space = H5Screate_simple(ranks, shape, NULL);
	hid_t set = H5Dcreate2(file, name, disk, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);

	assert_true(H5Dwrite(set, memory, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) >= 0);
	H5Dclose(set);
	H5Sclose(space);
}

static void hdf5_create(const char *path)
{
	const double train[] = {1, 2, 3, 4, 5, 6};
	const int64_t neighbors[] = {2, 0, 1, 1};
	hid_t file = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);

	assert_true(file >= 0);
	hdf5_write(file, "train", H5T_IEEE_F64LE, H5T_NATIVE_DOUBLE, 2, (hsize_t[]){3, 2}, train);
	hdf5_write(file, "test", H5T_IEEE_F32BE, H5T_NATIVE_DOUBLE, 2, (hsize_t[]){1, 2}, train);
	hdf5_write(file, "neighbors", H5T_STD_I64LE, H5T_NATIVE_INT64, 2, (hsize_t[]){2, 2},
		   neighbors);
	hdf5_write(file, "flat", H5T_STD_I64LE, H5T_NATIVE_INT64, 1, (hsize_t[]){4}, neighbors);
	H5Fclose(file);
}

static void data_sets_of_an_hdf5_are_chosen_by_name(void **state)
{
	char path[256], named[512];
	const int32_t *rows;
	struct files files;

	snprintf(path, sizeof(path), "%s", path_of("a.hdf5"));
	hdf5_create(path);
	assert_int_equal(files_open(path, "train", &files, error), 0);
	expect_floats(&files, 3, 2, (float[]){1, 2, 3, 4, 5, 6});
	snprintf(named, sizeof(named), "%s:test", path);
	assert_int_equal(files_open(named, "train", &files, error), 0);
	expect_floats(&files, 1, 2, (float[]){1, 2});
	snprintf(named, sizeof(named), "%s:neighbors", path);
	assert_int_equal(files_open(named, "train", &files, error), 0);
	assert_int_equal(files_ints(&files, &rows, error), 0);
	assert_int_equal(rows[0], 2);
	files_close(&files);
	snprintf(named, sizeof(named), "%s:nothing", path);
	assert_int_equal(files_open(named, "train", &files, error), FILES_E_INVALID);
	expect_error(path, "'nothing'");
	snprintf(named, sizeof(named), "%s:flat", path);
	assert_int_equal(files_open(named, "train", &files, error), FILES_E_INVALID);
	expect_error(path, "two dimensions");
}

static void a_damaged_hdf5_is_refused(void **state)
{
	char path[256];
	struct files files;

	snprintf(path, sizeof(path), "%s", path_of("cut.hdf5"));
	hdf5_create(path);
	assert_int_equal(truncate(path, 600), 0);
	assert_int_equal(files_open(path, "train", &files, error), FILES_E_INVALID);
	expect_error(path, "HDF5");
}

static int make_folder(void **state)
{
	return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
	static const char *const names[] = {"w.fvecs", "w.fbin", "w.npy",
					    "w.ivecs", "a.hdf5", "cut.hdf5"};

	for (unsigned i = 0; i < 6; i++)
		(void)unlink(path_of(names[i]));
	/* Fails when a temporary was left behind. */
	return rmdir(folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_fvecs_gives_its_rows),
		cmocka_unit_test(a_bvecs_and_the_bin_files_of_bytes_give_their_rows),
		cmocka_unit_test(an_fbin_is_lent_without_a_copy),
		cmocka_unit_test(an_ivecs_gives_whole_numbers),
		cmocka_unit_test(a_npy_of_each_version_and_type_is_read),
		cmocka_unit_test(a_npy_that_is_not_plain_rows_says_what_to_save_instead),
		cmocka_unit_test(broken_headers_are_refused_with_the_place),
		cmocka_unit_test(a_row_of_another_length_is_found_when_it_is_taken),
		cmocka_unit_test(values_that_are_not_finite_are_refused),
		cmocka_unit_test(floats_are_no_row_numbers),
		cmocka_unit_test(a_long_beyond_32_bits_is_refused),
		cmocka_unit_test(an_empty_file_has_no_rows),
		cmocka_unit_test(what_is_written_is_read_again),
		cmocka_unit_test(writing_to_a_wrong_ending_or_folder_says_so),
		cmocka_unit_test(files_that_are_not_there_or_no_files_are_named),
		cmocka_unit_test(data_sets_of_an_hdf5_are_chosen_by_name),
		cmocka_unit_test(a_damaged_hdf5_is_refused),
	};

	return cmocka_run_group_tests(tests, make_folder, remove_folder) != 0;
}
