/* signal_storm PORT COUNT: COUNT requests while SIGALRM strikes twice a millisecond; its handler
 * writes to, and reads from, a socket pair. Calls that are interrupted are made again. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "app.h"

static int pair[2];
static volatile sig_atomic_t strikes, broken;

static void on_strike(int sig)
{
	int err = errno;
	char byte = 'x';

	(void)sig;
	if (write(pair[0], &byte, 1) != 1 || recv(pair[1], &byte, 1, 0) != 1)
		broken = 1;
	strikes++;
	errno = err;
}

static ssize_t read_again(int fd, void *buf, size_t len)
{
	ssize_t n;

	do
		n = read(fd, buf, len);
	while (n < 0 && errno == EINTR);
	return n;
}

static int request(int port)
{
	static const char text[] = "GET /storm HTTP/1.1\r\nHost: leaf\r\nConnection: close\r\n\r\n";
	char buf[4096];
	size_t have = 0;
	int fd;
	ssize_t n;

	/* connect() that was interrupted goes on by itself; a new one is simpler here. */
	while ((fd = app_connect(port)) < 0 && errno == EINTR)
		;
	if (fd < 0 || app_write_all(fd, text, sizeof(text) - 1))
		return -1;
	while ((n = read_again(fd, buf + have, sizeof(buf) - 1 - have)) > 0)
		have += (size_t)n;
	close(fd);
	return n == 0 && have > 12 && !memcmp(buf, "HTTP/1.1 200", 12) ? 0 : -1;
}

int main(int argc, char **argv)
{
	struct itimerval often = { { 0, 500 }, { 0, 500 } }, never = { 0 };
	struct sigaction act = { .sa_handler = on_strike };
	int count, good = 0;

	if (argc < 3)
		return 2;
	app_start();
	alarm(0);
	count = atoi(argv[2]);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
		return 2;
	sigaction(SIGALRM, &act, NULL);
	setitimer(ITIMER_REAL, &often, NULL);
	for (int i = 0; i < count; i++)
		good += request(atoi(argv[1])) == 0;
	while (strikes < 10)
		pause();
	setitimer(ITIMER_REAL, &never, NULL);
	printf("%d of %d, handler %s\n", good, count, broken ? "broken" : "ok");
	close(pair[0]);
	close(pair[1]);
	return app_finish(good != count || broken);
}
