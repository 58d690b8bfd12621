/* exec_server: listens, executes itself with the listener inherited (as socket activation does),
 * and serves on it. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "app.h"

int main(int argc, char **argv)
{
	int listener;

	app_start();
	if (argc < 2) {
		char number[16];

		listener = app_listen();
		fcntl(listener, F_SETFD, 0);
		snprintf(number, sizeof(number), "%d", listener);
		execl("/proc/self/exe", argv[0], number, NULL);
		return 127;
	}
	listener = atoi(argv[1]);
	while (!app_stopped) {
		int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

		if (fd >= 0)
			app_serve(fd, 0);
		else if (errno != EINTR)
			break;
	}
	close(listener);
	return app_finish(0);
}
