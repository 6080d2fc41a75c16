/* SPDX-License-Identifier: Apache-2.0 */

#include "perf/store/threads.h"

#include "base/clock.h"

#include <pthread.h>
#include <stdlib.h>

struct writer {
	const struct peer_ops *peer;
	void *database;
	peer_next_fn next;
	void *context;
	size_t value_size;
	uint64_t until_ns;
	uint64_t done;
	uint32_t number;
};

static void *write_until(void *argument)
{
	struct writer *writer = argument;
	void *session = writer->peer->session_new(writer->database);
	uint8_t key[PEER_KEY_SIZE];
	uint8_t *value = malloc(writer->value_size);
	if (value == NULL)
		peer_die(writer->peer->name, "no memory");

	while (clock_now_ns() < writer->until_ns) {
		writer->next(writer->context, writer->number, key, value);
		writer->peer->put(session, key, value, writer->value_size);
		writer->done++;
	}
	free(value);
	writer->peer->session_free(session);
	return NULL;
}

static uint64_t run_threads(struct writer *writers, uint32_t count)
{
	pthread_t threads[THREADS_MAX];
	uint64_t done = 0;

	for (uint32_t i = 0; i < count; i++)
		if (pthread_create(&threads[i], NULL, write_until, &writers[i]) != 0)
			peer_die("threads", "none to be had");
	for (uint32_t i = 0; i < count; i++) {
		(void)pthread_join(threads[i], NULL);
		done += writers[i].done;
	}
	return done;
}

double threads_write(const struct peer_ops *peer, void *database, uint32_t writers, double seconds,
		     peer_next_fn next, void *context, size_t value_size)
{
	struct writer each[THREADS_MAX];
	uint64_t began_ns = clock_now_ns();
	uint64_t until_ns = began_ns + (uint64_t)(seconds * (double)NS_PER_S);
	uint64_t done;
	if (writers > THREADS_MAX)
		peer_die("threads", "too many writers");

	for (uint32_t i = 0; i < writers; i++)
		each[i] = (struct writer){.peer = peer,
					  .database = database,
					  .next = next,
					  .context = context,
					  .value_size = value_size,
					  .until_ns = until_ns,
					  .number = i};
	if (peer->many != NULL && writers > 1)
		done = peer->many(database, writers, next, context, value_size, until_ns);
	else if (writers == 1) {
		(void)write_until(&each[0]);
		done = each[0].done;
	} else {
		done = run_threads(each, writers);
	}
	return (double)done * 1e9 / (double)(clock_now_ns() - began_ns);
}
