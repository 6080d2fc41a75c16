/* SPDX-License-Identifier: Apache-2.0 */
#include "base/defs.h"
#include "base/hash.h"
#include "base/topo.h"
#include "config/config.h"
#include "config/schema.h"
#include "proto/payload_vector.h"
#include "proto/session.h"
#include "proto/session_internal.h"
#include "tests/lib/test.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The siblings can't see each other, so here is where they agree. */
_Static_assert(CONFIG_SECRET_SIZE == SESSION_SECRET_SIZE, "one secret");
_Static_assert(CONFIG_CORE_MAX == TOPO_PLAN_MAX, "as many cores as can be planned");
_Static_assert(CONFIG_SHARD_MAX == HASH_VSHARD_COUNT, "as many shards as there are vShards");

static uint64_t max_of(const char *key)
{
	const struct schema_row *row = schema_find(key);

	assert_non_null(row);
	return row->max;
}

static void what_the_schema_allows_the_parts_take(void **state)
{
	assert_int_equal(max_of("session.sessions"), SESSION_COUNT_MAX);
	assert_int_equal(max_of("session.large_buffers"), SESSION_LARGE_COUNT_MAX);
	assert_int_equal(max_of("session.message_size_max"), SESSION_MESSAGE_SIZE_MAX);
	assert_int_equal(max_of("port.frame_size"), SESSION_FRAME_SIZE_MAX);
	assert_int_equal(schema_find("port.frame_size")->min, SESSION_FRAME_SIZE_MIN);
	assert_int_equal(max_of("search.ef_max"), VECTOR_EF_MAX);
	assert_int_equal(max_of("search.ef_default"), VECTOR_EF_MAX);
}

static struct config config, expected;
static char error[CONFIG_ERROR_MAX];

static int parse(const char *text)
{
	error[0] = '\0';
	return config_parse("t.yaml", text, strlen(text), &config, error, sizeof(error));
}

static void assert_parses(const char *text)
{
	if (parse(text))
		fail_msg("%s\nrefused: %s", text, error);
}

static void assert_refused(const char *text, const char *why)
{
	memset(&config, 7, sizeof(config));
	memset(&expected, 7, sizeof(expected));
	assert_int_equal(parse(text), -EINVAL);
	assert_string_equal(error, why);
	assert_memory_equal(&config, &expected, sizeof(config));
}

static void an_empty_file_is_the_defaults(void **state)
{
	static const char *const texts[] = {"", "# nothing\n", "---\n", "{}\n", "--- ~\n...\n"};

	config_defaults(&expected);
	for (size_t i = 0; i < ARRAY_COUNT(texts); i++) {
		assert_parses(texts[i]);
		assert_memory_equal(&config, &expected, sizeof(config));
	}
}

static void the_defaults_are_what_the_limits_allow(void **state)
{
	config_defaults(&config);
	assert_int_equal(config.node, 1);
	assert_int_equal(config.core_count, 1);
	assert_int_equal(config.cores.count, 0);
	assert_int_equal(config.data_count, 1);
	assert_string_equal(config.data[0], "/var/lib/tern");
	assert_true(addr_is_loopback(&config.port.listen));
	assert_in_range(config.port.frame_size, SESSION_FRAME_SIZE_MIN, SESSION_FRAME_SIZE_MAX);
	assert_in_range(config.session.message_size_max, 1, SESSION_MESSAGE_SIZE_MAX);
	assert_int_equal(config.session.keepalive_ns, 1000000000);
	assert_int_equal(config.auth, CONFIG_AUTH_HMAC);
	assert_false(config.secret_loaded);
	assert_true(config.telemetry);
	assert_int_equal(config.log_level, LOG_LEVEL_INFO);
}

