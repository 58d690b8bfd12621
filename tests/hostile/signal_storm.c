/* Row 61: a 10 kHz timer whose handler itself uses what we hook, on threads that do nothing else either. */
#include "hostile.h"

static int wake[2], spare[2];
static volatile sig_atomic_t ticks;

static void on_alarm(int sig)
{
	int err = errno;
	char c;

	(void)sig;
	(void)!write(wake[1], "t", 1);
	(void)!read(wake[0], &c, 1);
	(void)!send(spare[0], "x", 1, MSG_DONTWAIT | MSG_NOSIGNAL);
	(void)!recv(spare[1], &c, 1, MSG_DONTWAIT);
	close(dup(wake[0]));
	ticks++;
	errno = err;
}

/* Not sampled, or the spans of the storm would fill the queue. */
static const char request[] = "GET /storm HTTP/1.1\r\nHost: x\r\nTraceparent: "
			      "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00\r\n\r\n";

static struct sockaddr_in addr;
static int listener;

static ssize_t again(ssize_t n)
{
	CHECK(n >= 0 || errno == EINTR);
	return n < 0 ? 0 : n;
}

static void push(int fd, const char *text, size_t len)
{
	for (size_t done = 0; done < len;)
		done += (size_t)again(write(fd, text + done, len - done));
}

static void pull(int fd, size_t len)
{
	char buf[256];

	for (size_t done = 0; done < len;) {
		ssize_t n = read(fd, buf, len - done < sizeof(buf) ? len - done : sizeof(buf));

		CHECK(n != 0);
		done += (size_t)again(n);
	}
}

static void *work(void *arg)
{
	int fd[2];

	for (int i = 0; i < 30; i++) {
		static pthread_mutex_t m = PTHREAD_MUTEX_INITIALIZER;

		pthread_mutex_lock(&m);
		fd[0] = socket(AF_INET, SOCK_STREAM, 0);
		if (connect(fd[0], (struct sockaddr *)&addr, sizeof(addr))) { /* goes on without us */
			struct pollfd p = { .fd = fd[0], .events = POLLOUT };

			CHECK(errno == EINTR);
			while (poll(&p, 1, -1) != 1)
				CHECK(errno == EINTR);
		}
		while ((fd[1] = accept(listener, NULL, NULL)) < 0)
			CHECK(errno == EINTR);
		pthread_mutex_unlock(&m);
		for (int k = 0; k < 20; k++) {
			push(fd[0], request, sizeof(request) - 1);
			pull(fd[1], sizeof(request) - 1);
			push(fd[1], hostile_response, sizeof(hostile_response) - 1);
			pull(fd[0], sizeof(hostile_response) - 1);
		}
		close(fd[0]);
		close(fd[1]);
	}
	return arg;
}

int main(void)
{
	struct sigaction sa = { .sa_handler = on_alarm, .sa_flags = SA_ONSTACK };
	struct itimerval every = { { 0, 100 }, { 0, 100 } }, never = { 0 };
	stack_t alt = { .ss_sp = malloc(65536), .ss_size = 65536 };
	pthread_t t[4];

	hostile_start(spare, NULL);
	alarm(0);
	listener = hostile_listen(&addr);
	CHECK(pipe2(wake, O_NONBLOCK) == 0);
	CHECK(sigaltstack(&alt, NULL) == 0);
	CHECK(sigaction(SIGALRM, &sa, NULL) == 0);
	CHECK(setitimer(ITIMER_REAL, &every, NULL) == 0);
	for (int i = 0; i < 4; i++)
		CHECK(pthread_create(&t[i], NULL, work, NULL) == 0);
	for (int i = 0; i < 4; i++)
		CHECK(pthread_join(t[i], NULL) == 0);
	CHECK(setitimer(ITIMER_REAL, &never, NULL) == 0);
	CHECK(ticks > 10);
	for (int i = 0; i < 20; i++) { /* the storm may have filled the rings: until they have been emptied */
		hostile_last(listener);
		usleep(10000);
	}
	puts("2400 exchanges under a signal storm");
	return 0;
}
