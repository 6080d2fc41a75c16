/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Pager internal - what the pager's files share
 *
 *      pager.c             opening, pins, errors
 *      pager_cache.c       frames: finding, reading, giving up, writing
 *      pager_change.c      transactions: pages
 *      pager_records.c     transactions: records
 *      pager_redo.c        recovery
 *      pager_checkpoint.c  writing behind, checkpoints
 *      pager_queue.c       the same without blocking
 *      pager_read.c        reading without blocking
 *      pager_grow.c        room in the file
 *
 * A frame holds one version of one page.
 *
 *      EMPTY --read, allocated--> CACHED --replaced by a commit, pinned--> ORPHAN --> EMPTY
 *        |                          ^
 *        +--edited--> COPY --commit-+
 *
 * Invariants.
 *  1. A page has at most one frame that is CACHED and at most one that is a COPY; both are
 *     found by the table, the COPY first. An ORPHAN isn't found.
 *  2. Only frames that are CACHED, unpinned and clean are given up.
 *  3. A frame that is CACHED and dirty is written only when the log is durable past flush_lsn.
 *     It is dirty until the write ended, and of a page one write is under way at most: so what is
 *     read from the file is never older than what was given up, nor a younger version overtaken.
 *  4. A page that is being read has no frame that is found: the read's is nobody's until it ended.
 *  5. A COPY that has changes nobody logged yet has them between 'low' and 'high', or in its
 *     header ('head').
 *
 * Threads: one owner.
 */

#include "base/arena.h"
#include "base/defs.h"
#include "engine/pager.h"

/* No frame. */
#define FRAME_NONE UINT32_MAX

enum frame_state {
	FRAME_EMPTY = 0,
	FRAME_CACHED,
	FRAME_COPY,
	FRAME_ORPHAN,
};

struct frame {
	uint64_t number;
	uint64_t flush_lsn; /* of the commit that changed it; 0: nothing to wait for */
	uint32_t pins;
	uint32_t next;      /* in its bucket, or of the empty ones */
	uint16_t low, high; /* bytes of the body that changed and aren't logged; equal: none */
	uint8_t state;      /* enum frame_state */
	bool recent;        /* used since the clock's hand came by */
	bool dirty;
	bool writing; /* what a write under way is to make clean: it hasn't changed since */
	bool awaited; /* by the checkpoint */
	bool head;    /* the header changed, and isn't logged */
	bool imaged;  /* recovery needs no page image before the next record about it */
	bool logged;  /* a record is about it */
};

/* What a transaction has done. */
struct change {
	bool open;
	int error;         /* that leaves only the way back; 0: none */
	uint32_t *copies;  /* frames, room for copy_max */
	uint32_t count;    /* of copies */
	uint32_t copy_max; /* min(PAGER_WRITE_MAX, frames) */
	uint8_t *records;  /* u32 size and an encoded record each */
	size_t size;       /* bytes of them */
	size_t capacity;
	uint32_t record_count;
	struct pager_state before; /* what a rollback goes back to */
};

struct checkpoint {
	bool wanted; /* when the open transaction is over */
	bool begun;
	bool syncing; /* the sync under way is this one's */
	bool synced;
	uint64_t awaited; /* frames that are to be written */
	uint64_t lsn;     /* the log must be durable up to here when it is whole */
	struct pager_state state;
};

/* A write under way has bytes of its own, so that the frame may be changed or dropped. */
struct page_write {
	struct io_op op;
	uint32_t frame;
	bool under_way;
};

/* The file is made longer. */
struct page_growth {
	struct io_op op;
	bool under_way;
	int failed; /* the last one, which nobody was told; 0: it didn't */
};

/* A read under way, or the failure of one, to be told to who asks for the page next. */
struct page_read {
	struct io_op op;
	uint64_t number; /* 0: none */
	uint32_t frame;  /* FRAME_NONE: it failed */
	int result;
	char error[PAGE_ERROR_MAX];
};

struct pager {
	struct io *io;
	struct wal *wal; /* NULL: none yet */
	struct io_file *file;
	struct arena arena;
	uint8_t *bytes; /* of all frames */
	struct frame *frames;
	uint32_t frame_count;
	uint32_t *buckets; /* first frame of each */
	uint32_t bucket_mask;
	uint32_t empty;      /* first of the empty frames */
	uint32_t hand;       /* of the clock */
	uint32_t work_hand;  /* where pager_work() goes on */
	uint64_t file_pages; /* the file has room for pages below */
	uint64_t image_lsn;  /* pages not changed since then need an image first */
	uint64_t changes;
	int failed;                /* a sync: nothing goes any more */
	struct io_queue *queue;    /* NULL: writes and syncs block */
	struct page_write *writes; /* PAGER_QUEUE_MAX */
	uint8_t *write_bytes;      /* a page for each */
	uint32_t write_count;      /* under way */
	int write_error;           /* of one that ended, to be told; 0: none */
	struct page_read *reads;   /* PAGER_READ_MAX */
	uint32_t read_max;         /* under way at once */
	uint32_t read_count;       /* under way */
	uint32_t read_hand;        /* the failure that is forgotten next */
	struct page_growth growth;
	bool polls;     /* whoever would block says so instead */
	bool was_short; /* of frames */
	struct io_op sync;
	bool sync_under_way;
	bool read_only;
	bool loads; /* transactions need no log until there is one */
	struct pager_state state;
	struct change change;
	struct checkpoint checkpoint;
	struct pager_stats stats;
	uint8_t scratch[PAGE_SIZE];
	char error[PAGE_ERROR_MAX];
};

static inline uint8_t *frame_bytes(const struct pager *pager, uint32_t frame)
{
	return pager->bytes + (size_t)frame * PAGE_SIZE;
}

