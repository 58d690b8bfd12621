/* Rows 68, 69: the usual order, prctl() then a filter: our thread is gone before the program is locked in, and
 * nothing of ours runs after. */
#include <linux/filter.h>
#include <linux/seccomp.h>

#include "hostile.h"

#define ALLOW(nr) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (nr), 0, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)

int main(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		ALLOW(SYS_read), ALLOW(SYS_write), ALLOW(SYS_close), ALLOW(SYS_exit_group), ALLOW(SYS_socket),
		ALLOW(SYS_accept), ALLOW(SYS_connect), ALLOW(SYS_dup), ALLOW(SYS_pipe), ALLOW(SYS_pipe2), ALLOW(SYS_bind), ALLOW(SYS_listen),
		ALLOW(SYS_getsockname), ALLOW(SYS_openat), ALLOW(SYS_close_range), ALLOW(SYS_alarm),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
	};
	struct sock_fprog prog = { sizeof(code) / sizeof(code[0]), code };
	int fd[2], more[2], p[2], listener;
	struct sockaddr_in addr;

	hostile_start(fd, NULL);
	usleep(50000);
	CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
	CHECK(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog) == 0);
	CHECK(hostile_threads() == 1);
	hostile_exchange(fd);
	listener = hostile_listen(&addr);
	hostile_pair(listener, &addr, more);
	hostile_exchange(more);
	CHECK(dup(more[0]) >= 0 && pipe(p) == 0);
	CHECK(close(more[0]) == 0 && close_range(3, ~0u, 0) == 0);
	CHECK(write(1, "alone and locked in\n", 20) == 20);
	_exit(0);
}
