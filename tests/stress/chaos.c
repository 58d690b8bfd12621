/* What disturbs the stress host: each kind in a thread of its own, and timers whose handlers do I/O
 * on every thread. */
#include "tests/stress/host.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/time.h>
#include <sys/wait.h>

#define RANGE_FIRST 800 /* numbers that the closer alone uses */
#define RANGE_COUNT 8

static pthread_attr_t small;
static pthread_t threads[8];
static unsigned thread_count;

/* -- signals -- */

static int handler_fd[2]; /* a connection that only handlers use */
static atomic_flag handler_busy = ATOMIC_FLAG_INIT;

static void handler_exchange(void)
{
	static const char request[] = "GET /signal HTTP/1.1\r\nHost: stress\r\n\r\n";
	static const char response[] = "HTTP/1.1 204 No Content\r\n\r\n";
	char in[512];

	atomic_fetch_add(&host->chaos, 1);
	if (send(handler_fd[0], request, sizeof(request) - 1, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		return;
	(void)!recv(handler_fd[1], in, sizeof(in), MSG_DONTWAIT);
	(void)!send(handler_fd[1], response, sizeof(response) - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
	(void)!recv(handler_fd[0], in, sizeof(in), MSG_DONTWAIT);
}

static void on_timer(int sig)
{
	int err = errno, cancel;

	(void)sig;
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE,
			       &cancel); /* or the flag below would stay set */
	if (!atomic_flag_test_and_set(&handler_busy)) {
		atomic_fetch_add(&host->signals, 1);
		handler_exchange();
		close(dup(handler_fd[0]));
		atomic_flag_clear(&handler_busy);
	}
	pthread_setcancelstate(cancel, NULL);
	errno = err;
}

static void timers(int usec)
{
	struct itimerval every = { { 0, usec }, { 0, usec } };

	setitimer(ITIMER_REAL, &every, NULL);
	setitimer(ITIMER_PROF, &every, NULL);
}

static void signals_start(void)
{
	struct sigaction sa = { .sa_handler = on_timer, .sa_flags = SA_RESTART };
	struct sockaddr_in addr;
	int listener = host_listen(&addr);

	handler_fd[0] = host_connect(&addr);
	handler_fd[1] = accept(listener, NULL, NULL);
	close(listener);
	sigaction(SIGALRM, &sa, NULL);
	sigaction(SIGPROF, &sa, NULL);
	timers(2000);
}

/* -- fork -- */

static void *serve_child(void *arg)
{
	int listener = *(int *)arg, fd;

	do
		fd = accept(listener, NULL, NULL);
	while (fd < 0 && errno == EINTR);
	host_no_delay(fd);
	if (fd >= 0)
		host_serve(fd);
	return NULL;
}

/* A child has one thread; it serves itself by another. Its locks are nobody's: it uses no stdio and
 * no malloc. */
static void child(unsigned number)
{
	struct sockaddr_in addr;
	int listener, fd;
	pthread_t t;

	alarm(60);
	signal(SIGALRM, SIG_DFL);
	listener = host_listen(&addr);
	if (pthread_create(&t, NULL, serve_child, &listener))
		_exit(3);
	fd = host_connect(&addr);
	for (unsigned i = 0; fd >= 0 && i < 3; i++)
		HOST_CHECK(host_call(fd, "/exact", number * 3ul + i));
	close(fd);
	pthread_join(t, NULL);
	_exit(0);
}

static void *forks(void *arg)
{
	(void)arg;
	for (unsigned number = 0; !host_over; number++) {
		pid_t pid = fork();
		int status = 0;

		if (!pid)
			child(number);
		HOST_CHECK(pid > 0);
		while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
			;
		HOST_CHECK(!status);
		atomic_fetch_add(&host->forks, 1);
	}
	return NULL;
}

/* -- cancellation -- */

/* Until it is cancelled, anywhere. Deferred, as any program's: between two calls it holds nothing.
 */
static void *victim(void *arg)
{
	int fd = (int)(intptr_t)arg;
	static const char request[] =
		"POST /cancel HTTP/1.1\r\nHost: stress\r\nContent-Length: 4000000\r\n\r\n";
	static const char body[65536];

	(void)!write(fd, request, sizeof(request) - 1);
	for (;;)
		(void)!write(fd, body, sizeof(body));
	return NULL;
}

static void *reads(void *arg)
{
	char in[64];

	for (;;)
		(void)!read((int)(intptr_t)arg, in, sizeof(in));
	return NULL;
}

/* glibc before 2.41: a handler that comes in the middle of a cancellation and itself makes a call
 * that could be cancelled waits for that cancellation, for ever. So these threads are left alone by
 * the timers. */
static void block_timers(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGALRM);
	sigaddset(&set, SIGPROF);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
}

static void *cancels(void *arg)
{
	struct sockaddr_in addr;
	int listener = host_listen(&addr);

	(void)arg;
	block_timers();
	for (unsigned i = 0; !host_over; i++) {
		int fd[2] = { host_connect(&addr), -1 };
		pthread_t t;

		do
			fd[1] = accept(listener, NULL, NULL);
		while (fd[1] < 0 && errno == EINTR);
		atomic_fetch_add(&host->chaos, 1);
		if (!pthread_create(&t, &small, i % 2 ? victim : reads,
				    (void *)(intptr_t)fd[i % 3 == 0])) {
			if (i % 5)
				usleep(300);
			pthread_cancel(t);
			pthread_join(t, NULL);
			atomic_fetch_add(&host->cancels, 1);
		}
		close(fd[0]);
		close(fd[1]);
	}
	close(listener);
	return NULL;
}

/* -- descriptors -- */

static void *passes(void *arg)
{
	struct sockaddr_in addr;
	int listener = host_listen(&addr), over[2];

	(void)arg;
	HOST_CHECK(!socketpair(AF_UNIX, SOCK_STREAM, 0, over));
	while (!host_over) {
		char control[CMSG_SPACE(sizeof(int))] = { 0 }, byte = 'f';
		struct iovec iov = { &byte, 1 };
		struct msghdr m = { .msg_iov = &iov,
				    .msg_iovlen = 1,
				    .msg_control = control,
				    .msg_controllen = sizeof(control) };
		struct cmsghdr *c = CMSG_FIRSTHDR(&m);
		int client = host_connect(&addr), fd;
		pthread_t t;

		do
			fd = accept(listener, NULL, NULL);
		while (fd < 0 && errno == EINTR);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &fd, sizeof(int));
		while (sendmsg(over[0], &m, 0) < 0 && errno == EINTR)
			;
		close(fd);
		m.msg_controllen = sizeof(control);
		while (recvmsg(over[1], &m, 0) < 0 && errno == EINTR)
			;
		memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof(int));
		if (!pthread_create(&t, &small, (void *(*)(void *))(void (*)(void))host_serve,
				    (void *)(intptr_t)fd)) {
			atomic_fetch_add(&host->chaos, 1);
			HOST_CHECK(host_call(client, "/passed", (uint64_t)client));
			close(client);
			pthread_join(t, NULL);
			atomic_fetch_add(&host->passed, 1);
		}
	}
	close(listener);
	close(over[0]);
	close(over[1]);
	return NULL;
}

