/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A node holds the entry, its links and the bytes of key and value side by side:
 *
 *      struct memtable_node | links, one a level | key | value
 *
 * A link carries the first eight bytes of the key it leads to as a number, so that most
 * steps of a search are decided without a look at the node (a cache miss).
 *
 * A node has one more level with the chance 1/2, from a generator with a fixed seed: equal
 * input gives equal lists. Pugh's 1/4 makes as many comparisons; but here only a step forward costs
 * a cache miss, and of those 1/2 has a third less.
 *
 * A search is a row of cache misses, each of which says where the next one is. Entries that are
 * added late are only copied; then they are sorted all at once and linked from the first to the
 * last, where the addresses of the next ones are known and their memory is asked for in time.
 *
 * Every MARK_EVERY-th entry is marked, so that an entry is found by its number: bisection
 * over the marks, then along the chain of insertion.
 */

#include "engine/memtable.h"

#include "base/check.h"
#include "base/rand.h"
#include "engine/entry_sort.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define LEVEL_MAX  24 /* enough for 2^24 entries; with more of them searches take longer */
#define MARK_EVERY 64

/* Linked at once, at most; bounds what memory that takes. */
#define LATE_MAX ((uint32_t)1 << 20)

/* Fewer than these are linked one by one, as all are where memory is short. */
#define LATE_MIN 16

/* So many entries ahead memory is asked for. */
#define AHEAD 16

/* Pieces behind the first; large entries get one of their own size. */
#define PIECE_SIZE ((size_t)1 << 20)

/* The first piece begins at, and is, whole huge pages if it is that large. */
#define HUGE_SIZE ((size_t)2 << 20)

#define NODE_ALIGN 8

struct memtable_link {
	uint64_t prefix; /* of node's key, most significant byte first */
	struct memtable_node *node;
};

struct memtable_node {
	struct entry entry;
	struct memtable_node *after; /* added next */
	struct memtable_link links[];
};

/* Memory from the heap behind the first piece. */
struct piece {
	struct piece *before;
	_Alignas(NODE_ALIGN) uint8_t bytes[];
};

/* Pointers that become more; they live in the pieces, too. */
struct node_list {
	struct memtable_node **nodes;
	uint32_t count;
	uint32_t capacity;
};

struct memtable {
	uint8_t *first; /* owned; first_size bytes */
	size_t first_size;
	struct piece *pieces; /* owned; the one that was taken last */
	uint8_t *at;          /* free bytes of the piece in use */
	size_t room;
	uint64_t size_max;
	uint64_t used;
	uint64_t count;
	struct memtable_node *oldest; /* the chain of insertion */
	struct memtable_node *newest;
	struct node_list marks;
	struct node_list ranges;
	struct rand rand;
	struct entry_ref
		*late; /* owned: what is still to be linked by key, in the order of numbers */
	uint32_t late_count;
	uint32_t late_max; /* that are linked at once */
	unsigned level_count;
	struct memtable_link
		*head; /* = links; a pointer, so that readers of a const list get at it */
	struct memtable_link links[LEVEL_MAX];
};

int memtable_new(uint64_t size_max, struct memtable **ret_memtable)
{
	struct memtable *memtable;

	if (size_max == 0 || size_max > MEMTABLE_SIZE_MAX)
		return -EINVAL;
	memtable = malloc(sizeof(*memtable));
	if (!memtable)
		return -ENOMEM;
	/* What is full by one entry has taken that entry: hence a piece more. */
	*memtable = (struct memtable){
		.size_max = size_max,
		.first_size = align_up((size_t)size_max + PIECE_SIZE,
				       size_max < HUGE_SIZE ? PIECE_SIZE : HUGE_SIZE),
		/* More entries it hasn't got, unless the owner goes on behind its end. */
		.late_max = (uint32_t)MIN(size_max / sizeof(struct memtable_node) + LATE_MIN,
					  (uint64_t)LATE_MAX),
	};
	memtable->first =
		aligned_alloc(size_max < HUGE_SIZE ? NODE_ALIGN : HUGE_SIZE, memtable->first_size);
	if (!memtable->first) {
		free(memtable);
		return -ENOMEM;
	}
	/* A search jumps all over it. Where the kernel has no huge pages it is slower, not wrong.
	 */
	if (size_max >= HUGE_SIZE)
		(void)madvise(memtable->first, memtable->first_size, MADV_HUGEPAGE);
	memtable->head = memtable->links;
	memtable_reset(memtable);
	*ret_memtable = memtable;
	return 0;
}

static void free_pieces(struct memtable *memtable)
{
	struct piece *piece;

	while ((piece = memtable->pieces)) {
		memtable->pieces = piece->before;
		free(piece);
	}
}