static void the_printed_defaults_load_to_the_defaults(void **state)
{
	char *text = NULL;
	size_t size = 0;
	FILE *file = open_memstream(&text, &size);

	assert_non_null(file);
	assert_int_equal(config_print_defaults(file), 0);
	fclose(file);
	assert_parses(text);
	config_defaults(&expected);
	assert_memory_equal(&config, &expected, sizeof(config));
	for (size_t i = 0; config_key(i); i++) {
		const char *dot = strrchr(config_key(i), '.');

		assert_non_null(strstr(text, dot ? dot + 1 : config_key(i)));
	}
	free(text);
}

static void defaults_that_cannot_be_printed_are_an_error(void **state)
{
	FILE *file = fopen("/dev/full", "w");

	if (!file)
		skip();
	assert_int_equal(config_print_defaults(file), -EIO);
	fclose(file);
}

static void every_key_is_read(void **state)
{
	assert_parses("node: 7\n"
		      "epoch: 18446744073709551615\n"
		      "data: [a, /b/c]\n"
		      "shards: 0-2,9\n"
		      "cores: [3, 5-6]\n"
		      "port:\n"
		      "  kind: dpdk\n"
		      "  listen: 127.0.0.1:7500\n"
		      "  ipv6: ::1\n"
		      "  device: net_memif0,role=server,socket=/run/tern.sock\n"
		      "  gateway: 127.0.0.254\n"
		      "  prefix_length: 16\n"
		      "  frame_size: 8952\n"
		      "dpdk: {huge: true, file_prefix: n7, memory: 1GiB}\n"
		      "auth: none\n"
		      "session:\n"
		      "  sessions: 9\n"
		      "  large_buffers: 10\n"
		      "  message_size_max: 8MiB\n"
		      "  keepalive: 250ms\n"
		      "  lost: 2 s\n"
		      "search: {ef_max: 100, ef_default: 99, recall_target: 0.99, in_flight: 8, "
		      "queue_max: 77}\n"
		      "idle: {busy: 10us, pause: 0}\n"
		      "log: {level: debug}\n"
		      "telemetry: false\n"
		      "peers:\n"
		      "- node: 8\n"
		      "  address: 10.0.0.8\n"
		      "- {address: '[2001:db8::9]:99', node: 9}\n");
	assert_int_equal(config.node, 7);
	assert_true(config.epoch == UINT64_MAX);
	assert_int_equal(config.data_count, 2);
	assert_string_equal(config.data[0], "a");
	assert_string_equal(config.data[1], "/b/c");
	assert_int_equal(config.shards.count, 4);
	assert_int_equal(config.shards.values[3], 9);
	assert_int_equal(config.core_count, 3);
	assert_int_equal(config.cores.count, 3);
	assert_int_equal(config.cores.values[0], 3);
	assert_int_equal(config.cores.values[2], 6);
	assert_int_equal(config.port.kind, CONFIG_PORT_DPDK);
	assert_int_equal(config.port.listen.port, 7500);
	assert_true(addr_is_loopback(&config.port.ipv6));
	assert_string_equal(config.port.device, "net_memif0,role=server,socket=/run/tern.sock");
	assert_int_equal(config.port.gateway.ip[15], 254);
	assert_int_equal(config.port.prefix_length, 16);
	assert_int_equal(config.port.frame_size, 8952);
	assert_true(config.dpdk.huge);
	assert_string_equal(config.dpdk.file_prefix, "n7");
	assert_int_equal(config.dpdk.memory, 1 << 30);
	assert_int_equal(config.auth, CONFIG_AUTH_NONE);
	assert_int_equal(config.session.sessions, 9);
	assert_int_equal(config.session.large_buffers, 10);
	assert_int_equal(config.session.message_size_max, 8 << 20);
	assert_int_equal(config.session.keepalive_ns, 250000000);
	assert_int_equal(config.session.lost_ns, 2000000000);
	assert_int_equal(config.search.ef_max, 100);
	assert_int_equal(config.search.ef_default, 99);
	assert_int_equal(config.search.recall_target, CONFIG_RECALL_99);
	assert_int_equal(config.search.in_flight, 8);
	assert_int_equal(config.search.queue_max, 77);
	assert_int_equal(config.idle.busy_ns, 10000);
	assert_int_equal(config.idle.pause_ns, 0);
	assert_int_equal(config.log_level, LOG_LEVEL_DEBUG);
	assert_false(config.telemetry);
	assert_int_equal(config.peer_count, 2);
	assert_int_equal(config.peers[0].node, 8);
	assert_int_equal(config.peers[0].address.port, 7400);
	assert_int_equal(config.peers[1].address.port, 99);
}

