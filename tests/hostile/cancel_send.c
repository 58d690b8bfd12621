/* Row 63: threads cancelled in a send to which a header is added, and handlers that jump out of
 * one; the connections are then closed, or used on by others. Every byte that arrives is one that
 * was sent. */
#include "hostile.h"

#define BODY (1 << 20)

static char *message;
static size_t message_len;
static struct sockaddr_in addr;
static int listener;
static sigjmp_buf env;

static void make_message(void)
{
	message = malloc(BODY + 200);
	CHECK(message);
	message_len = (size_t)sprintf(
		message, "POST /big HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n", BODY);
	memset(message + message_len, 'b', BODY);
	message_len += BODY;
}

/* As much as fits: then it waits for a reader that does not come. */
static void *sends(void *arg)
{
	(void)!write(*(int *)arg, message, message_len);
	return NULL;
}

static void on_alarm(int sig)
{
	(void)sig;
	siglongjmp(env, 1);
}

static void fill_small(int fd)
{
	int small = 4096;

	CHECK(setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)) == 0);
}

/* What arrived is the beginning of what was sent, a header of ours apart. */
static void check_arrived(int fd)
{
	static char in[65536];
	size_t at = 0;
	ssize_t n = recv(fd, in, sizeof(in), MSG_DONTWAIT);
	char *own;

	if (n <= 0)
		return;
	own = memmem(in, (size_t)n, "traceparent: ", 13);
	if (own && (size_t)(in + n - own) >= 70) {
		CHECK(!memcmp(own + 68, "\r\n", 2));
		memmove(own, own + 70, (size_t)(in + n - own) - 70);
		n -= 70;
	} else if (own) {
		n = own - in;
	}
	for (; at < (size_t)n; at++)
		CHECK(in[at] == message[at]);
}

static void cancelled(int round)
{
	int fd[2];
	pthread_t t;
	void *result;

	hostile_pair(listener, &addr, fd);
	fill_small(fd[0]);
	CHECK(pthread_create(&t, NULL, sends, &fd[0]) == 0);
	if (round % 2)
		usleep(200);
	CHECK(pthread_cancel(t) == 0);
	CHECK(pthread_join(t, &result) == 0);
	check_arrived(fd[1]);
	if (round % 3)
		(void)!send(fd[0], "more", 4, MSG_DONTWAIT);
	close(fd[0]);
	close(fd[1]);
}

static void jumped(int round)
{
	int fd[2];
	struct itimerval soon = { { 0, 0 }, { 0, 500 } };

	hostile_pair(listener, &addr, fd);
	fill_small(fd[0]);
	if (!sigsetjmp(env, 1)) {
		CHECK(setitimer(ITIMER_REAL, &soon, NULL) == 0);
		for (;;)
			(void)!write(fd[0], message, message_len);
	}
	check_arrived(fd[1]);
	if (round % 3)
		(void)!send(fd[0], "more", 4, MSG_DONTWAIT);
	close(fd[0]);
	close(fd[1]);
}

int main(void)
{
	struct sigaction sa = { .sa_handler = on_alarm };

	listener = hostile_listen(&addr);
	make_message();
	for (int i = 0; i < 100; i++)
		cancelled(i);
	CHECK(sigaction(SIGALRM, &sa, NULL) == 0);
	for (int i = 0; i < 100; i++)
		jumped(i);
	signal(SIGALRM, SIG_DFL);
	alarm(20);
	hostile_last(listener);
	puts("200 sends that never came back");
	return 0;
}
