/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Semantic - what the keys have to be together
 *
 * Each key alone was checked against its row of the schema; here stand the rules
 * that join two of them.
 *
 * Threads: any; nothing here has state.
 */

#include "config/config.h"
#include "config/refusal.h"

/*
 * Takes entries of this node out of its own peers, then checks. Opens no file:
 * it looks at secret_file's name only.
 *
 * Returns 0, or -EINVAL with the refusal's line written.
 */
int semantic_check(struct config *config, struct refusal *refusal);
