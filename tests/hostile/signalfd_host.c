/* Row 57: a host that reads SIGTERM from a signalfd, with all its own threads blocking it. */
#include <sys/signalfd.h>

#include "hostile.h"

int main(void)
{
	struct signalfd_siginfo info;
	sigset_t set, now, before;
	int fd[2], sfd;

	CHECK(pthread_sigmask(SIG_SETMASK, NULL, &before) == 0);
	hostile_start(fd, NULL); /* our thread is there before the host blocks anything */
	usleep(50000);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGUSR1);
	CHECK(sigprocmask(SIG_BLOCK, &set, NULL) == 0);
	sfd = signalfd(-1, &set, 0);
	for (int i = 0; i < 10; i++) {
		CHECK(kill(getpid(), i % 2 ? SIGTERM : SIGUSR1) == 0);
		CHECK(read(sfd, &info, sizeof(info)) == sizeof(info));
		CHECK(info.ssi_signo == (uint32_t)(i % 2 ? SIGTERM : SIGUSR1));
	}
	CHECK(pthread_sigmask(SIG_SETMASK, NULL, &now) == 0);
	CHECK(sigismember(&now, SIGTERM) && !sigismember(&now, SIGINT) && !sigismember(&now, SIGPIPE));
	puts("shut down cleanly");
	return 0;
}
