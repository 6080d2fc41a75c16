/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Addr - where a UDP peer is
 *
 * One form for IPv4 and IPv6: an IPv4 address stands as its IPv6-mapped form
 * (::ffff:a.b.c.d), so that equality is equality of bytes.
 *
 * Threads: any; nothing here has state.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* "[" 45 characters "]:" 5 digits and the final zero, rounded up. */
#define ADDR_TEXT_MAX 56

struct sockaddr;

struct addr {
	uint8_t ip[16]; /* network order */
	uint16_t port;  /* host order */
};

/*
 * Reads "192.0.2.1:7400" or "[2001:db8::1]:7400"; without a port it is
 * 'default_port'. Names are not resolved.
 *
 * Returns 0, or -EINVAL and '*ret_addr' is as it was.
 */
int addr_parse(const char *text, uint16_t default_port, struct addr *ret_addr);

/* Of IPv4 or IPv6, with its port; false, and '*ret_addr' is as it was, when it is of neither. */
bool addr_from_sockaddr(const struct sockaddr *from, struct addr *ret_addr);

/* Writes what addr_parse() reads; returns 'to'. */
const char *addr_format(const struct addr *addr, char to[ADDR_TEXT_MAX]);

bool addr_equal(const struct addr *a, const struct addr *b);

/* Is it an IPv4 address in its mapped form? */
bool addr_is_ipv4(const struct addr *addr);

/* 127.0.0.0/8 or ::1. */
bool addr_is_loopback(const struct addr *addr);
