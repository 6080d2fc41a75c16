/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Port echo - sends frames through a port, and back
 *
 *	port_echo serve PORT...                 echoes each frame, until standard input ends
 *	port_echo ask PORT... --to ADDRESS ...  sends frames, checks what comes back
 *
 * PORT is --socket ADDRESS, or --device DEVICE with --ip ADDRESS/PREFIX (one a
 * family) and --udp-port. The server prints "ready" when it serves, the asker
 * "asking" at the first echo, and both the counters of all queues at their end, as
 * one JSON object. The asker is patient: a frame is sent again until it is echoed,
 * since ports drop while they resolve.
 */

#include "base/check.h"
#include "base/clock.h"
#include "net/dpdk_env.h"
#include "net/port_dpdk.h"
#include "net/port_socket.h"

#include <getopt.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TARGET_MAX 8

/* How long one frame is asked again for, and how often. */
#define PATIENCE_NS (10 * NS_PER_S)
#define REPEAT_NS   (20 * NS_PER_MS)

struct options {
	const char *socket;
	struct port_dpdk_config device;
	const char *gateway, *prefix;
	bool huge_pages;
	uint32_t queue_count;
	uint32_t frame_size;
	bool plain;
	struct addr targets[TARGET_MAX];
	unsigned target_count;
	uint32_t size, count;
};

static atomic_bool stopping;

static _Noreturn void die(const char *what)
{
	fprintf(stderr, "port_echo: %s\n", what);
	exit(1);
}

static struct port *open_port(struct options *options)
{
	char error[PORT_ERROR_TEXT_MAX];
	struct port *port = NULL;

	if (options->socket) {
		struct port_socket_config config = {.queue_count = options->queue_count,
						    .frame_size = options->frame_size,
						    .plain = options->plain};

		if (addr_parse(options->socket, 0, &config.local) != 0)
			die("--socket is no address");
		if (port_socket_open(&config, &port, error, sizeof(error)) != 0)
			die(error);
		return port;
	}
	struct dpdk_env_config env = {.file_prefix = options->prefix,
				      .huge_pages = options->huge_pages,
				      .memory_mib = 256};

	options->device.queue_count = options->queue_count;
	options->device.frame_size = options->frame_size;
	if (dpdk_env_open(&env, error, sizeof(error)) != 0 ||
	    port_dpdk_open(&options->device, &port, error, sizeof(error)) != 0)
		die(error);
	return port;
}

/* --- serving --- */

static void *serve_queue(void *argument)
{
	struct port_queue *queue = argument;
	struct port_frame frames[PORT_BURST_MAX];

	while (!atomic_load_explicit(&stopping, memory_order_relaxed)) {
		unsigned count = port_receive(queue, frames, PORT_BURST_MAX);

		for (unsigned i = 0; i < count; i++)
			port_send(queue, &frames[i].from, frames[i].bytes, frames[i].size, NULL, 0);
		port_release(queue, frames, count);
		port_flush(queue);
		if (count == 0)
			usleep(50); /* two processors for all of a test's processes */
	}
	return NULL;
}

static void print_stats(struct port *port, bool device)
{
	struct port_stats sum = {0};
	struct ether_stats ether = {0};

	for (uint32_t i = 0; i < port->queue_count; i++) {
#define ADD(name) sum.name += port_queue(port, i)->stats.name;
		PORT_STAT_LIST(ADD)
#undef ADD
#define ADD(name) ether.name += port_dpdk_ether_stats(port, i)->name;
		if (device) {
			ETHER_STAT_LIST(ADD)
		}
#undef ADD
	}
	printf("{");
#define PRINT(name) printf("\"%s\":%llu,", #name, (unsigned long long)sum.name);
	PORT_STAT_LIST(PRINT)
#undef PRINT
#define PRINT(name) printf("\"%s\":%llu,", #name, (unsigned long long)ether.name);
	ETHER_STAT_LIST(PRINT)
#undef PRINT
	printf("\"queues\":[");
	for (uint32_t i = 0; i < port->queue_count; i++)
		printf("%s%llu", i ? "," : "",
		       (unsigned long long)port_queue(port, i)->stats.frames_received);
	printf("]}\n");
}

static int serve(struct options *options)
{
	struct port *port = open_port(options);
	pthread_t threads[PORT_QUEUE_MAX];
	char text[ADDR_TEXT_MAX], byte;

	for (uint32_t i = 0; i < port->queue_count; i++)
		if (pthread_create(&threads[i], NULL, serve_queue, port_queue(port, i)) != 0)
			die("no thread");
	printf("ready %s %u\n", addr_format(&port_queue(port, 0)->local, text),
	       port_queue(port, 0)->frame_size);
	fflush(stdout);
	while (read(STDIN_FILENO, &byte, 1) > 0)
		;
	atomic_store(&stopping, true);
	for (uint32_t i = 0; i < port->queue_count; i++)
		pthread_join(threads[i], NULL);
	print_stats(port, !options->socket);
	port_close(port);
	dpdk_env_close();
	return 0;
}

/* --- asking --- */

static void fill(uint8_t *bytes, uint32_t size, uint32_t number)
{
	for (uint32_t i = 0; i < size; i++)
		bytes[i] = (uint8_t)(number * 31 + i * 7 + (i >> 8));
	if (size >= sizeof(number))
		memcpy(bytes, &number, sizeof(number));
}

