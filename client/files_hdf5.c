/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Files_hdf5 - one data set of an HDF5 file, by way of libhdf5
 *
 * The library converts to native f32 or i32 while it reads, so the rows are
 * read to memory of ours. Its own error stack is switched off: what went wrong
 * is said in one line here.
 */

#include "client/files_format.h"

#include <errno.h>
#include <hdf5.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>

/* What is open, so that one place closes it; negative: not open. */
struct hdf5_handles {
	hid_t file, set, space, type;
};

static void handles_close(struct hdf5_handles *handles)
{
	if (handles->type >= 0)
		H5Tclose(handles->type);
	if (handles->space >= 0)
		H5Sclose(handles->space);
	if (handles->set >= 0)
		H5Dclose(handles->set);
	if (handles->file >= 0)
		H5Fclose(handles->file);
}

static int read_rows(struct files *files, const struct hdf5_handles *handles, const char *dataset,
		     char *error)
{
	bool floats = H5Tget_class(handles->type) == H5T_FLOAT;
	hsize_t shape[2];
	int result;

	if (!floats && H5Tget_class(handles->type) != H5T_INTEGER)
		return files_invalid(files, error, "data set '%s' has no numbers", dataset);
	if (H5Sget_simple_extent_ndims(handles->space) != 2 ||
	    H5Sget_simple_extent_dims(handles->space, shape, NULL) != 2)
		return files_invalid(files, error,
				     "data set '%s' has not two dimensions (rows, values)",
				     dataset);
	files->element = floats ? FILES_F32 : FILES_I32;
	/* So that files_shape() compares with what will be read, and not with the file. */
	files->size = SIZE_MAX;
	result = files_shape(files, shape[0], shape[1], 0, 0, error);
	if (result)
		return result;
	files->size = files->count * files->stride;
	files->memory = malloc(files->size ? files->size : 1);
	if (!files->memory) {
		(void)files_invalid(files, error,
				    "data set '%s': no memory for %zu bytes; free some", dataset,
				    files->size);
		return -ENOMEM;
	}
	if (H5Dread(handles->set, floats ? H5T_NATIVE_FLOAT : H5T_NATIVE_INT32, H5S_ALL, H5S_ALL,
		    H5P_DEFAULT, files->memory) < 0)
		return files_invalid(files, error,
				     "data set '%s' can't be read; the file is damaged, fetch it "
				     "again",
				     dataset);
	files->bytes = files->memory;
	return 0;
}

int files_hdf5_read(struct files *files, const char *path, const char *dataset, char *error)
{
	struct hdf5_handles handles = {-1, -1, -1, -1};
	int result;

	H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
	handles.file = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT);
	if (handles.file < 0)
		return files_invalid(files, error, "is no HDF5 file, or a damaged one");
	handles.set = H5Dopen2(handles.file, dataset, H5P_DEFAULT);
	if (handles.set >= 0) {
		handles.space = H5Dget_space(handles.set);
		handles.type = H5Dget_type(handles.set);
	}
	if (handles.set < 0 || handles.space < 0 || handles.type < 0)
		result = files_invalid(files, error,
				       "has no data set '%s'; write FILE.hdf5:NAME to choose "
				       "another",
				       dataset);
	else
		result = read_rows(files, &handles, dataset, error);
	handles_close(&handles);
	return result;
}
