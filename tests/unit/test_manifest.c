/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/test.h"

#include "cluster/manifest.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[] = "/tmp/test_manifest.XXXXXX";
static char error[512];

/* docs/format/manifest.md's example, on two lines. */
static const char good[] =
	"{\"format\":\"tern-manifest\",\"v\":1,\"collection\":\"embeddings\",\"metric\":\"l2\","
	"\"partition\":\"kmeans\",\"dim\":128,\"count\":3,\"generation\":1,\"shards\":[\n"
	"{\"vshard\":1020,\"count\":2,\"segment\":\"shard-0000.g1.segment\",\"segment_size\":4096,"
	"\"segment_crc\":305419896,\"coarse\":\"shard-0000.g1.coarse\",\"coarse_crc\":1},"
	"{\"vshard\":1021,\"count\":1,\"segment\":\"b\",\"segment_size\":2048,"
	"\"segment_crc\":0,\"coarse\":\"c\",\"coarse_crc\":4294967295}]}";

static int decode(const char *text, struct manifest *manifest)
{
	error[0] = 0;
	return manifest_decode(text, strlen(text), manifest, error, sizeof(error));
}

/* The good manifest with its first 'from' replaced by 'to'. */
static void expect_refused(const char *from, const char *to, const char *words)
{
	const char *at = strstr(good, from);
	struct manifest manifest;
	char text[2048];

	assert_non_null(at);
	snprintf(text, sizeof(text), "%.*s%s%s", (int)(at - good), good, to, at + strlen(from));
	assert_int_equal(decode(text, &manifest), MANIFEST_E_INVALID);
	if (!strstr(error, words))
		fail_msg("'%s' doesn't say '%s'", error, words);
	assert_null(strchr(error, '\n'));
}

static void the_documents_example_is_read(void **state)
{
	struct manifest manifest;

	assert_int_equal(decode(good, &manifest), 0);
	assert_string_equal(manifest.collection, "embeddings");
	assert_int_equal(manifest.metric, METRIC_L2);
	assert_int_equal(manifest.partition, MANIFEST_PARTITION_KMEANS);
	assert_int_equal(manifest.dim, 128);
	assert_int_equal(manifest.count, 3);
	assert_int_equal(manifest.generation, 1);
	assert_int_equal(manifest.shard_count, 2);
	assert_int_equal(manifest.shards[0].vshard, 1020);
	assert_int_equal(manifest.shards[0].segment_size, 4096);
	assert_int_equal(manifest.shards[0].segment_crc, 0x12345678);
	assert_string_equal(manifest.shards[0].coarse, "shard-0000.g1.coarse");
	assert_int_equal(manifest.shards[1].coarse_crc, UINT32_MAX);
	manifest_deinit(&manifest);
}

static void shards_follow_the_collections_home(void **state)
{
	assert_int_equal(manifest_vshard("users", 0), 520);
	assert_int_equal(manifest_vshard("embeddings", 3), 1023);
	assert_int_equal(manifest_vshard("embeddings", 4), 0);
}

static void what_is_not_a_manifest_is_refused(void **state)
{
	struct manifest manifest;

	assert_int_equal(decode("", &manifest), MANIFEST_E_INVALID);
	assert_int_equal(decode("[]", &manifest), MANIFEST_E_INVALID);
	assert_int_equal(decode("{}", &manifest), MANIFEST_E_INVALID);
	assert_int_equal(decode("{\"format\":\"tern-manifest\",\n\"v\":", &manifest),
			 MANIFEST_E_INVALID);
	assert_non_null(strstr(error, "line 2"));
	expect_refused("tern-manifest", "x", "is it a manifest");
	expect_refused("\"v\":1", "\"v\":2", "v is 2");
	expect_refused("\"v\":1", "\"v\":1,\"v\":1", "duplicate");
	expect_refused("\"v\":1", "\"v\":1,\"new\\nest\":1", "new?est");
	expect_refused("\"dim\":128,", "", "dim");
}

static void values_out_of_range_are_refused(void **state)
{
	expect_refused("\"collection\":\"embeddings\"", "\"collection\":\"\"", "collection");
	expect_refused("embeddings", "embed\\u0000dings", "line 1");
	expect_refused("embeddings", "other", "vshard is 1020");
	expect_refused("\"l2\"", "\"l3\"", "metric 'l3'");
	expect_refused("kmeans", "magic", "partition 'magic'");
	expect_refused("128", "0", "dim is 0");
	expect_refused("128", "4097", "dim is 4097");
	expect_refused("128", "1.5", "dim");
	expect_refused("\"count\":3", "\"count\":-3", "out of range");
	expect_refused("\"count\":3", "\"count\":4", "3 vectors together");
	expect_refused("\"generation\":1", "\"generation\":0", "out of range");
	expect_refused("1020", "1021", "vshard is 1021");
	expect_refused("4096", "-1", "shards[0]");
	expect_refused("305419896", "4294967296", "shards[0]");
	expect_refused("\"count\":2", "\"count\":4294967296", "shards[0]");
	expect_refused("\"count\":2", "\"count\":2,\"x\":1", "shards[0]");
	expect_refused("\"coarse_crc\":1", "\"coarse_crc\":null", "shards[0]");
}

