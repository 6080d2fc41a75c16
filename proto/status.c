/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/status.h"

const char *status_text(uint16_t status)
{
	switch (status) {
#define STATUS_TEXT(number, name, retry, text)                                                     \
	case number:                                                                               \
		return text;
		STATUS_LIST(STATUS_TEXT)
#undef STATUS_TEXT
	default:
		return "unknown status";
	}
}

bool status_retry(uint16_t status)
{
	switch (status) {
#define STATUS_RETRY(number, name, retry, text)                                                    \
	case number:                                                                               \
		return retry;
		STATUS_LIST(STATUS_RETRY)
#undef STATUS_RETRY
	default:
		return false;
	}
}