static inline uint32_t frame_of(const struct pager *pager, const struct page *page)
{
	return (uint32_t)((size_t)(page->bytes - pager->bytes) / PAGE_SIZE);
}

/* Notes a sentence for pager_error(). */
void pager_note(struct pager *pager, const char *format, ...) PRINTF_LIKE(2, 3);

/* The same, and is PAGER_E_CORRUPT. A macro, for clang's analyzer: it doesn't look into other
 * files, and has to see that this is never 0. */
#define pager_corrupt(...) (pager_note(__VA_ARGS__), PAGER_E_CORRUPT)

/* All up to this LSN survives a power cut. */
uint64_t pager_durable(const struct pager *pager);

/* Takes frames from the arena. Returns 0 or a negative errno. */
int cache_init(struct pager *pager, uint32_t frame_count);
void cache_deinit(struct pager *pager);

/* The frame of the page's newest version, or FRAME_NONE. */
uint32_t cache_find(const struct pager *pager, uint64_t number);

/* The frame that a commit replaces, or FRAME_NONE. */
uint32_t cache_find_base(const struct pager *pager, uint64_t number);

/* Makes a frame EMPTY and off every list. Returns 0, PAGER_E_BUSY or a negative errno. */
int cache_take(struct pager *pager, uint32_t *ret_frame);

/* An empty frame that was taken becomes the page's, and is found. */
void cache_insert(struct pager *pager, uint32_t frame, uint64_t number, enum frame_state state);

/* It isn't found any more, and is EMPTY again when nobody has it pinned. */
void cache_drop(struct pager *pager, uint32_t frame);

/* A frame that was taken is EMPTY again. */
void cache_give_back(struct pager *pager, uint32_t frame);

/* Finds or reads the page. Returns as pager_get(). */
int cache_get(struct pager *pager, uint64_t number, uint32_t *ret_frame);

/* What a read said of the page, whose bytes are looked at if it said 0. Returns 0, PAGER_E_CORRUPT
 * ('error' says) or a negative errno. */
int cache_check_read(uint64_t number, const uint8_t *bytes, int result,
		     char error[static PAGE_ERROR_MAX]);

void cache_unpin(struct pager *pager, uint32_t frame);

/* Notes that a cached frame has changed. */
void cache_dirty(struct pager *pager, uint32_t frame, uint64_t flush_lsn);

/* Whether it may be written, and then does. Returns 0 or a negative errno. */
bool cache_may_write(const struct pager *pager, uint32_t frame);
int cache_write(struct pager *pager, uint32_t frame);

/* It was written as it is. */
void cache_clean(struct pager *pager, uint32_t frame);

/* Writes up to 'pages_max' pages that may be, and waits for those under way if there are
 * no others. Returns 0 or a negative errno. */
int pager_write_now(struct pager *pager, uint32_t pages_max);

/* Makes the queue of a pager whose writes don't block. Returns 0 or a negative errno. */
int pager_queue_init(struct pager *pager);
void pager_queue_deinit(struct pager *pager);

/* Whether a write of the page is under way. */
bool pager_is_writing(const struct pager *pager, uint64_t number);

/* Begins writes of up to 'pages_max' frames that may be. Returns 0 or a negative errno, also of
 * those that ended. */
int pager_queue_write(struct pager *pager, uint32_t pages_max);

/* Begins the sync that makes the checkpoint whole, if none is under way. Returns 0 or a negative
 * errno. */
int pager_queue_sync(struct pager *pager);

/* An operation that isn't about a write. Returns 0 or a negative errno. */
int pager_queue_submit(struct pager *pager, struct io_op *op);

/* Begins to read the page, or says what became of that. Returns PAGER_E_WAIT, or as pager_get(). */
int pager_read_begin(struct pager *pager, uint64_t number);

/* Takes in what became of the read. */
void pager_read_end(struct pager *pager, struct page_read *read);

/* Blocks until no read of the page is under way. Returns 0, or the failure that nobody was told. */
int pager_read_settle(struct pager *pager, uint64_t number);

/* A transaction is over: begins the checkpoint that waited for it. */
void checkpoint_after_change(struct pager *pager);

/* Gives the file room for the page. Returns 0, PAGER_E_BUSY for an owner that polls (it is under
 * way), or a negative errno. */
int pager_grow(struct pager *pager, uint64_t number);

/* Takes in what became of making the file longer. */
void pager_grow_end(struct pager *pager);

/* Notes an error, after which the transaction can only be rolled back; returns it. */
int change_fail(struct pager *pager, int result);

/* The copy's records are whole: what is noted of it is in them. */
void change_note_logged(struct frame *entry);

/* Makes sure that redo finds the copy as it is now. Returns 0, PAGER_E_FULL or -ENOMEM. */
int change_log_state(struct pager *pager, uint32_t frame);

/* Encodes what is noted of all copies; returns the same. */
int change_log_noted(struct pager *pager);

/* A PageAllocate or PageFree; returns the same. */
int change_log_page(struct pager *pager, enum record_type type, uint64_t number, uint32_t checksum);

/* What the log said, in the pager's words. */
int change_result(const struct pager *pager, int result);

/* The pages that a record is about. Returns their count. */
#define RECORD_PAGES_MAX 2
unsigned pager_record_pages(const struct record *record, uint64_t ret_pages[RECORD_PAGES_MAX]);

/*
 * For the redo of records that say what happens to a page. Pins the page and makes it writable;
 * '*ret_done' when the page has the record's change already, and is to be left alone. Returns
 * as pager_get().
 */
int pager_redo_get(struct pager *pager, uint64_t number, uint64_t lsn, struct page *ret_page,
		   bool *ret_done);

/* The page has the record's change now; gives back the pin. */
void pager_redo_put(struct pager *pager, struct page *page, uint64_t lsn);
