#pragma once
/* Adds a comment to queries that names the span they are: in the form of sqlcommenter, traceparent='00-…'. Only on request
 * (OTELAUTO_SQL_COMMENT), and only to a query whose message is whole at the front of one sending call and whose text says
 * clearly where it ends; what is passed over is counted. docs/databases.md has the rules.
 *
 * all: runs on host thread with the connection's lock held; signal-safe: yes; heap: no; blocks: no */
#include "conn/conn.h"
#include "conn/exchange.h"
#include "core/config.h"
#include "core/stats.h"

/* Before the bytes of a store's connection are read: may they begin with a query that can be added to? */
bool oa_sql_comment_on(void);
bool oa_sql_comment_wanted(const struct oa_conn *c, const struct oa_send *s);

/* They were read, and are still to be sent: the call is composed anew when something is to be added. */
void oa_sql_comment_add(struct oa_conn *c, struct oa_send *s);

/* Before any of it is read, inside TLS: is it all that can be told of a query that will be added to? What is opened and then
 * given up leaves its trace in what is known of the thread (conn/context.h). */
bool oa_sql_comment_may(const struct oa_conn *c, const struct oa_send *s);

/* A query inside TLS that was not added to. */
static inline void oa_sql_comment_missed(const struct oa_conn *c, bool query)
{
	if (OA_UNLIKELY(oa_config.sql_comment) && c->tls == OA_TLS_SESSION && query)
		oa_stat_inc(OA_STAT_sql_comment_tls);
}

/* After the call, when it was composed: what the kernel did not take of the query goes first next time, and nothing more is
 * looked at on this connection. */
void oa_sql_comment_sent(struct oa_conn *c, const struct oa_send *s);
