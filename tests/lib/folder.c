/* SPDX-License-Identifier: Apache-2.0 */

#include "tests/lib/folder.h"

#include "base/check.h"

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

void folder_remove(const char *path)
{
	DIR *folder = opendir(path);
	struct dirent *entry;

	CHECK(folder);
	while ((entry = readdir(folder)))
		unlinkat(dirfd(folder), entry->d_name, 0);
	closedir(folder);
	rmdir(path);
}
