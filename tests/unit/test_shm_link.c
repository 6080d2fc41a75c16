/* SPDX-License-Identifier: Apache-2.0 */
#include "base/defs.h"
#include "rdma/fetch_shm.h"
#include "rdma/shm_link.h"
#include "rdma/shm_socket.h"
#include "tests/lib/test.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static const uint8_t secret[SHM_WIRE_SECRET_SIZE] = "one";
static const uint8_t other_secret[SHM_WIRE_SECRET_SIZE] = "another";

static char error[SHM_LINK_ERROR_MAX];

/* Names are the host's: other runs of this test have other processes. */
static struct addr address(void)
{
	pid_t pid = getpid();
	struct addr addr = {.ip = {[0] = 0x20, [1] = 0x01}, .port = 7400};

	memcpy(addr.ip + 12, &pid, sizeof(pid));
	return addr;
}

static unsigned count_fds(void)
{
	DIR *folder = opendir("/proc/self/fd");
	unsigned count = 0;

	assert_non_null(folder);
	while (readdir(folder))
		count++;
	assert_int_equal(closedir(folder), 0);
	return count;
}

static int make_memory(size_t size, int seals)
{
	int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)size), 0);
	assert_int_equal(fallocate(fd, 0, 0, (off_t)size), 0);
	assert_int_equal(pwrite(fd, "what is lent", 12, 4096), 12);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, seals), 0);
	return fd;
}

/* Both ends of a link. */
struct pair {
	unsigned fds; /* before */
	int listen_fd;
	struct shm_link *owner, *reader;
};

static void pair_open(struct pair *pair, const uint8_t *owner_secret, const uint8_t *reader_secret)
{
	const struct shm_link_config owner = {.node = 7, .secret = owner_secret};
	const struct shm_link_config reader = {.node = 3, .secret = reader_secret};
	struct addr addr = address();

	pair->fds = count_fds();
	assert_int_equal(shm_link_listen(&addr, &pair->listen_fd, error, sizeof(error)), 0);
	assert_int_equal(shm_link_accept(pair->listen_fd, &owner, 0, &pair->owner),
			 SHM_LINK_E_NONE);
	assert_int_equal(shm_link_connect(&addr, &reader, 0, &pair->reader, error, sizeof(error)),
			 0);
	assert_int_equal(shm_link_accept(pair->listen_fd, &owner, 0, &pair->owner), 0);
}

/* Nothing is left open. */
static void pair_close(struct pair *pair)
{
	shm_link_close(pair->reader);
	shm_link_close(pair->owner);
	assert_int_equal(close(pair->listen_fd), 0);
	assert_int_equal(count_fds(), pair->fds);
}

static enum shm_link_event next(struct shm_link *link, struct shm_link_news *news)
{
	return shm_link_next(link, 1, news);
}

static void pair_get_ready(struct pair *pair)
{
	struct shm_link_news news;

	assert_int_equal(next(pair->owner, &news), SHM_LINK_NO_NEWS);
	assert_int_equal(next(pair->reader, &news), SHM_LINK_NO_NEWS);
	assert_int_equal(next(pair->owner, &news), SHM_LINK_IS_READY);
	assert_int_equal(next(pair->reader, &news), SHM_LINK_IS_READY);
}

static void both_prove_themselves_and_agree_on_a_proof(void **state)
{
	static const uint8_t *const secrets[] = {NULL, secret};

	for (unsigned i = 0; i < ARRAY_COUNT(secrets); i++) {
		uint8_t proof[SHM_WIRE_PROOF_SIZE];
		struct shm_link_news news;
		struct pair pair;

		pair_open(&pair, secrets[i], secrets[i]);
		memset(proof, 0, sizeof(proof));
		assert_false(shm_link_has_proof(pair.owner, proof));
		pair_get_ready(&pair);
		assert_int_equal(shm_link_peer_node(pair.owner), 3);
		assert_int_equal(shm_link_peer_node(pair.reader), 7);
		shm_link_proof(pair.reader, proof);
		assert_true(shm_link_has_proof(pair.owner, proof));
		proof[31] ^= 1;
		assert_false(shm_link_has_proof(pair.owner, proof));
		assert_int_equal(next(pair.owner, &news), SHM_LINK_NO_NEWS);
		assert_int_equal(next(pair.reader, &news), SHM_LINK_NO_NEWS);
		pair_close(&pair);
	}
}

