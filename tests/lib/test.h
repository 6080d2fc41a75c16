/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Test - cmocka with what it needs in front of it
 *
 * Every test program ends in `return cmocka_run_group_tests(...) != 0;`, since
 * 77 failures would read as a skip. A program that can't run here prints why
 * and exits with TEST_SKIP.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define TEST_SKIP 77

/* Turns "0a0b" into bytes; white space is passed over. Returns the bytes written. */
size_t test_unhex(const char *hex, uint8_t *to, size_t capacity);
