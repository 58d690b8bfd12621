/* Rows 10, 111: threads with the smallest stacks there are use every family. */
#include "hostile.h"

static struct sockaddr_in addr;

static void *client(void *arg)
{
	struct pollfd p = { .events = POLLOUT };
	struct iovec iov[2];
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = 2 };
	char in[64];

	for (int i = 0; i < 50; i++) {
		int fd = socket(AF_INET, SOCK_STREAM, 0);

		CHECK(connect(fd, (struct sockaddr *)&addr, sizeof(addr)) == 0);
		p.fd = fd;
		CHECK(poll(&p, 1, 1000) == 1);
		iov[0] = (struct iovec){ (void *)hostile_request, 20 };
		iov[1] = (struct iovec){ (void *)(hostile_request + 20), sizeof(hostile_request) - 21 };
		CHECK(sendmsg(fd, &msg, MSG_NOSIGNAL) == sizeof(hostile_request) - 1);
		CHECK(recv(fd, in, sizeof(hostile_response) - 1, MSG_WAITALL) == sizeof(hostile_response) - 1);
		CHECK(close(fd) == 0);
	}
	return arg;
}

static void *server(void *arg)
{
	int listener = *(int *)arg;

	for (int i = 0; i < 4 * 50; i++) {
		int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

		CHECK(fd >= 0);
		hostile_read(fd, sizeof(hostile_request) - 1);
		hostile_send(fd, hostile_response, sizeof(hostile_response) - 1);
		CHECK(close(fd) == 0);
	}
	return NULL;
}

int main(void)
{
	pthread_t t[5];
	pthread_attr_t attr;
	int listener;

	alarm(20);
	listener = hostile_listen(&addr);
	CHECK(pthread_attr_init(&attr) == 0);
	CHECK(pthread_attr_setstacksize(&attr, 16384) == 0);
	CHECK(pthread_create(&t[4], &attr, server, &listener) == 0);
	for (int i = 0; i < 4; i++)
		CHECK(pthread_create(&t[i], &attr, client, NULL) == 0);
	for (int i = 0; i < 5; i++)
		CHECK(pthread_join(t[i], NULL) == 0);
	hostile_last(listener);
	puts("200 exchanges on 16 KiB stacks");
	return 0;
}
