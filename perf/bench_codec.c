/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Bench_codec - nanoseconds a message, for types 50 and 51
 *
 * Beside two raw things: memcpy of the same bytes, which no codec can beat,
 * and msgpack-c used as its manual says, which is what one would take
 * otherwise. 50 is measured for each instruction set that the processor has,
 * in a process of its own, since the choice is made once a process; 51 has no
 * float arrays, so it is measured once. Both ways run in turns; the median and
 * the 10th and 90th percentile of their ratio are printed.
 */

#include "base/check.h"
#include "base/clock.h"
#include "base/defs.h"
#include "base/rand.h"
#include "perf/lib/paired.h"
#include "proto/pack_f32.h"
#include "proto/payload_vector.h"

#include <getopt.h>
#include <msgpack.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define HIT_MAX      100
#define BUFFER_SIZE  (32 * 1024)
#define SAMPLE_NS    (500 * NS_PER_US) /* one measurement takes about as long */
#define WARM_UP_RUNS 64

static struct vector_scatter scatter;
static struct vector_answer answer;
static float vector[VECTOR_DIM_MAX], vector_out[VECTOR_DIM_MAX];
static struct vector_hit hits[HIT_MAX], hits_out[HIT_MAX];
static uint8_t message[BUFFER_SIZE], copy[BUFFER_SIZE];
static size_t message_size;
static msgpack_sbuffer buffer;

/* The compiler may not know what became of the bytes. */
static void use(void *result)
{
	__asm__ volatile("" : : "r"(result) : "memory");
}

static void copy_message(void)
{
	memcpy(copy, message, message_size);
	use(copy);
}

static void encode_scatter(void)
{
	CHECK(vector_scatter_encode(&scatter, copy, sizeof(copy)) == message_size);
	use(copy);
}

static void decode_scatter(void)
{
	struct vector_scatter out;

	CHECK(!vector_scatter_decode(message, message_size, vector_out, VECTOR_DIM_MAX, &out));
	use(vector_out);
}

static void pack_scatter(void)
{
	msgpack_packer packer;

	msgpack_sbuffer_clear(&buffer);
	msgpack_packer_init(&packer, &buffer, msgpack_sbuffer_write);
	msgpack_pack_array(&packer, 5);
	msgpack_pack_str_with_body(&packer, scatter.collection.text, scatter.collection.length);
	msgpack_pack_array(&packer, scatter.dim);
	for (uint32_t i = 0; i < scatter.dim; i++)
		msgpack_pack_float(&packer, vector[i]);
	msgpack_pack_uint32(&packer, scatter.top_k);
	msgpack_pack_uint32(&packer, scatter.ef_search);
	msgpack_pack_false(&packer);
	use(buffer.data);
}

static void unpack(msgpack_unpacked *ret_unpacked)
{
	size_t offset = 0;

	msgpack_unpacked_init(ret_unpacked);
	CHECK(msgpack_unpack_next(ret_unpacked, (const char *)message, message_size, &offset) ==
	      MSGPACK_UNPACK_SUCCESS);
}

static void unpack_scatter(void)
{
	msgpack_object_array elements;
	msgpack_unpacked unpacked;

	unpack(&unpacked);
	elements = unpacked.data.via.array.ptr[1].via.array;
	for (uint32_t i = 0; i < elements.size; i++) {
		CHECK(elements.ptr[i].type == MSGPACK_OBJECT_FLOAT32);
		vector_out[i] = (float)elements.ptr[i].via.f64;
	}
	use(vector_out);
	msgpack_unpacked_destroy(&unpacked);
}

static void encode_answer(void)
{
	CHECK(vector_answer_encode(&answer, copy, sizeof(copy)) == message_size);
	use(copy);
}

static void decode_answer(void)
{
	struct vector_answer out;

	CHECK(!vector_answer_decode(message, message_size, hits_out, HIT_MAX, &out));
	use(hits_out);
}

static void pack_answer(void)
{
	msgpack_packer packer;

	msgpack_sbuffer_clear(&buffer);
	msgpack_packer_init(&packer, &buffer, msgpack_sbuffer_write);
	msgpack_pack_array(&packer, 4);
	msgpack_pack_uint32(&packer, answer.shard_id);
	msgpack_pack_array(&packer, answer.hit_count);
	for (uint32_t i = 0; i < answer.hit_count; i++) {
		msgpack_pack_array(&packer, 4);
		msgpack_pack_uint32(&packer, hits[i].vector_id);
		msgpack_pack_float(&packer, hits[i].distance);
		msgpack_pack_uint32(&packer, hits[i].shard_id);
		msgpack_pack_nil(&packer);
	}
	msgpack_pack_true(&packer);
	msgpack_pack_nil(&packer);
	use(buffer.data);
}