void memtable_free(struct memtable *memtable)
{
	if (!memtable)
		return;
	free_pieces(memtable);
	free(memtable->late);
	free(memtable->first);
	free(memtable);
}

void memtable_reset(struct memtable *memtable)
{
	free_pieces(memtable);
	memtable->at = memtable->first;
	memtable->room = memtable->first_size;
	memtable->used = 0;
	memtable->count = 0;
	memtable->oldest = memtable->newest = NULL;
	memtable->marks = memtable->ranges = (struct node_list){0};
	memtable->late_count = 0;
	memtable->level_count = 1;
	memset(memtable->links, 0, sizeof(memtable->links));
	rand_init(&memtable->rand, 1);
}

/* What is left of a piece is lost when the next one begins, so what is large doesn't begin one: it
 * gets one, and the piece in use stays in use. */
static void *take_piece(struct memtable *memtable, size_t size)
{
	bool own = size > PIECE_SIZE / 4;
	struct piece *piece = malloc(sizeof(*piece) + (own ? size : PIECE_SIZE));

	if (!piece)
		return NULL;
	piece->before = memtable->pieces;
	memtable->pieces = piece;
	memtable->used += size;
	if (!own) {
		memtable->at = piece->bytes + size;
		memtable->room = PIECE_SIZE - size;
	}
	return piece->bytes;
}

/* Returns NULL when there is no memory. */
static void *take(struct memtable *memtable, size_t size)
{
	void *taken = memtable->at;

	size = align_up(size, NODE_ALIGN);
	if (size > memtable->room)
		return take_piece(memtable, size);
	memtable->at += size;
	memtable->room -= size;
	memtable->used += size;
	return taken;
}

/* Lists double, so what they leave behind is no more than they are. */
static int list_grow(struct memtable *memtable, struct node_list *list)
{
	uint32_t capacity = list->capacity ? list->capacity * 2 : 16;
	struct memtable_node **nodes;

	nodes = take(memtable, capacity * sizeof(struct memtable_node *));
	if (!nodes)
		return -ENOMEM;
	if (list->count > 0)
		memcpy(nodes, list->nodes, list->count * sizeof(struct memtable_node *));
	list->nodes = nodes;
	list->capacity = capacity;
	return 0;
}

/* Makes room for one more. */
static inline int list_reserve(struct memtable *memtable, struct node_list *list)
{
	return likely(list->count < list->capacity) ? 0 : list_grow(memtable, list);
}

/* What is looked for. */
struct probe {
	struct entry entry; /* key and seqno */
	uint64_t prefix;
};

static struct probe probe_for(struct entry_bytes key, uint64_t seqno)
{
	return (struct probe){.entry = {.key = key, .seqno = seqno}, .prefix = entry_chunk(key, 0)};
}

/* Equal prefixes say nothing: keys shorter than eight bytes are padded with zeros. */
static bool leads_before(const struct memtable_link *link, const struct probe *probe)
{
	if (!link->node)
		return false;
	if (link->prefix != probe->prefix)
		return link->prefix < probe->prefix;
	return entry_compare(&link->node->entry, &probe->entry) < 0;
}

/*
 * The last node before the probe, or NULL. '*ret_path', if it is wanted, gets the link of each
 * level that leads past the probe.
 */
static struct memtable_node *search(const struct memtable *memtable, const struct probe *probe,
				    struct memtable_link **ret_path)
{
	struct memtable_link *links = memtable->head;
	struct memtable_node *node = NULL;

	for (unsigned level = memtable->level_count; level-- > 0;) {
		while (leads_before(&links[level], probe)) {
			node = links[level].node;
			links = node->links;
		}
		if (ret_path)
			ret_path[level] = &links[level];
	}
	return node;
}

/* Without a branch: nobody can foresee it. */
static unsigned random_levels(struct rand *rand)
{
	uint64_t top = UINT64_C(1) << (LEVEL_MAX - 1);

	return 1 + (unsigned)__builtin_ctzll(rand_next(rand) | top);
}

static void raise_head(struct memtable *memtable, unsigned level_count)
{
	while (memtable->level_count < level_count)
		memtable->head[memtable->level_count++] = (struct memtable_link){0};
}

static void link_by_key(struct memtable *memtable, struct memtable_node *node, unsigned level_count)
{
	struct probe probe = probe_for(node->entry.key, node->entry.seqno);
	struct memtable_link *path[LEVEL_MAX];

	raise_head(memtable, level_count);
	search(memtable, &probe, path);
	for (unsigned level = 0; level < level_count; level++) {
		node->links[level] = *path[level];
		*path[level] = (struct memtable_link){.prefix = probe.prefix, .node = node};
	}
}

