/* Row 111: a handler on the smallest alternate stack, and a coroutine on 8 KiB. */
#include <ucontext.h>

#include "hostile.h"

static int fd[2];
static ucontext_t back, co;
static volatile sig_atomic_t handled;

static void on_signal(int sig)
{
	char c;

	(void)sig;
	CHECK(send(fd[0], "s", 1, MSG_NOSIGNAL) == 1);
	CHECK(recv(fd[1], &c, 1, 0) == 1);
	handled++;
}

static void run(void)
{
	for (int i = 0; i < 10; i++) {
		hostile_exchange(fd);
		swapcontext(&co, &back);
	}
}

int main(void)
{
	stack_t alt = { .ss_size = (size_t)sysconf(_SC_MINSIGSTKSZ) + 2048 };
	struct sigaction sa = { .sa_handler = on_signal, .sa_flags = SA_ONSTACK };
	static char stack[8192] __attribute__((aligned(16)));

	hostile_start(fd, NULL);
	alt.ss_sp = malloc(alt.ss_size);
	CHECK(sigaltstack(&alt, NULL) == 0 && sigaction(SIGUSR1, &sa, NULL) == 0);
	for (int i = 0; i < 100; i++)
		raise(SIGUSR1);
	getcontext(&co);
	co.uc_stack.ss_sp = stack;
	co.uc_stack.ss_size = sizeof(stack);
	co.uc_link = &back;
	makecontext(&co, run, 0);
	for (int i = 0; i < 10; i++)
		swapcontext(&back, &co);
	printf("%d handled, coroutine served\n", (int)handled);
	return 0;
}
