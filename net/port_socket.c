/* SPDX-License-Identifier: Apache-2.0 */
#include "net/port_socket.h"

#include "net/port_error.h"
#include "proto/session.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

/*
 * Receiving: a slot is one datagram from the kernel, which holds one frame, or
 * with GRO several of one size and a shorter last one. A slot that recvmmsg()
 * filled is "ready" until its last frame is handed out, and free again when
 * all its frames were released.
 *
 *      free --recvmmsg--> ready --last frame handed out, all released--> free
 *
 * Sending: frames are copied into an array in order of port_send(); a flush
 * turns runs of equal frames to one peer into one GSO datagram each.
 */

/* Datagrams that can be with the user at a time; twice a burst, so that one can be kept. */
#define SLOT_COUNT (2 * PORT_BURST_MAX)

/* Frames between two flushes before a flush happens by itself. */
#define SEND_COUNT (2 * PORT_BURST_MAX)

/* What the kernel takes in one GSO datagram: UDP_MAX_SEGMENTS, and an IP packet's payload. */
#define RUN_FRAMES_MAX 64
#define RUN_SIZE_MAX   (65535 - 40 - 8)

/* Flushes without segmentation after one that was refused: a failed call in so many costs nothing.
 */
#define PLAIN_FLUSHES 1000

#define DATAGRAM_SIZE_MAX 65535

/* UDP payload of an Ethernet frame of 1500 bytes less an IPv6 header. */
#define FRAME_SIZE_ETHERNET 1452

struct slot {
	uint8_t *bytes;
	struct addr from;
	uint32_t size;
	uint32_t offset;       /* of the next frame to hand out */
	uint32_t segment_size; /* of all frames but the last; at least 1 */
	uint32_t holds;        /* frames handed out and not released, plus one while ready */
};

struct outgoing {
	struct addr to;
	uint32_t size;
	uint8_t *bytes;
};

union control {
	struct cmsghdr align;
	uint8_t bytes[CMSG_SPACE(sizeof(int))];
};

union name {
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};

struct socket_queue {
	struct port_queue queue;
	int fd;
	int family;
	bool segments;          /* does the kernel cut datagrams for us? */
	unsigned plain_flushes; /* so many more go without, after one way that couldn't */
	uint32_t slot_size;

	struct slot slots[SLOT_COUNT];
	struct slot *free[SLOT_COUNT];
	unsigned free_count;
	struct slot *ready[PORT_BURST_MAX];
	unsigned ready_first, ready_count;

	struct outgoing outgoing[SEND_COUNT];
	unsigned outgoing_count;

	struct mmsghdr receive_headers[PORT_BURST_MAX];
	struct iovec receive_parts[PORT_BURST_MAX];
	union name receive_names[PORT_BURST_MAX];
	union control receive_controls[PORT_BURST_MAX];

	struct mmsghdr send_headers[SEND_COUNT];
	struct iovec send_parts[SEND_COUNT];
	union name send_names[SEND_COUNT];
	union control send_controls[SEND_COUNT];

	uint8_t *buffers; /* owns the bytes of slots and outgoing frames */
};

struct socket_port {
	struct port port;
	struct socket_queue *queues[PORT_QUEUE_MAX];
};

static struct socket_queue *of(struct port_queue *queue)
{
	return CONTAINER_OF(queue, struct socket_queue, queue);
}

/* --- addresses --- */

static const uint8_t mapped_prefix[12] = {[10] = 0xff, [11] = 0xff};

/* Does a socket of 'family' reach it? IPv6 sockets take mapped addresses. */
static bool name_from_addr(int family, const struct addr *addr, union name *name, socklen_t *size)
{
	memset(name, 0, sizeof(*name));
	if (family == AF_INET6) {
		name->v6.sin6_family = AF_INET6;
		name->v6.sin6_port = htons(addr->port);
		memcpy(&name->v6.sin6_addr, addr->ip, sizeof(addr->ip));
		*size = sizeof(name->v6);
		return true;
	}
	if (!addr_is_ipv4(addr))
		return false;
	name->v4.sin_family = AF_INET;
	name->v4.sin_port = htons(addr->port);
	memcpy(&name->v4.sin_addr, addr->ip + sizeof(mapped_prefix), 4);
	*size = sizeof(name->v4);
	return true;
}