static void two_links_have_two_proofs(void **state)
{
	uint8_t first[SHM_WIRE_PROOF_SIZE], second[SHM_WIRE_PROOF_SIZE];
	struct pair pair;

	pair_open(&pair, secret, secret);
	pair_get_ready(&pair);
	shm_link_proof(pair.reader, first);
	pair_close(&pair);
	pair_open(&pair, secret, secret);
	pair_get_ready(&pair);
	shm_link_proof(pair.reader, second);
	assert_memory_not_equal(first, second, sizeof(first));
	pair_close(&pair);
}

static void another_secret_or_none_is_refused(void **state)
{
	static const uint8_t *const cases[][2] = {
		{secret, other_secret}, {secret, NULL}, {NULL, secret}};

	for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
		struct shm_link_news news;
		struct pair pair;

		pair_open(&pair, cases[i][0], cases[i][1]);
		assert_int_equal(next(pair.owner, &news), SHM_LINK_NO_NEWS);
		assert_int_equal(next(pair.reader, &news), SHM_LINK_IS_OVER);
		assert_non_null(strstr(shm_link_error(pair.reader), "another secret"));
		assert_int_equal(next(pair.reader, &news), SHM_LINK_NO_NEWS);
		shm_link_close(pair.reader);
		pair.reader = NULL;
		assert_int_equal(next(pair.owner, &news), SHM_LINK_IS_OVER);
		pair_close(&pair);
	}
}

static void who_does_not_prove_himself_in_time_is_cut_off(void **state)
{
	struct shm_link_news news;
	struct pair pair;

	pair_open(&pair, secret, secret);
	assert_int_equal(shm_link_next(pair.owner, SHM_LINK_PROVE_NS - 1, &news), SHM_LINK_NO_NEWS);
	assert_int_equal(shm_link_next(pair.owner, SHM_LINK_PROVE_NS, &news), SHM_LINK_IS_OVER);
	assert_non_null(strstr(shm_link_error(pair.owner), "in time"));
	assert_int_equal(shm_link_next(pair.reader, SHM_LINK_PROVE_NS, &news), SHM_LINK_IS_OVER);
	pair_close(&pair);
}

static void a_ready_link_has_no_such_limit(void **state)
{
	struct shm_link_news news;
	struct pair pair;

	pair_open(&pair, secret, secret);
	pair_get_ready(&pair);
	assert_int_equal(shm_link_next(pair.owner, UINT64_MAX, &news), SHM_LINK_NO_NEWS);
	assert_int_equal(shm_link_next(pair.reader, UINT64_MAX, &news), SHM_LINK_NO_NEWS);
	pair_close(&pair);
}

static void memory_is_lent_read_withdrawn_and_returned(void **state)
{
	static uint8_t to[16];
	const struct fetch_piece piece = {0, 12, to};
	int memory_fd = make_memory(8192, F_SEAL_SHRINK | F_SEAL_WRITE);
	struct fetch_shm_options options = {.memory = to, .memory_size = sizeof(to)};
	struct shm_link_news news;
	struct fetch_done done;
	struct fetch *fetch;
	struct pair pair;

	pair_open(&pair, secret, secret);
	pair_get_ready(&pair);
	assert_int_equal(shm_link_pass(pair.owner, 42, memory_fd, 4096, 4096), 0);
	assert_int_equal(next(pair.reader, &news), SHM_LINK_LENT);
	assert_int_equal(news.lease, 42);
	options.memory_fd = news.memory_fd;
	options.offset = news.offset;
	options.size = news.size;
	assert_int_equal(fetch_shm_open(&options, &fetch), 0);
	assert_int_equal(close(news.memory_fd), 0);
	assert_int_equal(fetch_post(fetch, &piece, 1, 1), 0);
	assert_int_equal(fetch_poll(fetch, 1, &done, 1), 1);
	assert_memory_equal(to, "what is lent", 12);
	fetch_close(fetch);

	assert_int_equal(shm_link_withdraw(pair.owner, 42), 0);
	assert_int_equal(next(pair.reader, &news), SHM_LINK_WITHDRAWN);
	assert_int_equal(news.lease, 42);
	assert_int_equal(shm_link_return(pair.reader, 43), 0);
	assert_int_equal(next(pair.owner, &news), SHM_LINK_RETURNED);
	assert_int_equal(news.lease, 43);
	pair_close(&pair);
	assert_int_equal(close(memory_fd), 0);
}