/* Links stand between the node and its key. */
static unsigned levels_of(const struct memtable_node *node)
{
	return (unsigned)((size_t)(node->entry.key.bytes - (const uint8_t *)node->links) /
			  sizeof(struct memtable_link));
}

static struct memtable_node *node_of(const struct entry_ref *ref)
{
	return CONTAINER_OF(ref->entry, struct memtable_node, entry);
}

static void ask_for(const struct entry_ref *ref)
{
	__builtin_prefetch(node_of(ref), /* write= */ 0);
	__builtin_prefetch(node_of(ref)->links, /* write= */ 1);
}

/*
 * Moves a path of the last node that was linked to the probe, which comes behind that. Up to the
 * first level that leads past the probe already, then down from there: where the entries of
 * the list lie close to each other, no step is made at all.
 */
static void move_path(const struct probe *probe, struct memtable_link *path[LEVEL_MAX])
{
	struct memtable_link *links = NULL;
	unsigned level = 0;

	while (level < LEVEL_MAX && leads_before(path[level], probe))
		level++;
	while (level-- > 0) {
		if (links)
			path[level] = &links[level];
		while (leads_before(path[level], probe)) {
			links = path[level]->node->links;
			path[level] = &links[level];
		}
	}
}

static void link_sorted(struct memtable *memtable, const struct entry_ref *refs, uint32_t count)
{
	struct memtable_link *path[LEVEL_MAX];

	for (unsigned level = 0; level < LEVEL_MAX; level++)
		path[level] = &memtable->head[level];
	for (uint32_t i = 0; i < count; i++) {
		struct memtable_node *node = node_of(&refs[i]);
		struct probe probe = {.entry = node->entry, .prefix = refs[i].chunk};
		unsigned level_count = levels_of(node);

		if (i + AHEAD < count)
			ask_for(&refs[i + AHEAD]);
		raise_head(memtable, level_count);
		move_path(&probe, path);
		for (unsigned level = 0; level < level_count; level++) {
			node->links[level] = *path[level];
			*path[level] = (struct memtable_link){.prefix = probe.prefix, .node = node};
			path[level] = &node->links[level];
		}
	}
}

static void link_each(struct memtable *memtable)
{
	for (uint32_t i = 0; i < memtable->late_count; i++) {
		struct memtable_node *node = node_of(&memtable->late[i]);

		link_by_key(memtable, node, levels_of(node));
	}
}

/* The youngest first, as versions of a key stand. */
static void turn(struct entry_ref *refs, uint32_t count)
{
	for (uint32_t i = 0; i < count / 2; i++) {
		struct entry_ref ref = refs[i];

		refs[i] = refs[count - 1 - i];
		refs[count - 1 - i] = ref;
	}
}

/* Room for late_max; what of it isn't used is no memory. */
static struct entry_ref *take_refs(const struct memtable *memtable)
{
	size_t size = memtable->late_max * sizeof(struct entry_ref);
	struct entry_ref *refs;

	if (size < HUGE_SIZE)
		return malloc(size);
	refs = aligned_alloc(HUGE_SIZE, align_up(size, HUGE_SIZE));
	if (refs)
		(void)madvise(refs, align_up(size, HUGE_SIZE), MADV_HUGEPAGE);
	return refs;
}

void memtable_link(struct memtable *memtable)
{
	uint32_t count = memtable->late_count;
	struct entry_ref *spare;

	if (count == 0)
		return;
	spare = count >= LATE_MIN ? take_refs(memtable) : NULL;
	if (spare) {
		turn(memtable->late, count);
		entry_sort(memtable->late, spare, count);
		link_sorted(memtable, memtable->late, count);
	} else {
		link_each(memtable);
	}
	free(spare);
	free(memtable->late);
	memtable->late = NULL;
	memtable->late_count = 0;
}

/* Where memory is short, it is linked at once. */
static void add_late(struct memtable *memtable, struct memtable_node *node, unsigned level_count)
{
	if (memtable->late_count == memtable->late_max)
		memtable_link(memtable);
	if (!memtable->late)
		memtable->late = take_refs(memtable);
	if (memtable->late)
		memtable->late[memtable->late_count++] =
			(struct entry_ref){entry_chunk(node->entry.key, 0), &node->entry};
	else
		link_by_key(memtable, node, level_count);
}

static void link_by_number(struct memtable *memtable, struct memtable_node *node)
{
	if (memtable->newest)
		memtable->newest->after = node;
	else
		memtable->oldest = node;
	memtable->newest = node;
	if (memtable->count++ % MARK_EVERY == 0)
		memtable->marks.nodes[memtable->marks.count++] = node;
}

