/* SPDX-License-Identifier: Apache-2.0 */
#include "rdma/shm_link.h"

#include "base/check.h"
#include "base/rand.h"
#include "proto/session_proof.h"
#include "rdma/fetch_shm.h"
#include "rdma/shm_socket.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/*
 *	reader   AWAIT_ANSWER --ANSWER / PROVE--> AWAIT_WELCOME --WELCOME--> READY
 *	owner    AWAIT_HELLO --HELLO / ANSWER--> AWAIT_PROVE --PROVE / WELCOME--> READY
 *
 * and from each of them to OVER.
 */
enum state {
	AWAIT_ANSWER,
	AWAIT_WELCOME,
	AWAIT_HELLO,
	AWAIT_PROVE,
	READY,
	OVER,
};

struct shm_link {
	int fd;
	bool is_owner;
	bool has_secret;
	bool told; /* SHM_LINK_IS_OVER was given out */
	enum state state;
	int over; /* negative errno that it ended with */
	uint64_t prove_until_ns;
	uint8_t secret[SHM_WIRE_SECRET_SIZE];
	struct shm_wire_parties parties;
	uint8_t lease_proof[SHM_WIRE_PROOF_SIZE];
	char error[SHM_LINK_ERROR_MAX];
};

static const uint8_t *secret_of(const struct shm_link *link)
{
	return link->has_secret ? link->secret : NULL;
}

static bool is_proof(const struct shm_link *link, enum shm_wire_speaker speaker,
		     const uint8_t proof[SHM_WIRE_PROOF_SIZE])
{
	uint8_t right[SHM_WIRE_PROOF_SIZE];

	shm_wire_prove(secret_of(link), speaker, &link->parties, right);
	return session_proof_equal(proof, right);
}

/* --- packets --- */

static void end(struct shm_link *link, int error, const char *why)
{
	link->state = OVER;
	link->over = error;
	(void)snprintf(link->error, sizeof(link->error), "%s", why);
}

/* Sends a packet, with a descriptor unless 'fd' is -1. As shm_link_withdraw(). */
static int send_packet(struct shm_link *link, const struct shm_wire_packet *packet, int fd)
{
	int error;

	if (link->state == OVER)
		return link->over;
	error = shm_socket_send(link->fd, packet, fd);
	if (error == SHM_SOCKET_E_WAIT)
		return SHM_LINK_E_BUSY;
	if (error)
		end(link, error, "the peer has closed the connection");
	return error;
}

/* A packet of the handshake: the socket has room for it, or something is wrong. */
static void send_step(struct shm_link *link, const struct shm_wire_packet *packet, enum state next)
{
	int error = send_packet(link, packet, -1);

	if (error == SHM_LINK_E_BUSY)
		end(link, -EPROTO, "the socket has no room for a handshake");
	else if (!error)
		link->state = next;
}

static void refuse(struct shm_link *link, enum shm_wire_reason reason, const char *why)
{
	const struct shm_wire_packet packet = {.kind = SHM_WIRE_REFUSE, .reason = reason};

	/* A peer that doesn't hear it learns from the closed socket. */
	(void)send_packet(link, &packet, -1);
	end(link, -EACCES, why);
}

/*
 * One packet, and the descriptor that came with a PASS (else -1), which only an owner that has
 * proved itself can send. Ends the link with what is none.
 */
static bool receive(struct shm_link *link, struct shm_wire_packet *ret_packet, int *ret_fd)
{
	bool takes_fd = !link->is_owner && link->state == READY;
	int error;

	*ret_fd = -1;
	error = shm_socket_receive(link->fd, ret_packet, takes_fd ? ret_fd : NULL);

	if (error == SHM_SOCKET_E_VERSION && link->is_owner)
		refuse(link, SHM_WIRE_BY_VERSION, "the peer speaks another version");
	else if (error == SHM_SOCKET_E_VERSION || error == SHM_SOCKET_E_CORRUPT)
		end(link, -EPROTO, "the peer sent a packet that is none");
	else if (error && error != SHM_SOCKET_E_WAIT)
		end(link, error, "the peer has closed the connection");
	return !error;
}

/* --- the handshake --- */

static void become_ready(struct shm_link *link)
{
	shm_wire_prove(secret_of(link), SHM_WIRE_LEASE, &link->parties, link->lease_proof);
	link->state = READY;
}

static void on_hello(struct shm_link *link, const struct shm_wire_packet *hello)
{
	struct shm_wire_packet answer = {.kind = SHM_WIRE_ANSWER, .node = link->parties.owner_node};

	if (!link->has_secret && !shm_socket_is_trusted(link->fd)) {
		refuse(link, SHM_WIRE_BY_USER,
		       "the peer is another user's, and without a secret that is refused");
		return;
	}
	link->parties.reader_node = hello->node;
	memcpy(link->parties.reader_nonce, hello->nonce, sizeof(hello->nonce));
	memcpy(answer.nonce, link->parties.owner_nonce, sizeof(answer.nonce));
	shm_wire_prove(secret_of(link), SHM_WIRE_OWNER, &link->parties, answer.proof);
	send_step(link, &answer, AWAIT_PROVE);
}