static void memory_that_is_not_sealed_is_not_passed(void **state)
{
	int memory_fd = make_memory(8192, F_SEAL_SHRINK);
	struct shm_link_news news;
	struct pair pair;

	pair_open(&pair, secret, secret);
	pair_get_ready(&pair);
	assert_int_equal(shm_link_pass(pair.owner, 1, memory_fd, 0, 8192), -EPERM);
	assert_int_equal(fcntl(memory_fd, F_ADD_SEALS, F_SEAL_WRITE), 0);
	assert_int_equal(shm_link_pass(pair.owner, 1, memory_fd, 1, 8192), -EPERM);
	assert_int_equal(next(pair.reader, &news), SHM_LINK_NO_NEWS);
	pair_close(&pair);
	assert_int_equal(close(memory_fd), 0);
}

/* The socket's own room is the bound. */
static void a_peer_that_takes_nothing_makes_its_owner_busy(void **state)
{
	int memory_fd = make_memory(8192, F_SEAL_SHRINK | F_SEAL_WRITE);
	struct shm_link_news news;
	struct pair pair;
	unsigned passed = 0;

	pair_open(&pair, secret, secret);
	pair_get_ready(&pair);
	while (passed < 100000 && !shm_link_pass(pair.owner, passed + 1, memory_fd, 0, 8192))
		passed++;
	assert_in_range(passed, 1, 99999);
	assert_int_equal(shm_link_withdraw(pair.owner, 1), SHM_LINK_E_BUSY);
	for (unsigned i = 0; i < passed; i++) {
		assert_int_equal(next(pair.reader, &news), SHM_LINK_LENT);
		assert_int_equal(news.lease, i + 1);
		assert_int_equal(close(news.memory_fd), 0);
	}
	assert_int_equal(shm_link_withdraw(pair.owner, 1), 0);
	pair_close(&pair);
	assert_int_equal(close(memory_fd), 0);
}

static void what_was_lent_and_not_taken_is_closed_with_the_link(void **state)
{
	int memory_fd = make_memory(8192, F_SEAL_SHRINK | F_SEAL_WRITE);
	struct pair pair;

	pair_open(&pair, secret, secret);
	pair_get_ready(&pair);
	assert_int_equal(shm_link_pass(pair.owner, 1, memory_fd, 0, 8192), 0);
	pair_close(&pair);
	assert_int_equal(close(memory_fd), 0);
}

static void the_death_of_either_is_told_once(void **state)
{
	struct shm_link_news news;
	struct pair pair;

	pair_open(&pair, secret, secret);
	pair_get_ready(&pair);
	shm_link_close(pair.reader);
	pair.reader = NULL;
	assert_int_equal(next(pair.owner, &news), SHM_LINK_IS_OVER);
	assert_int_equal(next(pair.owner, &news), SHM_LINK_NO_NEWS);
	assert_int_equal(shm_link_withdraw(pair.owner, 1), -ECONNRESET);
	pair_close(&pair);
	pair_open(&pair, secret, secret);
	pair_get_ready(&pair);
	shm_link_close(pair.owner);
	pair.owner = NULL;
	assert_true(shm_link_return(pair.reader, 1) < 0);
	assert_int_equal(next(pair.reader, &news), SHM_LINK_IS_OVER);
	pair_close(&pair);
}

static void a_process_that_is_killed_is_noticed(void **state)
{
	const struct shm_link_config reader = {.secret = secret}, owner = {.secret = secret};
	struct addr addr = address();
	struct shm_link_news news;
	struct shm_link *link;
	enum shm_link_event event;
	int listen_fd, status;
	pid_t child;

	assert_int_equal(shm_link_listen(&addr, &listen_fd, error, sizeof(error)), 0);
	child = fork();
	assert_true(child >= 0);
	if (!child) {
		(void)close(listen_fd);
		if (shm_link_connect(&addr, &reader, 0, &link, error, sizeof(error)))
			_exit(1);
		while (shm_link_next(link, 0, &news) != SHM_LINK_IS_READY)
			(void)usleep(100);
		(void)kill(getpid(), SIGKILL);
	}
	while (shm_link_accept(listen_fd, &owner, 0, &link) == SHM_LINK_E_NONE)
		(void)usleep(100);
	while ((event = shm_link_next(link, 0, &news)) == SHM_LINK_NO_NEWS)
		(void)usleep(100);
	assert_int_equal(event, SHM_LINK_IS_READY);
	while ((event = shm_link_next(link, 0, &news)) == SHM_LINK_NO_NEWS)
		(void)usleep(100);
	assert_int_equal(event, SHM_LINK_IS_OVER);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status));
	shm_link_close(link);
	assert_int_equal(close(listen_fd), 0);
}