static struct memtable_node *copy_entry(struct memtable *memtable, const struct entry *entry,
					unsigned level_count)
{
	size_t links_size = level_count * sizeof(struct memtable_link);
	struct memtable_node *node =
		take(memtable, sizeof(*node) + links_size + entry->key.size + entry->value.size);
	uint8_t *bytes;

	if (!node)
		return NULL;
	bytes = (uint8_t *)node->links + links_size;
	node->entry = *entry;
	node->entry.key.bytes = bytes;
	node->entry.value.bytes = bytes + entry->key.size;
	node->after = NULL;
	if (entry->key.size > 0)
		memcpy(bytes, entry->key.bytes, entry->key.size);
	if (entry->value.size > 0)
		memcpy(bytes + entry->key.size, entry->value.bytes, entry->value.size);
	return node;
}

static int add(struct memtable *memtable, const struct entry *entry, bool late)
{
	bool is_range = entry->kind == ENTRY_RANGE_TOMBSTONE;
	unsigned level_count = is_range ? 0 : random_levels(&memtable->rand);
	struct memtable_node *node;

	DCHECK(entry->seqno >= memtable_seqno_max(memtable));
	if (list_reserve(memtable, &memtable->marks) ||
	    (is_range && list_reserve(memtable, &memtable->ranges)))
		return -ENOMEM;
	node = copy_entry(memtable, entry, level_count);
	if (!node)
		return -ENOMEM;
	link_by_number(memtable, node);
	if (is_range)
		memtable->ranges.nodes[memtable->ranges.count++] = node;
	else if (late)
		add_late(memtable, node, level_count);
	else
		link_by_key(memtable, node, level_count);
	return 0;
}

int memtable_add(struct memtable *memtable, const struct entry *entry)
{
	memtable_link(memtable);
	return add(memtable, entry, /* late= */ false);
}

int memtable_add_late(struct memtable *memtable, const struct entry *entry)
{
	return add(memtable, entry, /* late= */ true);
}

bool memtable_is_full(const struct memtable *memtable)
{
	return memtable->used >= memtable->size_max;
}

uint64_t memtable_size(const struct memtable *memtable)
{
	return memtable->used;
}

uint64_t memtable_count(const struct memtable *memtable)
{
	return memtable->count;
}

uint64_t memtable_seqno_min(const struct memtable *memtable)
{
	return memtable->oldest ? memtable->oldest->entry.seqno : 0;
}

uint64_t memtable_seqno_max(const struct memtable *memtable)
{
	return memtable->newest ? memtable->newest->entry.seqno : 0;
}

const struct memtable_node *memtable_before(const struct memtable *memtable, struct entry_bytes key,
					    uint64_t seqno)
{
	struct probe probe = probe_for(key, seqno);

	return search(memtable, &probe, NULL);
}

const struct memtable_node *memtable_seek(const struct memtable *memtable, struct entry_bytes key,
					  uint64_t seqno)
{
	const struct memtable_node *before = memtable_before(memtable, key, seqno);

	return before ? memtable_next(before) : memtable->head[0].node;
}

const struct memtable_node *memtable_last(const struct memtable *memtable)
{
	const struct memtable_link *links = memtable->head;
	const struct memtable_node *node = NULL;

	for (unsigned level = memtable->level_count; level-- > 0;) {
		while (links[level].node) {
			node = links[level].node;
			links = node->links;
		}
	}
	return node;
}

const struct memtable_node *memtable_next(const struct memtable_node *node)
{
	return node->links[0].node;
}

const struct entry *memtable_entry(const struct memtable_node *node)
{
	return &node->entry;
}

/* The last mark below 'seqno', else the first. */
static const struct memtable_node *mark_before(const struct memtable *memtable, uint64_t seqno)
{
	uint32_t low = 0, high = memtable->marks.count;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (memtable->marks.nodes[middle]->entry.seqno < seqno)
			low = middle + 1;
		else
			high = middle;
	}
	return low > 0 ? memtable->marks.nodes[low - 1] : memtable->oldest;
}

const struct memtable_node *memtable_since(const struct memtable *memtable, uint64_t seqno)
{
	const struct memtable_node *node = mark_before(memtable, seqno);

	while (node && node->entry.seqno < seqno)
		node = node->after;
	return node;
}

const struct memtable_node *memtable_after(const struct memtable_node *node)
{
	return node->after;
}

uint32_t memtable_range_count(const struct memtable *memtable)
{
	return memtable->ranges.count;
}

struct entry memtable_range(const struct memtable *memtable, uint32_t index)
{
	CHECK(index < memtable->ranges.count);
	return memtable->ranges.nodes[index]->entry;
}
