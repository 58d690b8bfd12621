/* Row 68: a program that takes the time stamp counter from itself (prctl PR_SET_TSC) dies of every clock that is read for
 * it, the vDSO's as well. Whoever stands down leaves its requests as they are. */
#include "hostile.h"

int main(void)
{
	char got[sizeof(hostile_request)];
	int fd[2], twin;

	hostile_start(fd, NULL);
	hostile_exchange(fd);
	usleep(50000);
	CHECK(prctl(PR_SET_TSC, PR_TSC_SIGSEGV, 0, 0, 0) == 0);
	hostile_send(fd[0], hostile_request, sizeof(hostile_request) - 1);
	CHECK(recv(fd[1], got, sizeof(got), 0) == sizeof(hostile_request) - 1);
	CHECK(!memcmp(got, hostile_request, sizeof(hostile_request) - 1));
	hostile_send(fd[1], hostile_response, sizeof(hostile_response) - 1);
	hostile_read(fd[0], sizeof(hostile_response) - 1);
	CHECK((twin = dup(fd[0])) >= 0 && shutdown(twin, SHUT_RDWR) == 0);
	CHECK(close(twin) == 0 && close(fd[0]) == 0 && close(fd[1]) == 0);
	CHECK(write(1, "went on without the counter\n", 28) == 28);
	_exit(0);
}
