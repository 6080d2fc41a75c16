/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Whatever the bytes are, a configuration is either taken, and then every value
 * is in its range, or refused with one printable line that points into the file.
 */

#include "base/check.h"
#include "config/config.h"
#include "config/schema.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void check_numbers(const struct config *config)
{
	for (size_t i = 0; i < schema_row_count; i++) {
		const struct schema_row *row = &schema_rows[i];
		uint64_t value = 0;

		if (row->type != SCHEMA_NUMBER && row->type != SCHEMA_BYTES &&
		    row->type != SCHEMA_TIME)
			continue;
		memcpy(&value, (const char *)config + row->offset, row->size);
		CHECK(value >= row->min && value <= row->max);
	}
}

static void check_taken(const struct config *config)
{
	check_numbers(config);
	CHECK(config->core_count >= 1 && config->core_count <= CONFIG_CORE_MAX);
	CHECK(config->cores.count == 0 || config->cores.count == config->core_count);
	CHECK(config->shards.count <= CONFIG_SHARD_MAX);
	CHECK(config->data_count <= CONFIG_DATA_MAX && config->peer_count <= CONFIG_PEER_MAX);
	CHECK(config->port.listen.port + config->core_count - 1 <= UINT16_MAX);
	for (uint32_t i = 0; i < config->data_count; i++)
		CHECK(memchr(config->data[i], '\0', CONFIG_TEXT_MAX));
	/* The fuzzer can't make the files that would be secrets. */
	CHECK(addr_is_loopback(&config->port.listen) || config->auth == CONFIG_AUTH_NONE);
}

static void check_refused(const char *error, const uint8_t *bytes, size_t size)
{
	size_t lines = 1, line, column;

	for (size_t i = 0; i < size; i++)
		lines += bytes[i] == '\n' || bytes[i] == '\r' || bytes[i] >= 0x80;
	CHECK(sscanf(error, "/nonexistent/fuzz:%zu:%zu: ", &line, &column) == 2);
	CHECK(line >= 1 && line <= lines + 1 && column >= 1 && column <= size + 1);
	for (; *error; error++)
		CHECK((unsigned char)*error >= ' ' && *error != 0x7f);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	static struct config config;
	char error[CONFIG_ERROR_MAX];

	/* An absolute path in a file would let the fuzzer open what it likes. */
	if (memmem(bytes, size, "secret_file", 11) && memchr(bytes, '/', size))
		return 0;
	if (config_parse("/nonexistent/fuzz", (const char *)bytes, size, &config, error,
			 sizeof(error)))
		check_refused(error, bytes, size);
	else
		check_taken(&config);
	return 0;
}
