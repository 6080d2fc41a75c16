/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Shm link - the connection over which memory is lent to a peer on this host
 *
 * The counterpart of rdma/link.h where there is no device: a Unix socket that
 * proves who is at its other end, and carries the descriptors of memory that
 * the peer was granted. docs/format/shm.md has packets and rules.
 *
 * The reader:
 *
 *	shm_link_connect(&owner, ...);
 *	while (shm_link_next(link, now, &news) != SHM_LINK_IS_READY) wait for shm_link_fd();
 *	shm_link_proof(link, request.proof);           region request, type 56, transport 2
 *	shm_link_next() == SHM_LINK_LENT               news.lease is the answer's lease_id
 *	fetch_shm_open(news.memory_fd, news.offset, news.size, ...); close(news.memory_fd);
 *
 * The owner has one descriptor to listen at and a bounded table of links; each turn of its loop:
 *
 *	while the table has room and shm_link_accept() returns 0: into the table with it
 *	for each link, up to SHM_LINK_NEWS_MAX times: shm_link_next()
 *		SHM_LINK_RETURNED  end the lease news.lease, if it is this link's
 *		SHM_LINK_IS_OVER   end all leases of the link; shm_link_close()
 *
 * and for a request of type 56 with transport 2: find the link by shm_link_has_proof(),
 * grant the lease, shm_link_pass(), answer with type 57. With SHM_LINK_E_BUSY the peer
 * doesn't take what it asked for: end the lease and answer that it isn't available. A lease that
 * is ended before its time is told by shm_link_withdraw(); one whose time is over needs no word.
 * The descriptor stays the owner's, which may close or unmap the memory whenever
 * it likes: what a reader has mapped stays until the reader lets go of it.
 *
 * Nothing here blocks. A turn without news is one system call a link, so the
 * loop asks only when epoll says so, or every 10 ms.
 *
 * Threads: a link belongs to one thread.
 */

#include "base/addr.h"
#include "rdma/shm_wire.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* How long a peer has to prove itself. */
#define SHM_LINK_PROVE_NS UINT64_C(3000000000)

/* News of one link to take in a turn, so that a flood of one doesn't starve the others. */
#define SHM_LINK_NEWS_MAX 16

/* Bytes of an error line, final zero included. */
#define SHM_LINK_ERROR_MAX 160

enum {
	SHM_LINK_E_NONE = 1, /* nobody is waiting to be accepted */
	SHM_LINK_E_BUSY,     /* the peer doesn't take its packets in */
};

enum shm_link_event {
	SHM_LINK_NO_NEWS,
	SHM_LINK_IS_READY,  /* both sides have proved themselves */
	SHM_LINK_LENT,      /* to a reader: memory came */
	SHM_LINK_WITHDRAWN, /* to a reader: use the lease no more */
	SHM_LINK_RETURNED,  /* to an owner: the lease isn't needed any more */
	SHM_LINK_IS_OVER,   /* once; shm_link_error() says why */
};

struct shm_link_news {
	uint64_t lease;
	int memory_fd;   /* SHM_LINK_LENT: the caller owns it */
	uint64_t offset; /* and of the region in it */
	uint64_t size;
};

struct shm_link_config {
	uint64_t node;         /* ours; 0 for a client */
	const uint8_t *secret; /* SHM_WIRE_SECRET_SIZE bytes, copied; NULL: none */
};

struct shm_link;

/*
 * Listens for readers of the node that peers know as 'self'. The caller owns '*ret_fd', which
 * becomes readable when a reader waits. Returns 0, or a negative errno and one line in 'error'.
 */
int shm_link_listen(const struct addr *self, int *ret_fd, char *error, size_t error_size);

/* Takes in one reader. Returns 0, SHM_LINK_E_NONE, or a negative errno (descriptors, memory). */
int shm_link_accept(int listen_fd, const struct shm_link_config *config, uint64_t now_ns,
		    struct shm_link **ret_link);

/*
 * Connects to the node that peers know as 'owner', if it is on this host. Returns 0, or a negative
 * errno and one line in 'error': -ECONNREFUSED means that it isn't, or doesn't lend memory.
 */
int shm_link_connect(const struct addr *owner, const struct shm_link_config *config,
		     uint64_t now_ns, struct shm_link **ret_link, char *error, size_t error_size);

/* Ends it and closes what was lent and not taken. NULL is fine. */
void shm_link_close(struct shm_link *link);

/* The next news; SHM_LINK_NO_NEWS when there is none now. */
enum shm_link_event shm_link_next(struct shm_link *link, uint64_t now_ns,
				  struct shm_link_news *ret_news);

/* Readable when there may be news. */
int shm_link_fd(const struct shm_link *link);

uint64_t shm_link_peer_node(const struct shm_link *link); /* 0 until it is ready */
const char *shm_link_error(const struct shm_link *link);  /* "" until it is over */

/* What names this link, and no other, in region requests. It is ready. */
void shm_link_proof(const struct shm_link *link, uint8_t ret_proof[SHM_WIRE_PROOF_SIZE]);

/* Is it ready, and is this its proof? */
bool shm_link_has_proof(const struct shm_link *link, const uint8_t proof[SHM_WIRE_PROOF_SIZE]);

/*
 * The owner's word. Borrows 'memory_fd' for the call, which must pass fetch_shm_check(). The link
 * is ready; 'lease' is not 0.
 *
 * Returns 0, SHM_LINK_E_BUSY, -EPERM (the memory isn't sealed, or is too short) or the errno that
 * the link ended with.
 */
int shm_link_pass(struct shm_link *link, uint64_t lease, int memory_fd, uint64_t offset,
		  uint64_t size);

/* As shm_link_pass(): without memory, so there is no -EPERM. */
int shm_link_withdraw(struct shm_link *link, uint64_t lease);

/* The reader's word: it uses the lease no more. Returns as shm_link_withdraw(). */
int shm_link_return(struct shm_link *link, uint64_t lease);
