/* SPDX-License-Identifier: Apache-2.0 */
#include "config/semantic.h"

#include "base/byteorder.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The kernel's tables have fewer. */
#define GID_INDEX_MAX 65535

static const struct addr no_address;

static bool is_set(const struct addr *addr)
{
	return !addr_equal(addr, &no_address);
}

/* Everybody on the host is trusted, everybody on a network is not. */
static int check_auth(struct config *config, struct refusal *refusal)
{
	bool public = !addr_is_loopback(&config->port.listen) ||
		      (is_set(&config->port.ipv6) && !addr_is_loopback(&config->port.ipv6));
	bool secret = config->secret_file[0] != '\0';
	char text[ADDR_TEXT_MAX];

	if (config->auth == CONFIG_AUTH_NONE && secret)
		return refusal_at(
			refusal, refusal_mark_of(refusal, "auth"),
			"auth: none asks for no proof, and secret_file is given; take one "
			"of the two out");
	if (config->auth == CONFIG_AUTH_HMAC && !secret && public)
		return refusal_at(refusal, refusal_mark_of(refusal, "port.listen"),
				  "%s is reached from other machines and there is no secret_file; "
				  "give one, or listen on 127.0.0.1, or write auth: none",
				  addr_format(is_set(&config->port.ipv6) ? &config->port.ipv6
									 : &config->port.listen,
					      text));
	return 0;
}

static int check_ports(struct config *config, struct refusal *refusal)
{
	if (config->port.listen.port + config->core_count - 1 > UINT16_MAX)
		return refusal_at(refusal, refusal_mark_of(refusal, "port.listen"),
				  "port %u and one more for each of %" PRIu32
				  " cores pass 65535; write a smaller port",
				  config->port.listen.port, config->core_count);
	return 0;
}

static int refuse_for_dpdk(struct refusal *refusal, const char *key)
{
	return refusal_at(refusal, refusal_mark_of(refusal, key),
			  "%s is for DPDK; take it out, or write port.kind: dpdk", key);
}

/* Where the kernel has addresses, second ones and routes are its business. */
static int check_kernel_addresses(struct config *config, struct refusal *refusal)
{
	if (is_set(&config->port.ipv6))
		return refuse_for_dpdk(refusal, "port.ipv6");
	if (is_set(&config->port.gateway))
		return refuse_for_dpdk(refusal, "port.gateway");
	return 0;
}

/* So is a socket's device. */
static int check_socket(struct config *config, struct refusal *refusal)
{
	if (config->port.device[0])
		return refuse_for_dpdk(refusal, "port.device");
	return check_kernel_addresses(config, refusal);
}

static int check_dpdk_addresses(struct config *config, struct refusal *refusal)
{
	const struct config_port *port = &config->port;
	uint32_t mask = UINT32_MAX << (32 - port->prefix_length);
	uint32_t own = load_be32(port->listen.ip + 12);

	if (!addr_is_ipv4(&port->listen) || own == 0)
		return refusal_at(refusal, refusal_mark_of(refusal, "port.listen"),
				  "DPDK needs an IPv4 address of its own here; write it like "
				  "10.0.0.1:7400, and an IPv6 address at port.ipv6");
	if (is_set(&port->ipv6) && addr_is_ipv4(&port->ipv6))
		return refusal_at(refusal, refusal_mark_of(refusal, "port.ipv6"),
				  "this is an IPv4 address; write it at port.listen");
	if (is_set(&port->gateway) && (!addr_is_ipv4(&port->gateway) ||
				       ((load_be32(port->gateway.ip + 12) ^ own) & mask) != 0))
		return refusal_at(refusal, refusal_mark_of(refusal, "port.gateway"),
				  "the gateway is not in the /%" PRIu32
				  " network of port.listen; correct it or port.prefix_length",
				  port->prefix_length);
	return 0;
}

/* "0000:3b:00.0", with or without its domain, or a virtual device: what EAL takes for a device. */
static bool is_device(const char *text)
{
	unsigned part;
	int length = 0;

	if (strncmp(text, "net_", 4) == 0)
		return true;
	if (sscanf(text, "%x:%x:%x.%x%n", &part, &part, &part, &part, &length) != 4 &&
	    sscanf(text, "%x:%x.%x%n", &part, &part, &part, &length) != 3)
		return false;
	return text[length] == '\0' || text[length] == ',';
}

