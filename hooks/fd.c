/* The life of descriptor numbers: close and its ranges, dup, fcntl, and the makers of descriptors that only wake
 * somebody. Closing is told before it happens, because another thread may get the number at once.
 *
 * A vfork child runs all of this in its parent's memory; conn/ and oa_hook_own_process() see to it that nothing
 * of the parent's changes. Nobody here ever refuses or delays a close. */
#include "hooks/hook.h"

#include <fcntl.h>
#include <stdarg.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>

/* -- closing -- */

static bool fd_ready(void)
{
	return oa_state_get() == OA_STATE_READY;
}

OA_EXPORT OA_HOT int close(int fd)
{
	if (oa_fd_tracked(fd)) {
		oa_note_set(fd, OA_NOTE_UNKNOWN);
		OA_OBSERVE_ALWAYS()
			oa_conn_before_close(fd);
	} else if (fd_ready()) {
		oa_note_set(fd, OA_NOTE_UNKNOWN);
	}
	return OA_REAL(close)(fd);
}

static void fd_before_range(unsigned first, unsigned last)
{
	if (fd_ready())
		oa_note_forget_range(first, last);
	else if (oa_fd_next(first > INT_MAX ? INT_MAX : (int)first, last > INT_MAX ? INT_MAX : (int)last) >= 0)
		OA_OBSERVE_ALWAYS()
			oa_conn_before_close_range(first, last);
}

/* With CLOSE_RANGE_CLOEXEC nothing is closed now. With CLOSE_RANGE_UNSHARE it is in a table of this thread's own; the
 * other threads' descriptors, and what we know of them, stay. */
OA_EXPORT int close_range(unsigned int first, unsigned int last, int flags)
{
	if (flags == 0 && first <= last)
		fd_before_range(first, last);
	return OA_REAL(close_range)(first, last, flags);
}

OA_EXPORT void closefrom(int low)
{
	fd_before_range(low < 0 ? 0 : (unsigned)low, UINT_MAX);
	OA_REAL(closefrom)(low);
}

/* -- duplicating -- */

static int fd_duplicated(int old, int new)
{
	if (new >= 0 && (oa_fd_tracked(old) || oa_fd_tracked(new)) && oa_hook_own_process())
		OA_OBSERVE_ALWAYS()
			oa_conn_on_dup(old, new);
	return new;
}

static void fd_before_replacing(int old, int new)
{
	if (old != new && oa_fd_tracked(new))
		OA_OBSERVE_ALWAYS()
			oa_conn_before_close(new);
}

OA_EXPORT int dup(int fd)
{
	return fd_duplicated(fd, OA_REAL(dup)(fd));
}

OA_EXPORT int dup2(int old, int new)
{
	int result;

	fd_before_replacing(old, new);
	result = OA_REAL(dup2)(old, new);
	return old == new ? result : fd_duplicated(old, result);
}

OA_EXPORT int dup3(int old, int new, int flags)
{
	fd_before_replacing(old, new);
	return fd_duplicated(old, OA_REAL(dup3)(old, new, flags));
}

/* fcntl and ioctl take one argument or none, of any type; the kernel gets the word that was passed in its place. */
static int fd_controlled(int fd, int command, long arg, int result)
{
	if (result < 0)
		return result;
	if (command == F_DUPFD || command == F_DUPFD_CLOEXEC)
		return fd_duplicated(fd, result);
	if (command == F_SETFL && oa_fd_tracked(fd))
		OA_OBSERVE()
			oa_conn_on_nonblock(fd, arg & O_NONBLOCK);
	return result;
}

static bool fd_control_matters(int command)
{
	return command == F_SETFL || command == F_DUPFD || command == F_DUPFD_CLOEXEC;
}

#define FD_ARG(last) \
	({ \
		va_list list_; \
		long word_; \
		va_start(list_, last); \
		word_ = va_arg(list_, long); \
		va_end(list_); \
		word_; \
	})

OA_EXPORT int fcntl(int fd, int command, ...)
{
	long arg = FD_ARG(command);

	if (!fd_control_matters(command))
		return OA_REAL(fcntl)(fd, command, arg);
	return fd_controlled(fd, command, arg, OA_REAL(fcntl)(fd, command, arg));
}

OA_EXPORT int fcntl64(int fd, int command, ...)
{
	long arg = FD_ARG(command);

	if (!fd_control_matters(command))
		return OA_REAL(fcntl64)(fd, command, arg);
	return fd_controlled(fd, command, arg, OA_REAL(fcntl64)(fd, command, arg));
}

OA_EXPORT int ioctl(int fd, unsigned long request, ...)
{
	long arg = FD_ARG(request);
	int result;

	if (request != FIONBIO || !oa_fd_tracked(fd))
		return OA_REAL(ioctl)(fd, request, arg);
	result = OA_REAL(ioctl)(fd, request, arg);
	if (result == 0)
		OA_OBSERVE()
			oa_conn_on_nonblock(fd, *(const int *)arg != 0);
	return result;
}

/* -- what wakes a loop for reasons of its own -- */

static void fd_wakes(int fd)
{
	if (fd < 0 || !oa_hook_awake())
		return;
	oa_note_set(fd, OA_NOTE_WAKE);
	OA_OBSERVE()
		oa_conn_on_wake_fd(fd);
}

OA_EXPORT int pipe(int fds[2])
{
	int result = OA_REAL(pipe)(fds);

	if (result == 0)
		fd_wakes(fds[0]), fd_wakes(fds[1]);
	return result;
}

OA_EXPORT int pipe2(int fds[2], int flags)
{
	int result = OA_REAL(pipe2)(fds, flags);

	if (result == 0)
		fd_wakes(fds[0]), fd_wakes(fds[1]);
	return result;
}

OA_EXPORT int eventfd(unsigned int value, int flags)
{
	int fd = OA_REAL(eventfd)(value, flags);

	fd_wakes(fd);
	return fd;
}

OA_EXPORT int timerfd_create(clockid_t clock, int flags)
{
	int fd = OA_REAL(timerfd_create)(clock, flags);

	fd_wakes(fd);
	return fd;
}

OA_EXPORT int signalfd(int fd, const sigset_t *mask, int flags)
{
	int result = OA_REAL(signalfd)(fd, mask, flags);

	if (fd < 0)
		fd_wakes(result);
	return result;
}
