/* SPDX-License-Identifier: Apache-2.0 */

#include "engine/io_overlay.h"

#include "base/check.h"
#include "base/defs.h"
#include "engine/io_ops.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK_SIZE 4096

/*
 * A file. A block that was written is one of 'blocks'; another is the folder's, as far as that goes
 * ('base_size', which cutting lowers), and zeros behind it.
 */
struct node {
	char name[IO_NAME_MAX + 1];      /* now; empty: removed */
	char base_name[IO_NAME_MAX + 1]; /* in the folder; empty: not there */
	struct io_file *base;            /* opened when the node first was */
	uint64_t base_size;
	uint64_t size;
	uint8_t **blocks; /* owned, as each of them */
	uint64_t block_count;
	uint32_t handles;
};

struct overlay {
	struct io io;
	struct io *base;
	pthread_mutex_t mutex; /* of the nodes' names, handles and bases */
	struct node **nodes;
	uint32_t node_count;
	uint32_t node_capacity;
};

struct overlay_file {
	struct io_file file;
	struct overlay *overlay;
	struct node *node;
};

struct overlay_queue {
	struct io_queue queue;
	struct io_op *ended[IO_QUEUE_MAX];
	uint32_t count;
};

static struct overlay *overlay_of(struct io *io)
{
	return CONTAINER_OF(io, struct overlay, io);
}

static struct node *node_of(struct io_file *file)
{
	return CONTAINER_OF(file, struct overlay_file, file)->node;
}

/* --- names: the caller has the mutex --- */

static struct node *find(const struct overlay *overlay, const char *name)
{
	for (uint32_t i = 0; i < overlay->node_count; i++)
		if (strcmp(overlay->nodes[i]->name, name) == 0)
			return overlay->nodes[i];
	return NULL;
}

static int add(struct overlay *overlay, const char *name, struct node **ret_node)
{
	struct node *node = calloc(1, sizeof(*node));
	struct node **nodes = overlay->nodes;

	if (node && overlay->node_count == overlay->node_capacity) {
		uint32_t capacity = MAX(2 * overlay->node_capacity, 64U);

		nodes = reallocarray(nodes, capacity, sizeof(struct node *));
		if (nodes) {
			overlay->nodes = nodes;
			overlay->node_capacity = capacity;
		}
	}
	if (!node || !nodes) {
		free(node);
		return -ENOMEM;
	}
	memcpy(node->name, name, strlen(name) + 1);
	overlay->nodes[overlay->node_count++] = node;
	*ret_node = node;
	return 0;
}

static void free_blocks(struct node *node, uint64_t from)
{
	for (uint64_t i = from; i < node->block_count; i++) {
		free(node->blocks[i]);
		node->blocks[i] = NULL;
	}
}

static void free_node(struct node *node)
{
	free_blocks(node, 0);
	free(node->blocks);
	io_close(node->base);
	free(node);
}

/* One that has neither a name nor a handle is gone. */
static void drop_unused(struct overlay *overlay, struct node *node)
{
	if (node->name[0] || node->handles)
		return;
	for (uint32_t i = 0; i < overlay->node_count; i++)
		if (overlay->nodes[i] == node) {
			overlay->nodes[i] = overlay->nodes[--overlay->node_count];
			break;
		}
	free_node(node);
}

static void unname(struct overlay *overlay, struct node *node)
{
	node->name[0] = '\0';
	drop_unused(overlay, node);
}

static int open_base(struct overlay *overlay, struct node *node)
{
	int result;

	if (!node->base_name[0] || node->base)
		return 0;
	result = io_open(overlay->base, node->base_name, IO_READ_ONLY, &node->base);
	if (!result)
		result = io_size(node->base, &node->base_size);
	if (!result)
		node->size = node->base_size;
	return result;
}

static int take_name(void *context, const char *name)
{
	struct node *node;
	int result = add(context, name, &node);

	if (!result)
		memcpy(node->base_name, name, strlen(name) + 1);
	return result;
}

