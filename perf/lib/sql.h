/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Sql - what the benchmarks that stand beside SQLite share
 *
 * What fails ends the program with a line, by peer_die().
 *
 * Threads: as SQLite's: one a connection.
 */

#include <sqlite3.h>

/* The file "base" in the folder, of one process, which syncs each commit of its write-ahead log and
 * has a cache of that size. */
sqlite3 *sql_open(const char *folder, unsigned cache_kib);

void sql_do(sqlite3 *base, const char *text);

/* For sqlite3_finalize(). */
sqlite3_stmt *sql_prepare(sqlite3 *base, const char *text);
