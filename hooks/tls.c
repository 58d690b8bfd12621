/* What the hooks of TLS libraries share. */
#include "hooks/tls.h"

OA_HOT void oa_tls_begin(struct oa_tls_call *k, const struct oa_tls_ops *ops, void *session, uintptr_t caller)
{
	bool own = oa_lib_begin(&k->call, session, caller);

	k->src.session = session;
	k->ref.gen = 0;
	if (!own || !session || !k->call.lib->from || !(oa_hook_active() || oa_tls_pinned()))
		return;
	k->src.ops = ops;
	k->src.lib = k->call.lib;
	OA_OBSERVE_ALWAYS()
		k->ref = oa_tls_find(&k->src);
}

OA_HOT bool oa_tls_told(struct oa_tls_call *k, struct oa_tls_write *w, size_t taken, enum oa_tls_result result, int err,
		 size_t *ret_host)
{
	uintptr_t outer = oa_guard_force();
	int was = errno;
	bool more;

	more = oa_tls_after_write(&k->src, w, taken, result, err, ret_host);
	oa_guard_restore(outer);
	errno = was;
	return more;
}

void oa_tls_session_ends(void *session)
{
	if (session && (oa_hook_active() || oa_tls_pinned()))
		OA_OBSERVE_ALWAYS()
			oa_tls_before_free(session);
}

int oa_tls_broken(int err)
{
	return err == ECONNRESET || err == EPIPE || err == ETIMEDOUT || err == ECONNABORTED || err == EHOSTUNREACH ||
			       err == ENETUNREACH ? err : 0;
}