static void free_nodes(struct overlay *overlay)
{
	for (uint32_t i = 0; i < overlay->node_count; i++)
		free_node(overlay->nodes[i]);
	overlay->node_count = 0;
}

/* Before, others may have changed the folder. */
static int overlay_lock(struct io *io, bool shared)
{
	struct overlay *overlay = overlay_of(io);
	int result = io_lock_shared(overlay->base);

	(void)shared;
	if (result)
		return result;
	pthread_mutex_lock(&overlay->mutex);
	for (uint32_t i = 0; i < overlay->node_count; i++)
		CHECK(!overlay->nodes[i]->handles);
	free_nodes(overlay);
	result = io_list(overlay->base, take_name, overlay);
	pthread_mutex_unlock(&overlay->mutex);
	return result;
}

static int overlay_rename(struct io *io, const char *from, const char *to)
{
	struct overlay *overlay = overlay_of(io);
	int result = IO_E_ABSENT;

	pthread_mutex_lock(&overlay->mutex);
	struct node *node = find(overlay, from);
	struct node *replaced = find(overlay, to);
	if (node && node != replaced) {
		if (replaced)
			unname(overlay, replaced);
		memcpy(node->name, to, strlen(to) + 1);
	}
	if (node)
		result = 0;
	pthread_mutex_unlock(&overlay->mutex);
	return result;
}

static int overlay_remove(struct io *io, const char *name)
{
	struct overlay *overlay = overlay_of(io);
	int result = IO_E_ABSENT;

	pthread_mutex_lock(&overlay->mutex);
	struct node *node = find(overlay, name);
	if (node) {
		unname(overlay, node);
		result = 0;
	}
	pthread_mutex_unlock(&overlay->mutex);
	return result;
}

static int overlay_sync_folder(struct io *io)
{
	(void)io;
	return 0;
}

/* Of a copy, so that the visitor may open and remove what it sees. */
static int overlay_list(struct io *io, int (*visit)(void *context, const char *name), void *context)
{
	struct overlay *overlay = overlay_of(io);
	char(*names)[IO_NAME_MAX + 1];
	uint32_t count = 0;
	int result = 0;

	pthread_mutex_lock(&overlay->mutex);
	names = calloc(overlay->node_count + 1, sizeof(*names));
	for (uint32_t i = 0; names && i < overlay->node_count; i++)
		if (overlay->nodes[i]->name[0])
			memcpy(names[count++], overlay->nodes[i]->name, sizeof(*names));
	pthread_mutex_unlock(&overlay->mutex);
	if (!names)
		return -ENOMEM;
	for (uint32_t i = 0; !result && i < count; i++)
		result = visit(context, names[i]);
	free(names);
	return result;
}

static int find_or_add(struct overlay *overlay, const char *name, unsigned flags,
		       struct node **ret_node)
{
	struct node *node = find(overlay, name);

	if (node && (flags & IO_EXCLUSIVE))
		return IO_E_EXISTS;
	if (!node && !(flags & IO_CREATE))
		return IO_E_ABSENT;
	if (!node)
		return add(overlay, name, ret_node);
	*ret_node = node;
	return 0;
}

static int overlay_open(struct io *io, const char *name, unsigned flags, struct io_file **ret_file)
{
	struct overlay *overlay = overlay_of(io);
	struct overlay_file *file = calloc(1, sizeof(*file));
	int result;

	if (!file)
		return -ENOMEM;
	file->overlay = overlay;
	pthread_mutex_lock(&overlay->mutex);
	result = find_or_add(overlay, name, flags, &file->node);
	if (!result)
		result = open_base(overlay, file->node);
	if (!result)
		file->node->handles++;
	pthread_mutex_unlock(&overlay->mutex);
	if (result) {
		free(file);
		return result;
	}
	*ret_file = &file->file;
	return 0;
}

static void overlay_close(struct io_file *io_file)
{
	struct overlay_file *file = CONTAINER_OF(io_file, struct overlay_file, file);

	pthread_mutex_lock(&file->overlay->mutex);
	file->node->handles--;
	drop_unused(file->overlay, file->node);
	pthread_mutex_unlock(&file->overlay->mutex);
	free(file);
}