static void a_scalar_is_a_list_of_one(void **state)
{
	assert_parses("data: here\nshards: 4\ncores: '2,0'\n");
	assert_int_equal(config.data_count, 1);
	assert_string_equal(config.data[0], "here");
	assert_int_equal(config.shards.count, 1);
	assert_int_equal(config.shards.values[0], 4);
	assert_int_equal(config.core_count, 2);
	assert_int_equal(config.cores.values[0], 2);
}

static void a_bare_number_of_cores_is_a_count(void **state)
{
	assert_parses("cores: 4\n");
	assert_int_equal(config.core_count, 4);
	assert_int_equal(config.cores.count, 0);
	assert_parses("cores: [4]\n");
	assert_int_equal(config.core_count, 1);
	assert_int_equal(config.cores.values[0], 4);
}

static void a_nodes_own_entry_among_the_peers_is_passed_over(void **state)
{
	assert_parses("node: 2\npeers:\n- {node: 1, address: 10.0.0.1}\n- {node: 2, address: "
		      "10.0.0.2}\n- {node: 3, address: 10.0.0.3}\n");
	assert_int_equal(config.peer_count, 2);
	assert_int_equal(config.peers[1].node, 3);
	assert_int_equal(config.peers[2].node, 0);
}

static void a_node_may_only_coordinate(void **state)
{
	assert_parses("data: []\npeers: [{node: 2, address: 10.0.0.2}]\n");
	assert_int_equal(config.data_count, 0);
}