static void unpack_answer(void)
{
	msgpack_object_array elements;
	msgpack_unpacked unpacked;

	unpack(&unpacked);
	elements = unpacked.data.via.array.ptr[1].via.array;
	for (uint32_t i = 0; i < elements.size; i++) {
		const msgpack_object *fields = elements.ptr[i].via.array.ptr;

		CHECK(fields[1].type == MSGPACK_OBJECT_FLOAT32);
		hits_out[i].vector_id = (uint32_t)fields[0].via.u64;
		hits_out[i].distance = (float)fields[1].via.f64;
		hits_out[i].shard_id = (uint32_t)fields[2].via.u64;
	}
	use(hits_out);
	msgpack_unpacked_destroy(&unpacked);
}

static double time_runs(void (*run)(void), unsigned count)
{
	uint64_t begin = clock_now_ns();

	for (unsigned i = 0; i < count; i++)
		run();
	return (double)(clock_now_ns() - begin) / count;
}

/* So many runs that a measurement is long beside the clock and short beside the scheduler. */
static unsigned runs_for(void (*run)(void))
{
	double ns = time_runs(run, WARM_UP_RUNS);

	return 1 + (unsigned)((double)SAMPLE_NS / (ns < 1 ? 1 : ns));
}

static void compare(const char *what, const char *raw_name, void (*raw)(void), void (*ours)(void),
		    bool json)
{
	char name[96];
	struct paired paired = {.name = name, .unit = "ns"};
	unsigned raw_runs = runs_for(raw), our_runs = runs_for(ours);

	snprintf(name, sizeof(name), "%s vs %s", what, raw_name);
	for (unsigned i = 0; i < PAIRED_REPEAT; i++) {
		double raw_ns = time_runs(raw, raw_runs);

		paired_add(&paired, raw_ns, time_runs(ours, our_runs));
	}
	paired_print(&paired, json);
}

static void bench_scatter(uint32_t dim, bool json)
{
	char name[64];

	scatter = (struct vector_scatter){.collection = {"embeddings", 10},
					  .vector = vector,
					  .dim = dim,
					  .top_k = 10,
					  .ef_search = 100};
	message_size = vector_scatter_encode(&scatter, message, sizeof(message));
	CHECK(message_size);
	snprintf(name, sizeof(name), "encode 50 %u %s", dim, pack_f32_table()->isa);
	compare(name, "memcpy", copy_message, encode_scatter, json);
	compare(name, "msgpack-c", pack_scatter, encode_scatter, json);
	snprintf(name, sizeof(name), "decode 50 %u %s", dim, pack_f32_table()->isa);
	compare(name, "memcpy", copy_message, decode_scatter, json);
	compare(name, "msgpack-c", unpack_scatter, decode_scatter, json);
}

static void bench_answer(uint32_t hit_count, bool json)
{
	char name[64];

	answer = (struct vector_answer){
		.shard_id = 700, .hits = hits, .hit_count = hit_count, .success = true};
	message_size = vector_answer_encode(&answer, message, sizeof(message));
	CHECK(message_size);
	snprintf(name, sizeof(name), "encode 51 k=%u", hit_count);
	compare(name, "memcpy", copy_message, encode_answer, json);
	compare(name, "msgpack-c", pack_answer, encode_answer, json);
	snprintf(name, sizeof(name), "decode 51 k=%u", hit_count);
	compare(name, "memcpy", copy_message, decode_answer, json);
	compare(name, "msgpack-c", unpack_answer, decode_answer, json);
}

static void make_data(void)
{
	struct rand rand;

	rand_init(&rand, 1);
	for (size_t i = 0; i < VECTOR_DIM_MAX; i++)
		vector[i] = (float)rand_unit(&rand) - 0.5f;
	for (unsigned i = 0; i < HIT_MAX; i++)
		hits[i] = (struct vector_hit){.vector_id = (uint32_t)rand_below(&rand, 1000000),
					      .distance = (float)i,
					      .shard_id = 700};
	msgpack_sbuffer_init(&buffer);
}

/* Returns whether the child measured all its sizes. */
static bool bench_isa(const char *isa, bool json)
{
	static const uint32_t dims[] = {128, 768, 1536};
	pid_t child = fork();
	int status;

	if (child < 0) {
		perror("fork");
		return false;
	}
	if (!child) {
		setenv("TERN_ISA", isa, 1);
		for (size_t i = 0; i < ARRAY_COUNT(dims); i++)
			bench_scatter(dims[i], json);
		exit(0);
	}
	return waitpid(child, &status, 0) == child && WIFEXITED(status) && !WEXITSTATUS(status);
}

int main(int argc, char **argv)
{
	static const struct option options[] = {{"json", no_argument, NULL, 'j'}, {0}};
	static const char *const isas[] = {"scalar", "avx2", "avx512"};
	bool json = false;
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option != 'j') {
			fprintf(stderr, "usage: bench_codec [--json]\n");
			return 2;
		}
		json = true;
	}
	make_data();
	for (size_t i = 0; i < ARRAY_COUNT(isas); i++)
		if (pack_f32_find(isas[i]) && !bench_isa(isas[i], json))
			return 1;
	bench_answer(10, json);
	bench_answer(100, json);
	msgpack_sbuffer_destroy(&buffer);
	return 0;
}
