#pragma once
/* Requests served by FastCGI: they are HTTP's, told in parameters.
 *
 * all: runs on host thread with the connection's lock held; signal-safe: yes; heap: no; blocks: no */
#include "conn/span_build.h"

void oa_fastcgi_on_event(struct oa_feed *f, const struct oa_event *ev);

/* The connection is over, or left alone. */
void oa_fastcgi_release(struct oa_conn *c);