static void nobody_there_is_said(void **state)
{
	const struct shm_link_config config = {.node = 1};
	struct addr addr = address();
	struct shm_link *link = NULL;

	assert_int_equal(shm_link_connect(&addr, &config, 0, &link, error, sizeof(error)),
			 -ECONNREFUSED);
	assert_null(link);
	assert_non_null(strstr(error, "tern/[2001:"));
	assert_non_null(strstr(error, "no node of this address"));
}

static void a_name_is_taken_once(void **state)
{
	struct addr addr = address();
	int first, second = -1;

	assert_int_equal(shm_link_listen(&addr, &first, error, sizeof(error)), 0);
	assert_int_equal(shm_link_listen(&addr, &second, error, sizeof(error)), -EADDRINUSE);
	assert_int_equal(second, -1);
	assert_non_null(strstr(error, "another node"));
	assert_int_equal(close(first), 0);
}

/* --- hostile peers: a socket without our code at the other end --- */

static void send_raw(int fd, const void *bytes, size_t size, int fd_count)
{
	int memory_fd = make_memory(4096 * 2, F_SEAL_SHRINK | F_SEAL_WRITE);
	union {
		struct cmsghdr align;
		uint8_t bytes[CMSG_SPACE(8 * sizeof(int))];
	} control = {0};
	struct iovec part = {.iov_base = (void *)(uintptr_t)bytes, .iov_len = size};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};

	if (fd_count) {
		struct cmsghdr *header;

		message.msg_control = control.bytes;
		message.msg_controllen = CMSG_SPACE((size_t)fd_count * sizeof(int));
		header = CMSG_FIRSTHDR(&message);
		header->cmsg_level = SOL_SOCKET;
		header->cmsg_type = SCM_RIGHTS;
		header->cmsg_len = CMSG_LEN((size_t)fd_count * sizeof(int));
		for (int i = 0; i < fd_count; i++)
			memcpy(CMSG_DATA(header) + (size_t)i * sizeof(int), &memory_fd,
			       sizeof(int));
	}
	assert_int_equal(sendmsg(fd, &message, 0), size);
	assert_int_equal(close(memory_fd), 0);
}

/* What a hostile reader or owner sends, and with how many descriptors; it ends the link each time.
 */
static const struct {
	struct shm_wire_packet packet;
	int fds;
	int cut; /* bytes less than there should be, or more */
} hostile[] = {
	{{.kind = SHM_WIRE_HELLO}, 1, 0},
	{{.kind = SHM_WIRE_HELLO}, 8, 0},
	{{.kind = SHM_WIRE_HELLO}, 0, 1},
	{{.kind = SHM_WIRE_HELLO}, 0, -1},
	{{.kind = SHM_WIRE_HELLO}, 0, -5000},
	{{.kind = SHM_WIRE_HELLO}, 0, 48},
	{{.kind = SHM_WIRE_WELCOME}, 0, 0},
	{{.kind = SHM_WIRE_RETURN, .lease = 1}, 2, 0},
	{{.kind = SHM_WIRE_PASS, .lease = 1, .size = 1}, 0, 0},
	{{.kind = SHM_WIRE_PASS, .lease = 1, .size = 1}, 2, 0},
	{{.kind = SHM_WIRE_PASS, .lease = 1, .size = 1}, 8, 0},
	{{.kind = SHM_WIRE_PASS, .lease = 1, .size = 1}, 1, 1},
	{{.kind = SHM_WIRE_WITHDRAW, .lease = 1}, 1, 0},
	{{.kind = SHM_WIRE_ANSWER}, 1, 0},
};

static void run_hostile(struct shm_link *link, int fd, unsigned i)
{
	static uint8_t bytes[8192];
	size_t size = shm_wire_encode(&hostile[i].packet, bytes);
	unsigned fds = count_fds();
	struct shm_link_news news;

	send_raw(fd, bytes, size - (size_t)(ssize_t)hostile[i].cut, hostile[i].fds);
	assert_int_equal(next(link, &news), SHM_LINK_IS_OVER);
	assert_true(shm_link_error(link)[0]);
	assert_int_equal(count_fds(), fds);
}