static void every_error_says_where_what_and_what_to_do(void **state)
{
	static const struct {
		const char *text, *why;
	} rows[] = {
		/* YAML itself */
		{"node: [1\n", "t.yaml:2:1: this is no YAML: did not find expected ',' or ']'; "
			       "correct it"},
		{"node: 1\n bad\n: x", "t.yaml:3:1: this is no YAML: did not find expected key; "
				       "correct it"},
		{"a: *b\n", "t.yaml:1:4: this is no YAML: found undefined alias; correct it"},
		{"node: \x01\n", "t.yaml:1:7: this is no YAML: control characters are not allowed; "
				 "correct it"},
		{"node: 1\nepoch: \xff\n", "t.yaml:2:8: this is no YAML: invalid leading UTF-8 "
					   "octet; correct it"},
		{"node: 1\n---\nnode: 2\n", "t.yaml:3:1: a second document begins here; one file "
					    "is one node, so take it out"},
		{"- node\n", "t.yaml:1:1: the file is no list of keys; write lines of the form "
			     "key: value"},
		/* keys */
		{"node: 1\nsesion: {}\n",
		 "t.yaml:2:1: unknown key 'sesion'; did you mean session?"},
		{"session:\n  keepaliv: 1s\n",
		 "t.yaml:2:3: unknown key 'keepaliv'; did you mean session.keepalive?"},
		{"keepalive: 1s\n",
		 "t.yaml:1:1: unknown key 'keepalive'; did you mean session.keepalive?"},
		{"port.listen: 1\n", "t.yaml:1:1: unknown key 'port.listen'; take it out (ternd "
				     "--print-defaults lists all)"},
		{"port:\n  node: 1\n", "t.yaml:2:3: unknown key 'node'; did you mean node?"},
		{"wombat: 1\n", "t.yaml:1:1: unknown key 'wombat'; take it out (ternd "
				"--print-defaults lists all)"},
		{"\"a\\e[31m\": 1\n", "t.yaml:1:1: unknown key 'a?[31m'; take it out (ternd "
				      "--print-defaults lists all)"},
		{"[a]: 1\n", "t.yaml:1:1: a key is a list or a mapping; write a name"},
		{"node: 1\nepoch: 1\nnode: 2\n",
		 "t.yaml:3:1: key 'node' is there twice; take one of them out"},
		{"idle: {busy: 1us}\nidle: {pause: 1us}\n",
		 "t.yaml:2:1: key 'idle' is there twice; take one of them out"},
		{"idle: {busy: 1us, busy: 1us}\n",
		 "t.yaml:1:19: key 'busy' is there twice; take one of them out"},
		{"idle: 5us\n",
		 "t.yaml:1:7: idle is a section; write its keys below it, further to "
		 "the right"},
		{"node:\nepoch: 1\n", "t.yaml:1:6: node has no value; write one, or take the line "
				      "out"},
		{"node: ~\n", "t.yaml:1:7: node has no value; write one, or take the line out"},
		{"node: [1]\n", "t.yaml:1:7: node takes a single value; write that"},
		{"node: {a: 1}\n", "t.yaml:1:7: node takes a single value; write that"},
		{"data: {a: 1}\n", "t.yaml:1:7: data takes a list; write that"},
		{"secret_file: \"a\\0b\"\n",
		 "t.yaml:1:14: secret_file takes a single value; write that"},
		/* values */
		{"node: 0\n",
		 "t.yaml:1:7: node: 0 is out of range; write 1 to 18446744073709551615"},
		{"node: 18446744073709551616\n", "t.yaml:1:7: node: '18446744073709551616' is no "
						 "whole number; write digits only"},
		{"node: -1\n", "t.yaml:1:7: node: '-1' is no whole number; write digits only"},
		{"node: 010\n", "t.yaml:1:7: node: '010' is no whole number; write digits only"},
		{"session: {sessions: 65537}\n", "t.yaml:1:21: session.sessions: 65537 is out of "
						 "range; write 1 to 65536"},
		{"session: {lost: 5}\n", "t.yaml:1:17: session.lost: 5 has no unit; write ns, us, "
					 "ms, s or min behind it"},
		{"session: {lost: soon}\n", "t.yaml:1:17: session.lost: 'soon' is no whole number "
					    "with a unit; write it like 5ms"},
		{"session: {lost: 5MiB}\n",
		 "t.yaml:1:17: session.lost: 'MiB' is no unit; write ns, us, ms, s or min"},
		{"session: {lost: 5ns}\n",
		 "t.yaml:1:17: session.lost: 5ns is out of range; write 1s to 60min"},
		{"dpdk: {memory: 1GB}\n",
		 "t.yaml:1:16: dpdk.memory: 'GB' is no unit; write B, KiB, MiB, GiB or TiB"},
		{"dpdk: {memory: 1.5GiB}\n",
		 "t.yaml:1:16: dpdk.memory: '.5GiB' is no unit; write B, KiB, MiB, GiB or TiB"},
		{"dpdk: {memory: 99999999999TiB}\n",
		 "t.yaml:1:16: dpdk.memory: 99999999999TiB is too large; write less"},
		{"dpdk: {memory: 1}\n",
		 "t.yaml:1:16: dpdk.memory: 1 is out of range; write 32MiB to 64GiB"},
		{"dpdk: {file_prefix: ''}\n",
		 "t.yaml:1:21: dpdk.file_prefix: is empty; write at least one character"},
		{"telemetry: yes\n",
		 "t.yaml:1:12: telemetry: 'yes' is neither; write true or false"},
		{"log: {level: loud}\n", "t.yaml:1:14: log.level: 'loud' is none of the choices; "
					 "write error or warning or info or debug"},
		{"port: {listen: localhost:1}\n",
		 "t.yaml:1:16: port.listen: 'localhost:1' is no address; write it like "
		 "10.0.0.1:7400 or '[2001:db8::1]:7400' (names are not looked up)"},
		{"port: {listen: '127.0.0.1:0'}\n",
		 "t.yaml:1:16: port.listen: port 0 can't be reached; write 1 to 65535"},
		{"port: {gateway: '10.0.0.1:5'}\n",
		 "t.yaml:1:17: port.gateway: '10.0.0.1:5' is no address without a port; write it "
		 "like 10.0.0.1 or '2001:db8::1'"},
		{"shards: 0-\n", "t.yaml:1:9: shards: '0-' is no list of numbers; write it like "
				 "0-3,5"},
		{"shards: [0, 3-1]\n", "t.yaml:1:13: shards: 3-1 is no range in 0 to 1023; write "
				       "the smaller number first"},
		{"shards: 1024\n", "t.yaml:1:9: shards: 1024-1024 is no range in 0 to 1023; write "
				   "the smaller number first"},
		{"shards: 0-3,2\n", "t.yaml:1:9: shards: 2 is listed twice; list it once"},
		{"cores: 0\n", "t.yaml:1:8: cores: 0 is out of range; write 1 to 64 cores"},
		{"cores: 65\n", "t.yaml:1:8: cores: 65 is out of range; write 1 to 64 cores"},
		{"cores: 0-64\n", "t.yaml:1:8: cores: more than 64 are listed; list fewer"},
		{"data: ['']\n",
		 "t.yaml:1:8: data: a folder's name is empty; write one or take it out"},
		{"data: [a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q]\n",
		 "t.yaml:1:40: data: more than 16 folders are listed; list fewer"},
		{"peers: 10.0.0.1\n", "t.yaml:1:8: peers: '10.0.0.1' is no peer; write { node: 2, "
				      "address: 10.0.0.2:7400 }"},
		{"peers: [[]]\n", "t.yaml:1:9: peers takes a list of peers; write that"},
		{"peers:\n- node: 2\n",
		 "t.yaml:2:3: a peer lacks its node or its address; write both"},
		{"peers:\n- node: 2\n  addr: 1.2.3.4\n",
		 "t.yaml:3:3: unknown key 'addr' of a peer; a peer has node and address"},
		{"peers:\n- {node: 2, node: 3}\n",
		 "t.yaml:2:13: key 'node' is there twice; take one of them out"},
		/* keys together */
		{"port: {listen: 10.0.0.1}\n",
		 "t.yaml:1:16: 10.0.0.1:7400 is reached from other machines and there is no "
		 "secret_file; give one, or listen on 127.0.0.1, or write auth: none"},
		{"port:\n  listen: 0.0.0.0\n",
		 "t.yaml:2:11: 0.0.0.0:7400 is reached from other machines and there is no "
		 "secret_file; give one, or listen on 127.0.0.1, or write auth: none"},
		{"secret_file: s\nauth: none\n",
		 "t.yaml:2:7: auth: none asks for no proof, and secret_file is given; take one of "
		 "the two out"},
		{"cores: 4\nport: {listen: '127.0.0.1:65533'}\n",
		 "t.yaml:2:16: port 65533 and one more for each of 4 cores pass 65535; write a "
		 "smaller port"},
		{"port:\n  device: net_tap0\n",
		 "t.yaml:2:11: port.device is for DPDK; take it out, "
		 "or write port.kind: dpdk"},
		{"port: {kind: rdma, device: mlx5_0, ipv6: '::1'}\n",
		 "t.yaml:1:42: port.ipv6 is for DPDK; take it out, or write port.kind: dpdk"},
		{"cores: 4\nport: {kind: rdma, listen: '127.0.0.1:65469'}\n",
		 "t.yaml:2:28: RDMA listens 64 above each core's port, past 65535 here; write a "
		 "smaller port"},
		{"port: {kind: rdma, links: 1025}\n",
		 "t.yaml:1:27: port.links: 1025 is out of range; write 1 to 1024"},
		{"port: {kind: dpdk}\n",
		 "t.yaml:1:14: port.kind: dpdk has no port.device; write a PCI address or a "
		 "virtual device (`tern info` lists what there is)"},
		{"port: {kind: dpdk, device: eth0, listen: 127.0.0.1}\n",
		 "t.yaml:1:28: port.device is neither a PCI address like 0000:3b:00.0 nor a "
		 "virtual device like net_af_packet0,iface=eth1; `tern info` lists what there is"},
		{"port: {kind: dpdk, device: '3b:00.0y', listen: 127.0.0.1}\n",
		 "t.yaml:1:28: port.device is neither a PCI address like 0000:3b:00.0 nor a "
		 "virtual device like net_af_packet0,iface=eth1; `tern info` lists what there is"},
		{"dpdk: {file_prefix: ../x}\n",
		 "t.yaml:1:21: dpdk.file_prefix names a folder in DPDK's own; write it without "
		 "slashes, and no dot in front"},
		{"auth: none\nport: {kind: dpdk, device: net_tap0, listen: 0.0.0.0}\n",
		 "t.yaml:2:46: DPDK needs an IPv4 address of its own here; write it like "
		 "10.0.0.1:7400, and an IPv6 address at port.ipv6"},
		{"port: {kind: dpdk, device: net_tap0, ipv6: 127.0.0.2}\n",
		 "t.yaml:1:44: this is an IPv4 address; write it at port.listen"},
		{"port: {kind: dpdk, device: net_tap0, gateway: 127.0.1.1}\n",
		 "t.yaml:1:47: the gateway is not in the /24 network of port.listen; correct it or "
		 "port.prefix_length"},
		{"session: {keepalive: 2s, lost: 3s}\n",
		 "t.yaml:1:32: session.lost is less than twice session.keepalive, so that one lost "
		 "ping would end a session; write a longer time"},
		{"session: {keepalive: 6s}\n",
		 "t.yaml:1:1: session.lost is less than twice session.keepalive, so that one lost "
		 "ping would end a session; write a longer time"},
		{"search: {ef_max: 10, ef_default: 11}\n",
		 "t.yaml:1:34: search.ef_default 11 is above search.ef_max 10; lower it or raise "
		 "that"},
		{"peers: [{node: 2, address: 1.1.1.1}, {node: 2, address: 1.1.1.2}]\n",
		 "t.yaml:1:8: peers has node 2 twice; give each node one address"},
		{"data: []\n", "t.yaml:1:7: there is nothing to do without data and without peers; "
			       "name a folder that `tern build` wrote"},
		{"secret_file: /nonexistent/s\n",
		 "t.yaml:1:14: secret_file /nonexistent/s can't be opened: No such file or "
		 "directory; check its path and owner"},
	};

	for (size_t i = 0; i < ARRAY_COUNT(rows); i++)
		assert_refused(rows[i].text, rows[i].why);
}

