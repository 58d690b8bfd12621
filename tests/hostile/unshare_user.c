/* Rows 47, 69: unshare(CLONE_NEWUSER) fails with EINVAL in a process with threads. */
#include "hostile.h"

int main(void)
{
	int fd[2], result, err;

	hostile_start(fd, NULL);
	usleep(50000);
	result = unshare(CLONE_NEWUSER);
	err = errno;
	printf("unshare %d %s\n", result, result ? strerror(err) : "");
	hostile_exchange(fd);
	return 0;
}