/* --- bytes --- */

static const uint8_t *block_at(const struct node *node, uint64_t offset)
{
	uint64_t index = offset / BLOCK_SIZE;

	return index < node->block_count ? node->blocks[index] : NULL;
}

/* Bytes of no block of ours. */
static int read_base(struct node *node, uint64_t offset, uint8_t *bytes, size_t size)
{
	size_t there = 0;

	if (offset < node->base_size)
		there = MIN(size, node->base_size - offset);
	memset(bytes + there, 0, size - there);
	/* It had them when it was opened. */
	int result = there ? io_read(node->base, offset, bytes, there) : 0;
	return result > 0 ? -EIO : result;
}

static int read_bytes(struct node *node, uint64_t offset, uint8_t *bytes, size_t size)
{
	while (size > 0) {
		const uint8_t *block = block_at(node, offset);
		size_t piece = MIN(size, BLOCK_SIZE - offset % BLOCK_SIZE);
		int result = 0;

		if (block) {
			memcpy(bytes, block + offset % BLOCK_SIZE, piece);
		} else {
			while (piece < size && !block_at(node, offset + piece))
				piece = MIN(size, piece + BLOCK_SIZE);
			result = read_base(node, offset, bytes, piece);
		}
		if (result)
			return result;
		bytes += piece;
		offset += piece;
		size -= piece;
	}
	return 0;
}

static int overlay_read(struct io_file *file, uint64_t offset, void *bytes, size_t size)
{
	struct node *node = node_of(file);
	uint64_t there = offset < node->size ? MIN(size, node->size - offset) : 0;
	int result = read_bytes(node, offset, bytes, there);

	return !result && there < size ? IO_E_END : result;
}

static int grow_blocks(struct node *node, uint64_t count)
{
	uint64_t capacity = MAX(count, node->block_count + node->block_count / 2);
	uint8_t **blocks;

	if (count <= node->block_count)
		return 0;
	blocks = reallocarray(node->blocks, capacity, sizeof(uint8_t *));
	if (!blocks)
		return -ENOMEM;
	memset(blocks + node->block_count, 0, (capacity - node->block_count) * sizeof(uint8_t *));
	node->blocks = blocks;
	node->block_count = capacity;
	return 0;
}

/* A block of zeros that there is anyhow needs no memory. */
static bool is_there(const struct node *node, uint64_t offset, const uint8_t *bytes, size_t size)
{
	static const uint8_t zeros[BLOCK_SIZE];

	return offset >= node->base_size && !block_at(node, offset) &&
	       memcmp(bytes, zeros, size) == 0;
}

/* Within one block. */
static int write_piece(struct node *node, uint64_t offset, const uint8_t *bytes, size_t size)
{
	uint64_t index = offset / BLOCK_SIZE;
	uint8_t *block;
	int result;

	if (is_there(node, offset, bytes, size))
		return 0;
	result = grow_blocks(node, index + 1);
	if (result)
		return result;
	if (!node->blocks[index]) {
		block = malloc(BLOCK_SIZE);
		result = block ? read_base(node, index * BLOCK_SIZE, block, BLOCK_SIZE) : -ENOMEM;
		if (result) {
			free(block);
			return result;
		}
		node->blocks[index] = block;
	}
	memcpy(node->blocks[index] + offset % BLOCK_SIZE, bytes, size);
	return 0;
}

static int overlay_write(struct io_file *file, uint64_t offset, const void *bytes, size_t size)
{
	struct node *node = node_of(file);
	const uint8_t *from = bytes;

	while (size > 0) {
		size_t piece = MIN(size, BLOCK_SIZE - offset % BLOCK_SIZE);
		int result = write_piece(node, offset, from, piece);

		if (result)
			return result;
		from += piece;
		offset += piece;
		size -= piece;
		node->size = MAX(node->size, offset);
	}
	return 0;
}

static int overlay_sync(struct io_file *file)
{
	(void)file;
	return 0;
}

