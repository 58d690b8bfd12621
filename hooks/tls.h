#pragma once
/* What the hooks of TLS libraries share. */
#include "conn/tls.h"
#include "hooks/lib_find.h"

/* A call about a session, in its hook's frame. */
struct oa_tls_call {
	struct oa_lib_call call;
	struct oa_tls_source src;
	struct oa_ref ref;       /* gen 0: not observed */
};

/* call.lib is set. Calls that end a session, or say nothing of its bytes, use oa_lib_begin() alone. */
void oa_tls_begin(struct oa_tls_call *k, const struct oa_tls_ops *ops, void *session, uintptr_t caller);

/* After each call with what oa_tls_before_write() gave: must be made whatever the guard says, because what the host is told
 * of its bytes is at stake. As oa_tls_after_write(); errno is kept. */
bool oa_tls_told(struct oa_tls_call *k, struct oa_tls_write *w, size_t taken, enum oa_tls_result result, int err,
		 size_t *ret_host);

/* The program frees the library's object, or uses it for another connection. */
void oa_tls_session_ends(void *session);

/* err when it is that of a connection that broke, else 0. */
int oa_tls_broken(int err);