static void hostile_readers_end_their_link_and_leak_nothing(void **state)
{
	const struct shm_link_config config = {.secret = secret};
	struct addr addr = address();
	int listen_fd;

	assert_int_equal(shm_link_listen(&addr, &listen_fd, error, sizeof(error)), 0);
	for (unsigned i = 0; i < ARRAY_COUNT(hostile); i++) {
		struct shm_link *link;
		int fd;

		assert_int_equal(shm_socket_connect(&addr, true, &fd, error, sizeof(error)), 0);
		assert_int_equal(shm_link_accept(listen_fd, &config, 0, &link), 0);
		run_hostile(link, fd, i);
		shm_link_close(link);
		assert_int_equal(close(fd), 0);
	}
	assert_int_equal(close(listen_fd), 0);
}

static void hostile_owners_end_their_link_and_leak_nothing(void **state)
{
	const struct shm_link_config config = {.secret = secret};
	struct addr addr = address();
	int listen_fd;

	assert_int_equal(shm_link_listen(&addr, &listen_fd, error, sizeof(error)), 0);
	for (unsigned i = 0; i < ARRAY_COUNT(hostile); i++) {
		struct shm_link *link;
		int fd;

		assert_int_equal(shm_link_connect(&addr, &config, 0, &link, error, sizeof(error)),
				 0);
		assert_int_equal(shm_socket_accept(listen_fd, &fd), 0);
		run_hostile(link, fd, i);
		shm_link_close(link);
		assert_int_equal(close(fd), 0);
	}
	assert_int_equal(close(listen_fd), 0);
}

/* Who closes a descriptor takes all locks of its process off the file: so it shows. */
static void what_strangers_send_is_not_even_closed(void **state)
{
	const struct shm_wire_packet pass = {.kind = SHM_WIRE_PASS, .lease = 1, .size = 1};
	struct flock lock = {.l_type = F_WRLCK}, seen = {.l_type = F_WRLCK};
	int memory_fd = make_memory(8192, F_SEAL_SHRINK | F_SEAL_WRITE);
	struct shm_link_news news;
	struct pair pair;

	assert_int_equal(fcntl(memory_fd, F_SETLK, &lock), 0);
	for (unsigned owner = 0; owner < 2; owner++) {
		struct shm_link *link;

		pair_open(&pair, secret, secret);
		link = owner ? pair.owner : pair.reader;
		/* Behind the other side's HELLO, if there is one. */
		assert_int_equal(shm_socket_send(shm_link_fd(owner ? pair.reader : pair.owner),
						 &pass, memory_fd),
				 0);
		assert_int_equal(next(link, &news), SHM_LINK_IS_OVER);
		pair_close(&pair);
	}
	/* Asked as another owner of locks than the process. */
	assert_int_equal(fcntl(memory_fd, F_OFD_GETLK, &seen), 0);
	assert_int_equal(seen.l_type, F_WRLCK);
	assert_int_equal(seen.l_pid, getpid());
	assert_int_equal(close(memory_fd), 0);
}

/* A reader that turns the owner's own proof back on it. */
static void a_proof_does_not_serve_the_other_side(void **state)
{
	const struct shm_link_config config = {.secret = secret};
	struct shm_wire_packet packet = {.kind = SHM_WIRE_HELLO};
	struct addr addr = address();
	struct shm_link_news news;
	struct shm_link *link;
	int listen_fd, fd, memory_fd;

	assert_int_equal(shm_link_listen(&addr, &listen_fd, error, sizeof(error)), 0);
	assert_int_equal(shm_socket_connect(&addr, true, &fd, error, sizeof(error)), 0);
	assert_int_equal(shm_link_accept(listen_fd, &config, 0, &link), 0);
	assert_int_equal(shm_socket_send(fd, &packet, -1), 0);
	assert_int_equal(next(link, &news), SHM_LINK_NO_NEWS);
	assert_int_equal(shm_socket_receive(fd, &packet, &memory_fd), 0);
	assert_int_equal(packet.kind, SHM_WIRE_ANSWER);
	packet.kind = SHM_WIRE_PROVE;
	assert_int_equal(shm_socket_send(fd, &packet, -1), 0);
	assert_int_equal(next(link, &news), SHM_LINK_IS_OVER);
	assert_int_equal(shm_socket_receive(fd, &packet, &memory_fd), 0);
	assert_int_equal(packet.kind, SHM_WIRE_REFUSE);
	assert_int_equal(packet.reason, SHM_WIRE_BY_PROOF);
	shm_link_close(link);
	assert_int_equal(close(fd), 0);
	assert_int_equal(close(listen_fd), 0);
}