static void addr_from_name(int family, const union name *name, struct addr *addr)
{
	if (family == AF_INET6) {
		memcpy(addr->ip, &name->v6.sin6_addr, sizeof(addr->ip));
		addr->port = ntohs(name->v6.sin6_port);
		return;
	}
	memcpy(addr->ip, mapped_prefix, sizeof(mapped_prefix));
	memcpy(addr->ip + sizeof(mapped_prefix), &name->v4.sin_addr, 4);
	addr->port = ntohs(name->v4.sin_port);
}

/* --- receiving --- */

static void slot_put(struct socket_queue *q, struct slot *slot)
{
	DCHECK(slot->holds > 0);
	if (--slot->holds == 0)
		q->free[q->free_count++] = slot;
}

/* The size of the frames that GRO merged, or 0 when it is one frame. */
static uint32_t gro_segment_size(struct msghdr *header)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(header); c; c = CMSG_NXTHDR(header, c)) {
		int size;

		if (c->cmsg_level != SOL_UDP || c->cmsg_type != UDP_GRO)
			continue;
		memcpy(&size, CMSG_DATA(c), sizeof(size));
		return size > 0 ? (uint32_t)size : 0;
	}
	return 0;
}

static void slot_fill(struct socket_queue *q, struct slot *slot, unsigned index)
{
	struct msghdr *header = &q->receive_headers[index].msg_hdr;
	uint32_t segment_size = gro_segment_size(header);

	addr_from_name(q->family, &q->receive_names[index], &slot->from);
	slot->size = q->receive_headers[index].msg_len;
	slot->offset = 0;
	slot->segment_size = segment_size ? segment_size : MAX(slot->size, 1);
	slot->holds = 1;
}

/* Fills free slots from the socket; nothing is ready before. */
static void receive_slots(struct socket_queue *q)
{
	unsigned count = MIN(q->free_count, (unsigned)PORT_BURST_MAX);
	int received;

	for (unsigned i = 0; i < count; i++) {
		struct msghdr *header = &q->receive_headers[i].msg_hdr;

		q->receive_parts[i].iov_base = q->free[q->free_count - 1 - i]->bytes;
		header->msg_namelen = sizeof(q->receive_names[i]);
		header->msg_controllen = sizeof(q->receive_controls[i]);
	}
	received = recvmmsg(q->fd, q->receive_headers, count, MSG_DONTWAIT, NULL);
	q->ready_first = 0;
	q->ready_count = 0;
	for (int i = 0; i < received; i++) {
		struct slot *slot = q->free[--q->free_count];

		slot_fill(q, slot, (unsigned)i);
		q->ready[q->ready_count++] = slot;
	}
}

/*
 * Hands out the slot's next frame; false when it is dropped: it is too large, or
 * its sender has port 0, to which nothing can be sent.
 */
static bool next_frame(struct socket_queue *q, struct slot *slot, struct port_frame *frame)
{
	uint32_t size = MIN(slot->segment_size, slot->size - slot->offset);
	bool good = size <= q->queue.frame_size && slot->from.port != 0;

	frame->from = slot->from;
	frame->size = size;
	frame->bytes = slot->bytes + slot->offset;
	frame->cookie = slot;
	slot->offset += size;
	if (!good) {
		q->queue.stats.frames_dropped_receive++;
		return false;
	}
	slot->holds++;
	q->queue.stats.frames_received++;
	q->queue.stats.bytes_received += size;
	return true;
}

static unsigned socket_receive(struct port_queue *queue, struct port_frame *frames, unsigned count)
{
	struct socket_queue *q = of(queue);
	unsigned handed = 0;

	if (q->ready_count == 0 && q->free_count > 0)
		receive_slots(q);
	while (handed < count && q->ready_count > 0) {
		struct slot *slot = q->ready[q->ready_first];

		handed += next_frame(q, slot, &frames[handed]);
		if (slot->offset < slot->size)
			continue;
		q->ready_first++;
		q->ready_count--;
		slot_put(q, slot);
	}
	return handed;
}

static void socket_release(struct port_queue *queue, struct port_frame *frames, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		slot_put(of(queue), frames[i].cookie);
}

/* --- sending --- */

