/* Row 81: as many buffers as there may be, read-only memory, and one more. */
#include "hostile.h"

int main(void)
{
	static struct iovec iov[1025];
	int fd[2];
	char *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	size_t len = sizeof(hostile_request) - 1;

	memcpy(page, hostile_request, len);
	CHECK(mprotect(page, 4096, PROT_READ) == 0);
	hostile_start(fd, NULL);
	for (unsigned count = 1018; count <= 1025; count++) {
		ssize_t n;

		for (unsigned i = 0; i < count; i++)
			iov[i] = (struct iovec){ page + (i < len ? i : len - 1), i < len - 1 };
		iov[count - 1] = (struct iovec){ page + len - 1, 1 };
		n = writev(fd[0], iov, (int)count);
		printf("%u: %zd %d\n", count, n, n < 0 ? errno : 0);
		if (n < 0)
			continue;
		hostile_read(fd[1], len);
		hostile_send(fd[1], hostile_response, sizeof(hostile_response) - 1);
		hostile_read(fd[0], sizeof(hostile_response) - 1);
	}
	return 0;
}
