/* unix_server PATH [UPSTREAM]: serves an AF_UNIX socket, one connection at a time. Prints "ready".
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "app.h"

int main(int argc, char **argv)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int listener;

	app_start();
	if (argc < 2)
		return 2;
	strncpy(addr.sun_path, argv[1], sizeof(addr.sun_path) - 1);
	listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (bind(listener, (struct sockaddr *)&addr, sizeof(addr)) || listen(listener, 64))
		return 2;
	puts("ready");
	while (!app_stopped) {
		int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

		if (fd >= 0)
			app_serve(fd, argc > 2 ? atoi(argv[2]) : 0);
		else if (errno != EINTR)
			break;
	}
	close(listener);
	unlink(argv[1]);
	return app_finish(0);
}