/* Frames from 'first' on that go as one datagram: equal in size, the last one may be shorter. */
static unsigned run_length(const struct socket_queue *q, unsigned first)
{
	const struct outgoing *head = &q->outgoing[first];
	uint32_t total = head->size;
	unsigned count = 1;

	if (!q->segments || q->plain_flushes > 0 || head->size == 0)
		return 1;
	while (first + count < q->outgoing_count && count < RUN_FRAMES_MAX) {
		const struct outgoing *next = &q->outgoing[first + count];

		if (next->size > head->size || next->size == 0 ||
		    total + next->size > RUN_SIZE_MAX || !addr_equal(&next->to, &head->to))
			break;
		total += next->size;
		count++;
		if (next->size < head->size)
			break;
	}
	return count;
}

static void ask_for_segments(struct msghdr *header, union control *control, uint32_t size)
{
	uint16_t segment_size = (uint16_t)size;
	struct cmsghdr *c;

	header->msg_control = control;
	header->msg_controllen = CMSG_SPACE(sizeof(segment_size));
	c = CMSG_FIRSTHDR(header);
	c->cmsg_level = SOL_UDP;
	c->cmsg_type = UDP_SEGMENT;
	c->cmsg_len = CMSG_LEN(sizeof(segment_size));
	memcpy(CMSG_DATA(c), &segment_size, sizeof(segment_size));
}

/* Describes all queued frames from 'first' on to sendmmsg(). Returns the number of datagrams. */
static unsigned gather(struct socket_queue *q, unsigned first)
{
	unsigned messages = 0;

	for (unsigned at = first, length; at < q->outgoing_count; at += length) {
		struct msghdr *header = &q->send_headers[messages].msg_hdr;
		union name *name = &q->send_names[messages];

		length = run_length(q, at);
		for (unsigned i = at; i < at + length; i++)
			q->send_parts[i] = (struct iovec){.iov_base = q->outgoing[i].bytes,
							  .iov_len = q->outgoing[i].size};
		*header = (struct msghdr){
			.msg_name = name, .msg_iov = &q->send_parts[at], .msg_iovlen = length};
		(void)name_from_addr(q->family, &q->outgoing[at].to, name, &header->msg_namelen);
		if (length > 1)
			ask_for_segments(header, &q->send_controls[messages], q->outgoing[at].size);
		messages++;
	}
	return messages;
}

/* Forgets the first 'done' frames; the buffers of all frames stay in the array. */
static void drop_outgoing(struct socket_queue *q, unsigned done)
{
	q->outgoing_count -= done;
	for (unsigned i = 0; i < q->outgoing_count && done > 0; i++) {
		struct outgoing kept = q->outgoing[done + i];

		q->outgoing[done + i] = q->outgoing[i];
		q->outgoing[i] = kept;
	}
}

static unsigned count_sent(struct socket_queue *q, unsigned first, int messages)
{
	unsigned frames = 0;

	for (int m = 0; m < messages; m++)
		frames += (unsigned)q->send_headers[m].msg_hdr.msg_iovlen;
	for (unsigned i = first; i < first + frames; i++)
		q->queue.stats.bytes_sent += q->outgoing[i].size;
	q->queue.stats.frames_sent += frames;
	return frames;
}

/*
 * The first datagram was refused. Returns how many frames to give up: none when
 * it is tried again frame by frame, because the way there can't segment. One
 * peer's narrow way, which a forged ICMP message can make, is not everybody's.
 */
static NOINLINE unsigned refused(struct socket_queue *q, int error)
{
	unsigned frames = (unsigned)q->send_headers[0].msg_hdr.msg_iovlen;

	if (frames > 1 && (error == EINVAL || error == EMSGSIZE || error == EIO)) {
		q->plain_flushes = PLAIN_FLUSHES;
		return 0;
	}
	q->queue.stats.frames_dropped_send += frames;
	return frames;
}

static void socket_flush(struct port_queue *queue)
{
	struct socket_queue *q = of(queue);
	unsigned done = 0;

	if (q->outgoing_count > 0 && q->plain_flushes > 0)
		q->plain_flushes--;
	while (done < q->outgoing_count) {
		unsigned messages = gather(q, done);
		int sent = sendmmsg(q->fd, q->send_headers, messages, MSG_DONTWAIT);

		if (sent > 0)
			done += count_sent(q, done, sent);
		else if (errno == EAGAIN || errno == EINTR || errno == ENOBUFS)
			break;
		else
			done += refused(q, errno);
	}
	drop_outgoing(q, done);
}

