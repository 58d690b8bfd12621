/* Readiness: epoll_wait epoll_pwait epoll_pwait2 poll ppoll select pselect. They are where an event loop's turn ends, or
 * where a thread waits for the one connection it works on; conn/ wants to know which. What is waited for is
 * looked at before the real call, since select() overwrites it. */
#include "hooks/hook.h"

#include <poll.h>
#include <sys/epoll.h>
#include <sys/select.h>

int __poll_chk(struct pollfd *fds, nfds_t count, int timeout, size_t room);
int __ppoll_chk(struct pollfd *fds, nfds_t count, const struct timespec *timeout, const sigset_t *mask, size_t room);

#define WAIT_LOOK_MAX 1024 /* descriptors looked at; whoever waits for more is a loop */

struct wait {
	enum oa_wait kind;
	int ident;
	int timeout_ms;
	bool listens;
	bool sleeps; /* for no descriptor at all: no turn of anything */
};

static OA_HOT void wait_begin(const struct wait *w)
{
	if (w->sleeps)
		return;
	OA_OBSERVE()
		oa_conn_before_wait(w->kind, w->ident, w->timeout_ms, w->listens);
}

static OA_HOT int wait_end(const struct wait *w, int n)
{
	if (w->sleeps)
		return n;
	OA_OBSERVE()
		oa_conn_after_wait(w->kind, w->ident, w->timeout_ms, n);
	return n;
}

static int wait_ms(int64_t seconds, int64_t nanoseconds)
{
	if (seconds < 0 || nanoseconds < 0)
		return 0;
	if (seconds >= INT_MAX / 1000)
		return INT_MAX;
	return (int)(seconds * 1000 + (nanoseconds + 999999) / 1000000);
}

static int wait_ms_spec(const struct timespec *t)
{
	if (!t)
		return -1;
	return oa_hook_plausible(t, sizeof(*t)) ? wait_ms(t->tv_sec, t->tv_nsec) : 0;
}

/* Too many to look at, or not to be read. */
static struct wait wait_unseen(int timeout_ms)
{
	return (struct wait){ .kind = OA_WAIT_LOOP, .ident = -1, .timeout_ms = timeout_ms, .listens = true };
}

/* -- epoll -- */

static int wait_new_epoll(int fd)
{
	if (fd < 0)
		return fd;
	oa_note_set(fd, OA_NOTE_UNKNOWN);
	if (oa_hook_active() || oa_fd_tracked(fd))
		OA_OBSERVE_ALWAYS()
			oa_conn_on_epoll_fd(fd);
	return fd;
}

OA_EXPORT int epoll_create(int size)
{
	return wait_new_epoll(OA_REAL(epoll_create)(size));
}

OA_EXPORT int epoll_create1(int flags)
{
	return wait_new_epoll(OA_REAL(epoll_create1)(flags));
}

OA_EXPORT int epoll_ctl(int epfd, int op, int fd, struct epoll_event *event)
{
	int result;

	if (!oa_hook_active())
		return OA_REAL(epoll_ctl)(epfd, op, fd, event);
	result = OA_REAL(epoll_ctl)(epfd, op, fd, event);
	if (result == 0)
		OA_OBSERVE()
			oa_conn_on_epoll_ctl(epfd, op, fd);
	return result;
}

OA_EXPORT int epoll_wait(int epfd, struct epoll_event *events, int max, int timeout)
{
	struct wait w = { .kind = OA_WAIT_LOOP, .ident = epfd, .timeout_ms = timeout };

	if (!oa_hook_active())
		return OA_REAL(epoll_wait)(epfd, events, max, timeout);
	wait_begin(&w);
	return wait_end(&w, OA_REAL(epoll_wait)(epfd, events, max, timeout));
}

OA_EXPORT int epoll_pwait(int epfd, struct epoll_event *events, int max, int timeout, const sigset_t *mask)
{
	struct wait w = { .kind = OA_WAIT_LOOP, .ident = epfd, .timeout_ms = timeout };

	if (!oa_hook_active())
		return OA_REAL(epoll_pwait)(epfd, events, max, timeout, mask);
	wait_begin(&w);
	return wait_end(&w, OA_REAL(epoll_pwait)(epfd, events, max, timeout, mask));
}

OA_EXPORT int epoll_pwait2(int epfd, struct epoll_event *events, int max, const struct timespec *timeout,
			   const sigset_t *mask)
{
	struct wait w = { .kind = OA_WAIT_LOOP, .ident = epfd };

	if (!oa_hook_active())
		return OA_REAL(epoll_pwait2)(epfd, events, max, timeout, mask);
	w.timeout_ms = wait_ms_spec(timeout);
	wait_begin(&w);
	return wait_end(&w, OA_REAL(epoll_pwait2)(epfd, events, max, timeout, mask));
}

/* -- poll -- */

