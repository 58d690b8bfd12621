/* Row 62: handlers that jump out of whatever was interrupted, our bookkeeping included. Afterwards the library
 * must still work: one exchange is made at the depth of main. */
#include "hostile.h"

static sigjmp_buf env;
static volatile sig_atomic_t jumps;

static void on_alarm(int sig)
{
	(void)sig;
	jumps++;
	siglongjmp(env, 1);
}

int main(void)
{
	struct sigaction sa = { .sa_handler = on_alarm };
	struct itimerval every = { { 0, 150 }, { 0, 150 } }, never = { 0 };
	int fd[2], busy[2], listener;
	volatile int rounds = 0;
	struct sockaddr_in addr;
	socklen_t len = sizeof(addr);

	hostile_start(fd, &listener);
	alarm(0);
	CHECK(getsockname(listener, (struct sockaddr *)&addr, &len) == 0);
	hostile_pair(listener, &addr, busy);
	CHECK(fcntl(busy[1], F_SETFL, O_NONBLOCK) == 0);
	CHECK(sigaction(SIGALRM, &sa, NULL) == 0);
	sigsetjmp(env, 1);
	CHECK(setitimer(ITIMER_REAL, &every, NULL) == 0);
	while (jumps < 2000) {
		char buf[64];

		(void)!write(busy[0], "x", 1);
		(void)!read(busy[1], buf, sizeof(buf));
		rounds++;
	}
	CHECK(setitimer(ITIMER_REAL, &never, NULL) == 0);
	hostile_exchange(fd);
	hostile_pair(listener, &addr, busy);
	hostile_exchange(busy);
	hostile_last(listener);
	puts("jumped out 2000 times");
	return 0;
}