static void aliases_do_no_harm(void **state)
{
	assert_parses("node: &a 5\nepoch: *a\n");
	assert_int_equal(config.epoch, 5);
	assert_int_equal(parse("port: &p\n  port: *p\n"), -EINVAL);
	assert_int_equal(parse("data: &d [*d]\n"), -EINVAL);
}

static void limits_of_size_are_refused(void **state)
{
	char *text = malloc(CONFIG_FILE_SIZE_MAX + 1);
	size_t size;

	assert_non_null(text);
	memset(text, ' ', CONFIG_FILE_SIZE_MAX + 1);
	memcpy(text, "node: 1", 7);
	assert_int_equal(
		config_parse("t", text, CONFIG_FILE_SIZE_MAX, &config, error, sizeof(error)), 0);
	assert_int_equal(
		config_parse("t", text, CONFIG_FILE_SIZE_MAX + 1, &config, error, sizeof(error)),
		-EINVAL);
	assert_string_equal(error, "t:1:1: the file is larger than 65536 bytes; shorten it");
	memset(text, '[', CONFIG_BRACKET_MAX + 1);
	assert_int_equal(
		config_parse("t", text, CONFIG_BRACKET_MAX + 1, &config, error, sizeof(error)),
		-EINVAL);
	assert_string_equal(error, "t:1:1025: the file has more than 1024 opening brackets; write "
				   "lists as lines with dashes");
	/* A path that is a byte too long. */
	memcpy(text, "data: ", 6);
	memset(text + 6, 'a', CONFIG_TEXT_MAX);
	assert_int_equal(
		config_parse("t", text, 6 + CONFIG_TEXT_MAX, &config, error, sizeof(error)),
		-EINVAL);
	assert_string_equal(error, "t:1:7: data: is longer than 1023 bytes; shorten it");
	assert_int_equal(
		config_parse("folder/t", text, 5 + CONFIG_TEXT_MAX, &config, error, sizeof(error)),
		-EINVAL);
	assert_string_equal(error, "folder/t:1:7: data with this file's folder before it is longer "
				   "than 1023 bytes; shorten it");
	/* A peer too many. */
	size = (size_t)snprintf(text, CONFIG_FILE_SIZE_MAX, "peers:\n");
	for (unsigned i = 0; i <= CONFIG_PEER_MAX; i++)
		size += (size_t)snprintf(text + size, CONFIG_FILE_SIZE_MAX - size,
					 "- {node: %u, address: 10.0.0.1}\n", i + 2);
	assert_int_equal(config_parse("t", text, size, &config, error, sizeof(error)), -EINVAL);
	assert_string_equal(error, "t:258:3: more than 256 peers are listed; list fewer");
	free(text);
}

