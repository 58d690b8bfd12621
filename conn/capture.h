#pragma once
/* Header values kept on spans: the forwarding headers of proxies, and those of the capture allow-lists.
 *
 * all: runs on host thread; signal-safe: yes; locks: none; heap: no; blocks: no */
#include "conn/exchange.h"
#include "core/config.h"
#include "proto/http1.h"

void oa_capture_forwarded_found(const struct oa_conn *c, struct oa_exchange *ex, const struct oa_http_head *head);
void oa_capture_listed(struct oa_exchange *ex, const struct oa_http_head *head, enum oa_dir dir, const char *list);

/* Whom a request comes from, when that is somebody else than the connection's other end. */
OA_INLINE void oa_capture_forwarded(const struct oa_conn *c, struct oa_exchange *ex, const struct oa_http_head *head)
{
	if (OA_UNLIKELY(head->field[OA_FIELD_forwarded].len | head->field[OA_FIELD_forwarded_for].len |
			head->field[OA_FIELD_forwarded_proto].len | head->field[OA_FIELD_forwarded_host].len | c->proxied))
		oa_capture_forwarded_found(c, ex, head);
}

/* The allow-list of a direction; "" or NULL: none. */
static inline const char *oa_capture_list(enum oa_dir dir, enum oa_kind kind)
{
	if (kind == OA_KIND_SERVER)
		return dir == OA_DIR_REQUEST ? oa_config.capture_server_request_headers :
					       oa_config.capture_server_response_headers;
	return dir == OA_DIR_REQUEST ? oa_config.capture_client_request_headers :
				       oa_config.capture_client_response_headers;
}

OA_INLINE void oa_capture_headers(struct oa_exchange *ex, const struct oa_http_head *head, enum oa_dir dir,
				  enum oa_kind kind)
{
	const char *list = oa_capture_list(dir, kind);

	if (OA_UNLIKELY(list && *list))
		oa_capture_listed(ex, head, dir, list);
}
