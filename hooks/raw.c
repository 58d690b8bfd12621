/* Stand-ins for the real functions: bare system calls. They are what the table holds until the constructor has
 * looked the real ones up, so that calls made before (by other libraries' constructors, by an allocator that the
 * look-up enters, by other threads) need neither wait nor search; and for good where an old libc lacks a name.
 * Unlike libc's they are no cancellation points, which POSIX leaves open for a while anyway.
 *
 * Integer arguments travel alike whatever their type, so one shape serves every prototype. */
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <time.h>

#include "core/attr.h"
#include "core/sys.h"
#include "hooks/real.h"

#define RAW_SIGSET_BYTES 8 /* the kernel's sigset_t */

static long raw_result(long result)
{
	if (result >= 0 || result < -4095)
		return result;
	errno = (int)-result;
	return -1;
}

#define RAW_ARGS long a, long b, long c, long d, long e, long f, long g

/* -- the same call under the same number -- */

#define RAW_BODY_SYS(nr) { return raw_result(oa_sys6(SYS_##nr, a, b, c, d, e, f)); }
#define RAW_BODY_OWN     ;
#define RAW_BODY_NONE    { return 0; } /* not in the table */
#define OA_SYM(name, need, standin) static __attribute__((unused)) long raw_##name(RAW_ARGS) RAW_BODY_##standin
#include "hooks/libc.def"
#undef OA_SYM

/* -- calls whose system call looks different -- */

static long raw_recv(RAW_ARGS)
{
	return raw_result(oa_sys6(SYS_recvfrom, a, b, c, d, 0, 0));
}

static long raw___recv_chk(RAW_ARGS)
{
	return raw_result(oa_sys6(SYS_recvfrom, a, b, c, e, 0, 0));
}

static long raw___recvfrom_chk(RAW_ARGS)
{
	return raw_result(oa_sys6(SYS_recvfrom, a, b, c, e, f, g));
}

static long raw_send(RAW_ARGS)
{
	return raw_result(oa_sys6(SYS_sendto, a, b, c, d, 0, 0));
}

static long raw_preadv2(RAW_ARGS)
{
	return raw_result(oa_sys6(SYS_preadv2, a, b, c, d, 0, e));
}

static long raw_preadv64v2(RAW_ARGS)
{
	return raw_preadv2(a, b, c, d, e, f, g);
}

static long raw_pwritev2(RAW_ARGS)
{
	return raw_result(oa_sys6(SYS_pwritev2, a, b, c, d, 0, e));
}

static long raw_pwritev64v2(RAW_ARGS)
{
	return raw_pwritev2(a, b, c, d, e, f, g);
}

/* On a kernel without close_range it does nothing rather than walk over a table of unknown size. */
static long raw_closefrom(RAW_ARGS)
{
	return oa_sys3(SYS_close_range, (int)a < 0 ? 0 : (int)a, UINT_MAX, 0);
}

static long raw_signalfd(RAW_ARGS)
{
	return raw_result(oa_sys4(SYS_signalfd4, a, b, RAW_SIGSET_BYTES, c));
}

static long raw_epoll_pwait(RAW_ARGS)
{
	return raw_result(oa_sys6(SYS_epoll_pwait, a, b, c, d, e, RAW_SIGSET_BYTES));
}

static long raw_epoll_pwait2(RAW_ARGS)
{
	return raw_result(oa_sys6(SYS_epoll_pwait2, a, b, c, d, e, RAW_SIGSET_BYTES));
}

/* The kernel writes the time left into its argument, libc does not. */
static long raw_ppoll(RAW_ARGS)
{
	struct timespec left;

	if (c)
		left = *(const struct timespec *)c;
	return raw_result(oa_sys5(SYS_ppoll, a, b, c ? &left : NULL, d, RAW_SIGSET_BYTES));
}

static long raw___ppoll_chk(RAW_ARGS)
{
	return raw_ppoll(a, b, c, d, e, f, g);
}

static long raw_pselect(RAW_ARGS)
{
	struct timespec left;
	struct { long set; size_t bytes; } mask = { f, RAW_SIGSET_BYTES };

	if (e)
		left = *(const struct timespec *)e;
	return raw_result(oa_sys6(SYS_pselect6, a, b, c, d, (long)(e ? &left : NULL), (long)&mask));
}

/* -- the table -- */

#define RAW_FN_SYS(nr)  RAW_FN
#define RAW_FN_OWN      RAW_FN
#define RAW_FN_NONE     RAW_NO_FN
#define RAW_FN(name)    (void *)raw_##name
#define RAW_NO_FN(name) NULL
#define OA_SYM(name, need, standin) RAW_FN_##standin(name),
OA_START_DATA void *_Atomic oa_real_table[OA_SYM_COUNT] = {
#include "hooks/libc.def"
};
#undef OA_SYM
