/* Row 68: a filter that allows exactly the system calls that the program itself makes, put in place behind our back
 * (by syscall(2)) while connections are tracked. Whatever hooks add kills. */
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>

#include "hostile.h"

#define ALLOW(nr) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (nr), 0, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)

int main(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		ALLOW(SYS_read), ALLOW(SYS_write), ALLOW(SYS_readv), ALLOW(SYS_writev), ALLOW(SYS_recvfrom),
		ALLOW(SYS_sendto), ALLOW(SYS_recvmsg), ALLOW(SYS_sendmsg), ALLOW(SYS_poll), ALLOW(SYS_select),
		ALLOW(SYS_epoll_wait), ALLOW(SYS_exit_group), ALLOW(SYS_shutdown), ALLOW(SYS_fcntl),
		ALLOW(SYS_accept), ALLOW(SYS_pselect6), ALLOW(SYS_getsockopt),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_THREAD),
	};
	struct sock_fprog prog = { sizeof(code) / sizeof(code[0]), code };
	struct iovec iov = { (void *)hostile_response, sizeof(hostile_response) - 1 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	char buf[256];
	struct iovec in = { buf, sizeof(buf) };
	struct msghdr inmsg = { .msg_iov = &in, .msg_iovlen = 1 };
	int fd[2], err;
	socklen_t len = sizeof(err);
	struct pollfd p = { .events = POLLIN };

	hostile_start(fd, NULL);
	usleep(50000);
	CHECK(syscall(SYS_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
	CHECK(syscall(SYS_prctl, PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog, 0, 0) == 0);
	p.fd = fd[1];
	for (int i = 0; i < 20; i++) {
		CHECK(send(fd[0], hostile_request, sizeof(hostile_request) - 1, 0) > 0);
		CHECK(poll(&p, 1, 1000) == 1);
		CHECK(recvmsg(fd[1], &inmsg, 0) == sizeof(hostile_request) - 1);
		CHECK(i % 2 ? sendmsg(fd[1], &msg, 0) > 0 : writev(fd[1], &iov, 1) > 0);
		CHECK(readv(fd[0], &in, 1) == sizeof(hostile_response) - 1);
		CHECK(fcntl(fd[0], F_SETFL, i % 2 ? O_NONBLOCK : 0) == 0);
		CHECK(getsockopt(fd[0], SOL_SOCKET, SO_ERROR, &err, &len) == 0);
	}
	CHECK(shutdown(fd[0], SHUT_WR) == 0);
	CHECK(read(fd[1], buf, sizeof(buf)) == 0);
	CHECK(write(1, "no call of ours\n", 16) == 16);
	_exit(0);
}