static int overlay_size(struct io_file *file, uint64_t *ret_size)
{
	*ret_size = node_of(file)->size;
	return 0;
}

/* What is cut off doesn't come back when the file grows again. */
static int overlay_truncate(struct io_file *file, uint64_t size)
{
	struct node *node = node_of(file);
	uint64_t whole = (size + BLOCK_SIZE - 1) / BLOCK_SIZE;

	if (size < node->size) {
		free_blocks(node, whole);
		if (size % BLOCK_SIZE && block_at(node, size))
			memset(node->blocks[size / BLOCK_SIZE] + size % BLOCK_SIZE, 0,
			       BLOCK_SIZE - size % BLOCK_SIZE);
		node->base_size = MIN(node->base_size, size);
	}
	node->size = size;
	return 0;
}

static int overlay_allocate(struct io_file *file, uint64_t size)
{
	struct node *node = node_of(file);

	node->size = MAX(node->size, size);
	return 0;
}

/* --- queues --- */

static struct overlay_queue *queue_of(struct io_queue *queue)
{
	return CONTAINER_OF(queue, struct overlay_queue, queue);
}

static void queue_free(struct io_queue *queue)
{
	free(queue_of(queue));
}

static int queue_register(struct io_queue *queue, void *bytes, size_t size)
{
	(void)queue;
	(void)bytes;
	(void)size;
	return 0;
}

static void queue_submit(struct io_queue *queue, struct io_op *op)
{
	io_op_run(queue->io, op);
	queue_of(queue)->ended[queue_of(queue)->count++] = op;
}

static uint32_t queue_poll(struct io_queue *queue, struct io_op **ret_ops, uint32_t max)
{
	struct overlay_queue *overlay = queue_of(queue);
	uint32_t count = MIN(overlay->count, max);

	memcpy(ret_ops, overlay->ended, count * sizeof(struct io_op *));
	overlay->count -= count;
	memmove(overlay->ended, overlay->ended + count, overlay->count * sizeof(struct io_op *));
	return count;
}

/* All of it has ended. */
static void queue_wait(struct io_queue *queue)
{
	(void)queue;
}

static const struct io_queue_ops queue_ops = {
	.free = queue_free,
	.register_bytes = queue_register,
	.submit = queue_submit,
	.poll = queue_poll,
	.wait = queue_wait,
};

static int overlay_queue_new(struct io *io, uint32_t depth, struct io_queue **ret_queue)
{
	struct overlay_queue *queue = calloc(1, sizeof(*queue));

	(void)io;
	(void)depth;
	if (!queue)
		return -ENOMEM;
	queue->queue.ops = &queue_ops;
	*ret_queue = &queue->queue;
	return 0;
}

/* --- the whole --- */

static void free_all(struct overlay *overlay)
{
	free_nodes(overlay);
	free(overlay->nodes);
	pthread_mutex_destroy(&overlay->mutex);
	free(overlay);
}

static void overlay_free(struct io *io)
{
	struct io *base = overlay_of(io)->base;

	free_all(overlay_of(io));
	io_free(base);
}

static const struct io_ops overlay_ops = {
	.free = overlay_free,
	.lock = overlay_lock,
	.rename = overlay_rename,
	.remove = overlay_remove,
	.sync_folder = overlay_sync_folder,
	.list = overlay_list,
	.open = overlay_open,
	.close = overlay_close,
	.read = overlay_read,
	.write = overlay_write,
	.sync = overlay_sync,
	.size = overlay_size,
	.truncate = overlay_truncate,
	.allocate = overlay_allocate,
	.queue_new = overlay_queue_new,
};

int io_overlay_new(struct io *base, struct io **ret_io)
{
	struct overlay *overlay = calloc(1, sizeof(*overlay));
	int result;

	if (!overlay)
		return -ENOMEM;
	overlay->io.ops = &overlay_ops;
	overlay->base = base;
	pthread_mutex_init(&overlay->mutex, NULL);
	result = io_list(base, take_name, overlay);
	if (result) {
		free_all(overlay);
		return result;
	}
	*ret_io = &overlay->io;
	return 0;
}
