/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/dispatch.h"

#include "base/check.h"
#include "proto/message.h"
#include "proto/status.h"

#include <string.h>

#define MESSAGE(number, upper, name, direction, family, answer)                                    \
	_Static_assert((number) <= DISPATCH_TYPE_MAX, #name " is above the table");
#include "proto/messages.def"
#undef MESSAGE

void dispatch_init(struct dispatch *dispatch, uint64_t epoch)
{
	memset(dispatch, 0, sizeof(*dispatch));
	dispatch->epoch = epoch;
}

void dispatch_set(struct dispatch *dispatch, uint16_t type, dispatch_fn handle, void *context)
{
	CHECK(message_find(type));
	CHECK(!dispatch->rows[type].handle);
	dispatch->rows[type].handle = handle;
	dispatch->rows[type].context = context;
}

static NOINLINE uint16_t envelope_refused(struct dispatch *dispatch, int error)
{
	switch (error) {
	case ENVELOPE_E_VERSION:
		dispatch->refused_version++;
		return STATUS_VERSION;
	case ENVELOPE_E_TYPE:
		dispatch->refused_type++;
		return STATUS_UNKNOWN_TYPE;
	case ENVELOPE_E_LARGE:
		dispatch->refused_malformed++;
		return STATUS_TOO_LARGE;
	default:
		dispatch->refused_malformed++;
		return STATUS_MALFORMED;
	}
}

uint16_t dispatch_find(struct dispatch *dispatch, const struct request_view *view,
		       struct envelope *ret_envelope, struct dispatch_row **ret_row)
{
	struct envelope envelope;
	int r;

	r = envelope_decode(view->bytes, view->size, &envelope);
	if (unlikely(r))
		return envelope_refused(dispatch, r);
	if (unlikely(!dispatch->rows[envelope.type].handle)) {
		dispatch->refused_unsupported++;
		return STATUS_UNSUPPORTED;
	}
	if (unlikely(view->epoch && view->epoch < dispatch->epoch)) {
		dispatch->refused_epoch++;
		return STATUS_STALE_EPOCH;
	}
	*ret_envelope = envelope;
	*ret_row = &dispatch->rows[envelope.type];
	return STATUS_OK;
}

void dispatch_request(struct dispatch *dispatch, struct request *request, uint64_t now_ns)
{
	struct dispatch_item item = {.request = request, .view = request_view(request)};
	struct dispatch_row *row = NULL;
	uint16_t status;

	status = dispatch_find(dispatch, &item.view, &item.envelope, &row);
	if (unlikely(status != STATUS_OK)) {
		request_answer(request, status, 0, 0, now_ns);
		return;
	}
	row->count++;
	row->handle(row->context, &item, now_ns);
}
