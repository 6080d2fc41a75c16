/* SPDX-License-Identifier: Apache-2.0 */
#include "client/fabric.h"

#include "rdma/port_rdma.h"

/* A client has many links and waits for few frames on each: less memory to lock. */
#define FABRIC_WINDOW 16

int fabric_open(const char *device, const uint8_t *secret, struct fabric *ret_fabric, char *error,
		size_t error_size)
{
	struct device_options options = {.name = device, .gid_index = -1};
	struct port_rdma_config config = {
		.queue_count = 1,
		.link_max = FABRIC_LINK_MAX,
		.window = FABRIC_WINDOW,
		.secret = secret,
	};
	struct fabric fabric = {0};
	int r = device_open(real_verbs_ops(), &options, &fabric.device, error, error_size);

	if (r)
		return r;
	config.device = fabric.device;
	r = port_rdma_open(&config, &fabric.port, error, error_size);
	if (r) {
		fabric_close(&fabric);
		return r;
	}
	*ret_fabric = fabric;
	return 0;
}

void fabric_close(struct fabric *fabric)
{
	port_close(fabric->port);
	device_close(fabric->device);
	*fabric = (struct fabric){0};
}