static void an_error_fits_the_room_it_is_given(void **state)
{
	char small[12];

	memset(small, 'x', sizeof(small));
	assert_int_equal(config_parse("t.yaml", "node: 0", 7, &config, small, 11), -EINVAL);
	assert_string_equal(small, "t.yaml:1:7");
	assert_int_equal(small[11], 'x');
}

/* --- files --- */

static char folder[] = "/tmp/test_config.XXXXXX";

static const char *write_file(const char *name, const void *bytes, size_t size, mode_t mode)
{
	static char path[128];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	file = fopen(path, "wb");
	assert_non_null(file);
	assert_int_equal(fwrite(bytes, 1, size, file), size);
	assert_int_equal(fclose(file), 0);
	assert_int_equal(chmod(path, mode), 0);
	return path;
}

static int load(const char *yaml)
{
	return config_load(write_file("tern.yaml", yaml, strlen(yaml), 0644), &config, error,
			   sizeof(error));
}

static void paths_start_at_the_files_folder(void **state)
{
	char path[128];

	assert_int_equal(load("data: [vectors, /abs]\n"), 0);
	snprintf(path, sizeof(path), "%s/vectors", folder);
	assert_string_equal(config.data[0], path);
	assert_string_equal(config.data[1], "/abs");
}

static void a_file_that_is_not_there_is_an_error(void **state)
{
	assert_int_equal(config_load("/nonexistent.yaml", &config, error, sizeof(error)), -ENOENT);
	assert_string_equal(error, "/nonexistent.yaml:1:1: it can't be read: No such file or "
				   "directory; check its path and owner");
	assert_int_equal(config_load("/", &config, error, sizeof(error)), -EISDIR);
}