static void *ranges(void *arg)
{
	(void)arg;
	while (!host_over) {
		int fd = host_connect(&host_addr);

		for (int i = 0; fd >= 0 && i < RANGE_COUNT; i++)
			HOST_CHECK(dup2(fd, RANGE_FIRST + i) == RANGE_FIRST + i);
		if (fd >= 0)
			close(fd);
		atomic_fetch_add(&host->chaos, 1);
		HOST_CHECK(host_call(RANGE_FIRST + RANGE_COUNT / 2, "/range", (uint64_t)fd));
		HOST_CHECK(!close_range(RANGE_FIRST, RANGE_FIRST + RANGE_COUNT - 1, 0));
		HOST_CHECK(fcntl(RANGE_FIRST, F_GETFD) < 0 && errno == EBADF);
		atomic_fetch_add(&host->ranges, 1);
	}
	return NULL;
}

static void *loads(void *arg)
{
	static const char *const names[] = { "libm.so.6", "libresolv.so.2", "libutil.so.1" };

	(void)arg;
	for (unsigned i = 0; !host_over; i++) {
		void *lib = dlopen(names[i % 3], RTLD_NOW | RTLD_LOCAL);

		if (lib)
			dlclose(lib);
		atomic_fetch_add(&host->loads, 1);
		usleep(500);
	}
	return NULL;
}

/* -- */

void chaos_start(size_t stack)
{
	static void *(*const kinds[])(void *) = { forks, cancels, passes, ranges, loads };
	static const char *const names[] = { "forks", "cancels", "passes", "ranges", "loads" };
	const char *without = getenv("STRESS_WITHOUT");

	pthread_attr_init(&small);
	pthread_attr_setstacksize(&small, stack);
	if (!(without && strstr(without, "signals")))
		signals_start();
	for (unsigned i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (!(without && strstr(without, names[i])) &&
		    !pthread_create(&threads[thread_count], kinds[i] == loads ? NULL : &small,
				    kinds[i], NULL))
			thread_count++;
}

void chaos_stop(void)
{
	for (unsigned i = 0; i < thread_count; i++)
		pthread_join(threads[i], NULL);
	timers(0);
}
