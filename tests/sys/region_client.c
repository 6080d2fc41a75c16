/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Region client - asks a node for a region over shared memory, and reads it
 *
 * A second process for the system tests. Prints one JSON object about what was
 * granted and read; then it stays, and prints one more when the lease is withdrawn, or
 * the link over.
 *
 *      region_client ADDRESS COLLECTION VSHARD REGION LEASE_MS [--bad-proof] [--leave]
 *
 * With --bad-proof it asks with a proof that is nobody's; with --leave it doesn't wait.
 * Exit status 0 when it came to an answer of type 57.
 */

#include "base/byteorder.h"
#include "base/clock.h"
#include "base/crc.h"
#include "base/defs.h"
#include "net/port_socket.h"
#include "proto/envelope.h"
#include "proto/message.h"
#include "proto/payload_region.h"
#include "proto/session.h"
#include "rdma/fetch_shm.h"
#include "rdma/shm_link.h"

#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { HEADER_SIZE = 256, AT_HEADER_CRC = 252, NODE = 4711, MESSAGE_SIZE = 4096 };

/* It ends tests that hang. */
#define PATIENCE_NS (60 * NS_PER_S)
#define STAY_MS     300000

static struct port *port;
static struct port_queue *queue;
static struct endpoint *endpoint;
static struct session *session;
static struct shm_link *link_;
static uint64_t give_up_ns;

static _Noreturn void PRINTF_LIKE(1, 2) die(const char *format, ...)
{
	va_list list;

	va_start(list, format);
	fputs("region_client: ", stderr);
	vfprintf(stderr, format, list);
	fputc('\n', stderr);
	va_end(list);
	exit(1);
}

static void patience(void)
{
	if (clock_now_ns() > give_up_ns)
		die("nothing comes");
	usleep(200);
}

/* --- the session --- */

static void send_frame(void *context, const struct addr *to, const void *head, size_t head_size,
		       const void *body, size_t body_size)
{
	port_send(queue, to, head, head_size, body, body_size);
}

static const struct session_ops session_ops = {.send = send_frame};

static void open_session(const struct addr *to)
{
	struct endpoint_config config = {
		.session_count = 2,
		.message_size_max = MESSAGE_SIZE,
		.large_count = 2,
		.keepalive_ns = NS_PER_S,
		.lost_ns = 10 * NS_PER_S,
	};
	struct port_socket_config socket = {.queue_count = 1, .frame_size = 1452};
	char error[PORT_ERROR_TEXT_MAX];

	if (addr_parse("127.0.0.1:0", 0, &socket.local) ||
	    port_socket_open(&socket, &port, error, sizeof(error)))
		die("%s", error);
	queue = port_queue(port, 0);
	config.frame_size = queue->frame_size;
	if (endpoint_new(&config, &session_ops, NULL, &endpoint) ||
	    endpoint_connect(endpoint, to, clock_now_ns(), &session))
		die("no session");
}

static unsigned session_turn(struct session_answer *answer)
{
	struct port_frame frames[PORT_BURST_MAX];
	uint64_t now_ns = clock_now_ns();
	unsigned count = port_receive(queue, frames, PORT_BURST_MAX);

	for (unsigned i = 0; i < count; i++)
		endpoint_input(endpoint, &frames[i].from, frames[i].bytes, frames[i].size, now_ns);
	if (count)
		port_release(queue, frames, count);
	endpoint_tick(endpoint, now_ns);
	port_flush(queue);
	return endpoint_take_answers(endpoint, answer, 1);
}

/* Sends the request and waits; the 57 borrows from 'answer_bytes'. Returns the status. */
static uint16_t ask(uint32_t vshard, const struct region_request *request, uint8_t *answer_bytes,
		    struct region_answer *ret_answer)
{
	uint8_t payload[REGION_PAYLOAD_MAX];
	uint8_t message[MESSAGE_SIZE];
	struct envelope envelope = {
		.type = MESSAGE_VECTOR_MEM_REGION_REQUEST,
		.source_node = NODE,
		.vshard = vshard,
		.payload = payload,
	};
	struct session_call call = {
		.bytes = message,
		.answer = answer_bytes,
		.answer_capacity = MESSAGE_SIZE,
		.deadline_ns = UINT64_MAX,
	};
	struct session_answer answer;

	envelope.payload_size = (uint32_t)region_request_encode(request, payload, sizeof(payload));
	call.size = (uint32_t)envelope_encode(&envelope, message, sizeof(message));
	if (!envelope.payload_size || !call.size || session_call(session, &call, clock_now_ns()))
		die("the request can't be sent");
	while (!session_turn(&answer))
		patience();
	if (envelope_decode(answer_bytes, answer.size, &envelope) ||
	    region_answer_decode(envelope.payload, envelope.payload_size, ret_answer))
		die("status %u and no answer of type 57", answer.status);
	return answer.status;
}