static void a_file_that_is_too_large_is_refused(void **state)
{
	char *text = malloc(CONFIG_FILE_SIZE_MAX + 1);
	const char *path;

	assert_non_null(text);
	memset(text, '#', CONFIG_FILE_SIZE_MAX + 1);
	path = write_file("large.yaml", text, CONFIG_FILE_SIZE_MAX + 1, 0644);
	free(text);
	assert_int_equal(config_load(path, &config, error, sizeof(error)), -EINVAL);
	assert_non_null(strstr(error, "larger than 65536 bytes"));
}

static void a_secret_is_raw_or_hexadecimal(void **state)
{
	static const char hex[] = "000102030405060708090a0b0c0d0e0f"
				  "101112131415161718191A1B1C1D1E1F\r\n";
	static const size_t sizes[] = {64, 66}; /* without its end of line, and with */
	uint8_t raw[32];

	for (uint8_t i = 0; i < 32; i++)
		raw[i] = i;
	write_file("secret", raw, sizeof(raw), 0600);
	assert_int_equal(load("secret_file: secret\nport: {listen: 10.0.0.1}\n"), 0);
	assert_true(config.secret_loaded);
	assert_memory_equal(config.secret, raw, 32);
	for (size_t i = 0; i < ARRAY_COUNT(sizes); i++) {
		write_file("secret", hex, sizes[i], 0640);
		assert_int_equal(load("secret_file: secret\n"), 0);
		assert_memory_equal(config.secret, raw, 32);
	}
	config_deinit(&config);
	assert_false(config.secret_loaded);
	for (unsigned i = 0; i < 32; i++)
		assert_int_equal(config.secret[i], 0);
	config_deinit(NULL);
}