static void socket_send(struct port_queue *queue, const struct addr *to, const void *head,
			size_t head_size, const void *body, size_t body_size)
{
	struct socket_queue *q = of(queue);
	struct outgoing *frame;

	if (q->outgoing_count == SEND_COUNT)
		socket_flush(queue);
	if (q->outgoing_count == SEND_COUNT || head_size > queue->frame_size ||
	    body_size > queue->frame_size - head_size ||
	    (q->family == AF_INET && !addr_is_ipv4(to))) {
		queue->stats.frames_dropped_send++;
		return;
	}
	frame = &q->outgoing[q->outgoing_count++];
	frame->to = *to;
	frame->size = (uint32_t)(head_size + body_size);
	memcpy(frame->bytes, head, head_size);
	if (body_size > 0)
		memcpy(frame->bytes + head_size, body, body_size);
}

static int socket_wait_fd(struct port_queue *queue)
{
	return of(queue)->fd;
}

static const struct port_ops socket_ops = {
	.receive = socket_receive,
	.release = socket_release,
	.send = socket_send,
	.flush = socket_flush,
	.wait_fd = socket_wait_fd,
};

/* --- opening --- */

static bool is_unspecified(const uint8_t ip[16])
{
	static const uint8_t zero[16];

	return memcmp(ip, zero, sizeof(zero)) == 0;
}

/* Larger buffers than the default; root may pass the limit. Less is no reason to fail. */
static void ask_for_buffers(int fd)
{
	const int size = PORT_SOCKET_BUFFER_SIZE;

	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)))
		(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)))
		(void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
}