/* at: the array, as a number because some headers call it write-only. */
static OA_HOT struct wait wait_of_poll(uintptr_t at, nfds_t count, int timeout_ms)
{
	const struct pollfd *fds = (const struct pollfd *)at;
	struct wait w = { .kind = OA_WAIT_OWN, .ident = -1, .timeout_ms = timeout_ms };
	int only = -1;

	if (count > WAIT_LOOK_MAX || (count && !oa_hook_plausible(fds, count * sizeof(*fds))))
		return wait_unseen(timeout_ms);
	for (nfds_t i = 0; i < count; i++) {
		if (fds[i].fd < 0)
			continue;
		w.listens |= oa_hook_kind(fds[i].fd) == OA_FD_LISTENER;
		if (only >= 0 && fds[i].fd != only)
			w.kind = OA_WAIT_LOOP;
		only = fds[i].fd;
	}
	w.sleeps = only < 0;
	return w;
}

OA_HOT OA_EXPORT int poll(struct pollfd *fds, nfds_t count, int timeout)
{
	struct wait w;

	if (!oa_hook_active())
		return OA_REAL(poll)(fds, count, timeout);
	w = wait_of_poll((uintptr_t)fds, count, timeout);
	wait_begin(&w);
	return wait_end(&w, OA_REAL(poll)(fds, count, timeout));
}

OA_EXPORT int __poll_chk(struct pollfd *fds, nfds_t count, int timeout, size_t room)
{
	struct wait w;

	if (!oa_hook_active())
		return OA_REAL(__poll_chk)(fds, count, timeout, room);
	w = wait_of_poll((uintptr_t)fds, room / sizeof(*fds) < count ? 0 : count, timeout);
	wait_begin(&w);
	return wait_end(&w, OA_REAL(__poll_chk)(fds, count, timeout, room));
}

OA_EXPORT int ppoll(struct pollfd *fds, nfds_t count, const struct timespec *timeout, const sigset_t *mask)
{
	struct wait w;

	if (!oa_hook_active())
		return OA_REAL(ppoll)(fds, count, timeout, mask);
	w = wait_of_poll((uintptr_t)fds, count, wait_ms_spec(timeout));
	wait_begin(&w);
	return wait_end(&w, OA_REAL(ppoll)(fds, count, timeout, mask));
}

OA_EXPORT int __ppoll_chk(struct pollfd *fds, nfds_t count, const struct timespec *timeout, const sigset_t *mask,
			  size_t room)
{
	struct wait w;

	if (!oa_hook_active())
		return OA_REAL(__ppoll_chk)(fds, count, timeout, mask, room);
	w = wait_of_poll((uintptr_t)fds, room / sizeof(*fds) < count ? 0 : count, wait_ms_spec(timeout));
	wait_begin(&w);
	return wait_end(&w, OA_REAL(__ppoll_chk)(fds, count, timeout, mask, room));
}

/* -- select -- */

#define WAIT_WORD_BITS ((int)(8 * sizeof(fd_mask)))

/* The words of a set that select() may be given; sets are as long as `count` asks for, not as their type says. */
static fd_mask wait_set_word(const fd_set *set, int word)
{
	return set ? ((const fd_mask *)set)[word] : 0;
}

static bool wait_set_plausible(const fd_set *set, int words)
{
	return !set || oa_hook_plausible(set, (size_t)words * sizeof(fd_mask));
}

static struct wait wait_of_select(int count, const fd_set *in, const fd_set *out, const fd_set *other, int timeout_ms)
{
	struct wait w = { .kind = OA_WAIT_OWN, .ident = -1, .timeout_ms = timeout_ms };
	int words = (count + WAIT_WORD_BITS - 1) / WAIT_WORD_BITS, seen = 0;

	if (count < 0 || count > WAIT_LOOK_MAX || !wait_set_plausible(in, words) || !wait_set_plausible(out, words) ||
	    !wait_set_plausible(other, words))
		return wait_unseen(timeout_ms);
	for (int i = 0; i < words; i++) {
		unsigned long bits = (unsigned long)(wait_set_word(in, i) | wait_set_word(out, i) |
						     wait_set_word(other, i));

		for (; bits; bits &= bits - 1, seen++)
			w.listens |= oa_hook_kind(i * WAIT_WORD_BITS + __builtin_ctzl(bits)) == OA_FD_LISTENER;
	}
	w.sleeps = seen == 0;
	if (seen > 1)
		w.kind = OA_WAIT_LOOP;
	return w;
}

OA_EXPORT int select(int count, fd_set *in, fd_set *out, fd_set *other, struct timeval *timeout)
{
	struct wait w;
	int ms = -1;

	if (!oa_hook_active())
		return OA_REAL(select)(count, in, out, other, timeout);
	if (timeout)
		ms = oa_hook_plausible(timeout, sizeof(*timeout)) ? wait_ms(timeout->tv_sec, timeout->tv_usec * 1000) : 0;
	w = wait_of_select(count, in, out, other, ms);
	wait_begin(&w);
	return wait_end(&w, OA_REAL(select)(count, in, out, other, timeout));
}

OA_EXPORT int pselect(int count, fd_set *in, fd_set *out, fd_set *other, const struct timespec *timeout,
		      const sigset_t *mask)
{
	struct wait w;

	if (!oa_hook_active())
		return OA_REAL(pselect)(count, in, out, other, timeout, mask);
	w = wait_of_select(count, in, out, other, wait_ms_spec(timeout));
	wait_begin(&w);
	return wait_end(&w, OA_REAL(pselect)(count, in, out, other, timeout, mask));
}
