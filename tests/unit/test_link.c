/* SPDX-License-Identifier: Apache-2.0 */
#include "rdma/link.h"
#include "base/defs.h"
#include "tests/lib/fake_verbs.h"
#include "tests/lib/test.h"

#include <errno.h>
#include <string.h>

#define STEP_NS UINT64_C(1000000)

static char error[DEVICE_ERROR_MAX];

/* A device, a hub, and the links that it told of. */
struct node {
	struct device *device;
	struct link_hub *hub;
	struct addr bound;
	struct link *last; /* that changed */
	enum link_state last_state;
	unsigned changes;
	bool close_ended;
};

static struct node server, client;
static uint64_t now_ns;

static void changed(void *context, struct link *link)
{
	struct node *node = context;

	node->last = link;
	node->last_state = link_state(link);
	node->changes++;
	if (node->close_ended && link_state(link) == LINK_ENDED) {
		link_close(link);
		node->last = NULL;
	}
}

static const uint8_t secret[LINK_SECRET_SIZE] = "a secret of all the members";

static void open_node(struct node *node, const struct verbs_ops *ops, uint64_t number,
		      const uint8_t *key)
{
	const struct link_hub_config config = {
		.node = number,
		.secret = key,
		.link_max = 8,
		.send_depth = 16,
		.seed = number + 1,
		.changed = changed,
		.context = node,
	};

	memset(node, 0, sizeof(*node));
	assert_int_equal(device_open(ops, &(struct device_options){.gid_index = -1}, &node->device,
				     error, sizeof(error)),
			 0);
	assert_int_equal(link_hub_new(node->device, &config, &node->hub, error, sizeof(error)), 0);
}

static void close_node(struct node *node)
{
	link_hub_free(node->hub);
	device_close(node->device);
}

static void listen_at(struct node *node)
{
	struct addr addr;

	assert_int_equal(addr_parse("10.77.0.1:0", 0, &addr), 0);
	assert_int_equal(link_listen(node->hub, &addr, &node->bound, error, sizeof(error)), 0);
	assert_int_not_equal(node->bound.port, 0);
}

static void turn(unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		now_ns += STEP_NS;
		(void)link_hub_turn(server.hub, now_ns);
		(void)link_hub_turn(client.hub, now_ns);
	}
}

static void begin(const struct fake_verbs_config *config, const uint8_t *server_key,
		  const uint8_t *client_key)
{
	const struct verbs_ops *ops = fake_verbs_new(config);

	open_node(&server, ops, 7, server_key);
	open_node(&client, ops, 0, client_key);
	listen_at(&server);
}

static void end(void)
{
	close_node(&client);
	close_node(&server);
	assert_int_equal(fake_verbs_live(), 0);
}

static const struct fake_verbs_config one_device = {.seed = 1, .devices = 1};

static struct link *connect_to(struct addr to)
{
	struct link *link;

	assert_int_equal(link_connect(client.hub, &to, LINK_READS, now_ns, now_ns + 1000 * STEP_NS,
				      &link, error, sizeof(error)),
			 0);
	assert_int_equal(link_state(link), LINK_CONNECTING);
	return link;
}

static struct link *connect_ready(void)
{
	struct link *link = connect_to(server.bound);

	turn(10);
	assert_int_equal(link_state(link), LINK_READY);
	return link;
}

static void two_sides_with_the_same_secret_become_ready(void **state)
{
	uint8_t proof[LINK_PROOF_SIZE], theirs[LINK_PROOF_SIZE];
	struct link *link;

	(void)state;
	begin(&one_device, secret, secret);
	link = connect_ready();
	assert_int_equal(link_peer_node(link), 7);
	assert_false(link_is_accepted(link));
	assert_int_equal(link_reads_max(link), 16);
	assert_int_equal(server.changes, 1);
	assert_int_equal(link_state(server.last), LINK_READY);
	assert_true(link_is_accepted(server.last));
	link_proof(link, proof);
	link_proof(server.last, theirs);
	assert_memory_equal(proof, theirs, sizeof(proof));
	assert_ptr_equal(link_find(server.hub, proof), server.last);
	assert_null(link_find(client.hub, proof));
	proof[31] ^= 1;
	assert_null(link_find(server.hub, proof));
	assert_int_equal(link_hub_stats(client.hub).connected, 1);
	assert_int_equal(link_hub_stats(server.hub).accepted, 1);
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(two_sides_with_the_same_secret_become_ready),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
