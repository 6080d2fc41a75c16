/* SPDX-License-Identifier: Apache-2.0 */

#include "perf/lib/sql.h"

#include "perf/store/peer.h"

#include <limits.h>
#include <stdio.h>

void sql_do(sqlite3 *base, const char *text)
{
	if (sqlite3_exec(base, text, NULL, NULL, NULL) != SQLITE_OK)
		peer_die("sqlite", sqlite3_errmsg(base));
}

sqlite3_stmt *sql_prepare(sqlite3 *base, const char *text)
{
	sqlite3_stmt *statement;

	if (sqlite3_prepare_v2(base, text, -1, &statement, NULL) != SQLITE_OK)
		peer_die("sqlite", sqlite3_errmsg(base));
	return statement;
}

sqlite3 *sql_open(const char *folder, unsigned cache_kib)
{
	char text[PATH_MAX + 8];
	sqlite3 *base;

	snprintf(text, sizeof(text), "%s/base", folder);
	if (sqlite3_open(text, &base) != SQLITE_OK)
		peer_die("sqlite", sqlite3_errmsg(base));
	sql_do(base, "pragma journal_mode=wal; pragma synchronous=full; "
		     "pragma locking_mode=exclusive");
	snprintf(text, sizeof(text), "pragma cache_size=-%u", cache_kib);
	sql_do(base, text);
	return base;
}