/* Opens the socket without binding it: IPv6 where it can be, which :: needs for both. */
static int open_socket(struct socket_queue *q, const struct addr *local, char *error,
		       size_t error_size)
{
	const int off = 0;

	q->family = addr_is_ipv4(local) ? AF_INET : AF_INET6;
	q->fd = socket(q->family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (q->fd < 0 && errno == EAFNOSUPPORT && is_unspecified(local->ip)) {
		q->family = AF_INET;
		q->fd = socket(q->family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	}
	if (q->fd < 0)
		return port_error(error, error_size, -errno, "no UDP socket: %s", strerror(errno));
	if (q->family == AF_INET6 &&
	    setsockopt(q->fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off)))
		return port_error(error, error_size, -errno, "no dual-stack socket: %s",
				  strerror(errno));
	ask_for_buffers(q->fd);
	return 0;
}

static const char *bind_advice(int code)
{
	switch (code) {
	case EADDRINUSE:
		return "another program has it (`ss -ulpn` says which): stop that or choose "
		       "another port";
	case EADDRNOTAVAIL:
		return "this host has no such address (`ip address` lists those it has)";
	case EACCES:
		return "ports below 1024 need CAP_NET_BIND_SERVICE: choose a higher one";
	default:
		return strerror(code);
	}
}

static int bind_socket(struct socket_queue *q, const struct addr *local, char *error,
		       size_t error_size)
{
	struct addr wanted = *local;
	union name name;
	socklen_t size = 0;
	char text[ADDR_TEXT_MAX];

	if (q->family == AF_INET && !addr_is_ipv4(&wanted)) /* :: without IPv6 */
		memcpy(wanted.ip, mapped_prefix, sizeof(mapped_prefix));
	(void)name_from_addr(q->family, &wanted, &name, &size);
	if (bind(q->fd, (struct sockaddr *)&name, size)) {
		int code = errno;

		return port_error(error, error_size, -code, "can't bind UDP %s: %s",
				  addr_format(&wanted, text), bind_advice(code));
	}
	if (getsockname(q->fd, (struct sockaddr *)&name, &size))
		return port_error(error, error_size, -errno, "getsockname: %s", strerror(errno));
	addr_from_name(q->family, &name, &q->queue.local);
	return 0;
}

/* Turns on what the kernel has of segmentation offload. Returns whether it merges (GRO). */
static bool ask_for_offload(struct socket_queue *q)
{
	const int on = 1, off = 0;

	q->segments = setsockopt(q->fd, SOL_UDP, UDP_SEGMENT, &off, sizeof(off)) == 0;
	return setsockopt(q->fd, SOL_UDP, UDP_GRO, &on, sizeof(on)) == 0;
}

static int take_buffers(struct socket_queue *q, bool merged)
{
	uint32_t frame_size = (uint32_t)align_up(q->queue.frame_size, CACHE_LINE);
	uint8_t *at;

	/* One byte more than a frame, so that a larger one is seen to be cut. */
	q->slot_size = merged ? DATAGRAM_SIZE_MAX : q->queue.frame_size + 1;
	q->slot_size = (uint32_t)align_up(q->slot_size, CACHE_LINE);
	q->buffers = aligned_alloc(CACHE_LINE, (size_t)q->slot_size * SLOT_COUNT +
						       (size_t)frame_size * SEND_COUNT);
	if (!q->buffers)
		return -ENOMEM;
	at = q->buffers;
	for (unsigned i = 0; i < SLOT_COUNT; i++, at += q->slot_size) {
		q->slots[i].bytes = at;
		q->free[q->free_count++] = &q->slots[i];
	}
	for (unsigned i = 0; i < SEND_COUNT; i++, at += frame_size)
		q->outgoing[i].bytes = at;
	for (unsigned i = 0; i < PORT_BURST_MAX; i++) {
		q->receive_parts[i].iov_len = q->slot_size;
		q->receive_headers[i].msg_hdr = (struct msghdr){
			.msg_name = &q->receive_names[i],
			.msg_iov = &q->receive_parts[i],
			.msg_iovlen = 1,
			.msg_control = &q->receive_controls[i],
		};
	}
	return 0;
}

static void queue_free(struct socket_queue *q)
{
	if (!q)
		return;
	if (q->fd >= 0)
		(void)close(q->fd);
	free(q->buffers);
	free(q);
}

static int queue_new(const struct port_socket_config *config, uint32_t index,
		     struct socket_queue **ret_queue, char *error, size_t error_size)
{
	struct socket_queue *q = calloc(1, sizeof(*q));
	struct addr local = config->local;
	int r;

	if (!q)
		return port_error(error, error_size, -ENOMEM, "no memory for a queue");
	q->fd = -1;
	q->queue.ops = &socket_ops;
	q->queue.frame_size = config->frame_size;
	if (config->frame_size == 0)
		q->queue.frame_size =
			addr_is_loopback(&local) ? SESSION_FRAME_SIZE_MAX : FRAME_SIZE_ETHERNET;
	if (local.port != 0)
		local.port = (uint16_t)(local.port + index);
	r = open_socket(q, &local, error, error_size);
	if (r == 0)
		r = bind_socket(q, &local, error, error_size);
	if (r == 0 && take_buffers(q, !config->plain && ask_for_offload(q)) != 0)
		r = port_error(error, error_size, -ENOMEM, "no memory for a queue's buffers");
	if (r != 0) {
		queue_free(q);
		return r;
	}
	*ret_queue = q;
	return 0;
}

static void socket_close(struct port *port)
{
	struct socket_port *p = CONTAINER_OF(port, struct socket_port, port);

	for (uint32_t i = 0; i < port->queue_count; i++)
		queue_free(p->queues[i]);
	free(p);
}

static int check_config(const struct port_socket_config *config, char *error, size_t error_size)
{
	if (config->queue_count < 1 || config->queue_count > PORT_QUEUE_MAX)
		return port_error(error, error_size, -EINVAL, "%u queues: 1 to %d can be",
				  config->queue_count, PORT_QUEUE_MAX);
	if (config->local.port + config->queue_count > UINT16_MAX + 1u)
		return port_error(error, error_size, -EINVAL,
				  "%u queues from UDP port %u on go past 65535",
				  config->queue_count, config->local.port);
	if (config->frame_size != 0 && (config->frame_size < SESSION_FRAME_SIZE_MIN ||
					config->frame_size > SESSION_FRAME_SIZE_MAX))
		return port_error(error, error_size, -EINVAL, "frame size %u: %d to %d can be",
				  config->frame_size, SESSION_FRAME_SIZE_MIN,
				  SESSION_FRAME_SIZE_MAX);
	return 0;
}

int port_socket_open(const struct port_socket_config *config, struct port **ret_port, char *error,
		     size_t error_size)
{
	struct socket_port *p;
	int r = check_config(config, error, error_size);

	if (r != 0)
		return r;
	p = calloc(1, sizeof(*p));
	if (!p)
		return port_error(error, error_size, -ENOMEM, "no memory for a port");
	p->port.close = socket_close;
	for (uint32_t i = 0; i < config->queue_count; i++) {
		r = queue_new(config, i, &p->queues[i], error, error_size);
		if (r != 0) {
			socket_close(&p->port);
			return r;
		}
		p->port.queues[i] = &p->queues[i]->queue;
		p->port.queue_count = i + 1;
	}
	*ret_port = &p->port;
	return 0;
}
