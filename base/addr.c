/* SPDX-License-Identifier: Apache-2.0 */
#include "base/addr.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const uint8_t ipv4_prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
static const uint8_t ipv6_loopback[16] = {[15] = 1};

/* One to five digits and nothing else: strtoul() alone would take signs and spaces. */
static int parse_port(const char *text, uint16_t *ret_port)
{
	size_t length = strlen(text);
	unsigned long port;

	if (length < 1 || length > 5 || strspn(text, "0123456789") != length)
		return -EINVAL;
	port = strtoul(text, NULL, 10);
	if (port > UINT16_MAX)
		return -EINVAL;
	*ret_port = (uint16_t)port;
	return 0;
}

static int parse_ip(const char *text, size_t length, bool ipv6, uint8_t ip[16])
{
	char copy[INET6_ADDRSTRLEN];

	if (length >= sizeof(copy))
		return -EINVAL;
	memcpy(copy, text, length);
	copy[length] = '\0';
	if (ipv6)
		return inet_pton(AF_INET6, copy, ip) == 1 ? 0 : -EINVAL;
	memcpy(ip, ipv4_prefix, sizeof(ipv4_prefix));
	return inet_pton(AF_INET, copy, ip + 12) == 1 ? 0 : -EINVAL;
}

/*
 * Splits text into the address' characters and what follows them. An IPv6
 * address without brackets has no port: "::1:80" can't be told from one.
 */
static int split(const char **text, size_t *ret_length, bool *ret_ipv6, const char **ret_rest)
{
	const char *colon = strchr(*text, ':');
	const char *end;

	*ret_ipv6 = true;
	if (**text == '[') {
		(*text)++;
		end = strchr(*text, ']');
		if (!end)
			return -EINVAL;
		*ret_rest = end + 1;
	} else if (colon && strchr(colon + 1, ':')) {
		end = *text + strlen(*text);
		*ret_rest = end;
	} else {
		end = colon ? colon : *text + strlen(*text);
		*ret_rest = end;
		*ret_ipv6 = false;
	}
	*ret_length = (size_t)(end - *text);
	return 0;
}

int addr_parse(const char *text, uint16_t default_port, struct addr *ret_addr)
{
	struct addr addr = {.port = default_port};
	const char *rest;
	size_t length;
	bool ipv6;

	if (split(&text, &length, &ipv6, &rest) || parse_ip(text, length, ipv6, addr.ip))
		return -EINVAL;
	if (*rest != '\0' && (*rest != ':' || parse_port(rest + 1, &addr.port)))
		return -EINVAL;
	*ret_addr = addr;
	return 0;
}

bool addr_from_sockaddr(const struct sockaddr *from, struct addr *ret_addr)
{
	if (from->sa_family == AF_INET) {
		struct sockaddr_in v4;

		memcpy(&v4, from, sizeof(v4));
		memcpy(ret_addr->ip, ipv4_prefix, sizeof(ipv4_prefix));
		memcpy(ret_addr->ip + sizeof(ipv4_prefix), &v4.sin_addr, 4);
		ret_addr->port = ntohs(v4.sin_port);
		return true;
	}
	if (from->sa_family == AF_INET6) {
		struct sockaddr_in6 v6;

		memcpy(&v6, from, sizeof(v6));
		memcpy(ret_addr->ip, &v6.sin6_addr, sizeof(ret_addr->ip));
		ret_addr->port = ntohs(v6.sin6_port);
		return true;
	}
	return false;
}

const char *addr_format(const struct addr *addr, char to[ADDR_TEXT_MAX])
{
	char ip[INET6_ADDRSTRLEN];

	if (addr_is_ipv4(addr)) {
		inet_ntop(AF_INET, addr->ip + 12, ip, sizeof(ip));
		snprintf(to, ADDR_TEXT_MAX, "%s:%u", ip, addr->port);
	} else {
		inet_ntop(AF_INET6, addr->ip, ip, sizeof(ip));
		snprintf(to, ADDR_TEXT_MAX, "[%s]:%u", ip, addr->port);
	}
	return to;
}

bool addr_equal(const struct addr *a, const struct addr *b)
{
	return a->port == b->port && memcmp(a->ip, b->ip, sizeof(a->ip)) == 0;
}

bool addr_is_ipv4(const struct addr *addr)
{
	return memcmp(addr->ip, ipv4_prefix, sizeof(ipv4_prefix)) == 0;
}

bool addr_is_loopback(const struct addr *addr)
{
	if (addr_is_ipv4(addr))
		return addr->ip[12] == 127;
	return memcmp(addr->ip, ipv6_loopback, sizeof(ipv6_loopback)) == 0;
}