/* Takes what has come; true when one of the frames was the expected one. */
static bool look_for(struct port_queue *queue, const struct addr *from, const uint8_t *bytes,
		     uint32_t size)
{
	struct port_frame frames[PORT_BURST_MAX];
	unsigned count = port_receive(queue, frames, PORT_BURST_MAX);
	bool found = false;

	for (unsigned i = 0; i < count; i++)
		found |= frames[i].size == size && addr_equal(&frames[i].from, from) &&
			 memcmp(frames[i].bytes, bytes, size) == 0;
	port_release(queue, frames, count);
	if (count == 0)
		usleep(50);
	return found;
}

static bool ask_once(struct port_queue *queue, const struct addr *to, const uint8_t *bytes,
		     uint32_t size)
{
	uint64_t end_ns = clock_now_ns() + PATIENCE_NS, repeat_ns = 0;

	while (clock_now_ns() < end_ns) {
		if (clock_now_ns() >= repeat_ns) {
			port_send(queue, to, bytes, size / 2, bytes + size / 2, size - size / 2);
			port_flush(queue);
			repeat_ns = clock_now_ns() + REPEAT_NS;
		}
		if (look_for(queue, to, bytes, size))
			return true;
	}
	return false;
}

static int ask(struct options *options)
{
	struct port *port = open_port(options);
	struct port_queue *queue = port_queue(port, 0);
	static uint8_t bytes[65536];
	uint32_t answered = 0;

	if (options->target_count == 0)
		die("--to is missing");
	for (uint32_t i = 0; i < options->count; i++) {
		uint32_t size =
			options->size ? options->size : (uint32_t)(1 + i * 97 % queue->frame_size);

		fill(bytes, size, i);
		if (!ask_once(queue, &options->targets[i % options->target_count], bytes, size))
			break;
		/* The first answer; who wants to disturb the asker waits for this. */
		if (answered++ == 0) {
			printf("asking\n");
			fflush(stdout);
		}
	}
	print_stats(port, !options->socket);
	port_close(port);
	dpdk_env_close();
	if (answered < options->count)
		fprintf(stderr, "port_echo: %u of %u frames answered\n", answered, options->count);
	return answered == options->count ? 0 : 1;
}

/* --- options --- */

static const struct option long_options[] = {
	{"socket", required_argument, NULL, 's'},
	{"device", required_argument, NULL, 'd'},
	{"ip", required_argument, NULL, 'i'},
	{"gateway", required_argument, NULL, 'g'},
	{"udp-port", required_argument, NULL, 'p'},
	{"queues", required_argument, NULL, 'q'},
	{"frame-size", required_argument, NULL, 'f'},
	{"device-queues", required_argument, NULL, 'Q'},
	{"to", required_argument, NULL, 't'},
	{"size", required_argument, NULL, 'S'},
	{"count", required_argument, NULL, 'c'},
	{"prefix", required_argument, NULL, 'P'},
	{"huge", no_argument, NULL, 'H'},
	{"plain", no_argument, NULL, 'l'},
	{0},
};

static uint32_t number(const char *text)
{
	char *end;
	unsigned long value = strtoul(text, &end, 10);

	if (*text == 0 || *end != 0 || value > UINT32_MAX)
		die("a number is none");
	return (uint32_t)value;
}

static void add_subnet(struct options *options, const char *text)
{
	struct ether_subnet subnet;

	if (ether_subnet_parse(text, options->gateway, &subnet) != 0)
		die("--ip is no address with a prefix, or its gateway doesn't go with it");
	if (ether_subnet_is_ipv4(&subnet))
		options->device.ipv4 = subnet;
	else
		options->device.ipv6 = subnet;
}

static void set_option(struct options *options, int name, const char *value)
{
	switch (name) {
	case 's':
		options->socket = value;
		break;
	case 'd':
		options->device.device = value;
		break;
	case 'g':
		options->gateway = value;
		break;
	case 'i':
		add_subnet(options, value);
		break;
	case 'p':
		options->device.udp_port = (uint16_t)number(value);
		break;
	case 'q':
		options->queue_count = number(value);
		break;
	case 'Q':
		options->device.device_queue_count = number(value);
		break;
	case 'f':
		options->frame_size = number(value);
		break;
	case 'S':
		options->size = number(value);
		break;
	case 'c':
		options->count = number(value);
		break;
	case 'P':
		options->prefix = value;
		break;
	case 'H':
		options->huge_pages = true;
		break;
	case 'l':
		options->plain = true;
		break;
	case 't':
		if (options->target_count == TARGET_MAX ||
		    addr_parse(value, 0, &options->targets[options->target_count++]) != 0)
			die("--to is no address, or there are too many");
		break;
	default:
		exit(2);
	}
}

int main(int argc, char **argv)
{
	struct options options = {.queue_count = 1, .count = 1};
	int name;

	if (argc < 2)
		die("serve or ask?");
	optind = 2;
	while ((name = getopt_long(argc, argv, "", long_options, NULL)) >= 0)
		set_option(&options, name, optarg);
	if (!options.socket == !options.device.device)
		die("either --socket or --device");
	if (strcmp(argv[1], "serve") == 0)
		return serve(&options);
	if (strcmp(argv[1], "ask") == 0)
		return ask(&options);
	die("serve or ask?");
}