static void files_stay_inside_the_folder(void **state)
{
	char name[MANIFEST_FILE_MAX + 4];

	expect_refused("\"b\"", "\"../b\"", "shards[1]");
	expect_refused("\"b\"", "\"/etc/passwd\"", "shards[1]");
	expect_refused("\"b\"", "\"..\"", "shards[1]");
	expect_refused("\"b\"", "\"\"", "shards[1]");
	expect_refused("\"c\"", "\"x/c\"", "shards[1]");
	memset(name, 'n', sizeof(name));
	name[0] = name[MANIFEST_FILE_MAX + 2] = '"';
	name[MANIFEST_FILE_MAX + 3] = 0;
	expect_refused("\"b\"", name, "shards[1]");
}

static void too_many_shards_or_none_are_refused(void **state)
{
	struct manifest manifest;
	char text[8192];
	int at = snprintf(text, sizeof(text),
			  "{\"format\":\"tern-manifest\",\"v\":1,\"collection\":\"e\",\"metric\":"
			  "\"ip\",\"partition\":\"hash\",\"dim\":1,\"count\":0,\"generation\":1,"
			  "\"shards\":[");

	snprintf(text + at, sizeof(text) - (size_t)at, "]}");
	assert_int_equal(decode(text, &manifest), MANIFEST_E_INVALID);
	for (int i = 0; i <= MANIFEST_SHARD_MAX; i++)
		at += snprintf(text + at, sizeof(text) - (size_t)at, "{},");
	snprintf(text + at - 1, sizeof(text) - (size_t)at + 1, "]}");
	assert_int_equal(decode(text, &manifest), MANIFEST_E_INVALID);
	assert_non_null(strstr(error, "1 to 1024"));
}

static void what_is_saved_is_loaded_from_folder_and_file(void **state)
{
	struct manifest saved, loaded;
	char path[256];

	assert_int_equal(decode(good, &saved), 0);
	assert_int_equal(manifest_save(&saved, folder), 0);
	snprintf(path, sizeof(path), "%s/manifest.json", folder);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(manifest_load(i ? path : folder, &loaded, error, sizeof(error)),
				 0);
		assert_memory_equal(loaded.shards, saved.shards, 2 * sizeof(*saved.shards));
		assert_string_equal(loaded.collection, saved.collection);
		assert_int_equal(loaded.count, saved.count);
		manifest_deinit(&loaded);
	}
	manifest_deinit(&saved);
	assert_int_equal(unlink(path), 0);
}

static void saving_to_where_nothing_is_fails(void **state)
{
	struct manifest manifest;

	assert_int_equal(decode(good, &manifest), 0);
	assert_int_equal(manifest_save(&manifest, "/nowhere"), -ENOENT);
	memcpy(manifest.collection, "\xff", 2);
	assert_int_equal(manifest_save(&manifest, folder), -EINVAL);
	manifest_deinit(&manifest);
}

static void errors_of_loading_name_the_file(void **state)
{
	struct manifest manifest;
	char path[256];
	FILE *file;

	assert_int_equal(manifest_load("/nowhere", &manifest, error, sizeof(error)), -ENOENT);
	assert_ptr_equal(strstr(error, "/nowhere: "), error);
	assert_int_equal(manifest_load(folder, &manifest, error, sizeof(error)), -ENOENT);
	assert_non_null(strstr(error, "manifest.json: "));

	snprintf(path, sizeof(path), "%s/manifest.json", folder);
	file = fopen(path, "w");
	assert_non_null(file);
	fputs("{\n nonsense", file);
	fclose(file);
	assert_int_equal(manifest_load(folder, &manifest, error, sizeof(error)),
			 MANIFEST_E_INVALID);
	assert_non_null(strstr(error, "manifest.json: line 2"));
	assert_int_equal(truncate(path, MANIFEST_SIZE_MAX + 1), 0);
	assert_int_equal(manifest_load(folder, &manifest, error, sizeof(error)),
			 MANIFEST_E_INVALID);
	assert_int_equal(unlink(path), 0);
}

static int make_folder(void **state)
{
	return mkdtemp(folder) ? 0 : -1;
}

/* Fails when a temporary was left behind. */
static int remove_folder(void **state)
{
	return rmdir(folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_documents_example_is_read),
		cmocka_unit_test(shards_follow_the_collections_home),
		cmocka_unit_test(what_is_not_a_manifest_is_refused),
		cmocka_unit_test(values_out_of_range_are_refused),
		cmocka_unit_test(files_stay_inside_the_folder),
		cmocka_unit_test(too_many_shards_or_none_are_refused),
		cmocka_unit_test(what_is_saved_is_loaded_from_folder_and_file),
		cmocka_unit_test(saving_to_where_nothing_is_fails),
		cmocka_unit_test(errors_of_loading_name_the_file),
	};

	return cmocka_run_group_tests(tests, make_folder, remove_folder) != 0;
}
