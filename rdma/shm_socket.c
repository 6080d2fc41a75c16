/* SPDX-License-Identifier: Apache-2.0 */
#include "rdma/shm_socket.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* Readers that wait to be accepted, beyond which they are told to come again. */
#define BACKLOG 64

/* Descriptors that a packet is received with; what a peer sends beyond is cut off by the kernel. */
#define CONTROL_FDS_MAX 4

union control {
	struct cmsghdr align;
	uint8_t bytes[CMSG_SPACE(CONTROL_FDS_MAX * sizeof(int))];
};

/* --- connections --- */

/* A name in the abstract space begins with a zero, and ends where its size says. */
static socklen_t name_of(const struct addr *addr, struct sockaddr_un *name)
{
	char text[ADDR_TEXT_MAX];
	int length;

	*name = (struct sockaddr_un){.sun_family = AF_UNIX};
	length = snprintf(name->sun_path + 1, sizeof(name->sun_path) - 1, "tern/%s",
			  addr_format(addr, text));
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)length);
}

static int open_socket(void)
{
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	return fd < 0 ? -errno : fd;
}

int shm_socket_listen(const struct addr *self, int *ret_fd, char *error, size_t error_size)
{
	struct sockaddr_un name;
	socklen_t size = name_of(self, &name);
	int fd = open_socket();
	int failed = fd < 0 ? fd : 0;

	if (!failed && (bind(fd, (struct sockaddr *)&name, size) || listen(fd, BACKLOG)))
		failed = -errno;
	if (!failed) {
		*ret_fd = fd;
		return 0;
	}
	(void)snprintf(error, error_size, "cannot listen at @%s: %s%s", name.sun_path + 1,
		       strerror(-failed),
		       failed == -EADDRINUSE ? "; is another node of this address running?" : "");
	if (fd >= 0)
		(void)close(fd);
	return failed;
}

int shm_socket_accept(int listen_fd, int *ret_fd)
{
	int fd;

	do
		fd = accept4(listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	while (fd < 0 && (errno == EINTR || errno == ECONNABORTED));
	if (fd < 0)
		return errno == EAGAIN ? SHM_SOCKET_E_WAIT : -errno;
	*ret_fd = fd;
	return 0;
}

static const char *connect_failure(int failed)
{
	switch (failed) {
	case -ECONNREFUSED:
		return "no node of this address on this host lends memory";
	case -EAGAIN:
		return "too many readers are waiting there";
	case -EPERM:
		return "it runs as another user, and there is no secret: give the cluster one";
	default:
		return strerror(-failed);
	}
}

int shm_socket_connect(const struct addr *owner, bool any_user, int *ret_fd, char *error,
		       size_t error_size)
{
	struct sockaddr_un name;
	socklen_t size = name_of(owner, &name);
	int fd = open_socket();
	int failed = fd < 0 ? fd : 0;

	if (!failed && connect(fd, (struct sockaddr *)&name, size))
		failed = -errno;
	if (!failed && !any_user && !shm_socket_is_trusted(fd))
		failed = -EPERM;
	if (!failed) {
		*ret_fd = fd;
		return 0;
	}
	(void)snprintf(error, error_size, "cannot connect to @%s: %s", name.sun_path + 1,
		       connect_failure(failed));
	if (fd >= 0)
		(void)close(fd);
	return failed;
}

/* The kernel keeps who connected, and who listened: not who holds the socket since. */
bool shm_socket_is_trusted(int fd)
{
	struct ucred peer;
	socklen_t size = sizeof(peer);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size))
		return false;
	return peer.uid == 0 || peer.uid == geteuid();
}

/* --- packets --- */

static void control_put(struct msghdr *message, union control *control, int fd)
{
	struct cmsghdr *header;

	memset(control, 0, sizeof(*control));
	message->msg_control = control->bytes;
	message->msg_controllen = CMSG_SPACE(sizeof(int));
	header = CMSG_FIRSTHDR(message);
	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(header), &fd, sizeof(fd));
}

int shm_socket_send(int fd, const struct shm_wire_packet *packet, int memory_fd)
{
	uint8_t bytes[SHM_WIRE_SIZE_MAX];
	struct iovec part = {.iov_base = bytes, .iov_len = shm_wire_encode(packet, bytes)};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
	union control control;
	ssize_t sent;

	if (memory_fd >= 0)
		control_put(&message, &control, memory_fd);
	do
		sent = sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
	while (sent < 0 && errno == EINTR);
	if (sent >= 0)
		return 0;
	/* ETOOMANYREFS: more descriptors under way to readers than this process may have open. */
	if (errno == EAGAIN || errno == ENOBUFS || errno == ETOOMANYREFS)
		return SHM_SOCKET_E_WAIT;
	return -errno;
}

/* Closes all descriptors that came but the first, which is returned; -1: none came. */
static int take_fds(struct msghdr *message, unsigned *ret_count)
{
	int first = -1;

	*ret_count = 0;
	for (struct cmsghdr *header = CMSG_FIRSTHDR(message); header;
	     header = CMSG_NXTHDR(message, header)) {
		size_t size = header->cmsg_len - CMSG_LEN(0);

		if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t at = 0; at + sizeof(int) <= size; at += sizeof(int)) {
			int fd;

			memcpy(&fd, CMSG_DATA(header) + at, sizeof(fd));
			if ((*ret_count)++)
				(void)close(fd);
			else
				first = fd;
		}
	}
	return first;
}

static int check_packet(const struct msghdr *message, const uint8_t *bytes, size_t size,
			unsigned fds, struct shm_wire_packet *ret_packet)
{
	int error;

	if (message->msg_flags & (MSG_TRUNC | MSG_CTRUNC))
		return SHM_SOCKET_E_CORRUPT;
	error = shm_wire_decode(bytes, size, ret_packet);
	if (error)
		return error == SHM_WIRE_E_VERSION ? SHM_SOCKET_E_VERSION : SHM_SOCKET_E_CORRUPT;
	return fds == (ret_packet->kind == SHM_WIRE_PASS) ? 0 : SHM_SOCKET_E_CORRUPT;
}

int shm_socket_receive(int fd, struct shm_wire_packet *ret_packet, int *ret_memory_fd)
{
	uint8_t bytes[SHM_WIRE_SIZE_MAX];
	union control control;
	struct iovec part = {.iov_base = bytes, .iov_len = sizeof(bytes)};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
	struct shm_wire_packet packet;
	ssize_t size;
	unsigned fds;
	int memory_fd, error;

	if (ret_memory_fd) {
		message.msg_control = control.bytes;
		message.msg_controllen = sizeof(control.bytes);
	}

	do
		size = recvmsg(fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	while (size < 0 && errno == EINTR);
	if (size < 0)
		return errno == EAGAIN ? SHM_SOCKET_E_WAIT : -errno;
	memory_fd = take_fds(&message, &fds);
	/* A packet of no bytes looks like the end, and is as good a reason for one. */
	error = size ? check_packet(&message, bytes, (size_t)size, fds, &packet) : -ECONNRESET;
	if (error) {
		if (fds)
			(void)close(memory_fd);
		return error;
	}
	*ret_packet = packet;
	if (ret_memory_fd)
		*ret_memory_fd = memory_fd;
	return 0;
}
