/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Walk - a tree of YAML along the schema
 *
 * The schema leads and the tree is looked at only where the schema goes, one
 * section deep; so anchors and aliases, even in a circle, can do no harm.
 *
 * Threads: any; nothing here has state.
 */

#include "config/config.h"
#include "config/refusal.h"

#include <yaml.h>

/*
 * Sets what the document gives in 'config', which is zeroed before, and notes
 * the place of each value in the refusal's marks.
 *
 * Returns 0, or -EINVAL with the refusal's line written.
 */
int walk_document(yaml_document_t *document, struct config *config, struct refusal *refusal);
