/* Wakes the library before main(): it does nothing until the program's first connection, and many tests of TLS libraries
 * make none. Loaded both ways. */
#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

__attribute__((constructor)) static void wake(void)
{
	int err = errno, server = socket(AF_INET, SOCK_STREAM, 0);

	(void)listen(server, 1);
	(void)close(server);
	errno = err;
}