static int check_dpdk(struct config *config, struct refusal *refusal)
{
	if (config->port.device[0] == '\0')
		return refusal_at(refusal, refusal_mark_of(refusal, "port.kind"),
				  "port.kind: dpdk has no port.device; write a PCI address or a "
				  "virtual device (`tern info` lists what there is)");
	if (!is_device(config->port.device))
		return refusal_at(
			refusal, refusal_mark_of(refusal, "port.device"),
			"port.device is neither a PCI address like 0000:3b:00.0 nor a virtual "
			"device like net_af_packet0,iface=eth1; `tern info` lists what there is");
	return check_dpdk_addresses(config, refusal);
}

/* It is a folder's name. */
static int check_prefix(struct config *config, struct refusal *refusal)
{
	const char *prefix = config->dpdk.file_prefix;

	if (!strchr(prefix, '/') && prefix[0] != '.')
		return 0;
	return refusal_at(
		refusal, refusal_mark_of(refusal, "dpdk.file_prefix"),
		"dpdk.file_prefix names a folder in DPDK's own; write it without slashes, "
		"and no dot in front");
}

static int check_rdma(struct config *config, struct refusal *refusal)
{
	int error = check_kernel_addresses(config, refusal);

	if (error)
		return error;
	if (config->port.listen.port + config->core_count - 1 >
	    UINT16_MAX - CONFIG_RDMA_PORT_OFFSET)
		return refusal_at(
			refusal, refusal_mark_of(refusal, "port.listen"),
			"RDMA listens %d above each core's port, past 65535 here; write a "
			"smaller port",
			CONFIG_RDMA_PORT_OFFSET);
	return 0;
}

static int check_port_kind(struct config *config, struct refusal *refusal)
{
	static int (*const checks[])(struct config *, struct refusal *) = {
		[CONFIG_PORT_SOCKET] = check_socket,
		[CONFIG_PORT_DPDK] = check_dpdk,
		[CONFIG_PORT_RDMA] = check_rdma,
	};

	return checks[config->port.kind](config, refusal);
}

static int check_numbers(struct config *config, struct refusal *refusal)
{
	if (config->session.lost_ns / 2 < config->session.keepalive_ns)
		return refusal_at(refusal, refusal_mark_of(refusal, "session.lost"),
				  "session.lost is less than twice session.keepalive, so that one "
				  "lost ping would end a session; write a longer time");
	if (config->search.ef_default > config->search.ef_max)
		return refusal_at(refusal, refusal_mark_of(refusal, "search.ef_default"),
				  "search.ef_default %" PRIu32 " is above search.ef_max %" PRIu32
				  "; lower it or raise that",
				  config->search.ef_default, config->search.ef_max);
	return 0;
}

static int check_export(struct config *config, struct refusal *refusal)
{
	const char *index = config->export.gid_index;

	if (index[strspn(index, "0123456789")] == '\0' && strtoul(index, NULL, 10) <= GID_INDEX_MAX)
		return 0;
	return refusal_at(refusal, refusal_mark_of(refusal, "export.gid_index"),
			  "export.gid_index is the number of a GID, 0 to 65535; `show_gids` or "
			  "`tern info` lists them, and leaving it out takes the best");
}

/* One file's peers can then serve every node of the cluster. */
static void drop_own_entry(struct config *config)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < config->peer_count; i++) {
		if (config->peers[i].node != config->node)
			config->peers[kept++] = config->peers[i];
	}
	memset(&config->peers[kept], 0, (config->peer_count - kept) * sizeof(config->peers[0]));
	config->peer_count = kept;
}

static int check_peers(struct config *config, struct refusal *refusal)
{
	drop_own_entry(config);
	for (uint32_t i = 0; i < config->peer_count; i++) {
		for (uint32_t j = 0; j < i; j++) {
			if (config->peers[i].node == config->peers[j].node)
				return refusal_at(refusal, refusal_mark_of(refusal, "peers"),
						  "peers has node %" PRIu64
						  " twice; give each node one address",
						  config->peers[i].node);
		}
	}
	if (config->data_count == 0 && config->peer_count == 0)
		return refusal_at(refusal, refusal_mark_of(refusal, "data"),
				  "there is nothing to do without data and without peers; name a "
				  "folder that `tern build` wrote");
	return 0;
}

int semantic_check(struct config *config, struct refusal *refusal)
{
	static int (*const checks[])(struct config *, struct refusal *) = {
		check_auth,    check_ports,  check_port_kind, check_prefix,
		check_numbers, check_export, check_peers};

	for (size_t i = 0; i < ARRAY_COUNT(checks); i++) {
		int error = checks[i](config, refusal);

		if (error)
			return error;
	}
	return 0;
}