static void on_prove(struct shm_link *link, const struct shm_wire_packet *prove)
{
	const struct shm_wire_packet welcome = {.kind = SHM_WIRE_WELCOME};

	if (!is_proof(link, SHM_WIRE_READER, prove->proof)) {
		refuse(link, SHM_WIRE_BY_PROOF, "the peer has another secret");
		return;
	}
	send_step(link, &welcome, READY);
	if (link->state == READY)
		become_ready(link);
}

static void on_answer(struct shm_link *link, const struct shm_wire_packet *answer)
{
	struct shm_wire_packet prove = {.kind = SHM_WIRE_PROVE};

	link->parties.owner_node = answer->node;
	memcpy(link->parties.owner_nonce, answer->nonce, sizeof(answer->nonce));
	if (!is_proof(link, SHM_WIRE_OWNER, answer->proof)) {
		end(link, -EACCES, "the node has another secret: compare both configurations");
		return;
	}
	shm_wire_prove(secret_of(link), SHM_WIRE_READER, &link->parties, prove.proof);
	send_step(link, &prove, AWAIT_WELCOME);
}

static void on_refuse(struct shm_link *link, enum shm_wire_reason reason)
{
	static const char *const texts[] = {
		[SHM_WIRE_BY_VERSION] =
			"the node speaks another version: use programs of one release",
		[SHM_WIRE_BY_PROOF] = "the node has another secret: compare both configurations",
		[SHM_WIRE_BY_USER] =
			"the node has no secret and runs as another user: give the cluster "
			"a secret, or run as that user",
	};

	end(link, -EACCES, texts[reason]);
}

/* --- news --- */

static enum shm_link_event lent(const struct shm_wire_packet *packet, int fd,
				struct shm_link_news *ret_news)
{
	*ret_news = (struct shm_link_news){.lease = packet->lease,
					   .memory_fd = fd,
					   .offset = packet->offset,
					   .size = packet->size};
	return SHM_LINK_LENT;
}

static enum shm_link_event about_lease(enum shm_link_event event, uint64_t lease,
				       struct shm_link_news *ret_news)
{
	*ret_news = (struct shm_link_news){.lease = lease, .memory_fd = -1};
	return event;
}

/* What is due in each state; all else ends the link. */
static bool is_due(const struct shm_link *link, enum shm_wire_kind kind)
{
	switch (link->state) {
	case AWAIT_ANSWER:
		return kind == SHM_WIRE_ANSWER || kind == SHM_WIRE_REFUSE;
	case AWAIT_WELCOME:
		return kind == SHM_WIRE_WELCOME || kind == SHM_WIRE_REFUSE;
	case AWAIT_HELLO:
		return kind == SHM_WIRE_HELLO;
	case AWAIT_PROVE:
		return kind == SHM_WIRE_PROVE;
	case READY:
		return link->is_owner ? kind == SHM_WIRE_RETURN
				      : kind == SHM_WIRE_PASS || kind == SHM_WIRE_WITHDRAW;
	case OVER:
		break;
	}
	return false;
}

static enum shm_link_event take(struct shm_link *link, const struct shm_wire_packet *packet, int fd,
				struct shm_link_news *ret_news)
{
	if (!is_due(link, packet->kind)) {
		end(link, -EPROTO, "the peer sent a packet out of turn");
		return SHM_LINK_NO_NEWS;
	}
	switch (packet->kind) {
	case SHM_WIRE_HELLO:
		on_hello(link, packet);
		break;
	case SHM_WIRE_ANSWER:
		on_answer(link, packet);
		break;
	case SHM_WIRE_PROVE:
		on_prove(link, packet);
		break;
	case SHM_WIRE_WELCOME:
		become_ready(link);
		break;
	case SHM_WIRE_REFUSE:
		on_refuse(link, packet->reason);
		break;
	case SHM_WIRE_PASS:
		return lent(packet, fd, ret_news);
	case SHM_WIRE_WITHDRAW:
		return about_lease(SHM_LINK_WITHDRAWN, packet->lease, ret_news);
	case SHM_WIRE_RETURN:
		return about_lease(SHM_LINK_RETURNED, packet->lease, ret_news);
	}
	return link->state == READY ? SHM_LINK_IS_READY : SHM_LINK_NO_NEWS;
}

enum shm_link_event shm_link_next(struct shm_link *link, uint64_t now_ns,
				  struct shm_link_news *ret_news)
{
	struct shm_wire_packet packet;
	enum shm_link_event event;
	int fd;

	if (link->state < READY && now_ns >= link->prove_until_ns)
		end(link, -ETIMEDOUT, "the peer didn't prove itself in time");
	while (link->state != OVER && receive(link, &packet, &fd)) {
		event = take(link, &packet, fd, ret_news);
		if (event != SHM_LINK_NO_NEWS)
			return event;
	}
	if (link->state != OVER || link->told)
		return SHM_LINK_NO_NEWS;
	link->told = true;
	return SHM_LINK_IS_OVER;
}