static void what_is_no_secret_is_refused(void **state)
{
	static const struct {
		const char *bytes;
		size_t size;
		mode_t mode;
		const char *why;
	} rows[] = {
		{"", 0, 0600, "holds neither 32 bytes nor 64 hexadecimal digits"},
		{"0123456789abcdef0123456789abcde", 31, 0600, "holds neither"},
		{"0123456789abcdef0123456789abcdef\n", 33, 0600, "holds neither"},
		{"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1g", 64, 0600,
		 "holds neither"},
		{"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f00", 66, 0600,
		 "holds neither"},
		{"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n\n\n", 67, 0600,
		 "holds neither"},
		{"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 32, 0600,
		 "is all zero"},
		{"0123456789abcdef0123456789abcdef", 32, 0644, "has mode 644"},
		{"0123456789abcdef0123456789abcdef", 32, 0620, "has mode 620"},
	};

	for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
		write_file("secret", rows[i].bytes, rows[i].size, rows[i].mode);
		assert_int_equal(load("node: 1\nsecret_file: secret\n"), -EINVAL);
		assert_non_null(strstr(error, "tern.yaml:2:14: secret_file "));
		assert_non_null(strstr(error, rows[i].why));
	}
}

static void a_secret_that_is_no_file_is_refused_and_not_waited_for(void **state)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/fifo", folder);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_int_equal(load("secret_file: fifo\n"), -EINVAL);
	assert_non_null(strstr(error, "is no regular file"));
	assert_int_equal(load("secret_file: .\n"), -EINVAL);
	assert_non_null(strstr(error, "is no regular file"));
}

static int make_folder(void **state)
{
	return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
	static const char *const names[] = {"tern.yaml", "large.yaml", "secret", "fifo"};
	char path[128];

	for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
		snprintf(path, sizeof(path), "%s/%s", folder, names[i]);
		(void)unlink(path);
	}
	return rmdir(folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_empty_file_is_the_defaults),
		cmocka_unit_test(the_defaults_are_what_the_limits_allow),
		cmocka_unit_test(what_the_schema_allows_the_parts_take),
		cmocka_unit_test(the_printed_defaults_load_to_the_defaults),
		cmocka_unit_test(defaults_that_cannot_be_printed_are_an_error),
		cmocka_unit_test(every_key_is_read),
		cmocka_unit_test(a_scalar_is_a_list_of_one),
		cmocka_unit_test(a_bare_number_of_cores_is_a_count),
		cmocka_unit_test(a_nodes_own_entry_among_the_peers_is_passed_over),
		cmocka_unit_test(a_node_may_only_coordinate),
		cmocka_unit_test(every_error_says_where_what_and_what_to_do),
		cmocka_unit_test(aliases_do_no_harm),
		cmocka_unit_test(limits_of_size_are_refused),
		cmocka_unit_test(an_error_fits_the_room_it_is_given),
		cmocka_unit_test(paths_start_at_the_files_folder),
		cmocka_unit_test(a_file_that_is_not_there_is_an_error),
		cmocka_unit_test(a_file_that_is_too_large_is_refused),
		cmocka_unit_test(a_secret_is_raw_or_hexadecimal),
		cmocka_unit_test(what_is_no_secret_is_refused),
		cmocka_unit_test(a_secret_that_is_no_file_is_refused_and_not_waited_for),
	};

	return cmocka_run_group_tests(tests, make_folder, remove_folder) != 0;
}