/* --- the memory --- */

static void wait_ready(void)
{
	struct shm_link_news news;
	enum shm_link_event event;

	while ((event = shm_link_next(link_, clock_now_ns(), &news)) == SHM_LINK_NO_NEWS)
		patience();
	if (event != SHM_LINK_IS_READY)
		die("%s", shm_link_error(link_));
}

/* Reads the first bytes of what was lent. */
static void read_header(const struct region_answer *answer, uint8_t header[HEADER_SIZE])
{
	static _Alignas(64) uint8_t bytes[HEADER_SIZE];
	struct fetch_shm_options options = {.memory = bytes, .memory_size = sizeof(bytes)};
	struct fetch_piece piece = {.to = bytes};
	struct shm_link_news news;
	enum shm_link_event event;
	struct fetch_done done;
	struct fetch *fetch;

	while ((event = shm_link_next(link_, clock_now_ns(), &news)) == SHM_LINK_NO_NEWS)
		patience();
	if (event != SHM_LINK_LENT || news.lease != answer->lease_id ||
	    news.offset != answer->remote_addr || news.size != answer->length)
		die("another memory than was granted");
	options.memory_fd = news.memory_fd;
	options.offset = news.offset;
	options.size = news.size;
	piece.size = (uint32_t)MIN(news.size, (uint64_t)sizeof(bytes));
	if (fetch_shm_open(&options, &fetch) || fetch_post(fetch, &piece, 1, 0))
		die("the memory can't be read");
	close(news.memory_fd);
	while (!fetch_poll(fetch, clock_now_ns(), &done, 1))
		patience();
	if (done.error)
		die("reading: %s", strerror(-done.error));
	fetch_close(fetch);
	memcpy(header, bytes, sizeof(bytes));
}

static void print_answer(uint16_t status, const struct region_answer *answer)
{
	uint8_t header[HEADER_SIZE] = {0};
	bool right = false;

	if (answer->available) {
		read_header(answer, header);
		right = answer->crc == load_le32(header + AT_HEADER_CRC) &&
			answer->crc == crc32c(header, AT_HEADER_CRC);
	}
	printf("{\"status\": %u, \"available\": %s, \"reason\": \"%.*s\", \"length\": %llu, "
	       "\"generation\": %llu, \"lease_ms\": %u, \"magic\": \"%.7s\", \"crc_right\": %s}\n",
	       status, answer->available ? "true" : "false", (int)answer->reason.length,
	       answer->reason.text, (unsigned long long)answer->length,
	       (unsigned long long)answer->generation, answer->lease_ms, (const char *)header,
	       right ? "true" : "false");
	fflush(stdout);
}

/* Until the owner takes it back. */
static void stay(void)
{
	struct shm_link_news news;
	struct pollfd wait = {.fd = shm_link_fd(link_), .events = POLLIN};

	while (poll(&wait, 1, STAY_MS) > 0) {
		switch (shm_link_next(link_, clock_now_ns(), &news)) {
		case SHM_LINK_WITHDRAWN:
			printf("{\"event\": \"withdrawn\"}\n");
			return;
		case SHM_LINK_IS_OVER:
			printf("{\"event\": \"over\"}\n");
			return;
		default:
			break;
		}
	}
}

int main(int argc, char **argv)
{
	struct shm_link_config config = {.node = NODE};
	uint8_t proof[SHM_WIRE_PROOF_SIZE];
	uint8_t answer_bytes[MESSAGE_SIZE];
	struct region_request request = {.transport = REGION_TRANSPORT_SHM,
					 .proof = {proof, sizeof(proof)}};
	struct region_answer answer;
	char error[SHM_LINK_ERROR_MAX];
	bool leave = false;
	struct addr to;

	if (argc < 6 || addr_parse(argv[1], 0, &to))
		die("wrong usage; see the top of the source");
	give_up_ns = clock_now_ns() + PATIENCE_NS;
	if (shm_link_connect(&to, &config, clock_now_ns(), &link_, error, sizeof(error)))
		die("%s", error);
	wait_ready();
	shm_link_proof(link_, proof);
	request.collection = (struct text_view){argv[2], (uint32_t)strlen(argv[2])};
	request.region = (struct text_view){argv[4], (uint32_t)strlen(argv[4])};
	request.lease_ms = (uint32_t)strtoul(argv[5], NULL, 10);
	for (int i = 6; i < argc; i++) {
		if (!strcmp(argv[i], "--bad-proof"))
			proof[0] ^= 1;
		leave |= !strcmp(argv[i], "--leave");
	}
	open_session(&to);
	print_answer(ask((uint32_t)strtoul(argv[3], NULL, 10), &request, answer_bytes, &answer),
		     &answer);
	if (!leave && answer.available)
		stay();
	shm_link_close(link_);
	endpoint_free(endpoint);
	port_close(port);
	return 0;
}
