#pragma once
/* Header values kept on spans: the forwarding headers of proxies, and those of the capture allow-lists.
 *
 * all: runs on host thread; signal-safe: yes; locks: none; heap: no; blocks: no */
#include "conn/exchange.h"
#include "proto/http1.h"

void oa_capture_forwarded(struct oa_exchange *ex, const struct oa_http_head *head);
void oa_capture_headers(struct oa_exchange *ex, const struct oa_http_head *head, enum oa_dir dir, enum oa_kind kind);
