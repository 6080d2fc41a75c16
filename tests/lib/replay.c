/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Replay - runs a fuzz target over the files of its corpus
 *
 * What `make test` does with every fuzz target: each argument is a folder whose
 * files are handed to the target one by one. An empty corpus is a failure.
 */

#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static int replay_file(const char *folder, const char *name)
{
	char path[4096];
	uint8_t *bytes;
	size_t size;
	FILE *file;
	long end;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	file = fopen(path, "rb");
	if (!file || fseek(file, 0, SEEK_END) || (end = ftell(file)) < 0 ||
	    fseek(file, 0, SEEK_SET)) {
		perror(path);
		exit(1);
	}
	size = (size_t)end;
	bytes = malloc(size ? size
			    : 1); /* exactly as large as the input, so that ASan sees overreads */
	if (!bytes || fread(bytes, 1, size, file) != size) {
		perror(path);
		exit(1);
	}
	fclose(file);
	LLVMFuzzerTestOneInput(bytes, size);
	free(bytes);
	return 1;
}

int main(int argc, char **argv)
{
	unsigned count = 0;

	for (int i = 1; i < argc; i++) {
		DIR *folder = opendir(argv[i]);
		struct dirent *entry;

		if (!folder) {
			perror(argv[i]);
			return 1;
		}
		while ((entry = readdir(folder)))
			if (entry->d_name[0] != '.')
				count += (unsigned)replay_file(argv[i], entry->d_name);
		closedir(folder);
	}
	printf("%u inputs replayed\n", count);
	return count == 0;
}