/* --- making links --- */

/* Takes 'fd', also when it fails. */
static int make(int fd, bool is_owner, const struct shm_link_config *config, uint64_t now_ns,
		struct shm_link **ret_link)
{
	struct shm_link *link = calloc(1, sizeof(*link));
	int error = link ? 0 : -ENOMEM;

	if (!error)
		error = rand_secret(is_owner ? link->parties.owner_nonce
					     : link->parties.reader_nonce,
				    SHM_WIRE_NONCE_SIZE);
	if (error) {
		free(link);
		(void)close(fd);
		return error;
	}
	link->fd = fd;
	link->is_owner = is_owner;
	link->state = is_owner ? AWAIT_HELLO : AWAIT_ANSWER;
	link->prove_until_ns = now_ns + SHM_LINK_PROVE_NS;
	*(is_owner ? &link->parties.owner_node : &link->parties.reader_node) = config->node;
	if (config->secret) {
		link->has_secret = true;
		memcpy(link->secret, config->secret, sizeof(link->secret));
	}
	*ret_link = link;
	return 0;
}

int shm_link_listen(const struct addr *self, int *ret_fd, char *error, size_t error_size)
{
	return shm_socket_listen(self, ret_fd, error, error_size);
}

int shm_link_accept(int listen_fd, const struct shm_link_config *config, uint64_t now_ns,
		    struct shm_link **ret_link)
{
	int fd;
	int error = shm_socket_accept(listen_fd, &fd);

	if (error)
		return error == SHM_SOCKET_E_WAIT ? SHM_LINK_E_NONE : error;
	return make(fd, true, config, now_ns, ret_link);
}

int shm_link_connect(const struct addr *owner, const struct shm_link_config *config,
		     uint64_t now_ns, struct shm_link **ret_link, char *error, size_t error_size)
{
	struct shm_wire_packet hello = {.kind = SHM_WIRE_HELLO, .node = config->node};
	struct shm_link *link;
	int fd;
	int failed = shm_socket_connect(owner, config->secret != NULL, &fd, error, error_size);

	if (failed)
		return failed;
	failed = make(fd, false, config, now_ns, &link);
	if (failed) {
		(void)snprintf(error, error_size, "cannot make a link: %s", strerror(-failed));
		return failed;
	}
	memcpy(hello.nonce, link->parties.reader_nonce, sizeof(hello.nonce));
	/* A failure is told by shm_link_next(), as is one a moment later. */
	send_step(link, &hello, AWAIT_ANSWER);
	*ret_link = link;
	return 0;
}

void shm_link_close(struct shm_link *link)
{
	if (!link)
		return;
	(void)close(link->fd);
	explicit_bzero(link, sizeof(*link));
	free(link);
}

/* --- questions --- */

int shm_link_fd(const struct shm_link *link)
{
	return link->fd;
}

uint64_t shm_link_peer_node(const struct shm_link *link)
{
	if (link->state != READY)
		return 0;
	return link->is_owner ? link->parties.reader_node : link->parties.owner_node;
}

const char *shm_link_error(const struct shm_link *link)
{
	return link->error;
}

void shm_link_proof(const struct shm_link *link, uint8_t ret_proof[SHM_WIRE_PROOF_SIZE])
{
	CHECK(link->state == READY);
	memcpy(ret_proof, link->lease_proof, SHM_WIRE_PROOF_SIZE);
}

bool shm_link_has_proof(const struct shm_link *link, const uint8_t proof[SHM_WIRE_PROOF_SIZE])
{
	return link->state == READY && session_proof_equal(proof, link->lease_proof);
}

/* --- leases --- */

int shm_link_pass(struct shm_link *link, uint64_t lease, int memory_fd, uint64_t offset,
		  uint64_t size)
{
	const struct shm_wire_packet packet = {
		.kind = SHM_WIRE_PASS, .lease = lease, .offset = offset, .size = size};

	CHECK(link->is_owner && lease && (link->state == READY || link->state == OVER));
	if (fetch_shm_check(memory_fd, offset, size))
		return -EPERM;
	return send_packet(link, &packet, memory_fd);
}

int shm_link_withdraw(struct shm_link *link, uint64_t lease)
{
	const struct shm_wire_packet packet = {.kind = SHM_WIRE_WITHDRAW, .lease = lease};

	CHECK(link->is_owner && lease && (link->state == READY || link->state == OVER));
	return send_packet(link, &packet, -1);
}

int shm_link_return(struct shm_link *link, uint64_t lease)
{
	const struct shm_wire_packet packet = {.kind = SHM_WIRE_RETURN, .lease = lease};

	CHECK(!link->is_owner && lease && (link->state == READY || link->state == OVER));
	return send_packet(link, &packet, -1);
}
