/* Row 53: started without descriptors 0 to 2, or with few allowed: numbers of the host's own must be what they are
 * without us. */
#include "hostile.h"

int main(void)
{
	int report, got[6], fd[2], listener;
	struct rlimit lim = { 16, 16 };

	alarm(20);
	report = fcntl(1, F_DUPFD, 3);
	close(0), close(1), close(2);
	CHECK(setrlimit(RLIMIT_NOFILE, &lim) == 0);
	hostile_start(fd, &listener);
	usleep(50000);
	for (int i = 0; i < 6; i++)
		got[i] = open("/dev/null", O_RDONLY);
	for (int i = 0; i < 6; i++)
		dprintf(report, "%d ", got[i]);
	dprintf(report, "pair %d %d listener %d\n", fd[0], fd[1], listener);
	return 0;
}
