/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Folder - what tests that work on real files leave behind
 *
 * Threads: any, on folders of their own.
 */

/* Removes a folder with the files in it; it has no folders in it. */
void folder_remove(const char *path);