static void another_version_is_told_so(void **state)
{
	const struct shm_link_config config = {.secret = secret};
	static const uint8_t hello_2[48] = {0x54, 0x4E, 0x53, 0x68, 2, 1};
	struct shm_wire_packet packet;
	struct addr addr = address();
	struct shm_link_news news;
	struct shm_link *link;
	int listen_fd, fd, memory_fd;

	assert_int_equal(shm_link_listen(&addr, &listen_fd, error, sizeof(error)), 0);
	assert_int_equal(shm_socket_connect(&addr, true, &fd, error, sizeof(error)), 0);
	assert_int_equal(shm_link_accept(listen_fd, &config, 0, &link), 0);
	assert_int_equal(send(fd, hello_2, sizeof(hello_2), 0), sizeof(hello_2));
	assert_int_equal(next(link, &news), SHM_LINK_IS_OVER);
	assert_int_equal(shm_socket_receive(fd, &packet, &memory_fd), 0);
	assert_int_equal(packet.reason, SHM_WIRE_BY_VERSION);
	shm_link_close(link);
	assert_int_equal(close(fd), 0);
	assert_int_equal(close(listen_fd), 0);
}

/* An owner that lends before it has proved itself, and one before it has the reader's proof. */
static void memory_that_is_lent_out_of_turn_is_not_taken_and_ends_the_link(void **state)
{
	const struct shm_link_config config = {.secret = secret};
	const unsigned before = count_fds();

	for (unsigned proves = 0; proves < 2; proves++) {
		struct shm_wire_packet hello, answer = {.kind = SHM_WIRE_ANSWER};
		struct shm_wire_packet pass = {.kind = SHM_WIRE_PASS, .lease = 1, .size = 8};
		struct shm_wire_parties parties = {0};
		struct addr addr = address();
		struct shm_link_news news;
		struct shm_link *link;
		int listen_fd, fd, memory_fd;

		assert_int_equal(shm_link_listen(&addr, &listen_fd, error, sizeof(error)), 0);
		assert_int_equal(shm_link_connect(&addr, &config, 0, &link, error, sizeof(error)),
				 0);
		assert_int_equal(shm_socket_accept(listen_fd, &fd), 0);
		assert_int_equal(shm_socket_receive(fd, &hello, &memory_fd), 0);
		memcpy(parties.reader_nonce, hello.nonce, sizeof(hello.nonce));
		shm_wire_prove(secret, SHM_WIRE_OWNER, &parties, answer.proof);
		if (proves)
			assert_int_equal(shm_socket_send(fd, &answer, -1), 0);
		assert_int_equal(shm_socket_send(fd, &pass, listen_fd), 0);
		assert_int_equal(next(link, &news), SHM_LINK_IS_OVER);
		assert_non_null(strstr(shm_link_error(link), "that is none"));
		shm_link_close(link);
		assert_int_equal(close(fd), 0);
		assert_int_equal(close(listen_fd), 0);
		assert_int_equal(count_fds(), before);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(both_prove_themselves_and_agree_on_a_proof),
		cmocka_unit_test(two_links_have_two_proofs),
		cmocka_unit_test(another_secret_or_none_is_refused),
		cmocka_unit_test(who_does_not_prove_himself_in_time_is_cut_off),
		cmocka_unit_test(a_ready_link_has_no_such_limit),
		cmocka_unit_test(memory_is_lent_read_withdrawn_and_returned),
		cmocka_unit_test(memory_that_is_not_sealed_is_not_passed),
		cmocka_unit_test(a_peer_that_takes_nothing_makes_its_owner_busy),
		cmocka_unit_test(what_was_lent_and_not_taken_is_closed_with_the_link),
		cmocka_unit_test(the_death_of_either_is_told_once),
		cmocka_unit_test(a_process_that_is_killed_is_noticed),
		cmocka_unit_test(nobody_there_is_said),
		cmocka_unit_test(a_name_is_taken_once),
		cmocka_unit_test(hostile_readers_end_their_link_and_leak_nothing),
		cmocka_unit_test(hostile_owners_end_their_link_and_leak_nothing),
		cmocka_unit_test(what_strangers_send_is_not_even_closed),
		cmocka_unit_test(a_proof_does_not_serve_the_other_side),
		cmocka_unit_test(another_version_is_told_so),
		cmocka_unit_test(memory_that_is_lent_out_of_turn_is_not_taken_and_ends_the_link),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
