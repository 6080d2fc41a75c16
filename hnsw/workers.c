/* SPDX-License-Identifier: Apache-2.0 */
#include "hnsw/workers.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>

struct worker {
	struct workers *workers; /* borrows */
	uint32_t index;
	pthread_t thread;
};

/*
 * A round is one workers_run(). The lock guards round, busy, stop, and what the
 * round is about; 'next' alone is shared while it runs.
 */
struct workers {
	pthread_mutex_t lock;
	pthread_cond_t started;
	pthread_cond_t finished;
	uint64_t round;
	uint32_t busy; /* threads that have not finished this round */
	bool stop;
	workers_fn fn;
	void *context;
	uint32_t items;
	/* Relaxed: the lock orders the items' data; this only hands out numbers. */
	_Atomic uint32_t next;
	uint32_t count;         /* the caller is number 0 */
	uint32_t started_count; /* threads to join */
	struct worker worker[];
};

static void work(struct workers *workers, uint32_t index)
{
	uint32_t item;

	while ((item = atomic_fetch_add_explicit(&workers->next, 1, memory_order_relaxed)) <
	       workers->items)
		workers->fn(workers->context, index, item);
}

static void *worker_main(void *argument)
{
	struct worker *worker = argument;
	struct workers *workers = worker->workers;
	uint64_t seen = 0;

	pthread_mutex_lock(&workers->lock);
	for (;;) {
		while (workers->round == seen && !workers->stop)
			pthread_cond_wait(&workers->started, &workers->lock);
		if (workers->stop)
			break;
		seen = workers->round;
		pthread_mutex_unlock(&workers->lock);
		work(workers, worker->index);
		pthread_mutex_lock(&workers->lock);
		if (--workers->busy == 0)
			pthread_cond_signal(&workers->finished);
	}
	pthread_mutex_unlock(&workers->lock);
	return NULL;
}

int workers_new(uint32_t count, struct workers **ret_workers)
{
	struct workers *workers;
	int error;

	if (count < 1 || count > WORKERS_MAX)
		return -EINVAL;
	workers = calloc(1, sizeof(*workers) + count * sizeof(workers->worker[0]));
	if (!workers)
		return -ENOMEM;
	workers->count = count;
	pthread_mutex_init(&workers->lock, NULL);
	pthread_cond_init(&workers->started, NULL);
	pthread_cond_init(&workers->finished, NULL);
	for (uint32_t i = 1; i < count; i++) {
		struct worker *worker = &workers->worker[i];

		*worker = (struct worker){.workers = workers, .index = i};
		error = pthread_create(&worker->thread, NULL, worker_main, worker);
		if (error) {
			workers_free(workers);
			return -error;
		}
		workers->started_count = i;
	}
	*ret_workers = workers;
	return 0;
}

void workers_free(struct workers *workers)
{
	if (!workers)
		return;
	pthread_mutex_lock(&workers->lock);
	workers->stop = true;
	pthread_cond_broadcast(&workers->started);
	pthread_mutex_unlock(&workers->lock);
	for (uint32_t i = 1; i <= workers->started_count; i++)
		pthread_join(workers->worker[i].thread, NULL);
	pthread_cond_destroy(&workers->finished);
	pthread_cond_destroy(&workers->started);
	pthread_mutex_destroy(&workers->lock);
	free(workers);
}

uint32_t workers_count(const struct workers *workers)
{
	return workers->count;
}

void workers_run(struct workers *workers, uint32_t items, workers_fn fn, void *context)
{
	/* Waking the others costs more than a single item does. */
	if (workers->count == 1 || items <= 1) {
		for (uint32_t i = 0; i < items; i++)
			fn(context, 0, i);
		return;
	}
	pthread_mutex_lock(&workers->lock);
	workers->fn = fn;
	workers->context = context;
	workers->items = items;
	atomic_store_explicit(&workers->next, 0, memory_order_relaxed);
	workers->busy = workers->count - 1;
	workers->round++;
	pthread_cond_broadcast(&workers->started);
	pthread_mutex_unlock(&workers->lock);
	work(workers, 0);
	pthread_mutex_lock(&workers->lock);
	while (workers->busy > 0)
		pthread_cond_wait(&workers->finished, &workers->lock);
	pthread_mutex_unlock(&workers->lock);
}
