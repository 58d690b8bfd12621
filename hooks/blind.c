/* sendfile and splice: bytes that go through a socket without passing through memory. Only their number is
 * known. */
#include "hooks/hook.h"

#include <fcntl.h>
#include <sys/sendfile.h>

/* What is left of a header of ours must go first. returns 0, or -1 with the kernel's errno: nothing was sent. */
static int blind_begin(int out)
{
	int refused = 0;

	if (!oa_hook_may_owe(out))
		return 0;
	OA_OBSERVE_ALWAYS()
		refused = oa_conn_before_send_blind(out);
	if (refused == 0)
		return 0;
	errno = -refused;
	return -1;
}

static ssize_t blind_end(int out, ssize_t n)
{
	OA_OBSERVE()
		oa_conn_after_send_blind(out, n, errno);
	return n;
}

OA_EXPORT ssize_t sendfile(int out, int in, off_t *offset, size_t count)
{
	if (!oa_fd_tracked(out))
		return OA_REAL(sendfile)(out, in, offset, count);
	if (blind_begin(out))
		return -1;
	return blind_end(out, OA_REAL(sendfile)(out, in, offset, count));
}

OA_EXPORT ssize_t sendfile64(int out, int in, off64_t *offset, size_t count)
{
	if (!oa_fd_tracked(out))
		return OA_REAL(sendfile64)(out, in, offset, count);
	if (blind_begin(out))
		return -1;
	return blind_end(out, OA_REAL(sendfile64)(out, in, offset, count));
}

/* One end is a pipe; the other may be a socket of ours, in either direction. */
OA_EXPORT ssize_t splice(int in, off64_t *in_offset, int out, off64_t *out_offset, size_t len, unsigned int flags)
{
	bool from = oa_fd_tracked(in), to = oa_fd_tracked(out);
	ssize_t n;

	if (!from && !to)
		return OA_REAL(splice)(in, in_offset, out, out_offset, len, flags);
	if (to && blind_begin(out))
		return -1;
	n = OA_REAL(splice)(in, in_offset, out, out_offset, len, flags);
	if (from)
		OA_OBSERVE()
			oa_conn_on_received_blind(in, n, errno);
	return to ? blind_end(out, n) : n;
}
