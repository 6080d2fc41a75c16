/* SPDX-License-Identifier: Apache-2.0 */
#include "client/peers.h"

#include "base/defs.h"
#include "config/secret.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <netdb.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* A name of DNS, brackets, a port and some room. */
#define ITEM_SIZE 300

_Static_assert(SESSION_SECRET_SIZE == CONFIG_SECRET_SIZE, "one secret for nodes and clients");

/* Cuts "host:port", "[v6]:port", "host" or "[v6]" in place. Returns false when it is none. */
static bool split(char *item, char **ret_host, char **ret_port)
{
	char *port = NULL;
	char *host = item;

	if (*item == '[') {
		char *end = strchr(item, ']');

		if (!end || (end[1] != 0 && end[1] != ':'))
			return false;
		host = item + 1;
		*end = 0;
		port = end[1] ? end + 2 : NULL;
	} else {
		char *colon = strchr(item, ':');

		if (colon) {
			*colon = 0;
			port = colon + 1;
		}
	}
	*ret_host = host;
	*ret_port = port;
	return *host != 0;
}

static bool parse_port(const char *text, uint16_t *ret_port)
{
	unsigned long value;
	char *end;

	if (!text) {
		*ret_port = PEERS_DEFAULT_PORT;
		return true;
	}
	errno = 0;
	value = strtoul(text, &end, 10);
	if (!isdigit((unsigned char)*text) || *end || errno || value == 0 || value > UINT16_MAX)
		return false;
	*ret_port = (uint16_t)value;
	return true;
}

static bool add_server(struct peers *peers, const struct addr *addr)
{
	for (uint32_t i = 0; i < peers->server_count; i++)
		if (addr_equal(&peers->servers[i], addr))
			return true;
	if (peers->server_count == ROUTE_SERVER_MAX)
		return false;
	peers->servers[peers->server_count++] = *addr;
	return true;
}

/* Resolves one item and adds its addresses. */
static int resolve(struct peers *peers, const char *text, char *error, size_t error_size)
{
	struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_DGRAM};
	struct addrinfo *found;
	char item[ITEM_SIZE];
	char *host, *port_text;
	uint16_t port;
	int result;

	snprintf(item, sizeof(item), "%s", text);
	if (!split(item, &host, &port_text) || !parse_port(port_text, &port)) {
		snprintf(error, error_size,
			 "server '%s' isn't HOST:PORT, with a port from 1 to 65535", text);
		return -EINVAL;
	}
	result = getaddrinfo(host, NULL, &hints, &found);
	if (result != 0) {
		snprintf(error, error_size, "server '%s': %s; check the name", text,
			 gai_strerror(result));
		return -EINVAL;
	}
	for (const struct addrinfo *at = found; at; at = at->ai_next) {
		struct addr addr;

		if (!addr_from_sockaddr(at->ai_addr, &addr))
			continue;
		addr.port = port;
		if (!add_server(peers, &addr)) {
			snprintf(error, error_size, "more than %d servers", ROUTE_SERVER_MAX);
			freeaddrinfo(found);
			return -EINVAL;
		}
	}
	freeaddrinfo(found);
	return 0;
}

/*
 * The narrowest address from which all servers can be reached: a socket bound to
 * the loopback may use its large frames.
 */
static struct addr choose_local(const struct peers *peers)
{
	bool loopback = true, ipv4 = true;
	struct addr local = {0};

	for (uint32_t i = 0; i < peers->server_count; i++) {
		loopback = loopback && addr_is_loopback(&peers->servers[i]);
		ipv4 = ipv4 && addr_is_ipv4(&peers->servers[i]);
	}
	if (ipv4) {
		local.ip[10] = local.ip[11] = 0xff;
		if (loopback) {
			local.ip[12] = 127;
			local.ip[15] = 1;
		}
	}
	return local;
}

int peers_resolve(const char *list, struct peers *ret_peers, char *error, size_t error_size)
{
	struct peers peers = {0};

	while (*list) {
		size_t length = strcspn(list, ", ");
		char item[ITEM_SIZE];
		int result;

		if (length >= sizeof(item)) {
			snprintf(error, error_size, "server '%.20s...' is too long", list);
			return -EINVAL;
		}
		if (length > 0) {
			memcpy(item, list, length);
			item[length] = 0;
			result = resolve(&peers, item, error, error_size);
			if (result < 0)
				return result;
		}
		list += length;
		list += *list != 0;
	}
	if (peers.server_count == 0) {
		snprintf(error, error_size, "no server given: name at least one as HOST:PORT");
		return -EINVAL;
	}
	peers.local = choose_local(&peers);
	*ret_peers = peers;
	return 0;
}

int peers_read_secret(const char *path, uint8_t ret_secret[SESSION_SECRET_SIZE], char *error,
		      size_t error_size)
{
	char why[VALUE_WHY_MAX];

	if (secret_load(path, ret_secret, why) == 0)
		return 0;
	snprintf(error, error_size, "secret %s %s", path, why);
	return -EINVAL;
}
